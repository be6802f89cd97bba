//! The `file` exporter on a real directory.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use common::{batch, build, text};
use flagpost_event::{EventBatch, ObjectPlan};
use flagpost_exporter::{ExportError, Exporter, PlanFacts};
use serde_json::json;

fn exporter(dir: &Path, filename: &str) -> Arc<dyn Exporter> {
    build("file", json!({ "outputDir": dir, "filename": filename })).unwrap()
}

async fn planned(exporter: &dyn Exporter, batch: EventBatch, timestamp: u64) -> EventBatch {
    let facts = PlanFacts { batch: batch.id(), stream: batch.stream(), timestamp };
    let plan = exporter.plan(&facts).await.unwrap();
    assert!(plan.is_some());
    batch.with_object(plan)
}

/// Plans and exports a batch, as delivery does.
async fn deliver(exporter: &dyn Exporter, batch: EventBatch) {
    let batch = planned(exporter, batch, 1_617_970_547).await;
    exporter.export(&batch).await.unwrap();
}

/// All files below a directory and what they hold.
fn files(dir: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            found.extend(files(&path).into_iter().map(|(below, text)| (format!("{name}/{below}"), text)));
        } else {
            found.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
    found
}

#[tokio::test]
async fn by_default_each_batch_is_a_file_with_upstreams_name() {
    let dir = tempfile::tempdir().unwrap();
    let exporter = build("file", json!({ "outputDir": dir.path().join("new/below") })).unwrap();
    assert!(exporter.is_bulk() && exporter.destination().unwrap().starts_with("file:/"));
    deliver(&*exporter, batch("b-1", &["a", "b"])).await;
    let expected = BTreeMap::from([("new/below/flag-variation-host-1617970547.json".to_owned(), text(&["a", "b"]))]);
    assert_eq!(files(dir.path()), expected);
}

#[tokio::test]
async fn a_batch_of_many_chunks_is_written_whole() {
    let dir = tempfile::tempdir().unwrap();
    let keys: Vec<_> = (0..3000).map(|index| index.to_string()).collect();
    let keys: Vec<_> = keys.iter().map(String::as_str).collect();
    for filename in ["{{ .BatchId}}", "all.json"] {
        deliver(&*exporter(dir.path(), filename), batch("b-1", &keys)).await;
    }
    assert_eq!(files(dir.path()), BTreeMap::from([("b-1".to_owned(), text(&keys)), ("all.json".to_owned(), text(&keys))]));
}

#[tokio::test]
async fn a_retry_after_a_lost_answer_finds_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let batch = planned(&*exporter(dir.path(), "x/{{ .Timestamp}}"), batch("b-1", &["a", "b"]), 7).await;
    for _ in 0..2 {
        // A new process each time.
        exporter(dir.path(), "x/{{ .Timestamp}}").export(&batch).await.unwrap();
        assert_eq!(files(dir.path()), BTreeMap::from([("x/7".to_owned(), text(&["a", "b"]))]));
    }
}

#[tokio::test]
async fn a_taken_name_is_told_and_nothing_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let exporter = exporter(dir.path(), "{{ .Timestamp}}");
    // Other events, the same length, a part of the batch, more than the batch, and a directory.
    let others = [text(&["b"]), text(&["a"])[..20].to_owned(), text(&["a", "a"]), String::new()];
    for (timestamp, other) in others.iter().enumerate() {
        let path = dir.path().join(timestamp.to_string());
        fs::write(&path, other).unwrap();
        let batch = planned(&*exporter, batch("b-1", &["a"]), timestamp as u64).await;
        let name = timestamp.to_string();
        assert_eq!(exporter.export(&batch).await, Err(ExportError::NameTaken { name }));
        assert_eq!(&fs::read_to_string(&path).unwrap(), other);
    }
    fs::create_dir(dir.path().join("9")).unwrap();
    let batch = planned(&*exporter, batch("b-1", &["a"]), 9).await;
    assert_eq!(exporter.export(&batch).await, Err(ExportError::NameTaken { name: "9".to_owned() }));
    assert_eq!(files(dir.path()).len(), others.len());
}

#[tokio::test]
async fn what_a_crash_left_half_written_is_hidden_and_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let exporter = exporter(dir.path(), "{{ .BatchId}}");
    // Makes the hidden file's name known: the place is taken, the hidden file's own name as well.
    let batch = planned(&*exporter, batch("b-1", &["a", "b"]), 1).await;
    exporter.export(&batch).await.unwrap();
    let names: Vec<_> = files(dir.path()).into_keys().collect();
    assert_eq!(names, ["b-1"]);
    fs::remove_file(dir.path().join("b-1")).unwrap();
    let hidden = format!(".flagpost-{}.tmp", &hex::encode(<sha2::Sha256 as sha2::Digest>::digest("b-1"))[..16]);
    fs::write(dir.path().join(&hidden), "x".repeat(100_000)).unwrap();
    exporter.export(&batch).await.unwrap();
    assert_eq!(files(dir.path()), BTreeMap::from([("b-1".to_owned(), text(&["a", "b"]))]));
}

#[tokio::test]
async fn a_name_without_timestamp_is_a_growing_file() {
    let dir = tempfile::tempdir().unwrap();
    let exporter = exporter(dir.path(), "{{ .FlagSet}}/{{ .Date}}.{{ .Format}}");
    deliver(&*exporter, batch("b-1", &["a", "b"])).await;
    deliver(&*exporter, batch("b-2", &["b"])).await;
    deliver(&*exporter, batch("b-3", &["b"])).await;
    assert_eq!(files(dir.path()), BTreeMap::from([("default/2021-04-09.json".to_owned(), text(&["a", "b", "b", "b"]))]));
}

