//! From a batch to requests that the service takes.

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use flagpost_event::EventBatch;

use crate::aws::{Spread, Tally};

/// The most records of one PutRecords.
pub(super) const MOST_RECORDS: usize = 500;

/// The most bytes of one PutRecords, partition keys included. (One larger record goes alone.)
pub(super) const MOST_BYTES: usize = 5 << 20;

/// The longest partition key, in characters (Unicode's, counted as Java does).
const LONGEST_KEY: usize = 256;

/// What the stream takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes of one record, partition key included.
    pub(super) record: usize,
}

/// One record.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    /// The event's place in the batch.
    pub(super) index: u32,
    /// Bytes of data and key.
    pub(super) size: usize,
    pub(super) entry: PutRecordsRequestEntry,
}

/// The batch's records, in order. What can never be one goes to `tally`.
pub(super) fn records(batch: &EventBatch, spread: Spread, limits: Limits, tally: &mut Tally) -> Vec<Record> {
    let mut records = Vec::with_capacity(batch.len());
    for ((index, line), id) in (0u32..).zip(batch.lines()).zip(batch.event_ids()) {
        let key = match spread.key(batch.kind(), line, &id, |key| key.encode_utf16().count() <= LONGEST_KEY) {
            Ok(key) => key,
            Err(error) => {
                tally.reject(index, error.to_string());
                continue;
            }
        };
        let size = line.len() + key.len();
        if size > limits.record {
            let limit = limits.record;
            tally.reject(index, format!("a record of {size} bytes with its partition key; the stream takes {limit} (`maxRecordSize`)"));
            continue;
        }
        match PutRecordsRequestEntry::builder().data(Blob::new(line)).partition_key(key).build() {
            Ok(entry) => records.push(Record { index, size, entry }),
            Err(error) => tally.reject(index, error.to_string()),
        }
    }
    records
}

/// How many of the first records one call takes; at least one, if there is one.
pub(super) fn group(records: &[Record]) -> usize {
    let mut sum = 0usize;
    let fit = records.iter().take(MOST_RECORDS).take_while(|record| {
        sum = sum.saturating_add(record.size);
        sum <= MOST_BYTES
    });
    fit.count().max(1).min(records.len())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bytes::Bytes;
    use flagpost_event::{BatchId, EventKind, StreamName};

    use super::*;

    fn batch(lines: &[String]) -> EventBatch {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        EventBatch::new(BatchId::new("b"), StreamName::new("default", EventKind::Feature), 1, vec![Bytes::from(text)])
    }

    fn line(user: &str, pad: usize) -> String {
        format!(r#"{{"kind":"feature","userKey":"{user}","key":"{}"}}"#, "x".repeat(pad))
    }

    #[test]
    fn a_record_is_the_line_under_its_users_key_and_what_is_too_large_is_named_alone() {
        let lines = [line("a", 0), line("b", 2_000), "nonsense".to_owned(), line(&"ü".repeat(300), 0), line("", 0)];
        let (batch, mut tally) = (batch(&lines), Tally::default());
        let records = records(&batch, Spread::UserKey, Limits { record: 1_500 }, &mut tally);
        let found: Vec<_> =
            records.iter().map(|record| (record.index, record.entry.partition_key.as_deref().unwrap_or_default())).collect();
        assert!(matches!(found[..], [(0, "a"), (3, digest), (4, "default")] if digest.starts_with("sha256-")), "{found:?}");
        assert_eq!(records[0].entry.data.as_ref(), lines[0].as_bytes());
        assert_eq!(records[0].size, lines[0].len() + 1);
        tally.delivered = 3;
        let told = tally.outcome().unwrap_err();
        let crate::ExportError::Partial { retry, rejected, .. } = told else { panic!("{told:?}") };
        assert_eq!((retry, rejected.iter().map(|event| event.index).collect::<Vec<_>>()), (vec![], vec![1, 2]));
        assert!(
            rejected[0].reason.contains(&format!("{} bytes", lines[1].len() + 1)) && rejected[0].reason.contains("1500"),
            "{rejected:?}"
        );
    }

    #[test]
    fn a_call_holds_at_most_500_records_and_5_mib_and_at_least_one() {
        let small: Vec<String> = (0..501).map(|number| line(&number.to_string(), 0)).collect();
        let large: Vec<String> = (0..6).map(|_| line("u", 1_000_000)).collect();
        let limits = Limits { record: 8 << 20 };
        let of = |lines: &[String]| records(&batch(lines), Spread::UserKey, limits, &mut Tally::default());
        assert_eq!(group(&of(&small)), 500);
        assert_eq!(group(&of(&small[..3])), 3);
        assert_eq!(group(&of(&large)), 5);
        assert_eq!(group(&of(&[line("u", 6 << 20), line("u", 0)])), 1);
        assert_eq!(group(&[]), 0);
    }
}
