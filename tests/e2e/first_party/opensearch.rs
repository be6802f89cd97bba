//! `plugins/opensearch` against a real node, read back by its REST API.

use std::collections::BTreeSet;
use std::fs;

use flagpost_tests::servers::{opensearch, unique};
use flagpost_tests::{Faults, Program, Rule, Setup, event, events, tracking, until};
use http::Method;
use serde_json::{Value, json};

use super::{setup, sorted, values};
use crate::aws::death;

fn relay_to(url: &str, index: &str, keys: &str) -> Setup {
    let grants = format!("allowedHosts: [ \"POST {url}\" ]\nconfig: {{ endpoint: \"{url}\", index: \"{index}\" }}\n{keys}");
    setup("opensearch", &grants)
}

/// What an event is as a document.
fn documents<S: AsRef<str>>(events: &[S]) -> Vec<Value> {
    let document = |mut event: Value| {
        let seconds = event["creationDate"].as_i64().unwrap() - 1_699_920_000;
        // All events of the tests are of the first days after 2023-11-14T00:00:00Z.
        let day = 14 + seconds / 86_400;
        event["@timestamp"] = format!("2023-11-{day:02}T{:02}:{:02}:{:02}Z", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60).into();
        if event["kind"] == "feature" {
            let value = event["value"].as_str().map_or_else(|| event["value"].to_string(), str::to_owned);
            event["value"] = value.into();
        }
        event
    };
    sorted(values(events).into_iter().map(document).collect())
}

