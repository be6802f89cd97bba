//! What became of configurations that were read while the relay ran; for `/health/exporters` and `/metrics`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// What is told; changes with every reload.
#[derive(Debug)]
pub(crate) struct Reloads(Mutex<Reloaded>);

/// The configuration that holds, and the one that was last read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reloaded {
    /// Whether the configuration that was last read holds. `false`: it was refused, and the one before goes on.
    pub last_reload_successful: bool,
    /// All that is wrong with it, if it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When the configuration that holds was taken, in Unix seconds.
    pub taken_at_unix_seconds: u64,
    /// Keys of it that hold only from the next start on, since what they change is made once.
    pub needs_restart: Vec<String>,
    /// Configurations that were taken since the start.
    pub applied: u64,
    /// Configurations that were refused since the start.
    pub refused: u64,
}

impl Default for Reloads {
    /// The configuration of the start holds.
    fn default() -> Self {
        Reloads(Mutex::new(Reloaded {
            last_reload_successful: true,
            error: None,
            taken_at_unix_seconds: 0,
            needs_restart: Vec::new(),
            applied: 0,
            refused: 0,
        }))
    }
}

impl Reloads {
    pub(crate) fn now(&self) -> Reloaded {
        self.lock().clone()
    }

    /// The configuration of the start was taken.
    pub(crate) fn started(&self, at: u64) {
        self.lock().taken_at_unix_seconds = at;
    }

    /// Another one was taken.
    pub(crate) fn applied(&self, at: u64, needs_restart: Vec<String>) -> Reloaded {
        let mut now = self.lock();
        (now.last_reload_successful, now.error, now.taken_at_unix_seconds) = (true, None, at);
        now.needs_restart = needs_restart;
        now.applied += 1;
        now.clone()
    }

    /// Another one was refused.
    pub(crate) fn refused(&self, error: String) {
        let mut now = self.lock();
        (now.last_reload_successful, now.error) = (false, Some(error));
        now.refused += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Reloaded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
