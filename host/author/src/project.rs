//! New projects: the example exporter of a language under another name. What authors get is what the tests build and run.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Language, WIT};

/// Sample events: one per line, of both kinds.
pub const SAMPLE_EVENTS: &str = include_str!("../../../examples/exporters/project/test/events.jsonl");

/// The examples' name, which the project's own takes the place of.
const NAME: &str = "post-json";

/// Longest name: it becomes a file, a crate, a package and a Go module.
const MAX_NAME: usize = 64;

macro_rules! example {
    ($language:literal: $($file:literal)*) => {
        &[$(($file, include_str!(concat!("../../../examples/exporters/", $language, "/", $file)))),*]
    };
}

macro_rules! go_sdk {
    ($($file:literal)*) => {
        &[$((concat!("flagpost/", $file), include_str!(concat!("../../../plugins/sdk/go/", $file)))),*]
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

const GO_SDK: Files = go_sdk!(
    "go.mod" "flagpost.go" "internal/exporter/exporter.go" "internal/wit/runtime/runtime.go" "internal/wit/runtime/empty.s"
    "internal/wit/types/types.go" "internal/wit/exports/wit_exports/wit_exports.go"
    "internal/wit/imports/flagpost_plugin_call/wit_bindings.go" "internal/wit/imports/flagpost_plugin_call/empty.s"
    "internal/wit/imports/flagpost_plugin_config/wit_bindings.go" "internal/wit/imports/flagpost_plugin_config/empty.s"
    "internal/wit/imports/flagpost_plugin_events/wit_bindings.go" "internal/wit/imports/flagpost_plugin_events/empty.s"
    "internal/wit/imports/flagpost_plugin_exporter/wit_bindings.go" "internal/wit/imports/flagpost_plugin_exporter/empty.s"
    "internal/wit/imports/flagpost_plugin_http/wit_bindings.go" "internal/wit/imports/flagpost_plugin_http/empty.s"
    "internal/wit/imports/flagpost_plugin_log/wit_bindings.go" "internal/wit/imports/flagpost_plugin_log/empty.s"
    "internal/wit/imports/flagpost_plugin_key_value/wit_bindings.go" "internal/wit/imports/flagpost_plugin_key_value/empty.s"
    "internal/wit/imports/flagpost_plugin_metrics/wit_bindings.go" "internal/wit/imports/flagpost_plugin_metrics/empty.s"
    "internal/wit/imports/flagpost_plugin_secrets/wit_bindings.go" "internal/wit/imports/flagpost_plugin_secrets/empty.s"
);

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
pub fn create(parent: &Path, name: &str, language: Language) -> Result<PathBuf, ProjectError> {
    let good = |at: usize, c: char| c.is_ascii_lowercase() || (at > 0 && (c.is_ascii_digit() || c == '-'));
    if name.is_empty() || name.len() > MAX_NAME || name.ends_with('-') || !name.char_indices().all(|(at, c)| good(at, c)) {
        return Err(ProjectError::Name { name: name.to_owned() });
    }
    let directory = parent.join(name);
    if fs::read_dir(&directory).is_ok_and(|mut entries| entries.next().is_some()) || directory.is_file() {
        return Err(ProjectError::Taken { path: directory });
    }
    let (source, own) = files(language);
    for (path, text) in COMMON.iter().chain(own).chain(if language == Language::Go { GO_SDK } else { &[] }) {
        let path = directory.join(path);
        let io = |source| ProjectError::Io { path: path.clone(), source };
        fs::create_dir_all(path.parent().unwrap_or(&directory)).map_err(io)?;
        fs::write(&path, renamed(text, name, language, source)).map_err(io)?;
    }
    Ok(directory)
}

/// The file that is the plugin, and the files of the language's example.
fn files(language: Language) -> (&'static str, Files) {
    match language {
        Language::Rust => ("src/lib.rs", example!("rust": "Cargo.toml" "Cargo.lock" "src/lib.rs")),
        Language::JavaScript => ("plugin.js", example!("javascript": "package.json" "package-lock.json" "plugin.js")),
        Language::TypeScript => {
            ("plugin.ts", example!("typescript": "package.json" "package-lock.json" "tsconfig.json" "flagpost.d.ts" "plugin.ts"))
        }
        Language::Python => ("plugin.py", example!("python": "requirements.txt" "plugin.py")),
        Language::Go => ("plugin.go", example!("go": "go.mod" "plugin.go")),
        Language::C => ("plugin.c", example!("c": "requirements.txt" "plugin.c")),
    }
}

/// An example's text in a project's place: its name, and where it finds what the repository has elsewhere.
fn renamed(text: &str, name: &str, language: Language, source: &str) -> String {
    text.replace(NAME, name)
        .replace(&NAME.replace('-', "_"), &name.replace('-', "_"))
        .replace("../../../plugins/sdk/go", "./flagpost")
        .replace("../../../wit", "wit")
        .replace("LANGUAGE", &language.to_string())
        .replace("SOURCE", source)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_project_is_recognised_as_what_it_was_made_as_and_bears_its_name_only() {
        let parent = tempfile::tempdir().unwrap();
        for language in Language::ALL {
            let name = format!("acme-{}", language.short());
            let directory = create(parent.path(), &name, language).unwrap();
            assert_eq!(Language::of(&directory), Some(language));
            for (file, _) in COMMON.iter().chain(files(language).1) {
                let text = fs::read_to_string(directory.join(file)).unwrap();
                assert!(!text.contains(NAME) && !text.contains("../../"), "{language}: {file}");
            }
            assert!(fs::read_to_string(directory.join("README.md")).unwrap().contains(&format!("in {language}")));
        }
    }

    #[test]
    fn nothing_that_is_there_is_overwritten() {
        let parent = tempfile::tempdir().unwrap();
        fs::create_dir(parent.path().join("acme")).unwrap();
        fs::write(parent.path().join("acme/notes"), "mine").unwrap();
        let error = create(parent.path(), "acme", Language::C).unwrap_err();
        assert!(error.to_string().contains("not empty"), "{error}");
        assert_eq!(fs::read_dir(parent.path().join("acme")).unwrap().count(), 1);
    }

    #[test]
    fn a_name_must_do_for_every_toolchain() {
        let parent = tempfile::tempdir().unwrap();
        for name in ["", "Acme", "7up", "a/b", "..", "acme-", "a_b", "ä"] {
            let error = create(parent.path(), name, Language::Go).unwrap_err();
            assert!(matches!(error, ProjectError::Name { .. }), "{name}: {error}");
        }
    }
}
