//! Exporters that come, go, change places and names.

use std::sync::Arc;
use std::time::Duration;

use flagpost_delivery::{Delivery, Policy, StateKind, TaskStatus};
use flagpost_event::StreamName;
use flagpost_spool::{DropReason, Identity};

use crate::support::*;

fn keys(names: &[&str]) -> Vec<(Identity, StreamName)> {
    names.iter().map(|name| (identity(name), stream())).collect()
}

async fn start(world: &World, exporters: &[(&str, &Arc<Scripted>)]) -> (Delivery, Vec<Arc<TaskStatus>>) {
    let delivery = world.deliver().await;
    let mut statuses = Vec::new();
    for (name, exporter) in exporters {
        statuses.push(delivery.add(spec(name, exporter, Policy::default())).await.unwrap());
    }
    let names: Vec<_> = exporters.iter().map(|(name, _)| *name).collect();
    delivery.retain(&keys(&names)).await.unwrap();
    (delivery, statuses)
}

fn status_of(delivery: &Delivery, name: &str) -> Arc<TaskStatus> {
    delivery.statuses().into_iter().find(|status| status.identity().exporter == name).unwrap()
}

#[tokio::test(start_paused = true)]
async fn exporters_reordered_removed_added_again_and_renamed_neither_lose_nor_repeat_events() {
    let world = World::new();
    let (a, b, c) = (Arc::new(Scripted::good(false)), Arc::new(Scripted::good(false)), Arc::new(Scripted::good(false)));
    let all = |statuses: &[Arc<TaskStatus>]| statuses.iter().all(|status| status.waiting_events() == 0);

    let (delivery, statuses) = start(&world, &[("a", &a), ("b", &b)]).await;
    world.append(100).await;
    until("both are done", || all(&statuses)).await;
    delivery.shutdown(Duration::from_secs(5)).await;

    // Reordered, and one new: it starts at the head.
    let (delivery, statuses) = start(&world, &[("c", &c), ("b", &b), ("a", &a)]).await;
    world.append(100).await;
    until("all are done", || all(&statuses)).await;
    assert_eq!(c.once(), (101..=200).collect());
    delivery.shutdown(Duration::from_secs(5)).await;

    // One removed: its events are kept.
    let (delivery, statuses) = start(&world, &[("a", &a), ("c", &c)]).await;
    world.append(100).await;
    until("the others are done", || all(&statuses)).await;
    tokio::time::sleep(Duration::from_secs(23 * 3600)).await;
    let orphan = status_of(&delivery, "b");
    assert_eq!((orphan.state().kind, orphan.waiting_events()), (StateKind::Orphaned, 100));
    delivery.shutdown(Duration::from_secs(5)).await;

    // It comes back, and another is renamed: that is a new one for us, and the old name is an orphan.
    let (delivery, statuses) = start(&world, &[("b", &b), ("renamed", &c), ("a", &a)]).await;
    world.append(100).await;
    until("all are done", || all(&statuses)).await;
    assert_eq!(a.once(), (1..=400).collect());
    assert_eq!(b.once(), (1..=400).collect());
    assert_eq!(c.once(), (101..=400).collect());
    assert_eq!(status_of(&delivery, "c").state().kind, StateKind::Orphaned);
    assert_conserved(&world, &delivery.statuses());
}

#[tokio::test(start_paused = true)]
async fn an_orphans_events_are_dropped_and_trimmed_when_its_time_is_up() {
    let world = World::new();
    let (a, b) = (Arc::new(Scripted::good(false)), Arc::new(Scripted::new(false, |_, _| retryable())));
    let (delivery, statuses) = start(&world, &[("a", &a), ("b", &b)]).await;
    world.append(500).await;
    until("a is done", || statuses[0].waiting_events() == 0).await;
    delivery.retain(&keys(&["a"])).await.unwrap();
    assert_eq!(b.closed(), 1);
    let held = world.log.pressure().held_bytes;
    tokio::time::sleep(Duration::from_secs(23 * 3600)).await;
    assert_eq!((world.log.pressure().held_bytes, delivery.statuses().len()), (held, 2));
    let orphan = status_of(&delivery, "b");
    until("it is forgotten", || world.ledger.consumers().len() == 1).await;
    until("its events are gone", || world.log.pressure().held_bytes < held).await;
    // What became of its events stays readable, and later events are not its own.
    world.append(7).await;
    until("a is done again", || statuses[0].waiting_events() == 0).await;
    let shown = status_of(&delivery, "b");
    assert!(Arc::ptr_eq(&shown, &orphan) && shown.state().kind == StateKind::Removed);
    assert_eq!(shown.dropped().into_iter().collect::<Vec<_>>(), [(DropReason::Removed, 500)]);
    assert_eq!((shown.accepted(), shown.waiting_events(), shown.delivered(), shown.waiting_bytes()), (500, 0, 0, 0));
    assert_eq!(shown.oldest_age(), Duration::ZERO);
    let (_, statuses) = (delivery.shutdown(Duration::from_secs(1)).await, ());
    let () = statuses;
    let (delivery, statuses) = start(&world, &[("b", &b)]).await;
    assert_eq!(statuses[0].accepted(), 0, "seen for the first time again");
    assert_eq!(delivery.statuses().iter().filter(|status| status.identity().exporter == "b").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_exporter_that_is_removed_and_added_again_while_running_goes_on_with_its_batch() {
    let world = World::new();
    let exporter = Arc::new(Scripted::new(true, |_, _| retryable()));
    let delivery = world.deliver().await;
    delivery.add(spec("a", &exporter, batches_of(10))).await.unwrap();
    world.append(25).await;
    until("it fails", || exporter.calls().len() > 2).await;
    delivery.retain(&[]).await.unwrap();
    let calls = exporter.calls().len();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(exporter.calls().len(), calls, "nothing is sent while it is gone");
    exporter.rescript(|_, _| Does::Delivers);
    let status = delivery.add(spec("a", &exporter, batches_of(3))).await.unwrap();
    until("all is delivered", || status.waiting_events() == 0).await;
    let next = &exporter.calls()[calls];
    assert_eq!((next.id.as_str(), next.attempt as usize), ("s1-default.feature-1-10", calls + 1));
    assert_eq!(exporter.once().len(), 25);
    assert_conserved(&world, &[status]);
}

#[tokio::test(start_paused = true)]
async fn an_exporter_is_replaced_at_an_attempt_boundary_and_the_old_one_is_closed() {
    let world = World::new();
    let old = Arc::new(Scripted::new(false, |_, _| Does::DeliversAfter(Duration::from_secs(3))));
    let new = Arc::new(Scripted::good(false));
    let delivery = world.deliver().await;
    delivery.add(spec("a", &old, Policy::default())).await.unwrap();
    world.append(10).await;
    until("an attempt runs", || !old.calls().is_empty()).await;
    world.append(10).await;
    let status = delivery.add(spec("a", &new, Policy::default())).await.unwrap();
    until("all is delivered", || status.waiting_events() == 0).await;
    assert_eq!((old.once(), new.once()), ((1..=10).collect(), (11..=20).collect()));
    assert_eq!((old.closed(), new.closed(), delivery.statuses().len()), (1, 0, 1));
    assert_conserved(&world, &[status]);
}
