//! Stored lines into the contract's records, and the guest's answer into an outcome.

use flagpost_event::{Event, EventBatch};
use flagpost_exporter::{ExportError, RejectedEvent};
use flagpost_plugin_bindings::exports::flagpost::plugin::exporter as wit;

use crate::guest::MAX_REASON;
use crate::redact::Hidden;
use crate::stats::Counter;
use crate::text::cut;

/// Longest wish of a guest to be called later; a larger one is cut to this.
const MAX_AFTER: std::time::Duration = std::time::Duration::from_secs(3600);

/// The batch as the typed interface wants it. `Err`: lines that are no events of the stream's kind, which nobody can ever deliver.
pub(crate) fn events(batch: &EventBatch) -> Result<Vec<wit::Event>, Vec<RejectedEvent>> {
    let mut events = Vec::with_capacity(batch.len());
    let mut broken = Vec::new();
    for (index, line) in (0..).zip(batch.lines()) {
        match Event::from_line(batch.kind(), line) {
            Ok(event) => events.push(record(event)),
            Err(why) => broken.push(RejectedEvent { index, reason: format!("the stored line cannot be read: {why}") }),
        }
    }
    if broken.is_empty() { Ok(events) } else { Err(broken) }
}

/// The outcome for a batch with such lines: they go, the others come again without them.
pub(crate) fn without(broken: Vec<RejectedEvent>, batch: &EventBatch) -> ExportError {
    let all = 0..u32::try_from(batch.len()).unwrap_or(u32::MAX);
    let retry = all.filter(|index| broken.binary_search_by_key(index, |rejected| rejected.index).is_err()).collect();
    ExportError::Partial { retry, rejected: broken, after: None }
}

fn record(event: Event<'_>) -> wit::Event {
    match event {
        Event::Feature(event) => wit::Event::Feature(wit::FeatureEvent {
            kind: event.kind.into_owned(),
            context_kind: event.context_kind.into_owned(),
            user_key: event.user_key.into_owned(),
            creation_date: event.creation_date,
            key: event.key.into_owned(),
            variation: event.variation.into_owned(),
            value_json: event.value.as_str().to_owned(),
            default: event.default,
            version: event.version.into_owned(),
            source: event.source.into_owned(),
            metadata_json: event.metadata.map(|metadata| metadata.as_str().to_owned()),
        }),
        Event::Tracking(event) => wit::Event::Tracking(wit::TrackingEvent {
            kind: event.kind.into_owned(),
            context_kind: event.context_kind.into_owned(),
            user_key: event.user_key.into_owned(),
            creation_date: event.creation_date,
            key: event.key.into_owned(),
            evaluation_context_json: event.evaluation_context.as_str().to_owned(),
            tracking_event_details_json: event.tracking_event_details.as_str().to_owned(),
        }),
    }
}

/// What the guest said, believed only as far as it makes sense. `Err`: it broke the contract, and nothing is known about the batch.
pub(crate) fn outcome(answer: Result<(), wit::ExportError>, events: usize, ear: &Ear<'_>) -> Result<Result<(), ExportError>, String> {
    Ok(match answer {
        Ok(()) => Ok(()),
        Err(wit::ExportError::Retryable(later)) => {
            Err(ExportError::Retryable { reason: reason(&later.reason, ear), after: after(later.after_ms) })
        }
        Err(wit::ExportError::Rejected(why)) => Err(ExportError::Rejected { reason: reason(&why, ear) }),
        Err(wit::ExportError::Misconfigured(why)) => Err(ExportError::Misconfigured { reason: reason(&why, ear) }),
        Err(wit::ExportError::Partial(partial)) => partial_outcome(partial, events, ear)?,
    })
}

