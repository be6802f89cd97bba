//! A task's event counts at one instant, so that their sum holds in every scrape: accepted = delivered + waiting + dead + dropped.

use std::collections::BTreeMap;

use flagpost_delivery::TaskStatus;
use flagpost_spool::DropReason;

/// One task's counts.
pub(crate) struct Snapshot {
    pub(crate) accepted: u64,
    pub(crate) delivered: u64,
    pub(crate) waiting: u64,
    /// In the dead letters now.
    pub(crate) dead: u64,
    /// Delivered out of the dead letters.
    pub(crate) replayed: u64,
    pub(crate) dropped: BTreeMap<DropReason, u64>,
}

impl Snapshot {
    /// Events that ever came into the dead letters: what is left of them, and where the others went. Never falls, as a counter must not.
    pub(crate) fn condemned(&self) -> u64 {
        self.dead + self.replayed + self.dropped.get(&DropReason::DeadLetter).copied().unwrap_or(0)
    }

    pub(crate) fn of(task: &TaskStatus) -> Snapshot {
        // The position before the head: the other way round, the position could be past it.
        let numbers = task.numbers();
        let accepted = task.accepted();
        let settled = numbers.cursor.saturating_sub(numbers.start);
        let dropped: u64 = numbers.dropped.values().sum();
        Snapshot {
            accepted,
            delivered: settled.saturating_sub(numbers.dead).saturating_sub(dropped),
            waiting: accepted.saturating_sub(settled),
            dead: numbers.dead,
            replayed: numbers.replayed,
            dropped: numbers.dropped,
        }
    }
}
