//! Bytes that the disk cannot read.

use std::ops::Range;
use std::path::PathBuf;

use bytes::Bytes;
use flagpost_event::EventKind;

use super::*;
use crate::OpenError;
use crate::testing::SimDisk;

const BAD: Range<u64> = 8_192..8_292;

fn options() -> DiskLogOptions {
    DiskLogOptions { segment_bytes: 32 << 10, tail_bytes: 100, ..DiskLogOptions::new("/store", 7) }
}

fn open(disk: &SimDisk) -> Result<(DiskLog, OpenReport), OpenError> {
    DiskLog::open(options(), Arc::new(disk.clone()), Arc::new(SystemClock))
}

fn stream(log: &DiskLog) -> StreamId {
    log.stream(&StreamName::new("default", EventKind::Feature))
}

/// Two segments and a half of single events; a page of `segment` cannot be read.
async fn spoilt(segment: u64) -> (DiskLog, SimDisk) {
    let disk = SimDisk::new(1);
    let (log, _) = open(&disk).unwrap();
    for number in 1..=200 {
        let lines = format!("{{\"number\":{number},\"pad\":\"{}\"}}\n", "p".repeat(150));
        log.append(vec![Part { stream: stream(&log), lines: Bytes::from(lines), count: 1 }]).await.unwrap();
    }
    assert_eq!(log.segments().len(), 3);
    disk.spoil(&PathBuf::from("/store").join(file_name(segment)), BAD);
    (log, disk)
}

/// Reads on over errors and damage; how many errors, and which numbers are lost.
async fn read_all(log: &DiskLog) -> (u32, Vec<Range<u64>>) {
    let (mut from, mut errors, mut lost) = (1, 0, Vec::new());
    loop {
        match log.read(stream(log), from, ReadLimit { events: 10, bytes: 10_000 }).await {
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
            Ok(Read::End) => return (errors, crate::segment::map::merge(lost)),
            Err(_) => errors += 1,
        }
    }
}

#[tokio::test]
async fn a_bad_sector_fails_reads_for_a_while_and_then_costs_the_blocks_on_it() {
    let (log, _disk) = spoilt(1).await;
    let (errors, lost) = read_all(&log).await;
    assert!(errors >= READ_TRIES - 1, "{errors}");
    let numbers: u64 = lost.iter().map(crate::segment::map::count).sum();
    // A page of 4 KiB touches at most twelve blocks of 370 bytes and more.
    assert!((1..=13).contains(&numbers), "{lost:?}");
    assert_eq!(log.stats().damaged_events.get(), numbers);
}

#[tokio::test]
async fn a_bad_sector_in_an_older_segment_does_not_stop_the_start() {
    let (log, disk) = spoilt(1).await;
    log.close().await;
    // Its index is gone, too: it is scanned.
    let path = PathBuf::from("/store").join(file_name(1));
    let len = disk.contents().iter().find(|(found, _)| *found == path).unwrap().1.len();
    disk.flip(&path, len - 5, 0xff);
    let (log, report) = open(&disk.copy()).unwrap();
    assert!(report.damaged.is_empty(), "a copy has no bad sector");
    drop(log);
    let (log, report) = open(&disk).unwrap();
    assert!(report.damaged.is_empty(), "it may be readable later");
    assert!(report.findings.iter().any(|(file, _, finding)| *file == file_name(1) && matches!(finding, crate::Finding::Unreadable(_))));
    let (errors, lost) = read_all(&log).await;
    let numbers: u64 = lost.iter().map(crate::segment::map::count).sum();
    assert!(errors > 0 && (1..=13).contains(&numbers), "{errors} errors, {lost:?}");
    let checked = crate::check(&PathBuf::from("/store"), &disk).unwrap();
    assert_eq!(checked.streams[0].damaged, lost);
}

#[tokio::test]
async fn a_segment_that_cannot_be_read_now_is_neither_gone_nor_damaged() {
    for bytes in [0..4_096, 0..1 << 20, 4_096..1 << 20] {
        for segment in [1, 2] {
            let (log, disk) = spoilt(3).await;
            log.close().await;
            let whole = disk.copy();
            // Nothing of it can be read while the log opens: neither its tables nor its index.
            whole.spoil(&PathBuf::from("/store").join(file_name(segment)), bytes.clone());
            let (log, report) = open(&whole).unwrap();
            assert!(report.damaged.is_empty());
            whole.heal();
            assert_eq!(read_all(&log).await, (0, Vec::new()), "segment {segment}, bytes {bytes:?}");
            assert_eq!(log.bounds(stream(&log)), Bounds { oldest: 1, head: 201 });
        }
    }
}

#[tokio::test]
async fn a_bad_sector_in_the_newest_segment_stops_the_start_because_numbers_would_be_given_twice() {
    let (log, disk) = spoilt(3).await;
    drop(log);
    let error = open(&disk.crash()).unwrap_err();
    assert!(matches!(error, OpenError::Io { during: "reading", .. }), "{error:?}");
    assert!(error.to_string().contains(&file_name(3)), "{error}");
}
