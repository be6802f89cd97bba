//! `plugins/datadog` against VictoriaLogs, which speaks Datadog's logs API, read back by LogsQL.

use std::fs;

use flagpost_tests::servers::unique;
use flagpost_tests::servers::victorialogs::{self, messages};
use flagpost_tests::{Faults, Program, Rule, Setup, event, events, sorted, tracking, until};

use super::{exporter, outlives_a_restart, setup};

fn keys(url: &str, service: &str, secret: &str) -> String {
    format!(
        "allowedHosts: [ \"POST {url}\" ]\nsecrets: {{ DD_API_KEY: {{ file: {secret}, hosts: [ \"{url}\" ] }} }}\n\
         config: {{ endpoint: \"{url}/insert/datadog\", service: \"{service}\", tags: \"env:test\", hostname: relay-1 }}\neventType: all"
    )
}

fn relay_to(url: &str, service: &str, secret: &str) -> Setup {
    let setup = setup("datadog", &keys(url, service, secret));
    fs::write(setup.path("right"), "the-key\n").unwrap();
    fs::write(setup.path("wrong"), "another-key\n").unwrap();
    setup
}

fn query(service: &str) -> String {
    format!("service:=\"{service}\"")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_of_both_kinds_is_one_log_with_its_json_as_the_message() {
    let Some(server) = victorialogs::shared().await else { return };
    let service = unique("each");
    let relay = Program::start(&relay_to(server.url(), &service, "right")).await;
    let (features, tracked): (Vec<_>, Vec<_>) = (events(1..301), (1..41).map(tracking).collect());
    relay.post(&features).await;
    relay.post(&tracked).await;
    relay.complete("out", 340).await;
    let found = server.at_least(&query(&service), 340).await;
    assert_eq!(messages(&found), sorted([features, tracked].concat()), "each once, byte for byte");
    let mut ids: Vec<&str> = found.iter().map(|log| log["event_id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 340, "each has an id of its own");
    let first = found.iter().find(|log| log["_msg"] == event(1)).unwrap();
    assert_eq!((&first["ddsource"], &first["env"], &first["hostname"]), (&"flagpost".into(), &"test".into(), &"relay-1".into()), "{first}");
    assert_eq!(first["_time"], "2023-11-14T22:13:21Z", "the event's time: {first}");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_keeps_events_until_it_is_right_and_no_log_has_it() {
    let Some(server) = victorialogs::shared().await else { return };
    let service = unique("key");
    let faults = Faults::before(server.url()).await;
    // VictoriaLogs asks for no key: what Datadog answers.
    let refusal = r#"{"errors":[{"status":"403","title":"Forbidden","detail":"API key is invalid"}]}"#;
    faults.add(Rule::any().when(|seen| seen.header("dd-api-key") != "the-key").always().answer(403, refusal));
    let mut setup = relay_to(&faults.url(""), &service, "wrong");
    let relay = Program::start(&setup).await;
    relay.post(&events(1..31)).await;
    relay.told("out", "misconfigured", "API key is invalid").await;
    let counts = relay.metrics().await.counts("out");
    assert_eq!((counts.waiting, counts.dead), (30, 0));
    setup.set_exporters(&exporter("datadog", &keys(&faults.url(""), &service, "right")));
    relay.reloaded(1, 0).await;
    relay.complete("out", 30).await;
    assert_eq!(messages(&server.at_least(&query(&service), 30).await), sorted(events(1..31)));
    let (log, told) = (relay.log(), relay.exporter("out").await.to_string());
    assert!(["the-key", "another-key"].iter().all(|key| !log.contains(key) && !told.contains(key)));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_at_most_a_thousand_logs_and_what_is_too_large_is_halved() {
    let Some(server) = victorialogs::shared().await else { return };
    let service = unique("size");
    let faults = Faults::before(server.url()).await;
    faults.add(Rule::any().when(|seen| seen.body.len() > 100_000).always().answer(413, "Payload too big"));
    faults.add(Rule::any().answer_with(429, &[("retry-after", "0")], ""));
    faults.add(Rule::any().answer(503, ""));
    let relay = Program::start(&relay_to(&faults.url(""), &service, "right")).await;
    relay.post(&events(1..1501)).await;
    relay.complete("out", 1500).await;
    assert_eq!(messages(&server.at_least(&query(&service), 1500).await), sorted(events(1..1501)), "each once");
    let sizes: Vec<usize> = faults.matching(&Rule::any()).iter().map(|seen| seen.json().as_array().unwrap().len()).collect();
    assert!(sizes.iter().all(|size| *size <= 1000), "{sizes:?}");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_away_and_comes_back_gets_everything() {
    let Some(server) = victorialogs::own(None).await else { return };
    outlives_a_restart(&server, &relay_to(server.url(), "gone", "right"), &query("gone")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_batch_whose_answer_was_lost_the_same_logs_come_again_under_the_same_ids() {
    let Some(server) = victorialogs::shared().await else { return };
    let service = unique("again");
    let faults = Faults::before(server.url()).await;
    faults.add(Rule::any().times(2).reset_after());
    let relay = Program::start(&relay_to(&faults.url(""), &service, "right")).await;
    relay.post(&events(1..21)).await;
    until("the fault was met", async || (faults.pending() == 0).then_some(())).await;
    relay.complete("out", 20).await;
    let mut found: Vec<(String, String)> = server
        .at_least(&query(&service), 20)
        .await
        .iter()
        .map(|log| (log["event_id"].as_str().unwrap().to_owned(), log["_msg"].as_str().unwrap().to_owned()))
        .collect();
    found.sort();
    // The API knows no ids; a reader does.
    found.dedup();
    assert_eq!(sorted(found.into_iter().map(|(_, message)| message).collect()), sorted(events(1..21)));
    relay.stop().await;
}
