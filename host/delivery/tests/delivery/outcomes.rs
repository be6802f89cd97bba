//! What follows from each outcome, and when a batch is cut.

use std::sync::Arc;
use std::time::Duration;

use flagpost_delivery::{Policy, RetryPolicy, StateKind};
use flagpost_event::ObjectPlan;
use flagpost_exporter::{ExportError, Limits, Readiness, RejectedEvent};
use flagpost_spool::DropReason;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn only_the_named_events_of_a_partial_failure_come_again_and_each_set_has_its_own_id() {
    let world = World::new();
    let delivery = world.deliver().await;
    let exporter = Arc::new(Scripted::new(true, |_, call| match call {
        0 => Does::Fails(ExportError::Partial { retry: vec![1, 3, 4], rejected: vec![], after: None }),
        1 => retryable(),
        2 => Does::Fails(ExportError::Partial {
            retry: vec![2],
            rejected: vec![RejectedEvent { index: 0, reason: "too large".to_owned() }],
            after: None,
        }),
        _ => Does::Delivers,
    }));
    let status = delivery.add(spec("a", &exporter, batches_of(6))).await.unwrap();
    world.append(6).await;
    until("all is settled", || status.waiting_events() == 0).await;
    let calls = exporter.calls();
    let seen: Vec<_> = calls.iter().map(|call| (call.id.as_str(), call.attempt, call.numbers.as_slice())).collect();
    assert_eq!(
        seen,
        [
            ("s1-default.feature-1-6", 1, &[1, 2, 3, 4, 5, 6][..]),
            ("s1-default.feature-1-6.r1", 2, &[2, 4, 5][..]),
            ("s1-default.feature-1-6.r1", 3, &[2, 4, 5][..]),
            ("s1-default.feature-1-6.r2", 4, &[5][..]),
        ]
    );
    assert_eq!(world.dead("a").await.into_iter().collect::<Vec<_>>(), [(2, "too large".to_owned())]);
    assert_eq!(exporter.once().len(), 5);
    assert_conserved(&world, &[status]);
}

#[tokio::test(start_paused = true)]
async fn a_partial_failure_that_names_impossible_events_is_the_exporters_defect_and_condemns_nothing() {
    let world = World::new();
    let delivery = world.deliver().await;
    let exporter = Arc::new(Scripted::new(true, |_, call| match call {
        0 => Does::Fails(ExportError::Partial { retry: vec![9], rejected: vec![], after: None }),
        1 => Does::Fails(ExportError::Partial {
            retry: vec![0],
            rejected: vec![RejectedEvent { index: 0, reason: String::new() }],
            after: None,
        }),
        _ => Does::Delivers,
    }));
    let status = delivery.add(spec("a", &exporter, batches_of(3))).await.unwrap();
    world.append(3).await;
    until("the defect is told", || status.last_error().is_some()).await;
    until("all is delivered", || status.waiting_events() == 0).await;
    assert_eq!((status.delivered(), status.dead()), (3, 0));
    assert_eq!(exporter.calls().last().unwrap().numbers, [1, 2, 3]);
    assert_conserved(&world, &[status]);
}

