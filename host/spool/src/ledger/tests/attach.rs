//! Which log the cursors belong to.

use super::*;

#[tokio::test]
async fn a_bookkeeping_that_is_younger_than_its_log_starts_consumers_at_the_oldest_event() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(&directory);
    ledger.attach("s1", &[(stream(), bounds(20, 90))]).await.unwrap();
    let first = ledger.register(&identity("a"), &stream(), bounds(20, 90)).await.unwrap();
    assert_eq!(first.start, 20);
    let later = ledger.register(&identity("b"), &stream(), bounds(40, 95)).await.unwrap();
    assert_eq!(later.start, 40, "the log still holds events from before");
    let last = ledger.register(&identity("c"), &stream(), bounds(91, 120)).await.unwrap();
    assert_eq!(last.start, 120, "the log holds only events that the bookkeeping has seen");
    let other = StreamName::new("default", EventKind::Tracking);
    let fresh = ledger.register(&identity("a"), &other, bounds(1, 30)).await.unwrap();
    assert_eq!(fresh.start, 30, "a stream that is younger than the bookkeeping");
}

#[tokio::test]
async fn another_store_begins_anew_and_keeps_the_dead_letters() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(&directory);
    ledger.attach("s1", &[]).await.unwrap();
    let old = registered(&ledger, "a", 1).await;
    ledger.settle(old.id, Settlement { cursor: 5, dead: vec![letter(2)], ..Settlement::default() }).await.unwrap();
    drop(ledger);
    let ledger = open(&directory);
    ledger.attach("s2", &[(stream(), bounds(1, 4))]).await.unwrap();
    assert_eq!(ledger.consumers(), []);
    assert_eq!(ledger.dead_letter_count(old.id).await.unwrap(), 1);
    assert_eq!(registered(&ledger, "a", 4).await.start, 1, "nothing of that store was delivered");
}

#[tokio::test]
async fn a_cursor_above_the_head_begins_again_at_the_head() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(&directory);
    ledger.attach("s1", &[]).await.unwrap();
    let lost = registered(&ledger, "lost", 1).await.id;
    let held = registered(&ledger, "held", 1).await.id;
    ledger.advance(lost, 50);
    ledger.advance(held, 30);
    ledger.close().await.unwrap();
    let ledger = open(&directory);
    ledger.attach("s1", &[(stream(), bounds(1, 40))]).await.unwrap();
    let record = registered(&ledger, "lost", 40).await;
    assert_eq!((record.start, record.cursor), (40, 40));
    assert_eq!(registered(&ledger, "held", 40).await.cursor, 30);
}

#[tokio::test]
async fn a_second_start_on_the_same_store_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(&directory);
    ledger.attach("s1", &[]).await.unwrap();
    let record = registered(&ledger, "a", 1).await;
    ledger.settle(record.id, Settlement { cursor: 9, plan: Some(plan(9, 12)), ..Settlement::default() }).await.unwrap();
    let before = ledger.consumers();
    drop(ledger);
    let ledger = open(&directory);
    ledger.attach("s1", &[(stream(), bounds(1, 20))]).await.unwrap();
    assert_eq!(ledger.consumers(), before);
    assert_eq!(registered(&ledger, "new", 20).await.start, 20);
}
