//! Exporters that come, go and are replaced while events flow.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use flagpost_delivery::{Delivery, Policy, StateKind, TaskSpec, TaskStatus, WhenFull};
use flagpost_exporter::{ExportError, Exporter, Readiness};
use flagpost_spool::{DropReason, Identity};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::support::*;

fn keys(names: &[&str]) -> Vec<(Identity, flagpost_event::StreamName)> {
    names.iter().map(|name| (identity(name), stream())).collect()
}

fn with_generations(
    script: impl Fn(&flagpost_event::EventBatch, usize) -> Does + Send + Sync + 'static,
) -> (Arc<Scripted>, watch::Sender<Readiness>) {
    let (sender, readiness) = watch::channel(Readiness::Ready { generation: 1 });
    let mut exporter = Scripted::new(true, script);
    exporter.readiness = Some(readiness);
    (Arc::new(exporter), sender)
}

#[tokio::test(start_paused = true)]
async fn an_attempt_of_the_implementation_before_says_nothing_about_the_events() {
    for failure in [ExportError::rejected("v1"), ExportError::Crashed { reason: "v1".to_owned() }] {
        let world = World::new();
        let slow = |error: ExportError| {
            move |_: &flagpost_event::EventBatch, call: usize| if call == 0 { Does::Slow(error.clone()) } else { Does::Delivers }
        };
        let (exporter, generations) = with_generations(slow(failure));
        let delivery = world.deliver().await;
        let status = delivery.add(spec("a", &exporter, batches_of(10))).await.unwrap();
        world.append(10).await;
        until("the old one is asked", || exporter.calls().len() == 1).await;
        let begin = exporter.calls()[0].at;
        generations.send_replace(Readiness::Ready { generation: 2 });
        until("all is delivered", || status.waiting_events() == 0).await;
        let calls = exporter.calls();
        assert_eq!((calls.len(), exporter.most_at_once()), (2, 1), "never two at the same time");
        assert_eq!((&calls[1].id, calls[1].attempt), (&calls[0].id, 1), "the same batch, its attempts anew");
        assert!(calls[1].at - begin <= SLOW + Duration::from_millis(1), "without a pause");
        assert_eq!((status.dead(), status.retried()), (0, 0));
        assert_conserved(&world, &[status]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_was_thought_to_be_guilty_is_taken_whole_by_the_next_implementation() {
    let world = World::new();
    let (exporter, generations) = with_generations(|_, _| rejects());
    let delivery = world.deliver().await;
    let status = delivery.add(spec("a", &exporter, batches_of(8))).await.unwrap();
    world.append(8).await;
    until("all is thought to fail", || status.state().kind == StateKind::Misconfigured).await;
    let before = exporter.calls().len();
    exporter.rescript(|_, _| Does::Delivers);
    generations.send_replace(Readiness::Ready { generation: 2 });
    until("all is delivered", || status.waiting_events() == 0).await;
    let calls = exporter.calls();
    assert_eq!((calls.len(), calls[before].numbers.len(), calls[before].attempt, status.dead()), (before + 1, 8, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_one_before_is_closed_before_the_next_one_is_called() {
    let world = World::new();
    let old = Arc::new(Scripted::new(true, |_, _| retryable()));
    let closed = Arc::clone(&old);
    let new = Arc::new(Scripted::new(true, move |_, _| if closed.closed() == 1 { Does::Delivers } else { Does::Panics }));
    let delivery = world.deliver().await;
    delivery.add(spec("a", &old, batches_of(10))).await.unwrap();
    world.append(10).await;
    until("it fails", || old.calls().len() > 1).await;
    let status = delivery.add(spec("a", &new, batches_of(3))).await.unwrap();
    until("all is delivered", || status.waiting_events() == 0).await;
    let (last, first) = (old.calls().pop().unwrap(), new.calls().remove(0));
    assert_eq!((first.id, first.numbers), (last.id, last.numbers), "the plan under way wins over the new settings");
    assert_eq!((old.closed(), new.closed()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_same_exporter_with_another_policy_is_not_closed() {
    let world = World::new();
    let exporter = Arc::new(Scripted::good(true));
    let delivery = world.deliver().await;
    delivery.add(spec("a", &exporter, batches_of(10))).await.unwrap();
    let status = delivery.add(spec("a", &exporter, batches_of(3))).await.unwrap();
    world.append(9).await;
    until("all is delivered", || status.waiting_events() == 0).await;
    assert_eq!(exporter.calls().iter().map(|call| call.numbers.len()).collect::<Vec<_>>(), [3, 3, 3]);
    assert_eq!(exporter.closed(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_exporter_of_two_streams_is_closed_when_both_have_left_it() {
    let world = World::new();
    let other = flagpost_event::StreamName::new("default", flagpost_event::EventKind::Tracking);
    let both = |exporter: &Arc<Scripted>| {
        let feature = spec("a", exporter, batches_of(10));
        [feature.clone(), TaskSpec { stream: other.clone(), ..feature }]
    };
    let (old, new) = (Arc::new(Scripted::good(true)), Arc::new(Scripted::good(true)));
    let delivery = world.deliver().await;
    for spec in both(&old) {
        delivery.add(spec).await.unwrap();
    }
    let [feature, tracking] = both(&new);
    delivery.add(feature).await.unwrap();
    assert_eq!(old.closed(), 0);
    delivery.add(tracking).await.unwrap();
    assert_eq!((old.closed(), new.closed()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn one_that_cannot_be_noted_leaves_the_one_before_running() {
    let world = World::new().lazy();
    let (old, new) = (Arc::new(Scripted::good(true)), Arc::new(Scripted::good(true)));
    let delivery = world.deliver().await;
    let status = delivery.add(spec("a", &old, batches_of(10))).await.unwrap();
    delivery.retain(&[]).await.unwrap();
    world.ledger.refuse(true);
    assert!(delivery.add(spec("a", &new, batches_of(10))).await.is_err());
    assert!(delivery.add(spec("b", &new, batches_of(10))).await.is_err());
    world.ledger.refuse(false);
    assert_eq!(status.state().kind, StateKind::Orphaned);
    assert_eq!((new.calls().len(), delivery.statuses().len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn another_backlog_holds_at_once_and_the_worker_does_not_notice() {
    let world = World::new();
    let exporter = Arc::new(Scripted::new(true, |_, _| Does::Hangs));
    let delivery = world.deliver().await;
    let status = delivery.add(spec("a", &exporter, batches_of(10))).await.unwrap();
    delivery.retain(&keys(&["a"])).await.unwrap();
    world.append(1_000).await;
    until("it is asked", || exporter.calls().len() == 1).await;
    let half = status.waiting_bytes() / 2;
    assert!(delivery.set_backlog(&identity("a"), &stream(), half, WhenFull::Block));
    assert!(delivery.admission().check("default").is_err());
    assert!(delivery.set_backlog(&identity("a"), &stream(), half, WhenFull::DropOldest));
    assert!(delivery.admission().check("default").is_ok());
    until("the oldest are given up", || status.waiting_bytes() <= half).await;
    assert!(status.dropped()[&DropReason::Backlog] > 400);
    assert!(!delivery.set_backlog(&identity("b"), &stream(), half, WhenFull::Block));
    assert_conserved(&world, &[status]);
}

#[tokio::test(start_paused = true)]
async fn a_shorter_time_for_removed_exporters_holds_at_once() {
    let world = World::new();
    let exporter = Arc::new(Scripted::new(true, |_, _| retryable()));
    let delivery = world.deliver().await;
    delivery.add(spec("a", &exporter, batches_of(10))).await.unwrap();
    world.append(10).await;
    delivery.retain(&[]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.ledger.consumers().len(), 1);
    let since = Instant::now();
    delivery.set_bounds(1 << 30, Duration::ZERO);
    until("it is forgotten", || world.ledger.consumers().is_empty()).await;
    assert!(since.elapsed() < Duration::from_secs(5));
}

/// Replaces, removes and adds again, a hundred times, while events come: with exporters that fail, crash and deliver slowly in between.
async fn churn(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let world = World::new();
    let delivery = world.deliver().await;
    let beside = Arc::new(Scripted::good(false));
    let neighbour = delivery.add(spec("beside", &beside, Policy::default())).await.unwrap();
    let mut all: Vec<Arc<Scripted>> = Vec::new();
    let mut status: Option<Arc<TaskStatus>> = None;
    let mut sent = 0;
    for round in 0..100 {
        let before = neighbour.delivered();
        if random.random_bool(0.15) && status.is_some() {
            delivery.retain(&keys(&["beside"])).await.unwrap();
        } else {
            let (bulk, kind) = (random.random_bool(0.5), random.random_range(0..4));
            let exporter = Arc::new(Scripted::new(bulk, move |_, call| match kind {
                0 => Does::Delivers,
                1 if call % 3 != 2 => retryable(),
                2 if call % 3 != 2 => crashes(),
                _ => Does::DeliversAfter(Duration::from_millis(300)),
            }));
            let policy = batches_of(random.random_range(1..40));
            status = Some(add(&delivery, "a", &exporter, policy).await);
            delivery.retain(&keys(&["beside", "a"])).await.unwrap();
            all.push(exporter);
        }
        let count = random.random_range(1..60);
        world.append(count).await;
        sent += count;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..1500))).await;
        until(&format!("the other one goes on in round {round}"), || neighbour.delivered() > before).await;
    }
    let last = Arc::new(Scripted::good(true));
    let status = add(&delivery, "a", &last, batches_of(1_000)).await;
    all.push(last);
    until("all is delivered", || status.waiting_events() == 0 && neighbour.waiting_events() == 0).await;
    let delivered: Vec<u64> = all.iter().flat_map(|exporter| exporter.calls()).flat_map(|call| call.delivered).collect();
    assert!(delivered.is_sorted(), "in order over all generations");
    assert_eq!(delivered.len() as u64, sent, "each once");
    let all_events: BTreeSet<u64> = (1..=sent).collect();
    assert_eq!((delivered.into_iter().collect::<BTreeSet<_>>(), beside.once()), (all_events.clone(), all_events));
    assert!(all.iter().all(|exporter| exporter.most_at_once() <= 1));
    assert_eq!(all.iter().map(|exporter| exporter.closed()).sum::<usize>(), all.len() - 1);
    assert_conserved(&world, &delivery.statuses());
}

async fn add(delivery: &Delivery, name: &str, exporter: &Arc<Scripted>, policy: Policy) -> Arc<TaskStatus> {
    let exporter: Arc<dyn Exporter> = Arc::<Scripted>::clone(exporter);
    let spec = TaskSpec { identity: identity(name), kind: "scripted".to_owned(), stream: stream(), exporter, policy };
    delivery.add(spec).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_hundred_replacements_lose_nothing_invent_nothing_and_keep_the_order() {
    for seed in 0..8 {
        churn(seed).await;
    }
}
