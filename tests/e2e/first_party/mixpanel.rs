//! Mixpanel's import endpoint as its documentation has it: <https://docs.mixpanel.com/reference/import-events>.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flagpost_tests::{Received, event};
use serde_json::{Value, json};

use super::recorded::{Fault, Said, Service, Shelf, analytics, arrives_once, dies_alone, is_cut, outlasts, relay, waits_for_the_right_key};

const LOGIN: &str = "service.account:right-secret";
/// 2 MB per request.
const REQUEST: usize = 2 << 20;
const EVENTS: usize = 2_000;
/// Some of the names that Mixpanel takes for mistakes.
const MISTAKES: &[&str] = &["anon", "anonymous", "nil", "none", "null", "n/a", "undefined", "00000000-0000-0000-0000-000000000000"];

/// The field that is wrong with an event, and Mixpanel's words for it.
fn complaint(event: &Value) -> Option<(&'static str, &'static str)> {
    let properties = &event["properties"];
    let id = properties["$insert_id"].as_str().unwrap_or_default();
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-';
    match () {
        () if event["event"].as_str().is_none_or(str::is_empty) => Some(("event", "'event' is invalid: must not be missing or empty")),
        () if properties["time"].as_i64().is_none_or(|time| time < 31_536_000) => {
            Some(("properties.time", "'properties.time' is invalid: must be specified as seconds since epoch"))
        }
        () if properties["distinct_id"].as_str().is_none_or(|id| MISTAKES.contains(&id)) => {
            Some(("properties.distinct_id", "'properties.distinct_id' is invalid: value is not allowed"))
        }
        () if id.is_empty() || id.len() > 36 || !id.chars().all(good) => {
            Some(("properties.$insert_id", "'properties.$insert_id' is invalid"))
        }
        () => None,
    }
}

fn rules(request: &Received, shelf: &mut Shelf) -> Said {
    if request.line != "POST /import?strict=1&project_id=12345" {
        return Said(404, json!({ "code": 404, "error": request.line }));
    }
    let credentials = format!("Basic {}", STANDARD.encode(shelf.key));
    if request.headers.get("authorization").is_none_or(|found| found != credentials.as_str()) {
        return Said(401, json!({ "code": 401, "error": "Invalid credentials", "status": "Unauthorized" }));
    }
    if request.body.len() > shelf.largest {
        let error = format!("request exceeds max limit of {} bytes", shelf.largest);
        return Said(413, json!({ "code": 413, "error": error, "status": "Request Entity Too Large" }));
    }
    let Ok(all) = serde_json::from_slice::<Vec<Value>>(&request.body) else {
        return Said(400, json!({ "code": 400, "error": "request body is not valid JSON", "status": "Bad Request" }));
    };
    if all.len() > EVENTS {
        return Said(
            413,
            json!({ "code": 413, "error": "request exceeds max limit of 2000 events", "status": "Request Entity Too Large" }),
        );
    }
    let (mut failed, mut imported) = (Vec::new(), 0);
    for (index, event) in all.iter().enumerate() {
        let properties = &event["properties"];
        match complaint(event) {
            Some((field, message)) => {
                failed.push(json!({ "index": index, "insert_id": properties["$insert_id"], "field": field, "message": message }));
            }
            None => {
                imported += 1;
                let same = [&event["event"], &properties["distinct_id"], &properties["time"], &properties["$insert_id"]];
                shelf.take(&format!("{same:?}"), event);
            }
        }
    }
    if failed.is_empty() {
        return Said(200, json!({ "code": 200, "num_records_imported": imported, "status": "OK" }));
    }
    let error = "some data points in the request failed validation";
    Said(400, json!({ "code": 400, "error": error, "status": "Bad Request", "num_records_imported": imported, "failed_records": failed }))
}

async fn start() -> Service {
    Service::start(LOGIN, REQUEST, rules).await
}

fn setup(service: &Service) -> flagpost_tests::Setup {
    relay(service, "mixpanel", "/import", "projectId: 12345", ("MIXPANEL_LOGIN", "basic"), LOGIN)
}

/// What Mixpanel should have of an event.
fn shown(event: &Value) -> Value {
    let (name, mut properties) = analytics(event);
    let user = event["userKey"].as_str().unwrap();
    if event["contextKind"] == "anonymousUser" {
        properties["distinct_id"] = json!(format!("$device:{user}"));
        properties["$device_id"] = json!(user);
    } else {
        properties["distinct_id"] = json!(user);
        properties["$user_id"] = json!(user);
    }
    properties["time"] = event["creationDate"].clone();
    properties["mp_lib"] = json!("flagpost");
    json!({ "event": name, "properties": properties })
}

fn bare(mut event: Value) -> Value {
    event["properties"].as_object_mut().unwrap().remove("$insert_id");
    event
}

#[tokio::test]
async fn each_event_arrives_once_though_answers_are_lost() {
    let service = start().await;
    arrives_once(&service, &setup(&service), shown, bare).await;
}

#[tokio::test]
async fn the_events_that_mixpanel_names_are_dead_letters_and_nothing_is_sent_again() {
    for (wrong, words) in [
        (
            event(1_000).replace("\"u-1000\"", "\"null\"").replace("anonymousUser", "user"),
            "properties.distinct_id: 'properties.distinct_id' is invalid",
        ),
        (event(1_000).replace("1700001000", "1"), "properties.time: 'properties.time' is invalid"),
    ] {
        let service = start().await;
        dies_alone(&service, &setup(&service), &wrong, words).await;
        assert_eq!(service.shelf().again, 0);
    }
}

#[tokio::test]
async fn an_answer_that_does_not_add_up_is_asked_again() {
    let service = start().await;
    let says = r#"{"code":400,"num_records_imported":0,"failed_records":[{"index":0,"field":"event","message":"x"}]}"#;
    outlasts(&service, &setup(&service), vec![Fault::Says(400, Vec::new(), says)]).await;
}

#[tokio::test]
async fn a_rate_limit_and_an_outage_pass() {
    let service = start().await;
    let said = r#"{"code":429,"error":"Project exceeded rate limits. Please retry the request with exponential backoff.","status":"Too Many Requests"}"#;
    outlasts(&service, &setup(&service), vec![Fault::Says(429, Vec::new(), said), Fault::Says(503, Vec::new(), ""), Fault::Lost]).await;
}

#[tokio::test]
async fn what_is_too_large_is_cut() {
    let service = start().await;
    is_cut(&service, &setup(&service)).await;
}

#[tokio::test]
async fn a_wrong_login_is_an_alarm_and_events_wait_for_the_right_one() {
    let service = start().await;
    waits_for_the_right_key(&service, &setup(&service), "service.account:wrong-secret", LOGIN, "Invalid credentials").await;
}
