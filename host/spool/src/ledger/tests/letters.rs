//! Dead letters: choosing, marking, dropping, and what a replay does to the numbers.

use flagpost_event::EventKind;
use rusqlite::Connection;

use super::*;
use crate::ledger::{file, rows};
use crate::{LetterChange, LetterFilter, LetterId, ReplayPlan, ReplaySettlement};

/// A consumer that read ten events; these are dead, for this reason.
async fn with_letters(ledger: &Ledger, exporter: &str, letters: &[(u64, &str)]) -> ConsumerId {
    let id = registered(ledger, exporter, 1).await.id;
    let dead = letters.iter().map(|&(number, reason)| DeadLetter { reason: reason.into(), condemned_at: number * 10, ..letter(number) });
    ledger.settle(id, Settlement { cursor: 11, dead: dead.collect(), ..Settlement::default() }).await.unwrap();
    id
}

async fn numbers(ledger: &Ledger, filter: &LetterFilter) -> Vec<String> {
    ledger.letters(filter, None, 100).await.unwrap().iter().map(|letter| letter.id().to_string()).collect()
}

fn sum(ledger: &Ledger, id: ConsumerId) -> u64 {
    let record = ledger.record(id).unwrap();
    record.delivered() + record.dead + record.dropped.values().sum::<u64>()
}

fn replay(number: u64, numbers: &[u64]) -> ReplayPlan {
    let numbers = NumberRanges(numbers.iter().map(|&number| number..number + 1).collect());
    ReplayPlan { number, numbers, object: None, attempts: 1, crashes: 1 }
}

