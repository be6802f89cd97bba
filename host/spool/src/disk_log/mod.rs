//! [`DiskLog`]: the event log on a disk.

mod committer;
pub(crate) mod offline;
mod pack;
mod queue;
mod reader;
mod state;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use flagpost_event::{Clock, StreamName};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;

use self::committer::Committer;
use self::pack::Next;
use self::queue::Queue;
use self::reader::Plan;
use self::state::{NewBlock, State};
use crate::disk::Disk;
use crate::log::{AppendError, Bounds, EventLog, Part, Pressure, Read, ReadError, ReadLimit, SegmentInfo, StreamId};
use crate::meta::{self, Meta};
use crate::recovery::{self, OpenError};
use crate::segment::file_name;
use crate::segment::scan::Finding;
use crate::stats::LogStats;

/// A consumed segment of which so much is used makes room for a new one at once.
const ROLL_PART: u64 = 2;
/// Any other consumed segment does once nothing was appended for this long, in milliseconds.
const ROLL_IDLE_MILLIS: u64 = 30_000;
/// How often the file system is asked for its free space.
const FREE_SPACE_AGE: Duration = Duration::from_secs(1);
/// Longest flag set that a block's header has room for, with a kind behind it.
const NAME_MOST: usize = u16::MAX as usize - 16;

/// How a [`DiskLog`] is opened.
#[derive(Clone, Debug)]
pub struct DiskLogOptions {
    /// The store's directory; made when it is not there.
    pub dir: PathBuf,
    /// Size of a segment in bytes. A larger one gives less back at a time, a smaller one costs more syncs.
    pub segment_bytes: u64,
    /// Bytes of the newest events that are kept in memory, so that those who keep up never read the disk.
    pub tail_bytes: usize,
    /// Where a new store's id comes from.
    pub seed: u64,
    /// Numbers below these were delivered before (the bookkeeping's cursors): they are never given to other events, whatever the disk lost.
    pub floors: Vec<(StreamName, u64)>,
}

impl DiskLogOptions {
    /// The defaults: segments of 64 MiB, a tail of 8 MiB. `seed` decides a new store's id.
    pub fn new(dir: impl Into<PathBuf>, seed: u64) -> DiskLogOptions {
        DiskLogOptions { dir: dir.into(), segment_bytes: 64 << 20, tail_bytes: 8 << 20, seed, floors: Vec::new() }
    }
}

/// Events that are lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Their stream.
    pub stream: StreamName,
    /// Their numbers.
    pub numbers: Range<u64>,
}

/// What opening found.
#[derive(Clone, Debug, Default)]
pub struct OpenReport {
    /// The store's id.
    pub store: u32,
    /// The directory was empty.
    pub created: bool,
    /// The `meta` file was damaged and written anew.
    pub meta_damaged: bool,
    /// Events that are lost, as far as it is known without reading sealed segments.
    pub damaged: Vec<Damage>,
    /// What else is not as it was written: segment file, byte, what.
    pub findings: Vec<(String, u64, Finding)>,
    /// Segments that hold something.
    pub segments: usize,
}

/// The event log on a disk. See the crate's essay. Dropping it without [`EventLog::close`] still writes what waits, but does not wait for it.
#[derive(Debug)]
pub struct DiskLog {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    store: u32,
    segment_bytes: u64,
    tail_bytes: usize,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    queue: Queue,
    stats: LogStats,
    free: Mutex<Option<(Instant, Option<u64>)>>,
    /// Segments that could not be unlinked.
    doomed: Mutex<Vec<u64>>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_numbers(&self, parts: &[Part]) -> BTreeMap<StreamId, Next> {
        let state = self.state();
        let next = |id| state.streams.get(&id).map(|stream| Next { name: stream.name.clone(), number: stream.head, bytes: stream.bytes });
        parts.iter().filter_map(|part| Some((part.stream, next(part.stream)?))).collect()
    }

