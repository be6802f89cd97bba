//! OpenSearch: one node, in a Java process with a small heap. It has no security plugin, so nobody is refused.

use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::process::controlled;
use super::{Process, Running, given, installed};
use crate::setup::free_port;
use crate::{client, until};

/// A server.
#[derive(Debug)]
pub struct OpenSearch {
    url: String,
    /// `None`: it is somebody else's.
    ours: Option<(TempDir, u16, u16)>,
    process: Running,
}

/// The server of all tests: `FLAGPOST_TEST_OPENSEARCH_URL`, or ours. `None`: skipped.
pub async fn shared() -> Option<Arc<OpenSearch>> {
    static SHARED: OnceCell<Option<Arc<OpenSearch>>> = OnceCell::const_new();
    let start = async || match given("opensearch") {
        Some(url) => Some(Arc::new(OpenSearch { url, ours: None, process: Running::default() })),
        None => own().await.map(Arc::new),
    };
    SHARED.get_or_init(start).await.clone()
}

/// A server of the test's own, to be killed. `None`: skipped.
pub async fn own() -> Option<OpenSearch> {
    installed("opensearch")?;
    let (http, transport) = (free_port(), free_port());
    let ours = Some((tempfile::tempdir().unwrap(), http, transport));
    let server = OpenSearch { url: format!("http://127.0.0.1:{http}"), ours, process: Running::default() };
    server.restart().await;
    Some(server)
}

controlled!(OpenSearch, process);

impl OpenSearch {
    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Starts it again with what it has, and waits until it takes documents.
    pub async fn restart(&self) {
        let home = installed("opensearch").expect("it was there before");
        let (directory, http, transport) = self.ours.as_ref().expect("the test needs a server of its own");
        let options = ["-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"].map(str::to_owned).into_iter();
        let own = [
            format!("{0}:{0}/libs/*", home.display()),
            "OpenSearchMain".to_owned(),
            directory.path().display().to_string(),
            http.to_string(),
            transport.to_string(),
        ];
        let log = directory.path().join("log");
        self.process.set(Process::start("java".as_ref(), &options.chain(own).collect::<Vec<_>>(), &log));
        let health = format!("{}/_cluster/health?wait_for_status=yellow&timeout=1s", self.url);
        until("OpenSearch is ready", async || client().get(&health).send().await.ok().filter(|answer| answer.status() == 200)).await;
    }

    /// A call of its API, which is well.
    pub async fn ask(&self, method: http::Method, path: &str, body: Option<Value>) -> Value {
        let mut request = client().request(method, format!("{}{path}", self.url));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// All documents of an index, with their `_id`s.
    pub async fn documents(&self, index: &str) -> Vec<(String, Value)> {
        self.ask(http::Method::POST, &format!("/{index}/_refresh"), None).await;
        let found =
            self.ask(http::Method::POST, &format!("/{index}/_search?size=10000"), Some(json!({ "query": { "match_all": {} } }))).await;
        let hits = found["hits"]["hits"].as_array().unwrap_or_else(|| panic!("no hits: {found}"));
        hits.iter().map(|hit| (hit["_id"].as_str().unwrap().to_owned(), hit["_source"].clone())).collect()
    }
}