both! {
    a_filter_chooses_by_id_exporter_kind_and_reason(ledger) {
        let a = with_letters(&ledger, "a", &[(2, "too large"), (5, "too old")]).await;
        let b = with_letters(&ledger, "b", &[(5, "too large")]).await;
        let (all, filter) = (LetterFilter::default(), |change: fn(&mut LetterFilter)| { let mut filter = LetterFilter::default(); change(&mut filter); filter });
        let ids = |found: &[(ConsumerId, u64)]| found.iter().map(|&(consumer, number)| LetterId { consumer, number }.to_string()).collect::<Vec<_>>();
        assert_eq!(numbers(&ledger, &all).await, ids(&[(a, 2), (a, 5), (b, 5)]));
        assert_eq!(numbers(&ledger, &filter(|filter| filter.exporter = Some("a".into()))).await, ids(&[(a, 2), (a, 5)]));
        assert_eq!(numbers(&ledger, &filter(|filter| filter.reason_contains = Some("large".into()))).await, ids(&[(a, 2), (b, 5)]));
        assert_eq!(numbers(&ledger, &filter(|filter| filter.reason_contains = Some("%".into()))).await, ids(&[]), "not a pattern");
        assert_eq!(numbers(&ledger, &filter(|filter| filter.kind = Some(EventKind::Tracking))).await, ids(&[]));
        assert_eq!(numbers(&ledger, &filter(|filter| filter.flag_set = Some("default".into()))).await.len(), 3);
        let one = LetterFilter { ids: vec![LetterId { consumer: a, number: 5 }, LetterId { consumer: b, number: 2 }], ..all.clone() };
        assert_eq!(numbers(&ledger, &one).await, ids(&[(a, 5)]));
        let after = ledger.letters(&all, Some(LetterId { consumer: a, number: 2 }), 1).await.unwrap();
        assert_eq!(after[0].id(), LetterId { consumer: a, number: 5 });
        assert_eq!((after[0].letter.batch.as_str(), after[0].letter.condemned_at), ("b", 50));
        let summaries = ledger.letter_summaries(&all).await.unwrap();
        let told: Vec<_> = summaries.iter().map(|summary| (summary.owner.identity.exporter.as_str(), summary.count, summary.oldest, summary.newest)).collect();
        assert_eq!(told, [("a", 2, 20, 50), ("b", 1, 50, 50)]);
        assert_eq!(summaries[0].reasons, [("too large".to_owned(), 1), ("too old".to_owned(), 1)]);
    }

    dropped_letters_count_as_dropped(ledger) {
        let id = with_letters(&ledger, "a", &[(2, "x"), (5, "x"), (7, "y")]).await;
        let filter = LetterFilter { reason_contains: Some("x".into()), ..LetterFilter::default() };
        let change = ledger.drop_letters(&filter, Some(1)).await.unwrap();
        assert_eq!(change, LetterChange { changed: BTreeMap::from([(id, 1)]), ..LetterChange::default() });
        assert_eq!(ledger.drop_letters(&filter, None).await.unwrap().total(), 1);
        let record = ledger.record(id).unwrap();
        assert_eq!((record.dead, record.dropped[&DropReason::DeadLetter], record.delivered(), sum(&ledger, id)), (1, 2, 7, 10));
        assert_eq!(ledger.dead_letter_count(id).await.unwrap(), 1);
    }

    letters_of_a_forgotten_consumer_can_be_dropped_and_not_marked(ledger) {
        let id = with_letters(&ledger, "a", &[(2, "x")]).await;
        ledger.forget(id).await.unwrap();
        assert!(ledger.letters(&LetterFilter::default(), None, 10).await.unwrap()[0].owner.gone);
        assert_eq!(ledger.mark_letters(&LetterFilter::default(), None).await.unwrap(), LetterChange { gone: 1, ..LetterChange::default() });
        assert_eq!(ledger.drop_letters(&LetterFilter::default(), None).await.unwrap().total(), 1);
        assert_eq!(ledger.dead_letter_count(id).await.unwrap(), 0);
    }

    a_letter_whose_event_was_not_kept_is_never_sent(ledger) {
        let id = registered(&ledger, "a", 1).await.id;
        let dead = vec![DeadLetter { event: Vec::new(), ..letter(1) }];
        ledger.settle(id, Settlement { cursor: 2, dead, ..Settlement::default() }).await.unwrap();
        let change = ledger.mark_letters(&LetterFilter::default(), None).await.unwrap();
        assert_eq!((change.total(), change.unreadable), (0, 1));
    }

    a_replay_moves_letters_out_one_settlement_at_a_time(ledger) {
        let id = with_letters(&ledger, "a", &[(2, "x"), (5, "x"), (7, "x"), (9, "x")]).await;
        let some = LetterFilter { ids: [2, 5, 7].map(|number| LetterId { consumer: id, number }).to_vec(), ..LetterFilter::default() };
        assert_eq!(ledger.mark_letters(&some, None).await.unwrap().total(), 3);
        let marked = ledger.marked_letters(id, 10, 6).await.unwrap();
        assert_eq!(marked.iter().map(|letter| letter.number).collect::<Vec<_>>(), [2, 5], "three bytes each");
        assert_eq!(ledger.marked_letters(id, 10, 1).await.unwrap().len(), 1, "one is always given");
        let plan = replay(4, &[2, 5, 7]);
        ledger.settle_replay(id, ReplaySettlement { plan: Some(plan.clone()), ..ReplaySettlement::default() }).await.unwrap();
        let record = ledger.record(id).unwrap();
        assert_eq!((record.dead, record.replay, record.replays), (4, Some(plan), 4));
        let change = ledger.drop_letters(&LetterFilter::default(), None).await.unwrap();
        assert_eq!((change.total(), change.sending), (1, 3), "what is being sent is not dropped");
        let settlement = ReplaySettlement { delivered: vec![2], refused: vec![(5, "again".into())], back: vec![7], attempts: 2, at: 99, plan: None };
        assert_eq!(ledger.settle_replay(id, settlement).await.unwrap(), 1);
        let record = ledger.record(id).unwrap();
        assert_eq!((record.dead, record.replayed, record.replay, record.replays, sum(&ledger, id)), (2, 1, None, 4, 10));
        let left = ledger.dead_letters(id, None, 10).await.unwrap();
        let told: Vec<_> = left.iter().map(|letter| (letter.number, letter.reason.as_str(), letter.attempts, letter.condemned_at, letter.marked)).collect();
        assert_eq!(told, [(5, "again", 5, 99, false), (7, "x", 5, 70, true)]);
    }

    marks_are_counted_and_can_be_taken_back(ledger) {
        let a = with_letters(&ledger, "a", &[(2, "x"), (5, "x"), (7, "y")]).await;
        let b = with_letters(&ledger, "b", &[(5, "x")]).await;
        let marked = || [ledger.marked(&identity("a"), &stream()), ledger.marked(&identity("b"), &stream())];
        assert_eq!(marked(), [0, 0]);
        ledger.mark_letters(&LetterFilter::default(), None).await.unwrap();
        ledger.mark_letters(&LetterFilter::default(), None).await.unwrap();
        assert_eq!(marked(), [3, 1]);
        let x = LetterFilter { reason_contains: Some("x".into()), ..LetterFilter::default() };
        assert_eq!(ledger.unmark_letters(&x, Some(1)).await.unwrap().changed, BTreeMap::from([(a, 1)]));
        assert_eq!(ledger.unmark_letters(&x, Some(1)).await.unwrap().changed, BTreeMap::from([(a, 1)]), "the next one that is marked");
        assert_eq!(marked(), [1, 1]);
        assert_eq!(ledger.letter_summaries(&LetterFilter::default()).await.unwrap().iter().map(|summary| summary.marked).sum::<u64>(), 2);
        ledger.settle_replay(b, ReplaySettlement { plan: Some(replay(4, &[5])), ..ReplaySettlement::default() }).await.unwrap();
        let change = ledger.unmark_letters(&LetterFilter::default(), None).await.unwrap();
        assert_eq!((change.total(), change.sending, marked()), (2, 1, [0, 0]));
        // An attempt that was under way: delivered all the same.
        assert_eq!(ledger.settle_replay(b, ReplaySettlement { delivered: vec![5], ..ReplaySettlement::default() }).await.unwrap(), 1);
        assert_eq!((ledger.record(b).unwrap().replayed, marked()), (1, [0, 0]));
        ledger.mark_letters(&LetterFilter::default(), None).await.unwrap();
        ledger.settle_replay(a, ReplaySettlement { refused: vec![(2, "no".into())], ..ReplaySettlement::default() }).await.unwrap();
        ledger.drop_letters(&LetterFilter { reason_contains: Some("y".into()), ..LetterFilter::default() }, None).await.unwrap();
        assert_eq!(marked(), [1, 0]);
        ledger.forget(a).await.unwrap();
        assert_eq!(marked(), [0, 0]);
    }
}

