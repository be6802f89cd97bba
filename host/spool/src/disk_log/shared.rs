//! What the committer, the readers and the callers of a log share.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use flagpost_event::Clock;

use super::pack::Next;
use super::queue::Queue;
use super::reader::Unreadable;
use super::state::{NewBlock, State};
use crate::disk::Disk;
use crate::log::{Part, StreamId};
use crate::segment::file_name;
use crate::segment::map::merge;
use crate::stats::LogStats;

/// How often the file system is asked for its free space.
const FREE_SPACE_AGE: Duration = Duration::from_secs(1);
/// When the same events could not be read for so long, in milliseconds, what the disk cannot read counts as damaged if it can read what is
/// behind: a reader must not wait for a bad sector for ever, and a disk that is away for a while must not cost an event.
pub(super) const PATIENCE_MILLIS: u64 = 60_000;
/// The same where nothing is behind that could tell a bad sector from a disk that is away.
pub(super) const LAST_PATIENCE_MILLIS: u64 = 3_600_000;

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
    /// Reads that fail, by stream and number, and since when: Unix milliseconds.
    pub(super) failing: Mutex<HashMap<(StreamId, u64), u64>>,
    /// Bytes of segments that the disk cannot read and that were given up.
    pub(super) bad: Mutex<HashMap<u64, Vec<Range<u64>>>>,
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
            if let Some(stream) = state.streams.get_mut(&id) {
                stream.followers.moved(stream.head);
            }
        }
    }

    /// The segment is not written to any more; so many bytes behind its records could not be given back.
    pub(super) fn abandon(&self, sequence: u64, left: u64) {
        let mut state = self.state();
        state.active = None;
        if let Some(segment) = state.segments.get_mut(&sequence) {
            segment.pins_next = true;
            segment.left = left;
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

    /// Notes that a read succeeded.
    pub(super) fn readable(&self, stream: StreamId, from: u64) {
        self.failing().remove(&(stream, from));
    }

    /// Notes that a read failed; says what it may do instead, if it has failed for long enough. Time counts, not tries: several readers may stand at one number.
    pub(super) fn unreadable(&self, stream: StreamId, from: u64) -> Option<Unreadable> {
        let now = self.clock.unix_millis();
        let mut failing = self.failing();
        let since = failing.entry((stream, from)).or_insert(now);
        // A clock that was set back begins anew.
        *since = (*since).min(now);
        match now - *since {
            LAST_PATIENCE_MILLIS.. => Some(Unreadable::Lost { even_the_end: true }),
            PATIENCE_MILLIS.. => Some(Unreadable::Lost { even_the_end: false }),
            _ => None,
        }
    }

    /// Forgets failed reads of what is given up.
    pub(super) fn forget_failing(&self, keep_from: &HashMap<StreamId, u64>) {
        self.failing().retain(|(stream, from), _| keep_from.get(stream).is_none_or(|keep| from >= keep));
    }

    /// Bytes of a segment that were given up: nobody waits for them again.
    pub(super) fn given_up(&self, sequence: u64) -> Vec<Range<u64>> {
        self.bad.lock().unwrap_or_else(PoisonError::into_inner).get(&sequence).cloned().unwrap_or_default()
    }

    /// Gives up bytes of a segment.
    pub(super) fn give_up(&self, sequence: u64, bytes: Vec<Range<u64>>) {
        if !bytes.is_empty() {
            let mut bad = self.bad.lock().unwrap_or_else(PoisonError::into_inner);
            let of_segment = bad.entry(sequence).or_default();
            *of_segment = merge([std::mem::take(of_segment), bytes].concat());
        }
    }

    fn failing(&self) -> MutexGuard<'_, HashMap<(StreamId, u64), u64>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Unlinks segments that are out of the state; those that fail are tried again with the next ones.
    pub(super) fn unlink(&self, sequences: Vec<u64>) {
        let mut doomed = self.doomed.lock().unwrap_or_else(PoisonError::into_inner);
        self.bad.lock().unwrap_or_else(PoisonError::into_inner).retain(|sequence, _| !sequences.contains(sequence));
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
