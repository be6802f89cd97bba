//! What the service said of a call and of each record in it.

use aws_sdk_kinesis::types::PutRecordsResultEntry;

use crate::aws::{Failure, Meaning, Table, Tally, meaning};

use super::request::Record;

const STREAM: &str = "create the stream, or correct `streamName` (or `streamArn`), `region` and the account";

/// What codes mean to this kind.
pub(super) const OWN: Table = &[
    (Meaning::Alarm(STREAM), &["ResourceNotFoundException"]),
    // The stream is being made or changed.
    (Meaning::Passing, &["ResourceInUseException"]),
    (Meaning::Refused, &["InvalidArgumentException", "SerializationException", "ValidationException"]),
];

/// Takes the answer to a call apart: one entry for each record, in their order.
pub(super) fn settle(stream: &str, sent: &[Record], answer: &[PutRecordsResultEntry], tally: &mut Tally) {
    if answer.len() != sent.len() {
        let indices = sent.iter().map(|record| record.index);
        let reason = || format!("{stream}: {} records were sent and {} were answered", sent.len(), answer.len());
        return tally.again(indices, || Failure::new(Meaning::Passing, reason()));
    }
    for (record, entry) in sent.iter().zip(answer) {
        let Some(code) = entry.error_code() else {
            tally.delivered += 1;
            continue;
        };
        let said = entry.error_message().unwrap_or_default();
        let reason = format!("{stream}: {code}: {said}");
        match meaning(Some(code), None, said, OWN) {
            Meaning::Refused => tally.reject(record.index, reason),
            meaning => tally.again([record.index], || Failure::new(meaning, reason)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use aws_sdk_kinesis::primitives::Blob;
    use aws_sdk_kinesis::types::PutRecordsRequestEntry;

    use super::*;
    use crate::{ExportError, RejectedEvent};

    /// Records of the events 10, 11, … and an answer with these codes; an empty one is success.
    fn settled(codes: &[&str], answered: usize) -> Result<(), ExportError> {
        let entry = PutRecordsRequestEntry::builder().data(Blob::new("x")).partition_key("k").build().unwrap();
        let sent: Vec<Record> = (10..).zip(codes).map(|(index, _)| Record { index, size: 2, entry: entry.clone() }).collect();
        let answer = |code: &&str| {
            let entry = PutRecordsResultEntry::builder();
            match *code {
                "" => entry.sequence_number("1").shard_id("shardId-000000000000").build(),
                code => entry.error_code(code).error_message("said").build(),
            }
        };
        let answer: Vec<_> = codes.iter().map(answer).take(answered).collect();
        let mut tally = Tally::default();
        settle("stream `s`", &sent, &answer, &mut tally);
        tally.outcome()
    }

    #[test]
    fn only_what_failed_is_named() {
        let (slow, internal, invalid) = ("ProvisionedThroughputExceededException", "InternalFailure", "InvalidArgumentException");
        let partial = |retry: &[u32], rejected: &[u32]| {
            let rejected = rejected.iter().map(|&index| RejectedEvent { index, reason: format!("stream `s`: {invalid}: said") });
            Err(ExportError::Partial { retry: retry.to_vec(), rejected: rejected.collect(), after: None })
        };
        assert_eq!(settled(&["", "", ""], 3), Ok(()));
        assert_eq!(settled(&["", slow, "", internal], 4), partial(&[11, 13], &[]));
        assert_eq!(settled(&["", invalid, slow], 3), partial(&[12], &[11]));
        assert_eq!(settled(&["", "SomethingNew"], 2), partial(&[11], &[]));
        assert_eq!(settled(&[slow, slow], 2), Err(ExportError::retryable(format!("stream `s`: {slow}: said"))));
        assert!(
            matches!(settled(&["KMSAccessDeniedException"], 1), Err(ExportError::Misconfigured { reason }) if reason.contains("rights") || reason.contains("right"))
        );
        let fewer = settled(&["", ""], 1);
        assert_eq!(fewer, Err(ExportError::retryable("stream `s`: 2 records were sent and 1 were answered")));
    }
}