#[tokio::test(start_paused = true)]
async fn the_same_batch_comes_again_not_before_the_destination_wants_it() {
    let world = World::new();
    let delivery = world.deliver().await;
    let exporter = Arc::new(Scripted::new(true, |_, call| match call {
        0 => Does::Fails(ExportError::Retryable { reason: "429".to_owned(), after: Some(Duration::from_secs(90)) }),
        1 => Does::Fails(ExportError::Retryable { reason: "429".to_owned(), after: Some(Duration::from_secs(1 << 30)) }),
        _ => Does::Delivers,
    }));
    let status = delivery.add(spec("a", &exporter, batches_of(3))).await.unwrap();
    world.append(3).await;
    until("it retries", || status.state().kind == StateKind::Retrying).await;
    assert_eq!(status.state().reason.as_deref(), Some("429"));
    world.append(300).await;
    until("all is delivered", || status.waiting_events() == 0).await;
    let calls = exporter.calls();
    assert!(calls[1].at - calls[0].at >= Duration::from_secs(90));
    let second = calls[2].at - calls[1].at;
    assert!(second >= Duration::from_secs(3600) && second < Duration::from_secs(3700), "the wish is clamped: {second:?}");
    assert!(calls[..3].iter().all(|call| call.id == "s1-default.feature-1-3" && call.numbers == [1, 2, 3]));
    assert_eq!(calls[..3].iter().map(|call| call.attempt).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(status.retried(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_misconfigured_exporter_keeps_its_events_and_probes_with_one_batch() {
    let world = World::new();
    let delivery = world.deliver().await;
    let mut exporter = Scripted::new(true, |_, _| Does::Fails(ExportError::misconfigured("no such bucket")));
    exporter.limits = Limits { ordered: false, concurrency: 4, ..Limits::default() };
    let exporter = Arc::new(exporter);
    let status = delivery.add(spec("a", &exporter, batches_of(10))).await.unwrap();
    world.append(1_000).await;
    until("it is told", || status.state().kind == StateKind::Misconfigured).await;
    assert_eq!(status.state().reason.as_deref(), Some("no such bucket"));
    tokio::time::sleep(Duration::from_secs(7_200)).await;
    let calls = exporter.calls();
    assert!(calls.len() < 60, "{}", calls.len());
    assert!(calls[calls.len() - 5..].iter().all(|call| call.numbers[0] == 1), "the oldest batch probes");
    assert_eq!((status.waiting_events(), status.dead()), (1_000, 0));
    exporter.rescript(|_, _| Does::Delivers);
    until("all is delivered", || status.waiting_events() == 0).await;
    assert_eq!(exporter.once().len(), 1_000);
    assert_eq!(status.state().kind, StateKind::Running);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_fails_for_longer_than_max_elapsed_is_dropped_and_counted() {
    let world = World::new();
    let delivery = world.deliver().await;
    let exporter = Arc::new(Scripted::new(true, |batch, _| if numbers(batch)[0] == 1 { retryable() } else { Does::Delivers }));
    let retry = RetryPolicy { max_elapsed: Some(Duration::from_secs(600)), ..RetryPolicy::default() };
    let status = delivery.add(spec("a", &exporter, Policy { retry, ..batches_of(5) })).await.unwrap();
    let begin = Instant::now();
    world.append(10).await;
    until("all is settled", || status.waiting_events() == 0).await;
    assert!(begin.elapsed() >= Duration::from_secs(600));
    assert_eq!(status.dropped().into_iter().collect::<Vec<_>>(), [(DropReason::Expired, 5)]);
    assert_eq!((status.delivered(), status.dead()), (5, 0));
    assert_conserved(&world, &[status]);
}

#[tokio::test(start_paused = true)]
async fn an_object_keeps_its_name_until_the_name_is_taken_and_names_never_repeat() {
    let world = World::new();
    let delivery = world.deliver().await;
    let object = |call: &Call| call.object.clone().unwrap().name;
    let mut exporters = Vec::new();
    for name in ["a", "b"] {
        let mut exporter = Scripted::new(true, |batch, call| match call {
            0 | 1 => retryable(),
            2 => Does::Fails(ExportError::NameTaken { name: batch.object().map(|ObjectPlan { name, .. }| name.clone()).unwrap() }),
            _ => Does::Delivers,
        });
        exporter.destination = Some("bucket/prefix".to_owned());
        exporters.push(Arc::new(exporter));
        delivery.add(spec(name, exporters.last().unwrap(), batches_of(5))).await.unwrap();
    }
    world.append(50).await;
    until("all is delivered", || delivery.statuses().iter().all(|status| status.waiting_events() == 0)).await;
    let mut stamps = Vec::new();
    for exporter in &exporters {
        let calls = exporter.calls();
        assert_eq!(object(&calls[0]), object(&calls[2]));
        assert_ne!(object(&calls[2]), object(&calls[3]));
        assert_eq!(calls[2].id, calls[3].id);
        let mut names: Vec<_> = calls[2..].iter().map(object).collect();
        names.dedup();
        stamps.extend(names.iter().map(|name| name.split_once('-').unwrap().0.to_owned()));
    }
    let count = stamps.len();
    stamps.sort();
    stamps.dedup();
    assert_eq!((count, stamps.len()), (22, 22), "one destination, one timestamp each");
}

#[tokio::test(start_paused = true)]
async fn bulk_batches_come_when_enough_wait_or_the_oldest_waited_long_enough_and_are_cut_at_the_smallest_limit() {
    let world = World::new();
    let delivery = world.deliver().await;
    let mut exporter = Scripted::good(true);
    exporter.limits.max_events = 40;
    let exporter = Arc::new(exporter);
    let policy = Policy { max_events: 100, flush_interval: Duration::from_secs(30), ..Policy::default() };
    let status = delivery.add(spec("a", &exporter, policy)).await.unwrap();
    let begin = Instant::now();
    world.append(99).await;
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert!(exporter.calls().is_empty());
    world.append(1).await;
    until("enough wait", || status.waiting_events() == 0).await;
    assert!(begin.elapsed() < Duration::from_secs(30));
    let sizes = |skip: usize| exporter.calls()[skip..].iter().map(|call| call.numbers.len()).collect::<Vec<_>>();
    assert_eq!(sizes(0), [40, 40, 20]);
    let begin = Instant::now();
    world.append(50).await;
    assert_eq!(status.oldest_age(), Duration::ZERO);
    until("the oldest waited", || status.waiting_events() == 0).await;
    assert!(begin.elapsed() >= Duration::from_secs(30) && begin.elapsed() < Duration::from_secs(31));
    assert_eq!(sizes(3), [40, 10]);
}

#[tokio::test(start_paused = true)]
async fn events_wait_while_the_exporter_is_prepared_or_invalid_and_another_generation_starts_anew_with_the_same_id() {
    let world = World::new();
    let delivery = world.deliver().await;
    let (readiness, receiver) = watch::channel(Readiness::Preparing);
    let mut exporter = Scripted::new(true, |_, _| crashes());
    exporter.readiness = Some(receiver);
    let exporter = Arc::new(exporter);
    let status = delivery.add(spec("a", &exporter, batches_of(4))).await.unwrap();
    world.append(4).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((status.state().kind, exporter.calls().len()), (StateKind::Compiling, 0));
    readiness.send_replace(Readiness::Invalid { reason: "no component".to_owned() });
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((status.state().kind, exporter.calls().len()), (StateKind::Invalid, 0));
    assert_eq!(status.state().reason.as_deref(), Some("no component"));
    readiness.send_replace(Readiness::Ready { generation: 1 });
    until("two attempts crashed", || exporter.calls().len() == 2).await;
    exporter.rescript(|_, call| if call < 4 { crashes() } else { Does::Delivers });
    let begin = Instant::now();
    readiness.send_replace(Readiness::Ready { generation: 2 });
    until("all is delivered", || status.waiting_events() == 0).await;
    let calls = exporter.calls();
    assert!(calls[2].at - begin < Duration::from_millis(20), "no pause of the generation before is waited for");
    assert_eq!(calls.iter().map(|call| call.attempt).collect::<Vec<_>>(), [1, 2, 1, 2, 3], "crashes are counted anew too");
    assert!(calls.iter().all(|call| call.id == "s1-default.feature-1-4" && call.numbers.len() == 4));
}

#[tokio::test(start_paused = true)]
async fn an_unordered_exporter_gets_several_batches_at_once_and_the_cursor_is_the_end_of_the_delivered_prefix() {
    for bulk in [true, false] {
        let world = World::new();
        let delivery = world.deliver().await;
        let mut exporter = Scripted::new(bulk, |batch, call| match (numbers(batch)[0], call) {
            (1, 0..40) => retryable(),
            _ => Does::DeliversAfter(Duration::from_millis(100)),
        });
        exporter.limits = Limits { ordered: false, concurrency: 3, max_events: 10, ..Limits::default() };
        let exporter = Arc::new(exporter);
        let status = delivery.add(spec("a", &exporter, batches_of(10))).await.unwrap();
        world.append(1_000).await;
        until("others pass", || exporter.delivered().len() > 500).await;
        assert_eq!((status.delivered(), status.waiting_events()), (0, 1_000));
        until("all is delivered", || status.waiting_events() == 0).await;
        assert_eq!(exporter.most_at_once(), 3);
        assert_eq!(exporter.once().len(), 1_000);
        assert_conserved(&world, &[status]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_operator_decides_about_order() {
    for (own, operator, at_once) in [(true, Some(false), 3), (true, None, 1), (false, None, 3), (false, Some(true), 1)] {
        let world = World::new();
        let delivery = world.deliver().await;
        let mut exporter = Scripted::new(true, |_, _| Does::DeliversAfter(Duration::from_secs(1)));
        exporter.limits = Limits { ordered: own, concurrency: 3, max_events: 10, ..Limits::default() };
        let exporter = Arc::new(exporter);
        let status = delivery.add(spec("a", &exporter, Policy { ordered: operator, ..batches_of(10) })).await.unwrap();
        world.append(100).await;
        until("all is delivered", || status.waiting_events() == 0).await;
        assert_eq!(exporter.most_at_once(), at_once, "{own} {operator:?}");
        assert_eq!(exporter.once().len(), 100);
    }
}

#[tokio::test(start_paused = true)]
async fn an_ordered_exporter_gets_one_batch_at_a_time_in_order_whatever_its_concurrency() {
    let world = World::new();
    let delivery = world.deliver().await;
    let mut exporter =
        Scripted::new(true, |_, call| if call % 3 == 0 { retryable() } else { Does::DeliversAfter(Duration::from_millis(50)) });
    exporter.limits.concurrency = 8;
    let exporter = Arc::new(exporter);
    let status = delivery.add(spec("a", &exporter, batches_of(10))).await.unwrap();
    world.append(500).await;
    until("all is delivered", || status.waiting_events() == 0).await;
    assert_eq!(exporter.most_at_once(), 1);
    let order: Vec<u64> = exporter.calls().into_iter().flat_map(|call| call.delivered).collect();
    assert_eq!(order, (1..=500).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn what_a_partial_failure_settled_is_settled_also_when_the_batch_has_expired() {
    let world = World::new();
    let delivery = world.deliver().await;
    // Too late by then.
    let exporter = Arc::new(Scripted::new(true, |_, call| match call {
        0 => Does::Fails(ExportError::Retryable { reason: "503".to_owned(), after: Some(Duration::from_secs(700)) }),
        _ => Does::Fails(ExportError::Partial {
            retry: vec![4, 5],
            rejected: vec![RejectedEvent { index: 3, reason: "too large".to_owned() }],
            after: None,
        }),
    }));
    let retry = RetryPolicy { max_elapsed: Some(Duration::from_secs(600)), ..RetryPolicy::default() };
    let status = delivery.add(spec("a", &exporter, Policy { retry, ..batches_of(6) })).await.unwrap();
    world.append(6).await;
    until("all is settled", || status.waiting_events() == 0).await;
    assert_eq!(exporter.calls().len(), 2);
    assert_eq!((status.delivered(), exporter.once()), (3, (1..=3).collect()));
    assert_eq!(world.dead("a").await.into_iter().collect::<Vec<_>>(), [(4, "too large".to_owned())]);
    assert_eq!(status.dropped().into_iter().collect::<Vec<_>>(), [(DropReason::Expired, 2)]);
    assert_conserved(&world, &[status]);
}

#[tokio::test(start_paused = true)]
async fn an_exporter_that_never_comes_back_on_one_event_loses_that_one_only() {
    let world = World::new();
    let delivery = world.deliver().await;
    let exporter = Arc::new(Scripted::new(true, |batch, _| if numbers(batch).contains(&7) { Does::Hangs } else { Does::Delivers }));
    let status = delivery.add(spec("a", &exporter, batches_of(10))).await.unwrap();
    world.append(100).await;
    until("all is settled", || status.waiting_events() == 0).await;
    let dead = world.dead("a").await;
    assert!(dead.len() == 1 && dead[&7].contains("300 s"), "{dead:?}");
    assert_eq!(exporter.once().len(), 99);
    assert_conserved(&world, &[status]);
}
