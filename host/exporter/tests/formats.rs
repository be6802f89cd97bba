//! CSV and Parquet of the `file` exporter; single events that a format refuses.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use common::{KeptLines, batch, context, line};
use flagpost_event::{BatchId, EventBatch, EventKind, ObjectPlan, StreamName, batch_of};
use flagpost_exporter::{BuildContext, ConfigError, ExportError, Exporter, PlanFacts, kinds};
use flagpost_settings::Node;
use serde_json::{Value, json};

fn build(kind: &str, config: Value, context: &BuildContext) -> Result<Arc<dyn Exporter>, ConfigError> {
    let info = kinds().iter().find(|info| info.name == kind).unwrap();
    (info.build)(&Node::from(config), context).map(|built| built.exporter)
}

/// A context as the configuration makes one for an exporter of `events`.
fn of(events: &[EventKind]) -> BuildContext {
    BuildContext { events: events.to_vec(), ..context(Arc::default()) }
}

fn file(dir: &Path, settings: Value) -> Result<Arc<dyn Exporter>, ConfigError> {
    let mut config = json!({ "outputDir": dir });
    config.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    build("file", config, &of(&[EventKind::Feature]))
}

async fn planned(exporter: &dyn Exporter, batch: EventBatch) -> EventBatch {
    let plan = exporter.plan(&PlanFacts { batch: batch.id(), stream: batch.stream(), timestamp: 1_617_970_547 }).await.unwrap();
    batch.with_object(plan)
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

const CSV: &str = "feature;;u;1617970547;a;A;true;false;SERVER\nfeature;;u;1617970547;b;A;true;false;SERVER\n";

#[tokio::test]
async fn the_format_is_the_extension_and_an_unknown_one_is_json_lines() {
    for (format, extension) in [("CSV", "csv"), ("Parquet", "parquet"), ("json", "json"), ("Weird", "weird"), ("", "json")] {
        let dir = tempfile::tempdir().unwrap();
        let exporter = file(dir.path(), json!({ "format": format })).unwrap();
        exporter.export(&planned(&*exporter, batch("b-1", &["a", "b"])).await).await.unwrap();
        assert_eq!(names(dir.path()), [format!("flag-variation-host-1617970547.{extension}")]);
        let bytes = fs::read(dir.path().join(&names(dir.path())[0])).unwrap();
        match extension {
            "csv" => assert_eq!(String::from_utf8(bytes).unwrap(), CSV),
            "parquet" => assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1")),
            _ => assert_eq!(String::from_utf8(bytes).unwrap(), line("a") + &line("b")),
        }
    }
}

#[tokio::test]
async fn a_retry_finds_the_file_of_each_format() {
    for format in ["csv", "parquet"] {
        let dir = tempfile::tempdir().unwrap();
        let new = || file(dir.path(), json!({ "format": format })).unwrap();
        let first = planned(&*new(), batch("b-1", &["a", "b"])).await;
        for _ in 0..2 {
            new().export(&first).await.unwrap();
            assert_eq!(names(dir.path()).len(), 1);
        }
        let other = planned(&*new(), batch("b-2", &["a", "c"])).await;
        assert!(matches!(new().export(&other).await, Err(ExportError::NameTaken { .. })), "{format}");
    }
    // Written with other settings before the answer was lost: the file itself says whose it is.
    let dir = tempfile::tempdir().unwrap();
    let new = |codec: &str| file(dir.path(), json!({ "format": "parquet", "parquetCompressionCodec": codec })).unwrap();
    let first = planned(&*new("ZSTD"), batch("b-1", &["a", "b"])).await;
    new("ZSTD").export(&first).await.unwrap();
    new("GZIP").export(&first).await.unwrap();
    assert_eq!(names(dir.path()).len(), 1);
    let written = fs::File::open(dir.path().join(&names(dir.path())[0])).unwrap();
    assert_eq!(batch_of(written).as_deref(), Some("b-1"));
}

#[tokio::test]
async fn a_retry_neither_repeats_nor_tears_a_growing_csv_file() {
    let other = "somebody;else\n";
    for (left, expected) in [
        (String::new(), CSV.to_owned()),
        (CSV[..10].to_owned(), CSV.to_owned()),
        (CSV[..CSV.len() - 1].to_owned(), CSV.to_owned()),
        (CSV.to_owned(), CSV.to_owned()),
        (format!("{other}{CSV}"), format!("{other}{CSV}")),
        (format!("{CSV}{other}"), format!("{CSV}{other}")),
        ("half".to_owned(), format!("half\n{CSV}")),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("all.csv");
        fs::write(&path, "before\n").unwrap();
        let new = || file(dir.path(), json!({ "format": "csv", "filename": "all.{{ .Format}}" })).unwrap();
        let batch = planned(&*new(), batch("b-1", &["a", "b"])).await;
        fs::write(&path, format!("before\n{left}")).unwrap();
        for _ in 0..2 {
            new().export(&batch).await.unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("before\n{expected}"), "{left:?}");
        }
    }
}

#[tokio::test]
async fn a_template_without_line_feed_writes_none() {
    let dir = tempfile::tempdir().unwrap();
    let exporter = file(dir.path(), json!({ "format": "csv", "filename": "all", "csvTemplate": "<{{ .Key}}>" })).unwrap();
    for (id, keys) in [("b-1", ["a", "b"]), ("b-2", ["c", "d"])] {
        exporter.export(&planned(&*exporter, batch(id, &keys)).await).await.unwrap();
    }
    assert_eq!(fs::read_to_string(dir.path().join("all")).unwrap(), "<a><b><c><d>");
}

