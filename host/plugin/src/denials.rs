//! Refusals of one plugin: counted, logged now and then, the last one kept for reports.
//!
//! Some interfaces have no room for the reason (`wasi:http` and sockets have codes), so the text with the line to add to the configuration
//! is here for whoever looks.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::stats::Counter;

/// Refusals are logged this often: a guest could make thousands a second.
const EVERY: Duration = Duration::from_secs(10);

/// One plugin's refusals.
#[derive(Debug)]
pub(crate) struct Denials {
    /// For log lines.
    plugin: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    logged: Option<Instant>,
    /// Not logged since.
    hidden: u64,
    last: Option<String>,
}

impl Denials {
    pub(crate) fn new(plugin: &str) -> Self {
        Denials { plugin: plugin.to_owned(), state: Mutex::default() }
    }

    /// Notes a refusal. `text` says what to write into the configuration, and holds no secret.
    pub(crate) fn note(&self, counter: &Counter, text: &dyn fmt::Display) {
        counter.one();
        let now = Instant::now();
        let text = text.to_string();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.logged.is_some_and(|last| now.saturating_duration_since(last) < EVERY) {
            state.hidden += 1;
        } else {
            tracing::warn!(plugin = self.plugin, not_shown = state.hidden, "refused to the plugin: {text}");
            (state.logged, state.hidden) = (Some(now), 0);
        }
        state.last = Some(text);
    }

    /// The last refusal.
    pub(crate) fn last(&self) -> Option<String> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).last.clone()
    }
}
