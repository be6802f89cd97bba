//! What a broker will not take: a topic that is not there, events that are too large, too much at once.

use flagpost_tests::servers::kafka::{self, Listener};
use flagpost_tests::servers::unique;
use flagpost_tests::{Program, Setup, event, events, until};

use super::{QUICK, exporter, plain, sorted, values};

/// An event of about that many bytes.
pub(super) fn large(number: u64, bytes: usize) -> String {
    event(number * 5).replace(r#""source":"SERVER""#, &format!(r#""source":"SERVER","metadata":{{"pad":"{}"}}"#, "x".repeat(bytes)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_made_later_gets_everything() {
    let Some(broker) = kafka::shared().await else { return };
    let topic = unique("later");
    let setup = Setup::new().with_exporters(&plain("out", &topic, &broker));
    let relay = Program::start(&setup).await;
    relay.post(&events(1..501)).await;
    let task = relay.in_state("out", "misconfigured").await;
    let told = task["lastError"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(told.contains(&topic) && told.contains("create the topic, or correct `kafka.topic`"), "{task}");
    assert_eq!(relay.metrics().await.counts("out").waiting, 500);
    assert!(!broker.admin("topics", &[]).await.contains(&topic), "nobody made it");
    broker.make_topic(&topic, 3, &[]).await;
    relay.post(&events(501..601)).await;
    let counts = relay.drained(&["out"]).await.counts("out");
    assert_eq!((counts.delivered, counts.dead, counts.dropped), (600, 0, 0));
    assert_eq!(values(&broker.read(&topic, 600).await), sorted(events(1..601)));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_events_that_are_too_large_only_these_are_dead() {
    let Some(broker) = kafka::shared().await else { return };
    // The client's limit, and the broker's (smaller than one request of the client); then both within transactions.
    let topics = [broker.topic(2, &[]).await, broker.topic(2, &["max.message.bytes=20000"]).await];
    let exact = [broker.topic(2, &[]).await, broker.topic(2, &["max.message.bytes=20000"]).await];
    let address = broker.address(Listener::Plain);
    let limited = "config: { producer: { maxMessageBytes: 20000 } }";
    let exporters = [
        exporter("here", &topics[0], &address, limited),
        exporter("there", &topics[1], &address, ""),
        exporter("exact-here", &exact[0], &address, &format!("transactional: true\n      {limited}")),
        exporter("exact-there", &exact[1], &address, "transactional: true"),
    ];
    let names = ["here", "there", "exact-here", "exact-there"];
    let setup = Setup::new().with_exporters(&exporters.concat());
    let relay = Program::start(&setup).await;
    let mut good = events(1..1_001);
    let mut all = good.clone();
    for (place, number, bytes) in [(100, 7_001, 30_000), (101, 7_002, 40_000), (500, 7_003, 25_000), (800, 7_004, 50_000)] {
        all.insert(place, large(number, bytes));
    }
    relay.post(&all).await;
    // What vouches for the destination when a batch was nothing but a large event.
    relay.post(&events(1_001..1_101)).await;
    good.extend(events(1_001..1_101));
    let metrics = relay.drained(&names).await;
    for (name, topic) in names.iter().zip(topics.iter().chain(&exact)) {
        let counts = metrics.counts(name);
        assert_eq!((counts.delivered, counts.dead, counts.dropped), (1_100, 4, 0), "{name}");
        assert_eq!(values(&broker.read(topic, 1_100).await), sorted(good.clone()), "{name}: each once");
    }
    let log = relay.log();
    for name in names {
        let told = log.lines().find(|line| line.contains("dead letters") && line.contains(name)).unwrap_or_else(|| panic!("{name}"));
        assert!(told.contains("Message size too large") && told.contains("bytes)"), "{told}");
    }
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_slows_down_and_loses_nothing() {
    let Some(broker) = kafka::local().await else { return };
    let (topic, client) = (broker.topic(1, &[]).await, unique("slow"));
    broker.admin("quota", &[&client, "producer_byte_rate=100000"]).await;
    let own = format!("config: {{ clientID: {client} }}\n      {QUICK}").replace("3000", "20000");
    let setup = Setup::new().with_exporters(&exporter("out", &topic, &broker.address(Listener::Plain), &own));
    let relay = Program::start(&setup).await;
    let all: Vec<String> = (1..301).map(|number| large(number, 1_000)).collect();
    for batch in all.chunks(50) {
        relay.post(batch).await;
    }
    // The broker takes it at once and then holds the client back: what comes next has to wait.
    until("it begins", async || (relay.metrics().await.counts("out").delivered > 0).then_some(())).await;
    let counts = relay.drained(&["out"]).await.counts("out");
    assert_eq!((counts.delivered, counts.dead, counts.dropped), (300, 0, 0));
    assert_eq!(values(&broker.read(&topic, 300).await), sorted(all));
    relay.stop().await;
    broker.admin("quota", &[&client, "producer_byte_rate="]).await;
}