    fn publish(&self, sequence: u64, used: u64, blocks: Vec<NewBlock>) {
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

    fn abandon(&self, sequence: u64) {
        let mut state = self.state();
        state.active = None;
        if let Some(segment) = state.segments.get_mut(&sequence) {
            segment.pins_next = true;
        }
    }

    fn free_bytes(&self) -> Option<u64> {
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

    /// Unlinks segments that are out of the state; those that fail are tried again with the next ones.
    fn unlink(&self, sequences: Vec<u64>) {
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

impl DiskLog {
    /// Opens the store in `options.dir`, or makes it. Reads the disk; blocks. The caller holds the directory's [`crate::Lock`].
    pub fn open(options: DiskLogOptions, disk: Arc<dyn Disk>, clock: Arc<dyn Clock>) -> Result<(DiskLog, OpenReport), OpenError> {
        let dir = options.dir;
        disk.create_dir(&dir).map_err(OpenError::io("creating", &dir))?;
        let mut recovered = recovery::load(&*disk, &dir, false)?;
        let store = recovered.store.unwrap_or_else(|| StdRng::seed_from_u64(options.seed).random());
        if !matches!(recovered.meta, Meta::Is { .. }) {
            let damaged = recovered.meta == Meta::Damaged;
            meta::write(&*disk, &dir, store, damaged).map_err(OpenError::io("writing", &dir.join(meta::META)))?;
        }
        let mut report = OpenReport {
            store,
            created: recovered.meta == Meta::Absent && recovered.segments.is_empty(),
            meta_damaged: recovered.meta == Meta::Damaged,
            ..OpenReport::default()
        };
        for (name, floor) in options.floors {
            if let Some(known) = recovered.streams.get_mut(&name) {
                known.head = known.head.max(floor);
            }
        }
        for (&sequence, found) in &mut recovered.segments {
            let path = dir.join(file_name(sequence));
            let damaged = found.map.streams.iter().flat_map(|(name, held)| held.damaged.iter().map(move |range| (name, range)));
            report.damaged.extend(damaged.map(|(name, numbers)| Damage { stream: name.clone(), numbers: numbers.clone() }));
            let findings = std::mem::take(&mut found.findings).into_iter();
            report.findings.extend(findings.map(|(at, finding)| (file_name(sequence), at, finding)));
            report.segments += usize::from(!found.map.streams.is_empty());
            // What was reserved and not used goes back; not a byte that was written.
            if let Some(written) = found.written.filter(|written| *written < found.len)
                && let Err(error) = disk.truncate(&path, written)
            {
                tracing::warn!(segment = %path.display(), %error, "reserved space could not be given back");
            }
        }
        let next_sequence = recovered.segments.keys().next_back().map_or(1, |newest| newest + 1);
        let state = State::restore(recovered, options.tail_bytes);
        let stats = LogStats::default();
        stats.segments(state.segments.len());
        stats.damaged_events.inc_by(state.damaged());
        let shared = Arc::new(Shared {
            disk,
            dir: dir.clone(),
            store,
            segment_bytes: options.segment_bytes,
            tail_bytes: options.tail_bytes,
            clock,
            state: Mutex::new(state),
            queue: Queue::default(),
            stats,
            free: Mutex::new(None),
            doomed: Mutex::default(),
        });
        let committer = Committer::new(shared.clone(), next_sequence);
        let spawned = thread::Builder::new().name("flagpost-log".into()).spawn(move || committer.run());
        spawned.map_err(OpenError::io("starting the thread that writes", &dir))?;
        Ok((DiskLog { shared }, report))
    }

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

    fn watch(&self, stream: StreamId) -> watch::Receiver<u64> {
        match self.shared.state().streams.get(&stream) {
            Some(stream) => stream.changed.subscribe(),
            // An id that nobody was given: nothing will ever come.
            None => watch::Sender::new(1).subscribe(),
        }
    }

    async fn read(&self, stream: StreamId, from: u64, limit: ReadLimit) -> Result<Read, ReadError> {
        let failed = |source| ReadError { stream, from, source };
        loop {
            let plan = reader::plan(&self.shared.state(), stream, from, limit);
            let read = match plan {
                Plan::Done(read) => return Ok(read),
                Plan::Disk(read) => read,
            };
            let shared = self.shared.clone();
            let sequence = read.sequence;
            let task = tokio::task::spawn_blocking(move || {
                let path = shared.dir.join(file_name(read.sequence));
                reader::from_disk(&*shared.disk, &path, shared.store, &read, limit, false)
            });
            match task.await.map_err(|error| failed(io::Error::other(error)))? {
                Ok(Read::Damaged(range)) => {
                    let found = self.shared.state().add_damage(sequence, stream, range.clone());
                    self.shared.stats.damaged_events.inc_by(found);
                    if found > 0 {
                        tracing::error!(segment = %file_name(sequence), stream = stream.0, first = range.start, last = range.end - 1,
                            "stored events are damaged; readers step over them");
                    }
                    return Ok(Read::Damaged(range));
                }
                Ok(read) => return Ok(read),
                // Trimmed between the look-up and the read.
                Err(error) if error.kind() == io::ErrorKind::NotFound && !self.shared.state().segments.contains_key(&sequence) => {}
                Err(error) => return Err(failed(error)),
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
