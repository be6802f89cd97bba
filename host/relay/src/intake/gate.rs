//! Whether a request may be taken at all: the reasons for a 429, asked before anything is taken.
//!
//! Clients do not back off, and resend whole batches: a 429 is a last resort. It is given for an exporter that blocks by its own wish,
//! for a disk that is nearly full, and for a log that is behind.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flagpost_delivery::Admission;
use flagpost_spool::EventLog;

/// Above this many bytes that wait for a sync, requests are refused.
const MAX_QUEUED_BYTES: u64 = 16 << 20;
/// Above this age of the oldest of them, requests are refused.
const MAX_QUEUE_AGE: Duration = Duration::from_secs(5);
/// What a refused client is told to wait: a disk that is behind catches up in seconds, or not soon.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Free bytes when nothing is known.
const UNKNOWN: u64 = u64::MAX;

/// Why a request is refused, before anything of it was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The metric label.
    pub(crate) reason: &'static str,
    /// For the client.
    pub(crate) message: String,
    /// When it may come again.
    pub(crate) retry_after: Duration,
}

/// The gate of one relay. Cheap to clone; all clones are the same one.
#[derive(Clone)]
pub(crate) struct Gate {
    admission: Admission,
    log: Arc<dyn EventLog>,
    min_free: u64,
    /// Free bytes of the file system when they were last probed: not asked per request.
    free: Arc<AtomicU64>,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("min_free", &self.min_free).finish_non_exhaustive()
    }
}

impl Gate {
    /// A gate that keeps `min_free` bytes free (`buffer.minFree`).
    pub(crate) fn new(admission: Admission, log: Arc<dyn EventLog>, min_free: u64) -> Gate {
        let gate = Gate { admission, log, min_free, free: Arc::new(AtomicU64::new(UNKNOWN)) };
        gate.probe();
        gate
    }

    /// Asks the file system how much is free. Called once a second.
    pub(crate) fn probe(&self) {
        self.free.store(self.log.pressure().free_bytes.unwrap_or(UNKNOWN), Ordering::Relaxed);
    }

    /// Whether events of the flag set may be taken now.
    pub(crate) fn check(&self, flag_set: &str) -> Result<(), Refused> {
        self.check_disk()?;
        self.admission.check(flag_set).map_err(|blocked| Refused {
            reason: "blocked",
            message: blocked.to_string(),
            retry_after: blocked.retry_after,
        })
    }

    /// Whether the log can take more: what readiness asks, too.
    pub(crate) fn check_disk(&self) -> Result<(), Refused> {
        let free = self.free.load(Ordering::Relaxed);
        if free < self.min_free {
            let message = format!("the event log's disk has {free} bytes free, less than `buffer.minFree` ({})", self.min_free);
            return Err(Refused { reason: "disk_full", message, retry_after: RETRY_AFTER });
        }
        let pressure = self.log.pressure();
        if pressure.queued_bytes > MAX_QUEUED_BYTES || pressure.queue_age > MAX_QUEUE_AGE {
            let message = format!(
                "the event log is behind: {} bytes wait for the disk, the oldest for {} ms",
                pressure.queued_bytes,
                pressure.queue_age.as_millis()
            );
            return Err(Refused { reason: "log_behind", message, retry_after: RETRY_AFTER });
        }
        Ok(())
    }
}
