//! What a plugin's author needs beside the relay: projects in every language, the way from a project to a component, and what a component
//! is. Runs no guest and knows no relay; `flagpost plugin …` prints what this finds.
//!
//! # Layout
//!
//! ```text
//! language   the six languages: names, and how a project of each is recognised
//! project    a new project: the example exporter of `examples/exporters` under another name
//! build      a project to a component, by the language's own toolchain
//! inspect    what a component exports, imports and says of itself
//! contract   the text of `wit/flagpost.wit`, and worlds out of it
//! ```
//!
//! # Toolchains
//!
//! A toolchain comes from its language's own registry, pinned by the project (lock file, `requirements.txt`), into the project's directory;
//! what belongs to the machine (compilers, package managers) is never installed by us: its absence is an error that says how. C and Go have
//! no componentizer of their own, so generating their bindings, and turning the core module that their compiler makes into a component,
//! is done here.

pub mod build;
mod contract;
mod inspect;
mod language;
mod project;

pub use contract::{WIT, World};
pub use inspect::{Component, InspectError, inspect};
pub use language::Language;
pub use project::{ProjectError, SAMPLE_EVENTS, create};
