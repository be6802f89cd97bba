//! What happens when too much waits.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flagpost_delivery::{Policy, StateKind, WhenFull};
use flagpost_event::StreamName;
use flagpost_spool::{
    AppendError, Bounds, DropReason, EventLog, MemoryLog, Part, Pressure, Read, ReadError, ReadLimit, SegmentInfo, StreamId,
};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn drop_oldest_steps_the_cursor_counts_what_it_drops_and_goes_on_with_the_rest() {
    for bulk in [true, false] {
        let world = World::new();
        let delivery = world.deliver().await;
        let exporter = Arc::new(Scripted::new(bulk, |_, _| retryable()));
        let policy = Policy { max_backlog: 100_000, ..batches_of(100) };
        let status = delivery.add(spec("a", &exporter, policy)).await.unwrap();
        world.append(1_000).await;
        until("it fails", || exporter.calls().len() > 1).await;
        assert_ne!(status.state().kind, StateKind::Full);
        world.append(9_000).await;
        until("it is full", || status.state().kind == StateKind::Full).await;
        until("within budget", || status.waiting_bytes() <= 100_000).await;
        let dropped = status.dropped()[&DropReason::Backlog];
        assert_eq!(dropped + status.waiting_events(), 10_000);
        assert!(dropped > 5_000 && status.waiting_events() > 100, "{dropped}");
        assert_conserved(&world, &[Arc::clone(&status)]);
        exporter.rescript(|_, _| Does::Delivers);
        until("the rest is delivered", || status.waiting_events() == 0).await;
        assert_eq!(exporter.once(), (dropped + 1..=10_000).collect());
        until("it is no longer full", || status.state().kind == StateKind::Running).await;
        assert_conserved(&world, &[status]);
    }
}

#[tokio::test(start_paused = true)]
async fn events_of_an_attempt_are_not_dropped_under_it_but_an_attempt_that_hangs_is_abandoned() {
    let world = World::new();
    let delivery = world.deliver().await;
    let exporter = Arc::new(Scripted::new(true, |_, call| match call {
        0 => Does::DeliversAfter(Duration::from_secs(10)),
        _ => Does::Hangs,
    }));
    let policy = Policy { max_backlog: 10_000, ..batches_of(100) };
    let status = delivery.add(spec("a", &exporter, policy)).await.unwrap();
    // In small requests: what is over budget goes block by block.
    world.append(100).await;
    until("an attempt runs", || exporter.calls().len() == 1).await;
    for _ in 0..40 {
        world.append(50).await;
    }
    until("the attempt ended", || !exporter.delivered().is_empty()).await;
    until("budget again", || status.waiting_bytes() <= 10_000).await;
    assert_eq!(status.delivered(), 100, "what was in the attempt counts as delivered, not as dropped");
    let begin = Instant::now();
    until("the next one hangs", || exporter.calls().len() == 2).await;
    let hung = exporter.calls().last().unwrap().numbers.clone();
    for _ in 0..40 {
        world.append(50).await;
    }
    until("the one that hangs is abandoned", || status.numbers().cursor > *hung.last().unwrap()).await;
    assert!(begin.elapsed() > Duration::from_secs(14) && begin.elapsed() < Duration::from_secs(20));
    until("budget again", || status.waiting_bytes() <= 10_000).await;
    assert_conserved(&world, &[status]);
}

