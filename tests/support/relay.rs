//! The relay as a client sees it.

use std::sync::{Arc, Once, OnceLock};
use std::time::Duration;

use serde_json::Value;

use crate::{Metrics, body, until};

/// One relay's address.
#[derive(Clone, Debug)]
pub struct Client {
    url: String,
    /// The first scrape of this run of the program, before anything was sent to it.
    first: Arc<OnceLock<Metrics>>,
}

/// The HTTP client of all tests of one thread.
pub fn client() -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // Another library may have been first.
        let _other = rustls::crypto::ring::default_provider().install_default();
    });
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap()
}

impl Client {
    /// The relay on that port.
    pub fn new(port: u16) -> Client {
        Client { url: format!("http://127.0.0.1:{port}"), first: Arc::default() }
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Sends events; `None` when there was no answer.
    pub async fn try_post<S: AsRef<str>>(&self, http: &reqwest::Client, events: &[S]) -> Option<u16> {
        let request = http.post(self.url("/v1/data/collector")).header("content-type", "application/json").body(body(events));
        request.send().await.ok().map(|response| response.status().as_u16())
    }

    /// Sends events, which are taken.
    pub async fn post<S: AsRef<str>>(&self, events: &[S]) {
        let response = client()
            .post(self.url("/v1/data/collector"))
            .header("content-type", "application/json")
            .body(body(events))
            .send()
            .await
            .expect("the relay answers");
        let (status, text) = (response.status().as_u16(), response.text().await.unwrap());
        assert_eq!((status, text.trim()), (200, format!("{{\"ingestedContentCount\":{}}}", events.len()).as_str()));
    }

    /// A GET's status and body.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let response = client().get(self.url(path)).send().await.expect("the relay answers");
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// A scrape.
    pub async fn metrics(&self) -> Metrics {
        let metrics = self.scrape().await;
        metrics.assert_conserved();
        metrics
    }

    async fn scrape(&self) -> Metrics {
        let (status, text) = self.get("/metrics").await;
        assert_eq!(status, 200, "{text}");
        Metrics::parse(&text)
    }

    /// Called once when the program is ready: what every exporter had accepted in earlier runs.
    pub(crate) async fn begin(&self) {
        let first = self.scrape().await;
        self.first.get_or_init(|| first);
    }

    /// One exporter in `/health/exporters`.
    pub async fn exporter(&self, name: &str) -> Value {
        let (status, text) = self.get("/health/exporters").await;
        assert_eq!(status, 200, "{text}");
        let all: Value = serde_json::from_str(&text).unwrap();
        let tasks = all["exporters"].as_array().unwrap_or_else(|| panic!("no exporters: {text}"));
        tasks.iter().find(|task| task["name"] == name).unwrap_or_else(|| panic!("no exporter {name}: {text}")).clone()
    }

    /// What `/health/exporters` says of the configuration.
    pub async fn configuration(&self) -> Value {
        let (status, text) = self.get("/health/exporters").await;
        assert_eq!(status, 200, "{text}");
        serde_json::from_str::<Value>(&text).unwrap()["configuration"].clone()
    }

    /// Waits until that many configurations were taken and refused since the start; gives what is said of the last one.
    pub async fn reloaded(&self, applied: u64, refused: u64) -> Value {
        until(&format!("{applied} configurations were taken, {refused} refused"), async || {
            let now = self.configuration().await;
            (now["applied"] == applied && now["refused"] == refused).then_some(now)
        })
        .await
    }

    /// Waits until these exporters have nothing to do.
    pub async fn drained(&self, exporters: &[&str]) -> Metrics {
        until(&format!("{exporters:?} deliver everything"), async || {
            let metrics = self.metrics().await;
            let known = metrics.exporters();
            let done = |exporter: &&str| known.iter().any(|name| name == exporter) && metrics.counts(exporter).waiting == 0;
            // What exporters accepted is computed from event numbers, what the collector took is counted: they must agree.
            let agrees = self.first.get().is_none_or(|first| metrics.disagreement(first).is_none());
            (exporters.iter().all(done) && agrees).then_some(metrics)
        })
        .await
    }

    /// Waits until everything was delivered: that many events, none of them dead or given up.
    pub async fn complete(&self, exporter: &str, count: u64) {
        let counts = self.drained(&[exporter]).await.counts(exporter);
        let found = (counts.delivered, counts.dead, counts.dropped);
        assert_eq!(found, (count, 0, 0), "{exporter}: {}", self.exporter(exporter).await);
    }

    /// Waits until an exporter is in that state and says this; gives all that it says.
    pub async fn told(&self, exporter: &str, state: &str, text: &str) -> String {
        until(&format!("{exporter} is {state} and says {text}"), async || {
            let task = self.exporter(exporter).await;
            let message = task["lastError"]["message"].as_str().unwrap_or_default().to_owned();
            (task["state"] == state && message.contains(text)).then_some(message)
        })
        .await
    }

    /// Waits until an exporter is in that state; gives what `/health/exporters` says of it.
    pub async fn in_state(&self, exporter: &str, state: &str) -> Value {
        until(&format!("{exporter} is {state}"), async || {
            let task = self.exporter(exporter).await;
            (task["state"] == state).then_some(task)
        })
        .await
    }
}
