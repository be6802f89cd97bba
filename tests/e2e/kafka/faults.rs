//! Brokers that end, hang, or cannot be reached.

use flagpost_tests::servers::kafka::{self, Broker, Listener};
use flagpost_tests::servers::line_faults;
use flagpost_tests::{Program, Setup, events, until};

use super::{QUICK, distinct, exporter, sorted};

/// A plain exporter and a transactional one, each with a topic of its own.
async fn both(broker: &Broker, listener: Listener) -> (Setup, [String; 2]) {
    let topics = [broker.topic(3, &[]).await, broker.topic(3, &[]).await];
    let address = broker.address(listener);
    let exporters = exporter("out", &topics[0], &address, QUICK)
        + &exporter("exact", &topics[1], &address, &format!("transactional: true\n      {QUICK}"));
    (Setup::new().with_exporters(&exporters), topics)
}

/// Everything arrived: at least once plain, exactly once in transactions; nothing was condemned or given up.
async fn complete(relay: &Program, broker: &Broker, topics: &[String; 2], count: u64) {
    let metrics = relay.drained(&["out", "exact"]).await;
    for name in ["out", "exact"] {
        let counts = metrics.counts(name);
        assert_eq!((counts.delivered, counts.dead, counts.dropped), (count, 0, 0), "{name}");
    }
    let (expected, size) = (sorted(events(1..count + 1)), usize::try_from(count).unwrap());
    assert_eq!(distinct(&broker.read(&topics[0], size).await).0, expected, "out");
    assert_eq!(distinct(&broker.read(&topics[1], size).await), (expected, 0), "exact: each once");
}

/// Waits until both exporters have met the fault.
async fn troubled(relay: &Program) {
    for name in ["out", "exact"] {
        let task = until("it is noticed", async || {
            let task = relay.exporter(name).await;
            (task["state"] == "retrying").then_some(task)
        })
        .await;
        assert!(task["lastError"]["message"].as_str().is_some_and(|text| text.contains("127.0.0.1")), "{task}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_or_hangs_in_the_middle_loses_nothing() {
    let Some(broker) = kafka::own().await else { return };
    let (setup, topics) = both(&broker, Listener::Plain).await;
    let relay = Program::start(&setup).await;
    let post = async |from: u64| {
        for batch in events(from..from + 1_000).chunks(100) {
            relay.post(batch).await;
        }
    };
    post(1).await;
    broker.kill();
    post(1_001).await;
    troubled(&relay).await;
    broker.restart().await;
    complete(&relay, &broker, &topics, 2_000).await;
    // It takes connections and answers nothing: only time-outs can tell.
    broker.pause();
    post(2_001).await;
    troubled(&relay).await;
    broker.resume();
    complete(&relay, &broker, &topics, 3_000).await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_reset_stalls_or_is_cut_loses_nothing() {
    let Some(broker) = kafka::local().await else { return };
    let Some(proxy) = broker.proxy().await else { return };
    let (setup, topics) = both(&broker, Listener::Proxied).await;
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    complete(&relay, &broker, &topics, 100).await;
    let bear = async |last| complete(&relay, &broker, &topics, last).await;
    proxy.torments(&relay, &line_faults(), async || troubled(&relay).await, bear).await;
    relay.stop().await;
}
