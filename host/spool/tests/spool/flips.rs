//! Every byte of a small store is changed in turn: it opens, serves, and says exactly what is missing.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use flagpost_spool::testing::SimDisk;
use flagpost_spool::{DiskLog, EventLog, Read, ReadLimit, check, export};

use crate::oracle::line;
use crate::world::{DIR, block_on, open, part, stream_name};

const SEGMENT_BYTES: u64 = 1_600;
const STREAMS: usize = 2;

type Events = BTreeMap<u64, String>;
/// Events and damaged ranges of a stream.
type Content = (Events, Vec<Range<u64>>);

/// Three segments of two streams. `closed`: in good order, else the power failed after the last acknowledgement.
async fn store(closed: bool) -> (SimDisk, Vec<Events>) {
    let disk = SimDisk::new(1);
    let (log, _) = open(&disk, SEGMENT_BYTES).unwrap();
    let mut events = vec![Events::new(); STREAMS];
    for (round, sizes) in [(0, [3, 0]), (1, [2, 2]), (2, [0, 5]), (3, [4, 1]), (4, [1, 0]), (5, [2, 3])] {
        let mut parts = Vec::new();
        for (stream, count) in sizes.into_iter().enumerate().filter(|(_, count)| *count > 0) {
            let lines: Vec<String> = (0..count).map(|n| line(stream, round * 10 + n)).collect();
            parts.push(part(&log, stream, &lines));
            let first = events[stream].len() as u64 + 1;
            events[stream].extend((first..).zip(lines));
        }
        log.append(parts).await.unwrap();
    }
    assert!(log.segments().len() >= 3, "{:?}", log.segments());
    if closed {
        log.close().await;
        return (disk, events);
    }
    let disk = disk.copy();
    drop(log);
    (disk, events)
}

async fn read_all(log: &DiskLog, stream: usize) -> Content {
    let id = log.stream(&stream_name(stream));
    let mut from = 1;
    let (mut events, mut damaged) = (Events::new(), Vec::new());
    loop {
        match log.read(id, from, ReadLimit { events: 4, bytes: 1 << 20 }).await.unwrap() {
            Read::Events(run) => {
                let text = String::from_utf8(run.lines.concat()).unwrap();
                events.extend((run.first..).zip(text.split_inclusive('\n').map(str::to_owned)));
                from += run.count as u64;
            }
            Read::Damaged(range) => {
                from = range.end;
                damaged.push(range);
            }
            Read::Gone(range) => panic!("nothing was trimmed and {range:?} is gone"),
            Read::End => return (events, damaged),
        }
    }
}

fn numbers(ranges: &[Range<u64>]) -> Vec<u64> {
    let mut numbers: Vec<u64> = ranges.iter().cloned().flatten().collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// How many events were lost.
async fn compare(disk: SimDisk, expected: &[Events], what: &str) -> usize {
    let dir = Path::new(DIR);
    let checked = check(dir, &disk).unwrap();
    let mut exported = Vec::new();
    export(dir, &disk, None, &mut exported).unwrap();
    let exported = String::from_utf8(exported).unwrap();

    let (log, report) = open(&disk, SEGMENT_BYTES).unwrap();
    let mut lost = 0;
    let mut all = String::new();
    for (stream, expected) in expected.iter().enumerate() {
        let name = stream_name(stream);
        let (events, damaged) = read_all(&log, stream).await;
        let missing: Vec<u64> = expected.keys().filter(|number| !events.contains_key(number)).copied().collect();
        for (number, line) in &events {
            assert_eq!(expected.get(number), Some(line), "{what}: {name} {number}");
        }
        assert_eq!(numbers(&damaged), missing, "{what}: {name} as readers are told");
        let reported: Vec<Range<u64>> =
            log.damaged().into_iter().filter(|damage| damage.stream == name).map(|damage| damage.numbers).collect();
        assert_eq!(numbers(&reported), missing, "{what}: {name} as the log reports, {report:?}");
        let checked: Vec<Range<u64>> =
            checked.streams.iter().filter(|check| check.stream == name).flat_map(|check| check.damaged.clone()).collect();
        assert_eq!(numbers(&checked), missing, "{what}: {name} as `check` reports");
        lost += missing.len();
        events.values().for_each(|line| all.push_str(line));
    }
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(sorted(&exported), sorted(&all), "{what}: `export`");
    assert_eq!(log.stats().damaged_events.get(), lost as u64, "{what}: the counter");

    // New events get new numbers, whatever was lost.
    for (stream, expected) in expected.iter().enumerate() {
        let fresh = line(stream, 99);
        log.append(vec![part(&log, stream, std::slice::from_ref(&fresh))]).await.unwrap();
        let (events, _) = read_all(&log, stream).await;
        assert_eq!(events.last_key_value(), Some((&(expected.len() as u64 + 1), &fresh)), "{what}");
    }
    lost
}

fn every_byte(closed: bool) {
    block_on(async {
        let (disk, expected) = store(closed).await;
        assert_eq!(compare(disk.copy(), &expected, "untouched").await, 0);
        let (mut bytes, mut harmful) = (0, 0);
        for (path, content) in disk.contents() {
            for at in 0..content.len() {
                let flipped = disk.copy();
                flipped.flip(&path, at, [0xff, 1 << (at % 8)][at % 2]);
                let lost = compare(flipped, &expected, &format!("byte {at} of {}", path.display())).await;
                assert!(lost <= 5, "byte {at} of {}: one block has at most 5 events and {lost} are lost", path.display());
                bytes += 1;
                harmful += usize::from(lost > 0);
            }
        }
        let payload: usize = expected.iter().flat_map(|events| events.values()).map(String::len).sum();
        assert_eq!(harmful, payload, "of {bytes} bytes exactly those of events matter");
    });
}

#[test]
fn every_flipped_byte_of_a_closed_store_is_repaired_or_reported_exactly() {
    every_byte(true);
}

#[test]
fn every_flipped_byte_of_a_store_after_a_power_cut_is_repaired_or_reported_exactly() {
    every_byte(false);
}
