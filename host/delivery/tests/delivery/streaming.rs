//! Streaming: events as they become durable, and one that blocks those behind it.

use std::sync::Arc;
use std::time::Duration;

use flagpost_delivery::{Policy, StateKind};
use tokio::time::Instant;

use crate::support::*;

fn one_by_one(script: impl Fn(&flagpost_event::EventBatch, usize) -> Does + Send + Sync + 'static) -> Arc<Scripted> {
    let mut exporter = Scripted::new(false, script);
    exporter.limits.max_events = 1;
    Arc::new(exporter)
}

#[tokio::test(start_paused = true)]
async fn events_are_delivered_as_they_become_durable_in_one_call_when_the_exporter_can() {
    let world = World::new();
    let delivery = world.deliver().await;
    let exporter = Arc::new(Scripted::good(false));
    let status = delivery.add(spec("a", &exporter, Policy::default())).await.unwrap();
    let begin = Instant::now();
    world.append(100).await;
    until("they are delivered", || status.waiting_events() == 0).await;
    assert!(begin.elapsed() < Duration::from_millis(100));
    assert_eq!(exporter.calls().len(), 1);
    let policy = Policy { max_events_per_call: Some(1), ..Policy::default() };
    let single = Arc::new(Scripted::good(false));
    let other = delivery.add(spec("b", &single, policy)).await.unwrap();
    world.append(100).await;
    until("they are delivered", || other.waiting_events() == 0).await;
    assert_eq!(single.calls().len(), 100);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_fails_eight_times_is_parked_and_those_behind_it_pass() {
    let world = World::new();
    let delivery = world.deliver().await;
    let exporter = one_by_one(|batch, _| if numbers(batch) == [3] { retryable() } else { Does::Delivers });
    let status = delivery.add(spec("a", &exporter, Policy::default())).await.unwrap();
    world.append(200).await;
    until("those behind it pass", || exporter.delivered().len() == 199).await;
    let calls = exporter.calls();
    let before = calls.iter().take_while(|call| call.numbers != [4]).filter(|call| call.numbers == [3]).count();
    assert_eq!(before, 8);
    assert_eq!((status.delivered(), status.waiting_events(), status.dead()), (2, 198, 0), "it is kept, not condemned");
    assert_eq!(status.state().kind, StateKind::Retrying);
    exporter.rescript(|_, _| Does::Delivers);
    until("it is delivered too", || status.waiting_events() == 0).await;
    assert_eq!(exporter.once().len(), 200);
    assert_conserved(&world, &[status]);
}

#[tokio::test(start_paused = true)]
async fn when_the_event_behind_fails_too_both_go_back_in_order() {
    let world = World::new();
    let delivery = world.deliver().await;
    let exporter = one_by_one(|_, _| retryable());
    let status = delivery.add(spec("a", &exporter, Policy::default())).await.unwrap();
    world.append(50).await;
    until("the next one was tried several times", || exporter.calls().iter().filter(|call| call.numbers == [2]).count() == 5).await;
    let calls = exporter.calls();
    assert!(calls.iter().all(|call| call.numbers == [1] || call.numbers == [2]), "nothing else was touched");
    exporter.rescript(|_, _| Does::Delivers);
    until("all is delivered", || status.waiting_events() == 0).await;
    let order: Vec<u64> = exporter.calls().into_iter().flat_map(|call| call.delivered).collect();
    assert_eq!(order, (1..=50).collect::<Vec<_>>());
    assert_conserved(&world, &[status]);
}

#[tokio::test(start_paused = true)]
async fn what_passed_a_parked_event_is_not_delivered_again_after_a_restart() {
    let world = World::new();
    let exporter = one_by_one(|batch, _| if numbers(batch) == [3] { retryable() } else { Does::Delivers });
    let delivery = world.deliver().await;
    delivery.add(spec("a", &exporter, Policy::default())).await.unwrap();
    world.append(300).await;
    until("those behind it pass", || exporter.delivered().len() == 299).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(delivery);
    let delivery = world.deliver().await;
    exporter.rescript(|_, _| Does::Delivers);
    let status = delivery.add(spec("a", &exporter, Policy::default())).await.unwrap();
    until("all is delivered", || status.waiting_events() == 0).await;
    assert_eq!(exporter.once().len(), 300);
    assert_conserved(&world, &[status]);
}

#[tokio::test(start_paused = true)]
async fn a_poison_event_of_a_one_by_one_exporter_is_condemned_once_the_next_was_delivered() {
    let world = World::new();
    let delivery = world.deliver().await;
    let exporter = one_by_one(|batch, _| if numbers(batch) == [3] { crashes() } else { Does::Delivers });
    let status = delivery.add(spec("a", &exporter, Policy::default())).await.unwrap();
    world.append(100).await;
    until("all is settled", || status.waiting_events() == 0).await;
    assert_eq!((status.dead(), status.delivered()), (1, 99));
    let record = world.ledger.consumers().remove(0);
    assert_eq!((record.dead, record.plan), (1, None));
    assert_eq!(world.dead("a").await.into_keys().collect::<Vec<_>>(), [3]);
    assert_eq!(exporter.once().len(), 99);
}

#[tokio::test(start_paused = true)]
async fn neighbours_that_are_both_guilty_are_condemned_and_nothing_else() {
    for bulk in [true, false] {
        let world = World::new();
        let delivery = world.deliver().await;
        let mut exporter = Scripted::new(bulk, |batch, _| match numbers(batch).iter().any(|number| (3..8).contains(number)) {
            true => rejects(),
            false => Does::Delivers,
        });
        exporter.limits.max_events = 1;
        let exporter = Arc::new(exporter);
        let status = delivery.add(spec("a", &exporter, batches_of(20))).await.unwrap();
        world.append(200).await;
        until("all is settled", || status.waiting_events() == 0).await;
        assert_eq!(world.dead("a").await.into_keys().collect::<Vec<_>>(), [3, 4, 5, 6, 7]);
        assert_eq!(exporter.once().len(), 195);
        assert_conserved(&world, &[status]);
    }
}
