//! What a plan promises across restarts.

use std::sync::Arc;
use std::time::Duration;

use flagpost_delivery::Policy;
use flagpost_exporter::ExportError;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_plan_survives_a_restart_with_other_settings_same_events_same_id_same_object() {
    let world = World::new();
    let make = |script: fn(usize) -> Does| {
        let mut exporter = Scripted::new(true, move |_, call| script(call));
        exporter.destination = Some("dir".to_owned());
        Arc::new(exporter)
    };
    let before = make(|_| Does::Hangs);
    let delivery = world.deliver().await;
    delivery.add(spec("a", &before, batches_of(100))).await.unwrap();
    world.append(250).await;
    until("an attempt runs", || before.calls().len() == 1).await;
    drop(delivery);
    let after = make(|_| Does::Delivers);
    let delivery = world.deliver().await;
    let policy = Policy { max_events_per_call: Some(7), ..batches_of(30) };
    let status = delivery.add(spec("a", &after, policy)).await.unwrap();
    until("all is delivered", || status.waiting_events() == 0).await;
    let (before, after) = (before.calls().remove(0), after.calls());
    assert_eq!((&after[0].id, &after[0].numbers, &after[0].object), (&before.id, &before.numbers, &before.object));
    assert_eq!((before.attempt, after[0].attempt), (1, 2), "attempts are durable");
    assert_eq!(after[1].numbers, (101..=107).collect::<Vec<_>>(), "new settings hold from the next batch");
}

#[tokio::test(start_paused = true)]
async fn a_partial_failure_survives_a_restart() {
    let world = World::new();
    let exporter = Arc::new(Scripted::new(true, |_, call| match call {
        0 => Does::Fails(ExportError::Partial { retry: vec![2, 4], rejected: vec![], after: None }),
        1 => Does::Hangs,
        _ => Does::Delivers,
    }));
    let delivery = world.deliver().await;
    delivery.add(spec("a", &exporter, batches_of(5))).await.unwrap();
    world.append(5).await;
    until("the second attempt runs", || exporter.calls().len() == 2).await;
    drop(delivery);
    let delivery = world.deliver().await;
    let status = delivery.add(spec("a", &exporter, batches_of(5))).await.unwrap();
    until("all is delivered", || status.waiting_events() == 0).await;
    let calls = exporter.calls();
    assert_eq!((&calls[2].id, &calls[2].numbers, calls[2].attempt), (&calls[1].id, &vec![3, 5], 3));
    assert_eq!(exporter.once().len(), 5);
    assert_conserved(&world, &[status]);
}

#[tokio::test(start_paused = true)]
async fn a_streaming_batch_that_failed_keeps_its_id_and_its_attempts() {
    let world = World::new();
    let exporter = Arc::new(Scripted::new(false, |_, _| retryable()));
    let delivery = world.deliver().await;
    delivery.add(spec("a", &exporter, Policy::default())).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    world.append(3).await;
    until("it failed twice", || exporter.calls().len() == 2).await;
    world.append(3).await;
    drop(delivery);
    let delivery = world.deliver().await;
    exporter.rescript(|_, _| Does::Delivers);
    let status = delivery.add(spec("a", &exporter, Policy::default())).await.unwrap();
    until("all is delivered", || status.waiting_events() == 0).await;
    let calls = exporter.calls();
    assert_eq!((calls[2].id.as_str(), calls[2].attempt), ("s1-default.feature-1-3", 3));
    assert_eq!(calls[2].numbers, [1, 2, 3]);
}

/// The process dies (everything in memory is gone) whenever an exporter gets event 17.
#[tokio::test(start_paused = true)]
async fn an_event_that_kills_the_process_is_found_and_condemned() {
    for bulk in [true, false] {
        let world = World::new();
        let mut exporter = Scripted::new(bulk, |batch, _| if numbers(batch).contains(&17) { Does::Hangs } else { Does::Delivers });
        exporter.limits.max_events = if bulk { 40 } else { 1 };
        let exporter = Arc::new(exporter);
        let hit = |calls: &[Call]| calls.last().is_some_and(|call| call.numbers.contains(&17) && call.delivered.is_empty());
        let mut deaths = 0;
        loop {
            let delivery = world.deliver().await;
            let status = delivery.add(spec("a", &exporter, batches_of(40))).await.unwrap();
            if deaths == 0 {
                world.append(100).await;
            }
            let calls = exporter.calls().len();
            until("it ends or kills", || {
                let now = exporter.calls();
                status.waiting_events() == 0 || (now.len() > calls && hit(&now))
            })
            .await;
            if status.waiting_events() == 0 {
                assert_eq!((status.dead(), status.delivered()), (1, 99));
                assert_eq!(world.dead("a").await.into_keys().collect::<Vec<_>>(), [17]);
                break;
            }
            drop(delivery);
            deaths += 1;
            assert!(deaths < 30, "not eternal");
        }
        assert!(deaths >= 3);
        assert_eq!(exporter.once().len(), 99);
    }
}

#[tokio::test(start_paused = true)]
async fn a_set_of_events_has_one_id_and_an_id_one_set_also_across_a_search_and_restarts() {
    let world = World::new();
    let exporter = Arc::new(Scripted::new(true, |batch, call| match numbers(batch).contains(&61) {
        _ if call % 3 == 2 => Does::Hangs,
        true => rejects(),
        false => Does::Delivers,
    }));
    let mut rounds = 0;
    loop {
        let delivery = world.deliver().await;
        let status = delivery.add(spec("a", &exporter, batches_of(100))).await.unwrap();
        if rounds == 0 {
            world.append(100).await;
        }
        let calls = exporter.calls().len();
        until("three more calls", || exporter.calls().len() / 3 > calls / 3 || status.waiting_events() == 0).await;
        if status.waiting_events() == 0 {
            assert_eq!((status.dead(), status.delivered()), (1, 99));
            break;
        }
        drop(delivery);
        rounds += 1;
        assert!(rounds < 50);
    }
    assert!(rounds > 2);
    let mut sets = std::collections::BTreeMap::new();
    for call in exporter.calls() {
        assert_eq!(sets.entry(call.id.clone()).or_insert_with(|| call.numbers.clone()), &call.numbers, "{}", call.id);
    }
}

#[tokio::test(start_paused = true)]
async fn a_planned_event_that_the_log_does_not_have_yet_is_waited_for_and_not_given_up() {
    let mut world = World::new();
    let exporter = Arc::new(Scripted::new(true, |_, _| retryable()));
    let delivery = world.deliver().await;
    delivery.add(spec("a", &exporter, batches_of(10))).await.unwrap();
    world.append(10).await;
    until("it is planned", || exporter.calls().len() == 2).await;
    drop(delivery);
    // The log lost its end.
    world.log = World::new().log;
    world.append(4).await;
    exporter.rescript(|_, _| Does::Delivers);
    let delivery = world.deliver().await;
    let status = delivery.add(spec("a", &exporter, batches_of(10))).await.unwrap();
    until("it says so", || status.last_error().is_some_and(|error| error.text.contains("the log ends before"))).await;
    assert_eq!((status.dropped().len(), exporter.calls().len(), status.numbers().cursor), (0, 2, 1));
    assert_eq!(world.ledger.consumers()[0].floor(), 11, "the log would not give those numbers again");
}