/// What stands in a growing file after a crash, and what must stand there after the retry.
#[tokio::test]
async fn a_retry_neither_repeats_nor_tears_a_growing_file() {
    let (before, mine, other) = (text(&["old"]), text(&["a", "b"]), text(&["other"]));
    let cases = [
        // Nothing written, a part of a line, whole lines but not all, everything.
        (String::new(), mine.clone()),
        (mine[..10].to_owned(), mine.clone()),
        (text(&["a"]), mine.clone()),
        (mine[..mine.len() - 1].to_owned(), mine.clone()),
        (mine.clone(), mine.clone()),
        // Somebody else wrote too: theirs stays, ours is there once.
        (other.clone(), format!("{other}{mine}")),
        (format!("{other}{}", &mine[..30]), format!("{other}{mine}")),
        (format!("{other}{mine}"), format!("{other}{mine}")),
        (format!("{mine}{other}"), format!("{mine}{other}")),
        // Half a line of theirs.
        ("half".to_owned(), format!("half\n{mine}")),
    ];
    for (left, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("all.json");
        fs::write(&path, &before).unwrap();
        let batch = planned(&*exporter(dir.path(), "all.json"), batch("b-1", &["a", "b"]), 1).await;
        assert_eq!(batch.object(), Some(&ObjectPlan { name: "all.json".to_owned(), offset: Some(before.len() as u64) }));
        fs::write(&path, format!("{before}{left}")).unwrap();
        for _ in 0..2 {
            exporter(dir.path(), "all.json").export(&batch).await.unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{before}{expected}"), "{left:?}");
        }
    }
}

#[tokio::test]
async fn a_plan_outlives_the_settings_it_was_made_with() {
    let dir = tempfile::tempdir().unwrap();
    let first = planned(&*exporter(dir.path(), "{{ .BatchId}}"), batch("b-1", &["a"]), 1).await;
    exporter(dir.path(), "all.json").export(&first).await.unwrap();
    let second = planned(&*exporter(dir.path(), "all.json"), batch("b-2", &["b"]), 1).await;
    exporter(dir.path(), "{{ .BatchId}}").export(&second).await.unwrap();
    assert_eq!(files(dir.path()), BTreeMap::from([("b-1".to_owned(), text(&["a"])), ("all.json".to_owned(), text(&["b"]))]));
}

#[tokio::test]
async fn a_growing_file_that_was_taken_away_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let exporter = exporter(dir.path(), "all.json");
    deliver(&*exporter, batch("b-1", &["a", "b"])).await;
    let second = planned(&*exporter, batch("b-2", &["c"]), 1).await;
    fs::rename(dir.path().join("all.json"), dir.path().join("all.json.1")).unwrap();
    exporter.export(&second).await.unwrap();
    assert_eq!(files(dir.path())["all.json"], text(&["c"]));
}

#[tokio::test]
async fn what_an_operator_must_change_is_misconfigured() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let long = "x".repeat(300);
    for (below, filename) in
        [("file", "{{ .BatchId}}"), ("file/below", "all.json"), (".", "file/{{ .BatchId}}"), (".", &*format!("{long}{{{{ .BatchId}}}}"))]
    {
        let exporter = exporter(&dir.path().join(below), filename);
        let batch = batch("b-1", &["a"]).with_object(Some(ObjectPlan { name: filename.replace("{{ .BatchId}}", "b-1"), offset: None }));
        let error = exporter.export(&batch).await.unwrap_err();
        assert!(matches!(&error, ExportError::Misconfigured { reason } if reason.contains("outputDir")), "{below} {filename}: {error:?}");
    }
    assert!(exporter(&dir.path().join("file"), "x").probe().await.is_err());
    assert!(exporter(&dir.path().join("fresh"), "x").probe().await.is_ok());
    assert!(files(&dir.path().join("fresh")).is_empty());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_is_retried_and_leaves_nothing_behind() {
    // A device that is always full.
    let exporter = exporter(Path::new("/dev"), "full");
    let batch = batch("b-1", &["a"]).with_object(Some(ObjectPlan { name: "full".to_owned(), offset: Some(0) }));
    let error = exporter.export(&batch).await.unwrap_err();
    assert!(matches!(&error, ExportError::Retryable { reason, .. } if reason.contains("No space left")), "{error:?}");
}

#[tokio::test]
async fn files_are_for_all_to_read() {
    let dir = tempfile::tempdir().unwrap();
    deliver(&*exporter(dir.path(), "{{ .BatchId}}"), batch("b-1", &["a"])).await;
    assert_eq!(fs::metadata(dir.path().join("b-1")).unwrap().permissions().mode() & 0o600, 0o600);
}

#[test]
fn every_problem_of_a_configuration_is_told_at_once() {
    let config = json!({ "format": "parquet", "filename": "../{{ .Nope}}", "outputDirectory": "x", "csvTemplate": [] });
    let error = build("file", config).err().unwrap();
    let paths: Vec<_> = error.problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["csvTemplate", "outputDirectory", "outputDir", "format", "filename"]);
    assert!(error.to_string().contains("no \"outputDir\" property found for kind \"file\""), "{error}");
    assert!(build("file", json!({ "outputDir": "x", "format": "JSON", "filename": null, "csvTemplate": "x" })).is_ok());
    assert!(build("file", json!([])).is_err());
}
