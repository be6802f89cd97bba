//! What became of a batch of messages.

use crate::google::{Meaning, Verdict};
use crate::{ExportError, RejectedEvent};

use super::config::PubSubConfig;

/// What became of the messages of one call, as it becomes known.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) delivered: usize,
    pub(super) retry: Vec<u32>,
    pub(super) rejected: Vec<RejectedEvent>,
    /// Why messages are to be sent again: the first reason, or the first that somebody must do something about.
    pub(super) trouble: Option<Verdict>,
}

impl Tally {
    /// These are to be sent again.
    pub(super) fn again(&mut self, indices: impl IntoIterator<Item = u32>, verdict: &Verdict) {
        self.retry.extend(indices);
        let worse = match &self.trouble {
            None => true,
            Some(known) => !matches!(known.meaning, Meaning::Alarm(_)) && matches!(verdict.meaning, Meaning::Alarm(_)),
        };
        if worse {
            self.trouble = Some(verdict.clone());
        }
    }

    /// The event can never be delivered.
    pub(super) fn reject(&mut self, index: u32, reason: String) {
        self.rejected.push(RejectedEvent { index, reason });
    }

    /// What another lane came to.
    pub(super) fn add(&mut self, other: Tally) {
        self.delivered += other.delivered;
        self.rejected.extend(other.rejected);
        if let Some(verdict) = &other.trouble {
            self.again(other.retry, verdict);
        }
    }

    /// Whether the client is to be made anew.
    pub(super) fn spent(&self) -> bool {
        self.trouble.as_ref().is_some_and(Verdict::spent)
    }

    /// What delivery is told.
    pub(super) fn outcome(mut self, config: &PubSubConfig) -> Result<(), ExportError> {
        if self.retry.is_empty() && self.rejected.is_empty() {
            return Ok(());
        }
        self.retry.sort_unstable();
        self.rejected.sort_unstable_by_key(|event| event.index);
        let refused = self.trouble.as_ref().is_none_or(|verdict| verdict.meaning == Meaning::Refused);
        if self.delivered == 0 && refused {
            // Nothing vouches for the topic: delivery asks others before it believes this.
            let reason = self.rejected.into_iter().next().map(|event| event.reason);
            let reason = reason.or(self.trouble.map(|verdict| verdict.reason)).unwrap_or_default();
            return Err(ExportError::rejected(reason));
        }
        if self.delivered > 0 || !self.rejected.is_empty() {
            let after = self.trouble.and_then(|verdict| verdict.after);
            return Err(ExportError::Partial { retry: self.retry, rejected: self.rejected, after });
        }
        Err(config.failure(self.trouble.unwrap_or_else(|| Verdict::passing("no message was delivered"))))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use flagpost_settings::{Node, Problems, decode};
    use serde_json::json;

    use super::super::config::Keys;
    use super::*;
    use crate::google::Advice;

    fn verdict(meaning: Meaning) -> Verdict {
        Verdict { meaning, reason: "because".to_owned(), after: Some(Duration::from_secs(3)) }
    }

    #[test]
    fn outcomes_name_exactly_what_failed() {
        let mut problems = Problems::default();
        let keys: Keys = decode(&Node::from(json!({ "projectID": "p", "topic": "events" })), "", &mut problems);
        let config = keys.check(&mut problems, None).unwrap();
        let tally = |delivered, retry: &[(u32, Meaning)], rejected: &[u32]| {
            let mut tally = Tally { delivered, ..Tally::default() };
            retry.iter().for_each(|(index, meaning)| tally.again([*index], &verdict(*meaning)));
            rejected.iter().for_each(|index| tally.reject(*index, "too large".to_owned()));
            tally
        };
        let rejected = |index| RejectedEvent { index, reason: "too large".to_owned() };
        let partial = |retry: &[u32], rejected: Vec<RejectedEvent>, after| ExportError::Partial {
            retry: retry.to_vec(),
            rejected,
            after: (after > 0).then(|| Duration::from_secs(after)),
        };
        let alarm = Meaning::Alarm(Advice::Missing);
        let missing = "topic projects/p/topics/events: because: create the topic, or correct `projectID` and `topic`";
        let passing = "topic projects/p/topics/events: because".to_owned();
        let cases = [
            (tally(3, &[], &[]), Ok(()), false),
            (tally(2, &[(4, Meaning::Passing), (1, Meaning::Passing)], &[]), Err(partial(&[1, 4], vec![], 3)), false),
            (tally(1, &[(2, Meaning::Passing), (1, alarm)], &[0]), Err(partial(&[1, 2], vec![rejected(0)], 3)), true),
            (tally(1, &[], &[2, 0]), Err(partial(&[], vec![rejected(0), rejected(2)], 0)), false),
            (tally(0, &[(1, Meaning::Passing)], &[0]), Err(partial(&[1], vec![rejected(0)], 3)), false),
            (tally(0, &[], &[1, 0]), Err(ExportError::rejected("too large")), false),
            // The search was given up: too many were guilty, and nothing was taken.
            (tally(0, &[(2, Meaning::Refused)], &[0, 1]), Err(ExportError::rejected("too large")), false),
            (tally(5, &[(2, Meaning::Refused)], &[0]), Err(partial(&[2], vec![rejected(0)], 3)), false),
            (
                tally(0, &[(0, Meaning::Passing), (1, Meaning::Passing)], &[]),
                Err(ExportError::Retryable { reason: passing, after: Some(Duration::from_secs(3)) }),
                false,
            ),
            (tally(0, &[(0, Meaning::Passing), (1, alarm)], &[]), Err(ExportError::misconfigured(missing)), true),
        ];
        for (number, (tally, expected, spent)) in cases.into_iter().enumerate() {
            let mut sum = Tally::default();
            sum.add(tally);
            assert_eq!((sum.spent(), sum.outcome(&config)), (spent, expected), "case {number}");
        }
    }
}
