//! A bookkeeping for the tests of other crates: in memory, with the two speeds of one on a disk, and able to crash and to fail.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use flagpost_event::Clock;

use super::engine::Engine;
use super::runner::Runner;
use super::{Ledger, LedgerError};

impl Ledger {
    /// For tests: as [`memory`](Self::memory), but cursors that were [`advance`](Self::advance)d become durable only with the next change or
    /// [`flush`](Self::flush). The caller flushes when 200 ms are up on its own clock.
    pub fn lazy(clock: Arc<dyn Clock>) -> Result<Ledger, LedgerError> {
        let engine = Engine::memory(clock)?;
        Ok(Ledger { mirror: engine.mirror().clone(), runner: Arc::new(Runner::lazy(engine)) })
    }

    /// For tests: what a crash does. Cursors go back to where they were durable.
    pub fn crash(&self) {
        self.mirror.lock().lose_moves();
    }

    /// For tests: a [`lazy`](Self::lazy) one refuses every change from now on, or no longer.
    pub fn refuse(&self, refuse: bool) {
        if let Runner::Lazy { refuses, .. } = &*self.runner {
            refuses.store(refuse, Ordering::Relaxed);
        }
    }
}
