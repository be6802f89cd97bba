//! The disk log against crashes, broken disks and damaged files, with an oracle that knows every event.

#![allow(clippy::unwrap_used)]

mod crash;
mod faults;
mod flips;
mod format;
mod oracle;
mod shapes;
mod world;