fn sources(found: &[(String, Value)]) -> Vec<Value> {
    sorted(found.iter().map(|(_, source)| source.clone()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_of_both_kinds_is_one_document_with_an_id_of_its_own() {
    let Some(server) = opensearch::shared().await else { return };
    let name = unique("each");
    let relay = Program::start(&relay_to(server.url(), &format!("{name}-{{kind}}"), "eventType: all")).await;
    let (features, tracked): (Vec<_>, Vec<_>) = (events(1..301), (1..41).map(tracking).collect());
    relay.post(&features).await;
    relay.post(&tracked).await;
    relay.complete("out", 340).await;
    for (kind, expected) in [("feature", &features), ("tracking", &tracked)] {
        let found = server.documents(&format!("{name}-{kind}")).await;
        assert_eq!(sources(&found), documents(expected));
        assert!(found.iter().all(|(id, _)| id.contains(&format!("-default.{kind}-"))), "{:?}", found[0].0);
    }
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_stream_takes_events_and_a_day_can_stand_in_the_indexs_name() {
    let Some(server) = opensearch::shared().await else { return };
    let name = unique("stream");
    let template = json!({ "index_patterns": [format!("{name}*")], "data_stream": {}, "priority": 500 });
    server.ask(Method::PUT, &format!("/_index_template/{name}"), Some(template)).await;
    let relay = Program::start(&relay_to(server.url(), &name, "")).await;
    relay.post(&events(1..51)).await;
    relay.complete("out", 50).await;
    assert_eq!(sources(&server.documents(&name).await), documents(&events(1..51)));
    relay.stop().await;

    let name = unique("days");
    let relay = Program::start(&relay_to(server.url(), &format!("{name}-{{date}}"), "")).await;
    relay.post(&events(1..51)).await;
    relay.complete("out", 50).await;
    assert_eq!(server.documents(&format!("{name}-2023.11.14")).await.len(), 50);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_event_that_the_mapping_refuses_is_the_only_one_that_dies() {
    let Some(server) = opensearch::shared().await else { return };
    let name = unique("refused");
    let mapping = json!({ "mappings": { "properties": { "version": { "type": "long" } } } });
    server.ask(Method::PUT, &format!("/{name}"), Some(mapping)).await;
    let relay = Program::start(&relay_to(server.url(), &name, "")).await;
    let mut sent = events(1..61);
    sent[29] = event(30).replace(r#""version":"1""#, r#""version":"poison""#);
    relay.post(&sent).await;
    let counts = relay.drained(&["out"]).await.counts("out");
    assert_eq!((counts.delivered, counts.dead, counts.dropped), (59, 1, 0));
    let told = death(&relay);
    assert!(told.contains("mapper_parsing_exception") && told.contains("failed to parse field [version]"), "{told}");
    sent.remove(29);
    assert_eq!(sources(&server.documents(&name).await), documents(&sent));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_lost_leave_nothing_twice_and_what_is_refused_for_now_comes_again() {
    let Some(server) = opensearch::shared().await else { return };
    let name = unique("lost");
    let faults = Faults::before(server.url()).await;
    let relay = Program::start(&relay_to(&faults.url(""), &name, "")).await;
    // The server gets it; the relay never learns.
    let part = |mut answer: Value| {
        let items = answer["items"].as_array_mut().unwrap();
        let kept = items.len() - 1;
        items.truncate(kept);
        answer
    };
    let faulty = [
        Rule::any().times(2).reset_after(),
        Rule::any().times(2).cut(),
        Rule::any().rewrite(part),
        Rule::any().answer_with(429, &[("retry-after", "0")], "busy"),
        Rule::any().answer(503, "no master"),
    ];
    let mut next = 1;
    for rule in faulty {
        faults.add(rule);
        relay.post(&events(next..next + 40)).await;
        next += 40;
        until("the fault was met", async || (faults.pending() == 0).then_some(())).await;
        relay.complete("out", next - 1).await;
    }
    let found = server.documents(&name).await;
    assert_eq!(sources(&found), documents(&events(1..next)), "each once");
    let retried: BTreeSet<_> = found.iter().map(|(id, _)| id).collect();
    assert_eq!(retried.len(), found.len());
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_keep_events_until_they_are_right() {
    let Some(server) = opensearch::shared().await else { return };
    let name = unique("login");
    let faults = Faults::before(server.url()).await;
    // The node is without the security plugin: what that answers.
    let good = "Basic YW5uYTpyaWdodA==";
    let refusal = r#"{"error":{"type":"security_exception","reason":"unable to authenticate"},"status":401}"#;
    faults.add(Rule::any().when(move |seen| seen.header("authorization") != good).always().answer(401, refusal));
    let login = |file: &str| format!("secrets: {{ LOGIN: {{ file: {file}, hosts: [ \"{}\" ], as: basic }} }}", faults.url(""));
    let mut setup = relay_to(&faults.url(""), &name, &login("wrong"));
    fs::write(setup.path("wrong"), "anna:wrong\n").unwrap();
    fs::write(setup.path("right"), "anna:right\n").unwrap();
    let relay = Program::start(&setup).await;
    relay.post(&events(1..31)).await;
    relay.told("out", "misconfigured", "are the credentials right?").await;
    let counts = relay.metrics().await.counts("out");
    assert_eq!((counts.waiting, counts.dead), (30, 0));
    let keys =
        format!("allowedHosts: [ \"POST {0}\" ]\nconfig: {{ endpoint: \"{0}\", index: \"{name}\" }}\n{1}", faults.url(""), login("right"));
    setup.set_exporters(&super::exporter("opensearch", &keys));
    relay.reloaded(1, 0).await;
    relay.complete("out", 30).await;
    assert_eq!(sources(&server.documents(&name).await), documents(&events(1..31)));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_and_comes_back_gets_everything_once() {
    let Some(server) = opensearch::own().await else { return };
    let relay = Program::start(&relay_to(server.url(), "killed", "")).await;
    relay.post(&events(1..101)).await;
    relay.complete("out", 100).await;
    server.kill();
    relay.post(&events(101..201)).await;
    relay.told("out", "retrying", "").await;
    server.restart().await;
    relay.post(&events(201..221)).await;
    relay.complete("out", 220).await;
    assert_eq!(sources(&server.documents("killed").await), documents(&events(1..221)));
    relay.stop().await;
}
