//! PostHog's batch endpoint as its documentation (<https://posthog.com/docs/api/capture>) and its source (`rust/capture/src/api.rs`) have it.

use flagpost_tests::{Program, Received, event, events};
use serde_json::{Value, json};

use super::recorded::{
    Fault, Said, Service, Shelf, analytics, arrives_once, date, dies_alone, is_cut, outlasts, relay, waits_for_the_right_key,
};

const KEY: &str = "phc_right";
/// 20 MB per request.
const REQUEST: usize = 20_000_000;

fn rules(request: &Received, shelf: &mut Shelf) -> Said {
    let text = |status, text: &str| Said(status, json!(text));
    if request.line != "POST /batch/" {
        return text(404, "not found");
    }
    if request.body.len() > shelf.largest {
        return text(413, "Request Entity Too Large");
    }
    let Ok(body) = serde_json::from_slice::<Value>(&request.body) else { return text(400, "failed to parse request") };
    match body["api_key"].as_str() {
        None => return text(401, "event submitted without an api_key"),
        // A personal key is told from a project's by its beginning.
        Some(key) if key.starts_with("phx_") => return text(401, "API key is not valid: personal_api_key"),
        Some(_) => {}
    }
    let Some(batch) = body["batch"].as_array().filter(|batch| !batch.is_empty()) else { return text(400, "request holds no event") };
    // One event that it does not take, and it takes none of them, and does not say which.
    for event in batch {
        let complaint = match (event["event"].as_str(), event["distinct_id"].as_str()) {
            (None | Some(""), _) => "event submitted with an empty event name",
            (_, None) => "event submitted without a distinct_id",
            (_, Some("")) => "event submitted with an empty distinct_id",
            _ if event.to_string().len() > shelf.largest_event => "maximum event size exceeded",
            _ => continue,
        };
        return text(400, complaint);
    }
    // The answer is 200 whoever the key is of; only the project's events are to be found.
    if body["api_key"] == shelf.key {
        for event in batch {
            let same = ["uuid", "event", "timestamp", "distinct_id"].map(|key| event[key].as_str().unwrap()).join(" ");
            shelf.take(&same, event);
        }
    }
    Said(200, json!({ "status": 1 }))
}

async fn start() -> Service {
    Service::start(KEY, REQUEST, rules).await
}

fn setup(service: &Service) -> flagpost_tests::Setup {
    relay(service, "posthog", "/batch/", "", ("POSTHOG_API_KEY", "reveal"), KEY)
}

/// What PostHog should have of an event.
fn shown(event: &Value) -> Value {
    let (mut name, mut properties) = analytics(event);
    if event["kind"] == "feature" {
        name = "$feature_flag_called".to_owned();
        let response = if event["value"].is_boolean() { &event["value"] } else { &event["variation"] };
        properties["$feature_flag"] = event["key"].clone();
        properties["$feature_flag_response"] = response.clone();
        properties[format!("$feature/{}", event["key"].as_str().unwrap())] = response.clone();
    }
    properties["$lib"] = json!("flagpost");
    properties["$lib_version"] = json!("0.1.0");
    properties["$geoip_disable"] = json!(true);
    if event["contextKind"] == "anonymousUser" {
        properties["$process_person_profile"] = json!(false);
    }
    json!({ "event": name, "distinct_id": event["userKey"], "timestamp": date(event), "properties": properties })
}

fn bare(mut event: Value) -> Value {
    let uuid = event.as_object_mut().unwrap().remove("uuid").unwrap();
    // 8-4-4-4-12 digits, of version 5.
    let parts: Vec<_> = uuid.as_str().unwrap().split('-').map(str::len).collect();
    assert_eq!((parts, uuid.as_str().unwrap().as_bytes()[14]), (vec![8, 4, 4, 4, 12], b'5'), "{uuid}");
    event
}

#[tokio::test]
async fn each_event_arrives_once_though_answers_are_lost() {
    let service = start().await;
    arrives_once(&service, &setup(&service), shown, bare).await;
}

#[tokio::test]
async fn an_event_that_posthog_refuses_without_a_name_is_found_and_dies_alone() {
    let service = start().await;
    service.shelf().largest_event = 5_000;
    let wrong = event(1_000).replace("\"on\"", &format!("\"{}\"", "x".repeat(6_000)));
    dies_alone(&service, &setup(&service), &wrong, "maximum event size exceeded").await;
}

#[tokio::test]
async fn an_event_of_nobody_is_a_dead_letter_without_a_search() {
    let service = start().await;
    dies_alone(&service, &setup(&service), &event(1_000).replace("\"u-1000\"", "\"\""), "no targeting key").await;
    let refused = service.requests().iter().filter(|request| matches!(request.answer, flagpost_tests::Answer::Full(400, ..))).count();
    assert_eq!(refused, 0, "it was never sent");
}

#[tokio::test]
async fn a_rate_limit_and_an_outage_pass() {
    let service = start().await;
    let says = |status, text| Fault::Says(status, Vec::new(), text);
    outlasts(&service, &setup(&service), vec![says(429, "rate limited"), says(503, "transient error, please retry"), Fault::Lost]).await;
}

#[tokio::test]
async fn beyond_the_billing_limit_events_wait_although_the_answer_is_200() {
    let service = start().await;
    service.next((0..3).map(|_| Fault::Says(200, Vec::new(), r#"{"status":1,"quota_limited":["events"]}"#)));
    let setup = setup(&service);
    let relay = Program::start(&setup).await;
    relay.post(&events(1..301)).await;
    relay.told("out", "misconfigured", "billing limit").await;
    // The limit is raised, and the next probe finds it.
    relay.complete("out", 300).await;
    assert_eq!(service.shelf().taken.len(), 300);
    relay.stop().await;
}

#[tokio::test]
async fn what_is_too_large_is_cut() {
    let service = start().await;
    is_cut(&service, &setup(&service)).await;
}

#[tokio::test]
async fn a_key_of_the_wrong_kind_is_an_alarm_and_events_wait_for_the_right_one() {
    let service = start().await;
    waits_for_the_right_key(&service, &setup(&service), "phx_personal", KEY, "personal_api_key").await;
}
