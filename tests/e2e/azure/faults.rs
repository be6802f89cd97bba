//! A service that ends, hangs, is busy, or cannot be reached. Whatever happens, each event is in one blob, once.

use flagpost_tests::servers::azurite::{self, ACCOUNT};
use flagpost_tests::servers::line_faults;
use flagpost_tests::{Faults, Program, Rule, Setup, events, until};
use http::Method;
use serde_json::json;

use super::exporter;
use crate::objects::{complete, sorted, troubled};

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_ends_or_hangs_in_the_middle_loses_nothing() {
    let Some(server) = azurite::own().await else { return };
    let container = server.container().await;
    let relay = Program::start(&Setup::new().with_exporters(&exporter("out", &container, &server.endpoint(), ""))).await;
    let post = async |from: u64| {
        for batch in events(from..from + 1_000).chunks(100) {
            relay.post(batch).await;
        }
    };
    post(1).await;
    server.stop().await;
    post(1_001).await;
    troubled(&relay, "out").await;
    server.restart().await;
    complete(&relay, "out", 2_000).await;
    // It takes connections and answers nothing: only time-outs can tell.
    server.pause();
    post(2_001).await;
    let said = troubled(&relay, "out").await;
    assert!(said.contains("no answer within 3 s"), "{said}");
    server.resume();
    complete(&relay, "out", 3_000).await;
    assert_eq!(container.lines().await, sorted(events(1..3_001)), "each once");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_busy_or_whose_answer_is_lost_is_asked_again() {
    let Some(server) = azurite::shared().await else { return };
    let container = server.container().await;
    let faults = Faults::before(server.url()).await;
    let yaml = exporter("out", &container, &faults.url(&format!("/{ACCOUNT}")), "");
    let relay = Program::start(&Setup::new().with_exporters(&yaml)).await;
    let put = || Rule::any().method(Method::PUT).path(&container.name);
    let said = |code: &str| {
        format!("\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>as a test wants it</Message></Error>")
    };
    let busy =
        |status, code| put().times(4).answer_with(status, &[("x-ms-error-code", code), ("content-type", "application/xml")], said(code));
    let rounds: [(Rule, &str, &str); 5] = [
        (busy(503, "ServerBusy"), "retrying", "ServerBusy"),
        (busy(500, "InternalError"), "retrying", "InternalError: as a test wants it"),
        (busy(401, "InvalidAuthenticationInfo"), "misconfigured", "expired"),
        (put().hang(), "retrying", "no answer within 3 s"),
        (put().times(2).reset_after(), "retrying", "the request failed"),
    ];
    let mut next = 1;
    for (rule, state, text) in rounds {
        faults.add(rule);
        relay.post(&events(next..next + 50)).await;
        next += 50;
        until(text, async || {
            let task = relay.exporter("out").await;
            let said = task["lastError"]["message"].as_str().unwrap_or_default().to_owned();
            (task["state"] == state && said.contains(text)).then_some(())
        })
        .await;
        complete(&relay, "out", next - 1).await;
        assert_eq!(faults.pending(), 0, "{text}");
    }
    assert_eq!(container.lines().await, sorted(events(1..next)), "each once");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_reset_stalls_or_is_cut_loses_nothing() {
    let Some(server) = azurite::own().await else { return };
    let Some((proxy, endpoint)) = server.proxy().await else { return };
    let container = server.container().await;
    let relay = Program::start(&Setup::new().with_exporters(&exporter("out", &container, &endpoint, ""))).await;
    relay.post(&events(1..101)).await;
    complete(&relay, "out", 100).await;
    let mut faults = line_faults();
    faults.push(("limit_data", "downstream", json!({ "bytes": 40 })));
    let bear = async |last| complete(&relay, "out", last).await;
    proxy.torments(&relay, &faults, async || drop(troubled(&relay, "out").await), bear).await;
    assert_eq!(container.lines().await, sorted(events(1..601)), "each once");
    relay.stop().await;
}
