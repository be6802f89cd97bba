//! What readers see: streams, segments and the tail in memory. Behind one mutex that is held for look-ups only, never across disk or await.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;

use bytes::Bytes;
use flagpost_event::StreamName;

use crate::head::Followers;
use crate::log::{Bounds, SegmentInfo, StreamId};
use crate::recovery::{Found, Known, Recovered};
use crate::segment::map::{BlockAt, Held, SegmentMap, count};
use crate::segment::scan::Scan;
use crate::segment::table::{Table, TableEntry};

/// A durable block whose lines are still in memory.
#[derive(Debug)]
pub(super) struct TailBlock {
    pub(super) first: u64,
    pub(super) count: u32,
    pub(super) bytes_before: u64,
    pub(super) at: u64,
    pub(super) lines: Bytes,
}

impl TailBlock {
    pub(super) fn end(&self) -> u64 {
        self.first + u64::from(self.count)
    }
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) name: StreamName,
    pub(super) head: u64,
    pub(super) bytes: u64,
    pub(super) followers: Followers,
    /// The newest blocks, without a gap up to the head.
    pub(super) tail: VecDeque<TailBlock>,
}

#[derive(Debug)]
pub(super) struct Segment {
    pub(super) table: Table,
    pub(super) streams: BTreeMap<StreamId, Held>,
    /// Bytes of durable records.
    pub(super) used: u64,
    /// See [`crate::recovery::Found::pins_next`].
    pub(super) pins_next: bool,
    /// The disk could not read all of it at the start: where its records end is not known.
    pub(super) unread: bool,
    /// See [`crate::recovery::Found::unknown`].
    pub(super) unknown: bool,
    /// Bytes behind `used` that could not be given back.
    pub(super) left: u64,
}

/// A durable block, to be published.
#[derive(Debug)]
pub(super) struct NewBlock {
    pub(super) stream: StreamId,
    pub(super) at: BlockAt,
    /// `None` when the group alone exceeds the tail.
    pub(super) lines: Option<Bytes>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) streams: BTreeMap<StreamId, Stream>,
    by_name: HashMap<StreamName, StreamId>,
    pub(super) segments: BTreeMap<u64, Segment>,
    /// The segment that is written to. The committer's; here so that nobody unlinks it.
    pub(super) active: Option<u64>,
    /// Blocks in memory, oldest first.
    tail: VecDeque<(StreamId, u64, usize)>,
    tail_bytes: usize,
    tail_most: usize,
}

impl State {
    fn new(tail_most: usize) -> State {
        State {
            streams: BTreeMap::new(),
            by_name: HashMap::new(),
            segments: BTreeMap::new(),
            active: None,
            tail: VecDeque::new(),
            tail_bytes: 0,
            tail_most,
        }
    }

    /// Everything that recovery found.
    pub(super) fn restore(recovered: Recovered, tail_most: usize) -> State {
        let mut state = State::new(tail_most);
        let mut streams: Vec<_> = recovered.streams.into_iter().collect();
        streams.sort_by_key(|(_, known)| known.id);
        for (name, known) in streams {
            state.restore_stream(name, known);
        }
        for (sequence, found) in recovered.segments {
            state.restore_segment(sequence, found);
        }
        state
    }

    /// Takes a stream that recovery found. Two names with one id cannot be; were it so, the second gets another id, so that no line crosses.
    fn restore_stream(&mut self, name: StreamName, known: Known) {
        let id = if self.streams.contains_key(&known.id) { self.free_id() } else { known.id };
        self.insert_stream(id, name, known.head, known.bytes);
    }

    /// Takes a segment that recovery found.
    fn restore_segment(&mut self, sequence: u64, found: Found) {
        let Found { map, pins_next, unreadable, unknown, .. } = found;
        let streams = map.streams.into_iter().filter_map(|(name, held)| Some((*self.by_name.get(&name)?, held)));
        let (streams, table) = (streams.collect(), map.table.unwrap_or_default());
        self.segments.insert(sequence, Segment { streams, table, used: map.used, pins_next, unread: unreadable, unknown, left: 0 });
    }

