//! The stream table at the head of a segment: every stream's next number when the segment began.
//!
//! It is what makes a segment's numbers final: whatever an older segment holds from `next` on was never acknowledged (a group whose sync
//! failed, a torn tail) and its numbers were given to other events. It is written twice, so that no single damaged byte loses it.

use std::collections::BTreeMap;

use flagpost_event::StreamName;

use super::codec::{Source, put_text, put_u32, put_u64};
use super::map::MOST;
use crate::log::StreamId;

/// A stream in a [`Table`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableEntry {
    pub(crate) id: StreamId,
    /// The number that the stream's next event gets.
    pub(crate) next: u64,
    /// Bytes of all lines of the stream so far.
    pub(crate) bytes: u64,
}

/// All streams that ever had an event, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table(pub(crate) BTreeMap<StreamName, TableEntry>);

impl Table {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_u32(out, u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        for (name, entry) in &self.0 {
            put_u32(out, entry.id.0);
            put_u64(out, entry.next);
            put_u64(out, entry.bytes);
            put_text(out, &name.to_string());
        }
    }

    pub(crate) fn decode(source: &mut Source<'_>) -> Option<Table> {
        let count = source.u32()?;
        let mut streams = BTreeMap::new();
        for _ in 0..count {
            let entry = TableEntry { id: StreamId(source.u32()?), next: source.u64()?, bytes: source.u64()? };
            if !(1..=MOST).contains(&entry.next) || entry.bytes > MOST {
                return None;
            }
            streams.insert(source.text()?.parse().ok()?, entry);
        }
        Some(Table(streams))
    }

    /// The next number of a stream; a stream that is not listed had none.
    pub(crate) fn next(&self, name: &StreamName) -> u64 {
        self.0.get(name).map_or(1, |entry| entry.next)
    }
}