#[tokio::test]
async fn events_that_the_template_cannot_write_are_rejected_and_the_others_are_safe() {
    let settings = |filename: &str| json!({ "format": "csv", "filename": filename, "csvTemplate": "{{ slice .Key 0 2 }}\n" });
    for filename in ["{{ .BatchId}}", "all"] {
        let dir = tempfile::tempdir().unwrap();
        let exporter = file(dir.path(), settings(filename)).unwrap();
        let first = planned(&*exporter, batch("b-1", &["ab", "x", "cd"])).await;
        // A retry says the same.
        for _ in 0..2 {
            let Err(ExportError::Partial { retry, rejected, .. }) = exporter.export(&first).await else { panic!("all was written") };
            assert_eq!((retry.len(), rejected.len(), rejected[0].index), (0, 1, 1));
            assert!(rejected[0].reason.contains("index out of range: 2"), "{rejected:?}");
        }
        assert_eq!(fs::read_to_string(dir.path().join(&names(dir.path())[0])).unwrap(), "ab\ncd\n");
        // Nothing that can be written: no file.
        let none = planned(&*exporter, batch("b-2", &["y"])).await;
        assert!(matches!(exporter.export(&none).await, Err(ExportError::Partial { .. })));
        assert_eq!(names(dir.path()).len(), 1);
    }
}

#[tokio::test]
async fn tracking_events_have_a_csv_default_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let config = json!({ "outputDir": dir.path(), "format": "csv", "filename": "all" });
    let exporter = build("file", config, &of(&[EventKind::Tracking])).unwrap();
    let line = b"{\"kind\":\"tracking\",\"userKey\":\"u\",\"creationDate\":0,\"key\":\"buy\",\"evaluationContext\":{\"a\":\"b\"},\"trackingEventDetails\":null}\n";
    let stream = StreamName::new("default", EventKind::Tracking);
    let batch = EventBatch::new(BatchId::new("b"), stream, 1, vec![Bytes::from_static(line)]);
    exporter.export(&planned(&*exporter, batch).await).await.unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("all")).unwrap(), "tracking;;u;0;buy;\"{\"\"a\"\":\"\"b\"\"}\";\"null\"\n");
}

#[tokio::test]
async fn a_plan_for_a_growing_file_is_given_up_when_the_format_became_parquet() {
    let dir = tempfile::tempdir().unwrap();
    let exporter = file(dir.path(), json!({ "format": "parquet" })).unwrap();
    let batch = batch("b-1", &["a"]).with_object(Some(ObjectPlan { name: "all.csv".to_owned(), offset: Some(0) }));
    assert_eq!(exporter.export(&batch).await, Err(ExportError::NameTaken { name: "all.csv".to_owned() }));
}

#[test]
fn what_is_wrong_with_a_format_is_told_at_start_with_its_key_and_place() {
    let dir = tempfile::tempdir().unwrap();
    for (settings, key, message) in [
        (
            json!({ "format": "csv", "csvTemplate": "{{ .Key }};{{ .Nope }}" }),
            "csvTemplate",
            "line 1, column 15: feature events have no field `.Nope`",
        ),
        (json!({ "csvTemplate": "{{ .TrackingDetails }}" }), "csvTemplate", "feature events have no field `.TrackingDetails`"),
        (json!({ "csvTemplate": "{{ if .Key }}" }), "csvTemplate", "line 1, column 4: if without {{end}}"),
        (json!({ "parquetCompressionCodec": "LZ4" }), "parquetCompressionCodec", "LZ4 has no interoperable form: use LZ4_RAW"),
        (json!({ "parquetCompressionCodec": "LZO" }), "parquetCompressionCodec", "use LZ4_RAW"),
        (
            json!({ "parquetCompressionCodec": "snappy" }),
            "parquetCompressionCodec",
            "\"parquetCompressionCodec\" err: not a valid CompressionCodec string",
        ),
        (json!({ "format": "parquet", "filename": "{{ .Date}}.parquet" }), "filename", "a Parquet file cannot grow"),
        (json!({ "format": "a/b" }), "format", "expected letters and digits"),
    ] {
        let error = file(dir.path(), settings.clone()).err().unwrap_or_else(|| panic!("{settings} is taken"));
        assert_eq!((error.problems.len(), error.problems[0].path.as_str()), (1, key), "{error}");
        assert!(error.to_string().contains(message), "{error}");
    }
    for (kind, config) in
        [("log", json!({ "logFormat": "{{ .Value }}" })), ("file", json!({ "outputDir": "x", "csvTemplate": "{{ .Value }}" }))]
    {
        assert!(build(kind, config.clone(), &of(&[EventKind::Feature])).is_ok());
        let error = build(kind, config, &of(&EventKind::ALL)).err().unwrap();
        assert!(error.to_string().contains("tracking events have no field `.Value`"), "{error}");
    }
}

#[tokio::test]
async fn a_log_line_that_cannot_be_written_is_rejected_alone() {
    let lines = Arc::new(KeptLines::default());
    let exporter = build("log", json!({ "logFormat": "{{ slice .Key 0 2 }}" }), &context(Arc::clone(&lines))).unwrap();
    let result = exporter.export(&batch("b-1", &["ab", "x", "cd"])).await;
    assert!(
        matches!(&result, Err(ExportError::Partial { rejected, retry, .. }) if rejected.len() == 1 && rejected[0].index == 1 && retry.is_empty())
    );
    let written = String::from_utf8(lines.lines.lock().unwrap().clone()).unwrap();
    assert_eq!(written.lines().count(), 2);
}
