//! A real fault proxy: resets, stalls and slow links between a relay and a server.

use std::path::Path;

use serde_json::{Value, json};

use super::{Process, installed};
use crate::setup::free_port;
use crate::{client, until};

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

    async fn post(&self, path: &str, body: Value) {
        let answer = client().post(format!("{}{path}", self.url)).json(&body).send().await.unwrap();
        let status = answer.status();
        assert!(status.is_success(), "{path}: {status} {}", answer.text().await.unwrap());
    }
}
