//! What happens when too much waits.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use flagpost_delivery::{Policy, StateKind, WhenFull};
use flagpost_event::StreamName;
use flagpost_spool::{DropReason, StreamId};
use tokio::time::Instant;

use crate::odd_log::{OddLog, Oddities};
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

#[tokio::test(start_paused = true)]
async fn the_log_is_asked_to_trim_now_and_then_even_when_no_cursor_moves() {
    let oddities = Arc::new(Oddities::default());
    let world = World::over(|clock| OddLog::over(clock, &oddities));
    let delivery = world.deliver().await;
    let good = Arc::new(Scripted::good(false));
    let status = delivery.add(spec("good", &good, Policy::default())).await.unwrap();
    delivery.retain(&[(identity("good"), stream())]).await.unwrap();
    world.append(10).await;
    until("it is done", || status.waiting_events() == 0).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = oddities.trims.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(300)).await;
    let idle = oddities.trims.load(Ordering::Relaxed) - before;
    assert!((9..=10).contains(&idle), "{idle} in five minutes");
}

fn late_stream(world: &World) -> StreamId {
    world.log.stream(&stream())
}

fn damaged(numbers: Range<u64>) -> Arc<Oddities> {
    Arc::new(Oddities { damaged: numbers, ..Oddities::default() })
}

#[tokio::test(start_paused = true)]
async fn damaged_events_are_stepped_over_and_counted() {
    for bulk in [true, false] {
        let world = World::over(|clock| OddLog::over(clock, &damaged(40..60)));
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
    let damaged = World { log: OddLog::over(Arc::clone(&world.clock), &damaged(90..110)), ..world };
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
