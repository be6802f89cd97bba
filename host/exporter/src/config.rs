//! Problems of an exporter's configuration, all at once, in upstream's words where it has some.

use std::fmt;

use flagpost_settings::{Place, Problems};

pub use flagpost_settings::Problem as ConfigProblem;

/// All problems of one exporter's configuration, warnings included; at least one is an error. Paths are relative to the exporter: `headers.X-Api-Key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// In the order in which they were found.
    pub problems: Vec<ConfigProblem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// What upstream says of a kind, with the start that all its sentences about exporters have.
pub(crate) fn invalid(problems: &mut Problems, key: &str, what: impl fmt::Display, help: impl Into<String>) {
    // A key that was complained about is wrong, not missing.
    if !problems.concern(key) {
        problems.error(key, Place::Nowhere, format!("invalid exporter: {what}"), help);
    }
}

/// Complains when a mandatory key has no value; `example` of one.
pub(crate) fn require(problems: &mut Problems, kind: &str, key: &str, value: &str, example: &str) {
    if value.is_empty() {
        invalid(problems, key, format_args!("no \"{key}\" property found for kind \"{kind}\""), format!("set `{key}: {example}`"));
    }
}
