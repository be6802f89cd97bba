//! The real program from outside: requests in, files and webhooks out, and everything that can go wrong between.

#![allow(clippy::unwrap_used)]

mod author_commands;
mod authors;
mod batches;
mod bookkeeping;
mod clients;
mod command_line;
mod differences;
mod drain;
mod formats;
mod identity;
mod intake;
mod kafka;
mod kill;
mod logging;
mod neighbours;
mod pass_through;
mod plugins;
mod poison;
mod readers;
mod reload;
mod replace;
mod shutdown;
mod surface;
mod tenants;
mod tls;
