//! What a segment holds and where: in memory for every segment, on disk as the index that seals it.
//!
//! The index is sparse: a point per 64 KiB of a stream, per 1 MiB of the file, and per 5 s, whichever comes first. 4 GiB of one stream
//! are 65,000 points of 32 bytes.

use std::collections::BTreeMap;
use std::ops::Range;

use flagpost_event::StreamName;

use super::codec::{Source, put_text, put_u32, put_u64};
use super::table::Table;
use crate::log::StreamId;

/// A reader skips at most this much of its own stream before the event that it wants.
const POINT_STREAM_BYTES: u64 = 64 * 1024;
/// A reader skips at most this much of other streams.
const POINT_FILE_BYTES: u64 = 1024 * 1024;
/// An event's time of arrival is told this exactly, in milliseconds.
const POINT_MILLIS: u64 = 5_000;

/// No number and no sum of bytes is above this: what says so is no record of ours. Sums need no check for overflow then.
pub(crate) const MOST: u64 = 1 << 60;

/// A block that the index knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    /// Its first event.
    pub(crate) number: u64,
    /// Where its record begins in the file.
    pub(crate) position: u64,
    /// Bytes of the stream before it.
    pub(crate) bytes: u64,
    /// When it was appended, Unix milliseconds.
    pub(crate) at: u64,
}

/// One stream's part of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) id: StreamId,
    /// The numbers that the segment is responsible for, damaged ones included.
    pub(crate) numbers: Range<u64>,
    /// Bytes of the stream up to the end of `numbers`.
    pub(crate) bytes_end: u64,
    /// When its newest block was appended.
    pub(crate) last_at: u64,
    /// Numbers within `numbers` that cannot be read: sorted, disjoint.
    pub(crate) damaged: Vec<Range<u64>>,
    /// Ascending in number and position.
    pub(crate) points: Vec<Point>,
}

/// A block as the index sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockAt {
    pub(crate) first: u64,
    pub(crate) count: u32,
    pub(crate) position: u64,
    pub(crate) bytes_before: u64,
    pub(crate) bytes: u64,
    pub(crate) at: u64,
}

impl Held {
    /// Nothing yet: `next` is the first number that may come.
    pub(crate) fn new(id: StreamId, next: u64, bytes: u64) -> Held {
        Held { id, numbers: next..next, bytes_end: bytes, last_at: 0, damaged: Vec::new(), points: Vec::new() }
    }

    /// Takes the next block; numbers between the last one and it are damaged.
    pub(crate) fn push(&mut self, block: BlockAt) {
        let end = block.first.saturating_add(u64::from(block.count));
        if block.first > self.numbers.end {
            self.damaged.push(self.numbers.end..block.first);
        }
        let wanted = self.points.last().is_none_or(|last| {
            block.bytes_before.saturating_sub(last.bytes) >= POINT_STREAM_BYTES
                || block.position.saturating_sub(last.position) >= POINT_FILE_BYTES
                || block.at.saturating_sub(last.at) >= POINT_MILLIS
        });
        if wanted {
            self.points.push(Point { number: block.first, position: block.position, bytes: block.bytes_before, at: block.at });
        }
        self.numbers.end = end;
        self.bytes_end = block.bytes_before.saturating_add(block.bytes);
        self.last_at = block.at;
    }

    /// Takes the next block, whose payload is damaged.
    pub(crate) fn push_damaged(&mut self, block: BlockAt) {
        let end = block.first.saturating_add(u64::from(block.count));
        self.damaged.push(self.numbers.end..end);
        self.damaged = merge(std::mem::take(&mut self.damaged));
        self.numbers.end = end;
        self.bytes_end = block.bytes_before.saturating_add(block.bytes);
        self.last_at = block.at;
    }

    /// Ends the stream's part at `end`: later numbers belong to a newer segment, missing ones are damaged.
    pub(crate) fn end_at(&mut self, end: u64, bytes: u64) {
        if end > self.numbers.end {
            self.damaged.push(self.numbers.end..end);
            self.damaged = merge(std::mem::take(&mut self.damaged));
        } else {
            self.damaged.retain_mut(|range| {
                range.end = range.end.min(end);
                !range.is_empty()
            });
            self.points.retain(|point| point.number < end);
        }
        self.numbers = self.numbers.start.min(end)..end;
        self.bytes_end = bytes;
    }

