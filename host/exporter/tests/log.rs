//! The `log` exporter.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use bytes::Bytes;
use common::{KeptLines, batch, build, context};
use flagpost_event::{BatchId, EventBatch, EventKind, StreamName};
use flagpost_exporter::{ExportError, Exporter, kinds};
use serde_json::json;

fn exporter(lines: &Arc<KeptLines>, config: serde_json::Value) -> Arc<dyn Exporter> {
    let kind = kinds().iter().find(|info| info.name == "log").unwrap();
    (kind.build)(&config.into(), &context(Arc::clone(lines))).unwrap().exporter
}

#[tokio::test]
async fn each_event_is_one_json_line() {
    let lines = Arc::new(KeptLines::default());
    let exporter = exporter(&lines, json!({}));
    assert!(!exporter.is_bulk());
    exporter.export(&batch("b-1", &["a", "b\\nc"])).await.unwrap();
    let written = String::from_utf8(lines.lines.lock().unwrap().clone()).unwrap();
    let expected = r#"{"level":"info","ts":1617970547.250,"msg":"[2021-04-09T12:15:47Z] user=\"u\", flag=\"a\", value=\"true\""}
{"level":"info","ts":1617970547.250,"msg":"[2021-04-09T12:15:47Z] user=\"u\", flag=\"b\nc\", value=\"true\""}
"#;
    assert_eq!(written, expected);
}

#[tokio::test]
async fn another_flag_set_is_named() {
    let lines = Arc::new(KeptLines::default());
    let line = Bytes::from_static(b"{\"kind\":\"tracking\",\"userKey\":\"u\",\"creationDate\":0,\"key\":\"buy\",\"evaluationContext\":null,\"trackingEventDetails\":null}\n");
    let batch = EventBatch::new(BatchId::new("b"), StreamName::new("a\"cme", EventKind::Tracking), 1, vec![line]);
    exporter(&lines, json!({ "logFormat": "{{ .Key}}" })).export(&batch).await.unwrap();
    let written = String::from_utf8(lines.lines.lock().unwrap().clone()).unwrap();
    assert_eq!(written, "{\"level\":\"info\",\"ts\":1617970547.250,\"flagset\":\"a\\\"cme\",\"msg\":\"buy\"}\n");
}

#[tokio::test]
async fn a_sink_that_fails_is_tried_again() {
    let lines = Arc::new(KeptLines::default());
    let exporter = exporter(&lines, json!({}));
    *lines.broken.lock().unwrap() = true;
    assert!(matches!(exporter.export(&batch("b-1", &["a"])).await, Err(ExportError::Retryable { .. })));
    *lines.broken.lock().unwrap() = false;
    exporter.export(&batch("b-1", &["a"])).await.unwrap();
    assert!(!lines.lines.lock().unwrap().is_empty());
}

#[test]
fn a_format_with_an_unknown_field_is_refused() {
    let error = build("log", json!({ "logFormat": "{{ .Nope}}" })).err().unwrap();
    assert!(error.to_string().contains("logFormat") && error.to_string().contains(".Nope"), "{error}");
}
