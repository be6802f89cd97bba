//! Whether the collector may take events: a `whenFull: block` exporter that is full refuses its flag set's, before anything is taken.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::status::TaskStatus;

/// What a refused client is told to wait. Backlogs move slowly: a shorter pause only makes more refused requests.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Asked by the collector before it takes a request; cheap to clone and to ask.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Whether there is any blocking exporter at all: most relays have none.
    any: AtomicBool,
    blocking: RwLock<Vec<Blocking>>,
}

/// One `block` exporter and its bound.
#[derive(Clone, Debug)]
pub(crate) struct Blocking {
    pub(crate) status: Arc<TaskStatus>,
    pub(crate) max_backlog: u64,
}

/// The flag set's events are refused for now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("exporter `{exporter}` is full (`maxBacklog`) and blocks (`whenFull: block`)")]
pub struct Blocked {
    /// The exporter that is full.
    pub exporter: String,
    /// When the client may come again.
    pub retry_after: Duration,
}

impl Admission {
    /// Whether events of the flag set may be taken now.
    pub fn check(&self, flag_set: &str) -> Result<(), Blocked> {
        if !self.inner.any.load(Ordering::Acquire) {
            return Ok(());
        }
        let blocking = self.inner.blocking.read().unwrap_or_else(PoisonError::into_inner);
        let full =
            blocking.iter().find(|one| one.status.stream().flag_set.as_ref() == flag_set && one.status.waiting_bytes() >= one.max_backlog);
        match full {
            Some(one) => Err(Blocked { exporter: one.status.identity().exporter.clone(), retry_after: RETRY_AFTER }),
            None => Ok(()),
        }
    }

    /// Whether an exporter of the flag set blocks (`whenFull: block`): nothing that it needs is given up.
    pub fn blocks(&self, flag_set: &str) -> bool {
        self.inner.any.load(Ordering::Acquire) && {
            let blocking = self.inner.blocking.read().unwrap_or_else(PoisonError::into_inner);
            blocking.iter().any(|one| one.status.stream().flag_set.as_ref() == flag_set)
        }
    }

    pub(crate) fn replace(&self, blocking: Vec<Blocking>) {
        let any = !blocking.is_empty();
        *self.inner.blocking.write().unwrap_or_else(PoisonError::into_inner) = blocking;
        self.inner.any.store(any, Ordering::Release);
    }
}
