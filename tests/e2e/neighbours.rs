//! A sick exporter beside a healthy one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flagpost_tests::{Answer, Program, Setup, Target, assert_lines, events, lines_in, until};

fn beside_a_file(target: &Target, more: &str) -> Setup {
    let exporters = format!(
        "  - {{ kind: file, name: out, outputDir: out, flushInterval: 20 }}\n  - {{ kind: webhook, name: sick, endpointUrl: \"{}\", flushInterval: 20, {more} }}",
        target.url("/")
    );
    Setup::new().with_exporters(&exporters)
}

/// Sends events while the other exporter is sick: every request is answered, and the file gets everything meanwhile.
async fn nothing_waits(setup: &Setup, target: &Target) -> Program {
    let relay = Program::start(setup).await;
    let all = events(1..5_001);
    for batch in all.chunks(100) {
        relay.post(batch).await;
    }
    let metrics = relay.drained(&["out"]).await;
    until("the sick exporter is tried", async || (target.requests() > 0).then_some(())).await;
    let sick = metrics.counts("sick");
    assert_eq!((sick.waiting, sick.delivered, sick.dead, sick.dropped), (5_000, 0, 0, 0));
    assert_lines(&lines_in(&setup.path("out")), &all);
    relay
}

#[tokio::test]
async fn nothing_waits_for_a_webhook_that_hangs() {
    let target = Target::start(|_| Answer::Hang).await;
    let setup = beside_a_file(&target, "").with_head("evaluation: none\nshutdownTimeout: 200ms\n");
    nothing_waits(&setup, &target).await.stop().await;
}

#[tokio::test]
async fn nothing_waits_for_a_webhook_that_always_fails_and_it_gets_all_once_it_is_well() {
    let well = Arc::new(AtomicBool::new(false));
    let seen = well.clone();
    let target = Target::start(move |_| if seen.load(Ordering::SeqCst) { Answer::Status(200) } else { Answer::Status(503) }).await;
    let setup = beside_a_file(&target, "maxEventInMemory: 1000, retry: { initial: 5ms, max: 50ms }");
    let relay = nothing_waits(&setup, &target).await;
    until("it is tried again", async || (target.requests() > 5).then_some(())).await;
    relay.in_state("sick", "retrying").await;
    well.store(true, Ordering::SeqCst);
    let metrics = relay.drained(&["sick"]).await;
    assert_eq!(target.taken(), (1..5_001).collect::<Vec<_>>());
    assert!(metrics.sum("flagpost_exporter_retried_total", &[("exporter", "sick")]) >= 5.0);
    relay.stop().await;
}

#[tokio::test]
async fn a_target_that_asks_for_time_gets_it() {
    let answered = Arc::new(AtomicBool::new(false));
    let target = Target::start(move |_| match answered.swap(true, Ordering::SeqCst) {
        false => Answer::With(429, vec![("retry-after", "1".to_owned())]),
        true => Answer::Status(200),
    })
    .await;
    let setup = beside_a_file(&target, "retry: { initial: 1ms, max: 1ms }");
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    until("the first attempt", async || (target.requests() == 1).then_some(())).await;
    // Without Retry-After the second attempt comes within a millisecond, and all is delivered long before a second has passed.
    let task = relay.in_state("sick", "retrying").await;
    assert!(task["lastError"]["message"].as_str().is_some_and(|text| text.contains("429")), "{task}");
    relay.drained(&["sick"]).await;
    assert_eq!(target.requests(), 2);
    assert_eq!(target.taken(), (1..101).collect::<Vec<_>>());
    relay.stop().await;
}

#[tokio::test]
async fn a_connection_that_is_cut_is_tried_again_with_the_same_events() {
    let cut = Arc::new(AtomicBool::new(false));
    let target = Target::start(move |_| if cut.swap(true, Ordering::SeqCst) { Answer::Status(200) } else { Answer::Cut }).await;
    let setup = beside_a_file(&target, "retry: { initial: 1ms, max: 5ms }");
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    relay.drained(&["sick"]).await;
    let received = target.received();
    assert_eq!(received[0].body, received[1].body, "the same batch, byte for byte");
    assert_eq!(target.taken(), (1..101).collect::<Vec<_>>());
    relay.stop().await;
}

#[tokio::test]
async fn a_full_budget_drops_the_oldest_and_counts_them() {
    let target = Target::start(|_| Answer::Status(503)).await;
    let setup = beside_a_file(&target, "maxBacklog: 256KiB, retry: { initial: 5ms, max: 20ms }");
    let relay = Program::start(&setup).await;
    for batch in events(1..5_001).chunks(500) {
        relay.post(batch).await;
    }
    let dropped = until("events are given up", async || {
        let counts = relay.metrics().await.counts("sick");
        (counts.dropped > 0).then_some(counts)
    })
    .await;
    assert_eq!((dropped.delivered, dropped.dead), (0, 0));
    let metrics = relay.drained(&["out"]).await;
    assert!(metrics.sum("flagpost_exporter_dropped_total", &[("exporter", "sick"), ("reason", "backlog")]) > 0.0);
    assert_eq!(lines_in(&setup.path("out")).len(), 5_000);
    relay.stop().await;
}

#[tokio::test]
async fn an_exporter_that_blocks_makes_the_door_say_429_and_nothing_is_lost() {
    let well = Arc::new(AtomicBool::new(false));
    let seen = well.clone();
    let target = Target::start(move |_| if seen.load(Ordering::SeqCst) { Answer::Status(200) } else { Answer::Status(503) }).await;
    let setup = beside_a_file(&target, "maxBacklog: 256KiB, whenFull: block, retry: { initial: 5ms, max: 20ms }");
    let relay = Program::start(&setup).await;
    let http = flagpost_tests::client();
    let mut taken = Vec::new();
    let mut next = 1;
    until("the door refuses", async || {
        let batch = events(next..next + 200);
        match relay.try_post(&http, &batch).await {
            Some(200) => {
                taken.extend(next..next + 200);
                next += 200;
                None
            }
            Some(429) => Some(()),
            other => panic!("{other:?}"),
        }
    })
    .await;
    well.store(true, Ordering::SeqCst);
    until("the door opens", async || {
        let batch = events(next..next + 10);
        (relay.try_post(&http, &batch).await == Some(200)).then(|| taken.extend(next..next + 10))
    })
    .await;
    let metrics = relay.drained(&["sick", "out"]).await;
    assert_eq!((target.taken(), metrics.counts("sick").dropped), (taken, 0));
    relay.stop().await;
}
