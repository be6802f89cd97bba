//! The real program from outside: requests in, files and webhooks out, and everything that can go wrong between.

#![allow(clippy::unwrap_used)]

mod author_commands;
mod authors;
mod aws;
mod azure;
mod batches;
mod bigquery;
mod bookkeeping;
mod clients;
mod codes;
mod command_line;
mod dead_letters;
mod differences;
mod distribution;
mod drain;
#[path = "../evil/mod.rs"]
mod evil;
mod first_party;
mod formats;
mod gcs;
mod grants;
mod identity;
mod intake;
mod kafka;
mod kill;
mod kinesis;
mod logging;
mod neighbours;
mod objects;
mod opentelemetry;
mod pass_through;
mod plugins;
mod poison;
mod probes;
mod pubsub;
mod readers;
mod reload;
mod replace;
mod s3;
mod shutdown;
mod sqs;
mod surface;
mod tenants;
mod tls;
