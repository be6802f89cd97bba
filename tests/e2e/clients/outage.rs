//! Clients keep their events while the relay is away or refuses them, and deliver them afterwards: none is lost, none comes twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flagpost_tests::{Answer, Program, Target, until};
use serde_json::{Value, json};

use super::Between;
use super::delivery::{seconds, without_time};
use super::kind::Kind;
use super::shop::{Asked, Result, all_for, assert_evaluated, expected};

/// Evaluations whose events are awaited.
#[derive(Default)]
struct Told {
    events: Vec<Value>,
}

impl Told {
    fn add(&mut self, kind: Kind, asked: &[Asked], results: &[Result]) -> usize {
        assert_evaluated(asked, results);
        let events = expected(kind, asked, results);
        let count = events.len();
        self.events.extend(events);
        count
    }

    /// All of them are in the file, and nothing else.
    async fn arrived(&self, between: &Between, since: u64) {
        until("all events are in the file", async || (between.events("out").len() >= self.events.len()).then_some(())).await;
        between.relay.drained(&["out"]).await;
        let mut expected = self.events.clone();
        expected.sort_by_key(Value::to_string);
        assert_eq!(without_time(between.events("out"), since), expected);
    }
}

/// The relay is killed, comes back, ends in order, and comes back again, while a client evaluates.
async fn nothing_is_lost(kind: Kind) {
    let since = seconds();
    let Some(mut between) = Between::start(kind).await else { return };
    let (mut told, asked) = (Told::default(), all_for("ann"));
    // So that those that keep evaluations have some.
    for _ in 0..2 {
        let results = between.client.evaluate(&asked).await;
        told.add(kind, &asked, &results);
    }
    told.arrived(&between, since).await;
    for killed in [true, false] {
        let before = between.relay;
        if killed {
            before.kill();
        } else {
            before.stop().await;
        }
        let deliveries = between.client.log().matches(kind.reports().failure).count();
        let results = between.client.evaluate(&asked).await;
        assert!(told.add(kind, &asked, &results) >= 6, "it evaluates without the relay: {results:?}");
        between.client.fails_to_deliver(deliveries).await;
        between.relay = Program::start(&between.setup).await;
        told.arrived(&between, since).await;
    }
    between.client.close().await;
    told.arrived(&between, since).await;
    between.relay.stop().await;
}

#[tokio::test]
async fn python_keeps_its_events_while_the_relay_is_away() {
    nothing_is_lost(Kind::Python).await;
}

#[tokio::test]
async fn javascript_keeps_its_events_while_the_relay_is_away() {
    nothing_is_lost(Kind::JavaScript).await;
}

#[tokio::test]
async fn a_page_keeps_its_events_while_the_relay_is_away() {
    nothing_is_lost(Kind::Web).await;
}

#[tokio::test]
async fn java_keeps_its_events_while_the_relay_is_away() {
    nothing_is_lost(Kind::Java).await;
}

#[tokio::test]
async fn what_python_evaluates_while_the_relay_is_killed_again_and_again_arrives() {
    let Some(mut between) = Between::start(Kind::Python).await else { return };
    let mut users = Vec::new();
    for round in 0..4 {
        // Deliveries are under way all the time: each kill meets some.
        for number in 0..40 {
            let user = format!("{round}-{number}");
            let results = between.client.evaluate(&all_for(&user)).await;
            assert_evaluated(&all_for(&user), &results);
            users.push(user);
        }
        between.relay.kill();
        between.relay = Program::start(&between.setup).await;
    }
    between.client.close().await;
    // A delivery whose answer the kill cut off comes twice, and counts once.
    until("every evaluation is in the file", async || (keys(&between).len() == users.len() * 6).then_some(())).await;
    between.relay.drained(&["out"]).await;
    let mut expected: Vec<(String, String)> = Vec::new();
    for user in &users {
        let reported = all_for(user).into_iter().filter(|asked| asked.flag != "unreported");
        expected.extend(reported.map(|asked| (user.clone(), asked.flag.to_owned())));
    }
    expected.sort();
    assert_eq!(keys(&between), expected);
    between.relay.stop().await;
}

/// Who evaluated what, each once.
fn keys(between: &Between) -> Vec<(String, String)> {
    let text = |event: &Value, name: &str| event[name].as_str().unwrap().to_owned();
    let mut keys: Vec<_> = between.events("out").iter().map(|event| (text(event, "userKey"), text(event, "key"))).collect();
    keys.sort();
    keys.dedup();
    keys
}

/// A relay that answers 429 as long as its webhook is away.
async fn refused_events_come_later(kind: Kind) {
    let since = seconds();
    let well = Arc::new(AtomicBool::new(false));
    let seen = well.clone();
    let target = Target::start(move |_| if seen.load(Ordering::SeqCst) { Answer::Status(200) } else { Answer::Status(503) }).await;
    let exporters = format!(
        "  - {{ kind: file, name: out, outputDir: out, flushInterval: 20 }}\n  \
         - {{ kind: webhook, name: sick, endpointUrl: \"{}\", flushInterval: 20, retry: {{ initial: 5ms, max: 50ms }}, maxBacklog: 4KiB, whenFull: block }}",
        target.url("/")
    );
    let Some(mut between) = Between::start_with(kind, "", &exporters).await else { return };
    let (mut told, asked) = (Told::default(), all_for("ann"));
    let mut refused = 0.0;
    while refused == 0.0 {
        let results = between.client.evaluate(&asked).await;
        told.add(kind, &asked, &results);
        refused = between.relay.metrics().await.sum("flagpost_collector_requests_total", &[("code", "429")]);
    }
    between.client.fails_to_deliver(0).await;
    well.store(true, Ordering::SeqCst);
    told.arrived(&between, since).await;
    between.client.close().await;
    let metrics = between.relay.drained(&["out", "sick"]).await;
    assert_eq!(metrics.counts("sick").delivered, told.events.len() as u64);
    between.relay.stop().await;
}

#[tokio::test]
async fn python_brings_refused_events_again() {
    refused_events_come_later(Kind::Python).await;
}

#[tokio::test]
async fn javascript_brings_refused_events_again() {
    refused_events_come_later(Kind::JavaScript).await;
}

#[tokio::test]
async fn java_brings_refused_events_again() {
    refused_events_come_later(Kind::Java).await;
}

#[tokio::test]
async fn a_page_brings_refused_events_again() {
    refused_events_come_later(Kind::Web).await;
}

#[tokio::test]
async fn a_client_whose_delivery_is_too_large_goes_on_evaluating() {
    let Some(mut between) = Between::start_with(Kind::Python, "collector: { maxBody: 1KiB }\n", super::FILES).await else { return };
    let asked = all_for("ann");
    let mut refused = 0.0;
    while refused == 0.0 {
        assert_evaluated(&asked, &between.client.evaluate(&asked).await);
        refused = between.relay.metrics().await.sum("flagpost_collector_requests_total", &[("code", "413")]);
    }
    assert_evaluated(&asked, &between.client.evaluate(&asked).await);
    assert_eq!(json!(between.events("out")), json!([]), "refused before anything was taken");
    between.relay.stop().await;
}
