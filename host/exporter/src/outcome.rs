//! What became of an attempt, as data.

use std::time::Duration;

/// Why a batch, or a part of it, was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// Nothing was delivered for a reason that may pass: the same batch again, not before `after`.
    #[error("{reason}")]
    Retryable {
        /// What happened.
        reason: String,
        /// The destination's own wish (Retry-After), if it gave one.
        after: Option<Duration>,
    },
    /// The exporter itself failed on this batch: a trap, a timeout, a memory limit. Retried; the third time makes the batch suspect.
    #[error("{reason}")]
    Crashed {
        /// What happened.
        reason: String,
    },
    /// The destination will never take this batch as it is: somewhere in it is a guilty event. Makes the batch suspect.
    #[error("{reason}")]
    Rejected {
        /// The destination's words.
        reason: String,
    },
    /// Some events were delivered; the named ones were not. Indices count from 0 in the batch; an event is named at most once.
    #[error("{} events to be sent again, {} rejected{}", retry.len(), rejected.len(), words(rejected))]
    Partial {
        /// To be sent again.
        retry: Vec<u32>,
        /// Never deliverable: these go to the dead letters.
        rejected: Vec<RejectedEvent>,
        /// The destination's own wish (Retry-After), if it gave one.
        after: Option<Duration>,
    },
    /// Nothing can be delivered until an operator changes something (credentials, a missing bucket, a refused grant).
    #[error("{reason}")]
    Misconfigured {
        /// What is wrong and what to do.
        reason: String,
    },
    /// An object with the planned name exists and is not this batch's: a new name is planned.
    #[error("an object named `{name}` exists and holds other events")]
    NameTaken {
        /// The taken name.
        name: String,
    },
}

/// The first reason of several, for operators.
fn words(rejected: &[RejectedEvent]) -> String {
    rejected.first().map_or_else(String::new, |first| format!(", the first: {}", first.reason))
}

impl ExportError {
    /// A [`Retryable`](Self::Retryable) without a wish of the destination's.
    pub fn retryable(reason: impl Into<String>) -> Self {
        ExportError::Retryable { reason: reason.into(), after: None }
    }

    /// A [`Rejected`](Self::Rejected).
    pub fn rejected(reason: impl Into<String>) -> Self {
        ExportError::Rejected { reason: reason.into() }
    }

    /// A [`Misconfigured`](Self::Misconfigured).
    pub fn misconfigured(reason: impl Into<String>) -> Self {
        ExportError::Misconfigured { reason: reason.into() }
    }
}

/// One event that can never be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedEvent {
    /// Its place in the batch, from 0.
    pub index: u32,
    /// Why.
    pub reason: String,
}

/// A target did not answer as it should to a probe.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct ProbeError {
    /// What was tried, what came back, what to do.
    pub reason: String,
}
