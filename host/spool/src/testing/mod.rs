//! For tests, here and in other crates: a disk that crashes, tears, fills up and breaks.

mod files;
mod sim;

pub use sim::{Fault, SimDisk};
