//! What the service said of a call and of each message in it.

use aws_sdk_sqs::types::BatchResultErrorEntry;

use crate::aws::{Failure, Meaning, Table, Tally, meaning};

use super::request::Message;

const QUEUE: &str = "create the queue, or correct `queueUrl`";
const REQUEST: &str = "this queue does not take such messages: check `queueUrl`";

/// What codes mean to this kind, without the `AWS.SimpleQueueService.` that some have in front.
pub(super) const OWN: Table = &[
    (Meaning::Alarm(QUEUE), &["InvalidAddress", "NonExistentQueue", "QueueDoesNotExist"]),
    // One that was deleted a moment ago may be made again after a minute.
    (Meaning::Passing, &["QueueDeletedRecently"]),
    (Meaning::Alarm(REQUEST), &["MissingParameter", "UnsupportedOperation"]),
    (
        Meaning::Refused,
        &["BatchRequestTooLong", "InvalidAttributeValue", "InvalidMessageContents", "InvalidParameterValue", "MessageTooLong"],
    ),
];

/// Takes the answer to a call apart: what is named in neither list was not heard of.
pub(super) fn settle(queue: &str, sent: &[Message<'_>], successful: &[&str], failed: &[BatchResultErrorEntry], tally: &mut Tally) {
    for message in sent {
        let id = message.index.to_string();
        if let Some(entry) = failed.iter().find(|entry| entry.id == id) {
            let said = entry.message().unwrap_or_default();
            let reason = format!("{queue}: {}: {said}", entry.code());
            // A code that nobody knows: the service says whose fault it is.
            let status = if entry.sender_fault() { 400 } else { 500 };
            match meaning(Some(entry.code()), Some(status), said, OWN) {
                Meaning::Refused => tally.reject(message.index, reason),
                meaning => tally.again([message.index], || Failure::new(meaning, reason)),
            }
        } else if successful.contains(&id.as_str()) {
            tally.delivered += 1;
        } else {
            let reason = || Failure::new(Meaning::Passing, format!("{queue}: a message is not in the answer"));
            tally.again([message.index], reason);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{ExportError, RejectedEvent};

    fn settled(sent: std::ops::Range<u32>, successful: &[&str], failed: &[(&str, &str, bool)]) -> Result<(), ExportError> {
        let sent: Vec<Message<'_>> = sent.map(|index| Message { index, body: "{}".into(), group: None }).collect();
        let entry = |(id, code, fault): &(&str, &str, bool)| {
            BatchResultErrorEntry::builder().id(*id).code(*code).sender_fault(*fault).message("said").build().unwrap()
        };
        let failed: Vec<_> = failed.iter().map(entry).collect();
        let mut tally = Tally::default();
        settle("queue `q`", &sent, successful, &failed, &mut tally);
        tally.outcome()
    }

    #[test]
    fn only_what_failed_is_named_and_the_senders_faults_are_rejected() {
        let partial = |retry: &[u32], rejected: &[(u32, &str)]| {
            let rejected = rejected.iter().map(|(index, code)| RejectedEvent { index: *index, reason: format!("queue `q`: {code}: said") });
            Err(ExportError::Partial { retry: retry.to_vec(), rejected: rejected.collect(), after: None })
        };
        assert_eq!(settled(7..9, &["7", "8"], &[]), Ok(()));
        assert_eq!(settled(7..10, &["7"], &[("8", "InternalError", false), ("9", "SomethingNew", false)]), partial(&[8, 9], &[]));
        let bad = "InvalidMessageContents";
        assert_eq!(settled(7..10, &["7"], &[("8", bad, true), ("9", "ServiceUnavailable", false)]), partial(&[9], &[(8, bad)]));
        assert_eq!(settled(7..9, &["7"], &[("8", "SomethingNew", true)]), partial(&[], &[(8, "SomethingNew")]));
        // Throttling is the sender's fault in name only.
        assert_eq!(settled(7..9, &["7"], &[("8", "RequestThrottled", true)]), partial(&[8], &[]));
        assert_eq!(settled(7..9, &["7"], &[]), partial(&[8], &[]), "an answer that leaves one out");
        let key = settled(7..8, &[], &[("7", "KmsAccessDenied", true)]);
        assert!(matches!(key, Err(ExportError::Misconfigured { .. })), "{key:?}");
        assert_eq!(settled(7..8, &[], &[("7", bad, true)]), Err(ExportError::rejected("queue `q`: InvalidMessageContents: said")));
    }
}
