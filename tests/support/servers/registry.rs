//! distribution, the reference implementation of an OCI registry, with a password; and a look into it that shares no code with ours.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::{Process, Running, given, installed};
use crate::setup::free_port;
use crate::{client, until};

/// Who may do everything.
pub const USER: &str = "tester";

/// The user's password.
pub const PASSWORD: &str = "secret-of-tester";

/// The same as the server wants it: bcrypt, the cheapest.
const HTPASSWD: &str = "tester:$2b$04$AlTyUiPJn7lgscFOsrlho.zNWKUoCPVvDipvp4vmEHZ1jbTkAxy8m\n";

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A registry. What was pushed is there again when it is started again.
#[derive(Debug)]
pub struct Registry {
    url: String,
    /// `None`: it is somebody else's.
    ours: Option<TempDir>,
    process: Running,
    /// With TLS: the certificate, which is its own authority.
    certificate: Option<String>,
}

/// The registry of all tests: `FLAGPOST_TEST_REGISTRY_URL` (without TLS, and `tester` with the password of this file may do everything), or ours. `None`:
/// skipped.
pub async fn shared() -> Option<Arc<Registry>> {
    static SHARED: OnceCell<Option<Arc<Registry>>> = OnceCell::const_new();
    let start = async || match given("registry") {
        Some(url) => {
            let url = url.trim_end_matches('/').to_owned();
            Some(Arc::new(Registry { url, ours: None, process: Running::default(), certificate: None }))
        }
        None => own().await.map(Arc::new),
    };
    SHARED.get_or_init(start).await.clone()
}

/// A registry of the test's own, without TLS, to be stopped. `None`: skipped.
pub async fn own() -> Option<Registry> {
    let registry = Registry::stopped(None)?;
    registry.start().await;
    Some(registry)
}

/// One with TLS, under the name `localhost`. `None`: skipped.
pub async fn with_tls() -> Option<Registry> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let registry = Registry::stopped(Some((made.cert.pem(), made.signing_key.serialize_pem())))?;
    registry.start().await;
    Some(registry)
}

impl Registry {
    fn stopped(tls: Option<(String, String)>) -> Option<Registry> {
        installed("registry")?;
        let (port, directory) = (free_port(), tempfile::tempdir().unwrap());
        let at = |name: &str| directory.path().join(name).display().to_string();
        let mut config = json!({
            "version": "0.1",
            "log": { "level": "warn", "accesslog": { "disabled": true } },
            "storage": { "filesystem": { "rootdirectory": at("data") } },
            "http": { "addr": format!("127.0.0.1:{port}") },
            "auth": { "htpasswd": { "realm": "tests", "path": at("htpasswd") } },
        });
        if let Some((certificate, key)) = &tls {
            fs::write(at("tls.crt"), certificate).unwrap();
            fs::write(at("tls.key"), key).unwrap();
            config["http"]["tls"] = json!({ "certificate": at("tls.crt"), "key": at("tls.key") });
        }
        // JSON is YAML.
        fs::write(at("config.yml"), config.to_string()).unwrap();
        fs::write(at("htpasswd"), HTPASSWD).unwrap();
        let url = if tls.is_some() { format!("https://localhost:{port}") } else { format!("http://127.0.0.1:{port}") };
        Some(Registry { url, ours: Some(directory), process: Running::default(), certificate: tls.map(|(certificate, _)| certificate) })
    }

    /// `host:port`, as references have it.
    pub fn host(&self) -> &str {
        self.url.split_once("://").expect("a URL has a scheme").1
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The certificate's file, if it speaks TLS.
    pub fn certificate(&self) -> std::path::PathBuf {
        self.directory().join("tls.crt")
    }

    fn directory(&self) -> &Path {
        self.ours.as_ref().expect("the test needs a registry of its own").path()
    }

    /// Ends it.
    pub fn stop(&self) {
        self.process.kill();
    }

    /// Starts it, again with what it has, and waits until it answers.
    pub async fn start(&self) {
        let program = installed("registry").expect("it was there before").join("registry");
        let arguments = ["serve".to_owned(), self.directory().join("config.yml").display().to_string()];
        let process = Process::start(&program, &arguments, &self.directory().join("log"));
        self.process.set(process);
        until("the registry answers", async || self.request(Method::GET, "").send().await.ok().filter(|answer| answer.status() == 200))
            .await;
    }

    /// A request below `/v2/`, with the password.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let client = match &self.certificate {
            None => client(),
            Some(certificate) => {
                // Sets the provider of TLS.
                drop(client());
                let certificate = reqwest::Certificate::from_pem(certificate.as_bytes()).unwrap();
                reqwest::Client::builder().no_proxy().tls_certs_only([certificate]).build().unwrap()
            }
        };
        client.request(method, format!("{}/v2/{path}", self.url())).basic_auth(USER, Some(PASSWORD))
    }

    /// The manifest under a tag or a digest, as it is kept, and its SHA-256 in hex.
    pub async fn manifest(&self, name: &str, version: &str) -> (Value, String) {
        let request = self.request(Method::GET, &format!("{name}/manifests/{version}")).header("accept", MANIFEST);
        let bytes = good(request, 200).await.bytes().await.unwrap();
        (serde_json::from_slice(&bytes).unwrap(), hex::encode(Sha256::digest(&bytes)))
    }

    /// A blob by its digest (`sha256:…`).
    pub async fn blob(&self, name: &str, digest: &str) -> Vec<u8> {
        good(self.request(Method::GET, &format!("{name}/blobs/{digest}")), 200).await.bytes().await.unwrap().to_vec()
    }

    /// Puts a blob there; gives its descriptor.
    pub async fn put_blob(&self, name: &str, media_type: &str, bytes: &[u8]) -> Value {
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(bytes)));
        let begun = good(self.request(Method::POST, &format!("{name}/blobs/uploads/")), 202).await;
        let location = begun.headers()["location"].to_str().unwrap().to_owned();
        let location = location.strip_prefix(self.url()).unwrap_or(&location);
        let path = format!("{}&digest={digest}", location.strip_prefix("/v2/").unwrap());
        good(self.request(Method::PUT, &path).body(bytes.to_vec()), 201).await;
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    }

    /// Puts a manifest there under a tag, as it is.
    pub async fn put_manifest(&self, name: &str, tag: &str, manifest: &Value) {
        let media_type = manifest["mediaType"].as_str().unwrap_or(MANIFEST).to_owned();
        let request = self.request(Method::PUT, &format!("{name}/manifests/{tag}")).header("content-type", media_type);
        good(request.body(manifest.to_string()), 201).await;
    }

    /// Puts an image with these layers there: media type and bytes.
    pub async fn put_image(&self, name: &str, tag: &str, layers: &[(&str, &[u8])]) {
        let config = self.put_blob(name, "application/vnd.oci.image.config.v1+json", b"{}").await;
        let mut described = Vec::new();
        for (media_type, bytes) in layers {
            described.push(self.put_blob(name, media_type, bytes).await);
        }
        let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": described });
        self.put_manifest(name, tag, &manifest).await;
    }
}

async fn good(request: RequestBuilder, status: u16) -> Response {
    let answer = request.send().await.unwrap();
    if answer.status() != status {
        panic!("{}: {}", answer.status(), answer.text().await.unwrap());
    }
    answer
}
