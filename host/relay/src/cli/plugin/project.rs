//! `flagpost plugin new` and `flagpost plugin build`.

use std::path::Path;
use std::process::ExitCode;

use flagpost_author::build::{self, Options};
use flagpost_author::{Language, World};

use crate::cli::{chain, complain, say};

pub(super) fn new(language: Language, world: World, name: &str) -> ExitCode {
    match flagpost_author::create(Path::new("."), name, language, world) {
        Ok(_) => {
            say(format_args!("{name}: a plugin in {language}; next: cd {name} && flagpost plugin build && flagpost plugin test"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(chain(&error));
            ExitCode::FAILURE
        }
    }
}

pub(super) fn build(project: &Path, output: Option<&Path>, world: Option<&str>) -> ExitCode {
    // As a shell would show them: who wants to do without us may copy them.
    let told = |command: &str| complain(format_args!("+ {command}"));
    match build::build(&Options { project, world, output, say: &told }) {
        Ok(built) => {
            say(format_args!("{}: {} bytes, {}", near(&built.path).display(), built.size, built.language));
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// The path as one would type it here.
fn near(path: &Path) -> &Path {
    let here = std::env::current_dir().ok();
    here.and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path)
}
