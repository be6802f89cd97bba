//! The layer over a store in memory that fails where a test says so.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::sync::Mutex;

use flagpost_event::{BatchId, EventBatch, EventKind, ObjectPlan, StreamName};
use flagpost_settings::Problems;
use tokio::sync::Notify;

use crate::name::Join;
use crate::{BuildContext, Exporter, PlanFacts};

use super::*;

object_keys! {
    /// Keys.
    Keys {
        /// Own.
        bucket: String = "b".to_owned(),
    }
}

#[derive(Debug, Default)]
struct Memory {
    objects: Mutex<HashMap<String, (String, Vec<u8>)>>,
    /// What was called.
    calls: Mutex<Vec<String>>,
    /// A call that fails, once.
    fails: Mutex<Option<&'static str>>,
    /// A call whose answer is lost, once: it is done and fails.
    lost: Mutex<Option<&'static str>>,
    /// A call that never comes back.
    hangs: Mutex<Option<&'static str>>,
    aborted: Notify,
}

struct Upload {
    object: Object,
    bytes: Vec<u8>,
}

impl Memory {
    async fn call(&self, name: &'static str) -> Result<(), ExportError> {
        self.calls.lock().unwrap().push(name.to_owned());
        if *self.hangs.lock().unwrap() == Some(name) {
            std::future::pending::<()>().await;
        }
        Memory::once(&self.fails, name)
    }

    fn once(what: &Mutex<Option<&'static str>>, name: &'static str) -> Result<(), ExportError> {
        let mut what = what.lock().unwrap();
        if *what == Some(name) {
            *what = None;
            return Err(ExportError::retryable(format!("{name} fails")));
        }
        Ok(())
    }

    fn store(&self, object: &Object, bytes: Vec<u8>) -> Put {
        let mut objects = self.objects.lock().unwrap();
        if objects.contains_key(&object.name) {
            return Put::Exists;
        }
        objects.insert(object.name.clone(), (object.owner.clone(), bytes));
        Put::Stored
    }

    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }
}

#[async_trait]
impl ObjectStore for Memory {
    type Upload = Upload;

    fn place(&self) -> String {
        "memory:b".to_owned()
    }

    async fn put(&self, object: &Object, body: Bytes) -> Result<Put, ExportError> {
        self.call("put").await?;
        let put = self.store(object, body.to_vec());
        Memory::once(&self.lost, "put")?;
        Ok(put)
    }

    async fn owner(&self, name: &str) -> Result<Option<String>, ExportError> {
        self.call("owner").await?;
        Ok(self.objects.lock().unwrap().get(name).map(|(owner, _)| owner.clone()))
    }

    async fn begin(&self, object: &Object) -> Result<Upload, ExportError> {
        self.call("begin").await?;
        Ok(Upload { object: object.clone(), bytes: Vec::new() })
    }

