//! API keys as clients send them: in `X-API-Key` and as `Bearer`. All other tests here send the right one to a relay that asks for it.

use flagpost_tests::{Evaluation, Program, Setup, until};
use serde_json::Value;

use super::delivery::{seconds, without_time};
use super::kind::Kind;
use super::shop::{all_for, assert_evaluated, expected, flags};
use super::subject::Subject;
use super::{Between, FILES, KEY, KEYS};

/// The relay does not know the client's key, until its operator adds it.
async fn nobody_comes_in_without_the_key(kind: Kind) {
    let since = seconds();
    let Some(mut between) = Between::start_with(kind, "authorizedKeys: { evaluation: [another] }\n", FILES).await else { return };
    let (mut events, asked) = (Vec::new(), all_for("ann"));
    for _ in 0..2 {
        let results = between.client.evaluate(&asked).await;
        assert_evaluated(&asked, &results);
        events.extend(expected(kind, &asked, &results));
    }
    events.sort_by_key(Value::to_string);
    assert!(events.len() >= 6, "{events:?}");
    between.client.fails_to_deliver(0).await;
    let metrics = between.relay.metrics().await;
    assert!(metrics.sum("flagpost_collector_requests_total", &[("code", "401")]) >= 1.0);
    assert_eq!(metrics.counts("out").accepted, 0);
    between.relay.stop().await;

    let upstream = format!("upstream: {{ url: \"{}\" }}\n{KEYS}", between.evaluation.url());
    between.setup = between.setup.with_head(&upstream);
    between.relay = Program::start(&between.setup).await;
    until("the client has kept its events", async || (between.events("out").len() >= events.len()).then_some(())).await;
    between.client.close().await;
    between.relay.drained(&["out"]).await;
    assert_eq!(without_time(between.events("out"), since), events);
    between.relay.stop().await;
}

#[tokio::test]
async fn python_with_a_wrong_x_api_key_delivers_nothing_until_it_is_the_right_one() {
    nobody_comes_in_without_the_key(Kind::Python).await;
}

#[tokio::test]
async fn java_with_a_wrong_bearer_delivers_nothing_until_it_is_the_right_one() {
    nobody_comes_in_without_the_key(Kind::Java).await;
}

#[tokio::test]
async fn the_key_decides_whose_events_a_client_brings() {
    let since = seconds();
    let kinds = [(Kind::Python, "ours", KEY), (Kind::JavaScript, "theirs", "key-of-the-others")];
    if kinds.iter().any(|(kind, ..)| kind.installed().is_none()) {
        return;
    }
    let evaluation = Evaluation::start(flags()).await;
    let sets = kinds.map(|(_, set, key)| {
        format!(
            "  - name: {set}\n    apiKeys: [{key}]\n    exporters: [{{ kind: file, name: out-{set}, outputDir: {set}, flushInterval: 20 }}]\n"
        )
    });
    let setup = Setup::new().with_head(&format!("upstream: {{ url: \"{}\" }}\nflagSets:\n{}", evaluation.url(), sets.concat()));
    let relay = Program::start(&setup).await;
    let mut all = Vec::new();
    for (kind, set, key) in kinds {
        let mut client = Subject::start(kind, &setup, relay.url(""), key).await;
        let (mut events, asked) = (Vec::new(), all_for("ann"));
        for _ in 0..2 {
            let results = client.evaluate(&asked).await;
            assert_evaluated(&asked, &results);
            events.extend(expected(kind, &asked, &results));
        }
        events.sort_by_key(Value::to_string);
        client.close().await;
        all.push((set, events));
    }
    relay.drained(&["out-ours", "out-theirs"]).await;
    for (set, events) in all {
        assert!(events.len() >= 6, "{events:?}");
        assert_eq!(without_time(super::events_in(&setup, set), since), events, "{set}");
    }
    relay.stop().await;
}
