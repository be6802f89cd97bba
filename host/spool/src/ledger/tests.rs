//! What every bookkeeping does, in a file and in memory.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use flagpost_event::{EventKind, StreamName, SystemClock};

use super::{Ledger, LedgerError};
use crate::{Bounds, ConsumerId, ConsumerRecord, DeadLetter, DropReason, Identity, NumberRanges, Plan, Settlement};

mod attach;
mod crash;
mod damage;

fn identity(exporter: &str) -> Identity {
    Identity { flag_set: "default".into(), exporter: exporter.into() }
}

fn stream() -> StreamName {
    StreamName::new("default", EventKind::Feature)
}

fn bounds(oldest: u64, head: u64) -> Bounds {
    Bounds { oldest, head }
}

fn letter(number: u64) -> DeadLetter {
    DeadLetter {
        number,
        event: b"{}".to_vec(),
        reason: "no".into(),
        attempts: 3,
        first_tried: 10,
        condemned_at: 20,
        batch: "b".into(),
        marked: false,
    }
}

#[expect(clippy::single_range_in_vec_init, reason = "a set of one range")]
fn plan(first: u64, last: u64) -> Plan {
    Plan {
        first,
        last,
        remaining: NumberRanges(vec![first..last + 1]),
        subset: 0,
        object: None,
        attempts: 1,
        crashes: 0,
        since: 7,
        condemned: vec![(first, "why".into())],
        given_up: vec![(first..first + 2, DropReason::Damaged)],
        trying: None,
        vouched: false,
        behind: (first == 90).then(|| plan(last + 1, last + 3)).into_iter().collect(),
    }
}

fn open(directory: &tempfile::TempDir) -> Ledger {
    Ledger::open(&directory.path().join("ledger.sqlite"), Arc::new(SystemClock)).unwrap().0
}

async fn registered(ledger: &Ledger, exporter: &str, head: u64) -> ConsumerRecord {
    ledger.register(&identity(exporter), &stream(), bounds(1, head)).await.unwrap()
}

/// Runs the body with a bookkeeping in a file and with one in memory.
macro_rules! both {
    ($($name:ident($ledger:ident) $body:block)*) => {
        mod in_a_file {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let directory = tempfile::tempdir().unwrap();
                let $ledger = open(&directory);
                $body
            })*
        }
        mod in_memory {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let $ledger = Ledger::memory(Arc::new(SystemClock)).unwrap();
                $body
            })*
        }
    };
}

// After the macro, which it uses.
mod letters;

