//! Which interface a component exports, and what to say when it is none of ours.
//!
//! The version stands in the export's name, so nothing has to be run to find out. Exports that are not ours are ignored: toolchains leave
//! some behind (QuickJS `init`, Python `exports`).

use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use crate::text::cut;

const PACKAGE: &str = "flagpost:plugin/";

/// What is expected, for messages.
const EXPECTED: &str = "expected a component that exports `flagpost:plugin/exporter@0.1.0` (world `plugin` of wit/flagpost.wit) or `flagpost:plugin/managed-exporter@0.1.0` (world `managed-plugin`)";

/// Names shown of what a component exports.
const SHOWN: usize = 8;

/// What is known of a component before it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Which contract it is.
    pub(crate) kind: Interface,
    /// The interface that is served, as it is exported: `flagpost:plugin/exporter@0.1.0`.
    pub(crate) interface: String,
    /// Names of the interfaces it imports.
    pub(crate) imports: Vec<String>,
}

/// The exporter interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interface {
    /// `exporter`: two functions.
    Exporter,
    /// `managed-exporter`: the full contract.
    Managed,
}

impl Interface {
    /// The fuller contract first: a component that exports both has the other for older hosts.
    const ALL: [(&'static str, Interface); 2] = [("managed-exporter", Interface::Managed), ("exporter", Interface::Exporter)];
}

/// Looks at the names of exports and imports.
pub(crate) fn recognise(engine: &Engine, component: &Component) -> Result<Shape, String> {
    let kind = component.component_type();
    let exports: Vec<_> =
        kind.exports(engine).map(|(name, export)| (name.to_owned(), matches!(export.ty, ComponentItem::ComponentInstance(_)))).collect();
    let imports = kind.imports(engine).map(|(name, _)| name.to_owned()).collect();
    let (kind, interface) = choose(&exports)?;
    Ok(Shape { kind, interface, imports })
}

/// `exports`: names, and whether each is an interface.
fn choose(exports: &[(String, bool)]) -> Result<(Interface, String), String> {
    let ours: Vec<_> = exports
        .iter()
        .filter(|(_, is_interface)| *is_interface)
        .filter_map(|(name, _)| Some((name, name.strip_prefix(PACKAGE)?.split_once('@').unwrap_or((name.strip_prefix(PACKAGE)?, "none")))))
        .collect();
    for (known, kind) in Interface::ALL {
        if let Some((name, _)) = ours.iter().find(|(_, (interface, version))| *interface == known && is_served(version)) {
            return Ok((kind, (*name).clone()));
        }
    }
    match ours.first() {
        Some((name, ("exporter" | "managed-exporter", version))) => Err(format!(
            "it exports `{name}`, and this relay serves version 0.1 of that interface, not {version}; rebuild the plugin against 0.1.0, or use a \
             release of flagpost that serves {version}"
        )),
        _ if exports.is_empty() => Err(format!("it exports nothing; {EXPECTED}")),
        _ => {
            let mut names: Vec<_> = exports.iter().take(SHOWN).map(|(name, _)| format!("`{}`", cut(name, 80))).collect();
            if exports.len() > SHOWN {
                names.push(format!("{} more", exports.len() - SHOWN));
            }
            Err(format!("it exports {}; {EXPECTED}", names.join(", ")))
        }
    }
}

/// 0.1 with any patch number: patch versions have equal shapes.
fn is_served(version: &str) -> bool {
    let mut numbers = version.split('.');
    let patch = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty();
    (numbers.next(), numbers.next(), numbers.next().is_some_and(patch), numbers.next()) == (Some("0"), Some("1"), true, None)
}

/// What a file is that is not a component, before a compiler sees it. `Ok`: it looks like one.
pub(crate) fn sniff(file: &[u8]) -> Result<(), String> {
    // A preamble: magic, version (16 bits), layer (16 bits): module layer 0, component layer 1.
    match file {
        [] => Err(format!("it is empty; {EXPECTED}")),
        [b'\0', b'a', b's', b'm', _, _, 1, 0, ..] => Ok(()),
        [b'\0', b'a', b's', b'm', 1, 0, 0, 0, ..] => Err(format!(
            "it is a core WebAssembly module, not a component; {EXPECTED}: build for `wasm32-wasip2`, or run `wasm-tools component new` on it"
        )),
        [b'\0', b'a', b's', b'm', ..] => {
            Err(format!("it is WebAssembly of an unknown kind or cut short (it starts with {}); {EXPECTED}", hex_of(file)))
        }
        _ => Err(format!("it is not WebAssembly: it {}; {EXPECTED}", looks_like(file))),
    }
}

fn looks_like(file: &[u8]) -> String {
    let known: [(&[u8], &str); 8] = [
        (b"\x7fELF", "is a Linux program or a file that was compiled for this machine (ELF)"),
        (b"\x1f\x8b", "is gzip-compressed; unpack it"),
        (b"\x28\xb5\x2f\xfd", "is zstd-compressed; unpack it"),
        (b"PK\x03\x04", "is a zip archive; unpack it"),
        (b"(component", "is WebAssembly text; run `wasm-tools parse` on it"),
        (b"(module", "is WebAssembly text of a core module"),
        (b"version https://git-lfs", "is a Git LFS pointer; run `git lfs pull`"),
        (b"<!DOCTYPE", "is an HTML page, most likely a failed download"),
    ];
    match known.iter().find(|(magic, _)| file.starts_with(magic)) {
        Some((_, what)) => (*what).to_owned(),
        None => format!("starts with {}", hex_of(file)),
    }
}

fn hex_of(file: &[u8]) -> String {
    let first = &file[..file.len().min(8)];
    let shown: String = first.iter().map(|&byte| if byte.is_ascii_graphic() || byte == b' ' { char::from(byte) } else { '.' }).collect();
    format!("bytes {} (\"{shown}\")", first.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn interfaces(names: &[&str]) -> Vec<(String, bool)> {
        names.iter().map(|name| ((*name).to_owned(), true)).collect()
    }

    #[test]
    fn our_interface_is_found_among_others_in_every_patch_version() {
        let table = [
            (&["flagpost:plugin/exporter@0.1.0"][..], Interface::Exporter, "flagpost:plugin/exporter@0.1.0"),
            (&["exports", "flagpost:plugin/exporter@0.1.12"], Interface::Exporter, "flagpost:plugin/exporter@0.1.12"),
            (&["flagpost:plugin/managed-exporter@0.1.3", "x"], Interface::Managed, "flagpost:plugin/managed-exporter@0.1.3"),
            // Both: the fuller one. One of them in a version that is not served: the other.
            (
                &["flagpost:plugin/exporter@0.1.0", "flagpost:plugin/managed-exporter@0.1.0"],
                Interface::Managed,
                "flagpost:plugin/managed-exporter@0.1.0",
            ),
            (
                &["flagpost:plugin/exporter@0.1.0", "flagpost:plugin/managed-exporter@0.2.0"],
                Interface::Exporter,
                "flagpost:plugin/exporter@0.1.0",
            ),
        ];
        for (names, kind, interface) in table {
            assert_eq!(choose(&interfaces(names)).unwrap(), (kind, interface.to_owned()), "{names:?}");
        }
    }

    #[test]
    fn a_component_of_another_world_is_told_what_it_exports_and_what_is_expected() {
        let table = [
            (&[][..], "it exports nothing; expected a component that exports `flagpost:plugin/exporter@0.1.0`"),
            (&["wasi:cli/run@0.2.0"], "it exports `wasi:cli/run@0.2.0`; expected a component"),
            (&["flagpost:plugin/managed-exporter@0.2.0"], "serves version 0.1 of that interface, not 0.2.0"),
            (&["flagpost:plugin/exporter@0.2.0"], "serves version 0.1 of that interface, not 0.2.0"),
            (&["flagpost:plugin/exporter@0.1.0-rc.1"], "not 0.1.0-rc.1"),
            (&["flagpost:plugin/exporter"], "not none"),
            (&["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"], "`h`, 2 more; expected"),
        ];
        for (names, expected) in table {
            let error = choose(&interfaces(names)).unwrap_err();
            assert!(error.contains(expected), "{names:?}: {error}");
        }
    }

    #[test]
    fn a_file_that_is_no_component_is_named_for_what_it_is() {
        let table: [(&[u8], &str); 8] = [
            (b"", "it is empty"),
            (b"\0asm\x01\0\0\0", "core WebAssembly module, not a component"),
            (b"\0asm\x0d\0", "cut short"),
            (b"\x7fELF\x02", "Linux program"),
            (b"PK\x03\x04rest", "zip archive"),
            (b"(component)", "WebAssembly text"),
            (b"<!DOCTYPE html>", "failed download"),
            (b"hello plugin", "starts with bytes 68 65 6c 6c 6f 20 70 6c (\"hello pl\")"),
        ];
        for (file, expected) in table {
            let error = sniff(file).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        assert!(sniff(b"\0asm\x0d\0\x01\0rest").is_ok());
    }
}
