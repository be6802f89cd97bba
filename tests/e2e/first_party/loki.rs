//! `plugins/loki` against VictoriaLogs, which speaks Loki's push API, with its own user and password, read back by LogsQL. That equal entries are taken once
//! is Loki's promise and not VictoriaLogs': here it is tested that a retry sends exactly the same.

use std::fs;

use flagpost_tests::servers::unique;
use flagpost_tests::servers::victorialogs::{self, messages};
use flagpost_tests::{Faults, Program, Rule, Setup, event, events, sorted, tracking, until};
use serde_json::Value;

use super::{exporter, outlives_a_restart, setup};

const LOGIN: (&str, &str) = ("anna", "right");

fn keys(url: &str, job: &str, password: &str) -> String {
    format!(
        "allowedHosts: [ \"POST {url}\" ]\nsecrets: {{ LOGIN: {{ file: {password}, hosts: [ \"{url}\" ], as: basic }} }}\n\
         config: {{ endpoint: \"{url}/insert\", labels: {{ job: \"{job}\" }}, tenant: \"0:0\" }}\neventType: all"
    )
}

fn relay_to(url: &str, job: &str, password: &str) -> Setup {
    let setup = setup("loki", &keys(url, job, password));
    fs::write(setup.path("right"), "anna:right\n").unwrap();
    fs::write(setup.path("wrong"), "anna:wrong\n").unwrap();
    setup
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_of_both_kinds_is_one_line_and_a_wrong_password_only_delays_it() {
    let Some(server) = victorialogs::own(Some(LOGIN)).await else { return };
    let mut setup = relay_to(server.url(), "each", "wrong");
    let relay = Program::start(&setup).await;
    // Two that are equal in everything, and of one second.
    let features = [events(1..301), vec![event(7), event(7)]].concat();
    let tracked: Vec<_> = (1..41).map(tracking).collect();
    relay.post(&features).await;
    relay.post(&tracked).await;
    relay.told("out", "misconfigured", "HTTP 401").await;
    setup.set_exporters(&exporter("loki", &keys(server.url(), "each", "right")));
    relay.reloaded(1, 0).await;
    relay.complete("out", 342).await;
    for (kind, expected) in [("feature", features), ("tracking", tracked)] {
        let found = server.at_least(&format!("{{job=\"each\",kind=\"{kind}\"}}"), expected.len()).await;
        assert_eq!(messages(&found), sorted(expected), "each once, byte for byte");
    }
    let found = server.query("{job=\"each\"} \"u-1\"").await;
    let first = found.iter().find(|log| log["_msg"] == event(1)).unwrap();
    assert!(first["_time"].as_str().unwrap().starts_with("2023-11-14T22:13:21"), "the event's second: {first}");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_sends_exactly_the_same_and_entries_of_one_second_differ() {
    let Some(server) = victorialogs::shared().await else { return };
    let job = unique("again");
    let faults = Faults::before(server.url()).await;
    faults.add(Rule::any().answer(429, "Ingestion rate limit exceeded"));
    faults.add(Rule::any().reset_after());
    let relay = Program::start(&relay_to(&faults.url(""), &job, "right")).await;
    relay.post(&[event(7), event(7), event(7)]).await;
    until("the faults were met", async || (faults.pending() == 0).then_some(())).await;
    relay.complete("out", 3).await;
    let sent: Vec<_> = faults.matching(&Rule::any()).into_iter().map(|seen| seen.body).collect();
    assert!(sent.len() >= 3 && sent.iter().all(|body| *body == sent[0]), "{sent:?}");
    let pushed: Value = serde_json::from_slice(&sent[0]).unwrap();
    let times: Vec<&str> = pushed["streams"][0]["values"].as_array().unwrap().iter().map(|entry| entry[0].as_str().unwrap()).collect();
    assert_eq!(times, ["1700000007000000000", "1700000007000000001", "1700000007000000002"]);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_line_that_is_refused_is_found_and_dies_alone() {
    let Some(server) = victorialogs::shared().await else { return };
    let job = unique("refused");
    let faults = Faults::before(server.url()).await;
    let refusal = "entry for stream '{job=\"flagpost\"}' has timestamp too old: 2023-11-14T22:13:33Z";
    faults.add(Rule::any().body("\\\"u-13\\\"").always().answer(400, refusal));
    let relay = Program::start(&relay_to(&faults.url(""), &job, "right")).await;
    relay.post(&events(1..41)).await;
    let counts = relay.drained(&["out"]).await.counts("out");
    assert_eq!((counts.delivered, counts.dead, counts.dropped), (39, 1, 0));
    assert!(crate::aws::death(&relay).contains("timestamp too old"));
    let mut expected = events(1..41);
    expected.remove(12);
    assert_eq!(messages(&server.at_least(&format!("{{job=\"{job}\"}}"), 39).await), sorted(expected));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_away_and_comes_back_gets_everything() {
    let Some(server) = victorialogs::own(Some(LOGIN)).await else { return };
    outlives_a_restart(&server, &relay_to(server.url(), "gone", "right"), "{job=\"gone\"}").await;
}
