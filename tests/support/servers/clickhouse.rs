//! ClickHouse as Debian has it (18.16): no deduplication tokens yet. Read back by SQL.

use std::fs;
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::process::controlled;
use super::{Process, Running, given, installed};
use crate::setup::free_port;
use crate::{client, until};

/// A server. `writer` with the password `writer-secret` may write.
#[derive(Debug)]
pub struct ClickHouse {
    url: String,
    /// `None`: it is somebody else's.
    ours: Option<TempDir>,
    process: Running,
}

/// The server of all tests: `FLAGPOST_TEST_CLICKHOUSE_URL` (where `default` needs no password), or ours. `None`: skipped.
pub async fn shared() -> Option<Arc<ClickHouse>> {
    static SHARED: OnceCell<Option<Arc<ClickHouse>>> = OnceCell::const_new();
    let start = async || match given("clickhouse") {
        Some(url) => Some(Arc::new(ClickHouse { url, ours: None, process: Running::default() })),
        None => own().await.map(Arc::new),
    };
    SHARED.get_or_init(start).await.clone()
}

/// A server of the test's own, to be killed. `None`: skipped.
pub async fn own() -> Option<ClickHouse> {
    let home = installed("clickhouse")?;
    let (port, directory) = (free_port(), tempfile::tempdir().unwrap());
    let config = fs::read_to_string(home.join("config.xml")).unwrap().replace("@DIR@", directory.path().to_str().unwrap());
    let config = config.replace("@HTTP@", &port.to_string()).replace("@TCP@", &free_port().to_string());
    fs::write(directory.path().join("config.xml"), config).unwrap();
    fs::copy(home.join("users.xml"), directory.path().join("users.xml")).unwrap();
    let server = ClickHouse { url: format!("http://127.0.0.1:{port}"), ours: Some(directory), process: Running::default() };
    server.restart().await;
    Some(server)
}

controlled!(ClickHouse, process);

impl ClickHouse {
    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Starts it again with what it has, and waits until it answers.
    pub async fn restart(&self) {
        let home = installed("clickhouse").expect("it was there before");
        let directory = self.ours.as_ref().expect("the test needs a server of its own").path();
        let arguments = [format!("--config-file={}", directory.join("config.xml").display())];
        let process = Process::unpacked(&home, "usr/sbin/clickhouse-server", &arguments, &directory.join("log"));
        self.process.set(process);
        until("ClickHouse answers", async || client().get(&self.url).send().await.ok().filter(|answer| answer.status() == 200)).await;
    }

    /// Runs a statement, which is well; gives its text.
    pub async fn run(&self, sql: &str) -> String {
        let answer = client().post(&self.url).body(sql.to_owned()).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{sql}: {status}: {text}");
        text
    }

    /// The rows of a query.
    pub async fn rows(&self, sql: &str) -> Vec<Value> {
        let text = self.run(&format!("{sql} FORMAT JSONEachRow")).await;
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
