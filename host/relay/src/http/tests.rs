//! The routes, over the log in memory and without a network.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use flagpost_delivery::Admission;
use flagpost_event::collect::CollectLimits;
use flagpost_event::{EventKind, StreamName, SystemClock};
use flagpost_spool::{EventLog, MemoryLog, Pressure, Read, ReadLimit};
use http::HeaderMap;
use http_body_util::{BodyExt, Full};

use super::*;
use crate::config::{AuthorizedKeys, FlagSet};
use crate::intake::Gate;

/// A door with feature exporters only, and its log.
pub(super) fn door_with(bound: u64, proxy: Option<Arc<Proxy>>, adjust: impl FnOnce(&mut Collector)) -> (Door, Arc<MemoryLog>) {
    let log = Arc::new(MemoryLog::new(bound, Arc::new(SystemClock)));
    let door = door_of(log.clone(), &AuthorizedKeys::default(), &[], proxy, adjust);
    (door, log)
}

/// A door with keys and flag sets, each with feature exporters only.
pub(super) fn door_of(
    log: Arc<MemoryLog>,
    keys: &AuthorizedKeys,
    flag_sets: &[FlagSet],
    proxy: Option<Arc<Proxy>>,
    adjust: impl FnOnce(&mut Collector),
) -> Door {
    let mut limits = Collector {
        webhook_secret: None,
        max_body: 1 << 20,
        max_inflated: 2 << 20,
        limits: CollectLimits::default(),
        header_timeout: Duration::from_secs(5),
        body_timeout: Duration::from_secs(5),
        max_connections: 10,
        max_in_flight: 64 << 20,
    };
    adjust(&mut limits);
    let gate = Gate::new(Admission::default(), Box::new(Pressure::default), 0, u64::MAX);
    let names: Vec<&str> = if flag_sets.is_empty() { vec!["default"] } else { flag_sets.iter().map(|set| set.name.as_str()).collect() };
    let sets = names.into_iter().map(|name| (name.into(), vec![EventKind::Feature]));
    let intakes = Arc::new(Intakes::new(log.clone(), sets, &gate));
    let traffic = Arc::new(Traffic::default());
    let room = Room::new(limits.max_in_flight);
    let metrics = Metrics::new(MetricSources {
        log,
        log_stats: None,
        delivery: None,
        plugins: Arc::default(),
        intakes: intakes.clone(),
        traffic: traffic.clone(),
        certificate: None,
        proxy: proxy.clone(),
        room: room.clone(),
        reloads: Arc::default(),
    });
    Door {
        keys: Arc::new(Keys::new(Access::new(keys, flag_sets, &intakes, [0; 32]))),
        intakes,
        limits: Arc::new(ArcSwap::from_pointee(limits)),
        room,
        health: Health::default(),
        info: Arc::new(ArcSwap::from_pointee(Info {
            configured: "2026-11-24T22:00:00Z".to_owned(),
            flag_sets: flag_sets.iter().map(|set| set.name.clone()).collect(),
        })),
        metrics: Arc::new(metrics),
        visits: Arc::new(Visits::new(traffic, true, 1)),
        proxy,
        monitoring_apart: false,
        ending: Ending::default(),
    }
}

pub(super) fn door() -> (Door, Arc<MemoryLog>) {
    door_with(1 << 30, None, |_| {})
}

pub(super) fn post(path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let mut request = Request::post(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(body.into())).unwrap()
}

pub(super) async fn send(door: &Door, request: Request<Full<Bytes>>) -> (u16, HeaderMap, String) {
    send_to(door, Side::Main, request).await
}

pub(super) async fn send_to(door: &Door, side: Side, request: Request<Full<Bytes>>) -> (u16, HeaderMap, String) {
    let response = door.answer(request, &Arc::new(Visitor::new(None, false)), side).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status.as_u16(), head.headers, String::from_utf8(body.to_vec()).unwrap())
}

pub(super) const JSON: (&str, &str) = ("content-type", "application/json");
pub(super) const COLLECTOR: &str = "/v1/data/collector";
pub(super) const FEATURE: &str = r#"{"kind":"feature","userKey":"u","creationDate":1680246000,"key":"k","variation":"v","value":true}"#;
pub(super) const TRACKING: &str = r#"{"kind":"tracking","userKey":"u","creationDate":1680246000,"key":"k"}"#;

pub(super) async fn stored(log: &MemoryLog, kind: EventKind) -> usize {
    let stream = log.stream(&StreamName::new("default", kind));
    match log.read(stream, 1, ReadLimit { events: 1000, bytes: 1 << 20 }).await.unwrap() {
        Read::Events(run) => run.count,
        _ => 0,
    }
}

