//! What delivery is told: once for all exporters, and per exporter.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use flagpost_event::{Clock, StreamName};
use flagpost_exporter::Exporter;
use flagpost_spool::Identity;

/// What holds for all exporters.
#[derive(Clone, Debug)]
pub struct DeliveryOptions {
    /// The store's id, the first part of every batch id.
    pub store: String,
    /// Wall time. Waiting is done with `tokio::time`.
    pub clock: Arc<dyn Clock>,
    /// Seeds the jitter of all retries. The same seed gives the same pauses.
    pub seed: u64,
    /// `buffer.maxBytes`: above it the oldest events are given up, whoever waits for them. Bytes.
    pub max_bytes: u64,
    /// `buffer.keepRemoved`: how long the events of an exporter that is gone from the configuration are kept.
    pub keep_removed: Duration,
    /// Where workers run.
    pub runtime: tokio::runtime::Handle,
}

/// How one exporter is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `maxEventInMemory`: a bulk exporter gets a batch when this many events wait. Also the most events of one batch. 0 counts as 1.
    pub max_events: usize,
    /// `flushInterval`: a bulk exporter gets a batch when the oldest event has waited this long.
    pub flush_interval: Duration,
    /// `retry`: when a batch that failed comes again.
    pub retry: RetryPolicy,
    /// `maxBacklog`: how much may wait for this exporter. Bytes of JSON lines.
    pub max_backlog: u64,
    /// `whenFull`: what happens above that.
    pub when_full: WhenFull,
    /// `maxEventsPerCall`: the operator's limit on top of the exporter's own.
    pub max_events_per_call: Option<usize>,
    /// `ordered`: whether the next batch waits for the one before; without it as many are under way as the exporter takes. `None`: as
    /// [the exporter](flagpost_exporter::Limits::ordered) says.
    pub ordered: Option<bool>,
}

/// `maxEventInMemory` when the configuration says nothing: upstream's.
pub const DEFAULT_MAX_EVENTS: usize = 100_000;
/// `flushInterval` when the configuration says nothing: upstream's.
pub const DEFAULT_FLUSH_INTERVAL: Duration = Duration::from_secs(60);

impl Default for Policy {
    fn default() -> Self {
        Policy {
            max_events: DEFAULT_MAX_EVENTS,
            flush_interval: DEFAULT_FLUSH_INTERVAL,
            retry: RetryPolicy::default(),
            max_backlog: u64::MAX,
            when_full: WhenFull::DropOldest,
            max_events_per_call: None,
            ordered: None,
        }
    }
}

/// When a batch that failed comes again: exponential, with full jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The longest pause after the first failure; doubles with each further one.
    pub initial: Duration,
    /// No pause is longer, unless the destination asks for it.
    pub max: Duration,
    /// A batch that failed for this long is given up as `expired`. `None` or zero: never.
    pub max_elapsed: Option<Duration>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy { initial: Duration::from_millis(500), max: Duration::from_secs(60), max_elapsed: None }
    }
}

/// What happens when more than `maxBacklog` waits for an exporter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// The oldest events are given up for this exporter and counted.
    #[default]
    DropOldest,
    /// The collector refuses the flag set's events (429) until the exporter has caught up.
    Block,
}

/// One exporter reading one stream.
#[derive(Clone)]
pub struct TaskSpec {
    /// What its cursor belongs to.
    pub identity: Identity,
    /// Its kind, for logs and metrics.
    pub kind: String,
    /// What it reads.
    pub stream: StreamName,
    /// Where the events go.
    pub exporter: Arc<dyn Exporter>,
    /// How it is served.
    pub policy: Policy,
}

impl fmt::Debug for TaskSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskSpec")
            .field("identity", &self.identity)
            .field("kind", &self.kind)
            .field("stream", &self.stream)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
