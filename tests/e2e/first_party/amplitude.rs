//! Amplitude's HTTP V2 API and its batch API as their documentation has them: <https://amplitude.com/docs/apis/analytics/http-v2>,
//! <https://amplitude.com/docs/apis/analytics/batch-event-upload>.

use std::collections::BTreeMap;

use flagpost_tests::{Answer, Program, Received, event, events};
use serde_json::{Value, json};

use super::recorded::{Fault, Said, Service, Shelf, analytics, arrives_once, dies_alone, is_cut, outlasts, relay, waits_for_the_right_key};

const KEY: &str = "right-api-key";
/// 1 MB per request, in the smaller reading of MB; 20 of them for the batch API.
const REQUEST: usize = 1_000_000;
const BATCH_REQUEST: usize = 20_000_000;
const EVENTS: usize = 2_000;
/// The shortest id, unless the request says otherwise.
const SHORTEST: u64 = 5;

fn rules(request: &Received, shelf: &mut Shelf) -> Said {
    if request.line == "POST /2/httpapi" { common_rules(request, shelf) } else { Said(404, Value::Null) }
}

fn batch_rules(request: &Received, shelf: &mut Shelf) -> Said {
    if request.line == "POST /batch" { common_rules(request, shelf) } else { Said(404, Value::Null) }
}

/// What both APIs say.
fn common_rules(request: &Received, shelf: &mut Shelf) -> Said {
    let bad = |error: &str| Said(400, json!({ "code": 400, "error": error }));
    if request.body.len() > shelf.largest {
        return Said(413, json!({ "code": 413, "error": "Payload too large" }));
    }
    let Ok(body) = serde_json::from_slice::<Value>(&request.body) else { return bad("Invalid JSON request body") };
    let Some(key) = body["api_key"].as_str() else {
        return Said(400, json!({ "code": 400, "error": "Request missing required field", "missing_field": "api_key" }));
    };
    if key != shelf.key {
        return bad(&format!("Invalid API key: {key}"));
    }
    let Some(all) = body["events"].as_array() else {
        return Said(400, json!({ "code": 400, "error": "Request missing required field", "missing_field": "events" }));
    };
    if all.len() > EVENTS {
        return Said(413, json!({ "code": 413, "error": "Payload too large" }));
    }
    let shortest = body["options"]["min_id_length"].as_u64().unwrap_or(SHORTEST) as usize;
    let (mut missing, mut invalid, mut short) = (BTreeMap::<_, Vec<_>>::new(), BTreeMap::<_, Vec<_>>::new(), BTreeMap::<_, Vec<_>>::new());
    for (at, event) in all.iter().enumerate() {
        let ids = ["user_id", "device_id"].map(|key| (key, event[key].as_str().unwrap_or_default()));
        if ids.iter().all(|(_, id)| id.is_empty()) {
            missing.entry("user_id").or_default().push(at);
        }
        for (key, _) in ids.iter().filter(|(_, id)| !id.is_empty() && id.len() < shortest) {
            short.entry(*key).or_default().push(at);
        }
        if event["event_type"].as_str().is_none_or(str::is_empty) {
            missing.entry("event_type").or_default().push(at);
        }
        if event["time"].as_i64().is_none_or(|time| time < 0) {
            invalid.entry("time").or_default().push(at);
        }
    }
    if !missing.is_empty() || !invalid.is_empty() || !short.is_empty() {
        // Nothing of such a request is taken.
        return Said(
            400,
            json!({ "code": 400, "error": "Invalid field values on some events", "events_with_missing_fields": missing,
                "events_with_invalid_fields": invalid, "events_with_invalid_id_lengths": short }),
        );
    }
    for event in all {
        shelf.take(event["insert_id"].as_str().unwrap(), event);
    }
    Said(
        200,
        json!({ "code": 200, "events_ingested": all.len(), "payload_size_bytes": request.body.len(), "server_upload_time": 1_700_000_000_000_u64 }),
    )
}

async fn start() -> Service {
    Service::start(KEY, REQUEST, rules).await
}

fn setup(service: &Service) -> flagpost_tests::Setup {
    relay(service, "amplitude", "/2/httpapi", "", ("AMPLITUDE_API_KEY", "reveal"), KEY)
}

