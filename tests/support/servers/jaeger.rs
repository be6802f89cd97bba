//! Jaeger: takes spans as OTLP over gRPC and HTTP, keeps them in memory, and gives them back as JSON.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::process::controlled;
use super::toxiproxy::Toxiproxy;
use super::{Process, Running, given, installed};
use crate::setup::free_port;
use crate::{client, until};

/// A server.
#[derive(Debug)]
pub struct Jaeger {
    host: String,
    grpc: u16,
    http: u16,
    query: String,
    directory: TempDir,
    process: Running,
}

/// A span as Jaeger gives it back.
#[derive(Clone, Debug)]
pub struct SpanRead {
    /// Its trace's id, in hex.
    pub trace: String,
    /// Its own id, in hex.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Unix microseconds.
    pub start: u64,
    /// Microseconds.
    pub duration: u64,
    /// Attributes: type and value.
    pub tags: BTreeMap<String, (String, Value)>,
    /// The resource's attributes.
    pub resource: BTreeMap<String, Value>,
}

impl SpanRead {
    /// The number of the test's event.
    pub fn number(&self) -> u64 {
        let user = self.tags["feature_flag.user_key"].1.as_str().unwrap();
        user.strip_prefix("u-").and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("not an event of these tests: {user}"))
    }
}

/// The server of all tests: `FLAGPOST_TEST_JAEGER_URL` (its query port; OTLP is then expected at 4317 and 4318 of the same host), or ours. `None`:
/// skipped.
pub async fn shared() -> Option<Arc<Jaeger>> {
    static SHARED: OnceCell<Option<Arc<Jaeger>>> = OnceCell::const_new();
    let start = async || match given("jaeger") {
        Some(url) => {
            let host = url.trim_start_matches("http://").split([':', '/']).next().unwrap().to_owned();
            let (query, directory) = (url.trim_end_matches('/').to_owned(), tempfile::tempdir().unwrap());
            Some(Arc::new(Jaeger { host, grpc: 4317, http: 4318, query, directory, process: Running::default() }))
        }
        None => own().await.map(Arc::new),
    };
    SHARED.get_or_init(start).await.clone()
}

/// A server of the test's own, to be killed and stopped. `None`: skipped.
pub async fn own() -> Option<Jaeger> {
    installed("jaeger")?;
    let server = Jaeger {
        host: "127.0.0.1".to_owned(),
        grpc: free_port(),
        http: free_port(),
        query: format!("http://127.0.0.1:{}", free_port()),
        directory: tempfile::tempdir().unwrap(),
        process: Running::default(),
    };
    server.restart().await;
    Some(server)
}

controlled!(Jaeger, process);

impl Jaeger {
    /// Where it takes OTLP over gRPC.
    pub fn grpc(&self) -> String {
        format!("http://{}:{}", self.host, self.grpc)
    }

    /// Where it takes OTLP over HTTP.
    pub fn http(&self) -> String {
        format!("http://{}:{}", self.host, self.http)
    }

    /// A fault proxy before one of its ports, and its address. `None`: skipped.
    pub async fn proxy(&self, grpc: bool) -> Option<(Toxiproxy, String)> {
        let port = free_port();
        let upstream = if grpc { self.grpc } else { self.http };
        let proxy = Toxiproxy::before(self.directory.path(), port, upstream).await?;
        Some((proxy, format!("http://127.0.0.1:{port}")))
    }

    /// Starts it, with no spans.
    pub async fn restart(&self) {
        let home = installed("jaeger").unwrap();
        let ports = [
            ("collector.otlp.grpc", self.grpc),
            ("collector.otlp.http", self.http),
            ("query.http-server", self.query.rsplit(':').next().unwrap().parse().unwrap()),
            ("query.grpc-server", free_port()),
            ("admin.http", free_port()),
            ("collector.grpc-server", free_port()),
            ("collector.http-server", free_port()),
        ];
        let arguments: Vec<String> = ports.iter().map(|(name, port)| format!("--{name}.host-port=127.0.0.1:{port}")).collect();
        let process = Process::start(&home.join("jaeger"), &arguments, &self.directory.path().join("log"));
        self.process.set(process);
        for url in [format!("{}/api/services", self.query), self.http()] {
            until("Jaeger is ready", async || client().get(&url).send().await.ok()).await;
        }
    }

    /// All spans of a service.
    pub async fn spans(&self, service: &str) -> Vec<SpanRead> {
        let url = format!("{}/api/traces?service={service}&start=0&end=4000000000000000&limit=1000000", self.query);
        let answer: Value = client().get(url).send().await.unwrap().json().await.unwrap();
        let traces = answer["data"].as_array().unwrap_or_else(|| panic!("no traces: {answer}"));
        traces.iter().flat_map(|trace| trace["spans"].as_array().unwrap().iter().map(|span| read(span, &trace["processes"]))).collect()
    }

    /// Waits until a service has at least so many spans: Jaeger acknowledges them before they can be found.
    pub async fn at_least(&self, service: &str, count: usize) -> Vec<SpanRead> {
        until(&format!("{service} has {count} spans"), async || {
            let spans = self.spans(service).await;
            (spans.len() >= count).then_some(spans)
        })
        .await
    }
}

fn read(span: &Value, processes: &Value) -> SpanRead {
    let text = |key: &str| span[key].as_str().unwrap().to_owned();
    let tag = |tag: &Value| (tag["key"].as_str().unwrap().to_owned(), tag["type"].as_str().unwrap().to_owned(), tag["value"].clone());
    let tags = |tags: &Value| tags.as_array().into_iter().flatten().map(tag).collect::<Vec<_>>();
    let process = &processes[span["processID"].as_str().unwrap()];
    let mut resource: BTreeMap<String, Value> = tags(&process["tags"]).into_iter().map(|(key, _, value)| (key, value)).collect();
    resource.insert("service.name".to_owned(), process["serviceName"].clone());
    SpanRead {
        trace: text("traceID"),
        id: text("spanID"),
        name: text("operationName"),
        start: span["startTime"].as_u64().unwrap(),
        duration: span["duration"].as_u64().unwrap(),
        tags: tags(&span["tags"]).into_iter().map(|(key, kind, value)| (key, (kind, value))).collect(),
        resource,
    }
}
