//! Google's emulator of Pub/Sub, spoken to in JSON over HTTP/1: another way than the relay's. It keeps nothing when it ends, and knows no rights.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::process::controlled;
use super::{Process, Running, Toxiproxy, given, skipped, unique};
use crate::setup::free_port;
use crate::{client, until};

/// The project of all tests.
pub const PROJECT: &str = "flagpost-tests";

/// An emulator.
#[derive(Debug)]
pub struct PubSub {
    /// `host:port`.
    address: String,
    /// `None`: it is somebody else's.
    ours: Option<Ours>,
}

#[derive(Debug)]
struct Ours {
    jar: PathBuf,
    directory: TempDir,
    port: u16,
    process: Running,
}

/// A message as a subscriber got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// What it holds.
    pub data: String,
    /// Its attributes, as JSON.
    pub attributes: Value,
    /// Its ordering key; empty when it has none.
    pub key: String,
}

/// The emulator of all tests: `FLAGPOST_TEST_PUBSUB_URL` (`host:port`), or ours. `None`: skipped.
pub async fn shared() -> Option<Arc<PubSub>> {
    static SHARED: OnceCell<Option<Arc<PubSub>>> = OnceCell::const_new();
    let start = async || match given("pubsub") {
        Some(address) => Some(Arc::new(PubSub { address, ours: None })),
        None => own().await.map(Arc::new),
    };
    SHARED.get_or_init(start).await.clone()
}

/// An emulator of the test's own, to be killed and stopped. `None`: skipped.
pub async fn own() -> Option<PubSub> {
    let Some(jar) = jar() else {
        skipped("pubsub", "no cloud-pubsub-emulator-*.jar of Google's Debian package google-cloud-cli-pubsub-emulator is on this machine");
        return None;
    };
    let port = free_port();
    let ours = Ours { jar, directory: tempfile::tempdir().unwrap(), port, process: Running::default() };
    let pubsub = PubSub { address: format!("127.0.0.1:{port}"), ours: Some(ours) };
    pubsub.restart().await;
    Some(pubsub)
}

/// Where Google's package puts it; no registry has it.
fn jar() -> Option<PathBuf> {
    let listed = Command::new("dpkg").args(["-L", "google-cloud-cli-pubsub-emulator"]).output().ok()?;
    let listed = String::from_utf8(listed.stdout).ok()?;
    let mut paths = listed.lines().map(PathBuf::from);
    let is_jar = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("cloud-pubsub-emulator"));
    paths.find(|path| path.extension().is_some_and(|extension| extension == "jar") && is_jar(path) && path.exists())
}

controlled!(PubSub, ours().process);

impl PubSub {
    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    fn ours(&self) -> &Ours {
        self.ours.as_ref().expect("the test needs an emulator of its own")
    }

    /// Makes a topic with a name of its own, and a subscription of the same name that keeps order.
    pub async fn topic(&self) -> String {
        let name = unique("events");
        self.make_topic(&name).await;
        name
    }

    /// Makes a topic and a subscription of the same name that keeps order.
    pub async fn make_topic(&self, name: &str) {
        let topic = format!("projects/{PROJECT}/topics/{name}");
        self.call(reqwest::Method::PUT, &topic, json!({})).await;
        let subscription = json!({ "topic": topic, "enableMessageOrdering": true, "ackDeadlineSeconds": 600 });
        self.call(reqwest::Method::PUT, &format!("projects/{PROJECT}/subscriptions/{name}"), subscription).await;
    }

    /// Waits until `count` messages were got and acknowledged; gives them and whatever came with them.
    pub async fn pull(&self, topic: &str, count: usize) -> Vec<Pulled> {
        let mut all = Vec::new();
        until(&format!("{count} messages of {topic}"), async || {
            all.extend(self.pull_some(topic).await);
            (all.len() >= count).then_some(())
        })
        .await;
        // What came twice comes soon after.
        all.extend(self.pull_some(topic).await);
        all
    }

    async fn pull_some(&self, topic: &str) -> Vec<Pulled> {
        let subscription = format!("projects/{PROJECT}/subscriptions/{topic}");
        let asked = json!({ "maxMessages": 1_000, "returnImmediately": true });
        let answer = self.call(reqwest::Method::POST, &format!("{subscription}:pull"), asked).await;
        let received = answer["receivedMessages"].as_array().cloned().unwrap_or_default();
        if !received.is_empty() {
            let ids: Vec<&Value> = received.iter().map(|received| &received["ackId"]).collect();
            self.call(reqwest::Method::POST, &format!("{subscription}:acknowledge"), json!({ "ackIds": ids })).await;
        }
        received.iter().map(|received| Pulled::of(&received["message"])).collect()
    }

    async fn call(&self, method: reqwest::Method, path: &str, body: Value) -> Value {
        let answer = client().request(method, format!("http://{}/v1/{path}", self.address)).json(&body).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// A fault proxy before it, and its `host:port`. `None`: skipped.
    pub async fn proxy(&self) -> Option<(Toxiproxy, String)> {
        let (ours, port) = (self.ours(), free_port());
        let proxy = Toxiproxy::before(ours.directory.path(), port, ours.port).await?;
        Some((proxy, format!("127.0.0.1:{port}")))
    }

    /// Starts it again on the same port, with nothing in it.
    pub async fn restart(&self) {
        let ours = self.ours();
        let options = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-jar"].map(str::to_owned);
        let own = [ours.jar.display().to_string(), "--host=127.0.0.1".to_owned(), format!("--port={}", ours.port)];
        let arguments: Vec<String> = options.into_iter().chain(own).collect();
        let process = Process::start("java".as_ref(), &arguments, &ours.directory.path().join("log"));
        ours.process.set(process);
        let url = format!("http://{}/", self.address);
        until("the Pub/Sub emulator is ready", async || client().get(&url).send().await.ok().filter(|answer| answer.status() == 200)).await;
    }
}

impl Pulled {
    fn of(message: &Value) -> Pulled {
        let data = BASE64_STANDARD.decode(message["data"].as_str().unwrap_or_default()).unwrap();
        Pulled {
            data: String::from_utf8(data).unwrap(),
            attributes: message["attributes"].clone(),
            key: message["orderingKey"].as_str().unwrap_or_default().to_owned(),
        }
    }
}
