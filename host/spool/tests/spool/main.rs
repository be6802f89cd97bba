//! The disk log against crashes, broken disks and damaged files, with an oracle that knows every event.

#![allow(clippy::unwrap_used)]

mod bytes;
mod crash;
mod faults;
mod flips;
mod format;
mod hostile;
mod oracle;
mod shapes;
mod world;
