//! Settings out of trees: typed structs from values that know where they stand, with all that is wrong said at once.
//!
//! A configuration, in whatever format and from whatever source, becomes a [`Node`] tree first: each value with its [`Place`], a line of the
//! file or an environment variable. A section is a serde struct that also has a JSON schema: its doc comments are the reference, its
//! `Default` holds the defaults, its fields are the known keys. [`decode`] fills it and collects [`Problems`] instead of stopping at the
//! first. So every room that has keys (the relay's own, each kind of exporter) writes them down once.

mod decode;
mod fields;
mod keys;
mod node;
mod problem;
mod secret;
mod units;

pub use decode::{Unknown, decode, decode_with, join};
pub use fields::{fields, schema};
pub use keys::{did_you_mean, find, is_private, list, unknown};
pub use node::{Data, Entry, Meaning, Node, Place, Scalar, same_key};
pub use problem::{Problem, Problems, Severity};
pub use secret::Secret;
pub use units::{Millis, Size, Span};
