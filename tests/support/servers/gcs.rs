//! fake-gcs-server: Cloud Storage's JSON API over a directory, so it keeps its objects when it is killed. It takes any credentials.

use std::path::Path;
use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::process::controlled;
use super::{Process, Running, given, installed, unique};
use crate::setup::free_port;
use crate::{client, until};

/// A server.
#[derive(Debug)]
pub struct Gcs {
    url: String,
    /// `None`: it is somebody else's.
    ours: Option<Ours>,
}

#[derive(Debug)]
struct Ours {
    directory: TempDir,
    port: u16,
    process: Running,
}

/// An object as it was read back.
#[derive(Clone, Debug)]
pub struct GcsObject {
    /// Its name.
    pub name: String,
    /// What the server says of it.
    pub about: Value,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The server of all tests (`FLAGPOST_TEST_GCS_URL`, or ours). `None`: skipped.
pub async fn shared() -> Option<Arc<Gcs>> {
    static SHARED: OnceCell<Option<Arc<Gcs>>> = OnceCell::const_new();
    let start = async || match given("gcs") {
        Some(url) => Some(Arc::new(Gcs { url, ours: None })),
        None => own().await.map(Arc::new),
    };
    SHARED.get_or_init(start).await.clone()
}

/// A server of the test's own, to be killed and stopped. `None`: skipped.
pub async fn own() -> Option<Gcs> {
    installed("fake-gcs")?;
    let port = free_port();
    let ours = Ours { directory: tempfile::tempdir().unwrap(), port, process: Running::default() };
    let gcs = Gcs { url: format!("http://127.0.0.1:{port}"), ours: Some(ours) };
    gcs.restart().await;
    Some(gcs)
}

controlled!(Gcs, ours().process);

impl Gcs {
    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    fn ours(&self) -> &Ours {
        self.ours.as_ref().expect("the test needs a server of its own")
    }

    /// Makes a bucket with a name of its own.
    pub async fn bucket(&self) -> String {
        let name = unique("bucket");
        self.make_bucket(&name).await;
        name
    }

    /// Makes a bucket.
    pub async fn make_bucket(&self, name: &str) {
        self.call(Method::POST, "/storage/v1/b?project=flagpost", json!({ "name": name })).await;
    }

    /// All objects of a bucket, in the order of their names.
    pub async fn objects(&self, bucket: &str) -> Vec<GcsObject> {
        let mut objects = Vec::new();
        for about in self.list(bucket).await {
            let name = about["name"].as_str().unwrap().to_owned();
            let encoded: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let answer = client().get(format!("{}/storage/v1/b/{bucket}/o/{encoded}?alt=media", self.url)).send().await.unwrap();
            assert!(answer.status().is_success(), "{name}: {}", answer.status());
            objects.push(GcsObject { name, about, bytes: answer.bytes().await.unwrap().to_vec() });
        }
        objects.sort_by(|a, b| a.name.cmp(&b.name));
        objects
    }

    /// How many objects a bucket has.
    pub async fn count(&self, bucket: &str) -> usize {
        self.list(bucket).await.len()
    }

    async fn list(&self, bucket: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut page = String::new();
        loop {
            let answer = client().get(format!("{}/storage/v1/b/{bucket}/o?pageToken={page}", self.url)).send().await.unwrap();
            assert!(answer.status().is_success(), "{bucket}: {}", answer.status());
            let answer: Value = answer.json().await.unwrap();
            items.extend(answer["items"].as_array().cloned().unwrap_or_default());
            match answer["nextPageToken"].as_str().filter(|next| !next.is_empty()) {
                Some(next) => next.clone_into(&mut page),
                None => return items,
            }
        }
    }

    /// Puts the objects of a bucket into a directory, with `/` in names as `_`; gives their lines when they are text.
    pub async fn download(&self, bucket: &str, directory: &Path) -> Vec<GcsObject> {
        let objects = self.objects(bucket).await;
        std::fs::create_dir_all(directory).unwrap();
        for object in &objects {
            std::fs::write(directory.join(object.name.replace('/', "_")), &object.bytes).unwrap();
        }
        objects
    }

    /// Puts an object there that is somebody else's.
    pub async fn put(&self, bucket: &str, name: &str, bytes: &'static str) {
        let url = format!("{}/upload/storage/v1/b/{bucket}/o?uploadType=media&name={name}", self.url);
        let answer = client().post(url).body(bytes).send().await.unwrap();
        assert!(answer.status().is_success(), "{name}: {}", answer.status());
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> Value {
        let answer = client().request(method, format!("{}{path}", self.url)).json(&body).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Starts it again, with the same objects on the same port.
    pub async fn restart(&self) {
        let home = installed("fake-gcs").expect("it was there before");
        let ours = self.ours();
        let host = format!("127.0.0.1:{}", ours.port);
        let root = ours.directory.path().join("root").display().to_string();
        let port = ours.port.to_string();
        let arguments = ["-scheme", "http", "-host", "127.0.0.1", "-port", &port, "-public-host", &host];
        let storage = ["-backend", "filesystem", "-filesystem-root", &root, "-log-level", "warn"];
        let arguments: Vec<String> = arguments.iter().chain(&storage).map(|&argument| argument.to_owned()).collect();
        let process = Process::start(&home.join("fake-gcs-server"), &arguments, &ours.directory.path().join("log"));
        ours.process.set(process);
        let url = format!("{}/_internal/healthcheck", self.url);
        until("fake-gcs-server is ready", async || client().get(&url).send().await.ok().filter(|answer| answer.status() == 200)).await;
    }
}

impl GcsObject {
    /// Its lines.
    pub fn lines(&self) -> Vec<String> {
        let text = std::str::from_utf8(&self.bytes).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "{} ends in the middle of a line", self.name);
        text.lines().map(str::to_owned).collect()
    }
}
