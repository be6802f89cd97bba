//! Reads: from the tail in memory, else from a segment, a checksum per block.

use std::io;
use std::ops::Range;
use std::path::Path;

use bytes::Bytes;

use super::state::{State, Stream};
use crate::disk::Disk;
use crate::log::{Read, ReadLimit, Run, StreamId};
use crate::recovery;
use crate::segment::map::Point;
use crate::segment::records::{Item, Origin, Payload, Records};
use crate::segment::scan::Scan;
use crate::segment::window::{Forgives, Window};

/// Where a read goes.
#[derive(Debug)]
pub(super) enum Plan {
    /// It is answered.
    Done(Read),
    /// To a file.
    Disk(FromDisk),
}

/// What becomes of bytes that the disk cannot read.
#[derive(Clone, Debug)]
pub(super) enum Unreadable {
    /// The read fails, and may succeed later; but for these, which were given up before.
    Fails(Vec<Range<u64>>),
    /// They are damaged if the disk can read what is behind them. `even_the_end`: also where nothing is behind them.
    Lost { even_the_end: bool },
    /// They are damaged: there is no later.
    Damaged,
}

/// A read from a segment.
#[derive(Debug)]
pub(super) struct FromDisk {
    pub(super) sequence: u64,
    pub(super) name: String,
    /// Where to begin in the file.
    pub(super) position: u64,
    /// Where durable records end in the file.
    pub(super) used: u64,
    /// The first number wanted.
    pub(super) from: u64,
    /// The first number that is not readable there.
    pub(super) stop: u64,
    /// What the segment holds is not known: it has to be learned first.
    pub(super) unknown: bool,
}

/// Decides, under the lock, where the events from `from` on are.
pub(super) fn plan(state: &State, id: StreamId, from: u64, limit: ReadLimit) -> Plan {
    let Some(stream) = state.streams.get(&id) else { return Plan::Done(Read::End) };
    if from >= stream.head {
        return Plan::Done(Read::End);
    }
    if let Some(at) = State::tail_block(stream, from) {
        return Plan::Done(Read::Events(from_tail(stream, at, from, limit)));
    }
    let Some((sequence, held)) = state.segment_of(id, from) else {
        let next = state.held(id).map(|(_, held)| held.numbers.start).find(|start| *start > from);
        return Plan::Done(Read::Gone(from..next.unwrap_or(stream.head)));
    };
    if let Some(damaged) = held.damage_at(from) {
        return Plan::Done(Read::Damaged(from..damaged.end));
    }
    let stop = held.damaged.iter().map(|range| range.start).find(|start| *start > from).unwrap_or(held.numbers.end);
    let (unread, unknown) = state.segments.get(&sequence).map_or((false, false), |segment| (segment.unread, segment.unknown));
    let used = state.segments.get(&sequence).map_or(0, |segment| if unread { u64::MAX } else { segment.used });
    let position = held.point(from).map_or(0, |point: &Point| point.position);
    Plan::Disk(FromDisk { sequence, name: stream.name.to_string(), position, used, from, stop, unknown })
}

fn from_tail(stream: &Stream, at: usize, from: u64, limit: ReadLimit) -> Run {
    let mut run = Taken::new(from, limit);
    for block in stream.tail.range(at..) {
        if !run.take(block.first, u64::from(block.count), &block.lines) {
            break;
        }
    }
    run.run
}

/// Events taken so far, and how many more may be.
#[derive(Debug)]
struct Taken {
    run: Run,
    bytes: usize,
    limit: ReadLimit,
}

impl Taken {
    fn new(first: u64, limit: ReadLimit) -> Taken {
        let limit = ReadLimit { events: limit.events.max(1), bytes: limit.bytes };
        Taken { run: Run { first, count: 0, lines: Vec::new() }, bytes: 0, limit }
    }

    fn next(&self) -> u64 {
        self.run.first + self.run.count as u64
    }

    /// Takes what fits of a block that holds the next number; false when no more fits.
    fn take(&mut self, first: u64, count: u64, lines: &Bytes) -> bool {
        let skip = self.next().saturating_sub(first) as usize;
        let left = (count as usize).saturating_sub(skip);
        let room = self.limit.events - self.run.count;
        if skip == 0 && left <= room && self.bytes + lines.len() <= self.limit.bytes {
            self.push(left, lines.clone());
            return left < room;
        }
        let mut start = 0;
        let mut end = 0;
        let mut taken = 0;
        for (line, newline) in memchr::memchr_iter(b'\n', lines).enumerate() {
            if line < skip {
                (start, end) = (newline + 1, newline + 1);
                continue;
            }
            let first_of_all = self.run.count + taken == 0;
            if taken == room || (self.bytes + newline + 1 - start > self.limit.bytes && !first_of_all) {
                break;
            }
            taken += 1;
            end = newline + 1;
        }
        if taken > 0 {
            self.push(taken, lines.slice(start..end));
        }
        taken == left && taken < room
    }

