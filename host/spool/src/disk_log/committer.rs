//! The one thread that writes: takes a group, packs it, writes it, syncs once, publishes it, answers everyone.
//!
//! A failed write or sync is never tried again on the same file: after a failed `fdatasync` the kernel has forgotten which pages were bad, and
//! a second call would succeed without having written them. The segment ends, in memory, at its last durable block; the next group begins
//! a new one, whose table gives the failed numbers to other events.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pack::{self, Chunk, Packer, Place};
use super::queue::{Group, Work};
use super::shared::Shared;
use super::state::{NewBlock, Segment};
use crate::block::{self, Header, Kind, RAW};
use crate::disk::DiskFile;
use crate::log::{AppendError, StreamId};
use crate::segment::file_name;

/// The next group may be waited for as long as a quarter of a sync takes: it then carries the requests that the last one released, too.
const LINGER_PART: u32 = 4;
/// Never longer than this, however slow the disk is.
const LINGER_MOST: Duration = Duration::from_millis(2);
/// After a wait in vain so many groups go out at once.
const LINGER_PAUSE: u32 = 16;

/// The segment that is written to.
#[derive(Debug)]
struct Active {
    sequence: u64,
    file: Arc<dyn DiskFile>,
    /// Where the next record goes.
    used: u64,
    group: u32,
    allocated: bool,
}

#[derive(Debug)]
pub(super) struct Committer {
    shared: Arc<Shared>,
    active: Option<Active>,
    next_sequence: u64,
}

