//! The example exporters in Rust, against a real server.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use common::server::{Server, status};
use common::{RUNTIME, batch_of, feature_line, features, ready, rust_guest, tracking_line};
use flagpost_event::EventKind;
use flagpost_exporter::{ExportError, Exporter};
use flagpost_plugin::PluginSpec;
use http::Response;
use serde_json::{Value, json};

static JSON: LazyLock<PathBuf> = LazyLock::new(|| rust_guest("../../examples/exporters/rust", "post_json.wasm"));
static LINES: LazyLock<PathBuf> = LazyLock::new(|| rust_guest("../../examples/exporters/rust-lines", "post_lines.wasm"));

fn spec(path: &LazyLock<PathBuf>, server: &Server) -> PluginSpec {
    PluginSpec {
        config: json!({ "endpoint": server.url("/events"), "key": "k-1" }),
        allowed_hosts: vec![format!("POST {}", server.origin("127.0.0.1"))],
        ..PluginSpec::new("example", path.to_path_buf())
    }
}

#[test]
fn the_same_events_arrive_as_a_json_array_with_key_and_batch_id() {
    RUNTIME.block_on(async {
        let server = Server::start(|_| status(200)).await;
        let exporter = ready(spec(&JSON, &server)).await;
        assert!(exporter.is_bulk());
        assert_eq!(exporter.export(&features(3)).await, Ok(()));
        let tracking = batch_of(EventKind::Tracking, [tracking_line(7)]);
        assert_eq!(exporter.export(&tracking).await, Ok(()));
        let seen = server.seen();
        let expected: Vec<Value> = (0..3).map(|number| serde_json::from_str(&feature_line(number)).unwrap()).collect();
        assert_eq!(serde_json::from_str::<Vec<Value>>(&seen[0].body).unwrap(), expected);
        assert_eq!(
            serde_json::from_str::<Value>(&seen[1].body).unwrap(),
            json!([serde_json::from_str::<Value>(&tracking_line(7)).unwrap()])
        );
        assert_eq!(seen[0].headers["authorization"], "Bearer k-1");
        assert_eq!(seen[0].headers["idempotency-key"], "store-default-feature-1-n");
    });
}

#[test]
fn what_the_api_says_becomes_the_outcome() {
    RUNTIME.block_on(async {
        let table: [(common::server::Answer, ExportError); 5] = [
            (
                |_| Some(Response::builder().status(429).header("retry-after", "2").body(Bytes::new()).unwrap()),
                ExportError::Retryable { reason: "HTTP 429".into(), after: Some(Duration::from_secs(2)) },
            ),
            (|_| status(503), ExportError::retryable("HTTP 503")),
            (|_| status(401), ExportError::misconfigured("HTTP 401: is config.key right?")),
            (
                |_| Some(Response::builder().status(400).body(Bytes::from_static(b"bad value")).unwrap()),
                ExportError::rejected("HTTP 400: bad value"),
            ),
            (|_| status(302), ExportError::rejected("HTTP 302:")),
        ];
        for (answer, expected) in table {
            let server = Server::start(answer).await;
            let exporter = ready(spec(&JSON, &server)).await;
            assert_eq!(exporter.export(&features(2)).await, Err(expected));
        }
    });
}

#[test]
fn a_missing_grant_or_endpoint_is_for_the_operator() {
    RUNTIME.block_on(async {
        let server = Server::start(|_| status(200)).await;
        let exporter = ready(PluginSpec { allowed_hosts: Vec::new(), ..spec(&JSON, &server) }).await;
        let Err(ExportError::Misconfigured { reason }) = exporter.export(&features(1)).await else { panic!("another outcome") };
        assert!(reason.contains(&format!(r#"allowedHosts: [ "POST {}" ]"#, server.origin("127.0.0.1"))), "{reason}");
        let exporter = ready(PluginSpec { config: Value::Null, ..spec(&JSON, &server) }).await;
        let Err(ExportError::Misconfigured { reason }) = exporter.export(&features(1)).await else { panic!("another outcome") };
        assert!(reason.contains("config.endpoint is missing"), "{reason}");
    });
}

#[test]
fn another_wasm_in_its_place_sends_something_else() {
    RUNTIME.block_on(async {
        let server = Server::start(|_| status(200)).await;
        let exporter = ready(spec(&LINES, &server)).await;
        assert_eq!(exporter.export(&features(2)).await, Ok(()));
        assert_eq!(server.seen()[0].body, "user-0 new-<b>=on\nuser-1 new-<b>=on\n");
    });
}
