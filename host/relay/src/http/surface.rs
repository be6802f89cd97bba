//! Tests of what every answer carries, of keys at the routes, of the two sides, and of the description against the routes.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use bytes::Bytes;
use flagpost_event::{EventKind, StreamName, SystemClock};
use flagpost_exporter::Secret;
use flagpost_spool::{EventLog, MemoryLog, Read, ReadLimit};
use http_body_util::{Empty, Full};
use serde_json::Value;

use super::tests::{COLLECTOR, FEATURE, JSON, door, door_of, door_with, post, send, send_to};
use super::*;
use crate::config::{AuthorizedKeys, FlagSet};

const EXPORTED: &str = "/v1/data/exported";

fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::default()).unwrap()
}

/// Keys of everyone: an evaluation key, an admin's, and two flag sets.
fn guarded() -> (Door, Arc<MemoryLog>) {
    let log = Arc::new(MemoryLog::new(1 << 20, Arc::new(SystemClock)));
    let secrets = |key: &str| vec![Secret::new(key)];
    let keys = AuthorizedKeys { evaluation: secrets("eval"), admin: secrets("root") };
    let set = |name: &str, key: &str| FlagSet { name: name.to_owned(), api_keys: secrets(key) };
    let sets = [set("acme", "acme-1"), set("globex", "globex-1")];
    (door_of(log.clone(), &keys, &sets, None, |_| {}), log)
}

