//! What the intake counted since the program started.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use flagpost_event::EventKind;
use flagpost_event::collect::{DropCause, Drops};
use prometheus_client::metrics::histogram::Histogram;

/// Upper bounds of request durations, in seconds.
const REQUEST_BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
/// Log lines about dropped events come at most this often.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Counters of one flag set's intake.
#[derive(Debug)]
pub(crate) struct IntakeStats {
    taken: [AtomicU64; 2],
    ingested: AtomicU64,
    unread: AtomicU64,
    dropped: [AtomicU64; DropCause::ALL.len()],
    pub(crate) request_seconds: Histogram,
    /// Requests by status, as they are met.
    requests: Mutex<Vec<(u16, u64)>>,
    said: Mutex<Said>,
}

#[derive(Debug, Default)]
struct Said {
    at: Option<Instant>,
    since: u64,
}

impl Default for IntakeStats {
    fn default() -> Self {
        IntakeStats {
            taken: Default::default(),
            ingested: AtomicU64::new(0),
            unread: AtomicU64::new(0),
            dropped: Default::default(),
            request_seconds: Histogram::new(REQUEST_BUCKETS),
            requests: Mutex::default(),
            said: Mutex::default(),
        }
    }
}

impl IntakeStats {
    /// Events that became durable.
    pub(crate) fn taken(&self, kind: EventKind) -> u64 {
        self.taken[kind as usize].load(Ordering::Relaxed)
    }

    /// Events that the collector answered with 200, dropped ones included: what upstream counts.
    pub(crate) fn ingested(&self) -> u64 {
        self.ingested.load(Ordering::Relaxed)
    }

    pub(crate) fn count_ingested(&self, events: u64) {
        self.ingested.fetch_add(events, Ordering::Relaxed);
    }

    /// Events that were answered with 200 and not stored, by reason.
    pub(crate) fn dropped(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let causes = DropCause::ALL.into_iter().map(|cause| (cause.as_str(), self.dropped[cause as usize].load(Ordering::Relaxed)));
        causes.chain([("no_exporter", self.unread.load(Ordering::Relaxed))])
    }

    /// Requests to the collector by their answer's status.
    pub(crate) fn requests(&self) -> Vec<(u16, u64)> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn count_request(&self, status: u16, took: Duration) {
        self.request_seconds.observe(took.as_secs_f64());
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        match requests.iter_mut().find(|(known, _)| *known == status) {
            Some((_, count)) => *count += 1,
            None => requests.push((status, 1)),
        }
    }

    pub(crate) fn count_taken(&self, taken: [u64; 2]) {
        for (counter, more) in self.taken.iter().zip(taken) {
            if more > 0 {
                counter.fetch_add(more, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn count_unread(&self, events: u64) {
        self.unread.fetch_add(events, Ordering::Relaxed);
    }

    /// Counts dropped events and names some of them, a line every ten seconds at most.
    pub(crate) fn count_drops(&self, drops: &Drops, normalised_dates: u64) {
        let total = drops.total();
        if total == 0 && normalised_dates == 0 {
            return;
        }
        for cause in DropCause::ALL {
            self.dropped[cause as usize].fetch_add(drops.count(cause), Ordering::Relaxed);
        }
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.since += total;
        if said.at.is_some_and(|at| at.elapsed() < SAY_EVERY) {
            return;
        }
        let events = std::mem::take(&mut said.since);
        said.at = Some(Instant::now());
        drop(said);
        if events > 0 {
            let examples: Vec<String> =
                drops.details().iter().take(5).map(|one| format!("events[{}] {}: {}", one.index, one.cause.as_str(), one.detail)).collect();
            tracing::warn!(
                events,
                examples = examples.join("; "),
                "events were dropped that cannot be converted; the rest of their requests was kept"
            );
        }
        if normalised_dates > 0 {
            tracing::warn!(events = normalised_dates, "creationDate is not in seconds: its first ten digits were kept");
        }
    }
}
