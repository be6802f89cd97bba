//! VictoriaLogs: takes logs by the APIs of Datadog and Grafana Loki, and is asked by LogsQL.

use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::{Process, Running, given, installed};
use crate::setup::free_port;
use crate::{client, sorted, until};

/// A server.
#[derive(Debug)]
pub struct VictoriaLogs {
    url: String,
    /// User and password, if it asks for them.
    login: Option<(String, String)>,
    /// `None`: it is somebody else's.
    directory: Option<TempDir>,
    process: Running,
}

/// The server of all tests: `FLAGPOST_TEST_VICTORIALOGS_URL`, or ours. `None`: skipped.
pub async fn shared() -> Option<Arc<VictoriaLogs>> {
    static SHARED: OnceCell<Option<Arc<VictoriaLogs>>> = OnceCell::const_new();
    let start = async || match given("victorialogs") {
        Some(url) => Some(Arc::new(VictoriaLogs { url, login: None, directory: None, process: Running::default() })),
        None => own(None).await.map(Arc::new),
    };
    SHARED.get_or_init(start).await.clone()
}

/// A server of the test's own, which may ask for a user and a password. `None`: skipped.
pub async fn own(login: Option<(&str, &str)>) -> Option<VictoriaLogs> {
    installed("victorialogs")?;
    let login = login.map(|(user, password)| (user.to_owned(), password.to_owned()));
    let url = format!("http://127.0.0.1:{}", free_port());
    let server = VictoriaLogs { url, login, directory: Some(tempfile::tempdir().unwrap()), process: Running::default() };
    server.restart().await;
    Some(server)
}

impl VictoriaLogs {
    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks it to end, and waits: what it answered for is on its disk then.
    pub async fn stop(&self) {
        self.process.stop("VictoriaLogs").await;
    }

    /// Starts it again with what it has, and waits until it answers.
    pub async fn restart(&self) {
        let home = installed("victorialogs").expect("it was there before");
        let directory = self.directory.as_ref().expect("the test needs a server of its own").path();
        let mut arguments = vec![
            format!("-httpListenAddr={}", self.url.trim_start_matches("http://")),
            format!("-storageDataPath={}", directory.join("data").display()),
            // Events of the tests are years old.
            "-retentionPeriod=100y".to_owned(),
            // Loki keeps lines as they are.
            "-loki.disableMessageParsing".to_owned(),
        ];
        if let Some((user, password)) = &self.login {
            arguments.extend([format!("-httpAuth.username={user}"), format!("-httpAuth.password={password}")]);
        }
        let process = Process::start(&home.join("victoria-logs"), &arguments, &directory.join("log"));
        self.process.set(process);
        let health = format!("{}/health", self.url);
        until("VictoriaLogs answers", async || client().get(&health).send().await.ok().filter(|answer| answer.status() == 200)).await;
    }

    /// What a query finds.
    pub async fn query(&self, query: &str) -> Vec<Value> {
        let form = |path: &str| {
            let mut request = client().post(format!("{}{path}", self.url));
            if let Some((user, password)) = &self.login {
                request = request.basic_auth(user, Some(password));
            }
            request
        };
        form("/internal/force_flush").send().await.unwrap();
        let answer = form("/select/logsql/query").query(&[("query", query), ("limit", "100000")]).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{query}: {status}: {text}");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits until a query finds at least so many: logs are acknowledged before they can be found.
    pub async fn at_least(&self, query: &str, count: usize) -> Vec<Value> {
        until(&format!("{query} finds {count} logs"), async || {
            let found = self.query(query).await;
            (found.len() >= count).then_some(found)
        })
        .await
    }
}

/// The messages of logs, sorted.
pub fn messages(found: &[Value]) -> Vec<String> {
    sorted(found.iter().map(|log| log["_msg"].as_str().unwrap_or_else(|| panic!("no message: {log}")).to_owned()).collect())
}
