//! Trimming, rolling, reserving: who gets the disk's space back, and when.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use flagpost_event::{Clock, EventKind};

use super::*;
use crate::testing::{Fault, SimDisk};

const SEGMENT: u64 = 4 << 10;

/// A clock that is set by hand: milliseconds.
#[derive(Debug, Default)]
pub(super) struct HandClock(pub(super) AtomicU64);

impl Clock for HandClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_000 + self.0.load(Ordering::Relaxed))
    }
}

fn options() -> DiskLogOptions {
    DiskLogOptions { segment_bytes: SEGMENT, tail_bytes: 100, ..DiskLogOptions::new("/store", 7) }
}

fn log_on(disk: &SimDisk, clock: &Arc<HandClock>) -> DiskLog {
    DiskLog::open(options(), Arc::new(disk.clone()), clock.clone()).unwrap().0
}

fn name(flag_set: &str) -> StreamName {
    StreamName::new(flag_set, EventKind::Feature)
}

async fn append(log: &DiskLog, flag_set: &str, text: &str) -> Result<(), AppendError> {
    log.append(vec![Part { stream: log.stream(&name(flag_set)), lines: Bytes::from(format!("{text}\n")), count: 1 }]).await
}

async fn all(log: &DiskLog, flag_set: &str) -> String {
    let id = log.stream(&name(flag_set));
    let mut from = log.bounds(id).oldest;
    let mut text = String::new();
    loop {
        match log.read(id, from, ReadLimit { events: 100, bytes: 1 << 20 }).await.unwrap() {
            Read::Events(run) => {
                from += run.count as u64;
                text.push_str(std::str::from_utf8(&run.lines.concat()).unwrap());
            }
            Read::End => return text,
            other => panic!("{other:?}"),
        }
    }
}

fn disk_bytes(disk: &SimDisk) -> usize {
    disk.contents().iter().map(|(_, bytes)| bytes.len()).sum()
}

/// Waits until a condition of another thread holds.
async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_consumed_store_gives_all_its_space_back_once_it_is_idle_and_keeps_its_numbers() {
    for seed in 0..12 {
        let (disk, clock) = (SimDisk::new(seed), Arc::new(HandClock::default()));
        let log = log_on(&disk, &clock);
        for _ in 0..3 {
            append(&log, "default", "x").await.unwrap();
        }
        let id = log.stream(&name("default"));
        log.trim(&[(id, 4)]).await;
        append(&log, "default", "y").await.unwrap();
        assert_eq!(log.segments().len(), 1, "a segment in use is not given up for a few events");
        clock.0.fetch_add(ROLL_IDLE_MILLIS, Ordering::Relaxed);
        log.trim(&[(id, 5)]).await;
        until(|| log.segments().len() == 2).await;
        log.trim(&[(id, 5)]).await;
        assert!(disk_bytes(&disk) < 1_000, "{}", disk_bytes(&disk));
        let log = log_on(&disk.crash(), &clock);
        assert_eq!(log.bounds(log.stream(&name("default"))), Bounds { oldest: 5, head: 5 });
    }
}

#[tokio::test]
async fn a_slow_stream_holds_its_own_segments_and_not_those_after() {
    let (disk, clock) = (SimDisk::new(1), Arc::new(HandClock::default()));
    let log = log_on(&disk, &clock);
    append(&log, "slow", "waits").await.unwrap();
    let big = "b".repeat(1_500);
    for _ in 0..12 {
        append(&log, "fast", &big).await.unwrap();
    }
    let (slow, fast) = (log.stream(&name("slow")), log.stream(&name("fast")));
    let before = log.segments().len();
    log.trim(&[(slow, 1), (fast, 13)]).await;
    // The first, the newest, and perhaps an empty one after it.
    assert!(before > 4 && log.segments().len() <= 3, "{before}: {:?}", log.segments());
    assert_eq!(all(&log, "slow").await, "waits\n");
    // A reader of what was removed is told so, here and after a restart.
    for log in [log, log_on(&disk.crash(), &clock)] {
        let fast = log.stream(&name("fast"));
        let held = log.segments()[0].holds.iter().find(|(id, _)| *id == fast).unwrap().1.end;
        let gone = log.read(fast, held, ReadLimit { events: 1, bytes: 1 }).await.unwrap();
        assert!(matches!(gone, Read::Gone(ref range) if range.start == held && range.end <= 13), "{gone:?}");
        assert_eq!(log.bounds(fast).head, 13);
    }
}

#[tokio::test]
async fn events_of_a_failed_sync_never_come_back_under_other_events_numbers() {
    for cut in 0..8 {
        let (disk, clock) = (SimDisk::new(cut), Arc::new(HandClock::default()));
        let log = log_on(&disk, &clock);
        append(&log, "slow", "waits").await.unwrap();
        append(&log, "fast", "one").await.unwrap();
        // The next write succeeds, its sync does not: the event may be on the disk.
        disk.fail(Fault { at: disk.calls() + 1, calls: 1, error: io::ErrorKind::Other });
        let error = append(&log, "fast", "refused").await.unwrap_err();
        assert!(matches!(error, AppendError::Disk { during: "syncing events", .. }), "{error:?}");
        append(&log, "fast", "two").await.unwrap();
        // A newer segment, so that the one with "two" is only kept for what it says about its predecessor.
        append(&log, "fast", &"b".repeat(3_000)).await.unwrap();
        append(&log, "fast", &"c".repeat(3_000)).await.unwrap();
        let fast = log.stream(&name("fast"));
        log.trim(&[(fast, log.bounds(fast).head)]).await;
        let log = log_on(&disk.crash(), &clock);
        assert!(!all_held(&log, "fast").await.contains("refused"), "seed {cut}");
        assert_eq!(all(&log, "slow").await, "waits\n");
    }
}

