//! What is wrong with a configuration as a whole.

use std::fmt;
use std::path::PathBuf;

use flagpost_settings::Problem;

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