#[tokio::test(start_paused = true)]
async fn a_blocking_exporter_that_is_full_refuses_its_flag_set_only_and_drops_nothing() {
    let world = World::new();
    let delivery = world.deliver().await;
    let exporter = Arc::new(Scripted::new(true, |_, _| retryable()));
    let policy = Policy { max_backlog: 10_000, when_full: WhenFull::Block, ..batches_of(100) };
    let status = delivery.add(spec("a", &exporter, policy)).await.unwrap();
    let admission = delivery.admission();
    world.append(100).await;
    assert_eq!(admission.check("default"), Ok(()));
    world.append(1_000).await;
    let blocked = admission.check("default").unwrap_err();
    assert_eq!(blocked.exporter, "a");
    assert!(blocked.retry_after > Duration::ZERO);
    assert_eq!(admission.check("acme"), Ok(()));
    until("it is shown", || status.state().kind == StateKind::Full).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!((status.waiting_events(), status.dropped().len()), (1_100, 0));
    exporter.rescript(|_, _| Does::Delivers);
    until("it takes events again", || admission.check("default").is_ok()).await;
    until("all is delivered", || status.waiting_events() == 0).await;
    delivery.retain(&[]).await.unwrap();
    assert_eq!(exporter.once().len(), 1_100);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_full_gives_up_its_oldest_events_whoever_waits_for_them() {
    let mut world = World::new();
    world.max_bytes = 4 << 20;
    let delivery = world.deliver().await;
    let stuck = Arc::new(Scripted::new(true, |_, _| retryable()));
    let good = Arc::new(Scripted::good(true));
    let late = delivery.add(spec("stuck", &stuck, batches_of(1_000))).await.unwrap();
    let fine = delivery.add(spec("good", &good, batches_of(1_000))).await.unwrap();
    delivery.retain(&[(identity("stuck"), stream()), (identity("good"), stream())]).await.unwrap();
    for _ in 0..40 {
        world.append(5_000).await;
        until("the good one is done", || fine.waiting_events() == 0).await;
        until("the store is within its bound", || world.log.pressure().held_bytes <= world.max_bytes).await;
    }
    assert_eq!((fine.delivered(), good.once().len()), (200_000, 200_000));
    let dropped = late.dropped()[&DropReason::StoreFull];
    assert!(dropped > 50_000 && late.waiting_events() > 10_000, "{dropped}");
    assert_conserved(&world, &delivery.statuses());
}

#[tokio::test(start_paused = true)]
async fn the_log_keeps_what_somebody_needs_and_nothing_else() {
    let world = World::new();
    let delivery = world.deliver().await;
    let good = Arc::new(Scripted::good(true));
    let slow = Arc::new(Scripted::new(true, |_, _| retryable()));
    let fine = delivery.add(spec("good", &good, batches_of(1_000))).await.unwrap();
    let late = delivery.add(spec("slow", &slow, batches_of(1_000))).await.unwrap();
    delivery.retain(&[(identity("good"), stream()), (identity("slow"), stream())]).await.unwrap();
    world.append(50_000).await;
    until("the good one is done", || fine.waiting_events() == 0).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(world.log.bounds(late_stream(&world)).oldest, 1);
    slow.rescript(|_, _| Does::Delivers);
    until("the log is empty", || world.log.pressure().held_bytes == 0).await;
    assert_eq!((late.waiting_events(), slow.once().len()), (0, 50_000));
    let nobody: StreamName = "nobody/feature".parse().unwrap();
    world.append_to(&nobody, 1_000).await;
    until("nobody's events are given up", || world.log.pressure().held_bytes == 0).await;
}

fn late_stream(world: &World) -> StreamId {
    world.log.stream(&stream())
}

/// A log with a hole: these numbers are damaged.
struct Damaged(MemoryLog, std::ops::Range<u64>);

#[async_trait]
impl EventLog for Damaged {
    fn stream(&self, name: &StreamName) -> StreamId {
        self.0.stream(name)
    }
    fn streams(&self) -> Vec<(StreamId, StreamName)> {
        self.0.streams()
    }
    async fn append(&self, parts: Vec<Part>) -> Result<(), AppendError> {
        self.0.append(parts).await
    }
    fn bounds(&self, stream: StreamId) -> Bounds {
        self.0.bounds(stream)
    }
    fn watch(&self, stream: StreamId) -> watch::Receiver<u64> {
        self.0.watch(stream)
    }
    async fn read(&self, stream: StreamId, from: u64, mut limit: ReadLimit) -> Result<Read, ReadError> {
        if self.1.contains(&from) {
            return Ok(Read::Damaged(from..self.1.end));
        }
        if from < self.1.start {
            limit.events = limit.events.min((self.1.start - from) as usize);
        }
        self.0.read(stream, from, limit).await
    }
    fn bytes_before(&self, stream: StreamId, number: u64) -> u64 {
        self.0.bytes_before(stream, number)
    }
    fn number_within(&self, stream: StreamId, bytes: u64) -> u64 {
        self.0.number_within(stream, bytes)
    }
    fn appended_at(&self, stream: StreamId, number: u64) -> Option<u64> {
        self.0.appended_at(stream, number)
    }
    async fn trim(&self, keep_from: &[(StreamId, u64)]) {
        self.0.trim(keep_from).await;
    }
    fn segments(&self) -> Vec<SegmentInfo> {
        self.0.segments()
    }
    fn pressure(&self) -> Pressure {
        self.0.pressure()
    }
    async fn close(&self) {
        self.0.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn damaged_events_are_stepped_over_and_counted() {
    for bulk in [true, false] {
        let world = World::over(|clock| Arc::new(Damaged(MemoryLog::new(u64::MAX / 2, clock), 40..60)));
        let delivery = world.deliver().await;
        let exporter = Arc::new(Scripted::good(bulk));
        let status = delivery.add(spec("a", &exporter, batches_of(30))).await.unwrap();
        world.append(100).await;
        until("the rest is delivered", || status.waiting_events() == 0).await;
        assert_eq!(exporter.once(), (1..40).chain(60..101).collect());
        assert_eq!(status.dropped().into_iter().collect::<Vec<_>>(), [(DropReason::Damaged, 20)]);
        assert_conserved(&world, &[status]);
    }
}

#[tokio::test(start_paused = true)]
async fn events_of_a_plan_that_can_no_longer_be_read_are_counted_and_the_rest_is_another_set() {
    let world = World::new();
    let exporter = Arc::new(Scripted::new(true, |_, _| retryable()));
    let delivery = world.deliver().await;
    delivery.add(spec("a", &exporter, batches_of(100))).await.unwrap();
    world.append(100).await;
    until("it fails", || exporter.calls().len() > 1).await;
    drop(delivery);
    let log = Damaged(MemoryLog::new(u64::MAX / 2, Arc::clone(&world.clock)), 90..110);
    let damaged = World { log: Arc::new(log), ..world };
    damaged.append(100).await;
    exporter.rescript(|_, _| Does::Delivers);
    let delivery = damaged.deliver().await;
    let status = delivery.add(spec("a", &exporter, batches_of(100))).await.unwrap();
    until("the rest is delivered", || status.waiting_events() == 0).await;
    assert_eq!(exporter.once(), (1..90).collect());
    assert_eq!(status.dropped().into_iter().collect::<Vec<_>>(), [(DropReason::Damaged, 11)]);
    assert_eq!(exporter.calls().last().unwrap().id, "s1-default.feature-1-100.r1");
    assert_conserved(&damaged, &[status]);
}
