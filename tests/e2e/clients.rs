//! GO Feature Flag's published clients, unchanged, evaluate through a running relay, and their events come out of `file`.
//!
//! The programs around the clients are in `tests/clients`; what evaluates behind the relay is [`Evaluation`](flagpost_tests::Evaluation).

mod delivery;
mod kind;
mod outage;
mod passing;
mod shop;
mod subject;

use flagpost_tests::{Evaluation, Program, Setup, lines_in};
use serde_json::Value;

use kind::Kind;
use subject::Subject;

/// A running relay between a client's program and the stand-in that evaluates.
struct Between {
    // Ended in this order.
    client: Subject,
    relay: Program,
    evaluation: Evaluation,
    setup: Setup,
}

/// The key that clients send.
const KEY: &str = "key-of-the-shop";

/// Feature events come out of `out`, tracking events out of `tracked`.
const FILES: &str = "  - { kind: file, name: out, outputDir: out, flushInterval: 20 }\n  \
                     - { kind: file, name: tracked, outputDir: tracked, eventType: tracking, flushInterval: 20 }";

impl Between {
    /// Starts everything; `None` when the client is not installed.
    async fn start(kind: Kind) -> Option<Between> {
        Between::start_with(kind, "", FILES).await
    }

    /// The same with another relay.
    async fn start_with(kind: Kind, head: &str, exporters: &str) -> Option<Between> {
        kind.installed()?;
        let evaluation = Evaluation::start(shop::flags()).await;
        let head = format!("upstream: {{ url: \"{}\" }}\n{head}", evaluation.url());
        let setup = Setup::new().with_head(&head).with_exporters(exporters);
        let relay = Program::start(&setup).await;
        let client = Subject::start(kind, &setup, relay.url("")).await;
        Some(Between { client, relay, evaluation, setup })
    }

    /// The events that came out of an exporter, in the order of their texts.
    fn events(&self, directory: &str) -> Vec<Value> {
        let mut lines = lines_in(&self.setup.path(directory));
        lines.sort();
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
