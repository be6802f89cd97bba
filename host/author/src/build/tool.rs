//! Programs of others: found, run, and their complaints passed on.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::{BuildError, Job};
use crate::Language;

/// A program, its language, and how to get it.
pub(super) struct Tool {
    pub(super) what: &'static str,
    pub(super) language: Language,
    pub(super) install: &'static str,
}

impl Tool {
    fn missing(&self) -> BuildError {
        BuildError::Missing { what: self.what, language: self.language, install: self.install }
    }

    /// Runs the command in the project's directory. Its output is shown only if it fails.
    pub(super) fn run(&self, job: &Job<'_>, command: &mut Command) -> Result<Output, BuildError> {
        command.current_dir(job.directory);
        let shown = shown(command, job.directory);
        (job.say)(&shown);
        let output = command.output().map_err(|source| match source.kind() {
            ErrorKind::NotFound => self.missing(),
            _ => BuildError::Io { path: command.get_program().into(), source },
        })?;
        if output.status.success() {
            return Ok(output);
        }
        let text = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        // Cargo's messages for programs are on its standard output, those for people beside them.
        let for_people = |line: &&str| !line.starts_with("{\"reason\":") && !line.trim().is_empty();
        let text = text.iter().flat_map(|text| text.lines()).filter(for_people).collect::<Vec<_>>().join("\n");
        Err(BuildError::Failed { command: shown, status: output.status, output: text })
    }

    /// Whether the program answers at all.
    pub(super) fn answers(command: &mut Command) -> bool {
        command.output().is_ok_and(|output| output.status.success())
    }
}

/// The command as one would type it in the project.
fn shown(command: &Command, directory: &Path) -> String {
    let word = |word: &OsStr| {
        let word = word.to_string_lossy();
        match Path::new(&*word).strip_prefix(directory) {
            Ok(below) if !below.as_os_str().is_empty() => below.display().to_string(),
            _ => word.into_owned(),
        }
    };
    let set = command.get_envs().filter_map(|(name, value)| Some(format!("{}={}", name.to_string_lossy(), word(value?))));
    set.chain(std::iter::once(word(command.get_program()))).chain(command.get_args().map(word)).collect::<Vec<_>>().join(" ")
}

/// A program of the project's own virtual environment.
pub(super) fn in_venv(job: &Job<'_>, name: &str) -> PathBuf {
    job.directory.join(".venv/bin").join(name)
}

/// Makes the project's virtual environment out of its `requirements.txt`.
pub(super) fn make_venv(job: &Job<'_>, language: Language) -> Result<(), BuildError> {
    let python =
        Tool { what: "Python 3", language, install: "`apt-get install python3 python3-venv`, or https://www.python.org/downloads/" };
    python.run(job, Command::new("python3").args(["-m", "venv", ".venv"]))?;
    python.run(job, Command::new(in_venv(job, "python")).args(["-m", "pip", "install", "--quiet", "-r", "requirements.txt"]))?;
    Ok(())
}