    async fn part(&self, upload: &mut Upload, bytes: Bytes) -> Result<(), ExportError> {
        self.call("part").await?;
        assert!(bytes.len() <= PART);
        upload.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    async fn complete(&self, upload: &mut Upload) -> Result<Put, ExportError> {
        self.call("complete").await?;
        let put = self.store(&upload.object, std::mem::take(&mut upload.bytes));
        Memory::once(&self.lost, "complete")?;
        Ok(put)
    }

    async fn abort(&self, _: Upload) {
        self.call("abort").await.ok();
        self.aborted.notify_one();
    }

    async fn sweep(&self, _: &str) {
        self.call("sweep").await.ok();
    }

    async fn probe(&self, _: &Object) -> Result<(), ProbeError> {
        Ok(())
    }
}

fn exporter(keys: &Keys) -> ObjectExporter<Memory> {
    let mut problems = Problems::default();
    assert_eq!(keys.bucket, "b");
    let context = BuildContext { hostname: "h".to_owned(), exporter: "out".to_owned(), ..BuildContext::system() };
    let config = keys.objects(Join::SlashAfterPath).check(&mut problems, &context);
    ObjectExporter::new(Memory::default(), config.unwrap_or_else(|| panic!("{problems:?}")))
}

/// A batch of that many lines of that many bytes.
fn batch(lines: usize, bytes: usize) -> EventBatch {
    let line = Bytes::from([b"{".repeat(bytes - 1), b"\n".to_vec()].concat());
    let lines: Vec<Bytes> = (0..lines).map(|_| line.clone()).collect();
    EventBatch::new(BatchId::new("s-default/feature-1-9"), StreamName::new("default", EventKind::Feature), 1, lines)
}

async fn planned(exporter: &ObjectExporter<Memory>, batch: EventBatch) -> EventBatch {
    let facts = PlanFacts { batch: batch.id(), stream: batch.stream(), timestamp: 1_700_000_000 };
    let plan = exporter.plan(&facts).await.unwrap();
    assert_eq!(plan, Some(ObjectPlan { name: "flag-variation-h-1700000000.json".to_owned(), offset: None }));
    batch.with_object(plan)
}

const NAME: &str = "flag-variation-h-1700000000.json";
const LARGE: (usize, usize) = (12, 1 << 20);

#[tokio::test]
async fn what_fits_into_a_part_is_one_call_and_more_are_parts() {
    let exporter = exporter(&Keys::default());
    for (size, calls) in [((3, 100), &["put"][..]), (LARGE, &["owner", "begin", "part", "part", "part", "complete"])] {
        let batch = planned(&exporter, batch(size.0, size.1)).await;
        exporter.export(&batch).await.unwrap();
        assert_eq!(exporter.store.calls(), calls);
        let (owner, bytes) = exporter.store.objects.lock().unwrap().remove(NAME).unwrap();
        assert_eq!((owner.as_str(), bytes), ("s-default/feature-1-9@out", batch.chunks().concat()));
    }
}

#[tokio::test]
async fn a_lost_answer_makes_no_second_object_and_no_failure() {
    for (size, call) in [((3, 100), "put"), (LARGE, "complete")] {
        let exporter = exporter(&Keys::default());
        let batch = planned(&exporter, batch(size.0, size.1)).await;
        *exporter.store.lost.lock().unwrap() = Some(call);
        assert!(matches!(exporter.export(&batch).await, Err(ExportError::Retryable { .. })));
        exporter.store.calls();
        exporter.export(&batch).await.unwrap();
        let expected: &[&str] = if call == "put" { &["put", "owner"] } else { &["sweep", "owner"] };
        assert_eq!(exporter.store.calls(), expected);
        assert_eq!(exporter.store.objects.lock().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn an_object_of_somebody_else_is_left_alone() {
    for size in [(3, 100), LARGE] {
        let exporter = exporter(&Keys::default());
        let batch = planned(&exporter, batch(size.0, size.1)).await;
        let theirs = ("s-default/feature-1-9@other".to_owned(), b"theirs".to_vec());
        exporter.store.objects.lock().unwrap().insert(NAME.to_owned(), theirs.clone());
        assert_eq!(exporter.export(&batch).await, Err(ExportError::NameTaken { name: NAME.to_owned() }));
        assert_eq!(exporter.store.objects.lock().unwrap()[NAME], theirs);
    }
}

#[tokio::test]
async fn an_upload_that_fails_anywhere_is_given_up() {
    for call in ["part", "complete"] {
        let exporter = exporter(&Keys::default());
        let batch = planned(&exporter, batch(LARGE.0, LARGE.1)).await;
        *exporter.store.fails.lock().unwrap() = Some(call);
        assert!(exporter.export(&batch).await.is_err());
        assert_eq!(exporter.store.calls().last().unwrap(), "abort", "{call}");
        exporter.export(&batch).await.unwrap();
        assert_eq!(exporter.store.calls(), ["sweep", "owner", "begin", "part", "part", "part", "complete"]);
    }
}

#[tokio::test]
async fn an_upload_whose_attempt_is_dropped_is_given_up() {
    let exporter = exporter(&Keys::default());
    let batch = planned(&exporter, batch(LARGE.0, LARGE.1)).await;
    *exporter.store.hangs.lock().unwrap() = Some("complete");
    tokio::select! {
        biased;
        _ = exporter.export(&batch) => panic!("it hangs"),
        () = async {
            while !exporter.store.calls.lock().unwrap().iter().any(|call| call == "complete") {
                tokio::task::yield_now().await;
            }
        } => {}
    }
    exporter.store.aborted.notified().await;
}

#[tokio::test]
async fn events_that_the_format_refuses_are_rejected_alone_and_none_is_no_object() {
    let keys = Keys { format: "csv".to_owned(), csv_template: "{{ .UserKey}}\n".to_owned(), ..Keys::default() };
    let exporter = exporter(&keys);
    let event = r#"{"kind":"feature","userKey":"u","creationDate":1,"key":"k","variation":"v","value":1,"default":false,"version":"","source":"SERVER"}"#;
    for (lines, calls) in [(format!("{event}\n{{}}x\n{event}\n"), 1), ("{}x\n".to_owned(), 0)] {
        let stream = StreamName::new("default", EventKind::Feature);
        let batch = EventBatch::new(BatchId::new("s-default/feature-1-9"), stream, 1, vec![Bytes::from(lines.clone())]);
        let facts = PlanFacts { batch: batch.id(), stream: batch.stream(), timestamp: 1_700_000_000 };
        let plan = exporter.plan(&facts).await.unwrap();
        let said = exporter.export(&batch.clone().with_object(plan)).await;
        let Err(ExportError::Partial { retry, rejected, .. }) = said else { panic!("{said:?}") };
        assert_eq!((retry.len(), rejected.len()), (0, 1));
        assert_eq!(exporter.store.calls().len(), calls, "{lines}");
    }
    assert_eq!(exporter.store.objects.lock().unwrap()["flag-variation-h-1700000000.csv"].1, b"u\nu\n");
}

#[test]
fn keys_that_cannot_work_are_told() {
    let keys = |change: fn(&mut Keys)| {
        let mut keys = Keys::default();
        change(&mut keys);
        let mut problems = Problems::default();
        assert!(keys.objects(Join::Slash).check(&mut problems, &BuildContext::system()).is_none() || problems.has_errors());
        problems.finish().0.into_iter().map(|problem| problem.path).collect::<Vec<_>>()
    };
    assert_eq!(keys(|keys| keys.filename = "all.json".to_owned()), ["filename"]);
    assert_eq!(keys(|keys| keys.path = "{{ .Nope}}".to_owned()), ["path"]);
    assert_eq!(keys(|keys| keys.format = "a/b".to_owned()), ["format"]);
    assert_eq!(keys(|keys| keys.timeout.0 = std::time::Duration::ZERO), ["timeout"]);
}
