//! Bytes that the disk cannot read, for a while or for good.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use flagpost_event::EventKind;

use super::space::HandClock;
use super::*;
use crate::disk_log::shared::{LAST_PATIENCE_MILLIS, PATIENCE_MILLIS};
use crate::segment::map::count;
use crate::testing::{Fault, SimDisk};
use crate::{Finding, OpenError};

const BAD: Range<u64> = 8_192..8_292;
const LIMIT: ReadLimit = ReadLimit { events: 10, bytes: 10_000 };

fn open(disk: &SimDisk, clock: &Arc<HandClock>) -> Result<(DiskLog, OpenReport), OpenError> {
    let options = DiskLogOptions { segment_bytes: 32 << 10, tail_bytes: 100, ..DiskLogOptions::new("/store", 7) };
    DiskLog::open(options, Arc::new(disk.clone()), clock.clone())
}

fn path(segment: u64) -> PathBuf {
    PathBuf::from("/store").join(file_name(segment))
}

fn stream(log: &DiskLog) -> StreamId {
    log.stream(&StreamName::new("default", EventKind::Feature))
}

fn len(disk: &SimDisk, segment: u64) -> u64 {
    disk.contents().into_iter().find(|(found, _)| *found == path(segment)).unwrap().1.len() as u64
}

/// The numbers that a segment holds.
fn held(log: &DiskLog, segment: usize) -> Range<u64> {
    log.segments()[segment - 1].holds[0].1.clone()
}

/// Two segments and a half of single events.
async fn written() -> (DiskLog, SimDisk, Arc<HandClock>) {
    let (disk, clock) = (SimDisk::new(1), Arc::new(HandClock::default()));
    let (log, _) = open(&disk, &clock).unwrap();
    for number in 1..=200 {
        let lines = format!("{{\"number\":{number},\"pad\":\"{}\"}}\n", "p".repeat(150));
        log.append(vec![Part { stream: stream(&log), lines: Bytes::from(lines), count: 1 }]).await.unwrap();
    }
    assert_eq!(log.segments().len(), 3);
    (log, disk, clock)
}

/// Reads on over errors and damage, a second after each error, for so many seconds. The seconds that it took, and which numbers are lost;
/// `Err`: where it still stands.
async fn read_for(log: &DiskLog, clock: &HandClock, most: u64) -> Result<(u64, Vec<Range<u64>>), u64> {
    let (mut from, mut seconds, mut lost) = (1, 0, Vec::new());
    loop {
        match log.read(stream(log), from, LIMIT).await {
            Ok(Read::Events(run)) => {
                let text = String::from_utf8(run.lines.concat()).unwrap();
                for (line, number) in text.lines().zip(from..) {
                    assert!(line.starts_with(&format!("{{\"number\":{number},")), "{line}");
                }
                from += run.count as u64;
            }
            Ok(Read::Damaged(range)) => {
                from = range.end;
                lost.push(range);
            }
            Ok(Read::Gone(range)) => panic!("{range:?}"),
            Ok(Read::End) => return Ok((seconds, crate::segment::map::merge(lost))),
            Err(_) if seconds == most => return Err(from),
            Err(_) => {
                seconds += 1;
                clock.0.fetch_add(1_000, Ordering::Relaxed);
            }
        }
    }
}

async fn read_all(log: &DiskLog, clock: &HandClock) -> (u64, Vec<Range<u64>>) {
    read_for(log, clock, 100_000).await.unwrap()
}

const PATIENCE: u64 = PATIENCE_MILLIS / 1_000;
const LAST_PATIENCE: u64 = LAST_PATIENCE_MILLIS / 1_000;
/// Longer than any patience.
const LONG: u64 = 2 * LAST_PATIENCE;

#[tokio::test]
async fn a_bad_sector_fails_reads_for_a_while_and_then_costs_the_blocks_on_it() {
    let (log, disk, clock) = written().await;
    disk.spoil(&path(1), BAD);
    let (seconds, lost) = read_all(&log, &clock).await;
    // For a block that begins before the page, for those that begin on it, and for the last one's end.
    assert!((PATIENCE..=3 * PATIENCE).contains(&seconds), "{seconds}");
    let numbers: u64 = lost.iter().map(count).sum();
    // A page of 4 KiB touches at most twelve blocks of 370 bytes and more.
    assert!((1..=13).contains(&numbers), "{lost:?}");
    assert_eq!(log.stats().damaged_events.get(), numbers);
}

