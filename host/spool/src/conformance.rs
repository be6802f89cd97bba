//! What every event log does, whatever it keeps its events in. `conforms!(make)` runs all of it; `make` is an async function that gives an
//! empty log and something to keep alive with it.

#![allow(clippy::unwrap_used)]

use std::ops::Range;
use std::task::{Context, Waker};

use bytes::Bytes;
use flagpost_event::{EventKind, StreamName};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::{AppendError, Bounds, EventLog, Part, Read, ReadLimit, StreamId};

macro_rules! conforms {
    ($make:path) => {
        crate::conformance::conforms!($make:
            a_new_stream_is_empty_and_begins_at_one,
            events_read_back_as_they_were_appended,
            a_read_keeps_to_its_limits_and_gives_one_event_at_least,
            numbers_are_dense_per_stream_over_parts_of_one_append,
            a_follower_hears_of_its_streams_head,
            waiting_bytes_add_up,
            trimmed_events_are_gone_and_the_others_stay,
            streams_that_are_not_named_are_not_trimmed,
            segments_cover_what_is_held,
            a_closed_log_refuses_appends,
            no_line_crosses_streams_under_random_interleaving,
            appends_from_many_tasks_are_dense_and_whole,
        );
    };
    ($make:path: $($rule:ident),* $(,)?) => {
        $(#[tokio::test]
        async fn $rule() {
            let (log, _guard) = $make().await;
            crate::conformance::$rule(std::sync::Arc::new(log)).await;
        })*
    };
}
pub(crate) use conforms;

type Log = std::sync::Arc<dyn EventLog>;

fn feature() -> StreamName {
    StreamName::new("default", EventKind::Feature)
}

fn tracking() -> StreamName {
    StreamName::new("acme", EventKind::Tracking)
}

/// The line of event `number`; lines differ in length.
fn line(stream: StreamId, number: u64) -> String {
    format!("{{\"s\":{},\"n\":{number},\"pad\":\"{}\"}}\n", stream.0, "x".repeat((number * 7 % 40) as usize))
}

fn lines(stream: StreamId, numbers: Range<u64>) -> String {
    numbers.map(|number| line(stream, number)).collect()
}

fn part(stream: StreamId, numbers: Range<u64>) -> Part {
    let count = u32::try_from(numbers.end - numbers.start).unwrap();
    Part { stream, lines: Bytes::from(lines(stream, numbers)), count }
}

fn limit(events: usize, bytes: usize) -> ReadLimit {
    ReadLimit { events, bytes }
}

/// Reads all numbers, checking that runs begin where they were asked for.
async fn read_all(log: &Log, stream: StreamId, numbers: Range<u64>) -> String {
    let mut text = String::new();
    let mut from = numbers.start;
    while from < numbers.end {
        let events = usize::try_from(numbers.end - from).unwrap();
        let Read::Events(run) = log.read(stream, from, limit(events, usize::MAX)).await.unwrap() else {
            panic!("event {from} of {numbers:?} is not there")
        };
        assert_eq!(run.first, from);
        let chunk = run.lines.concat();
        assert_eq!(chunk.iter().filter(|&&byte| byte == b'\n').count(), run.count);
        assert!(run.count > 0 && run.lines.iter().all(|chunk| chunk.ends_with(b"\n")));
        text.push_str(std::str::from_utf8(&chunk).unwrap());
        from += run.count as u64;
    }
    text
}

pub(crate) async fn a_new_stream_is_empty_and_begins_at_one(log: Log) {
    let stream = log.stream(&feature());
    assert_eq!(log.stream(&feature()), stream);
    assert_ne!(log.stream(&tracking()), stream);
    assert_eq!(log.bounds(stream), Bounds { oldest: 1, head: 1 });
    assert!(matches!(log.read(stream, 1, limit(10, 1000)).await.unwrap(), Read::End));
    assert_eq!(log.bytes_before(stream, 1), 0);
    assert_eq!(log.appended_at(stream, 1), None);
    let names: Vec<_> = log.streams().into_iter().map(|(_, name)| name).collect();
    assert!(names.contains(&feature()) && names.contains(&tracking()));
}

pub(crate) async fn events_read_back_as_they_were_appended(log: Log) {
    let stream = log.stream(&feature());
    let large = 2_500;
    log.append(vec![part(stream, 1..2)]).await.unwrap();
    log.append(vec![part(stream, 2..large)]).await.unwrap();
    log.append(vec![part(stream, large..large + 3)]).await.unwrap();
    assert_eq!(log.bounds(stream), Bounds { oldest: 1, head: large + 3 });
    assert_eq!(read_all(&log, stream, 1..large + 3).await, lines(stream, 1..large + 3));
    assert_eq!(read_all(&log, stream, 999..1_003).await, lines(stream, 999..1_003));
    assert!(matches!(log.read(stream, large + 3, limit(1, 1)).await.unwrap(), Read::End));
    assert!(log.appended_at(stream, 5).is_some() && log.appended_at(stream, large + 3).is_none());
}

