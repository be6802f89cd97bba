//! What the log counts about itself. Cheap to clone: all clones count into the same numbers.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// The log's metrics.
#[derive(Clone, Debug)]
pub struct LogStats {
    /// How long each sync took.
    pub sync_seconds: Histogram,
    /// Bytes of lines in each group.
    pub group_bytes: Histogram,
    /// How long the oldest request of each group waited for its answer.
    pub queue_age_seconds: Histogram,
    /// Segments that exist.
    pub segments: Gauge,
    /// Events that were found damaged since the start.
    pub damaged_events: Counter,
}

impl Default for LogStats {
    fn default() -> Self {
        LogStats {
            // 32 us to 2 s.
            sync_seconds: Histogram::new(exponential_buckets(32e-6, 2.0, 17)),
            // 256 B to 4 MiB and above.
            group_bytes: Histogram::new(exponential_buckets(256.0, 4.0, 8)),
            // 64 us to 8 s.
            queue_age_seconds: Histogram::new(exponential_buckets(64e-6, 2.0, 18)),
            segments: Gauge::default(),
            damaged_events: Counter::default(),
        }
    }
}

impl LogStats {
    /// Registers everything as `spool_…`; the registry adds the program's prefix.
    pub fn register(&self, registry: &mut Registry) {
        let seconds = || Unit::Seconds;
        registry.register_with_unit("spool_sync", "How long each sync of the event log took", seconds(), self.sync_seconds.clone());
        registry.register_with_unit("spool_group", "Bytes of events in each sync", Unit::Bytes, self.group_bytes.clone());
        let help = "How long the oldest request of each sync waited";
        registry.register_with_unit("spool_queue_age", help, seconds(), self.queue_age_seconds.clone());
        registry.register("spool_segments", "Segments of the event log", self.segments.clone());
        registry.register("spool_damaged_events", "Stored events found damaged since the start", self.damaged_events.clone());
    }

    pub(crate) fn sync(&self, took: Duration) {
        self.sync_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn group(&self, bytes: usize, age: Duration) {
        self.group_bytes.observe(bytes as f64);
        self.queue_age_seconds.observe(age.as_secs_f64());
    }

    pub(crate) fn segments(&self, count: usize) {
        self.segments.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