#[tokio::test]
async fn a_segment_that_is_given_up_after_a_failed_sync_gives_its_reserved_space_back_or_it_counts_as_held() {
    for cut_fails in [false, true] {
        let (disk, clock) = (SimDisk::new(3), Arc::new(HandClock::default()));
        let log = log_on(&disk, &clock);
        append(&log, "fast", "one").await.unwrap();
        for _ in 0..5 {
            // The write succeeds, its sync does not; nor, perhaps, what gives the space back.
            disk.fail(Fault { at: disk.calls() + 1, calls: 1 + u64::from(cut_fails), error: io::ErrorKind::Other });
            append(&log, "fast", "refused").await.unwrap_err();
            append(&log, "fast", "two").await.unwrap();
        }
        let segments: Vec<usize> = disk
            .contents()
            .iter()
            .filter(|(path, _)| path.extension().is_some_and(|ext| ext == "segment"))
            .map(|(_, bytes)| bytes.len())
            .collect();
        assert_eq!(segments.len(), 6);
        let given_up: usize = segments[..5].iter().sum();
        assert_eq!(given_up > 5 * 2_000, cut_fails, "{segments:?}");
        assert!(log.pressure().held_bytes as usize >= given_up, "{} held, {segments:?}", log.pressure().held_bytes);
        assert_eq!(all(&log, "fast").await, format!("one\n{}", "two\n".repeat(5)));
        drop(log);
        assert_eq!(all(&log_on(&disk.killed(), &clock), "fast").await, format!("one\n{}", "two\n".repeat(5)));
    }
}

/// Everything that is held, over gaps.
async fn all_held(log: &DiskLog, flag_set: &str) -> String {
    let id = log.stream(&name(flag_set));
    let mut from = log.bounds(id).oldest;
    let mut text = String::new();
    loop {
        match log.read(id, from, ReadLimit { events: 100, bytes: 1 << 20 }).await.unwrap() {
            Read::Events(run) => {
                from += run.count as u64;
                text.push_str(std::str::from_utf8(&run.lines.concat()).unwrap());
            }
            Read::Gone(range) | Read::Damaged(range) => from = range.end,
            Read::End => return text,
        }
    }
}

#[tokio::test]
async fn a_request_larger_than_a_segment_is_one_promise() {
    let (disk, clock) = (SimDisk::new(1), Arc::new(HandClock::default()));
    let log = log_on(&disk, &clock);
    let text: String = (0..5_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let stream = log.stream(&name("default"));
    log.append(vec![Part { stream, lines: Bytes::from(text.clone()), count: 5_000 }]).await.unwrap();
    assert_eq!(all(&log, "default").await, text);
    let log = log_on(&disk.crash(), &clock);
    assert_eq!(all(&log, "default").await, text);
}

#[tokio::test]
async fn numbers_that_were_delivered_are_never_given_again() {
    let (disk, clock) = (SimDisk::new(1), Arc::new(HandClock::default()));
    let log = log_on(&disk, &clock);
    append(&log, "default", "x").await.unwrap();
    drop(log);
    let options = DiskLogOptions { floors: vec![(name("default"), 10), (name("other"), 5)], ..options() };
    let log = DiskLog::open(options, Arc::new(disk.crash()), clock).unwrap().0;
    append(&log, "default", "y").await.unwrap();
    append(&log, "other", "z").await.unwrap();
    assert_eq!(log.bounds(log.stream(&name("default"))), Bounds { oldest: 1, head: 11 });
    assert_eq!(log.bounds(log.stream(&name("other"))), Bounds { oldest: 5, head: 6 });
    let gone = log.read(log.stream(&name("default")), 2, ReadLimit { events: 9, bytes: 99 }).await.unwrap();
    assert!(matches!(gone, Read::Gone(ref range) if *range == (2..10)), "{gone:?}");
}

#[tokio::test]
async fn a_part_that_miscounts_its_lines_is_refused_whole() {
    let (disk, clock) = (SimDisk::new(1), Arc::new(HandClock::default()));
    let log = log_on(&disk, &clock);
    let stream = log.stream(&name("default"));
    for (lines, count) in [("a\nb\n", 1), ("a\n", 2), ("a\nb", 2), ("a\nb", 1), ("a", 0)] {
        let good = Part { stream, lines: Bytes::from("good\n"), count: 1 };
        let bad = Part { stream, lines: Bytes::from(lines), count };
        assert!(log.append(vec![good, bad]).await.is_err(), "{lines:?} {count}");
    }
    let unknown = Part { stream: StreamId(99), lines: Bytes::from("a\n"), count: 1 };
    assert!(log.append(vec![unknown]).await.is_err());
    log.append(vec![Part { stream, lines: Bytes::new(), count: 0 }]).await.unwrap();
    assert_eq!(log.bounds(stream).head, 1);
}

#[tokio::test]
async fn the_metrics_have_their_names() {
    let (disk, clock) = (SimDisk::new(1), Arc::new(HandClock::default()));
    let log = log_on(&disk, &clock);
    append(&log, "default", "x").await.unwrap();
    let mut registry = prometheus_client::registry::Registry::with_prefix("flagpost");
    log.stats().register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in [
        "flagpost_spool_sync_seconds_count 1",
        "flagpost_spool_group_bytes_sum 2.0",
        "flagpost_spool_queue_age_seconds_count 1",
        "flagpost_spool_segments 1",
        "flagpost_spool_damaged_events_total 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}
