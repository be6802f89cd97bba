//! What the committer, the readers and the callers of a log share.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use flagpost_event::Clock;

use super::pack::Next;
use super::queue::Queue;
use super::state::{NewBlock, State};
use crate::disk::Disk;
use crate::log::{Part, StreamId};
use crate::segment::file_name;
use crate::stats::LogStats;

/// How often the file system is asked for its free space.
const FREE_SPACE_AGE: Duration = Duration::from_secs(1);
/// After so many failed reads of the same events in a row, what the disk cannot read counts as damaged: a reader must not wait for a bad
/// sector for ever.
pub(super) const READ_TRIES: u32 = 8;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) store: u32,
    pub(super) segment_bytes: u64,
    pub(super) tail_bytes: usize,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) state: Mutex<State>,
    pub(super) queue: Queue,
    pub(super) stats: LogStats,
    pub(super) free: Mutex<Option<(Instant, Option<u64>)>>,
    /// Reads that failed, by stream and number, and how often in a row.
    pub(super) failing: Mutex<HashMap<(StreamId, u64), u32>>,
    /// Segments that could not be unlinked.
    pub(super) doomed: Mutex<Vec<u64>>,
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn next_numbers(&self, parts: &[Part]) -> BTreeMap<StreamId, Next> {
        let state = self.state();
        let next = |id| state.streams.get(&id).map(|stream| Next { name: stream.name.clone(), number: stream.head, bytes: stream.bytes });
        parts.iter().filter_map(|part| Some((part.stream, next(part.stream)?))).collect()
    }

    pub(super) fn publish(&self, sequence: u64, used: u64, blocks: Vec<NewBlock>) {
        let mut state = self.state();
        let mut touched: Vec<StreamId> = blocks.iter().map(|block| block.stream).collect();
        touched.dedup();
        state.publish(sequence, used, blocks);
        for id in touched {
            if let Some(stream) = state.streams.get(&id) {
                stream.changed.send_replace(stream.head);
            }
        }
    }

    pub(super) fn abandon(&self, sequence: u64) {
        let mut state = self.state();
        state.active = None;
        if let Some(segment) = state.segments.get_mut(&sequence) {
            segment.pins_next = true;
        }
    }

    pub(super) fn free_bytes(&self) -> Option<u64> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        match *free {
            Some((at, bytes)) if at.elapsed() < FREE_SPACE_AGE => bytes,
            _ => {
                let bytes = self.disk.free_bytes(&self.dir).ok();
                *free = Some((Instant::now(), bytes));
                bytes
            }
        }
    }

    /// Notes how a read ended; says whether its next try may give up what the disk cannot read.
    pub(super) fn tried(&self, stream: StreamId, from: u64, failed: bool) -> bool {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        if !failed {
            failing.remove(&(stream, from));
            return false;
        }
        let tries = failing.entry((stream, from)).or_default();
        *tries += 1;
        *tries >= READ_TRIES
    }

    /// Unlinks segments that are out of the state; those that fail are tried again with the next ones.
    pub(super) fn unlink(&self, sequences: Vec<u64>) {
        let mut doomed = self.doomed.lock().unwrap_or_else(PoisonError::into_inner);
        doomed.extend(sequences);
        if doomed.is_empty() {
            return;
        }
        doomed.retain(|sequence| {
            let path = self.dir.join(file_name(*sequence));
            match self.disk.unlink(&path) {
                Ok(()) => false,
                Err(error) if error.kind() == io::ErrorKind::NotFound => false,
                Err(error) => {
                    tracing::warn!(segment = %path.display(), %error, "a consumed segment could not be removed");
                    true
                }
            }
        });
        if let Err(error) = self.disk.sync_dir(&self.dir) {
            tracing::warn!(dir = %self.dir.display(), %error, "the store's directory could not be synced after removing segments");
        }
    }
}
