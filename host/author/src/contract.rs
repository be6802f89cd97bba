//! The contract's text, and worlds out of it.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use wit_component::StringEncoding;
use wit_parser::{Resolve, WorldId};

/// `wit/flagpost.wit`.
pub const WIT: &str = include_str!("../../../wit/flagpost.wit");

/// A world that plugins are written for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum World {
    /// Two functions.
    #[default]
    Plugin,
    /// The full contract.
    Managed,
}

impl World {
    /// Both.
    pub const ALL: [World; 2] = [World::Plugin, World::Managed];

    /// As `wit/flagpost.wit` calls it.
    pub const fn name(self) -> &'static str {
        match self {
            World::Plugin => "plugin",
            World::Managed => "managed-plugin",
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for World {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        World::ALL
            .into_iter()
            .find(|world| world.name() == text)
            .ok_or_else(|| format!("expected {}", World::ALL.map(World::name).join(" or ")))
    }
}

/// How every guest passes text.
pub(crate) const ENCODING: StringEncoding = StringEncoding::UTF8;

/// A world out of a project's `wit` directory. The error is wit-parser's own, with the line.
pub(crate) fn world(directory: &Path, name: &str) -> Result<(Resolve, WorldId), String> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(directory).map_err(|why| format!("{why:#}"))?;
    let world = resolve.select_world(&[package], Some(name)).map_err(|why| format!("{why:#}"))?;
    Ok((resolve, world))
}