    /// The last point at or before `number`.
    pub(crate) fn point(&self, number: u64) -> Option<&Point> {
        let after = self.points.partition_point(|point| point.number <= number);
        after.checked_sub(1).and_then(|at| self.points.get(at))
    }

    /// The damaged range that `number` is in.
    pub(crate) fn damage_at(&self, number: u64) -> Option<&Range<u64>> {
        self.damaged.iter().find(|range| range.contains(&number))
    }

    /// Adds a damaged range that a reader found; returns how many numbers were not known to be damaged.
    pub(crate) fn add_damage(&mut self, found: Range<u64>) -> u64 {
        let total = |ranges: &[Range<u64>]| ranges.iter().map(count).sum::<u64>();
        let before = total(&self.damaged);
        self.damaged.push(found);
        self.damaged = merge(std::mem::take(&mut self.damaged));
        total(&self.damaged) - before
    }
}

/// How many numbers a range holds.
pub(crate) fn count(range: &Range<u64>) -> u64 {
    range.end.saturating_sub(range.start)
}

/// Sorts ranges and joins those that touch.
pub(crate) fn merge(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// A whole segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SegmentMap {
    /// The table it began with; `None` when both copies are damaged.
    pub(crate) table: Option<Table>,
    /// What it holds of each stream.
    pub(crate) streams: BTreeMap<StreamName, Held>,
    /// Bytes of the file that hold records.
    pub(crate) used: u64,
}

impl SegmentMap {
    /// The payload of the index record.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        self.table.clone().unwrap_or_default().encode(out);
        put_u32(out, u32::try_from(self.streams.len()).unwrap_or(u32::MAX));
        for (name, held) in &self.streams {
            put_u32(out, held.id.0);
            put_text(out, &name.to_string());
            for value in [held.numbers.start, held.numbers.end, held.bytes_end, held.last_at] {
                put_u64(out, value);
            }
            put_u32(out, u32::try_from(held.damaged.len()).unwrap_or(u32::MAX));
            for range in &held.damaged {
                put_u64(out, range.start);
                put_u64(out, range.end);
            }
            put_u32(out, u32::try_from(held.points.len()).unwrap_or(u32::MAX));
            for point in &held.points {
                for value in [point.number, point.position, point.bytes, point.at] {
                    put_u64(out, value);
                }
            }
        }
    }

    /// Reads an index that begins at `position`. `None` when it contradicts itself: the segment is then scanned.
    pub(crate) fn decode(payload: &[u8], position: u64) -> Option<SegmentMap> {
        let mut source = Source(payload);
        let table = Table::decode(&mut source)?;
        let mut streams = BTreeMap::new();
        for _ in 0..source.u32()? {
            let id = StreamId(source.u32()?);
            let name = source.text()?.parse().ok()?;
            let mut held = Held::new(id, 0, 0);
            held.numbers = source.u64()?..source.u64()?;
            held.bytes_end = source.u64()?;
            held.last_at = source.u64()?;
            for _ in 0..source.u32()? {
                held.damaged.push(source.u64()?..source.u64()?);
            }
            for _ in 0..source.u32()? {
                let point = Point { number: source.u64()?, position: source.u64()?, bytes: source.u64()?, at: source.u64()? };
                held.points.push(point);
            }
            let ascending = held.points.is_sorted_by(|a, b| a.number < b.number && a.position < b.position);
            let inside = held.points.iter().all(|point| held.numbers.contains(&point.number) && point.position < position);
            let numbers = held.numbers.start >= 1 && held.numbers.start <= held.numbers.end && held.numbers.end <= MOST;
            let bytes = held.bytes_end <= MOST && held.points.iter().all(|point| point.bytes <= held.bytes_end);
            let within = |range: &Range<u64>| held.numbers.start <= range.start && range.end <= held.numbers.end;
            let damaged = held.damaged.iter().all(within) && merge(held.damaged.clone()) == held.damaged;
            if !(ascending && inside && numbers && bytes && damaged) {
                return None;
            }
            streams.insert(name, held);
        }
        source.0.is_empty().then_some(SegmentMap { table: Some(table), streams, used: position })
    }
}
