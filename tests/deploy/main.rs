//! What ships beside the program: container, chart, units, documentation. Each is tried as far as a machine without a container engine,
//! a cluster or systemd as its first process can.

#![allow(clippy::unwrap_used)]

mod container;
mod docs;
mod helm;
mod notify;
mod sandbox;
mod systemd;
mod tools;
