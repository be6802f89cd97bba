//! Whether a request may be taken at all: the reasons for a 429, asked before anything is taken.
//!
//! Clients do not back off, and resend whole batches: a 429 is a last resort. It is given for an exporter that blocks by its own wish,
//! for a disk that is nearly full, and for a log that is behind.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use flagpost_delivery::Admission;
use flagpost_spool::Pressure;

/// Above this many bytes that wait for a sync, requests are refused.
const MAX_QUEUED_BYTES: u64 = 16 << 20;
/// Above this age of the oldest of them, requests are refused.
const MAX_QUEUE_AGE: Duration = Duration::from_secs(5);
/// What a refused client is told to wait: a disk that is behind catches up in seconds, or not soon.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// The log is asked at most this often: at 100 MB/s, what comes in between is a megabyte.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// Why a request is refused, before anything of it was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// For the client.
    pub(crate) message: String,
    /// When it may come again.
    pub(crate) retry_after: Duration,
}

/// Asks the log how far it is behind.
pub(crate) type Ask = Box<dyn Fn() -> Pressure + Send + Sync>;

/// The gate of one relay. Cheap to clone; all clones are the same one.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Inner>);

struct Inner {
    admission: Admission,
    ask: Ask,
    min_free: AtomicU64,
    /// What the log may hold: above it, exporters that do not block give up their oldest events.
    budget: AtomicU64,
    over_budget: AtomicBool,
    begun: Instant,
    /// When the log was asked last, in microseconds since the beginning, plus one.
    asked: AtomicU64,
    refusing: AtomicBool,
    refused: Mutex<Option<Refused>>,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("min_free", &self.0.min_free).finish_non_exhaustive()
    }
}

impl Gate {
    /// A gate that keeps `min_free` bytes free (`buffer.minFree`), and the log within `budget` bytes where an exporter blocks.
    pub(crate) fn new(admission: Admission, ask: Ask, min_free: u64, budget: u64) -> Gate {
        let (asked, refusing, over_budget) = (AtomicU64::new(0), AtomicBool::new(false), AtomicBool::new(false));
        let (refused, min_free, budget) = (Mutex::default(), AtomicU64::new(min_free), AtomicU64::new(budget));
        Gate(Arc::new(Inner { admission, ask, min_free, budget, over_budget, begun: Instant::now(), asked, refusing, refused }))
    }

    /// Keeps these bounds from now on.
    pub(crate) fn set(&self, min_free: u64, budget: u64) {
        self.0.min_free.store(min_free, Ordering::Relaxed);
        self.0.budget.store(budget, Ordering::Relaxed);
    }

    /// Whether events of the flag set may be taken now.
    pub(crate) fn check(&self, flag_set: &str) -> Result<(), Refused> {
        self.check_log()?;
        // Nothing that a blocking exporter needs is given up, so somebody has to be refused.
        if self.0.over_budget.load(Ordering::Relaxed) && self.0.admission.blocks(flag_set) {
            let message = format!(
                "the event log holds more than {} bytes (`buffer.maxBytes`), and an exporter blocks (`whenFull: block`)",
                self.0.budget.load(Ordering::Relaxed)
            );
            return Err(Refused { message, retry_after: RETRY_AFTER });
        }
        let blocked = self.0.admission.check(flag_set);
        blocked.map_err(|blocked| Refused { message: blocked.to_string(), retry_after: blocked.retry_after })
    }

    /// Whether the log can take more: what readiness asks, too.
    pub(crate) fn check_log(&self) -> Result<(), Refused> {
        let inner = &*self.0;
        let now = u64::try_from(inner.begun.elapsed().as_micros()).unwrap_or(u64::MAX - 1) + 1;
        let asked = inner.asked.load(Ordering::Relaxed);
        let due = asked == 0 || now.saturating_sub(asked) >= ASK_EVERY.as_micros() as u64;
        // One of those who come at the same time asks; the others go by the last answer.
        if due && inner.asked.compare_exchange(asked, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            let pressure = (inner.ask)();
            inner.over_budget.store(pressure.held_bytes > inner.budget.load(Ordering::Relaxed), Ordering::Relaxed);
            let verdict = inner.judge(&pressure);
            inner.refusing.store(verdict.is_some(), Ordering::Relaxed);
            *inner.refused() = verdict;
        }
        if !inner.refusing.load(Ordering::Relaxed) {
            return Ok(());
        }
        inner.refused().clone().map_or(Ok(()), Err)
    }
}

impl Inner {
    fn refused(&self) -> MutexGuard<'_, Option<Refused>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn judge(&self, pressure: &Pressure) -> Option<Refused> {
        let min_free = self.min_free.load(Ordering::Relaxed);
        let message = match pressure.free_bytes {
            Some(free) if free < min_free => {
                format!("the event log's disk has {free} bytes free, less than `buffer.minFree` ({min_free})")
            }
            _ if pressure.queued_bytes > MAX_QUEUED_BYTES || pressure.queue_age > MAX_QUEUE_AGE => format!(
                "the event log is behind: {} bytes wait for the disk, the oldest for {} ms",
                pressure.queued_bytes,
                pressure.queue_age.as_millis()
            ),
            _ => return None,
        };
        Some(Refused { message, retry_after: RETRY_AFTER })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn gate(pressure: Pressure) -> Gate {
        Gate::new(Admission::default(), Box::new(move || pressure), 1000, u64::MAX)
    }

    #[test]
    fn a_full_disk_and_a_log_that_is_behind_refuse() {
        let good = Pressure { queued_bytes: MAX_QUEUED_BYTES, queue_age: MAX_QUEUE_AGE, held_bytes: 1, free_bytes: Some(1000) };
        let cases = [
            (good, None),
            (Pressure { free_bytes: None, ..good }, None),
            (Pressure { free_bytes: Some(999), ..good }, Some("`buffer.minFree` (1000)")),
            (Pressure { queued_bytes: MAX_QUEUED_BYTES + 1, ..good }, Some("is behind")),
            (Pressure { queue_age: MAX_QUEUE_AGE + Duration::from_millis(1), ..good }, Some("the oldest for 5001 ms")),
        ];
        for (pressure, expected) in cases {
            match (gate(pressure).check("default"), expected) {
                (Ok(()), None) => {}
                (Err(refused), Some(words)) => assert!(refused.message.contains(words), "{refused:?}"),
                (found, expected) => panic!("{pressure:?}: {found:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn the_log_is_not_asked_for_every_request_and_a_refusal_ends() {
        let free = Arc::new(AtomicU64::new(0));
        let asked = Arc::new(AtomicU64::new(0));
        let (source, count) = (free.clone(), asked.clone());
        let ask = move || {
            count.fetch_add(1, Ordering::Relaxed);
            Pressure { free_bytes: Some(source.load(Ordering::Relaxed)), ..Pressure::default() }
        };
        let gate = Gate::new(Admission::default(), Box::new(ask), 1000, u64::MAX);
        let begun = Instant::now();
        assert!(gate.check("default").is_err());
        free.store(5000, Ordering::Relaxed);
        while gate.check("default").is_err() {
            std::thread::yield_now();
        }
        let most = 2 + begun.elapsed().as_millis() as u64 / ASK_EVERY.as_millis() as u64;
        assert!(asked.load(Ordering::Relaxed) <= most, "asked {asked:?} times");
    }
}
