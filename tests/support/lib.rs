//! What end-to-end tests stand on: the real program as a child process, real servers as its targets, and the sums that must hold.
//!
//! Nothing here sleeps for a result. [`until`] asks again and again whether a condition holds; its limit only keeps a broken program from
//! hanging the tests.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

mod authors;
mod build;
mod evaluation;
mod events;
mod faults;
mod files;
mod flow;
mod guests;
mod metrics;
mod program;
mod relay;
pub mod servers;
mod setup;
mod store;
mod target;
mod upstream;

pub use authors::Author;
pub use build::{evil_plugin, example_plugin, first_party, probe_plugin, program_path, versioned_plugin};
pub use evaluation::{Asked, Evaluation, Flags};
pub use events::{body, event, event_number, events, poison, sorted, tracking};
pub use faults::{Faults, Gate, GrpcFaults, GrpcRefusal, Rule, Seen, protobuf_fields, protobuf_text};
pub use files::{assert_lines, json_files, lines_in};
pub use flow::Flow;
pub use guests::{Guest, guest};
pub use metrics::{Counts, Metrics};
pub use program::{Finished, Program, flagpost};
pub use relay::{Client, client};
pub use setup::{Setup, free_port};
pub use store::{Books, books};
pub use target::{Answer, Received, Target};
pub use upstream::Upstream;

use std::time::Duration;

/// The limit of every wait: far beyond what anything here takes, so that only a program that hangs meets it.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until `check` gives something. Panics with `what` when it never does.
pub async fn until<T, F>(what: &str, mut check: F) -> T
where
    F: AsyncFnMut() -> Option<T>,
{
    let asking = async {
        loop {
            if let Some(found) = check().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(found) => found,
        Err(_) => panic!("waited in vain: {what}"),
    }
}
