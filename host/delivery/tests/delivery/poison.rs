//! Who is guilty.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use flagpost_delivery::{Policy, StateKind};
use flagpost_event::EventBatch;
use flagpost_exporter::{ExportError, Limits, RejectedEvent};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn an_exporter_that_crashes_on_everything_condemns_nothing_of_100_000_and_recovers_by_itself() {
    for bulk in [true, false] {
        let world = World::new();
        let delivery = world.deliver().await;
        let exporter = Arc::new(Scripted::new(bulk, |_, _| crashes()));
        let status = delivery.add(spec("a", &exporter, batches_of(5_000))).await.unwrap();
        world.append(100_000).await;
        until("it is called sick", || status.state().kind == StateKind::Misconfigured).await;
        tokio::time::sleep(Duration::from_secs(3 * 3600)).await;
        assert_eq!((status.dead(), status.delivered(), status.waiting_events()), (0, 0, 100_000));
        assert!(status.state().reason.unwrap().contains("trap"));
        let calls = exporter.calls().len();
        assert!(calls < 200, "probes slow down: {calls} calls");
        tokio::time::sleep(Duration::from_secs(301)).await;
        assert!(exporter.calls().len() > calls, "one batch probes");
        exporter.rescript(|_, _| Does::Delivers);
        until("all is delivered", || status.waiting_events() == 0).await;
        assert_eq!((status.dead(), status.state().kind), (0, StateKind::Running));
        assert_eq!(exporter.once().len(), 100_000);
        assert_conserved(&world, &[status]);
    }
}

