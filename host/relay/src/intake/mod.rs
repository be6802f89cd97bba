//! The intake: decoded events into the log. HTTP and the library both come through here.
//!
//! It knows streams, not exporters: whether a stream has an exporter is told at start and by a reload, which makes another intake.

mod gate;
mod intakes;
mod stats;

pub(crate) use gate::{Gate, Refused};
pub(crate) use intakes::Intakes;
pub(crate) use stats::IntakeStats;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flagpost_event::collect::{Collected, Lines};
use flagpost_event::{EventKind, StreamName};
use flagpost_spool::{AppendError, EventLog, Part, StreamId};

use crate::through::Through;

/// Where the events of one flag set go.
pub(crate) struct Intake {
    log: Arc<dyn EventLog>,
    flag_set: Arc<str>,
    /// Per kind its stream; `None` when no exporter reads it: its events are counted and not written.
    streams: [Option<StreamId>; 2],
    gate: Gate,
    stats: Arc<IntakeStats>,
    /// When the disk last refused, if nothing was stored since.
    refused: Mutex<Option<(Instant, String)>>,
    failing: AtomicBool,
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake").field("flag_set", &self.flag_set).field("streams", &self.streams).finish_non_exhaustive()
    }
}

/// How long a refusing disk makes the relay unready: without requests nothing could show that it works again.
const UNREADY_FOR: Duration = Duration::from_secs(5);

impl Intake {
    /// An intake for `flag_set`; `read` are the kinds that have an exporter.
    pub(crate) fn new(log: Arc<dyn EventLog>, flag_set: &str, read: &[EventKind], gate: Gate, stats: Arc<IntakeStats>) -> Intake {
        let flag_set: Arc<str> = flag_set.into();
        let stream = |kind| read.contains(&kind).then(|| log.stream(&StreamName::new(flag_set.clone(), kind)));
        let streams = EventKind::ALL.map(stream);
        Intake { log, flag_set, streams, gate, stats, refused: Mutex::default(), failing: AtomicBool::new(false) }
    }

    /// Whether exactly these kinds have an exporter.
    fn reads(&self, read: &[EventKind]) -> bool {
        EventKind::ALL.iter().zip(&self.streams).all(|(kind, stream)| stream.is_some() == read.contains(kind))
    }

    /// Whether events may be taken now. Asked before anything of a request is taken.
    pub(crate) fn admit(&self) -> Result<(), Refused> {
        self.gate.check(&self.flag_set)
    }

    /// Whether requests should be sent here; if not, why.
    pub(crate) fn ready(&self) -> Result<(), String> {
        self.gate.check_log().map_err(|refused| refused.message)?;
        match &*self.refused.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((at, why)) if at.elapsed() < UNREADY_FOR => Err(why.clone()),
            _ => Ok(()),
        }
    }

    fn note(&self, appended: &Result<(), AppendError>) {
        match appended {
            Ok(()) if !self.failing.load(Ordering::Relaxed) => {}
            Ok(()) => {
                self.failing.store(false, Ordering::Relaxed);
                *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = None;
            }
            // A buffer in memory that is full is what a budget is for: delivery makes room, and other requests may fit.
            Err(AppendError::Full { .. } | AppendError::TooLarge { .. }) => {}
            Err(error) => {
                self.failing.store(true, Ordering::Relaxed);
                *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), error.to_string()));
            }
        }
    }

    /// What was counted.
    pub(crate) fn stats(&self) -> &Arc<IntakeStats> {
        &self.stats
    }

    /// Whose events it takes.
    pub(crate) fn flag_set(&self) -> &str {
        &self.flag_set
    }

    /// Stores what was decoded and returns once it survives a crash.
    pub(crate) async fn store(&self, collected: Collected) -> Result<(), AppendError> {
        let Collected { feature, tracking, dropped, normalised_dates, .. } = collected;
        let mut parts = Vec::with_capacity(1);
        let mut taken = [0; 2];
        let mut unread = 0;
        for (kind, lines) in EventKind::ALL.into_iter().zip([feature, tracking]) {
            let Lines { bytes, count } = lines;
            if count == 0 {
                continue;
            }
            match self.streams[kind as usize] {
                Some(stream) => {
                    taken[kind as usize] = u64::from(count);
                    parts.push(Part { stream, lines: Bytes::from(bytes), count });
                }
                None => unread += u64::from(count),
            }
        }
        let stats = Arc::clone(&self.stats);
        let count = move || {
            stats.count_taken(taken);
            stats.count_unread(unread);
            stats.count_drops(&dropped, normalised_dates);
        };
        if parts.is_empty() {
            count();
            return Ok(());
        }
        let log = Arc::clone(&self.log);
        let appended = Through::new(async move {
            let appended = log.append(parts).await;
            // Counted only now: a refused request comes again.
            if appended.is_ok() {
                count();
            }
            appended
        });
        let appended = appended.await;
        self.note(&appended);
        appended
    }
}