pub(crate) async fn a_read_keeps_to_its_limits_and_gives_one_event_at_least(log: Log) {
    let stream = log.stream(&feature());
    log.append(vec![part(stream, 1..1_500)]).await.unwrap();
    for (events, bytes) in [(1, usize::MAX), (7, usize::MAX), (1_200, usize::MAX), (usize::MAX, 1), (usize::MAX, 500), (10, 300)] {
        let Read::Events(run) = log.read(stream, 5, limit(events, bytes)).await.unwrap() else { panic!("event 5 is there") };
        let size: usize = run.lines.iter().map(Bytes::len).sum();
        assert!(run.count >= 1 && run.count <= events.max(1), "{} of {events}", run.count);
        assert!(run.count == 1 || size <= bytes, "{size} of {bytes}");
        assert_eq!(run.lines.concat(), lines(stream, 5..5 + run.count as u64).as_bytes());
    }
}

pub(crate) async fn numbers_are_dense_per_stream_over_parts_of_one_append(log: Log) {
    let (a, b) = (log.stream(&feature()), log.stream(&tracking()));
    log.append(vec![part(a, 1..3), part(b, 1..4), part(a, 3..5)]).await.unwrap();
    log.append(vec![part(b, 4..6), part(a, 5..6)]).await.unwrap();
    assert_eq!(read_all(&log, a, 1..6).await, lines(a, 1..6));
    assert_eq!(read_all(&log, b, 1..6).await, lines(b, 1..6));
    assert_eq!((log.bounds(a).head, log.bounds(b).head), (6, 6));
}