/// What failed, and while doing what.
type Failure = (&'static str, io::Error);

impl Committer {
    pub(super) fn new(shared: Arc<Shared>, next_sequence: u64) -> Committer {
        Committer { shared, active: None, next_sequence }
    }

    /// Works until the log is closed.
    pub(super) fn run(mut self) {
        let mut linger: Option<(Duration, usize)> = None;
        let mut pause = 0;
        loop {
            let group = match self.shared.queue.next(linger) {
                Work::Commit(group) => group,
                Work::Roll => {
                    linger = None;
                    self.roll();
                    continue;
                }
                Work::Close => break,
            };
            let (ticket, since, bytes, requests) = (group.ticket.clone(), group.since, group.bytes, group.requests);
            if linger.is_some_and(|(_, wanted)| requests * 2 < wanted) {
                pause = LINGER_PAUSE;
            }
            let begun = Instant::now();
            let outcome = self.commit(group);
            self.shared.stats.group(bytes, since.elapsed());
            let queued = self.shared.queue.landed();
            let spent = begun.elapsed();
            ticket.complete(outcome.map_err(|(during, source)| AppendError::Disk { during, source: Arc::new(source) }));
            pause = pause.saturating_sub(1);
            let wanted = requests + queued;
            linger = (pause == 0 && wanted > 1).then(|| ((spent / LINGER_PART).min(LINGER_MOST), wanted));
        }
        self.close();
        self.shared.queue.set_closed();
    }

    /// Writes a group and makes it durable, then visible.
    fn commit(&mut self, group: Group) -> Result<(), Failure> {
        let mut parts = group.parts;
        parts.sort_by_key(|part| part.stream);
        let mut streams = self.shared.next_numbers(&parts);
        let longest = streams.values().map(|next| next.name.flag_set.len() + 16).max().unwrap_or(0);
        let estimate = pack::estimate(&parts, longest);
        let mut active = self.segment_for(estimate)?;
        let place = Place {
            store: self.shared.store,
            segment: active.sequence,
            group: active.group,
            position: active.used,
            now: self.shared.clock.unix_millis(),
        };
        let mut blocks: Vec<NewBlock> = Vec::new();
        let mut kept = 0;
        let mut packer = Packer::new(place, estimate, |chunk: Chunk| {
            active.file.write_at(&chunk.bytes, chunk.position).map_err(|source| ("writing events", source))?;
            // A huge request is not kept in memory twice: the tail would not hold it anyway.
            kept += chunk.bytes.len();
            if kept > self.shared.tail_bytes {
                kept = chunk.bytes.len();
                blocks.iter_mut().for_each(|block| block.lines = None);
            }
            blocks.extend(chunk.blocks);
            Ok(())
        });
        let packed = parts.chunk_by(|a, b| a.stream == b.stream).try_for_each(|of_stream| {
            let id = of_stream[0].stream;
            match streams.get_mut(&id) {
                Some(next) => packer.stream(id, next, of_stream.iter()),
                None => Ok(()),
            }
        });
        let written = packed.and_then(|()| packer.end());
        let synced = written.and_then(|end| {
            let begun = Instant::now();
            let synced = active.file.sync_data().map_err(|source| ("syncing events", source));
            self.shared.stats.sync(begun.elapsed());
            synced.map(|()| end)
        });
        match synced {
            Ok(end) => {
                active.used = end;
                active.group += 1;
                let sequence = active.sequence;
                self.active = Some(active);
                self.shared.publish(sequence, end, blocks);
                Ok(())
            }
            Err(failure) => {
                self.abandon(&active);
                tracing::error!(segment = %file_name(active.sequence), during = failure.0, error = %failure.1,
                    "the disk refused events: the segment is ended at its last durable block and the requests are answered with an error");
                Err(failure)
            }
        }
    }

    /// Ends a segment at its last durable block. What was reserved and what the failed group left goes back; if it does not, it counts as
    /// held.
    fn abandon(&self, active: &Active) {
        let path = self.shared.dir.join(file_name(active.sequence));
        let cut = self.shared.disk.truncate(&path, active.used);
        let left = match cut {
            Ok(()) => 0,
            Err(error) => {
                tracing::warn!(segment = %path.display(), %error, "the space of a segment that was given up could not be given back");
                active.file.len().unwrap_or(self.shared.segment_bytes).saturating_sub(active.used)
            }
        };
        self.shared.abandon(active.sequence, left);
    }

    /// The segment that the next group goes to, taken out of `self`.
    fn segment_for(&mut self, bytes: u64) -> Result<Active, Failure> {
        let most = self.shared.segment_bytes;
        let full = |active: &mut Active| active.used + bytes > most && active.group > FIRST_GROUP;
        if let Some(active) = self.active.take_if(full) {
            self.seal(&active, false);
        }
        let mut active = match self.active.take() {
            Some(active) => active,
            None => self.create()?,
        };
        if !active.allocated {
            if let Err(source) = active.file.allocate(most.max(active.used + bytes)) {
                // Nothing was written to it: it may serve once there is space.
                self.active = Some(active);
                return Err(("reserving space for a segment", source));
            }
            active.allocated = true;
        }
        Ok(active)
    }

    /// Makes a new segment: its header and its name are durable when this returns.
    fn create(&mut self) -> Result<Active, Failure> {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let path = self.shared.dir.join(file_name(sequence));
        let table = self.shared.state().table();
        let mut payload = Vec::new();
        table.encode(&mut payload);
        let disk = &self.shared.disk;
        let create = || {
            let file = disk.create(&path).map_err(|source| ("creating a segment", source))?;
            let mut used = 0;
            for _copy in 0..2 {
                let record = self.record(Kind::Table, sequence, used, &payload);
                file.write_at(&record, used).map_err(|source| ("writing a segment's header", source))?;
                used += record.len() as u64;
            }
            file.sync_data().map_err(|source| ("syncing a segment's header", source))?;
            disk.sync_dir(&self.shared.dir).map_err(|source| ("syncing the store's directory", source))?;
            Ok::<_, Failure>((file, used))
        };
        match create() {
            Ok((file, used)) => {
                let segment =
                    Segment { table, streams: Default::default(), used, pins_next: false, unread: false, unknown: false, left: 0 };
                let mut state = self.shared.state();
                state.segments.insert(sequence, segment);
                state.active = Some(sequence);
                self.shared.stats.segments(state.segments.len());
                Ok(Active { sequence, file, used, group: FIRST_GROUP, allocated: false })
            }
            Err(failure) => {
                // It holds no event. If it cannot be removed, it is found empty at the next start.
                if let Err(error) = disk.unlink(&path)
                    && error.kind() != io::ErrorKind::NotFound
                {
                    tracing::warn!(segment = %path.display(), %error, "a segment that could not be begun could not be removed");
                }
                tracing::error!(segment = %path.display(), during = failure.0, error = %failure.1, "no new segment: requests are answered with an error");
                Err(failure)
            }
        }
    }

    /// Ends a segment with its index, so that the next start need not scan it, and gives back the space it did not use. Everything in it is
    /// durable already; so what fails here is told and nothing more.
    fn seal(&self, active: &Active, sync: bool) {
        let map = {
            let mut state = self.shared.state();
            state.active = None;
            state.map(active.sequence)
        };
        let Some(map) = map else { return };
        let mut payload = Vec::new();
        map.encode(&mut payload);
        let record = self.record(Kind::Index, active.sequence, active.used, &payload);
        let path = self.shared.dir.join(file_name(active.sequence));
        let sealed = active.file.write_at(&record, active.used);
        let cut = sealed.and_then(|()| self.shared.disk.truncate(&path, active.used + record.len() as u64));
        let synced = cut.and_then(|()| if sync { active.file.sync_data() } else { Ok(()) });
        if let Err(error) = synced {
            tracing::warn!(segment = %path.display(), %error, "a segment could not be sealed: the next start will scan it");
        }
    }

    fn record(&self, kind: Kind, segment: u64, position: u64, payload: &[u8]) -> Vec<u8> {
        let header = Header {
            kind,
            encoding: RAW,
            store: self.shared.store,
            segment,
            position,
            group: 0,
            payload_len: 0,
            stream: StreamId(0),
            count: 0,
            first: 0,
            appended_at: self.shared.clock.unix_millis(),
            bytes_before: 0,
            payload_crc: 0,
        };
        block::record(header, b"", payload)
    }

    /// Begins a new segment now, so that the newest one can be trimmed.
    fn roll(&mut self) {
        if let Some(active) = self.active.take_if(|active| active.group > FIRST_GROUP) {
            self.seal(&active, false);
        }
        if self.active.is_none()
            && let Ok(active) = self.create()
        {
            self.active = Some(active);
        }
    }

    fn close(&mut self) {
        if let Some(active) = self.active.take_if(|active| active.group > FIRST_GROUP) {
            self.seal(&active, true);
        }
    }
}

/// Groups of a segment count from here: 0 is the header's.
const FIRST_GROUP: u32 = 1;
