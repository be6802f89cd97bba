//! Which segment answers for which numbers.

use std::collections::BTreeMap;

use flagpost_event::StreamName;

use super::{Found, Known};
use crate::log::StreamId;
use crate::segment::map::{Held, SegmentMap};
use crate::segment::scan::Scan;
use crate::segment::table::Table;

/// Per stream the first number that is not a segment's own, and the stream's bytes before it.
pub(super) type Limits = BTreeMap<StreamName, (u64, u64)>;

/// What newer segments say about the ends of older ones.
#[derive(Debug, Default)]
pub(super) struct Newer {
    /// The segment after the one at hand, when its table is known.
    adjacent: Option<u64>,
    /// Whether any newer segment's table is known, so that an unlisted stream had no events before it.
    pub(super) table: bool,
    /// The lowest numbers that newer segments claim.
    pub(super) limits: Limits,
}

impl Newer {
    /// Ends every stream's part of a segment where newer ones begin. The flag: it holds events beyond that.
    pub(super) fn bound(&mut self, mut map: SegmentMap, sequence: u64, torn: bool) -> (SegmentMap, bool) {
        // What a missing segment held is gone, not damaged; what one without a table held is its own.
        let adjacent = self.adjacent == Some(sequence + 1);
        let mut beyond = torn;
        for (name, held) in &mut map.streams {
            match self.limits.get(name) {
                Some(&(limit, bytes)) if limit < held.numbers.end || adjacent => {
                    beyond |= limit < held.numbers.end;
                    held.end_at(limit, bytes);
                }
                None if self.table => {
                    beyond = true;
                    held.end_at(1, 0);
                }
                _ => {}
            }
        }
        map.streams.retain(|_, held| !held.numbers.is_empty());
        if adjacent && let Some(table) = &map.table {
            for (name, &(limit, bytes)) in &self.limits {
                let next = table.next(name);
                if next < limit && !map.streams.contains_key(name) {
                    map.streams.insert(name.clone(), lost(next, limit, bytes));
                }
            }
        }
        self.adjacent = map.table.is_some().then_some(sequence);
        match &map.table {
            Some(table) => {
                self.table = true;
                self.limits = table.0.iter().map(|(name, entry)| (name.clone(), (entry.next, entry.bytes))).collect();
            }
            None => {
                for (name, held) in &map.streams {
                    let bytes = held.points.first().map_or(held.bytes_end, |point| point.bytes);
                    let limit = self.limits.entry(name.clone()).or_insert((held.numbers.start, bytes));
                    *limit = (*limit).min((held.numbers.start, bytes));
                }
            }
        }
        (map, beyond)
    }
}

/// A part of which nothing was found.
fn lost(start: u64, end: u64, bytes: u64) -> Held {
    // Streams are known by name: the id is not looked at.
    let mut held = Held::new(StreamId(0), start, bytes);
    held.end_at(end, bytes);
    held
}

/// Gives a segment whose table is lost the numbers between its neighbours. `limits`: where the newer one begins.
pub(super) fn adopt(segments: &mut BTreeMap<u64, Found>, sequence: u64, limits: &Limits) {
    // What one that cannot be read holds is not known: what is missing before it may be its own, and several may claim the same numbers
    // until they can be read.
    let unreadable = segments.get(&sequence).is_some_and(|found| found.unreadable);
    let older: BTreeMap<StreamName, u64> = match segments.range(..sequence).next_back() {
        Some((&before, _)) if before + 1 != sequence && !unreadable => return,
        Some(_) => {
            let known = segments.range(..sequence).filter(|(_, found)| !found.unknown);
            let parts = known.flat_map(|(_, found)| &found.map.streams);
            parts.map(|(name, held)| (name.clone(), held.numbers.end)).collect()
        }
        None => BTreeMap::new(),
    };
    let oldest = older.is_empty();
    let Some(found) = segments.get_mut(&sequence) else { return };
    // Nothing says where the oldest segment began. Only while there may be more in it than could be read, it answers for everything.
    if oldest && !found.unreadable {
        return;
    }
    for (name, &(limit, bytes)) in limits {
        let start = older.get(name).copied().unwrap_or(1);
        match found.map.streams.get_mut(name) {
            Some(held) if start < held.numbers.start => {
                held.damaged.insert(0, start..held.numbers.start);
                held.numbers.start = start;
            }
            None if start < limit => {
                found.map.streams.insert(name.clone(), lost(start, limit, bytes));
            }
            _ => {}
        }
    }
}

pub(super) fn learn_streams(scan: &Scan, streams: &mut BTreeMap<StreamName, Known>) {
    let empty = Table::default();
    for (name, entry) in &scan.map.table.as_ref().unwrap_or(&empty).0 {
        let known = streams.entry(name.clone()).or_insert(Known { id: entry.id, head: 1, bytes: 0 });
        if entry.next > known.head {
            (known.head, known.bytes) = (entry.next, entry.bytes);
        }
    }
    for (name, held) in &scan.map.streams {
        streams.entry(name.clone()).or_insert(Known { id: held.id, head: 1, bytes: 0 });
    }
}

pub(super) fn learn_heads(map: &SegmentMap, streams: &mut BTreeMap<StreamName, Known>) {
    for (name, held) in &map.streams {
        if let Some(known) = streams.get_mut(name)
            && held.numbers.end > known.head
        {
            (known.head, known.bytes) = (held.numbers.end, held.bytes_end);
        }
    }
}
