//! One host for all tests of a binary (what was compiled once stays compiled), guests written by hand, and batches.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "tests")]

pub mod server;

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use flagpost_event::{BatchId, EventBatch, EventKind, StreamName};
use flagpost_exporter::{Exporter, Readiness};
use flagpost_plugin::{Compiler, HostOptions, PluginHost, PluginSpec, WasmExporter};

/// The runtime that guests run on.
pub static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

static TEMP: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

/// The host that most tests share.
pub static HOST: LazyLock<Arc<PluginHost>> = LazyLock::new(|| PluginHost::start(options(&TEMP.path().join("cache"))).unwrap());

pub fn options(cache: &Path) -> HostOptions {
    HostOptions { state_dir: Some(cache.with_file_name("state")), ..HostOptions::new(cache, Compiler::InProcess, RUNTIME.handle().clone()) }
}

/// A guest of the frozen interface: `data` are segments below 1024, `bulk` and `export` are instructions.
pub fn guest_with(data: &str, bulk: &str, export: &str) -> Vec<u8> {
    let text = include_str!("../guests/exporter-0.1.0.wat");
    let (head, module) = text.split_once("(core module").unwrap();
    let module = module.replace("DATA", data).replace("BULK", bulk).replace("EXPORT", export);
    wat::parse_str(format!("{head}(core module{module}")).unwrap()
}

/// A bulk guest whose `export` runs these instructions and then returns what stands at 1024: `ok` if nothing was written there.
pub fn guest(export: &str) -> Vec<u8> {
    guest_with("", "(i32.const 1)", export)
}

/// Puts a plugin's bytes into a file of its own.
pub fn file(bytes: &[u8]) -> PathBuf {
    let path = TEMP.path().join(format!("plugin-{:016x}.wasm", rand::random::<u64>()));
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Loads a plugin and waits until it is ready or invalid.
pub async fn load(host: &Arc<PluginHost>, spec: PluginSpec) -> Arc<WasmExporter> {
    let exporter = host.load(spec).unwrap();
    settled(&exporter).await;
    exporter
}

/// Loads a plugin that must be ready.
pub async fn ready(spec: PluginSpec) -> Arc<WasmExporter> {
    let exporter = load(&HOST, spec).await;
    assert_eq!(readiness(&exporter), Readiness::Ready { generation: 1 });
    exporter
}

/// A ready plugin of these bytes with default settings.
pub async fn plugin(bytes: &[u8]) -> Arc<WasmExporter> {
    ready(PluginSpec::new("acme", file(bytes))).await
}

pub fn readiness(exporter: &WasmExporter) -> Readiness {
    exporter.readiness().unwrap().borrow().clone()
}

/// Waits for the end of preparing and returns what came.
pub async fn settled(exporter: &WasmExporter) -> Readiness {
    exporter.readiness().unwrap().wait_for(|readiness| *readiness != Readiness::Preparing).await.unwrap().clone()
}

/// Asks until there is an answer. Only the file system is waited for.
pub async fn until<T>(what: &str, mut answer: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(found) = answer().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), asking).await.unwrap_or_else(|_| panic!("never: {what}"))
}

/// The reason why a plugin is invalid.
pub async fn invalid(spec: PluginSpec) -> String {
    let exporter = load(&HOST, spec).await;
    match readiness(&exporter) {
        Readiness::Invalid { reason } => reason,
        other => panic!("expected an invalid plugin, it is {other:?}"),
    }
}

/// A canonical line of one flag evaluation.
pub fn feature_line(number: usize) -> String {
    format!(
        r#"{{"kind":"feature","contextKind":"user","userKey":"user-{number}","creationDate":1700000000,"key":"new-\u003cb\u003e","variation":"on","value":{{"a":[1,2.5,null]}},"default":false,"version":"v1","source":"SERVER","metadata":{{"n":{number}}}}}"#
    )
}

/// A canonical line of one tracking event.
pub fn tracking_line(number: usize) -> String {
    format!(
        r#"{{"kind":"tracking","contextKind":"user","userKey":"user-{number}","creationDate":1700000001,"key":"bought","evaluationContext":{{"targetingKey":"user-{number}"}},"trackingEventDetails":{{"price":9.5}}}}"#
    )
}

pub fn batch_of(kind: EventKind, lines: impl IntoIterator<Item = String>) -> EventBatch {
    let lines: Vec<_> = lines.into_iter().map(|line| Bytes::from(line + "\n")).collect();
    EventBatch::new(BatchId::new("store-default-feature-1-n"), StreamName::new("default", kind), 1, lines)
}

/// A batch of feature events.
pub fn features(count: usize) -> EventBatch {
    batch_of(EventKind::Feature, (0..count).map(feature_line))
}

/// Builds a guest in Rust with its real toolchain, once per test run, and returns its file.
pub fn rust_guest(folder: &str, name: &str) -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join("Cargo.toml");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("guests");
    let built = std::process::Command::new(env!("CARGO"))
        .args(["build", "--release", "--locked", "--target", "wasm32-wasip2", "--manifest-path"])
        .arg(&manifest)
        .arg("--target-dir")
        .arg(&target)
        .output()
        .unwrap();
    assert!(built.status.success(), "{}: {}", manifest.display(), String::from_utf8_lossy(&built.stderr));
    target.join("wasm32-wasip2/release").join(name)
}

static PROBE: LazyLock<PathBuf> = LazyLock::new(|| rust_guest("tests/guests/probe", "probe.wasm"));

/// A guest that does what its configuration says; see `tests/guests/probe`.
pub fn probe(config: serde_json::Value) -> PluginSpec {
    PluginSpec { config, ..PluginSpec::new("probe", PROBE.clone()) }
}

static MANAGED: LazyLock<PathBuf> = LazyLock::new(|| rust_guest("tests/guests/managed", "managed.wasm"));

/// A guest of the full contract; see `tests/guests/managed`.
pub fn managed(config: serde_json::Value) -> PluginSpec {
    PluginSpec { config, events: vec![EventKind::Feature], ..PluginSpec::new("managed", MANAGED.clone()) }
}

/// A guest of the frozen `managed-exporter@0.1.0`. `describe` writes the descriptor at 1024, `data` are segments below 1024.
pub fn managed_wat(data: &str, describe: &str, configure: &str, export: &str, close: &str) -> Vec<u8> {
    let text = include_str!("../guests/managed-exporter-0.1.0.wat");
    let (head, module) = text.split_once("(core module").unwrap();
    let module = module.replace("CONFIGURE", configure).replace("DESCRIBE", describe).replace("EXPORT", export).replace("CLOSE", close);
    wat::parse_str(format!("{head}(core module{}", module.replace("DATA", data))).unwrap()
}

/// Calls a probe once and returns what it found out.
pub async fn ask(exporter: &WasmExporter) -> serde_json::Value {
    match exporter.export(&features(1)).await {
        Err(flagpost_exporter::ExportError::Rejected { reason }) => {
            serde_json::from_str(&reason).unwrap_or_else(|error| panic!("{error}: {reason}"))
        }
        other => panic!("expected an answer of the probe, got {other:?}"),
    }
}

/// The reason of a call that crashed.
pub async fn crash(exporter: &WasmExporter) -> String {
    match exporter.export(&features(1)).await {
        Err(flagpost_exporter::ExportError::Crashed { reason }) => reason,
        other => panic!("expected a crash, got {other:?}"),
    }
}
