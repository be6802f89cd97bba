//! New projects: the example exporter of a language under another name. What authors get is what the tests build and run.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Language, WIT, World};

/// Sample events: one per line, of both kinds.
pub const SAMPLE_EVENTS: &str = include_str!("../../../examples/exporters/project/test/events.jsonl");

/// The examples' names, which the project's own takes the place of.
const NAMES: [&str; 2] = ["post-json", "post-managed"];

/// File of a project that names its world, when that is not the world of two functions. A Rust project needs none: its source says so.
pub(crate) const WORLD_FILE: &str = "world.txt";

/// Longest name: it becomes a file, a crate, a package and a Go module.
const MAX_NAME: usize = 64;

macro_rules! example {
    ($language:literal: $($file:literal)*) => {
        &[$(($file, include_str!(concat!("../../../examples/exporters/", $language, "/", $file)))),*]
    };
}

macro_rules! sdk {
    ($language:literal: $($file:literal)*) => {
        &[$((concat!("flagpost/", $file), include_str!(concat!("../../../plugins/sdk/", $language, "/", $file)))),*]
    };
}

/// Files of a project: path and text.
type Files = &'static [(&'static str, &'static str)];

/// What every project has.
const COMMON: Files = &[
    (".gitignore", include_str!("../../../examples/exporters/project/gitignore")),
    ("README.md", include_str!("../../../examples/exporters/project/README.md")),
    ("test/config.yaml", include_str!("../../../examples/exporters/project/test/config.yaml")),
    ("test/events.jsonl", SAMPLE_EVENTS),
    ("test/golden.txt", include_str!("../../../examples/exporters/project/test/golden.txt")),
    ("test/replies.yaml", include_str!("../../../examples/exporters/project/test/replies.yaml")),
    ("wit/flagpost.wit", WIT),
];

const GO_SDK: Files = sdk!(
    "go": "go.mod" "flagpost.go" "managed.go" "internal/exporter/exporter.go" "internal/managed/managed.go" "internal/wit/runtime/runtime.go" "internal/wit/runtime/empty.s"
    "internal/wit/types/types.go" "internal/wit/exports/wit_exports/wit_exports.go"
    "internal/wit/managed_exports/wit_exports/wit_exports.go"
    "internal/wit/imports/flagpost_plugin_call/wit_bindings.go" "internal/wit/imports/flagpost_plugin_call/empty.s"
    "internal/wit/imports/flagpost_plugin_config/wit_bindings.go" "internal/wit/imports/flagpost_plugin_config/empty.s"
    "internal/wit/imports/flagpost_plugin_events/wit_bindings.go" "internal/wit/imports/flagpost_plugin_events/empty.s"
    "internal/wit/imports/flagpost_plugin_exporter/wit_bindings.go" "internal/wit/imports/flagpost_plugin_exporter/empty.s"
    "internal/wit/imports/flagpost_plugin_http/wit_bindings.go" "internal/wit/imports/flagpost_plugin_http/empty.s"
    "internal/wit/imports/flagpost_plugin_log/wit_bindings.go" "internal/wit/imports/flagpost_plugin_log/empty.s"
    "internal/wit/imports/flagpost_plugin_key_value/wit_bindings.go" "internal/wit/imports/flagpost_plugin_key_value/empty.s"
    "internal/wit/imports/flagpost_plugin_managed_exporter/wit_bindings.go" "internal/wit/imports/flagpost_plugin_managed_exporter/empty.s"
    "internal/wit/imports/flagpost_plugin_metrics/wit_bindings.go" "internal/wit/imports/flagpost_plugin_metrics/empty.s"
    "internal/wit/imports/flagpost_plugin_secrets/wit_bindings.go" "internal/wit/imports/flagpost_plugin_secrets/empty.s"
);

const RUST_SDK: Files = sdk!(
    "rust": "Cargo.toml" "src/batch.rs" "src/config.rs" "src/event.rs" "src/http.rs" "src/lib.rs" "src/plugin.rs"
);

/// What a new project is made of.
struct Template {
    /// The file that is the plugin.
    source: &'static str,
    /// Its own files.
    own: Vec<(&'static str, &'static str)>,
    /// What it would get from a registry, were it there.
    sdk: Files,
}

impl Template {
    fn of(language: Language, world: World) -> Template {
        let managed = world == World::Managed;
        let (source, own): (_, Files) = match language {
            Language::Rust if managed => ("src/lib.rs", example!("rust-managed": "Cargo.toml" "Cargo.lock" "src/lib.rs")),
            Language::Rust => ("src/lib.rs", example!("rust": "Cargo.toml" "Cargo.lock" "src/lib.rs")),
            Language::JavaScript => ("plugin.js", example!("javascript": "package.json" "package-lock.json" "plugin.js")),
            Language::TypeScript => {
                ("plugin.ts", example!("typescript": "package.json" "package-lock.json" "tsconfig.json" "flagpost.d.ts" "plugin.ts"))
            }
            Language::Python => ("plugin.py", example!("python": "requirements.txt" "plugin.py")),
            Language::Go => ("plugin.go", example!("go": "go.mod" "plugin.go")),
            Language::C => ("plugin.c", example!("c": "requirements.txt" "plugin.c")),
        };
        let mut own = own.to_vec();
        if managed && language != Language::Rust {
            // The same project around another source.
            own.retain(|(file, _)| *file != source);
            own.extend(MANAGED.iter().filter(|(file, _)| *file == source));
            own.push((WORLD_FILE, "managed-plugin\n"));
        }
        let sdk = match language {
            Language::Go => GO_SDK,
            Language::Rust if managed => RUST_SDK,
            _ => &[],
        };
        Template { source, own, sdk }
    }
}