    /// A segment of which nothing was known can be read: what it holds of what it claimed. Returns how many events of that are damaged.
    pub(super) fn learn(&mut self, sequence: u64, scan: Scan) -> u64 {
        let known = |sequence: Option<u64>| sequence.and_then(|n| self.segments.get(&n)).is_some_and(|segment| !segment.unknown);
        let (older, newer) = (known(sequence.checked_sub(1)), known(sequence.checked_add(1)));
        let Some(segment) = self.segments.get_mut(&sequence) else { return 0 };
        let Scan { mut map, torn, .. } = scan;
        segment.pins_next |= torn;
        for (id, claim) in std::mem::take(&mut segment.streams) {
            let Some(name) = self.streams.get(&id).map(|stream| &stream.name) else { continue };
            let begins = map.table.as_ref().map(|table| table.next(name));
            let mut held = match map.streams.remove(name) {
                Some(held) => Held { id, ..held },
                // Nothing of it was found, and only here it can have been.
                None if newer && begins.is_some_and(|next| next < claim.numbers.end) => {
                    Held::new(id, begins.unwrap_or(claim.numbers.start), claim.bytes_end)
                }
                None => continue,
            };
            if begins.is_none() && older && claim.numbers.start < held.numbers.start {
                held.damaged.insert(0, claim.numbers.start..held.numbers.start);
                held.numbers.start = claim.numbers.start;
            }
            segment.pins_next |= held.numbers.end > claim.numbers.end;
            if held.numbers.end > claim.numbers.end || newer {
                held.end_at(claim.numbers.end, claim.bytes_end);
            }
            if !held.numbers.is_empty() {
                segment.streams.insert(id, held);
            }
        }
        (segment.unread, segment.unknown, segment.used) = (false, false, map.used);
        segment.table = map.table.unwrap_or_default();
        segment.streams.values().flat_map(|held| &held.damaged).map(count).sum()
    }

    /// Whether another segment of which nothing is known may hold a number; this one then no longer claims it.
    pub(super) fn leave(&mut self, sequence: u64, id: StreamId, number: u64) -> bool {
        let claims = |segment: &Segment| segment.unknown && segment.streams.get(&id).is_some_and(|held| held.numbers.contains(&number));
        let others = self.segments.iter().any(|(other, segment)| *other != sequence && claims(segment));
        let segment = self.segments.get_mut(&sequence).filter(|segment| others && claims(segment));
        segment.is_some_and(|segment| segment.streams.remove(&id).is_some())
    }

    /// The stream's id; a new one for a new name.
    pub(super) fn stream_id(&mut self, name: &StreamName) -> StreamId {
        if let Some(id) = self.by_name.get(name) {
            return *id;
        }
        let id = self.free_id();
        self.insert_stream(id, name.clone(), 1, 0);
        id
    }

    fn free_id(&self) -> StreamId {
        StreamId(self.streams.keys().next_back().map_or(1, |id| id.0.saturating_add(1)))
    }

    fn insert_stream(&mut self, id: StreamId, name: StreamName, head: u64, bytes: u64) {
        self.by_name.insert(name.clone(), id);
        self.streams.insert(id, Stream { name, head, bytes, followers: Followers::new(head), tail: VecDeque::new() });
    }

    /// The table of a segment that begins now.
    pub(super) fn table(&self) -> Table {
        let known = self.streams.iter().filter(|(_, stream)| stream.head > 1);
        Table(known.map(|(id, s)| (s.name.clone(), TableEntry { id: *id, next: s.head, bytes: s.bytes })).collect())
    }

    /// The index of a segment.
    pub(super) fn map(&self, sequence: u64) -> Option<SegmentMap> {
        let segment = self.segments.get(&sequence)?;
        let named = segment.streams.iter().filter_map(|(id, held)| Some((self.streams.get(id)?.name.clone(), held.clone())));
        Some(SegmentMap { table: Some(segment.table.clone()), streams: named.collect(), used: segment.used })
    }

    /// Makes a group visible: it is durable in segment `sequence` up to byte `used`.
    pub(super) fn publish(&mut self, sequence: u64, used: u64, blocks: Vec<NewBlock>) {
        let Some(segment) = self.segments.get_mut(&sequence) else { return };
        segment.used = used;
        for block in blocks {
            let Some(stream) = self.streams.get_mut(&block.stream) else { continue };
            let held =
                segment.streams.entry(block.stream).or_insert_with(|| Held::new(block.stream, block.at.first, block.at.bytes_before));
            held.push(block.at);
            stream.head = block.at.first + u64::from(block.at.count);
            stream.bytes = block.at.bytes_before + block.at.bytes;
            match block.lines {
                Some(lines) => {
                    self.tail_bytes += lines.len();
                    let BlockAt { first, count, bytes_before, at, .. } = block.at;
                    self.tail.push_back((block.stream, first, lines.len()));
                    stream.tail.push_back(TailBlock { first, count, bytes_before, at, lines });
                }
                // The tail has no gaps: what is before a block that is not in it goes.
                None => while stream.tail.pop_front().is_some() {},
            }
        }
        while self.tail_bytes > self.tail_most
            && let Some((id, first, bytes)) = self.tail.pop_front()
        {
            self.tail_bytes -= bytes;
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            if stream.tail.front().is_some_and(|front| front.first == first) {
                stream.tail.pop_front();
            }
        }
    }

    pub(super) fn bounds(&self, id: StreamId) -> Bounds {
        let Some(stream) = self.streams.get(&id) else { return Bounds { oldest: 1, head: 1 } };
        let oldest = self.held(id).next().map_or(stream.head, |(_, held)| held.numbers.start);
        Bounds { oldest, head: stream.head }
    }

