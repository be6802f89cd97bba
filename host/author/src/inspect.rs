//! What a component says of itself, without running or compiling it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};
use wasmparser::{KnownCustom, Parser, Payload};
use wit_component::DecodedWasm;
use wit_parser::{Resolve, WorldId, WorldItem, WorldKey};

/// Prefix of our interfaces' names.
const PACKAGE: &str = "flagpost:plugin/";

/// A component's facts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Component {
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 in hex: what the exporter's key `sha256` pins.
    pub sha256: String,
    /// The exporter interface, with its version: `flagpost:plugin/exporter@0.1.0`. `None`: it is no plugin of flagpost's.
    pub interface: Option<String>,
    /// The world that interface belongs to.
    pub world: Option<&'static str>,
    /// Everything it exports.
    pub exports: Vec<String>,
    /// The interfaces it imports.
    pub imports: Vec<String>,
    /// Languages it says it was written in.
    pub languages: Vec<String>,
    /// Tools that made it, with versions.
    pub producers: Vec<String>,
}

/// A file is no component.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// It cannot be read.
    #[error("{}: cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is something else.
    #[error("{}: no WebAssembly component: {reason}; `flagpost plugin build` makes one", path.display())]
    NoComponent {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
}

/// Reads a component's facts.
///
/// # Errors
///
/// The file cannot be read, or is no component.
pub fn inspect(path: &Path) -> Result<Component, InspectError> {
    let bytes = std::fs::read(path).map_err(|source| InspectError::Read { path: path.to_owned(), source })?;
    let no_component = |reason: String| InspectError::NoComponent { path: path.to_owned(), reason };
    if !bytes.starts_with(b"\0asm") {
        return Err(no_component("it does not begin as WebAssembly does".to_owned()));
    }
    // The layer: 0 in a module, 1 in a component.
    if bytes.get(6) != Some(&1) {
        return Err(no_component("it is a core module".to_owned()));
    }
    let (resolve, world) = match wit_component::decode(&bytes) {
        Ok(DecodedWasm::Component(resolve, world)) => (resolve, world),
        Ok(DecodedWasm::WitPackage(..)) => return Err(no_component("it is a package of WIT and has no code".to_owned())),
        Err(why) => return Err(no_component(format!("{why:#}"))),
    };
    let (exports, imports) = (names(&resolve, world, true), names(&resolve, world, false));
    let ours = |interface: &str| exports.iter().find(|name| name.starts_with(&format!("{PACKAGE}{interface}@"))).cloned();
    let (interface, world) = match (ours("managed-exporter"), ours("exporter")) {
        (Some(name), _) => (Some(name), Some(crate::World::Managed.name())),
        (None, Some(name)) => (Some(name), Some(crate::World::Plugin.name())),
        (None, None) => (None, None),
    };
    let (languages, producers) = producers(&bytes);
    let sha256 = hex::encode(Sha256::digest(&bytes));
    Ok(Component { path: path.to_owned(), size: bytes.len() as u64, sha256, interface, world, exports, imports, languages, producers })
}

impl Component {
    /// Whether it imports one of these interfaces, in whatever version.
    pub fn imports_any(&self, names: &[&str]) -> bool {
        self.imports.iter().any(|import| names.contains(&import.split('@').next().unwrap_or(import)))
    }
}

/// Names of what the world exports or imports. Types are no capability: an interface that is only there for its types is left in.
fn names(resolve: &Resolve, world: WorldId, exports: bool) -> Vec<String> {
    let world = &resolve.worlds[world];
    let items = if exports { &world.exports } else { &world.imports };
    let name = |(key, item): (&WorldKey, &WorldItem)| match item {
        WorldItem::Type { .. } => None,
        WorldItem::Interface { .. } | WorldItem::Function(_) => Some(resolve.name_world_key(key)),
    };
    items.iter().filter_map(name).collect()
}

/// Languages and tools out of the `producers` sections of the component and of every module in it. What cannot be read is left out.
fn producers(bytes: &[u8]) -> (Vec<String>, Vec<String>) {
    let (mut languages, mut tools) = (BTreeSet::new(), BTreeSet::new());
    for payload in Parser::new(0).parse_all(bytes).flatten() {
        let Payload::CustomSection(section) = payload else { continue };
        let KnownCustom::Producers(fields) = section.as_known() else { continue };
        for field in fields.into_iter().flatten() {
            let into = if field.name == "language" { &mut languages } else { &mut tools };
            into.extend(field.values.into_iter().flatten().map(|value| format!("{} {}", value.name, value.version).trim().to_owned()));
        }
    }
    if languages.is_empty() {
        // Stripped components keep the names of tools only.
        let of_rust = tools.iter().any(|tool: &String| tool.starts_with("wit-bindgen-rust "));
        languages.extend(of_rust.then(|| "Rust".to_owned()));
    }
    (languages.into_iter().collect(), tools.into_iter().collect())
}