fn partial_outcome(partial: wit::PartialFailure, events: usize, ear: &Ear<'_>) -> Result<Result<(), ExportError>, String> {
    let mut named = vec![false; events];
    for index in partial.retry.iter().copied().chain(partial.rejected.iter().map(|rejected| rejected.index)) {
        match usize::try_from(index).ok().and_then(|index| named.get_mut(index)) {
            Some(true) => {
                ear.duplicates.one();
                return Err(format!("its partial result names event {index} twice"));
            }
            Some(named) => *named = true,
            None => return Err(format!("its partial result names event {index} of a call with {events} events")),
        }
    }
    if partial.retry.is_empty() && partial.rejected.is_empty() {
        return Err("its partial result names no event: it is neither a success nor a failure".to_owned());
    }
    let rejected = partial
        .rejected
        .into_iter()
        .map(|rejected| RejectedEvent { index: rejected.index, reason: reason(&rejected.reason, ear) })
        .collect();
    Ok(Err(ExportError::Partial { retry: partial.retry, rejected, after: after(partial.after_ms) }))
}

fn after(ms: Option<u32>) -> Option<std::time::Duration> {
    ms.map(|ms| std::time::Duration::from_millis(ms.into()).min(MAX_AFTER))
}

/// What is believed and shown of a guest's words.
pub(crate) struct Ear<'a> {
    pub(crate) hidden: &'a Hidden,
    pub(crate) cut: &'a Counter,
    pub(crate) duplicates: &'a Counter,
}

fn reason(text: &str, ear: &Ear<'_>) -> String {
    let text = crate::guest::printable(ear.hidden.hide(text).as_bytes());
    if text.len() > MAX_REASON {
        ear.cut.one();
    }
    if text.is_empty() { "the plugin gave no reason".to_owned() } else { cut(&text, MAX_REASON) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use super::*;

    fn told(answer: Result<(), wit::ExportError>, events: usize) -> Result<Result<(), ExportError>, String> {
        let (hidden, counter) = (Hidden::default(), Counter::default());
        outcome(answer, events, &Ear { hidden: &hidden, cut: &counter, duplicates: &counter })
    }

    fn partial(retry: &[u32], rejected: &[u32]) -> wit::ExportError {
        let rejected = rejected.iter().map(|&index| wit::RejectedEvent { index, reason: "bad".into() }).collect();
        wit::ExportError::Partial(wit::PartialFailure { retry: retry.to_vec(), rejected, after_ms: None })
    }

    #[test]
    fn a_partial_result_that_contradicts_itself_is_not_believed() {
        let table = [
            (partial(&[], &[]), "names no event"),
            (partial(&[3], &[]), "names event 3 of a call with 3 events"),
            (partial(&[], &[u32::MAX]), "names event 4294967295"),
            (partial(&[1, 1], &[]), "names event 1 twice"),
            (partial(&[1], &[1]), "names event 1 twice"),
        ];
        for (answer, expected) in table {
            let error = told(Err(answer), 3).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let good = told(Err(partial(&[0, 2], &[1])), 3).unwrap().unwrap_err();
        let rejected = vec![RejectedEvent { index: 1, reason: "bad".into() }];
        assert_eq!(good, ExportError::Partial { retry: vec![0, 2], rejected, after: None });
    }

    #[test]
    fn reasons_are_bounded_one_line_and_never_empty() {
        let long = wit::ExportError::Rejected("x".repeat(1 << 20));
        let ExportError::Rejected { reason } = told(Err(long), 1).unwrap().unwrap_err() else { panic!("another outcome") };
        assert!(reason.len() < MAX_REASON + 64, "{}", reason.len());
        let forged = wit::ExportError::Misconfigured("a\n2026 INFO all is well\u{1b}[2J".into());
        let text = told(Err(forged), 1).unwrap().unwrap_err().to_string();
        assert!(!text.contains(['\n', '\u{1b}']), "{text:?}");
        assert_eq!(told(Err(wit::ExportError::Rejected(String::new())), 1).unwrap().unwrap_err().to_string(), "the plugin gave no reason");
    }

    #[test]
    fn a_wish_for_later_is_capped() {
        let later = wit::RetryLater { reason: "busy".into(), after_ms: Some(u32::MAX) };
        let error = told(Err(wit::ExportError::Retryable(later)), 1).unwrap().unwrap_err();
        assert_eq!(error, ExportError::Retryable { reason: "busy".into(), after: Some(Duration::from_secs(3600)) });
    }
}