fn is_now(future: impl Future<Output = ()>) -> bool {
    std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

pub(crate) async fn a_follower_hears_of_its_streams_head(log: Log) {
    let (a, b) = (log.stream(&feature()), log.stream(&tracking()));
    let (of_a, of_b) = (log.follow(a), log.follow(b));
    assert!(is_now(of_a.reached(1)) && !is_now(of_a.reached(2)));
    let (appended, ()) = tokio::join!(log.append(vec![part(a, 1..11)]), of_a.reached(11));
    appended.unwrap();
    assert!(!is_now(of_b.reached(2)));
    assert!(is_now(log.follow(a).reached(11)), "one that begins later knows it");
    assert!(!is_now(log.follow(StreamId(u32::MAX)).reached(2)));
}

pub(crate) async fn waiting_bytes_add_up(log: Log) {
    let stream = log.stream(&feature());
    for start in [1, 1_201, 2_401] {
        log.append(vec![part(stream, start..start + 1_200)]).await.unwrap();
    }
    let head = log.bounds(stream).head;
    let all = log.bytes_before(stream, head);
    assert_eq!(all, lines(stream, 1..head).len() as u64);
    let mut before = 0;
    for number in 1..=head {
        let bytes = log.bytes_before(stream, number);
        assert!(bytes >= before && bytes <= lines(stream, 1..number).len() as u64, "{number}");
        before = bytes;
    }
    for budget in [0, 1, 1_000, all / 2, all - 1, all, all + 1] {
        let number = log.number_within(stream, budget);
        assert!(all - log.bytes_before(stream, number) <= budget, "{budget}");
        assert!((1..=head).contains(&number));
    }
    assert_eq!(log.number_within(stream, all), 1);
    log.trim(&[(stream, head)]).await;
    assert_eq!(log.bytes_before(stream, head), all, "never decreasing");
}

pub(crate) async fn trimmed_events_are_gone_and_the_others_stay(log: Log) {
    let stream = log.stream(&feature());
    for start in 0..40 {
        log.append(vec![part(stream, start * 100 + 1..start * 100 + 101)]).await.unwrap();
    }
    for keep in [1, 150, 1_001, 3_999, 4_001] {
        log.trim(&[(stream, keep)]).await;
        let Bounds { oldest, head } = log.bounds(stream);
        assert!(oldest <= keep && head == 4_001, "{oldest} {keep} {head}");
        assert_eq!(read_all(&log, stream, keep..head).await, lines(stream, keep..head));
        if oldest > 1 {
            let Read::Gone(gone) = log.read(stream, 1, limit(1, 1)).await.unwrap() else { panic!("event 1 was trimmed") };
            assert_eq!(gone, 1..oldest);
        }
    }
    log.append(vec![part(stream, 4_001..4_003)]).await.unwrap();
    assert_eq!(read_all(&log, stream, 4_001..4_003).await, lines(stream, 4_001..4_003));
}

pub(crate) async fn streams_that_are_not_named_are_not_trimmed(log: Log) {
    let (a, b) = (log.stream(&feature()), log.stream(&tracking()));
    log.append(vec![part(a, 1..200), part(b, 1..200)]).await.unwrap();
    log.trim(&[(a, 200)]).await;
    assert_eq!(read_all(&log, b, 1..200).await, lines(b, 1..200));
}

pub(crate) async fn segments_cover_what_is_held(log: Log) {
    let (a, b) = (log.stream(&feature()), log.stream(&tracking()));
    for start in 0..20 {
        log.append(vec![part(a, start * 300 + 1..start * 300 + 301), part(b, start * 10 + 1..start * 10 + 11)]).await.unwrap();
    }
    log.trim(&[(a, 3_001), (b, 51)]).await;
    let segments = log.segments();
    for stream in [a, b] {
        let ranges = segments.iter().flat_map(|segment| &segment.holds).filter(|(id, _)| *id == stream);
        let mut next = log.bounds(stream).oldest;
        for (_, range) in ranges {
            assert_eq!(range.start, next, "oldest first, without a gap");
            next = range.end;
        }
        assert_eq!(next, log.bounds(stream).head);
    }
    let bytes: u64 = segments.iter().map(|segment| segment.bytes).sum();
    assert!(bytes > 0 && log.pressure().held_bytes > 0);
}

pub(crate) async fn a_closed_log_refuses_appends(log: Log) {
    let stream = log.stream(&feature());
    log.append(vec![part(stream, 1..3)]).await.unwrap();
    log.close().await;
    assert!(matches!(log.append(vec![part(stream, 3..4)]).await, Err(AppendError::Closed)));
    assert_eq!(log.bounds(stream).head, 3);
}

pub(crate) async fn no_line_crosses_streams_under_random_interleaving(log: Log) {
    for seed in 0..8 {
        let mut random = StdRng::seed_from_u64(seed);
        let names: Vec<_> = (0..3).map(|n| StreamName::new(format!("set{seed}-{n}"), EventKind::ALL[n % 2])).collect();
        let streams: Vec<_> = names.iter().map(|name| log.stream(name)).collect();
        let mut heads = [1_u64; 3];
        for _ in 0..60 {
            let parts = (0..random.random_range(1..4)).map(|_| {
                let which = random.random_range(0..3);
                let count = if random.random_bool(0.1) { random.random_range(900..1_300) } else { random.random_range(1..20) };
                heads[which] += count;
                part(streams[which], heads[which] - count..heads[which])
            });
            let parts = parts.collect();
            log.append(parts).await.unwrap();
            let which = random.random_range(0..3);
            let from = random.random_range(1..=heads[which]);
            match log.read(streams[which], from, limit(random.random_range(1..2_000), 20_000)).await.unwrap() {
                Read::Events(run) => {
                    let expected = lines(streams[which], from..from + run.count as u64);
                    assert_eq!(run.lines.concat(), expected.as_bytes(), "seed {seed}");
                }
                Read::End => assert_eq!(from, heads[which], "seed {seed}"),
                other => panic!("seed {seed}: {other:?}"),
            }
        }
        for (which, &stream) in streams.iter().enumerate() {
            assert_eq!(read_all(&log, stream, 1..heads[which]).await, lines(stream, 1..heads[which]), "seed {seed}");
        }
    }
}

pub(crate) async fn appends_from_many_tasks_are_dense_and_whole(log: Log) {
    let stream = log.stream(&feature());
    let tasks = (0..20).map(|task| {
        let log = log.clone();
        tokio::spawn(async move {
            for round in 0..10 {
                let text: String = (0..5).map(|event| format!("{task} {round} {event}\n")).collect();
                log.append(vec![Part { stream, lines: Bytes::from(text), count: 5 }]).await.unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(log.bounds(stream).head, 1_001);
    let text = read_all(&log, stream, 1..1_001).await;
    let mut seen: Vec<_> = text.lines().collect();
    for request in seen.chunks(5) {
        let (head, _) = request[0].rsplit_once(' ').unwrap();
        assert_eq!(request, (0..5).map(|event| format!("{head} {event}")).collect::<Vec<_>>(), "a request's events stay together");
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 1_000);
}
