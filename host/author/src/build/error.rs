//! What can go wrong on the way to a component.

use std::path::PathBuf;

use crate::Language;

/// A project was not built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No project.
    #[error(
        "{}: no plugin project: expected one of {} in it; `flagpost plugin new --lang LANGUAGE NAME` makes one",
        path.display(), Language::marks().collect::<Vec<_>>().join(", ")
    )]
    NoProject {
        /// The directory.
        path: PathBuf,
    },
    /// A program is not there.
    #[error("{what} is not installed, and {language} plugins are built with it. To install it: {install}")]
    Missing {
        /// The program.
        what: &'static str,
        /// Whose toolchain it belongs to.
        language: Language,
        /// A command, or a place.
        install: &'static str,
    },
    /// A program ended with a failure.
    #[error("`{command}` failed ({status}):\n{output}")]
    Failed {
        /// As it was called.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it printed.
        output: String,
    },
    /// A program said that it was done, and left nothing.
    #[error("`{command}` succeeded and made no {what}; {fix}")]
    NoOutput {
        /// As it was called.
        command: String,
        /// What was expected.
        what: &'static str,
        /// What to do.
        fix: &'static str,
    },
    /// The contract's text or world.
    #[error("{}: world `{world}`: {reason}", path.display())]
    Contract {
        /// The directory of WIT files.
        path: PathBuf,
        /// The world asked for.
        world: String,
        /// wit-parser's words.
        reason: String,
    },
    /// The compiler's module does not become a component.
    #[error("what the compiler made does not become a component: {reason}")]
    Component {
        /// wit-component's words.
        reason: String,
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
