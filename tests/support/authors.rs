//! An author's machine: the program's `plugin` commands, and toolchains that `scripts/guests.sh` installed out of their registries.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::servers::{installed, tools};
use crate::{Finished, Setup, program_path};

/// A language as `--lang` calls it, and what of its toolchain `scripts/guests.sh` installs: a directory of the project, and where that stands.
const LANGUAGES: [(&str, Option<(&str, &str)>); 6] = [
    ("rust", None),
    ("js", Some(("node_modules", "guest-js"))),
    ("ts", Some(("node_modules", "guest-ts"))),
    ("python", Some((".venv", "guest-python"))),
    ("go", None),
    ("c", Some((".venv", "guest-c"))),
];

/// A directory in which an author works.
#[derive(Debug)]
pub struct Author {
    directory: PathBuf,
    cache: PathBuf,
}

impl Author {
    /// An author in a directory.
    pub fn at(directory: impl Into<PathBuf>) -> Author {
        Author::with_cache(directory, "guests-cache")
    }

    /// An author whose compiled code is kept apart, in the target directory under that name.
    pub fn with_cache(directory: impl Into<PathBuf>, name: &str) -> Author {
        // What the commands compile is kept between runs of the tests.
        Author { directory: directory.into(), cache: tools().with_file_name(name) }
    }

    /// Runs `flagpost plugin` with these arguments to its end. Compiled code is kept between runs of the tests.
    pub fn run(&self, arguments: &[&str]) -> Finished {
        self.run_with(arguments, &[])
    }

    /// The same with more in the environment.
    pub fn run_with(&self, arguments: &[&str], env: &[(&str, &str)]) -> Finished {
        let mut command = Command::new(program_path());
        command.current_dir(&self.directory).arg("plugin").args(arguments).env("XDG_CACHE_HOME", &self.cache);
        // Dependencies of Rust projects are compiled once for all of them.
        command.env("CARGO_TARGET_DIR", tools().with_file_name("guests")).envs(env.iter().copied());
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        Finished { status: output.status, text }
    }

    /// Runs it and expects success; gives what it printed.
    pub fn good(&self, arguments: &[&str]) -> String {
        let finished = self.run(arguments);
        assert!(finished.status.success(), "flagpost plugin {}: {}\n{}", arguments.join(" "), finished.status, finished.text);
        finished.text
    }

    /// Gives a relay that was not started yet what the commands have compiled: minutes on a busy machine, for the larger languages.
    pub fn warms(&self, setup: &Setup) {
        let cache = setup.store().join("cache");
        DirBuilder::new().recursive(true).mode(0o700).create(&cache).unwrap();
        for entry in std::fs::read_dir(self.cache.join("flagpost/plugins")).unwrap() {
            let entry = entry.unwrap();
            // What another test is just writing may be gone.
            let _copied = std::fs::copy(entry.path(), cache.join(entry.file_name()));
        }
    }

    /// Makes a project of a world and builds it; gives the component. `None`: the language's toolchain is not there, and the test may be skipped.
    pub fn project(&self, language: &str, world: &str, name: &str) -> Option<PathBuf> {
        let (_, toolchain) = LANGUAGES.iter().find(|(short, _)| *short == language).expect("a language");
        let toolchain = match toolchain {
            Some((link, tool)) => Some((*link, installed(tool)?)),
            None => None,
        };
        self.good(&["new", "--lang", language, "--world", world, name]);
        let project = self.directory.join(name);
        if let Some((link, tool)) = toolchain {
            holds_the_same(&project, &tool);
            // What `build` would install by itself, out of the registry, for a minute.
            std::os::unix::fs::symlink(tool.join(link), project.join(link)).unwrap();
        }
        let text = self.good(&["build", name]);
        let component = project.join(format!("{name}.wasm"));
        assert!(text.contains(&format!("{name}/{name}.wasm: ")), "{text}");
        assert!(component.is_file(), "{text}");
        Some(component)
    }
}

/// The installed toolchain is the one that the project pins.
fn holds_the_same(project: &Path, tool: &Path) {
    for pins in ["package-lock.json", "requirements.txt"] {
        let Ok(own) = std::fs::read_to_string(project.join(pins)) else { continue };
        let name = project.file_name().unwrap().to_str().unwrap();
        let installed = std::fs::read_to_string(tool.join(pins)).unwrap();
        assert_eq!(own.replace(name, "post-json"), installed, "{}: run scripts/guests.sh", tool.display());
    }
}
