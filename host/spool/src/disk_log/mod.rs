//! [`DiskLog`]: the event log on a disk.

mod committer;
pub(crate) mod offline;
mod open;
mod pack;
mod queue;
mod reader;
mod shared;
mod state;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use flagpost_event::StreamName;

pub use self::open::{Damage, DiskLogOptions, OpenReport};
use self::reader::{OnDisk, Plan, Unreadable};
use self::shared::Shared;
use crate::head::{Follower, Followers};
use crate::log::{AppendError, Bounds, EventLog, Part, Pressure, Read, ReadError, ReadLimit, SegmentInfo, StreamId};
use crate::segment::file_name;
use crate::stats::LogStats;

/// A consumed segment of which so much is used makes room for a new one at once.
const ROLL_PART: u64 = 2;
/// Any other consumed segment does once nothing was appended for this long, in milliseconds.
const ROLL_IDLE_MILLIS: u64 = 30_000;
/// Longest flag set that a block's header has room for, with a kind behind it.
const NAME_MOST: usize = u16::MAX as usize - 16;

/// The event log on a disk. See the crate's essay. Dropping it without [`EventLog::close`] still writes what waits, but does not wait for it.
#[derive(Debug)]
pub struct DiskLog {
    shared: Arc<Shared>,
}

impl DiskLog {
    /// The store's id: part of every batch id, the same for the store's life.
    pub fn store(&self) -> u32 {
        self.shared.store
    }

    /// The log's metrics.
    pub fn stats(&self) -> LogStats {
        self.shared.stats.clone()
    }

    /// Every range of events that is known to be damaged now: found at the start or by readers since.
    pub fn damaged(&self) -> Vec<Damage> {
        let state = self.shared.state();
        let streams = state.segments.values().flat_map(|segment| &segment.streams);
        let ranges = streams.flat_map(|(id, held)| held.damaged.iter().map(move |range| (id, range)));
        let named =
            ranges.filter_map(|(id, numbers)| Some(Damage { stream: state.streams.get(id)?.name.clone(), numbers: numbers.clone() }));
        named.collect()
    }

    /// Notes damage that a reader found.
    fn damage(&self, sequence: u64, stream: StreamId, range: Range<u64>) -> Read {
        let found = self.shared.state().add_damage(sequence, stream, range.clone());
        self.shared.stats.damaged_events.inc_by(found);
        if found > 0 {
            tracing::error!(segment = %file_name(sequence), stream = stream.0, first = range.start, last = range.end - 1,
                "stored events are damaged; readers step over them");
        }
        Read::Damaged(range)
    }
}

impl Drop for DiskLog {
    fn drop(&mut self) {
        self.shared.queue.close();
    }
}

#[async_trait]
impl EventLog for DiskLog {
    fn stream(&self, name: &StreamName) -> StreamId {
        self.shared.state().stream_id(name)
    }

    fn streams(&self) -> Vec<(StreamId, StreamName)> {
        self.shared.state().streams.iter().map(|(id, stream)| (*id, stream.name.clone())).collect()
    }

    async fn append(&self, mut parts: Vec<Part>) -> Result<(), AppendError> {
        parts.retain(|part| part.count > 0 || !part.lines.is_empty());
        for part in &parts {
            check(part)?;
        }
        {
            let state = self.shared.state();
            let unknown = |part: &&Part| state.streams.get(&part.stream).is_none_or(|stream| stream.name.flag_set.len() > NAME_MOST);
            if let Some(part) = parts.iter().find(unknown) {
                return Err(refused(format!("{:?} is no stream that this log can write", part.stream)));
            }
        }
        let bytes = parts.iter().map(|part| part.lines.len()).sum();
        if parts.is_empty() {
            return Ok(());
        }
        let ticket = self.shared.queue.push(parts, bytes)?;
        ticket.wait().await
    }

    fn bounds(&self, stream: StreamId) -> Bounds {
        self.shared.state().bounds(stream)
    }

    fn follow(&self, stream: StreamId) -> Follower {
        match self.shared.state().streams.get_mut(&stream) {
            Some(stream) => stream.followers.follow(),
            // An id that nobody was given: nothing will ever come.
            None => Followers::new(1).follow(),
        }
    }

