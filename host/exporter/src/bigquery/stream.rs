//! Exactly once into BigQuery: a batch's place is decided, and durable, before it is sent.
//!
//! A relay may be killed after BigQuery took a batch and before the relay noted that; an answer may be lost; a call may be given up and arrive all the same.
//! Then the same batch comes again, and must not be in the table twice. BigQuery helps with offsets: a committed stream takes rows at
//! offset `n` only when it has exactly `n` rows, and answers ALREADY_EXISTS when it has more.
//!
//! * **The plan** of a batch is the stream's name and the offset at which it begins. Delivery keeps it, synced, before the first attempt, and gives
//!   it back with every further one, also after a restart.
//! * **A batch is one request**, which BigQuery takes as a whole or not at all. Limits see to it that it fits. So ALREADY_EXISTS at the planned
//!   offset means that all of it is there.
//! * **A place is given to one batch only.** What would break that is a second batch planned at an offset where the first may arrive late. So
//!   a stream is continued only by the batch that follows one which BigQuery *took* ("here is your answer", not "it is there already"),
//!   and is known only to the process that heard so. After anything else, and after a restart, the next batch begins a stream of its own.
//!   That is one cheap call (CreateWriteStream), and streams need no deleting.
//! * **Other sets, other places.** When delivery takes a batch apart (rows that were rejected, events over budget, a search for the guilty), each
//!   part has a plan of its own. Nothing of the first attempt was taken then, because requests are atomic.
//! * **A stream that has ended** (finalised by somebody, or by BigQuery) says how many rows it has, and with that whether the batch is among
//!   them. Only if not is another place planned.
//!
//! # Where exactly once ends
//! * A stream that is not there any more cannot say whether the batch was in it. BigQuery keeps one for four days without traffic: a relay that was killed
//!   between the answer and its note, and is started again only after that, writes its last batch twice. So does one whose table was
//!   deleted and made anew, where that does not matter, and one whose emulator forgets streams when it is restarted.
//! * When the batch itself changes while an attempt is in doubt (part of it is given up over budget, or it killed the process three times and
//!   is being bisected), its parts are other batches: rows may be there twice. Nothing is ever left out.
//! * Bookkeeping that was damaged and rebuilt starts at the oldest event it has.
//! * `writeApi: insertAll` promises less: see `request.rs`.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use flagpost_event::{ObjectPlan, StreamName};

/// Ends of streams that may be continued.
#[derive(Debug, Default)]
pub(super) struct Tails(Mutex<HashMap<StreamName, ObjectPlan>>);

impl Tails {
    /// Where the next batch of these events may go. It is given away once: whoever asks next begins a stream.
    pub(super) fn take(&self, events: &StreamName) -> Option<ObjectPlan> {
        self.known().remove(events)
    }

    /// BigQuery took so many rows at this place.
    pub(super) fn taken(&self, events: &StreamName, at: &ObjectPlan, rows: usize) {
        let offset = at.offset.unwrap_or_default() + rows as u64;
        self.known().insert(events.clone(), ObjectPlan { name: at.name.clone(), offset: Some(offset) });
    }

    /// No stream is continued any more.
    pub(super) fn clear(&self) {
        self.known().clear();
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<StreamName, ObjectPlan>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use flagpost_event::EventKind;

    use super::*;

    #[test]
    fn a_place_is_given_to_one_batch_only() {
        let (tails, plan) = (Tails::default(), |offset| ObjectPlan { name: "s".to_owned(), offset: Some(offset) });
        let (feature, tracking) = (StreamName::new("default", EventKind::Feature), StreamName::new("default", EventKind::Tracking));
        assert_eq!(tails.take(&feature), None);
        tails.taken(&feature, &plan(0), 10);
        assert_eq!(tails.take(&tracking), None);
        assert_eq!(tails.take(&feature), Some(plan(10)));
        assert_eq!(tails.take(&feature), None, "until that batch was taken");
        tails.taken(&feature, &plan(10), 5);
        assert_eq!(tails.take(&feature), Some(plan(15)));
    }
}