async fn lines(log: &MemoryLog, flag_set: &str) -> Vec<u8> {
    let stream = log.stream(&StreamName::new(flag_set, EventKind::Feature));
    match log.read(stream, 1, ReadLimit { events: 1000, bytes: 1 << 20 }).await.unwrap() {
        Read::Events(run) => run.lines.iter().flat_map(|lines| lines.to_vec()).collect(),
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn every_answer_carries_what_upstreams_do() {
    let (door, _log) = door();
    let cases = [
        request("GET", "/health", &[]),
        request("GET", "/nothing", &[]),
        request("POST", "/health", &[]),
        request("POST", "/v1/allflags", &[]),
        post(COLLECTOR, &[JSON], r#"{"events":[]}"#),
        post(COLLECTOR, &[JSON], "broken"),
    ];
    for plain in cases {
        let (path, method) = (plain.uri().clone(), plain.method().clone());
        let (_, headers, _) = send(&door, plain).await;
        assert_eq!(headers["vary"], "Origin", "{method} {path}");
        assert_eq!(headers["x-gofeatureflag-version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(headers["x-request-id"].len(), 32);
        assert_eq!(headers["content-type"], "application/json");
        assert!(!headers.contains_key("access-control-allow-origin"));
        let origin = ("origin", "https://a.example");
        let (_, headers, _) = send(&door, request(method.as_str(), path.path(), &[origin, ("x-request-id", "abc-1")])).await;
        assert_eq!((&headers["access-control-allow-origin"], &headers["x-request-id"]), (&"*".parse().unwrap(), &"abc-1".parse().unwrap()));
    }
}

#[tokio::test]
async fn the_version_is_not_told_when_it_should_not_be() {
    let (mut door, _log) = door();
    door.visits = Arc::new(Visits::new(Arc::default(), false, 1));
    let (_, headers, _) = send(&door, request("GET", "/health", &[])).await;
    assert!(!headers.contains_key("x-gofeatureflag-version"));
}

#[tokio::test]
async fn a_browser_may_ask_before_it_sends() {
    let (door, _log) = guarded();
    let asked =
        [("origin", "https://a.example"), ("access-control-request-method", "POST"), ("access-control-request-headers", "x-api-key")];
    for path in [COLLECTOR, "/health", "/v1/allflags", "/nothing"] {
        let (status, headers, body) = send(&door, request("OPTIONS", path, &asked)).await;
        assert_eq!((status, body.as_str()), (204, ""), "{path}: no key is asked for");
        assert_eq!(headers["access-control-allow-origin"], "*");
        assert_eq!(headers["access-control-allow-methods"], "GET,HEAD,PUT,PATCH,POST,DELETE");
        assert_eq!(headers["access-control-allow-headers"], "x-api-key");
        let vary: Vec<_> = headers.get_all("vary").iter().collect();
        assert_eq!(vary, ["Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"]);
    }
    let (status, headers, _) = send(&door, request("OPTIONS", COLLECTOR, &[])).await;
    assert_eq!((status, &headers["allow"]), (204, &"OPTIONS, POST".parse().unwrap()));
    assert!(!headers.contains_key("access-control-allow-methods"), "nobody asks");
}

#[tokio::test]
async fn a_wrong_method_is_404_in_a_group_after_the_key_and_405_outside() {
    let (door, _log) = guarded();
    for path in [COLLECTOR, EXPORTED] {
        let (status, ..) = send(&door, request("GET", path, &[])).await;
        assert_eq!(status, 401, "{path}");
        let (status, _, text) = send(&door, request("GET", path, &[("x-api-key", "eval")])).await;
        assert_eq!((status, text.as_str()), (404, "{\"message\":\"Not Found\"}\n"), "{path}");
    }
    let (status, headers, text) = send(&door, request("DELETE", "/metrics", &[])).await;
    assert_eq!((status, text.as_str()), (405, "{\"message\":\"Method Not Allowed\"}\n"));
    assert_eq!(headers["allow"], "OPTIONS, GET, HEAD");
}

#[tokio::test]
async fn keys_say_who_comes_in_and_whose_the_events_are() {
    let body = format!(r#"{{"events":[{FEATURE}]}}"#);
    let unknown = "error while getting flagset: flagset not found for API key";
    type Headers = &'static [(&'static str, &'static str)];
    let cases: [(Headers, u16, &str); 8] = [
        (&[], 401, "missing key in request header"),
        (&[("authorization", "Token x")], 401, "invalid key in the request header"),
        (&[("authorization", "Bearer x")], 401, "invalid key"),
        (&[("x-api-key", "x")], 401, "code=401, message=Unauthorized"),
        (&[("x-api-key", "eval")], 400, unknown),
        (&[("authorization", "Bearer root")], 400, unknown),
        (&[("x-api-key", "acme-1")], 200, ""),
        (&[("authorization", "Bearer globex-1")], 200, ""),
    ];
    for path in [COLLECTOR, EXPORTED] {
        let (door, log) = guarded();
        for (headers, status, message) in cases {
            let (found, _, text) = send(&door, post(path, &[headers, &[JSON]].concat(), body.clone())).await;
            assert_eq!(found, status, "{headers:?}: {text}");
            if status != 200 {
                assert_eq!(text, format!("{{\"message\":\"{message}\"}}\n"), "{headers:?}");
            }
        }
        let (one, two) = (lines(&log, "acme").await, lines(&log, "globex").await);
        assert_eq!((one.len(), one == two), (one.len().max(1), true), "each got its one event");
        let (_, _, metrics) = send(&door, request("GET", "/metrics", &[])).await;
        for line in [
            "flagpost_collector_requests_total{flag_set=\"acme\",code=\"200\"} 1",
            "flagpost_collector_requests_total{flag_set=\"\",code=\"401\"} 4",
            "flagpost_collector_requests_total{flag_set=\"\",code=\"400\"} 2",
        ] {
            assert!(metrics.contains(line), "{line} in\n{metrics}");
        }
        // As upstream: what is no request is refused for that, whoever sends it.
        let (status, _, text) = send(&door, post(path, &[JSON, ("x-api-key", "eval")], "{}")).await;
        assert_eq!((status, text.as_str()), (400, "{\"message\":\"collectEvalData: invalid input data\"}\n"));
    }
}

#[tokio::test]
async fn a_group_asks_for_its_own_kind_of_key_before_it_says_what_is_missing() {
    let (door, _log) = guarded();
    let cases = [
        ("/v1/allflags", "x-api-key", "acme-1", 501),
        ("/v1/allflags", "x-api-key", "nobody", 401),
        ("/ofrep/v1/evaluate/flags/x", "authorization", "Bearer eval", 501),
        ("/openfeature/v0/manifest", "x-none", "x", 401),
        ("/admin/v1/retriever/refresh", "x-api-key", "acme-1", 401),
        ("/admin/v1/retriever/refresh", "x-api-key", "root", 501),
        ("/admin/v1/flagpost/plugins", "x-api-key", "eval", 401),
        ("/admin/v1/flagpost/plugins", "x-api-key", "root", 200),
        ("/admin/v1/flagpost/dead-letters", "x-api-key", "eval", 401),
        ("/admin/v1/flagpost/dead-letters", "x-none", "x", 401),
        ("/admin/v1/flagpost/dead-letters?exporter=a", "x-api-key", "root", 200),
        ("/admin/v1/flagpost/dead-letters?exporterr=a", "x-api-key", "root", 400),
        ("/admin/v1/flagpost/dead-letters/events?after=x", "x-api-key", "root", 400),
        ("/admin/v1/flagpost/dead-letters/replay", "x-api-key", "root", 404),
        ("/admin/v1/flagpost/dead-lettersx", "x-api-key", "root", 404),
        ("/admin/v1/flagpost/nothing", "x-api-key", "root", 404),
        ("/stream/v1/sse/flag/change", "x-api-key", "acme-1", 401),
        ("/stream/v1/sse/flag/change?apiKey=acme-1", "x-none", "x", 501),
        ("/ws/v1/flag/change?apiKey=nobody", "x-none", "x", 401),
        ("/swagger/index.html", "x-none", "x", 501),
        ("/nothing", "x-none", "x", 404),
        ("/info", "x-none", "x", 200),
    ];
    for (path, header, value, status) in cases {
        let (found, _, text) = send(&door, request("GET", path, &[(header, value)])).await;
        assert_eq!(found, status, "{path} {header} {value}: {text}");
    }
}

/// Upstream's own recorded body and signature; see `signature`.
const RECORDED: &str = include_str!("../../tests/webhook-body.json");
const SIGNATURE: &str = "sha256=f1f9766836d4e513035986c035ee9f091b895709be47a802b5840467007e1ec0";

#[tokio::test]
async fn what_upstreams_webhook_sends_is_stored_byte_for_byte() {
    let (door, log) = door_with(1 << 20, None, |limits| limits.webhook_secret = Some(Secret::new("secret")));
    let signed = [JSON, ("x-hub-signature-256", SIGNATURE)];
    let (status, _, text) = send(&door, post(EXPORTED, &signed, RECORDED)).await;
    assert_eq!((status, text.as_str()), (200, "{\"ingestedContentCount\":2}\n"));
    let (_, events) = RECORDED.split_once("\"events\":[").unwrap();
    let expected = events.trim_end_matches("]}").replace("},{", "}\n{") + "\n";
    assert_eq!(String::from_utf8(lines(&log, "default").await).unwrap(), expected);
    for (headers, body, why) in [
        (&[JSON][..], RECORDED, "missing X-Hub-Signature-256"),
        (&[JSON, ("x-hub-signature-256", "sha256=00")], RECORDED, "invalid X-Hub-Signature-256"),
        (&signed, &RECORDED.replace("YO2", "YO3"), "wrong X-Hub-Signature-256"),
        (&[JSON], "", "missing X-Hub-Signature-256"),
    ] {
        let (status, _, text) = send(&door, post(EXPORTED, headers, body.to_owned())).await;
        assert!(status == 401 && text.contains(why), "{status} {text}");
    }
    // The collector has nothing to do with the secret.
    let (status, ..) = send(&door, post(COLLECTOR, &[JSON], r#"{"events":[]}"#)).await;
    assert_eq!(status, 200);
    assert_eq!(lines(&log, "default").await, expected.as_bytes());
}

#[tokio::test]
async fn monitoring_is_on_one_side_only() {
    let (mut door, _log) = door();
    let paths = ["/health", "/health/live", "/health/ready", "/health/exporters", "/info", "/metrics"];
    for path in paths {
        assert_eq!(send(&door, request("GET", path, &[])).await.0, 200, "{path}");
    }
    door.monitoring_apart = true;
    for path in paths {
        let (status, _, text) = send(&door, request("GET", path, &[])).await;
        assert_eq!((status, text.as_str()), (404, "{\"message\":\"Not Found\"}\n"), "{path}");
        assert_eq!(send_to(&door, Side::Monitoring, request("GET", path, &[])).await.0, 200, "{path}");
    }
    for path in [COLLECTOR, EXPORTED, "/v1/allflags", "/openapi.json", "/nothing"] {
        assert_eq!(send_to(&door, Side::Monitoring, post(path, &[JSON], r#"{"events":[]}"#)).await.0, 404, "{path}");
    }
    assert_eq!(send(&door, post(COLLECTOR, &[JSON], r#"{"events":[]}"#)).await.0, 200);
    let (_, _, metrics) = send_to(&door, Side::Monitoring, request("GET", "/metrics", &[])).await;
    assert!(!metrics.contains("code=\"404\",method=\"POST\""), "the monitoring port is not counted, as upstream's is not:\n{metrics}");
}

#[tokio::test]
async fn requests_are_counted_under_upstreams_names() {
    let (door, _log) = door();
    let body = format!(r#"{{"events":[{FEATURE},{{"kind":"feature","userKey":7}}]}}"#);
    for _ in 0..3 {
        send(&door, post(COLLECTOR, &[JSON, ("host", "relay:1031")], body.clone())).await;
    }
    send(&door, post("/v1/feature/one/eval", &[("host", "relay:1031")], "{}")).await;
    send(&door, post("/v1/feature/two/eval", &[("host", "relay:1031")], "{}")).await;
    send(&door, post(EXPORTED, &[JSON, ("host", "relay:1031")], body)).await;
    let (_, headers, metrics) = send(&door, request("GET", "/metrics", &[])).await;
    assert_eq!(headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let collector = "code=\"200\",method=\"POST\",host=\"relay:1031\",url=\"/v1/data/collector\"";
    for line in [
        "# TYPE gofeatureflag_collect_eval_data_total counter".to_owned(),
        // Dropped events count, as upstream's do; exported ones were counted where they were collected.
        "gofeatureflag_collect_eval_data_total{} 6".to_owned(),
        format!("gofeatureflag_requests_total{{{collector}}} 3"),
        "gofeatureflag_requests_total{code=\"501\",method=\"POST\",host=\"relay:1031\",url=\"/v1/feature/:flagKey/eval\"} 2".to_owned(),
        format!("gofeatureflag_request_duration_seconds_bucket{{le=\"+Inf\",{collector}}} 3"),
        format!("gofeatureflag_response_size_bytes_sum{{{collector}}} {}.0", 3 * "{\"ingestedContentCount\":2}\n".len()),
        format!("gofeatureflag_request_size_bytes_count{{{collector}}} 3"),
        format!("gofeatureflag_build_info{{version=\"{}\",", env!("CARGO_PKG_VERSION")),
        "# TYPE process_cpu_seconds_total counter".to_owned(),
        "process_virtual_memory_bytes{} ".to_owned(),
        "process_max_fds{} ".to_owned(),
    ] {
        assert!(metrics.lines().any(|found| found.starts_with(&line)), "{line} in\n{metrics}");
    }
    let open = request("GET", "/metrics", &[("accept", "application/openmetrics-text; version=1.0.0")]);
    let (_, headers, metrics) = send(&door, open).await;
    assert!(headers["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    assert!(metrics.contains("# TYPE gofeatureflag_requests counter\n") && metrics.ends_with("# EOF\n"));
}

/// Answers that the description must know: what was sent, to which door, and the status.
async fn met() -> BTreeSet<(String, String, u16)> {
    let (open, _log) = door();
    let (guarded, _log) = guarded();
    let (small, full) = door_with(10, None, |limits| limits.max_body = 500);
    let (busy, _log) = door();
    let mut others = busy.room.hold();
    others.grow(busy.limits.load().max_in_flight).unwrap();
    let (ending, _log) = door();
    ending.ending.draining.cancel();
    let mut met = BTreeSet::new();
    let event = format!(r#"{{"events":[{FEATURE}]}}"#);
    for path in [COLLECTOR, EXPORTED] {
        let json = |body: &str| post(path, &[JSON], body.to_owned());
        let asked = [
            (&open, json(&event)),
            (&open, json("{")),
            (&guarded, json(&event)),
            (&small, json(&" ".repeat(600))),
            (&busy, json(&event)),
            (&ending, json(&event)),
            (&open, request("OPTIONS", path, &[])),
        ];
        for (door, request) in asked {
            let method = request.method().as_str().to_lowercase();
            met.insert((path.to_owned(), method, send(door, request).await.0));
        }
        let never = Request::post(path).header("content-type", "application/json").body(super::tests::Never).unwrap();
        let status = open.answer(never, &Arc::default(), Side::Main).await.unwrap().status().as_u16();
        met.insert((path.to_owned(), "post".to_owned(), status));
    }
    full.close().await;
    for path in ["/admin/v1/flagpost/plugins", "/admin/v1/flagpost/dead-letters", "/admin/v1/flagpost/dead-letters/events"] {
        for (key, query) in [("root", ""), ("eval", ""), ("root", "?id=7")] {
            let status = send(&guarded, request("GET", &format!("{path}{query}"), &[("x-api-key", key)])).await.0;
            met.insert((path.to_owned(), "get".to_owned(), status));
        }
    }
    for path in ["replay", "replay/cancel", "drop"].map(|change| format!("/admin/v1/flagpost/dead-letters/{change}")) {
        for (key, body) in [("root", r#"{"all":true}"#), ("eval", r#"{"all":true}"#), ("root", "{}")] {
            let status = send(&guarded, post(&path, &[JSON, ("x-api-key", key)], body)).await.0;
            met.insert((path.clone(), "post".to_owned(), status));
        }
    }
    let reload = "/admin/v1/flagpost/plugins/{name}/reload";
    for key in ["root", "eval"] {
        // 202 needs a plugin: a test of the whole program asks for it.
        let status = send(&guarded, request("POST", &reload.replace("{name}", "acme"), &[("x-api-key", key)])).await.0;
        met.insert((reload.to_owned(), "post".to_owned(), status));
    }
    met.insert((reload.to_owned(), "post".to_owned(), 202));
    for path in ["/health", "/health/live", "/health/ready", "/health/exporters", "/info", "/metrics", "/openapi.json"] {
        for method in ["GET", "HEAD", "OPTIONS"] {
            for door in [&open, &ending] {
                let status = send(door, request(method, path, &[])).await.0;
                met.insert((path.to_owned(), method.to_lowercase(), status));
            }
        }
    }
    met
}

#[tokio::test(start_paused = true)]
async fn the_description_has_every_route_and_status_and_no_other() {
    let document: Value = serde_json::from_str(openapi::DOCUMENT).unwrap();
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            for status in operation["responses"].as_object().unwrap().keys() {
                described.insert((path.clone(), method.clone(), status.parse::<u16>().unwrap()));
            }
        }
    }
    // A defect cannot be asked for.
    described.retain(|(_, _, status)| *status != 500);
    assert_eq!(described, met().await);
}

#[tokio::test]
async fn a_client_that_goes_away_is_counted() {
    let (door, _log) = door();
    let request = Request::post(COLLECTOR).header("content-type", "application/json").body(super::tests::Never).unwrap();
    let visitor = Arc::default();
    {
        let mut answer = std::pin::pin!(door.answer(request, &visitor, Side::Main));
        assert!(futures_util::poll!(answer.as_mut()).is_pending());
    }
    let metrics = request_text(&door).await;
    assert!(
        metrics.contains("gofeatureflag_requests_total{code=\"499\",method=\"POST\",host=\"\",url=\"/v1/data/collector\"} 1"),
        "{metrics}"
    );
}

async fn request_text(door: &Door) -> String {
    let request = Request::get("/metrics").body(Empty::<Bytes>::new()).unwrap();
    let response = door.answer(request, &Arc::default(), Side::Main).await.unwrap();
    let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}
