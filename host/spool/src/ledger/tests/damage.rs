//! Files that are not what was written, disks that refuse, and newer formats.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode};
use tempfile::TempDir;

use super::super::{LedgerReport, file, rows};
use super::*;

fn path(directory: &TempDir) -> PathBuf {
    directory.path().join("ledger.sqlite")
}

fn opened(path: &Path) -> Result<(Ledger, LedgerReport), LedgerError> {
    Ledger::open(path, Arc::new(SystemClock))
}

/// Two consumers, one with everything a record can have.
async fn fill(ledger: &Ledger) -> Vec<ConsumerRecord> {
    ledger.attach("s1", &[]).await.unwrap();
    let full = registered(ledger, "full", 1).await.id;
    let dropped = BTreeMap::from([(DropReason::Backlog, 3)]);
    let settlement = Settlement { cursor: 90, dead: vec![letter(7)], dropped, plan: Some(plan(90, 99)) };
    ledger.settle(full, settlement).await.unwrap();
    registered(ledger, "other", 95).await;
    ledger.next_timestamp("out", 1_000).await.unwrap();
    ledger.consumers()
}

#[tokio::test]
async fn a_file_that_is_no_database_is_set_aside_and_consumers_start_at_the_oldest_event() {
    let directory = tempfile::tempdir().unwrap();
    let garbage = "not a database, ".repeat(1_000);
    fs::write(path(&directory), &garbage).unwrap();
    let (ledger, report) = opened(&path(&directory)).unwrap();
    let rebuilt = report.rebuilt.expect("it was set aside");
    assert!(!report.created);
    assert_eq!(fs::read_to_string(&rebuilt.set_aside).unwrap(), garbage);
    let name = rebuilt.set_aside.file_name().unwrap().to_string_lossy().into_owned();
    assert!(name.starts_with("ledger.sqlite.damaged-"), "{name}");
    assert_eq!(ledger.register(&identity("a"), &stream(), bounds(30, 90)).await.unwrap().start, 30);
    drop(ledger);
    let (ledger, report) = opened(&path(&directory)).unwrap();
    assert_eq!(report, LedgerReport::default());
    ledger.attach("s1", &[(stream(), bounds(40, 95))]).await.unwrap();
    let later = ledger.register(&identity("b"), &stream(), bounds(40, 95)).await.unwrap();
    assert_eq!(later.start, 40, "the mark outlives a restart until the log was seen");
}

#[tokio::test]
async fn every_flipped_byte_of_the_database_is_found_or_harmless() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(&directory);
    let expected = fill(&ledger).await;
    ledger.close().await.unwrap();
    drop(ledger);
    let sound = fs::read(path(&directory)).unwrap();
    let mut found = 0;
    // Zeros are free space but for a few bytes: every one that is not zero, and each 61st of the others.
    for at in (0..sound.len()).filter(|&at| sound[at] != 0 || at % 61 == 0) {
        let scratch = tempfile::tempdir().unwrap();
        let mut bytes = sound.clone();
        bytes[at] ^= 0xff;
        fs::write(path(&scratch), &bytes).unwrap();
        let (ledger, report) = opened(&path(&scratch)).unwrap_or_else(|error| panic!("byte {at}: {error:?}"));
        if report.rebuilt.is_some() || report.created {
            found += 1;
        } else {
            assert_eq!(ledger.consumers(), expected, "byte {at}");
        }
        ledger.attach("s1", &[(stream(), bounds(20, 120))]).await.unwrap();
        let record = registered(&ledger, "full", 120).await;
        assert!(record.cursor <= 90, "byte {at}: events 90 to 119 would be lost");
        let settled = ledger.settle(record.id, Settlement { cursor: 110, ..Settlement::default() }).await;
        settled.unwrap_or_else(|error| panic!("byte {at}: {error:?} after {report:?}"));
        if at % 16 == 0 {
            drop(ledger);
            assert_eq!(open(&scratch).record(record.id).unwrap().cursor, 110, "byte {at}");
        }
    }
    assert!(found > 500, "{found}");
}

#[tokio::test]
async fn every_flipped_byte_of_the_write_ahead_log_is_at_worst_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(&directory);
    let id = fill(&ledger).await[0].id;
    for cursor in [100, 101] {
        ledger.settle(id, Settlement { cursor, ..Settlement::default() }).await.unwrap();
    }
    let wal = directory.path().join("ledger.sqlite-wal");
    let (sound, log) = (fs::read(path(&directory)).unwrap(), fs::read(wal).unwrap());
    assert!(!log.is_empty());
    for at in (0..log.len()).filter(|&at| log[at] != 0 || at % 61 == 0) {
        let scratch = tempfile::tempdir().unwrap();
        let mut bytes = log.clone();
        bytes[at] ^= 0xff;
        fs::write(path(&scratch), &sound).unwrap();
        fs::write(scratch.path().join("ledger.sqlite-wal"), &bytes).unwrap();
        let (ledger, report) = opened(&path(&scratch)).unwrap_or_else(|error| panic!("byte {at}: {error:?}"));
        if report.rebuilt.is_none() {
            let record = ledger.record(id).unwrap_or_else(|| panic!("byte {at}: a registration was lost"));
            assert!([90, 100, 101].contains(&record.cursor), "byte {at}: {record:?}");
            assert_eq!((record.dead, ledger.consumers().len()), (1, 2), "byte {at}");
        }
    }
}

