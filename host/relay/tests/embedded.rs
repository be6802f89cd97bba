//! The relay as a library: one's own exporter, with and without HTTP.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use flagpost::{
    Event, EventBatch, EventKind, ExportError, Exporter, ExporterOptions, FeatureEvent, Json, Relay, StartError, TrackingEvent,
};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::sync::watch;

/// Keeps every line it gets; says how many there are.
#[derive(Clone)]
struct Keep {
    lines: Arc<Mutex<Vec<String>>>,
    count: watch::Sender<usize>,
    bulk: bool,
}

impl Keep {
    fn new(bulk: bool) -> Keep {
        Keep { lines: Arc::default(), count: watch::Sender::new(0), bulk }
    }

    async fn until(&self, count: usize) {
        self.count.subscribe().wait_for(|now| *now >= count).await.unwrap();
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }
}

#[async_trait]
impl Exporter for Keep {
    fn is_bulk(&self) -> bool {
        self.bulk
    }

    async fn export(&self, batch: &EventBatch) -> Result<(), ExportError> {
        let mut lines = self.lines.lock().unwrap();
        lines.extend(batch.lines().map(|line| String::from_utf8(line.to_vec()).unwrap()));
        self.count.send_replace(lines.len());
        Ok(())
    }
}

/// Never delivers anything.
struct Broken;

#[async_trait]
impl Exporter for Broken {
    fn is_bulk(&self) -> bool {
        true
    }

    async fn export(&self, _: &EventBatch) -> Result<(), ExportError> {
        Err(ExportError::retryable("out of order"))
    }
}

fn feature(user: &str) -> FeatureEvent<'static> {
    FeatureEvent {
        kind: "feature".into(),
        context_kind: "user".into(),
        user_key: user.to_owned().into(),
        creation_date: 1_680_246_000,
        key: "flag".into(),
        variation: "on".into(),
        value: Json::from(serde_json::json!({"b": 1, "a": "<"})),
        default: false,
        version: "".into(),
        source: "SERVER".into(),
        metadata: None,
    }
}

fn tracking(user: &str) -> TrackingEvent<'static> {
    TrackingEvent {
        kind: "tracking".into(),
        context_kind: "user".into(),
        user_key: user.to_owned().into(),
        creation_date: 1_680_246_000,
        key: "bought".into(),
        evaluation_context: Json::NULL,
        tracking_event_details: Json::NULL,
    }
}

#[tokio::test]
async fn events_reach_ones_own_exporter_in_upstreams_form() {
    let keep = Keep::new(true);
    let relay = Relay::builder().memory(1 << 20).exporter("keep", keep.clone()).start().await.unwrap();
    relay.collect(feature("jane")).await.unwrap();
    relay.collect_all(vec![Event::from(feature("joe")), Event::from(tracking("joe"))]).await.unwrap();
    let report = relay.close().await;
    assert!(report.in_time && report.unsent.is_empty(), "{report:?}");
    let line = |user: &str| {
        format!(
            r#"{{"kind":"feature","contextKind":"user","userKey":"{user}","creationDate":1680246000,"key":"flag","variation":"on","value":{{"a":"\u003c","b":1}},"default":false,"version":"","source":"SERVER"}}"#
        )
    };
    assert_eq!(keep.lines(), [line("jane"), line("joe")], "the tracking event is not for an exporter of feature events");
}

#[tokio::test]
async fn both_kinds_of_events_go_to_an_exporter_that_wants_both() {
    let keep = Keep::new(false);
    let options = ExporterOptions { events: EventKind::ALL.to_vec(), ..ExporterOptions::default() };
    let relay = Relay::builder().memory(1 << 20).exporter_with("keep", keep.clone(), options).start().await.unwrap();
    relay.collect_all([Event::from(feature("a")), Event::from(tracking("b"))]).await.unwrap();
    keep.until(2).await;
    let mut kinds: Vec<&str> = relay.exporters().iter().map(|task| task.stream().kind.as_str()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["feature", "tracking"]);
    relay.close().await;
}

#[tokio::test]
async fn http_and_the_library_are_one_relay() {
    let keep = Keep::new(false);
    let relay = Relay::builder().memory(1 << 20).exporter("keep", keep.clone()).listen_at("127.0.0.1", 0).start().await.unwrap();
    let stream = tokio::net::TcpStream::connect(relay.address().unwrap()).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let body = r#"{"events":[{"kind":"feature","userKey":"u","creationDate":1680246000,"key":"k","variation":"v","value":1}]}"#;
    let request =
        http::Request::post("/v1/data/collector").header("content-type", "application/json").body(Full::new(Bytes::from(body))).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "{\"ingestedContentCount\":1}\n");
    relay.collect(feature("jane")).await.unwrap();
    keep.until(2).await;
    relay.close().await;
    connection.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_is_not_sent_in_time_is_named() {
    let text = "shutdownTimeout: 50ms\n";
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("flagpost.yaml");
    std::fs::write(&file, text).unwrap();
    let relay = Relay::builder().config_file(&file).memory(1 << 20).exporter("broken", Broken).seed(1).start().await.unwrap();
    relay.collect_all(["a", "b"].map(feature)).await.unwrap();
    let report = relay.close().await;
    let unsent: Vec<(&str, u64)> = report.unsent.iter().map(|one| (one.identity.exporter.as_str(), one.events)).collect();
    assert_eq!(unsent, [("broken", 2)]);
}

#[tokio::test]
async fn two_exporters_of_one_name_are_refused() {
    let start = Relay::builder().exporter("a", Keep::new(true)).exporter("a", Broken).start().await;
    assert!(matches!(start, Err(StartError::Twice { exporter }) if exporter == "a"));
}

#[tokio::test]
async fn a_relay_may_be_dropped_inside_a_runtime() {
    let relay = Relay::builder().exporter("keep", Keep::new(true)).start().await.unwrap();
    drop(relay);
}

#[tokio::test]
async fn a_wrong_file_says_all_that_is_wrong_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("flagpost.yaml");
    std::fs::write(&file, "prot: 1\nbuffer: { type: dsk }\n").unwrap();
    let error = Relay::builder().config_file(&file).start().await.unwrap_err().to_string();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), 2, "{error}");
    assert!(
        lines[0].ends_with("flagpost.yaml:1: prot: unknown key; did you mean `port`?") || lines[0].contains(":1: prot: unknown key"),
        "{error}"
    );
    assert!(
        lines[1].ends_with("flagpost.yaml:2: buffer.type: expected one of `disk`, `memory`, found `dsk`; did you mean `disk`?"),
        "{error}"
    );
}