both! {
    a_new_consumer_starts_at_the_head_and_a_known_one_resumes(ledger) {
        let first = registered(&ledger, "a", 5).await;
        assert_eq!((first.start, first.cursor), (5, 5));
        ledger.advance(first.id, 8);
        ledger.orphan(first.id, 100).await.unwrap();
        ledger.orphan(first.id, 200).await.unwrap();
        assert_eq!(ledger.record(first.id).unwrap().orphaned_since, Some(100), "gone since the first time");
        let again = registered(&ledger, "a", 50).await;
        assert_eq!((again.id, again.start, again.cursor, again.orphaned_since), (first.id, 5, 8, None));
        assert_eq!(ledger.consumers(), [again]);
    }

    one_identity_on_two_streams_is_two_consumers(ledger) {
        let feature = registered(&ledger, "a", 5).await;
        let tracking = StreamName::new("default", EventKind::Tracking);
        let other = ledger.register(&identity("a"), &tracking, bounds(1, 9)).await.unwrap();
        assert_ne!(feature.id, other.id);
        assert_eq!(ledger.durable_floor(), [(stream(), 5), (tracking, 9)]);
    }

    a_settlement_changes_everything_at_once(ledger) {
        let id = registered(&ledger, "a", 1).await.id;
        ledger.save_plan(id, &plan(1, 10)).await.unwrap();
        assert_eq!(ledger.record(id).unwrap().plan, Some(plan(1, 10)));
        let dropped = BTreeMap::from([(DropReason::Damaged, 2)]);
        let settlement = Settlement { cursor: 11, dead: vec![letter(3), letter(4)], dropped: dropped.clone(), plan: None };
        ledger.settle(id, settlement).await.unwrap();
        let record = ledger.record(id).unwrap();
        assert_eq!((record.cursor, record.dead, &record.dropped, &record.plan), (11, 2, &dropped, &None));
        assert_eq!(record.delivered(), 6);
        assert_eq!(ledger.dead_letters(id, None, 10).await.unwrap(), [letter(3), letter(4)]);
        assert_eq!(ledger.dead_letters(id, Some(3), 10).await.unwrap(), [letter(4)]);
        assert_eq!(ledger.dead_letters(id, None, 1).await.unwrap(), [letter(3)]);
        assert_eq!(ledger.dead_letter_count(id).await.unwrap(), 2);
    }

    numbers_that_do_not_add_up_are_refused(ledger) {
        let id = registered(&ledger, "a", 10).await.id;
        let before = ledger.record(id).unwrap();
        let back = Settlement { cursor: 9, ..Settlement::default() };
        let too_many = Settlement { cursor: 11, dead: vec![letter(10), letter(11)], ..Settlement::default() };
        for settlement in [back, too_many] {
            assert!(matches!(ledger.settle(id, settlement).await, Err(LedgerError::Unsound { .. })));
        }
        assert_eq!(ledger.record(id).unwrap(), before);
        assert_eq!(ledger.dead_letter_count(id).await.unwrap(), 0);
        let nobody = ledger.settle(ConsumerId(99), Settlement::default()).await;
        assert!(matches!(nobody, Err(LedgerError::Unknown(ConsumerId(99)))));
    }

    a_cursor_never_moves_back(ledger) {
        let id = registered(&ledger, "a", 1).await.id;
        ledger.advance(id, 10);
        ledger.advance(id, 4);
        assert_eq!(ledger.record(id).unwrap().cursor, 10);
        ledger.flush().await.unwrap();
        assert_eq!(ledger.durable_floor(), [(stream(), 10)]);
        ledger.advance(ConsumerId(99), 5);
        assert_eq!(ledger.consumers().len(), 1);
    }

    the_floor_is_the_lowest_cursor_also_of_an_orphan(ledger) {
        let slow = registered(&ledger, "slow", 3).await.id;
        let fast = registered(&ledger, "fast", 3).await.id;
        ledger.advance(fast, 100);
        ledger.orphan(slow, 1).await.unwrap();
        ledger.flush().await.unwrap();
        assert_eq!(ledger.durable_floor(), [(stream(), 3)]);
        ledger.forget(slow).await.unwrap();
        assert_eq!(ledger.durable_floor(), [(stream(), 100)]);
    }

    a_forgotten_consumer_keeps_its_dead_letters_and_is_new_when_it_returns(ledger) {
        let id = registered(&ledger, "a", 1).await.id;
        ledger.settle(id, Settlement { cursor: 2, dead: vec![letter(1)], ..Settlement::default() }).await.unwrap();
        ledger.forget(id).await.unwrap();
        assert_eq!(ledger.record(id), None);
        assert_eq!(ledger.dead_letter_count(id).await.unwrap(), 1);
        let again = registered(&ledger, "a", 7).await;
        assert_ne!(again.id, id);
        assert_eq!((again.start, again.dead), (7, 0));
    }

    a_destination_never_gets_the_same_timestamp_twice(ledger) {
        let mut stamps = Vec::new();
        for now in [100, 100, 100, 90, 200] {
            stamps.push(ledger.next_timestamp("file:/out", now).await.unwrap());
        }
        assert_eq!(stamps, [100, 101, 102, 103, 200]);
        assert_eq!(ledger.next_timestamp("file:/other", 100).await.unwrap(), 100);
    }
}