    async fn read(&self, stream: StreamId, from: u64, limit: ReadLimit) -> Result<Read, ReadError> {
        let failed = |source| ReadError { stream, from, source };
        let mut patience = None;
        loop {
            let plan = reader::plan(&self.shared.state(), stream, from, limit);
            let read = match plan {
                Plan::Done(read) => return Ok(read),
                Plan::Disk(read) => read,
            };
            let shared = self.shared.clone();
            let (sequence, stop) = (read.sequence, read.stop);
            let may_give_up = patience.is_some();
            let unreadable = patience.take().unwrap_or_else(|| Unreadable::Fails(shared.given_up(sequence)));
            let task = tokio::task::spawn_blocking(move || {
                let path = shared.dir.join(file_name(read.sequence));
                reader::from_disk(&*shared.disk, &path, shared.store, &read, limit, unreadable)
            });
            match task.await.map_err(|error| failed(io::Error::other(error)))? {
                Ok(OnDisk::Learned(scan)) => {
                    let damaged = self.shared.state().learn(sequence, scan);
                    self.shared.stats.damaged_events.inc_by(damaged);
                    tracing::warn!(segment = %file_name(sequence), damaged, "a segment that could not be read when the log was opened can be read");
                }
                Ok(OnDisk::Read(read, given_up)) => {
                    self.shared.readable(stream, from);
                    self.shared.give_up(sequence, given_up);
                    return Ok(if let Read::Damaged(range) = read { self.damage(sequence, stream, range) } else { read });
                }
                // Trimmed between the look-up and the read.
                Err(error) if error.kind() == io::ErrorKind::NotFound && !self.shared.state().segments.contains_key(&sequence) => {}
                // Nor is it known what was in it: another one may have it.
                Err(error) if error.kind() == io::ErrorKind::NotFound && self.shared.state().leave(sequence, stream, from) => {}
                // Somebody removed it: waiting does not bring it back.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.shared.readable(stream, from);
                    return Ok(self.damage(sequence, stream, from..stop));
                }
                Err(error) if may_give_up || error.kind() == io::ErrorKind::InvalidData => return Err(failed(error)),
                Err(error) => match self.shared.unreadable(stream, from) {
                    Some(unreadable) => patience = Some(unreadable),
                    None => return Err(failed(error)),
                },
            }
        }
    }

    fn bytes_before(&self, stream: StreamId, number: u64) -> u64 {
        self.shared.state().bytes_before(stream, number)
    }

    fn number_within(&self, stream: StreamId, bytes: u64) -> u64 {
        self.shared.state().number_within(stream, bytes)
    }

    fn appended_at(&self, stream: StreamId, number: u64) -> Option<u64> {
        self.shared.state().appended_at(stream, number)
    }

    async fn trim(&self, keep_from: &[(StreamId, u64)]) {
        let keep_from: HashMap<StreamId, u64> = keep_from.iter().copied().collect();
        let (gone, roll) = {
            let mut state = self.shared.state();
            let gone = state.trim(&keep_from);
            self.shared.forget_failing(&keep_from);
            self.shared.stats.segments(state.segments.len());
            let now = self.shared.clock.unix_millis();
            let roll = state.newest_consumed(&keep_from).is_some_and(|(used, last_at)| {
                used >= self.shared.segment_bytes / ROLL_PART || now.saturating_sub(last_at) >= ROLL_IDLE_MILLIS
            });
            (gone, roll)
        };
        if roll {
            self.shared.queue.roll();
        }
        let shared = self.shared.clone();
        // The disk may be slow; a task that was cancelled leaves nothing half done.
        if let Err(error) = tokio::task::spawn_blocking(move || shared.unlink(gone)).await {
            tracing::warn!(%error, "removing segments was interrupted");
        }
    }

    fn segments(&self) -> Vec<SegmentInfo> {
        self.shared.state().infos()
    }

    fn pressure(&self) -> Pressure {
        let (queued_bytes, queue_age) = self.shared.queue.pressure();
        let held_bytes = self.shared.state().held_bytes();
        Pressure { queued_bytes, queue_age, held_bytes, free_bytes: self.shared.free_bytes() }
    }

    async fn close(&self) {
        self.shared.queue.close();
        self.shared.queue.closed().await;
    }
}

/// Numbers are counted by lines: a part that says otherwise would shift every later event.
fn check(part: &Part) -> Result<(), AppendError> {
    let found = memchr::memchr_iter(b'\n', &part.lines).count();
    if found == part.count as usize && part.lines.last() == Some(&b'\n') {
        return Ok(());
    }
    Err(refused(format!("{} events were announced and {found} lines came", part.count)))
}

fn refused(why: String) -> AppendError {
    AppendError::Disk { during: "checking the events", source: Arc::new(io::Error::new(io::ErrorKind::InvalidInput, why)) }
}
