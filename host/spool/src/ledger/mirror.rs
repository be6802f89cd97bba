//! The bookkeeping as it is in memory: what every question is answered from.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flagpost_event::StreamName;

use crate::{ConsumerId, ConsumerRecord, Identity};

/// The records, and how far the disk is behind them. A record changes here after it became durable, except for the cursors in `dirty`.
#[derive(Debug, Default)]
pub(crate) struct Mirror {
    records: BTreeMap<ConsumerId, Entry>,
    /// Cursors that moved and are not durable yet.
    dirty: BTreeMap<ConsumerId, u64>,
    /// How many dead letters are marked to be sent again.
    marked: BTreeMap<ConsumerId, u64>,
    /// The name clock: last timestamp used, by destination.
    pub(crate) names: BTreeMap<String, u64>,
    /// How the database began, until the log was attached to it.
    pub(crate) origin: Origin,
    /// The store that the cursors belong to.
    pub(crate) store: Option<String>,
    /// Streams that held events when the bookkeeping began anew, with their heads of that time.
    pub(crate) found: BTreeMap<StreamName, u64>,
}

/// Whether cursors can be trusted to be complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A new database that has not seen its log yet.
    #[default]
    Created,
    /// A database that replaces a damaged one and has not seen its log yet.
    Rebuilt,
    /// It knows its log.
    Attached,
}

#[derive(Debug)]
struct Entry {
    record: ConsumerRecord,
    durable: u64,
}

/// The mirror, shared by all handles and the thread that writes. Its lock is held for a few map operations only.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared(Arc<Mutex<Mirror>>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Mirror> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mirror {
    pub(crate) fn all(&self) -> Vec<ConsumerRecord> {
        self.records.values().map(|entry| entry.record.clone()).collect()
    }

    pub(crate) fn get(&self, id: ConsumerId) -> Option<ConsumerRecord> {
        self.records.get(&id).map(|entry| entry.record.clone())
    }

    pub(crate) fn find(&self, identity: &Identity, stream: &StreamName) -> Option<ConsumerRecord> {
        let mut records = self.records.values().map(|entry| &entry.record);
        records.find(|record| record.identity == *identity && record.stream == *stream).cloned()
    }

    /// Takes over what just became durable. A cursor that moved on meanwhile stays where it is.
    pub(crate) fn put(&mut self, record: ConsumerRecord) {
        let id = record.id;
        let durable = record.cursor;
        let ahead = self.dirty.get(&id).copied().filter(|&cursor| cursor > durable);
        if ahead.is_none() {
            self.dirty.remove(&id);
        }
        let record = ConsumerRecord { cursor: ahead.unwrap_or(durable), ..record };
        self.records.insert(id, Entry { record, durable });
    }

    pub(crate) fn remove(&mut self, id: ConsumerId) {
        self.records.remove(&id);
        self.dirty.remove(&id);
        self.marked.remove(&id);
    }

    /// How many dead letters of a consumer are marked.
    pub(crate) fn marked(&self, identity: &Identity, stream: &StreamName) -> u64 {
        let mut records = self.records.values().map(|entry| &entry.record);
        let record = records.find(|record| record.identity == *identity && record.stream == *stream);
        record.and_then(|record| self.marked.get(&record.id)).copied().unwrap_or(0)
    }

    /// So many letters became marked, durably.
    pub(crate) fn mark(&mut self, id: ConsumerId, count: u64) {
        *self.marked.entry(id).or_default() += count;
    }

    /// So many letters are no longer marked, or no longer there.
    pub(crate) fn unmark(&mut self, id: ConsumerId, count: u64) {
        let marked = self.marked.entry(id).or_default();
        *marked = marked.saturating_sub(count);
    }

    /// The letters stayed behind in a file that was set aside.
    pub(crate) fn lose_marks(&mut self) {
        self.marked.clear();
    }

    /// Moves a cursor in memory. Returns whether this is the first move since the last write; a cursor never moves back.
    pub(crate) fn advance(&mut self, id: ConsumerId, cursor: u64) -> bool {
        let Some(entry) = self.records.get_mut(&id) else { return false };
        if cursor <= entry.record.cursor {
            return false;
        }
        entry.record.cursor = cursor;
        let first = self.dirty.is_empty();
        self.dirty.insert(id, cursor);
        first
    }

    /// Cursors that moved go back to where they are durable.
    pub(crate) fn lose_moves(&mut self) {
        for id in std::mem::take(&mut self.dirty).into_keys() {
            if let Some(entry) = self.records.get_mut(&id) {
                entry.record.cursor = entry.durable;
            }
        }
    }

    pub(crate) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// The records whose cursors are not durable.
    pub(crate) fn dirty(&self) -> Vec<ConsumerRecord> {
        self.dirty.keys().filter_map(|&id| self.get(id)).collect()
    }

    /// These cursors became durable.
    pub(crate) fn written(&mut self, cursors: &[(ConsumerId, u64)]) {
        for &(id, cursor) in cursors {
            if self.dirty.get(&id).is_some_and(|&dirty| dirty <= cursor) {
                self.dirty.remove(&id);
            }
            if let Some(entry) = self.records.get_mut(&id) {
                entry.durable = entry.durable.max(cursor);
            }
        }
    }

    /// Per stream the lowest cursor that a crash cannot move back.
    pub(crate) fn durable_floor(&self) -> Vec<(StreamName, u64)> {
        let mut floor = BTreeMap::new();
        for Entry { record, durable } in self.records.values() {
            let lowest = floor.entry(record.stream.clone()).or_insert(*durable);
            *lowest = (*lowest).min(*durable);
        }
        floor.into_iter().collect()
    }
}
