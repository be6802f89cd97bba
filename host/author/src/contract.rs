//! The contract's text, and worlds out of it.

use std::path::Path;

use wit_component::StringEncoding;
use wit_parser::{Resolve, WorldId};

/// `wit/flagpost.wit`.
pub const WIT: &str = include_str!("../../../wit/flagpost.wit");

/// The world of two functions.
pub const WORLD: &str = "plugin";

/// The world of the full contract.
pub const MANAGED_WORLD: &str = "managed-plugin";

/// How every guest passes text.
pub(crate) const ENCODING: StringEncoding = StringEncoding::UTF8;

/// A world out of a project's `wit` directory. The error is wit-parser's own, with the line.
pub(crate) fn world(directory: &Path, name: &str) -> Result<(Resolve, WorldId), String> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(directory).map_err(|why| format!("{why:#}"))?;
    let world = resolve.select_world(&[package], Some(name)).map_err(|why| format!("{why:#}"))?;
    Ok((resolve, world))
}
