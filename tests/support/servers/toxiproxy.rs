//! A real fault proxy: resets, stalls and slow links between a relay and a server.

use std::path::Path;

use serde_json::{Value, json};

use super::{Process, installed};
use crate::setup::free_port;
use crate::{Client, client, events, until};

/// A fault: its kind, its direction, its attributes.
pub type Fault = (&'static str, &'static str, Value);

/// A line is reset, stalls, is cut.
pub fn line_faults() -> Vec<Fault> {
    vec![
        ("reset_peer", "downstream", json!({ "timeout": 20 })),
        ("timeout", "downstream", json!({ "timeout": 0 })),
        ("limit_data", "upstream", json!({ "bytes": 700 })),
    ]
}

/// A proxy before one port.
#[derive(Debug)]
pub struct Toxiproxy {
    url: String,
    _process: Process,
}

impl Toxiproxy {
    /// One that listens on `port` and passes everything on to `upstream`. `None`: skipped.
    pub(crate) async fn before(directory: &Path, port: u16, upstream: u16) -> Option<Toxiproxy> {
        let home = installed("toxiproxy")?;
        let api = free_port().to_string();
        let arguments = ["-host", "127.0.0.1", "-port", &api].map(str::to_owned);
        let process = Process::start(&home.join("toxiproxy"), &arguments, &directory.join("toxiproxy.log"));
        let proxy = Toxiproxy { url: format!("http://127.0.0.1:{api}"), _process: process };
        let url = format!("{}/version", proxy.url);
        until("the fault proxy is ready", async || client().get(&url).send().await.ok()).await;
        let body =
            json!({ "name": "it", "listen": format!("127.0.0.1:{port}"), "upstream": format!("127.0.0.1:{upstream}"), "enabled": true });
        proxy.post("/proxies", body).await;
        Some(proxy)
    }

    /// Adds a fault to what comes back from the server (`downstream`) or goes to it (`upstream`): `reset_peer`, `timeout`, `bandwidth`, …
    pub async fn add(&self, kind: &str, stream: &str, attributes: Value) {
        self.post("/proxies/it/toxics", json!({ "name": kind, "type": kind, "stream": stream, "attributes": attributes })).await;
    }

    /// Removes all faults.
    pub async fn heal(&self) {
        self.post("/reset", json!({})).await;
    }

    /// Cuts the line: connections end, new ones are refused. Or joins it again.
    pub async fn enable(&self, enabled: bool) {
        self.post("/proxies/it", json!({ "enabled": enabled })).await;
    }

    /// Each fault in turn, then a line that is refused: a hundred events each time, from 101 on, of which nothing arrives while the fault holds
    /// (`troubled` returns) and everything when it is healed (`complete`, given the last event's number).
    pub async fn torments(&self, relay: &Client, faults: &[Fault], troubled: impl AsyncFn(), mut complete: impl AsyncFnMut(u64)) {
        let mut next = 101;
        for (kind, stream, attributes) in faults {
            self.add(kind, stream, attributes.clone()).await;
            relay.post(&events(next..next + 100)).await;
            troubled().await;
            self.heal().await;
            next += 100;
            complete(next - 1).await;
        }
        self.enable(false).await;
        relay.post(&events(next..next + 100)).await;
        troubled().await;
        self.enable(true).await;
        complete(next + 99).await;
    }

    async fn post(&self, path: &str, body: Value) {
        let answer = client().post(format!("{}{path}", self.url)).json(&body).send().await.unwrap();
        let status = answer.status();
        assert!(status.is_success(), "{path}: {status} {}", answer.text().await.unwrap());
    }
}