#[tokio::test]
async fn a_disk_that_is_away_costs_no_event_however_long_it_is_away() {
    for bytes in [0..1 << 20, 4_096..1 << 20, 8_192..1 << 20] {
        let (log, disk, clock) = written().await;
        for segment in 1..=3 {
            disk.spoil(&path(segment), bytes.clone());
        }
        // Where the file's beginning can be read, nothing tells a bad end of it from a disk that is away: that takes longer.
        let away = if bytes.start == 0 { LONG } else { LAST_PATIENCE - 1 };
        assert!(read_for(&log, &clock, away).await.is_err(), "{bytes:?}");
        assert_eq!(log.damaged(), [], "{bytes:?}");
        disk.heal();
        assert_eq!(read_all(&log, &clock).await, (0, Vec::new()), "{bytes:?}");
        assert_eq!(log.stats().damaged_events.get(), 0);
    }
}

#[tokio::test]
async fn an_outage_that_ends_while_what_is_lost_is_looked_for_costs_nothing() {
    for pages in 0..8 {
        let (log, disk, clock) = written().await;
        disk.spoil(&path(1), 0..1 << 20);
        assert!(read_for(&log, &clock, PATIENCE).await.is_err());
        disk.heal();
        // The read fails (whole and the first page), and of the next one the file as a whole and so many pages; those behind can be read.
        disk.fail(Fault { at: disk.calls() + 2, calls: 2, error: io::ErrorKind::Other });
        disk.fail(Fault { at: disk.calls() + 6, calls: 1 + pages, error: io::ErrorKind::Other });
        let (_, lost) = read_all(&log, &clock).await;
        assert_eq!((lost, log.stats().damaged_events.get()), (Vec::new(), 0), "{pages} pages");
    }
}

#[tokio::test]
async fn two_readers_at_one_number_do_not_lose_patience_sooner() {
    let (log, disk, clock) = written().await;
    disk.spoil(&path(1), BAD);
    assert!(read_for(&log, &clock, 1).await.is_err());
    let from = read_for(&log, &clock, 0).await.unwrap_err();
    for second in 2..PATIENCE {
        for _reader in 0..5 {
            assert!(log.read(stream(&log), from, LIMIT).await.is_err(), "second {second}");
        }
        clock.0.fetch_add(1_000, Ordering::Relaxed);
    }
    assert_eq!(log.damaged(), []);
    clock.0.fetch_add(1_000, Ordering::Relaxed);
    assert!(log.read(stream(&log), from, LIMIT).await.is_ok());
}

#[tokio::test]
async fn a_bad_sector_with_nothing_behind_it_costs_its_blocks_after_an_hour() {
    let (log, disk, clock) = written().await;
    let (end, last) = (len(&disk, 1), held(&log, 1).end - 1);
    // The index and some events before it.
    disk.spoil(&path(1), end - 6_000..end);
    assert!(read_for(&log, &clock, LAST_PATIENCE - 1).await.is_err());
    let (_, lost) = read_all(&log, &clock).await;
    assert!(lost.len() == 1 && lost[0].end == last + 1 && count(&lost[0]) < 30, "{lost:?}");
}

#[tokio::test]
async fn a_bad_sector_in_an_older_segment_does_not_stop_the_start() {
    let (log, disk, clock) = written().await;
    disk.spoil(&path(1), BAD);
    log.close().await;
    // Its index is gone, too: it is scanned.
    disk.flip(&path(1), len(&disk, 1) as usize - 5, 0xff);
    let (log, report) = open(&disk.copy(), &clock).unwrap();
    assert!(report.damaged.is_empty(), "a copy has no bad sector");
    drop(log);
    let (log, report) = open(&disk, &clock).unwrap();
    assert!(report.damaged.is_empty(), "it may be readable later");
    assert!(report.findings.iter().any(|(file, _, finding)| *file == file_name(1) && matches!(finding, Finding::Unreadable(_))));
    let (seconds, lost) = read_all(&log, &clock).await;
    let numbers: u64 = lost.iter().map(count).sum();
    assert!(seconds >= PATIENCE && (1..=13).contains(&numbers), "{seconds} s, {lost:?}");
    let checked = crate::check(&PathBuf::from("/store"), &disk).unwrap();
    assert_eq!(checked.streams[0].damaged, lost);
}

#[tokio::test]
async fn a_segment_that_cannot_be_read_now_is_neither_gone_nor_damaged() {
    for bytes in [0..4_096, 0..1 << 20, 4_096..1 << 20] {
        for segment in [1, 2] {
            let (log, disk, clock) = written().await;
            log.close().await;
            // Nothing of it can be read while the log opens: neither its tables nor its index.
            disk.spoil(&path(segment), bytes.clone());
            let (log, report) = open(&disk, &clock).unwrap();
            assert!(report.damaged.is_empty());
            disk.heal();
            assert_eq!(read_all(&log, &clock).await, (0, Vec::new()), "segment {segment}, bytes {bytes:?}");
            assert_eq!(log.bounds(stream(&log)), Bounds { oldest: 1, head: 201 });
        }
    }
}

