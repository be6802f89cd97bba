//! Python: `componentize-py`, from the project's virtual environment or the path.

use std::process::Command;

use super::tool::{Tool, in_venv, make_venv};
use super::{BuildError, Job, read};
use crate::Language;

const COMPONENTIZE: Tool = Tool { what: "componentize-py", language: Language::Python, install: "`pip install componentize-py==0.25.1`" };

pub(super) fn build(job: &Job<'_>) -> Result<Vec<u8>, BuildError> {
    let own = in_venv(job, "componentize-py");
    let named = "componentize-py";
    let on_path = || Tool::answers(Command::new(named).arg("--version"));
    let mut command = if own.exists() {
        Command::new(own)
    } else if on_path() {
        Command::new(named)
    } else {
        make_venv(job, Language::Python)?;
        Command::new(own)
    };
    let output = job.scratch("component.wasm");
    bindings(job, &command)?;
    command.arg("--wit-path").arg(job.wit).args(["--world", job.world, "componentize", "plugin", "--output"]).arg(&output);
    COMPONENTIZE.run(job, &mut command)?;
    read(&output)
}

/// The modules that the build brings (`wit_world`, `componentize_py_types`), as files: for editors, and for people who look up a name.
fn bindings(job: &Job<'_>, tool: &Command) -> Result<(), BuildError> {
    let directory = job.scratch("bindings");
    match std::fs::remove_dir_all(&directory) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => return Err(BuildError::Io { path: directory, source }),
        _ => {}
    }
    let mut command = Command::new(tool.get_program());
    command.arg("--wit-path").arg(job.wit).args(["--world", job.world, "bindings"]).arg(&directory);
    COMPONENTIZE.run(job, &mut command)?;
    Ok(())
}
