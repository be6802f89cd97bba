//! A batch as most destinations take it: event by event, each with an id; and what became of each.

use crate::{Batch, Event, EventKind, ExportError, PartialFailure, Payload, RejectedEvent, RetryLater, misconfigured};

impl Batch {
    /// The events, one JSON text each; for plugins whose `ENCODING` is `JsonLines`.
    pub fn lines(&self) -> Result<Vec<&str>, ExportError> {
        match &self.payload {
            Payload::JsonLines(text) => Ok(text.lines().collect()),
            _ => Err(misconfigured("the relay sent another encoding than the JSON lines that were asked for")),
        }
    }

    /// The events; for plugins whose `ENCODING` is `Typed`.
    pub fn events(&self) -> Result<&[Event], ExportError> {
        match &self.payload {
            Payload::Typed(events) => Ok(events),
            _ => Err(misconfigured("the relay sent another encoding than the records that were asked for")),
        }
    }

    /// An id for one event: the batch's id and the event's place in it. A retry of the same events has the same ids, other events never have
    /// them: a destination that knows ids takes each event once.
    pub fn event_id(&self, index: usize) -> String {
        format!("{}-{index}", self.id)
    }

    /// `feature` or `tracking`: the kind of all of its events.
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            EventKind::Feature => "feature",
            EventKind::Tracking => "tracking",
        }
    }
}

/// What became of the events of a batch, one by one.
#[derive(Debug, Default)]
pub struct Tally {
    delivered: usize,
    again: Vec<u32>,
    rejected: Vec<RejectedEvent>,
    after_ms: Option<u32>,
    why: Option<String>,
}

impl Tally {
    /// One is safe.
    pub fn delivered(&mut self) {
        self.delivered += 1;
    }

    /// The one at that place is to be sent again; the first reason is shown.
    pub fn again(&mut self, index: usize, why: impl Into<String>) {
        self.again.push(index as u32);
        self.why.get_or_insert_with(|| why.into());
    }

    /// The one at that place never can be delivered.
    pub fn rejected(&mut self, index: usize, reason: impl Into<String>) {
        self.rejected.push(RejectedEvent { index: index as u32, reason: reason.into() });
    }

    /// Nothing again before that many milliseconds.
    pub fn not_before(&mut self, after_ms: Option<u32>) {
        self.after_ms = self.after_ms.max(after_ms);
    }

    /// What `export` returns.
    pub fn finish(self) -> Result<(), ExportError> {
        if self.rejected.is_empty() && self.again.is_empty() {
            return Ok(());
        }
        if self.rejected.is_empty() && self.delivered == 0 {
            return Err(ExportError::Retryable(RetryLater { reason: self.why.unwrap_or_default(), after_ms: self.after_ms }));
        }
        Err(ExportError::Partial(PartialFailure { retry: self.again, rejected: self.rejected, after_ms: self.after_ms }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_is_ok_retryable_or_partial() {
        let mut all = Tally::default();
        all.delivered();
        assert!(all.finish().is_ok());

        let mut none = Tally::default();
        none.again(0, "busy");
        none.again(1, "busier");
        none.not_before(Some(2000));
        let Err(ExportError::Retryable(later)) = none.finish() else { panic!("not retryable") };
        assert_eq!((later.reason.as_str(), later.after_ms), ("busy", Some(2000)));

        let mut some = Tally::default();
        some.delivered();
        some.again(1, "busy");
        some.rejected(2, "bad");
        let Err(ExportError::Partial(partial)) = some.finish() else { panic!("not partial") };
        assert_eq!((partial.retry, partial.rejected[0].index, partial.rejected[0].reason.as_str()), (vec![1], 2, "bad"));
    }
}
