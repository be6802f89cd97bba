//! What a client evaluates comes out of `file`: exactly that, each once, with its value and metadata.

use std::time::{SystemTime, UNIX_EPOCH};

use flagpost_tests::until;
use serde_json::{Value, json};

use super::kind::Kind;
use super::shop::{all_for, assert_evaluated, expected, missing_for};
use super::{Between, KEY};

/// Takes the time off events, in seconds, after a look at it.
pub(super) fn without_time(mut events: Vec<Value>, since: u64) -> Vec<Value> {
    for event in &mut events {
        let time = event.as_object_mut().unwrap().remove("creationDate").and_then(|time| time.as_u64());
        // Some clients round to the nearest second.
        assert!(time.is_some_and(|time| (since..=seconds() + 1).contains(&time)), "{time:?}: {event}");
    }
    events.sort_by_key(Value::to_string);
    events
}

/// Now.
#[expect(clippy::disallowed_methods, reason = "clients look at the real clock")]
pub(super) fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

async fn everything_arrives(kind: Kind) {
    let since = seconds();
    let Some(mut between) = Between::start(kind).await else { return };
    let mut asked = Vec::new();
    // Again and again, for those that report only what they had kept (and one forgets it all when its WebSocket opens); with a change of
    // users between.
    for user in ["ann", "bob", "ann", "bob", "ann", "bob"] {
        asked.extend(all_for(user));
    }
    asked.push(missing_for("ann"));
    let results = between.client.evaluate(&asked).await;
    assert_evaluated(&asked, &results);
    let mut events = expected(kind, &asked, &results);
    let delivered = events.iter().filter(|event| event["variation"] != "SdkDefault").count();
    assert!(delivered >= 12, "{delivered} events of {} evaluations: {results:?}", asked.len());
    events.sort_by_key(Value::to_string);

    between.client.close().await;
    until("all events are in the file", async || (between.events("out").len() >= events.len()).then_some(())).await;
    let metrics = between.relay.drained(&["out", "tracked"]).await;
    assert_eq!(metrics.counts("out").accepted, events.len() as u64);
    assert_eq!(metrics.counts("tracked").accepted, 0);
    let found = without_time(between.events("out"), since);
    assert_eq!(found.len(), events.len(), "{found:#?}\nexpected {events:#?}");
    for (found, expected) in found.iter().zip(&events) {
        assert_eq!(found, expected);
    }
    let (line, key) = kind.evaluates_with();
    let requests = between.evaluation.asked_for(line);
    assert!(!requests.is_empty(), "it evaluated through the relay: {:?}", between.evaluation.asked());
    assert!(requests.iter().all(|asked| asked.key.as_ref() == Some(&key)), "{requests:?}");
    between.relay.stop().await;
}

#[tokio::test]
async fn what_python_evaluates_itself_arrives() {
    everything_arrives(Kind::Python).await;
}

#[tokio::test]
async fn what_python_0_5_kept_arrives() {
    everything_arrives(Kind::PythonOld).await;
}

#[tokio::test]
async fn what_javascript_kept_arrives() {
    everything_arrives(Kind::JavaScript).await;
}

#[tokio::test]
async fn what_javascript_0_5_kept_arrives() {
    everything_arrives(Kind::JavaScriptOld).await;
}

#[tokio::test]
async fn what_a_page_in_a_browser_evaluates_arrives() {
    everything_arrives(Kind::Web).await;
}

#[tokio::test]
async fn what_java_kept_arrives() {
    everything_arrives(Kind::Java).await;
}

#[tokio::test]
async fn what_a_page_tracks_arrives() {
    let since = seconds();
    let Some(mut between) = Between::start(Kind::Web).await else { return };
    assert!(between.client.kind.reports().tracking);
    let details = json!({ "value": 12.5, "currency": "EUR", "items": [{ "sku": "ü-1" }] });
    let attributes = json!({ "plan": "pro" });
    between.client.tell(&json!({ "do": "track", "event": "paid", "user": "ann", "attributes": attributes, "details": details })).await;
    between.client.close().await;
    until("the event is in the file", async || (!between.events("tracked").is_empty()).then_some(())).await;
    let expected = json!({
        "kind": "tracking",
        "contextKind": "user",
        "userKey": "ann",
        "key": "paid",
        "evaluationContext": { "plan": "pro", "targetingKey": "ann" },
        "trackingEventDetails": details,
    });
    assert_eq!(without_time(between.events("tracked"), since), [expected]);
    let metrics = between.relay.drained(&["out", "tracked"]).await;
    assert_eq!(metrics.counts("out").accepted, 0);
    let socket = between.evaluation.asked_for("GET /ws/v1/flag/change");
    assert_eq!(socket[0].key.as_deref(), Some(format!("?apiKey={KEY}").as_str()));
    between.relay.stop().await;
}