    /// The stream's parts of segments, oldest first.
    pub(super) fn held(&self, id: StreamId) -> impl Iterator<Item = (u64, &Held)> {
        self.segments.iter().filter_map(move |(sequence, segment)| Some((*sequence, segment.streams.get(&id)?)))
    }

    /// The segment that answers for a number.
    pub(super) fn segment_of(&self, id: StreamId, number: u64) -> Option<(u64, &Held)> {
        self.held(id).find(|(_, held)| held.numbers.contains(&number))
    }

    /// The tail block that holds a number: its place in the stream's tail.
    pub(super) fn tail_block(stream: &Stream, number: u64) -> Option<usize> {
        let at = stream.tail.partition_point(|block| block.end() <= number);
        stream.tail.get(at).filter(|block| block.first <= number).map(|_| at)
    }

    pub(super) fn bytes_before(&self, id: StreamId, number: u64) -> u64 {
        let Some(stream) = self.streams.get(&id) else { return 0 };
        if number >= stream.head {
            return stream.bytes;
        }
        if let Some(at) = Self::tail_block(stream, number) {
            return stream.tail[at].bytes_before;
        }
        let mut before = 0;
        for (_, held) in self.held(id) {
            if held.numbers.start > number {
                break;
            }
            before = match held.point(number) {
                Some(_) if number >= held.numbers.end => held.bytes_end,
                Some(point) => point.bytes,
                None => before,
            };
        }
        before
    }

    pub(super) fn number_within(&self, id: StreamId, bytes: u64) -> u64 {
        let Some(stream) = self.streams.get(&id) else { return 1 };
        let least = stream.bytes.saturating_sub(bytes);
        for (_, held) in self.held(id) {
            if held.bytes_end < least {
                continue;
            }
            if let Some(point) = held.points.iter().find(|point| point.bytes >= least) {
                return point.number;
            }
        }
        stream.tail.iter().find(|block| block.bytes_before >= least).map_or(stream.head, |block| block.first)
    }

    pub(super) fn appended_at(&self, id: StreamId, number: u64) -> Option<u64> {
        let stream = self.streams.get(&id)?;
        if let Some(at) = Self::tail_block(stream, number) {
            return Some(stream.tail[at].at);
        }
        let (_, held) = self.segment_of(id, number)?;
        Some(held.point(number).map_or(held.last_at, |point| point.at))
    }

    pub(super) fn infos(&self) -> Vec<SegmentInfo> {
        let holds = |segment: &Segment| segment.streams.iter().map(|(id, held)| (*id, held.numbers.clone())).collect();
        self.segments.values().map(|segment| SegmentInfo { bytes: segment.used + segment.left, holds: holds(segment) }).collect()
    }

    pub(super) fn held_bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.used + segment.left).sum()
    }

    /// Segments that nobody needs, given what each stream keeps. They are out of the state from here on.
    pub(super) fn trim(&mut self, keep_from: &HashMap<StreamId, u64>) -> Vec<u64> {
        let consumed =
            |segment: &Segment| segment.streams.iter().all(|(id, held)| keep_from.get(id).is_some_and(|keep| *keep >= held.numbers.end));
        let newest = self.segments.keys().next_back().copied();
        let mut pinned = false;
        let mut gone = Vec::new();
        for (&sequence, segment) in &self.segments {
            let keep = pinned || Some(sequence) == self.active || Some(sequence) == newest || !consumed(segment);
            if keep {
                pinned = segment.pins_next;
            } else {
                gone.push(sequence);
            }
        }
        for sequence in &gone {
            self.segments.remove(sequence);
        }
        gone
    }

    /// Whether everything in the newest segment is consumed, and when its newest event came.
    pub(super) fn newest_consumed(&self, keep_from: &HashMap<StreamId, u64>) -> Option<(u64, u64)> {
        let segment = self.segments.values().next_back()?;
        let consumed = |(id, held): (&StreamId, &Held)| keep_from.get(id).is_some_and(|keep| *keep >= held.numbers.end);
        let last_at = segment.streams.values().map(|held| held.last_at).max()?;
        segment.streams.iter().all(consumed).then_some((segment.used, last_at))
    }

    /// Records damage that a reader found; returns how many events were not known to be damaged.
    pub(super) fn add_damage(&mut self, sequence: u64, id: StreamId, found: Range<u64>) -> u64 {
        let held = self.segments.get_mut(&sequence).and_then(|segment| segment.streams.get_mut(&id));
        held.map_or(0, |held| {
            let within = found.start.max(held.numbers.start)..found.end.min(held.numbers.end);
            held.add_damage(within)
        })
    }

    /// Events known to be damaged.
    pub(super) fn damaged(&self) -> u64 {
        self.segments
            .values()
            .flat_map(|segment| segment.streams.values())
            .flat_map(|held| &held.damaged)
            .map(count)
            .fold(0, u64::saturating_add)
    }
}
