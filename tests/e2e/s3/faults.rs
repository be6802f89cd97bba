//! A store that ends, hangs, is busy, or cannot be reached. Whatever happens, each event is in one object, once.

use flagpost_tests::servers::bucket::Bucket;
use flagpost_tests::servers::{line_faults, seaweedfs};
use flagpost_tests::{Faults, Program, Rule, events, until};
use http::Method;
use serde_json::json;

use super::{exporter, setup};
use crate::objects::{complete, sorted, troubled};

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_killed_or_hangs_in_the_middle_loses_nothing() {
    let Some(server) = seaweedfs::own().await else { return };
    let bucket = Bucket::make(server.access()).await;
    let relay = Program::start(&setup(server.access(), &exporter("out", &bucket, &server.access().endpoint, ", path: p"))).await;
    let post = async |from: u64| {
        for batch in events(from..from + 1_000).chunks(100) {
            relay.post(batch).await;
        }
    };
    post(1).await;
    server.kill();
    post(1_001).await;
    troubled(&relay, "out").await;
    server.restart().await;
    complete(&relay, "out", 2_000).await;
    // It takes connections and answers nothing: only time-outs can tell.
    server.pause();
    post(2_001).await;
    troubled(&relay, "out").await;
    server.resume();
    complete(&relay, "out", 3_000).await;
    assert_eq!(bucket.lines().await, sorted(events(1..3_001)), "each once");
    relay.stop().await;
}

fn said(code: &str) -> String {
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>as a test wants it</Message></Error>")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_busy_or_silent_is_asked_again() {
    let Some(server) = seaweedfs::shared().await else { return };
    let bucket = Bucket::make(server.access()).await;
    let faults = Faults::before(&server.access().endpoint).await;
    let relay = Program::start(&setup(server.access(), &exporter("out", &bucket, &faults.url(""), ", path: p"))).await;
    let put = || Rule::any().method(Method::PUT).path(&bucket.name);
    let rounds: [(Rule, &str, &str); 5] = [
        (put().times(6).answer(503, said("SlowDown")), "retrying", "SlowDown"),
        (put().times(6).answer(500, said("InternalError")), "retrying", "InternalError"),
        (put().times(2).answer(400, said("ExpiredToken")), "misconfigured", "have expired"),
        (put().times(2).answer(409, said("ConditionalRequestConflict")), "retrying", "ConditionalRequestConflict"),
        (put().hang(), "retrying", "timeout"),
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
    assert_eq!(bucket.lines().await, sorted(events(1..next)), "each once");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_makes_no_second_object() {
    let Some(server) = seaweedfs::shared().await else { return };
    let bucket = Bucket::make(server.access()).await;
    let faults = Faults::before(&server.access().endpoint).await;
    let relay = Program::start(&setup(server.access(), &exporter("out", &bucket, &faults.url(""), ", path: p"))).await;
    let put = || Rule::any().method(Method::PUT).path(&bucket.name);
    for (round, rule) in (0..).zip([put().reset_after(), put().times(2).reset_after()]) {
        faults.add(rule);
        relay.post(&events(round * 50 + 1..round * 50 + 51)).await;
        complete(&relay, "out", round * 50 + 50).await;
        assert_eq!(faults.pending(), 0);
        assert_eq!(bucket.lines().await, sorted(events(1..round * 50 + 51)), "each once");
    }
    assert_eq!(bucket.keys().await.len(), 2);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_reset_stalls_or_is_cut_loses_nothing() {
    let Some(server) = seaweedfs::own().await else { return };
    let Some((proxy, access)) = server.proxy().await else { return };
    let bucket = Bucket::make(server.access()).await;
    let relay = Program::start(&setup(server.access(), &exporter("out", &bucket, &access.endpoint, ", path: p"))).await;
    relay.post(&events(1..101)).await;
    complete(&relay, "out", 100).await;
    let mut faults = line_faults();
    faults.push(("limit_data", "downstream", json!({ "bytes": 40 })));
    let bear = async |last| complete(&relay, "out", last).await;
    proxy.torments(&relay, &faults, async || drop(troubled(&relay, "out").await), bear).await;
    assert_eq!(bucket.lines().await, sorted(events(1..601)), "each once");
    relay.stop().await;
}