#[tokio::test]
async fn a_batch_is_stored_before_its_exact_answer() {
    let (door, log) = door();
    let body = format!(r#"{{"meta":{{"a":1}},"events":[{FEATURE},{FEATURE},{TRACKING},{{"kind":"feature","userKey":7}}]}}"#);
    let (status, headers, text) = send(&door, post(COLLECTOR, &[JSON], body)).await;
    assert_eq!((status, text.as_str()), (200, "{\"ingestedContentCount\":4}\n"));
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(stored(&log, EventKind::Feature).await, 2);
    assert_eq!(stored(&log, EventKind::Tracking).await, 0, "no exporter reads tracking events: they are not written");
    let (_, _, metrics) = send(&door, Request::get("/metrics").body(Full::default()).unwrap()).await;
    for line in [
        "flagpost_collector_events_total{flag_set=\"default\",event_type=\"feature\"} 2",
        "flagpost_collector_events_total{flag_set=\"default\",event_type=\"tracking\"} 0",
        "flagpost_collector_dropped_total{flag_set=\"default\",reason=\"no_exporter\"} 1",
        "flagpost_collector_dropped_total{flag_set=\"default\",reason=\"wrong_type\"} 1",
        "flagpost_collector_requests_total{flag_set=\"default\",code=\"200\"} 1",
        "flagpost_collector_request_seconds_count{flag_set=\"default\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
}

#[tokio::test]
async fn what_upstream_refuses_is_refused_in_its_words() {
    let plain = "{\"message\":\"collectEvalData: invalid input data\"}\n";
    let media = "{\"message\":\"collectEvalData: invalid input data code=415, message=Unsupported Media Type\"}\n";
    const TEXT: (&str, &str) = ("content-type", "text/plain");
    type Headers = &'static [(&'static str, &'static str)];
    let cases: &[(Headers, &str, u16, &str)] = &[
        (&[JSON], r#"{"events":[]}"#, 200, "{\"ingestedContentCount\":0}\n"),
        (&[JSON], r#"{"events":null}"#, 400, plain),
        (&[JSON], "", 400, plain),
        (&[TEXT], "", 400, plain),
        (&[], r#"{"events":[]}"#, 400, media),
        (&[TEXT], r#"{"events":[]}"#, 400, media),
        (&[("content-type", "Application/JSON")], r#"{"events":[]}"#, 400, media),
        (&[("content-type", "application/json; charset=utf-8")], r#"{"events":[]}"#, 200, "{\"ingestedContentCount\":0}\n"),
        (&[("content-type", "application/x-www-form-urlencoded")], "events=1", 400, plain),
        (&[("content-type", "text/xml; charset=utf-8")], "<a/>", 400, plain),
        (
            &[JSON, ("content-encoding", "br")],
            r#"{"events":[]}"#,
            400,
            "{\"message\":\"collectEvalData: invalid input data code=415, message=Content-Encoding `br` is not supported: use gzip, deflate or zstd\"}\n",
        ),
    ];
    let (door, log) = door();
    for (headers, body, status, answer) in cases {
        let (found, _, text) = send(&door, post(COLLECTOR, headers, *body)).await;
        assert_eq!((found, text.as_str()), (*status, *answer), "{headers:?} {body}");
    }
    assert_eq!(stored(&log, EventKind::Feature).await, 0);
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(data).unwrap();
    writer.finish().unwrap()
}

#[tokio::test]
async fn limits_are_413_before_anything_is_stored() {
    let (door, log) = door();
    let spaces = " ".repeat(3 << 20);
    let body = format!(r#"{{"events":[{FEATURE}]{spaces}}}"#);
    let (status, _, text) = send(&door, post(COLLECTOR, &[JSON], body.clone())).await;
    assert_eq!(status, 413, "{text}");
    assert!(text.contains("`collector.maxBody`"), "{text}");
    let packed = gzip(body.as_bytes());
    assert!(packed.len() < 1 << 20);
    let (status, _, text) = send(&door, post(COLLECTOR, &[JSON, ("content-encoding", "gzip")], packed)).await;
    assert_eq!(status, 413, "{text}");
    assert!(text.contains("`collector.maxInflated`"), "{text}");
    assert_eq!(stored(&log, EventKind::Feature).await, 0);
}

#[tokio::test]
async fn big_and_compressed_bodies_are_taken_like_small_ones() {
    let (door, log) = door_with(1 << 30, None, |limits| limits.max_body = 32 << 20);
    let body = format!(r#"{{"events":[{}]}}"#, vec![FEATURE; 5_000].join(","));
    assert!(body.len() > 256 << 10);
    let (status, _, text) = send(&door, post(COLLECTOR, &[JSON], body.clone())).await;
    assert_eq!((status, text.as_str()), (200, "{\"ingestedContentCount\":5000}\n"));
    for packed in [gzip(body.as_bytes()), gzip(format!(r#"{{"events":[{FEATURE}]}}"#).as_bytes())] {
        let (status, _, text) = send(&door, post(COLLECTOR, &[JSON, ("content-encoding", "x-gzip")], packed)).await;
        assert_eq!(status, 200, "{text}");
    }
    let stream = log.stream(&StreamName::new("default", EventKind::Feature));
    assert_eq!(log.bounds(stream).head, 10_002);
}

#[tokio::test]
async fn a_full_log_is_429_and_a_closed_one_503() {
    let (door, log) = door_with(400, None, |_| {});
    let batch = || post(COLLECTOR, &[JSON], format!(r#"{{"events":[{FEATURE}]}}"#));
    assert_eq!(send(&door, batch()).await.0, 200);
    let (status, headers, text) = send(&door, batch()).await;
    assert_eq!(status, 429, "{text}");
    assert!(headers.contains_key("retry-after"));
    log.close().await;
    let (status, headers, text) = send(&door, batch()).await;
    assert_eq!(status, 503, "{text}");
    assert!(headers.contains_key("retry-after"));
    let (status, _, text) = send(&door, Request::get("/health/ready").body(Full::default()).unwrap()).await;
    assert_eq!(status, 503, "a log that takes nothing is not ready: {text}");
}

#[tokio::test]
async fn every_other_route_has_its_answer() {
    let (door, _log) = door();
    let cases = [
        ("GET", "/health", 200, "{\"initialized\":true}\n"),
        ("GET", "/health/live", 200, "{\"live\":true}\n"),
        ("GET", "/health/ready", 200, "{\"ready\":true}\n"),
        (
            "GET",
            "/health/exporters",
            200,
            "{\"configuration\":{\"applied\":0,\"lastReloadSuccessful\":true,\"needsRestart\":[],\"refused\":0,\"takenAtUnixSeconds\":0},\"exporters\":[]}\n",
        ),
        ("POST", "/health", 405, "{\"message\":\"Method Not Allowed\"}\n"),
        ("GET", "/v1/data/collector", 404, "{\"message\":\"Not Found\"}\n"),
        ("POST", "/v1/data/collector/", 501, NO_EVALUATION),
        ("GET", "/v1/data/exported", 404, "{\"message\":\"Not Found\"}\n"),
        ("POST", "/v1/feature/x/eval", 501, NO_EVALUATION),
        ("POST", "/ofrep/v1/evaluate/flags/x", 501, NO_EVALUATION),
        ("GET", "/stream/v1/sse/flag/change", 501, NO_EVALUATION),
        ("GET", "/info", 200, "{\"cacheRefresh\":\"2026-11-24T22:00:00Z\",\"flagpost\":"),
        ("GET", "/openapi.json", 200, "\"openapi\""),
        ("DELETE", "/info", 405, "{\"message\":\"Method Not Allowed\"}\n"),
        ("GET", "/admin/v1/flagpost/exporters", 401, "{\"message\":\"missing key in request header\"}\n"),
        ("POST", "/admin/v1/retriever/refresh", 401, "{\"message\":\"missing key in request header\"}\n"),
        ("GET", "/", 404, "{\"message\":\"Not Found\"}\n"),
        ("OPTIONS", "/v1/data/collector", 204, ""),
    ];
    for (method, path, status, answer) in cases {
        let request = Request::builder().method(method).uri(path).body(Full::default()).unwrap();
        let (found, _, text) = send(&door, request).await;
        assert_eq!(found, status, "{method} {path}: {text}");
        assert!(text.contains(answer), "{method} {path}: {text}");
    }
}

#[tokio::test]
async fn while_the_program_ends_nothing_is_taken_and_readiness_says_so() {
    let (door, log) = door();
    door.ending.draining.cancel();
    let (status, _, _) = send(&door, Request::get("/health/ready").body(Full::default()).unwrap()).await;
    assert_eq!(status, 503);
    let (status, _, _) = send(&door, Request::get("/health/live").body(Full::default()).unwrap()).await;
    assert_eq!(status, 200);
    let (status, headers, _) = send(&door, post(COLLECTOR, &[JSON], format!(r#"{{"events":[{FEATURE}]}}"#))).await;
    assert_eq!(status, 503);
    assert!(headers.contains_key("retry-after"));
    assert_eq!(stored(&log, EventKind::Feature).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_given_up() {
    let (door, _log) = door();
    let request = Request::post(COLLECTOR).header("content-type", "application/json").body(Never).unwrap();
    let response = door.answer(request, &Arc::default(), Side::Main).await.unwrap();
    assert_eq!(response.status(), 408);
}

/// A body that never comes.
pub(super) struct Never;

impl Body for Never {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
        std::task::Poll::Pending
    }
}

#[tokio::test]
async fn browsers_may_send_from_anywhere() {
    let (door, _log) = door();
    let (_, headers, _) = send(&door, post(COLLECTOR, &[JSON, ("origin", "https://a.example")], r#"{"events":[]}"#)).await;
    assert_eq!(headers["access-control-allow-origin"], "*");
    let (_, headers, _) = send(&door, post(COLLECTOR, &[JSON], r#"{"events":[]}"#)).await;
    assert!(!headers.contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn without_room_for_all_a_request_is_told_to_come_again_and_one_that_never_fits_is_too_large() {
    let (door, log) = door_with(1 << 30, None, |limits| {
        limits.max_in_flight = 4 << 20;
        limits.max_inflated = 64 << 20;
    });
    let bomb = gzip(format!(r#"{{"events":[{FEATURE}]{}}}"#, " ".repeat(32 << 20)).as_bytes());
    let packed = [JSON, ("content-encoding", "gzip")];
    let (status, _, text) = send(&door, post(COLLECTOR, &packed, bomb.clone())).await;
    assert_eq!(status, 413, "{text}");
    assert!(text.contains("`collector.maxInFlight`"), "{text}");
    let mut others = door.room.hold();
    others.grow(4 << 20).unwrap();
    let body = format!(r#"{{"events":[{FEATURE}]}}"#);
    let (status, headers, text) = send(&door, post(COLLECTOR, &[JSON], body.clone())).await;
    assert_eq!((status, headers["retry-after"].to_str().unwrap()), (429, "1"), "{text}");
    assert!(text.contains("`collector.maxInFlight`"), "{text}");
    drop(others);
    assert_eq!(stored(&log, EventKind::Feature).await, 0);
    assert_eq!(send(&door, post(COLLECTOR, &[JSON], body)).await.0, 200);
    assert_eq!(door.room.counts(), (0, 2), "everything was given back");
}

#[tokio::test]
async fn meta_that_multiplies_is_taken_within_the_limits() {
    let (door, log) = door();
    let events = [FEATURE; 500].join(",");
    let body = format!(r#"{{"meta":{{"pad":"{}"}},"events":[{events}]}}"#, "x".repeat(20_000));
    let (status, _, text) = send(&door, post(COLLECTOR, &[JSON], body)).await;
    assert_eq!((status, text.as_str()), (200, "{\"ingestedContentCount\":500}\n"), "10 MB of lines from 70 KB");
    assert!(stored(&log, EventKind::Feature).await > 0);
    assert_eq!(door.room.counts(), (0, 0));
}

#[tokio::test]
async fn a_full_buffer_in_memory_refuses_without_making_the_relay_unready() {
    let (door, log) = door_with(20_000, None, |_| {});
    let ready = async || send(&door, Request::get("/health/ready").body(Full::default()).unwrap()).await.0;
    let batch = |events: usize| post(COLLECTOR, &[JSON], format!(r#"{{"events":[{},{TRACKING}]}}"#, vec![FEATURE; events].join(",")));
    let (status, _, text) = send(&door, batch(500)).await;
    assert_eq!((status, ready().await), (413, 200), "{text}");
    assert!(text.contains("`buffer.maxBytes`"), "{text}");
    assert_eq!(send(&door, batch(80)).await.0, 200);
    let (status, headers, text) = send(&door, batch(80)).await;
    assert_eq!((status, ready().await), (429, 200), "{text}");
    assert!(headers.contains_key("retry-after") && text.contains("`buffer.maxBytes`"), "{text}");
    assert_eq!(stored(&log, EventKind::Feature).await, 80);
    let (_, _, metrics) = send(&door, Request::get("/metrics").body(Full::default()).unwrap()).await;
    let unread = "flagpost_collector_dropped_total{flag_set=\"default\",reason=\"no_exporter\"} 1";
    assert!(metrics.contains(unread), "what was refused comes again and is counted then:\n{metrics}");
}
