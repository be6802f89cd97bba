//! Shutdown: in time, and what is not sent stays.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use flagpost_delivery::{DeliveryError, Policy, RetryPolicy, StateKind, Unsent};
use tokio::time::Instant;

use crate::odd_log::{OddLog, Oddities};
use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_shutdown_sends_what_waits_and_closes_the_exporters() {
    let world = World::new();
    let delivery = world.deliver().await;
    let bulk = Arc::new(Scripted::new(true, |_, _| Does::DeliversAfter(Duration::from_millis(100))));
    let streaming = Arc::new(Scripted::new(false, |_, _| Does::DeliversAfter(Duration::from_millis(100))));
    let policy = Policy { max_events: 1_000, max_events_per_call: Some(30), ..Policy::default() };
    delivery.add(spec("bulk", &bulk, policy.clone())).await.unwrap();
    delivery.add(spec("streaming", &streaming, policy.clone())).await.unwrap();
    world.append(100).await;
    let report = delivery.shutdown(Duration::from_secs(5)).await;
    assert!(report.in_time && report.flushed && report.unsent.is_empty());
    assert_eq!((bulk.once().len(), streaming.once().len()), (100, 100));
    assert_eq!(bulk.calls().iter().map(|call| call.numbers.len()).collect::<Vec<_>>(), [30, 30, 30, 10]);
    assert_eq!((bulk.closed(), streaming.closed()), (1, 1));
    assert!(delivery.statuses().iter().all(|status| status.state().kind == StateKind::Stopped));
    assert!(matches!(delivery.add(spec("late", &bulk, policy)).await, Err(DeliveryError::ShuttingDown)));
    assert_conserved(&world, &delivery.statuses());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_in_time_beside_exporters_that_hang_or_fail_and_keeps_their_events() {
    let world = World::new();
    let delivery = world.deliver().await;
    let hangs = Arc::new(Scripted::new(true, |_, _| Does::Hangs));
    let fails = Arc::new(Scripted::new(true, |_, _| retryable()));
    let good = Arc::new(Scripted::good(true));
    let slow = Policy { flush_interval: Duration::from_secs(600), ..batches_of(40) };
    delivery.add(spec("fails", &fails, slow.clone())).await.unwrap();
    delivery.add(spec("good", &good, slow.clone())).await.unwrap();
    world.append(30).await;
    let begin = Instant::now();
    let hanging = delivery.add(spec("hangs", &hangs, slow)).await.unwrap();
    world.append(90).await;
    let report = delivery.shutdown(Duration::from_secs(5)).await;
    assert!(begin.elapsed() >= Duration::from_secs(5) && begin.elapsed() < Duration::from_secs(7), "{:?}", begin.elapsed());
    assert!(!report.in_time && report.flushed);
    let unsent = |name: &str, events| Unsent { identity: identity(name), stream: stream(), events, letters: 0 };
    assert_eq!(report.unsent, [unsent("fails", 120), unsent("hangs", 90)]);
    assert_eq!((good.once().len(), hanging.waiting_events()), (120, 90));
    assert_conserved(&world, &delivery.statuses());
    drop(delivery);

    for exporter in [&hangs, &fails] {
        exporter.rescript(|_, _| Does::Delivers);
    }
    let delivery = world.deliver().await;
    let first = delivery.add(spec("hangs", &hangs, batches_of(40))).await.unwrap();
    let second = delivery.add(spec("fails", &fails, batches_of(40))).await.unwrap();
    until("the next start delivers them", || first.waiting_events() + second.waiting_events() == 0).await;
    assert_eq!((hangs.once().len(), fails.once().len()), (90, 120));
    let crashes = |call: &Call| call.attempt;
    assert!(hangs.calls().iter().map(crashes).max() <= Some(2));
    assert_conserved(&world, &delivery.statuses());
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_is_well_again_gets_at_the_end_what_waits_for_a_pause() {
    for bulk in [true, false] {
        let world = World::new();
        let delivery = world.deliver().await;
        let exporter = Arc::new(Scripted::new(bulk, |_, _| retryable()));
        let policy = Policy { retry: RetryPolicy { initial: Duration::from_secs(600), ..RetryPolicy::default() }, ..batches_of(10) };
        let status = delivery.add(spec("a", &exporter, policy)).await.unwrap();
        world.append(25).await;
        until("the first attempt failed", || status.state().kind == StateKind::Retrying).await;
        exporter.rescript(|_, _| Does::Delivers);
        let begin = Instant::now();
        let report = delivery.shutdown(Duration::from_secs(5)).await;
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        assert_eq!((report.unsent, exporter.once().len()), (vec![], 25));
        assert_conserved(&world, &[status]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_a_shutdown_dropped_does_not_count_as_a_crash() {
    let world = World::new();
    let exporter = Arc::new(Scripted::new(true, |_, _| Does::Hangs));
    for round in 0..10 {
        let delivery = world.deliver().await;
        delivery.add(spec("a", &exporter, batches_of(10))).await.unwrap();
        if round == 0 {
            world.append(10).await;
        }
        until("an attempt runs", || exporter.calls().len() == round + 1).await;
        delivery.shutdown(Duration::from_secs(1)).await;
        let plan = world.ledger.consumers().remove(0).plan.unwrap();
        assert_eq!((plan.attempts as usize, plan.crashes), (round + 1, 0));
    }
    assert!(exporter.calls().iter().all(|call| call.numbers.len() == 10 && call.id == "s1-default.feature-1-10"));
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_does_not_keep_a_shutdown_from_ending() {
    let oddities = Arc::new(Oddities::default());
    let world = World::over(|clock| OddLog::over(clock, &oddities));
    let delivery = world.deliver().await;
    let exporter = Arc::new(Scripted::good(false));
    let status = delivery.add(spec("a", &exporter, Policy::default())).await.unwrap();
    delivery.retain(&[(identity("a"), stream())]).await.unwrap();
    oddities.hangs.store(true, Ordering::Relaxed);
    let trims = oddities.trims.load(Ordering::Relaxed);
    world.append(10).await;
    until("the log is trimmed, and that hangs", || oddities.trims.load(Ordering::Relaxed) > trims).await;
    until("all is delivered", || status.waiting_events() == 0).await;
    let begin = Instant::now();
    let report = delivery.shutdown(Duration::from_secs(3)).await;
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert!(report.flushed && report.unsent.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_log_that_cannot_be_read_for_a_while_is_waited_for_and_asked_once_a_second() {
    for bulk in [true, false] {
        let oddities = Arc::new(Oddities::default());
        let world = World::over(|clock| OddLog::over(clock, &oddities));
        let delivery = world.deliver().await;
        let exporter = Arc::new(Scripted::good(bulk));
        let status = delivery.add(spec("a", &exporter, batches_of(10))).await.unwrap();
        oddities.fails.store(true, Ordering::Relaxed);
        world.append(25).await;
        until("it says so", || status.last_error().is_some_and(|error| error.text.contains("the disk is away"))).await;
        let before = oddities.reads.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(600)).await;
        let reads = oddities.reads.load(Ordering::Relaxed) - before;
        assert!((500..=601).contains(&reads), "{reads} in ten minutes");
        assert_eq!((exporter.calls().len(), status.dropped().len()), (0, 0));
        oddities.fails.store(false, Ordering::Relaxed);
        until("all is delivered", || status.waiting_events() == 0).await;
        assert_eq!(exporter.once().len(), 25);
        assert_conserved(&world, &[status]);
    }
}
