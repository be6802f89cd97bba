//! Azurite: Microsoft's emulator of Azure Storage, read back by Microsoft's own client for Python (`tests/servers/azure/client.py`). It checks
//! shared keys and signatures; over HTTPS tokens of Entra ID, too: who they are from and for, and when, not who signed them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout};
use std::sync::{Arc, Mutex, OnceLock};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

use super::process::controlled;
use super::{Process, Running, Toxiproxy, given, installed, unique};
use crate::setup::free_port;
use crate::until;

/// The account that every Azurite has.
pub const ACCOUNT: &str = "devstoreaccount1";
/// Its key, which everybody knows.
pub const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A server.
#[derive(Debug)]
pub struct Azurite {
    /// `http://host:port`.
    url: String,
    port: u16,
    /// `None`: it is somebody else's.
    directory: Option<TempDir>,
    /// Files with its certificate and the key, when it speaks HTTPS.
    certificate: Option<[String; 2]>,
    process: Running,
}

/// The server of all tests: `FLAGPOST_TEST_AZURITE_URL`, or ours. `None`: skipped.
pub async fn shared() -> Option<Arc<Azurite>> {
    static SHARED: OnceCell<Option<Arc<Azurite>>> = OnceCell::const_new();
    let start = async || match given("azurite") {
        Some(url) => {
            installed("azure")?;
            let url = url.trim_end_matches('/').to_owned();
            Some(Arc::new(Azurite { url, port: 0, directory: None, certificate: None, process: Running::default() }))
        }
        None => own().await.map(Arc::new),
    };
    SHARED.get_or_init(start).await.clone()
}

/// A server of the test's own, to be stopped. `None`: skipped.
pub async fn own() -> Option<Azurite> {
    start("http", None).await
}

/// One that speaks HTTPS with that certificate (files of it and of its key), and takes tokens of Entra ID. `None`: skipped.
pub async fn secure(certificate: [String; 2]) -> Option<Azurite> {
    start("https", Some(certificate)).await
}

async fn start(scheme: &str, certificate: Option<[String; 2]>) -> Option<Azurite> {
    installed("azure")?;
    let port = free_port();
    let directory = Some(tempfile::tempdir().unwrap());
    let server = Azurite { url: format!("{scheme}://127.0.0.1:{port}"), port, directory, certificate, process: Running::default() };
    server.restart().await;
    Some(server)
}

controlled!(Azurite, process);

impl Azurite {
    /// The account's address.
    pub fn endpoint(&self) -> String {
        format!("{}/{ACCOUNT}", self.url)
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks it to end, so that it writes down what it has (it does so every few seconds otherwise), and waits for that.
    pub async fn stop(&self) {
        self.process.stop("Azurite").await;
    }

    /// Starts it on the same port with what it has written down.
    pub async fn restart(&self) {
        let home = installed("azure").expect("it was there before");
        let directory = self.directory.as_ref().expect("the test needs a server of its own").path();
        let script = home.join("node_modules/.bin/azurite-blob").to_str().unwrap().to_owned();
        let port = self.port.to_string();
        let location = directory.to_str().unwrap();
        let arguments =
            ["--blobHost", "127.0.0.1", "--blobPort", &port, "--location", location, "--skipApiVersionCheck", "--disableTelemetry"];
        let mut arguments: Vec<String> = [script].into_iter().chain(arguments.map(str::to_owned)).collect();
        if let Some([certificate, key]) = &self.certificate {
            arguments.extend(["--oauth", "basic", "--cert", certificate, "--key", key].map(str::to_owned));
        }
        let process = Process::start("node".as_ref(), &arguments, &directory.join("log"));
        self.process.set(process);
        // Whoever it is: the certificate is a test's.
        until("Azurite is ready", async || TcpStream::connect(("127.0.0.1", self.port)).await.ok()).await;
    }

    /// A fault proxy in front of it, and the account's address through it.
    pub async fn proxy(&self) -> Option<(Toxiproxy, String)> {
        let directory = self.directory.as_ref().expect("the test needs a server of its own");
        let port = free_port();
        let proxy = Toxiproxy::before(directory.path(), port, self.port).await?;
        Some((proxy, format!("http://127.0.0.1:{port}/{ACCOUNT}")))
    }

    /// A container that nobody has made yet.
    pub fn unmade(&self) -> Container {
        let ca = self.certificate.as_ref().map(|[certificate, _]| certificate.clone());
        Container { name: unique("container"), endpoint: self.endpoint(), ca }
    }

    /// A new container.
    pub async fn container(&self) -> Container {
        let container = self.unmade();
        container.create().await;
        container
    }
}

/// A container, and where it is.
#[derive(Clone, Debug)]
pub struct Container {
    /// Its name.
    pub name: String,
    endpoint: String,
    /// Whose certificate is believed.
    ca: Option<String>,
}

/// A blob as it is listed.
#[derive(Clone, Debug)]
pub struct Blob {
    /// Its whole name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// What its writer noted on it.
    pub metadata: BTreeMap<String, String>,
}

impl Container {
    async fn call(&self, operation: &str, more: Value) -> Value {
        let mut command =
            json!({ "endpoint": self.endpoint, "account": ACCOUNT, "key": KEY, "operation": operation, "container": self.name });
        command.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        command.as_object_mut().unwrap().extend(self.ca.iter().map(|ca| ("ca".to_owned(), ca.as_str().into())));
        tokio::task::spawn_blocking(move || tool().answer(&command)).await.unwrap()
    }

