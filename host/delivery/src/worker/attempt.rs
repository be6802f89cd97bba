//! One attempt, fenced in: it ends in time, and a panic in an exporter is an outcome.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use flagpost_event::EventBatch;
use flagpost_exporter::{ExportError, Exporter};
use flagpost_spool::NumberRanges;
use futures_util::FutureExt;
use tokio::time::Instant;

/// No attempt takes longer, whatever the exporter's own timeouts are. They are the rule (ten seconds); this catches what has none.
pub(crate) const ATTEMPT_CAP: Duration = Duration::from_secs(300);

/// What became of an attempt.
#[derive(Debug)]
pub(crate) struct Landing {
    /// The lane it was of.
    pub(crate) first: u64,
    /// It was of no lane: of the dead letters that are sent again.
    pub(crate) replay: bool,
    /// The events it was made with.
    pub(crate) piece: NumberRanges,
    /// What became of them; `None`: the attempt was abandoned.
    pub(crate) outcome: Option<Result<(), ExportError>>,
    /// How long it took.
    pub(crate) took: Duration,
}

/// Sends the batch and returns what became of it and how long it took.
pub(crate) async fn attempt(exporter: Arc<dyn Exporter>, batch: EventBatch) -> (Result<(), ExportError>, Duration) {
    let began = Instant::now();
    // An exporter without a timeout of its own that does not come back has failed on this batch: that is a crash.
    let late = |reason| ExportError::Crashed { reason };
    let outcome = fenced("export", ATTEMPT_CAP, late, exporter.export(&batch)).await;
    (outcome, began.elapsed())
}

/// Runs a call into an exporter: too long is what `late` says, a panic is [`ExportError::Crashed`].
pub(crate) async fn fenced<T>(
    what: &str,
    cap: Duration,
    late: impl FnOnce(String) -> ExportError,
    call: impl Future<Output = Result<T, ExportError>>,
) -> Result<T, ExportError> {
    match tokio::time::timeout(cap, AssertUnwindSafe(call).catch_unwind()).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => Err(ExportError::Crashed { reason: format!("the exporter panicked in `{what}`: {}", message(&*panic)) }),
        Err(_) => Err(late(format!("`{what}` did not end within {} s", cap.as_secs()))),
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