#[tokio::test]
async fn an_older_segment_that_cannot_be_opened_stops_neither_the_start_nor_the_others_and_comes_back() {
    for segment in [1, 2] {
        let (log, disk, clock) = written().await;
        log.close().await;
        disk.refuse_to_open(&path(segment));
        let (log, report) = open(&disk, &clock).unwrap();
        assert!(report.damaged.is_empty(), "{report:?}");
        let named = |(file, _, finding): &(String, u64, Finding)| *file == file_name(segment) && matches!(finding, Finding::NotOpened(_));
        assert!(report.findings.iter().any(named), "{report:?}");
        assert_eq!(log.bounds(stream(&log)), Bounds { oldest: 1, head: 201 });
        assert!(log.pressure().held_bytes < 1 << 20);
        let stands = read_for(&log, &clock, LONG).await.unwrap_err();
        assert!(held(&log, segment as usize).contains(&stands), "{stands}");
        assert!(matches!(log.read(stream(&log), 195, LIMIT).await, Ok(Read::Events(_))));
        disk.heal();
        assert_eq!(read_all(&log, &clock).await, (0, Vec::new()), "segment {segment}");
        assert_eq!(log.stats().damaged_events.get(), 0);
    }
}

#[tokio::test]
async fn an_unreadable_segment_behind_removed_ones_is_not_taken_for_removed() {
    let (log, disk, clock) = written().await;
    let (slow, second) = (log.stream(&StreamName::new("slow", EventKind::Feature)), held(&log, 2));
    log.append(vec![Part { stream: slow, lines: Bytes::from("waits\n"), count: 1 }]).await.unwrap();
    for _ in 0..200 {
        let lines = format!("{{\"pad\":\"{}\"}}\n", "p".repeat(150));
        log.append(vec![Part { stream: stream(&log), lines: Bytes::from(lines), count: 1 }]).await.unwrap();
    }
    // The first three go; of the fourth on all is wanted.
    let fourth = held(&log, 4);
    disk.put(&path(99), &[]);
    log.close().await;
    let files = disk.contents();
    let copy = SimDisk::new(2);
    for (file, bytes) in files.iter().filter(|(file, _)| *file != path(2) && *file != path(3) && *file != path(99)) {
        copy.put(file, bytes);
    }
    copy.refuse_to_open(&path(4));
    let (log, _) = open(&copy, &clock).unwrap();
    assert!(log.read(stream(&log), fourth.start, LIMIT).await.is_err(), "neither gone nor damaged");
    copy.heal();
    let read = log.read(stream(&log), fourth.start, LIMIT).await.unwrap();
    assert!(matches!(read, Read::Events(ref run) if run.first == fourth.start), "{read:?} {second:?}");
}

#[tokio::test]
async fn two_neighbours_that_could_not_be_read_at_the_start_do_not_lose_each_others_events() {
    for gone in [false, true] {
        let (log, disk, clock) = written().await;
        let first = held(&log, 1);
        log.close().await;
        for segment in [1, 2] {
            disk.spoil(&path(segment), 0..1 << 20);
        }
        let (log, _) = open(&disk, &clock).unwrap();
        assert!(read_for(&log, &clock, LONG).await.is_err());
        disk.heal();
        if gone {
            disk.lose(&path(1));
        }
        // What nobody holds any more is not damaged, but it is not there.
        let begin = if gone { first.end } else { 1 };
        let read = log.read(stream(&log), 1, LIMIT).await.unwrap();
        match read {
            Read::Gone(range) if gone => assert_eq!(range, first),
            Read::Events(run) if !gone => assert_eq!(run.first, 1),
            other => panic!("{other:?}"),
        }
        let mut from = begin;
        while let Read::Events(run) = log.read(stream(&log), from, LIMIT).await.unwrap() {
            from += run.count as u64;
        }
        assert_eq!((from, log.stats().damaged_events.get()), (201, 0));
    }
}

#[tokio::test]
async fn a_segment_that_somebody_removed_is_damage_at_once_and_counted() {
    let (log, disk, clock) = written().await;
    let lost = held(&log, 2);
    disk.lose(&path(2));
    assert_eq!(read_all(&log, &clock).await, (0, vec![lost.clone()]));
    assert_eq!(log.stats().damaged_events.get(), count(&lost));
    assert_eq!(log.damaged().len(), 1);
}

#[tokio::test]
async fn a_bad_sector_in_the_newest_segment_stops_the_start_because_numbers_would_be_given_twice() {
    let (log, disk, clock) = written().await;
    disk.spoil(&path(3), BAD);
    // Before the log can end its segment with an index.
    let after = disk.crash();
    drop(log);
    let Err(error) = open(&after, &clock) else { panic!("it starts") };
    assert!(matches!(error, OpenError::Io { during: "reading", .. }), "{error:?}");
    assert!(error.to_string().contains(&file_name(3)), "{error}");
}