#[tokio::test]
async fn marks_and_the_batch_under_way_outlive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let id = {
        let ledger = open(&directory);
        let id = with_letters(&ledger, "a", &[(2, "x"), (5, "x")]).await;
        ledger.mark_letters(&LetterFilter::default(), None).await.unwrap();
        ledger.settle_replay(id, ReplaySettlement { plan: Some(replay(7, &[2])), ..ReplaySettlement::default() }).await.unwrap();
        id
    };
    let ledger = open(&directory);
    assert_eq!(ledger.record(id).unwrap().replay, Some(replay(7, &[2])));
    assert_eq!(ledger.marked_letters(id, 10, 1000).await.unwrap().len(), 2);
    assert_eq!(ledger.marked(&identity("a"), &stream()), 2);
    assert_eq!(ledger.letters_of(id, &replay(7, &[2, 3, 5]).numbers).await.unwrap().len(), 2);
}

/// The tables as the first format had them, with a record and a letter.
const FORMAT_1: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL, sum INTEGER NOT NULL) STRICT;
CREATE TABLE consumers (id INTEGER PRIMARY KEY AUTOINCREMENT, flag_set TEXT NOT NULL, exporter TEXT NOT NULL, kind TEXT NOT NULL,
    start INTEGER NOT NULL, cursor INTEGER NOT NULL, dead INTEGER NOT NULL, dropped TEXT NOT NULL, plan TEXT, orphaned_since INTEGER,
    gone INTEGER NOT NULL DEFAULT 0, sum INTEGER NOT NULL) STRICT;
CREATE UNIQUE INDEX consumer_of ON consumers (flag_set, exporter, kind) WHERE gone = 0;
CREATE TABLE dead_letters (consumer INTEGER NOT NULL REFERENCES consumers (id), number INTEGER NOT NULL, event BLOB NOT NULL,
    reason TEXT NOT NULL, attempts INTEGER NOT NULL, first_tried INTEGER NOT NULL, condemned_at INTEGER NOT NULL, PRIMARY KEY (consumer, number)) STRICT;
CREATE TABLE names (destination TEXT PRIMARY KEY NOT NULL, last INTEGER NOT NULL, sum INTEGER NOT NULL) STRICT;
CREATE TABLE found (flag_set TEXT NOT NULL, kind TEXT NOT NULL, head INTEGER NOT NULL, PRIMARY KEY (flag_set, kind)) STRICT;
";

#[tokio::test]
async fn a_bookkeeping_of_format_1_is_taken_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.sqlite");
    {
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(FORMAT_1).unwrap();
        rows::set_meta(&connection, "format", "1").unwrap();
        rows::set_meta(&connection, "origin", "attached").unwrap();
        // The checksum that format 1 computed for this row.
        let parts = ["default", "a", "feature", "1", "9", "1", "{\"backlog\":2}", "", ""];
        let text: String = parts.iter().map(|part| format!("{}:{part};", part.len())).collect();
        let sum = i64::from(crc32c::crc32c(text.as_bytes()));
        let insert = "INSERT INTO consumers VALUES (1, 'default', 'a', 'feature', 1, 9, 1, '{\"backlog\":2}', NULL, NULL, 0, ?)";
        connection.execute(insert, [sum]).unwrap();
        connection.execute_batch("INSERT INTO dead_letters VALUES (1, 4, CAST('{}' AS BLOB), 'no', 3, 10, 20)").unwrap();
    }
    let (ledger, report) = Ledger::open(&path, Arc::new(SystemClock)).unwrap();
    assert_eq!(report.rebuilt, None, "it is sound");
    let record = ledger.record(ConsumerId(1)).unwrap();
    assert_eq!((record.cursor, record.dead, record.delivered(), record.replayed), (9, 1, 5, 0));
    let old = DeadLetter { batch: String::new(), ..letter(4) };
    assert_eq!(ledger.dead_letters(record.id, None, 10).await.unwrap(), [old]);
    assert_eq!(ledger.mark_letters(&LetterFilter::default(), None).await.unwrap().total(), 1);
    drop(ledger);
    let format = rows::meta(&Connection::open(&path).unwrap(), "format").unwrap();
    assert_eq!(format, Some(file::FORMAT.to_string()));
}

#[test]
fn an_id_is_two_numbers() {
    let id = LetterId { consumer: ConsumerId(3), number: 1042 };
    assert_eq!("3-1042".parse(), Ok(id));
    assert_eq!(id.to_string(), "3-1042");
    for text in ["", "3", "3-", "-3", "3-x", "-3-4", "3-4-5", "3.4"] {
        assert!(text.parse::<LetterId>().unwrap_err().to_string().contains(text), "{text}");
    }
}
