//! Exporters: the contract every destination fulfils, and the built-in destinations, one folder each.
//!
//! An exporter sends one batch and says what became of it. Waiting, retrying, dead letters and cursors belong to delivery; an exporter
//! never touches the spool or HTTP routes of the relay.

#[cfg(feature = "aws")]
mod aws;
#[cfg(feature = "azure")]
mod azure;
#[cfg(feature = "bigquery")]
mod bigquery;
mod chain;
mod config;
mod file;
mod format;
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "google")]
mod google;
#[cfg(feature = "googlestorage")]
mod googlestorage;
#[cfg(feature = "kafka")]
mod kafka;
mod kind;
#[cfg(feature = "kinesis")]
mod kinesis;
#[cfg(not(all(
    feature = "azure",
    feature = "bigquery",
    feature = "googlestorage",
    feature = "kafka",
    feature = "kinesis",
    feature = "opentelemetry",
    feature = "pubsub",
    feature = "s3",
    feature = "sqs"
)))]
mod left_out;
mod log;
mod name;
#[cfg_attr(
    not(any(feature = "azure", feature = "googlestorage", feature = "s3")),
    allow(dead_code, unused_imports, reason = "its keys are known to a build without object stores, too")
)]
mod objects;
#[cfg(feature = "opentelemetry")]
mod opentelemetry;
mod otel;
mod outcome;
#[cfg(feature = "pubsub")]
mod pubsub;
#[cfg(feature = "s3")]
mod s3;
mod sink;
#[cfg(feature = "sqs")]
mod sqs;
mod template;
mod tls;
mod webhook;

pub use chain::{chain, chain_without_url};
pub use config::{ConfigError, ConfigProblem};
pub use flagpost_settings::{Node, Secret};
pub use kind::{BuildContext, BuildFn, Built, KindInfo, kinds};
pub use otel::{Otel, OtelEndpoint};
pub use outcome::{ExportError, ProbeError, RejectedEvent};
pub use sink::{LineSink, StderrLines};
pub use tls::install_crypto;

use std::time::Duration;

use async_trait::async_trait;
use flagpost_event::{BatchId, EventBatch, ObjectPlan, StreamName};
use tokio::sync::watch;

/// A destination of events: a built-in kind, a WebAssembly component, or a Rust type of an embedding program.
#[async_trait]
pub trait Exporter: Send + Sync + 'static {
    /// `true`: batches by size or interval. `false`: events as they become durable (streaming). Asked whenever the exporter is ready.
    fn is_bulk(&self) -> bool;

    /// Sends the batch. `Ok` means: all of it is safe at the destination. The future may be dropped at any await point; the same batch
    /// then comes again.
    async fn export(&self, batch: &EventBatch) -> Result<(), ExportError>;

    /// What one call may carry.
    fn limits(&self) -> Limits {
        Limits::default()
    }

    /// Whether batches may be given now. `None`: always. A WebAssembly exporter is not ready while it compiles.
    fn readiness(&self) -> Option<watch::Receiver<Readiness>> {
        None
    }

    /// Where objects go, for exporters that write one object or file per batch: two exporters with the same destination never get the
    /// same timestamp. `None`: the exporter plans no objects.
    fn destination(&self) -> Option<String> {
        None
    }

    /// The object for a new batch; called once per batch, before its first attempt, only when there is a [destination](Self::destination).
    async fn plan(&self, facts: &PlanFacts<'_>) -> Result<Option<ObjectPlan>, ExportError> {
        let _ = facts;
        Ok(None)
    }

    /// What [`probe`](Self::probe) did when it went well, in words for people: `connected to the server`.
    fn tries(&self) -> &'static str {
        ""
    }

    /// Checks credentials and target without writing an event. Ends within [`DEFAULT_TIMEOUT`]; the error says what was tried, what came
    /// back and what to do.
    async fn probe(&self) -> Result<(), ProbeError> {
        Ok(())
    }

    /// Frees what the exporter holds. Nothing is exported afterwards.
    async fn close(&self) {}
}

/// Whether an exporter can be given batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Batches may come. `generation` rises when another implementation took over: a batch that failed before starts anew, same id.
    Ready {
        /// Counts implementations, from 1.
        generation: u64,
    },
    /// Being prepared (compiling); events wait.
    Preparing,
    /// Cannot run until something outside changes; events wait.
    Invalid {
        /// What is wrong and what to do.
        reason: String,
    },
}

/// What one call of [`Exporter::export`] may carry. Delivery cuts at the smallest of these and the operator's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most events in one call.
    pub max_events: usize,
    /// Most bytes of JSON lines in one call; one larger event alone is still handed over.
    pub max_bytes: usize,
    /// Calls at the same time; above 1 only with `ordered: false`.
    pub concurrency: usize,
    /// Whether the next batch waits for the one before.
    pub ordered: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_events: usize::MAX, max_bytes: MAX_BATCH_BYTES, concurrency: 1, ordered: true }
    }
}

/// No batch is larger, whatever the settings say: memory per exporter stays bounded. Bytes of JSON lines.
pub const MAX_BATCH_BYTES: usize = 16 << 20;

/// How long one attempt may take when the exporter's own settings say nothing.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// What is known when an object is named.
#[derive(Clone, Copy, Debug)]
pub struct PlanFacts<'a> {
    /// The batch to name an object for.
    pub batch: &'a BatchId,
    /// Its stream.
    pub stream: &'a StreamName,
    /// Unix seconds; rises by at least one for each object of a destination.
    pub timestamp: u64,
}
