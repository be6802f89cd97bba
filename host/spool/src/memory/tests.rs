//! What only the log in memory does.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use flagpost_event::{EventKind, StreamName, SystemClock};

use super::*;

async fn make() -> (MemoryLog, ()) {
    (MemoryLog::new(64 << 20, Arc::new(SystemClock)), ())
}

mod conforming {
    use super::make;
    crate::conformance::conforms!(make);
}

fn name() -> StreamName {
    StreamName::new("default", EventKind::Feature)
}

fn part(stream: StreamId, count: u32, size: usize) -> Part {
    let line = format!("{}\n", "x".repeat(size - 1));
    Part { stream, lines: Bytes::from(line.repeat(count as usize)), count }
}

#[tokio::test]
async fn an_append_above_the_bound_is_refused_whole_and_fits_again_after_a_trim() {
    let log = MemoryLog::new(100_000, Arc::new(SystemClock));
    let stream = log.stream(&name());
    log.append(vec![part(stream, 90, 1_000)]).await.unwrap();
    let held = log.pressure().held_bytes;
    let refused = log.append(vec![part(stream, 1, 100), part(stream, 10, 1_000)]).await;
    assert!(matches!(refused, Err(AppendError::Full { bound: 100_000 })));
    let never = log.append(vec![part(stream, 200, 1_000)]).await;
    assert!(matches!(never, Err(AppendError::TooLarge { bound: 100_000 })));
    assert_eq!((log.bounds(stream).head, log.pressure().held_bytes), (91, held));
    log.trim(&[(stream, 91)]).await;
    assert_eq!(log.pressure().held_bytes, 0);
    log.append(vec![part(stream, 10, 1_000)]).await.unwrap();
    assert_eq!(log.bounds(stream), Bounds { oldest: 91, head: 101 });
}

#[tokio::test]
async fn what_a_block_costs_is_counted_so_that_small_events_cannot_exceed_the_bound() {
    let log = MemoryLog::new(10_000, Arc::new(SystemClock));
    let stream = log.stream(&name());
    let mut taken = 0_u64;
    while log.append(vec![part(stream, 1, 2)]).await.is_ok() {
        taken += 1;
    }
    assert!(taken <= 10_000 / BLOCK_COST, "{taken}");
}

#[tokio::test]
async fn a_block_does_not_keep_the_request_it_came_in() {
    let log = MemoryLog::new(1 << 20, Arc::new(SystemClock));
    let stream = log.stream(&name());
    let request = Bytes::from(b"{}\n{}\n".to_vec());
    log.append(vec![Part { stream, lines: request.slice(..3), count: 1 }]).await.unwrap();
    assert!(request.is_unique(), "the log copied what it keeps");
}

#[tokio::test]
async fn what_is_lost_at_the_end_is_said_per_stream() {
    let log = MemoryLog::new(1 << 20, Arc::new(SystemClock));
    let stream = log.stream(&name());
    log.stream(&StreamName::new("default", EventKind::Tracking));
    log.append(vec![part(stream, 10, 100)]).await.unwrap();
    log.trim(&[(stream, 4)]).await;
    log.close().await;
    assert_eq!(log.unsettled(), [(name(), 7)]);
}