    fn push(&mut self, count: usize, lines: Bytes) {
        self.run.count += count;
        self.bytes += lines.len();
        self.run.lines.push(lines);
    }
}

/// What became of a read.
#[derive(Debug)]
pub(super) enum OnDisk {
    /// What it found, and which bytes of the file it gave up for that.
    Read(Read, Vec<Range<u64>>),
    /// First, what the segment holds.
    Learned(Scan),
}

/// Reads from a file; blocks. The events are those of the stream's name and of no other.
pub(super) fn from_disk(
    disk: &dyn Disk,
    path: &Path,
    store: u32,
    read: &FromDisk,
    limit: ReadLimit,
    unreadable: Unreadable,
) -> io::Result<OnDisk> {
    let lost = match unreadable {
        Unreadable::Lost { even_the_end } => Some(even_the_end),
        Unreadable::Fails(_) | Unreadable::Damaged => None,
    };
    let forgives = if let Unreadable::Fails(given_up) = unreadable { Forgives::GivenUp(given_up) } else { Forgives::All };
    if read.unknown && lost.is_none() {
        let origin = Origin { store: Some(store), segment: read.sequence };
        return Ok(OnDisk::Learned(recovery::learn(disk, path, origin, forgives)?));
    }
    let file = disk.open(path)?;
    let mut window = Window::new(&*file, forgives)?;
    window.expect(limit.bytes);
    let (found, upto) = find(&mut window, store, read, limit)?;
    match (lost, &found) {
        (None, _) => Ok(OnDisk::Read(found, Vec::new())),
        // What was read is good, whatever lies between.
        (Some(even_the_end), Read::Events(_)) => Ok(OnDisk::Read(found, window.lost(upto, even_the_end).unwrap_or_default())),
        (Some(even_the_end), _) => {
            let given_up = window.lost(upto, even_the_end)?;
            Ok(OnDisk::Read(found, given_up))
        }
    }
}

/// What stands in the file, and the byte up to which that was found out.
fn find(window: &mut Window<'_>, store: u32, read: &FromDisk, limit: ReadLimit) -> io::Result<(Read, u64)> {
    let origin = Origin { store: Some(store), segment: read.sequence };
    let mut records = Records::new(window, origin, read.position, read.used);
    let mut taken = Taken::new(read.from, limit);
    let mut upto = read.position;
    let damaged = |until: u64| Read::Damaged(read.from..until.clamp(read.from + 1, read.stop));
    loop {
        let record = match records.next()? {
            Item::Record(record) => record,
            Item::Garbage(_) => continue,
            Item::Newer(position, format) => return Err(unknown(format!("a record of format {format} at byte {position}"))),
            // What was not found although the index has it is damaged.
            Item::End if taken.run.count == 0 => return Ok((damaged(read.stop), u64::MAX)),
            Item::End => return Ok((Read::Events(taken.run), upto)),
        };
        let header = record.header;
        if header.kind != crate::block::Kind::Events || record.name != read.name.as_bytes() || header.end() <= taken.next() {
            continue;
        }
        if header.encoding != crate::block::RAW {
            return Err(unknown(format!("a block of encoding {} at byte {}", header.encoding, header.position)));
        }
        let numbers: Range<u64> = header.first..header.end();
        if taken.next() >= read.stop {
            return Ok((Read::Events(taken.run), upto));
        }
        let payload = records.window().view(record.payload.start, record.payload.end - record.payload.start)?;
        // The checksum vouches for the lines, not for their count.
        let good = record.state == Payload::Good && memchr::memchr_iter(b'\n', payload).count() == header.count as usize;
        if !numbers.contains(&taken.next()) || !good {
            // A missing block before this one, or this one.
            return Ok(match numbers.contains(&taken.next()) {
                _ if taken.run.count > 0 => (Read::Events(taken.run), upto),
                true => (damaged(numbers.end), record.payload.end),
                false => (damaged(numbers.start), header.position),
            });
        }
        upto = record.payload.end;
        let more = taken.take(header.first, u64::from(header.count), &Bytes::copy_from_slice(payload));
        if !more || taken.next() >= read.stop {
            return Ok((Read::Events(taken.run), upto));
        }
    }
}

fn unknown(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what}: a newer program wrote it"))
}
