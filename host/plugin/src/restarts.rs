//! How fast a plugin that crashes may be started again.
//!
//! Delivery waits between attempts of a batch, and searches for the guilty event without waiting; so a search gets its instances at once.
//! A plugin that answers to nothing at all is slowed: after [`FREE`] crashes in a row each further call waits, at most [`LONGEST`]. The
//! pause is the plugin's own: no other exporter waits in it. One answer, or another file, ends it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Crashes in a row that cost no pause: a search through a batch of a million events meets about so many before an event goes through.
const FREE: u32 = 20;

/// The pause after one more than that; doubles.
const FIRST: Duration = Duration::from_millis(100);

/// No pause is longer.
const LONGEST: Duration = Duration::from_secs(5);

/// The crashes in a row of one generation.
#[derive(Debug, Default)]
pub(crate) struct Restarts(AtomicU32);

impl Restarts {
    /// A call ended without an answer; whether the plugin is slowed from now on.
    pub(crate) fn crashed(&self) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed) == FREE
    }

    /// A call was answered.
    pub(crate) fn answered(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    pub(crate) fn in_a_row(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// What the next call waits.
    pub(crate) fn pause(&self) -> Duration {
        match self.in_a_row().checked_sub(FREE + 1) {
            Some(doublings) => FIRST.saturating_mul(1 << doublings.min(10)).min(LONGEST),
            None => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_begin_late_double_are_bounded_and_end_with_an_answer() {
        let restarts = Restarts::default();
        let begun = (0..40).map(|_| restarts.crashed()).filter(|slowed| *slowed).count();
        assert_eq!((begun, restarts.in_a_row(), restarts.pause()), (1, 40, LONGEST));
        restarts.answered();
        assert_eq!(restarts.pause(), Duration::ZERO);
        let pauses: Vec<u128> = (0..30)
            .map(|_| {
                restarts.crashed();
                restarts.pause().as_millis()
            })
            .collect();
        assert_eq!(pauses[..20], [0; 20]);
        assert_eq!(pauses[20..], [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000, 5000]);
    }
}