    /// Makes it.
    pub async fn create(&self) {
        self.call("create", json!({})).await;
    }

    /// Its blobs, sorted by name, those that are blocks only included.
    pub async fn blobs(&self) -> Vec<Blob> {
        let listed = self.call("list", json!({})).await;
        let blobs = listed.as_array().unwrap().iter().map(|blob| Blob {
            name: blob["name"].as_str().unwrap().to_owned(),
            size: blob["size"].as_u64().unwrap_or(0),
            metadata: serde_json::from_value(blob["metadata"].clone()).unwrap_or_default(),
        });
        let mut blobs: Vec<Blob> = blobs.collect();
        blobs.sort_by(|a, b| a.name.cmp(&b.name));
        blobs
    }

    /// What stands in a blob.
    pub async fn get(&self, blob: &str) -> Vec<u8> {
        let answer = self.call("get", json!({ "blob": blob })).await;
        BASE64_STANDARD.decode(answer.as_str().unwrap()).unwrap()
    }

    /// Puts a blob there.
    pub async fn put(&self, blob: &str, text: &str) {
        self.call("put", json!({ "blob": blob, "bytes": BASE64_STANDARD.encode(text), "metadata": {} })).await;
    }

    /// The lines of all blobs, sorted.
    pub async fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for blob in self.blobs().await {
            let text = String::from_utf8(self.get(&blob.name).await).unwrap();
            lines.extend(text.lines().map(str::to_owned));
        }
        lines.sort();
        lines
    }

    /// A signed URL with these rights, for that many hours from now on.
    pub async fn signed(&self, rights: &str, hours: i32) -> String {
        let query = self.call("signature", json!({ "rights": rights, "hours": hours })).await;
        format!("{}/{}?{}", self.endpoint, self.name, query.as_str().unwrap())
    }

    /// How many blocks of a blob belong to no blob.
    pub async fn uncommitted(&self, blob: &str) -> u64 {
        self.call("uncommitted", json!({ "blob": blob })).await.as_u64().unwrap()
    }
}

#[derive(Debug)]
struct Tool {
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    _process: Process,
}

fn tool() -> &'static Tool {
    static TOOL: OnceLock<Tool> = OnceLock::new();
    TOOL.get_or_init(|| {
        let home = installed("azure").expect("who has a server has the client, too");
        let program = home.join("client.py").to_str().unwrap().to_owned();
        let mut process = Process::piped(&home.join("python/bin/python"), &["-u".to_owned(), program], &home.join("client.log"));
        let (input, output) = process.pipes();
        Tool { pipes: Mutex::new((input, BufReader::new(output))), _process: process }
    })
}

impl Tool {
    fn answer(&self, command: &Value) -> Value {
        // A test that failed in between changes nothing for the others.
        let mut pipes = self.pipes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (input, output) = &mut *pipes;
        writeln!(input, "{command}").unwrap();
        let mut line = String::new();
        assert!(output.read_line(&mut line).unwrap() > 0, "Python ended: see client.log at {command}");
        let mut answer: Value = serde_json::from_str(&line).unwrap();
        assert!(answer.get("ok").is_some(), "{command}: {answer}");
        answer["ok"].take()
    }
}