/// What Amplitude should have of an event.
fn shown(event: &Value) -> Value {
    let user = if event["contextKind"] == "anonymousUser" { "device_id" } else { "user_id" };
    let (name, properties) = analytics(event);
    let time = event["creationDate"].as_i64().unwrap() * 1000;
    json!({ user: event["userKey"], "event_type": name, "time": time, "library": "flagpost/0.1.0", "event_properties": properties })
}

fn bare(mut event: Value) -> Value {
    event.as_object_mut().unwrap().remove("insert_id");
    event
}

#[tokio::test]
async fn each_event_arrives_once_though_answers_are_lost() {
    let service = start().await;
    arrives_once(&service, &setup(&service), shown, bare).await;
}

#[tokio::test]
async fn the_events_that_amplitude_names_are_dead_letters_and_the_others_go_at_once() {
    for (wrong, words) in [
        (event(1_000).replace("\"u-1000\"", "\"\""), "user_id is missing"),
        (event(1_000).replace("1700001000", "-1700001000"), "time is invalid"),
    ] {
        let service = start().await;
        dies_alone(&service, &setup(&service), &wrong, words).await;
        let refused = service.requests().iter().filter(|request| matches!(request.answer, Answer::Full(400, ..))).count();
        assert_eq!(refused, 1, "what is named is not searched for");
    }
}

#[tokio::test]
async fn the_batch_api_takes_each_event_once_and_names_what_it_refuses() {
    let start = async || Service::start(KEY, BATCH_REQUEST, batch_rules).await;
    let setup = |service: &Service| relay(service, "amplitude", "/batch", "", ("AMPLITUDE_API_KEY", "reveal"), KEY);
    let service = start().await;
    arrives_once(&service, &setup(&service), shown, bare).await;
    let service = start().await;
    dies_alone(&service, &setup(&service), &event(1_000).replace("\"u-1000\"", "\"\""), "user_id is missing").await;
    // Its limit is for each device and user, as the other API's.
    let service = start().await;
    let said = r#"{"code":429,"error":"Too many requests for some devices and users","eps_threshold":1000,"throttled_users":{"u-1":1200},"throttled_events":[0]}"#;
    outlasts(&service, &setup(&service), vec![Fault::Says(429, vec![("retry-after", "1".to_owned())], said), Fault::Lost]).await;
    assert!(service.requests().iter().all(|request| request.line == "POST /batch"));
}

#[tokio::test]
async fn a_rate_limit_and_an_outage_pass() {
    let service = start().await;
    let limited = Fault::Says(429, Vec::new(), r#"{"code":429,"error":"Too many requests for some devices and users","eps_threshold":30}"#);
    outlasts(&service, &setup(&service), vec![limited, Fault::Says(503, Vec::new(), ""), Fault::Lost]).await;
}

#[tokio::test]
async fn a_throttled_user_waits_and_the_others_do_not() {
    let service = start().await;
    let said = r#"{"code":429,"error":"Too many requests for some devices and users","throttled_users":{"u-1":31},"throttled_events":[0]}"#;
    // Amplitude asks for 30 seconds in its documentation; here the header says it, so that the test needs one.
    service.next([Fault::Says(429, vec![("retry-after", "1".to_owned())], said)]);
    let setup = setup(&service);
    let relay = Program::start(&setup).await;
    relay.post(&events(1..301)).await;
    relay.complete("out", 300).await;
    let requests: Vec<usize> = service
        .requests()
        .iter()
        .map(|request| serde_json::from_slice::<Value>(&request.body).unwrap()["events"].as_array().unwrap().len())
        .collect();
    assert_eq!((requests[0] - 1, requests[requests.len() - 1]), (requests[1], 1), "{requests:?}");
    assert_eq!(service.counts(), (300, 0));
    relay.stop().await;
}

#[tokio::test]
async fn what_is_too_large_is_cut() {
    let service = start().await;
    is_cut(&service, &setup(&service)).await;
}

#[tokio::test]
async fn a_wrong_key_is_an_alarm_and_events_wait_for_the_right_one() {
    let service = start().await;
    waits_for_the_right_key(&service, &setup(&service), "wrong-api-key", KEY, "Invalid API key").await;
}
