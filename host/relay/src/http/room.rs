//! How much memory all requests that are being taken may hold together (`collector.maxInFlight`).
//!
//! Each limit of the collector bounds one request; a few hundred at the same time, each within its limits, would still be more than any
//! machine has. So every byte that a request makes the relay hold is asked for before it is held: its body as it arrives, what it inflates
//! to, its lines until the log has them. Who gets none is answered 429 (or 413, when it alone wants more than there is for all) before
//! anything of it was taken.
//!
//! Bytes are taken in grains: the usual request asks once and gives back once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Semaphore;

/// Bytes come in pieces of this size: enough for a body of a few events and its lines, and 10,000 connections (`maxConnections`) with one
/// each are a third of the default.
const GRAIN: u64 = 16 << 10;

/// Room for requests. All of a relay's share one.
#[derive(Debug)]
pub(crate) struct Room {
    most: u64,
    held: AtomicU64,
    refused: AtomicU64,
    /// Turns for decoding what is large or compressed: more at once than there are processors would only hold more memory.
    turns: Semaphore,
}

/// There is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// Others have it; later there will be some.
    Busy {
        /// What there is for all, in bytes.
        most: u64,
    },
    /// There is less for all requests together.
    Never {
        /// What there is for all, in bytes.
        most: u64,
    },
}

impl Room {
    /// `most`: bytes for all requests together.
    pub(crate) fn new(most: usize) -> Arc<Room> {
        let turns = std::thread::available_parallelism().map_or(2, usize::from).max(2);
        Arc::new(Room { most: (most as u64).max(GRAIN), held: AtomicU64::new(0), refused: AtomicU64::new(0), turns: Semaphore::new(turns) })
    }

    /// What one request holds: nothing yet.
    pub(crate) fn hold(self: &Arc<Self>) -> Hold {
        Hold { room: Arc::clone(self), taken: 0, used: 0 }
    }

    /// Turns for heavy work.
    pub(crate) fn turns(&self) -> &Semaphore {
        &self.turns
    }

    /// Bytes that are held, and requests that got none.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.held.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed))
    }

    fn take(&self, bytes: u64, held_by_the_same: u64) -> Result<(), NoRoom> {
        let most = self.most;
        let fits = |held: u64| held.checked_add(bytes).filter(|&sum| sum <= most);
        match self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(_) => Ok(()),
            Err(_) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                Err(if held_by_the_same.saturating_add(bytes) > most { NoRoom::Never { most } } else { NoRoom::Busy { most } })
            }
        }
    }
}

/// What one request holds; given back when dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    room: Arc<Room>,
    taken: u64,
    used: u64,
}

impl Hold {
    /// Asks for `bytes` more, before they are held.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let used = self.used.saturating_add(bytes as u64);
        if used > self.taken {
            let more = (used - self.taken).checked_next_multiple_of(GRAIN).unwrap_or(u64::MAX);
            self.room.take(more, self.taken)?;
            self.taken += more;
        }
        self.used = used;
        Ok(())
    }

    /// Gives `bytes` back, after they were freed.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        self.give_back_to(self.used.saturating_sub(bytes as u64));
    }

    /// Gives everything but `bytes` back.
    pub(crate) fn settle(&mut self, bytes: usize) {
        self.give_back_to(self.used.min(bytes as u64));
    }

    fn give_back_to(&mut self, used: u64) {
        self.used = used;
        let left = self.used.next_multiple_of(GRAIN).max(GRAIN);
        if left < self.taken {
            self.room.held.fetch_sub(self.taken - left, Ordering::Relaxed);
            self.taken = left;
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.taken > 0 {
            self.room.held.fetch_sub(self.taken, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_taken_in_grains_and_given_back() {
        let room = Room::new(100 << 10);
        let mut one = room.hold();
        assert_eq!(one.grow(1), Ok(()));
        assert_eq!(one.grow(GRAIN as usize - 1), Ok(()));
        assert_eq!(room.counts(), (GRAIN, 0), "asked once");
        assert_eq!(one.grow(60_000), Ok(()));
        let mut two = room.hold();
        assert_eq!(two.grow(50_000), Err(NoRoom::Busy { most: 100 << 10 }));
        one.shrink(60_000);
        assert_eq!(two.grow(50_000), Ok(()));
        drop((one, two));
        assert_eq!(room.counts(), (0, 1));
    }

    #[test]
    fn a_request_that_alone_wants_more_than_there_is_is_told_so() {
        let room = Room::new(1 << 20);
        let mut hold = room.hold();
        assert_eq!(hold.grow(600 << 10), Ok(()));
        assert_eq!(hold.grow(600 << 10), Err(NoRoom::Never { most: 1 << 20 }));
        assert_eq!(hold.grow(usize::MAX), Err(NoRoom::Never { most: 1 << 20 }));
        assert_eq!(hold.grow(300 << 10), Ok(()), "a refusal takes nothing");
    }
}