#[tokio::test]
async fn a_file_cut_short_anywhere_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(&directory);
    let expected = fill(&ledger).await;
    ledger.close().await.unwrap();
    drop(ledger);
    let sound = fs::read(path(&directory)).unwrap();
    for length in (0..sound.len()).step_by(1_000) {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(path(&scratch), &sound[..length]).unwrap();
        let (ledger, report) = opened(&path(&scratch)).unwrap_or_else(|error| panic!("{length} bytes: {error:?}"));
        if !report.created && report.rebuilt.is_none() {
            assert_eq!(ledger.consumers(), expected, "{length} bytes");
            assert!(sound[length..].iter().all(|&byte| byte == 0), "{length} bytes");
            continue;
        }
        ledger.attach("s1", &[(stream(), bounds(20, 120))]).await.unwrap();
        assert_eq!(registered(&ledger, "full", 120).await.cursor, 1, "the oldest that the caller named");
    }
}

#[tokio::test]
async fn damage_under_a_running_program_keeps_what_memory_knows() {
    for sabotage in ["DROP TABLE consumers", "DELETE FROM consumers", "DROP TABLE names", "DROP TABLE dead_letters"] {
        let directory = tempfile::tempdir().unwrap();
        let ledger = open(&directory);
        let expected = fill(&ledger).await;
        let hostile = Connection::open(path(&directory)).unwrap();
        hostile.execute_batch(&format!("PRAGMA foreign_keys = off; {sabotage}")).unwrap();
        drop(hostile);
        let id = expected[0].id;
        assert_eq!(ledger.next_timestamp("out", 1_000).await.unwrap(), 1_001, "{sabotage}");
        ledger.settle(id, Settlement { cursor: 95, dead: vec![letter(91)], ..Settlement::default() }).await.unwrap();
        assert_eq!(ledger.dead_letters(id, Some(90), 10).await.unwrap(), [letter(91)], "{sabotage}");
        let after = ledger.consumers();
        assert_eq!((after[0].cursor, after[0].dead, &after[1]), (95, 2, &expected[1]), "{sabotage}");
        drop(ledger);
        let (ledger, report) = opened(&path(&directory)).unwrap();
        assert_eq!((ledger.consumers(), report), (after, LedgerReport::default()), "{sabotage}");
        let names = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(names.into_iter().any(|name| name.to_string_lossy().contains(".damaged-")), "{sabotage}");
    }
}

async fn limit_pages(ledger: &Ledger, pages: u32) {
    ledger
        .runner
        .run(move |engine| engine.read("limiting", |connection| connection.pragma_update(None, "max_page_count", pages)))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_full_disk_is_an_error_that_changes_nothing_and_passes() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(&directory);
    let id = fill(&ledger).await[0].id;
    limit_pages(&ledger, 1).await;
    let before = ledger.consumers();
    let large = DeadLetter { event: vec![b'x'; 100_000], ..letter(92) };
    let settlement = Settlement { cursor: 95, dead: vec![large], ..Settlement::default() };
    match ledger.settle(id, settlement.clone()).await {
        Err(LedgerError::Disk { source, .. }) => assert_eq!(source.sqlite_error_code(), Some(ErrorCode::DiskFull)),
        other => panic!("{other:?}"),
    }
    assert_eq!(ledger.consumers(), before);
    assert_eq!(ledger.durable_floor(), [(stream(), 90)]);
    limit_pages(&ledger, 100_000).await;
    ledger.settle(id, settlement).await.unwrap();
    assert_eq!((ledger.record(id).unwrap().cursor, ledger.dead_letter_count(id).await.unwrap()), (95, 2));
}

#[tokio::test]
async fn a_newer_format_is_refused_and_both_versions_are_named() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(&directory));
    let connection = Connection::open(path(&directory)).unwrap();
    rows::set_meta(&connection, "format", &(file::FORMAT + 1).to_string()).unwrap();
    drop(connection);
    let before = fs::read(path(&directory)).unwrap();
    let error = opened(&path(&directory)).unwrap_err();
    let LedgerError::Newer { found, known, .. } = &error else { panic!("{error:?}") };
    assert_eq!((*found, *known), (file::FORMAT + 1, file::FORMAT));
    let text = error.to_string();
    let told = [format!("format {}", file::FORMAT + 1), format!("up to {}", file::FORMAT)];
    assert!(told.iter().all(|piece| text.contains(piece)), "{text}");
    assert_eq!(fs::read(path(&directory)).unwrap(), before);
}

#[tokio::test]
async fn a_directory_that_is_missing_is_an_error_and_not_damage() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("no/ledger.sqlite");
    assert!(matches!(opened(&missing), Err(LedgerError::Disk { .. })));
}
