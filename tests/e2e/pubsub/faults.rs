//! A service that ends, hangs, or cannot be reached.

use flagpost_tests::servers::{line_faults, pubsub};
use flagpost_tests::{Program, Setup, events, until};

use super::{exporter, make_topic, reader};

/// Waits until the exporter has met the fault.
async fn troubled(relay: &Program) -> String {
    let task = until("it is noticed", async || {
        let task = relay.exporter("out").await;
        (task["state"] == "retrying" || task["state"] == "misconfigured").then_some(task)
    })
    .await;
    task["lastError"]["message"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_killed_or_hangs_in_the_middle_loses_nothing() {
    let Some(pubsub) = pubsub::own().await else { return };
    let topic = pubsub.topic().await;
    let setup = Setup::new().with_exporters(&exporter("out", &topic, pubsub.address(), ""));
    let relay = Program::start(&setup).await;
    let post = async |from: u64| {
        for batch in events(from..from + 1_000).chunks(100) {
            relay.post(batch).await;
        }
    };
    let mut reader = reader(&pubsub, &topic);
    post(1).await;
    reader.complete(&relay, 1_000).await;
    pubsub.kill();
    post(1_001).await;
    let told = troubled(&relay).await;
    assert!(told.contains(pubsub.address()) && told.contains(&topic), "{told}");
    // It comes back without the topic: first the alarm, then everything.
    pubsub.restart().await;
    relay.in_state("out", "misconfigured").await;
    make_topic(&relay, &pubsub, &topic).await;
    reader.complete(&relay, 2_000).await;
    // It takes connections and answers nothing: only time-outs can tell.
    pubsub.pause();
    post(2_001).await;
    let told = troubled(&relay).await;
    pubsub.resume();
    assert!(told.contains("deadline") || told.contains("no answer within") || told.contains("DEADLINE_EXCEEDED"), "{told}");
    reader.complete(&relay, 3_000).await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_reset_stalls_or_is_cut_loses_nothing() {
    let Some(pubsub) = pubsub::own().await else { return };
    let Some((proxy, address)) = pubsub.proxy().await else { return };
    let topic = pubsub.topic().await;
    let setup = Setup::new().with_exporters(&exporter("out", &topic, &address, ""));
    let relay = Program::start(&setup).await;
    let mut reader = reader(&pubsub, &topic);
    relay.post(&events(1..101)).await;
    reader.complete(&relay, 100).await;
    let bear = async |last| reader.complete(&relay, last).await;
    proxy.torments(&relay, &line_faults(), async || drop(troubled(&relay).await), bear).await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_killed_loses_nothing() {
    let Some(pubsub) = pubsub::shared().await else { return };
    let topic = pubsub.topic().await;
    let setup = Setup::new().with_exporters(&exporter("out", &topic, pubsub.address(), ""));
    let mut next = 1;
    for _ in 0..4 {
        let relay = Program::start(&setup).await;
        for _ in 0..5 {
            relay.post(&events(next..next + 200)).await;
            next += 200;
        }
        relay.kill();
    }
    let relay = Program::start(&setup).await;
    let counts = relay.drained(&["out"]).await.counts("out");
    assert_eq!((counts.dead, counts.dropped), (0, 0));
    reader(&pubsub, &topic).has(next - 1).await;
    relay.stop().await;
}
