//! A sick exporter beside a good one.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flagpost_delivery::StateKind;
use tokio::time::Instant;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn nothing_waits_for_an_exporter_that_hangs_or_always_fails() {
    let world = World::new();
    let delivery = world.deliver().await;
    let good = Arc::new(Scripted::good(true));
    let hangs = Arc::new(Scripted::new(true, |_, _| Does::Hangs));
    let fails = Arc::new(Scripted::new(false, |_, _| retryable()));
    let panics = Arc::new(Scripted::new(true, |_, _| Does::Panics));
    let fine = delivery.add(spec("good", &good, batches_of(100))).await.unwrap();
    let hanging = delivery.add(spec("hangs", &hangs, batches_of(100))).await.unwrap();
    let failing = delivery.add(spec("fails", &fails, batches_of(100))).await.unwrap();
    let panicking = delivery.add(spec("panics", &panics, batches_of(100))).await.unwrap();
    let begin = Instant::now();
    for _ in 0..50 {
        world.append(100).await;
        until("the good exporter is done", || fine.waiting_events() == 0).await;
    }
    assert!(begin.elapsed() < Duration::from_secs(5), "no flush interval, pause or timeout of another was waited for");
    assert_eq!(good.once().len(), 5_000);
    until("an attempt that hangs is given up", || hangs.calls().len() > 1).await;
    until("the panic is told", || panicking.last_error().is_some_and(|error| error.text.contains("as the script says"))).await;
    until("it retries", || failing.state().kind == StateKind::Retrying && fails.calls().len() > 5).await;
    until("it is called sick", || panicking.state().kind == StateKind::Misconfigured).await;
    for status in [&hanging, &failing, &panicking] {
        assert_eq!((status.waiting_events(), status.delivered(), status.dead()), (5_000, 0, 0));
    }
    assert!(failing.retried() > 3 && failing.last_success().is_none() && fine.last_success().is_some());
    assert_conserved(&world, &delivery.statuses());
}

#[tokio::test(start_paused = true)]
async fn a_line_of_one_stream_is_never_given_to_an_exporter_of_another() {
    let world = World::new();
    let delivery = world.deliver().await;
    let names = ["default/feature", "default/tracking", "acme/feature"].map(|name| name.parse().unwrap());
    // What each exporter got, by what the lines themselves say.
    let seen: Vec<_> = names.iter().map(|_| Arc::new(Mutex::new(BTreeSet::new()))).collect();
    let watching = |seen: &Arc<Mutex<BTreeSet<String>>>| {
        let seen = Arc::clone(seen);
        Arc::new(Scripted::new(false, move |batch, _| {
            let streams =
                batch.lines().map(|line| serde_json::from_slice::<serde_json::Value>(line).unwrap()["stream"].as_str().unwrap().to_owned());
            seen.lock().unwrap().extend(streams);
            Does::Delivers
        }))
    };
    let exporters: Vec<_> = seen.iter().map(watching).collect();
    let mut statuses = Vec::new();
    for (name, exporter) in names.iter().zip(&exporters) {
        let mut task = spec("same", exporter, batches_of(10));
        task.stream = Clone::clone(name);
        task.identity.flag_set = name.flag_set.to_string();
        statuses.push(delivery.add(task).await.unwrap());
    }
    for round in 0..60 {
        world.append_to(&names[round * 7 % 3], 1 + round as u64 % 4).await;
        tokio::task::yield_now().await;
    }
    until("all are delivered", || statuses.iter().all(|status| status.waiting_events() == 0)).await;
    for ((exporter, status), seen) in exporters.iter().zip(&statuses).zip(&seen) {
        assert_eq!(*seen.lock().unwrap(), BTreeSet::from([status.stream().to_string()]));
        let prefix = match status.stream().to_string().as_str() {
            "default/feature" => "s1-default.feature-",
            "default/tracking" => "s1-default.tracking-",
            _ => "s1-acme.feature-",
        };
        assert!(exporter.calls().iter().all(|call| call.id.starts_with(prefix)));
        assert_eq!(exporter.once().len() as u64, status.accepted());
    }
}