#[tokio::test(start_paused = true)]
async fn exactly_the_one_poison_among_10_000_is_condemned_and_everything_else_delivered_once() {
    for (bulk, poison) in [(true, 1), (true, 4_321), (true, 10_000), (false, 1), (false, 7_777), (false, 9_999)] {
        for crash in [true, false] {
            let world = World::new();
            let delivery = world.deliver().await;
            let exporter = Arc::new(Scripted::new(bulk, move |batch, _| match numbers(batch).contains(&poison) {
                true if crash => crashes(),
                true => rejects(),
                false => Does::Delivers,
            }));
            let status = delivery.add(spec("a", &exporter, batches_of(1_000))).await.unwrap();
            world.append(10_000).await;
            until("all is settled", || status.waiting_events() == 0).await;
            assert_eq!(world.dead("a").await.into_keys().collect::<Vec<_>>(), [poison]);
            let delivered = exporter.once();
            assert_eq!(delivered.len(), 9_999);
            assert!(!delivered.contains(&poison));
            assert_eq!((status.dead(), status.delivered()), (1, 9_999));
            assert_conserved(&world, &[status]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lone_poison_waits_until_a_later_event_proves_the_exporter_well() {
    let world = World::new();
    let delivery = world.deliver().await;
    let exporter = Arc::new(Scripted::new(true, |batch, _| if numbers(batch).contains(&1) { rejects() } else { Does::Delivers }));
    let status = delivery.add(spec("a", &exporter, batches_of(10))).await.unwrap();
    world.append(1).await;
    until("nothing proves it", || status.state().kind == StateKind::Misconfigured).await;
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!((status.dead(), status.waiting_events()), (0, 1));
    world.append(1).await;
    until("both are settled", || status.waiting_events() == 0).await;
    assert_eq!((status.dead(), status.delivered()), (1, 1));
    assert_eq!(exporter.once().into_iter().collect::<Vec<_>>(), [2]);
    assert_conserved(&world, &[status]);
}

#[tokio::test(start_paused = true)]
async fn poison_that_is_not_rare_is_not_believed() {
    let world = World::new();
    let delivery = world.deliver().await;
    let exporter =
        Arc::new(Scripted::new(true, |batch, _| if numbers(batch).iter().any(|n| n % 4 == 0) { rejects() } else { Does::Delivers }));
    let status = delivery.add(spec("a", &exporter, batches_of(100))).await.unwrap();
    world.append(1_000).await;
    until("it is called sick", || status.state().kind == StateKind::Misconfigured).await;
    tokio::time::sleep(Duration::from_secs(7_200)).await;
    assert_eq!(status.state().kind, StateKind::Misconfigured);
    assert!(status.state().reason.unwrap().contains("1 in 100"));
    let record = world.ledger.consumers().remove(0);
    let condemned = status.dead() as usize + record.plan.as_ref().map_or(0, |plan| plan.condemned.len());
    assert!(condemned <= 10, "{condemned}");
    assert!(status.waiting_events() > 900);
    exporter.rescript(|_, _| Does::Delivers);
    until("all is settled", || status.waiting_events() == 0).await;
    assert_eq!(exporter.once().len() + condemned, 1_000);
    assert_conserved(&world, &[status]);
}

/// Names those of a batch that fit, delivers the others.
fn names(which: impl Fn(u64) -> bool + Send + Sync + 'static) -> impl Fn(&EventBatch, usize) -> Does + Send + Sync + 'static {
    move |batch, _| {
        let named = numbers(batch).into_iter().zip(0..).filter(|(number, _)| which(*number));
        let rejected: Vec<_> = named.map(|(number, index)| RejectedEvent { index, reason: format!("no {number}") }).collect();
        Does::Fails(ExportError::Partial { retry: Vec::new(), rejected, after: None })
    }
}

#[tokio::test(start_paused = true)]
async fn events_that_the_destination_names_beside_delivered_ones_are_condemned_at_once() {
    let world = World::new();
    let delivery = world.deliver().await;
    let exporter = Arc::new(Scripted::new(true, names(|number| number % 200 == 0)));
    let status = delivery.add(spec("a", &exporter, batches_of(100))).await.unwrap();
    world.append(10_000).await;
    until("all is settled", || status.waiting_events() == 0).await;
    let dead = world.dead("a").await;
    assert_eq!(dead.len(), 50);
    assert!(dead.iter().all(|(number, reason)| number % 200 == 0 && *reason == format!("no {number}")));
    assert_eq!((exporter.once().len(), exporter.calls().len()), (9_950, 100));
    assert_eq!((status.dead(), status.delivered(), status.state().kind), (50, 9_950, StateKind::Running));
    assert_conserved(&world, &[status]);
}

#[tokio::test(start_paused = true)]
async fn named_events_that_are_not_rare_are_not_believed_either() {
    let world = World::new();
    let delivery = world.deliver().await;
    let exporter = Arc::new(Scripted::new(true, names(|number| number % 2 == 0)));
    let status = delivery.add(spec("a", &exporter, batches_of(100))).await.unwrap();
    world.append(1_000).await;
    until("it is called sick", || status.state().kind == StateKind::Misconfigured).await;
    tokio::time::sleep(Duration::from_secs(7_200)).await;
    assert!(status.state().reason.unwrap().contains("1 in 100"));
    let record = world.ledger.consumers().remove(0);
    let condemned = status.dead() as usize + record.plan.as_ref().map_or(0, |plan| plan.condemned.len());
    assert_eq!(condemned, 10);
    exporter.rescript(|_, _| Does::Delivers);
    until("all is settled", || status.waiting_events() == 0).await;
    assert_eq!(exporter.once().len() + condemned, 1_000);
    assert_conserved(&world, &[status]);
}

#[tokio::test(start_paused = true)]
async fn an_exporter_that_names_everything_condemns_nothing_of_100_000() {
    for (bulk, per_call, count) in [(true, None, 100_000), (false, None, 100_000), (true, Some(1), 500), (false, Some(1), 500)] {
        let world = World::new();
        let delivery = world.deliver().await;
        let exporter = Arc::new(Scripted::new(bulk, names(|_| true)));
        let policy = Policy { max_events_per_call: per_call, ..batches_of(5_000) };
        let status = delivery.add(spec("a", &exporter, policy)).await.unwrap();
        world.append(count).await;
        until("it is called sick", || status.state().kind == StateKind::Misconfigured).await;
        tokio::time::sleep(Duration::from_secs(3 * 3_600)).await;
        assert_eq!((status.dead(), status.delivered(), status.waiting_events()), (0, 0, count), "{bulk} {per_call:?}");
        assert!(exporter.calls().len() < 200, "probes slow down: {} calls", exporter.calls().len());
        exporter.rescript(names(|number| number == 77));
        until("all is settled", || status.waiting_events() == 0).await;
        assert_eq!(world.dead("a").await.into_iter().collect::<Vec<_>>(), [(77, "no 77".to_owned())]);
        assert_conserved(&world, &[status]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_named_while_nothing_is_delivered_is_condemned_once_something_is() {
    for (bulk, throttled) in [(true, 0), (true, 12), (false, 0), (false, 12)] {
        let world = World::new();
        let delivery = world.deliver().await;
        // Nothing is sent of a batch with such an event in it; and at first nothing at all.
        let exporter = Arc::new(Scripted::new(bulk, move |batch, call| {
            let (named, others): (Vec<_>, Vec<_>) = numbers(batch).into_iter().zip(0..).partition(|(number, _)| number % 60 == 3);
            let rejected = named.iter().map(|(_, index)| RejectedEvent { index: *index, reason: "too large".to_owned() }).collect();
            let retry = others.into_iter().map(|(_, index)| index).collect();
            match named.is_empty() && call >= throttled {
                true => Does::Delivers,
                false => Does::Fails(ExportError::Partial { retry, rejected, after: None }),
            }
        }));
        let status = delivery.add(spec("a", &exporter, batches_of(100))).await.unwrap();
        world.append(200).await;
        until("the others are delivered", || exporter.delivered().len() == 196).await;
        // Each verdict needs a delivery of its own.
        world.append(10).await;
        until("all is settled", || status.waiting_events() == 0).await;
        assert_eq!(world.dead("a").await.into_keys().collect::<Vec<_>>(), [3, 63, 123, 183]);
        assert_eq!(exporter.once().len(), 206);
        assert_conserved(&world, &[status]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_witness_that_is_to_be_sent_again_is_waited_for_and_the_backlog_is_not_run_through() {
    let world = World::new();
    let delivery = world.deliver().await;
    // The first is refused; whatever is asked instead is put off.
    let exporter = Arc::new(Scripted::new(true, |batch, _| match numbers(batch).contains(&1) {
        true => rejects(),
        false => Does::Fails(ExportError::Partial {
            retry: (0..batch.len() as u32).collect(),
            rejected: Vec::new(),
            after: Some(Duration::from_secs(60)),
        }),
    }));
    let policy = Policy { max_events_per_call: Some(1), ..batches_of(1) };
    let status = delivery.add(spec("a", &exporter, policy)).await.unwrap();
    world.append(1_000).await;
    until("a witness was asked", || exporter.calls().len() > 1).await;
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert!(exporter.calls().len() < 100, "{} calls in an hour", exporter.calls().len());
    assert_eq!((status.waiting_events(), status.dead()), (1_000, 0));
    exporter.rescript(|_, _| Does::Delivers);
    until("all is settled", || status.waiting_events() == 0).await;
    assert_eq!(exporter.once().len(), 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_sick_unordered_exporter_is_given_no_new_batches() {
    let world = World::new();
    let delivery = world.deliver().await;
    let mut exporter = Scripted::new(true, |_, _| crashes());
    exporter.limits = Limits { ordered: false, concurrency: 4, max_events: 10, ..Limits::default() };
    let exporter = Arc::new(exporter);
    let status = delivery.add(spec("a", &exporter, batches_of(10))).await.unwrap();
    world.append(10_000).await;
    tokio::time::sleep(Duration::from_secs(3 * 3600)).await;
    assert_eq!((status.state().kind, status.dead()), (StateKind::Misconfigured, 0));
    let batches = exporter.calls().into_iter().filter(|call| call.numbers.len() == 10).map(|call| call.numbers[0]);
    assert_eq!(batches.collect::<BTreeSet<_>>(), BTreeSet::from([1, 11, 21, 31]));
    exporter.rescript(|_, _| Does::Delivers);
    until("all is delivered", || status.waiting_events() == 0).await;
    assert_eq!((status.dead(), exporter.once().len()), (0, 10_000));
    assert_conserved(&world, &[status]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_fails_otherwise_does_not_keep_a_misconfigured_exporter_from_recovering() {
    let world = World::new();
    let delivery = world.deliver().await;
    let mut exporter = Scripted::new(true, |batch, call| match numbers(batch)[0] {
        1 => retryable(),
        _ if call < 20 => Does::Fails(ExportError::misconfigured("no such topic")),
        _ => Does::Delivers,
    });
    exporter.limits = Limits { ordered: false, concurrency: 2, max_events: 10, ..Limits::default() };
    let exporter = Arc::new(exporter);
    delivery.add(spec("a", &exporter, batches_of(10))).await.unwrap();
    world.append(100).await;
    until("the others are delivered", || exporter.delivered().len() == 90).await;
}
