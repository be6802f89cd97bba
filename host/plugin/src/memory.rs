//! The memory that plugins may use, given out in parts: all limits together never exceed it, two generations of one plugin included.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What all plugins together may use.
#[derive(Debug)]
pub(crate) struct Budget {
    given: AtomicU64,
    pub(crate) most: u64,
}

/// A part of the budget; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Budget {
    pub(crate) fn new(most: u64) -> Arc<Budget> {
        Arc::new(Budget { given: AtomicU64::new(0), most })
    }

    /// A part of it. `Err`: that is more than is left beside what was given out, which is returned.
    pub(crate) fn take(self: &Arc<Self>, bytes: u64) -> Result<Reservation, u64> {
        let add = |given: u64| given.checked_add(bytes).filter(|sum| *sum <= self.most);
        self.given.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)?;
        Ok(Reservation { budget: Arc::clone(self), bytes })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.given.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn parts_never_exceed_the_whole_and_come_back() {
        let budget = Budget::new(100);
        let first = budget.take(60).unwrap();
        assert_eq!(budget.take(41).unwrap_err(), 60);
        let second = budget.take(40).unwrap();
        assert_eq!(budget.take(u64::MAX).unwrap_err(), 100);
        drop(first);
        assert!(budget.take(60).is_ok());
        drop(second);
    }
}
