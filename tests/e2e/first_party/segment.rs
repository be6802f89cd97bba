//! Segment's HTTP API as its documentation has it: <https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/>. The status of a wrong key, and of what is too large, is
//! RudderStack's, since Segment answers 200 to the first and 400 to the second.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flagpost_tests::{Received, event};
use serde_json::{Value, json};

use super::recorded::{Fault, Said, Service, Shelf, arrives_once, dies_alone, is_cut, outlasts, relay, waits_for_the_right_key};

const KEY: &str = "right-write-key";
/// 500 KB per request, in the smaller reading of KB.
const REQUEST: usize = 500_000;
/// 32 KB per event.
const EVENT: usize = 32 << 10;
const EVENTS: usize = 2_500;

fn rules(request: &Received, shelf: &mut Shelf) -> Said {
    let credentials = format!("Basic {}", STANDARD.encode(format!("{}:", shelf.key)));
    if request.line != "POST /v1/batch" {
        return Said(404, json!("not found"));
    }
    if request.headers.get("authorization").is_none_or(|found| found != credentials.as_str()) {
        return Said(401, json!("Invalid Write Key"));
    }
    if request.headers["content-type"] != "application/json" {
        return Said(400, json!({ "success": false, "message": "content-type must be application/json" }));
    }
    if request.body.len() > shelf.largest {
        return Said(413, json!("Request size exceeds max limit"));
    }
    let Ok(body) = serde_json::from_slice::<Value>(&request.body) else {
        return Said(400, json!({ "success": false, "message": "malformed JSON" }));
    };
    let Some(calls) = body["batch"].as_array() else { return Said(400, json!({ "success": false, "message": "no batch" })) };
    for call in calls.iter().take(EVENTS) {
        let known = ["userId", "anonymousId"].iter().any(|key| call[key].as_str().is_some_and(|id| !id.is_empty()));
        let named = call["type"] == "track" && call["event"].as_str().is_some_and(|name| !name.is_empty());
        // Segment says nothing and drops what it does not take.
        if known && named && call.to_string().len() <= EVENT {
            shelf.take(call["messageId"].as_str().unwrap(), call);
        }
    }
    Said(200, json!({ "success": true }))
}

async fn start() -> Service {
    Service::start(KEY, REQUEST, rules).await
}

fn setup(service: &Service) -> flagpost_tests::Setup {
    relay(service, "segment", "/v1/batch", "", ("SEGMENT_WRITE_KEY", "header"), KEY)
}

/// What Segment should have of an event.
fn shown(event: &Value) -> Value {
    let user = if event["contextKind"] == "anonymousUser" { "anonymousId" } else { "userId" };
    let (name, properties) = super::recorded::analytics(event);
    json!({ "type": "track", user: event["userKey"], "event": name, "timestamp": super::recorded::date(event), "properties": properties })
}

fn bare(mut call: Value) -> Value {
    call.as_object_mut().unwrap().remove("messageId");
    call
}

#[tokio::test]
async fn each_event_is_one_track_call_though_answers_are_lost() {
    let service = start().await;
    arrives_once(&service, &setup(&service), shown, bare).await;
}

#[tokio::test]
async fn an_event_of_nobody_and_one_that_is_too_large_are_dead_letters_and_not_dropped_in_silence() {
    for (wrong, words) in [
        (event(1_000).replace("\"u-1000\"", "\"\""), "no targeting key"),
        (event(1_000).replace("\"on\"", &format!("\"{}\"", "x".repeat(40_000))), "Segment takes at most 32768"),
    ] {
        let service = start().await;
        dies_alone(&service, &setup(&service), &wrong, words).await;
    }
}

#[tokio::test]
async fn a_rate_limit_and_an_outage_pass() {
    let service = start().await;
    let limited = || Fault::Says(429, vec![("retry-after", "1".to_owned())], "Max Requests Limit reached");
    outlasts(&service, &setup(&service), vec![limited(), Fault::Says(503, Vec::new(), ""), Fault::Lost]).await;
}

#[tokio::test]
async fn what_rudderstack_finds_too_large_is_cut() {
    let service = start().await;
    is_cut(&service, &setup(&service)).await;
}

#[tokio::test]
async fn a_wrong_write_key_is_an_alarm_and_events_wait_for_the_right_one() {
    let service = start().await;
    waits_for_the_right_key(&service, &setup(&service), "wrong-write-key", KEY, "Invalid Write Key").await;
}
