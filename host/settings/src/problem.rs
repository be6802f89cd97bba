//! What is wrong with a configuration: where, what, and what to do.

use std::fmt;
use std::path::Path;

use crate::node::Place;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The relay does not start.
    Error,
    /// Said once; the relay starts.
    Warning,
}

/// One problem. Shown as `line: path: message; fix` after the file's name. It never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The key's path, `exporters[2].retry.max`; empty for the file as a whole.
    pub path: String,
    /// Where it stands.
    pub place: Place,
    /// What was found and what was expected.
    pub message: String,
    /// What to do; may be empty.
    pub fix: String,
}

impl Problem {
    /// One that keeps the relay from starting.
    pub fn error(path: impl Into<String>, place: impl Into<Place>, message: impl Into<String>, fix: impl Into<String>) -> Problem {
        Problem { severity: Severity::Error, path: path.into(), place: place.into(), message: message.into(), fix: fix.into() }
    }

    /// The problem after its file's name: `file:line: path: message; fix`. One of an environment variable has nothing to do with the file.
    pub fn in_file(&self, file: &Path) -> String {
        match self.place {
            Place::Line(_) => format!("{}:{self}", file.display()),
            Place::Nowhere => format!("{}: {self}", file.display()),
            Place::Variable(_) => self.to_string(),
        }
    }

    /// One that is said once.
    pub fn warning(path: impl Into<String>, place: impl Into<Place>, message: impl Into<String>, fix: impl Into<String>) -> Problem {
        Problem { severity: Severity::Warning, ..Problem::error(path, place, message, fix) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Nowhere => {}
            Place::Line(line) => write!(f, "{line}: ")?,
            Place::Variable(name) => write!(f, "environment variable {name}: ")?,
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

/// Problems as they are found.
#[derive(Debug, Default)]
pub struct Problems {
    found: Vec<Problem>,
}

impl Problems {
    /// Takes one; the same one only once.
    pub fn push(&mut self, problem: Problem) {
        if !self.found.contains(&problem) {
            self.found.push(problem);
        }
    }

    /// Takes an error.
    pub fn error(&mut self, path: impl Into<String>, place: impl Into<Place>, message: impl Into<String>, fix: impl Into<String>) {
        self.push(Problem::error(path, place, message, fix));
    }

    /// Takes a warning.
    pub fn warning(&mut self, path: impl Into<String>, place: impl Into<Place>, message: impl Into<String>, fix: impl Into<String>) {
        self.push(Problem::warning(path, place, message, fix));
    }

    /// Whether one of them is an error.
    pub fn has_errors(&self) -> bool {
        self.found.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Whether something was said about `path`, or below or above it: what is missing then is not missing.
    pub fn concern(&self, path: &str) -> bool {
        let below = |long: &str, short: &str| long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        self.found.iter().any(|problem| below(&problem.path, path) || (below(path, &problem.path) && !problem.path.is_empty()))
    }

    /// All of them in the file's order, and whether one of them is an error.
    pub fn finish(mut self) -> (Vec<Problem>, bool) {
        self.found.sort_by_key(|problem| match problem.place {
            Place::Variable(_) => u32::MAX,
            ref place => place.line(),
        });
        let fatal = self.has_errors();
        (self.found, fatal)
    }
}
