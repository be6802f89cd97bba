//! What is wrong with a configuration: where, what, and what to do.

use std::fmt;
use std::path::{Path, PathBuf};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The relay does not start.
    Error,
    /// Said once; the relay starts.
    Warning,
}

/// One problem. Shown as `line: path: message; fix` after the file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The key's path, `exporters[2].retry.max`; empty for the file as a whole.
    pub path: String,
    /// The line in the file, from 1; 0 when it stands in no line.
    pub line: u32,
    /// What was found and what was expected.
    pub message: String,
    /// What to do; may be empty.
    pub fix: String,
}

impl Problem {
    pub(crate) fn error(path: impl Into<String>, line: u32, message: impl Into<String>, fix: impl Into<String>) -> Problem {
        Problem { severity: Severity::Error, path: path.into(), line, message: message.into(), fix: fix.into() }
    }

    /// The problem after its file's name: `file:line: path: message; fix`.
    pub fn in_file(&self, file: &Path) -> String {
        let separator = if self.line > 0 { ":" } else { ": " };
        format!("{}{separator}{self}", file.display())
    }

    pub(crate) fn warning(path: impl Into<String>, line: u32, message: impl Into<String>, fix: impl Into<String>) -> Problem {
        Problem { severity: Severity::Warning, ..Problem::error(path, line, message, fix) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "{}: ", self.line)?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        f.write_str(&self.message)?;
        if !self.fix.is_empty() {
            write!(f, "; {}", self.fix)?;
        }
        Ok(())
    }
}

/// All that is wrong with a configuration, in the file's order. One line per problem: `file:line: path: message; fix`.
#[derive(Debug)]
pub struct ConfigError {
    /// The file; `None` for a configuration that stands in no file.
    pub file: Option<PathBuf>,
    /// The problems, warnings included; at least one is an error.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.problems.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            match &self.file {
                Some(file) => f.write_str(&problem.in_file(file))?,
                None => write!(f, "{problem}")?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Problems as they are found.
#[derive(Default)]
pub(crate) struct Problems {
    found: Vec<Problem>,
}

impl Problems {
    pub(crate) fn push(&mut self, problem: Problem) {
        if !self.found.contains(&problem) {
            self.found.push(problem);
        }
    }

    pub(crate) fn error(&mut self, path: impl Into<String>, line: u32, message: impl Into<String>, fix: impl Into<String>) {
        self.push(Problem::error(path, line, message, fix));
    }

    pub(crate) fn warning(&mut self, path: impl Into<String>, line: u32, message: impl Into<String>, fix: impl Into<String>) {
        self.push(Problem::warning(path, line, message, fix));
    }

    /// Whether one of them is an error.
    pub(crate) fn has_errors(&self) -> bool {
        self.found.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// All of them in the file's order, and whether one of them is an error.
    pub(crate) fn finish(mut self) -> (Vec<Problem>, bool) {
        self.found.sort_by_key(|problem| problem.line);
        let fatal = self.has_errors();
        (self.found, fatal)
    }
}
