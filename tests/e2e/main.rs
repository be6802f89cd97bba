//! The real program from outside: requests in, files and webhooks out, and everything that can go wrong between.

#![allow(clippy::unwrap_used)]

mod batches;
mod command_line;
mod identity;
mod intake;
mod kafka;
mod kill;
mod neighbours;
mod pass_through;
mod plugins;
mod poison;
mod shutdown;