/// The full contract's plugins, by the file that each of them is.
const MANAGED: Files = example!("managed": "plugin.js" "plugin.ts" "plugin.py" "plugin.go" "plugin.c");

/// A project was not made.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// A name that not all toolchains take.
    #[error(
        "`{name}` is no name for a plugin: expected lower case letters, digits and `-`, beginning with a letter, at most {MAX_NAME}: acme-events"
    )]
    Name {
        /// It.
        name: String,
    },
    /// There is something.
    #[error("{}: is there already and not empty; choose another name, or remove it", path.display())]
    Taken {
        /// The directory.
        path: PathBuf,
    },
    /// A file.
    #[error("{}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Makes a project in `parent/name`, which must not be there or be empty. Returns its directory.
///
/// # Errors
///
/// The name does not do, the directory is taken, or cannot be written.
pub fn create(parent: &Path, name: &str, language: Language, world: World) -> Result<PathBuf, ProjectError> {
    let good = |at: usize, c: char| c.is_ascii_lowercase() || (at > 0 && (c.is_ascii_digit() || c == '-'));
    if name.is_empty() || name.len() > MAX_NAME || name.ends_with('-') || !name.char_indices().all(|(at, c)| good(at, c)) {
        return Err(ProjectError::Name { name: name.to_owned() });
    }
    let directory = parent.join(name);
    if fs::read_dir(&directory).is_ok_and(|mut entries| entries.next().is_some()) || directory.is_file() {
        return Err(ProjectError::Taken { path: directory });
    }
    let Template { source, own, sdk } = Template::of(language, world);
    let own = COMMON.iter().chain(&own).map(|(path, text)| (path, renamed(text, name, language, world, source)));
    for (path, text) in own.chain(sdk.iter().map(|(path, text)| (path, inside(text)))) {
        let path = directory.join(path);
        let io = |source| ProjectError::Io { path: path.clone(), source };
        fs::create_dir_all(path.parent().unwrap_or(&directory)).map_err(io)?;
        fs::write(&path, text).map_err(io)?;
    }
    Ok(directory)
}

/// An example's text in a project's place: its name, and where it finds what the repository has elsewhere.
fn renamed(text: &str, name: &str, language: Language, world: World, source: &str) -> String {
    let mut text = text.to_owned();
    for known in NAMES {
        text = text.replace(known, name).replace(&known.replace('-', "_"), &name.replace('-', "_"));
    }
    text.replace("../../../plugins/sdk/go", "./flagpost")
        .replace("../../../plugins/sdk/rust", "flagpost")
        .replace("../../../wit", "wit")
        .replace("--world plugin ", &format!("--world {world} "))
        .replace("LANGUAGE", &language.to_string())
        .replace("SOURCE", source)
}

/// A file of an SDK inside of a project: it finds the project's contract, and is a part of the project's workspace.
fn inside(text: &str) -> String {
    let text = text.split_once("\n# A workspace of its own").map_or(text, |(before, _)| before);
    text.replace("../../../wit", "../wit")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_project_is_recognised_as_what_it_was_made_as_and_bears_its_name_only() {
        let parent = tempfile::tempdir().unwrap();
        for (language, world) in Language::ALL.into_iter().flat_map(|language| World::ALL.map(|world| (language, world))) {
            let name = format!("acme-{}-{world}", language.short());
            let directory = create(parent.path(), &name, language, world).unwrap();
            assert_eq!(Language::of(&directory), Some(language));
            let template = Template::of(language, world);
            assert!(template.own.iter().any(|(file, _)| *file == template.source), "{name}");
            for (file, _) in COMMON.iter().chain(&template.own).chain(template.sdk) {
                let text = fs::read_to_string(directory.join(file)).unwrap();
                assert!(!NAMES.iter().any(|other| text.contains(other)) && !text.contains("../../"), "{name}: {file}");
            }
            assert!(fs::read_to_string(directory.join("README.md")).unwrap().contains(&format!("in {language}")));
        }
    }

    #[test]
    fn nothing_that_is_there_is_overwritten() {
        let parent = tempfile::tempdir().unwrap();
        fs::create_dir(parent.path().join("acme")).unwrap();
        fs::write(parent.path().join("acme/notes"), "mine").unwrap();
        let error = create(parent.path(), "acme", Language::C, World::Plugin).unwrap_err();
        assert!(error.to_string().contains("not empty"), "{error}");
        assert_eq!(fs::read_dir(parent.path().join("acme")).unwrap().count(), 1);
    }

    #[test]
    fn a_name_must_do_for_every_toolchain() {
        let parent = tempfile::tempdir().unwrap();
        for name in ["", "Acme", "7up", "a/b", "..", "acme-", "a_b", "ä"] {
            let error = create(parent.path(), name, Language::Go, World::Plugin).unwrap_err();
            assert!(matches!(error, ProjectError::Name { .. }), "{name}: {error}");
        }
    }
}
