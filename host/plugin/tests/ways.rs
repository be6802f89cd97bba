//! The ways requests go: TLS with an authority and a certificate of one's own, HTTP/2, and a proxy.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::convert::Infallible;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use common::server::{Server, status};
use common::{HOST, RUNTIME, ask, load, probe, ready, settled, until};
use flagpost_exporter::{Exporter as _, Readiness, Secret};
use flagpost_plugin::{HostOptions, PluginHost, PluginHttp, PluginSpec, Resolver};
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};

/// An authority, a server's certificate and a client's, as files.
struct Pki {
    dir: tempfile::TempDir,
    authority: CertificateDer<'static>,
    server: (CertificateDer<'static>, PrivateKeyDer<'static>),
}

impl Pki {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let signed = |name: &str| {
            let key = KeyPair::generate().unwrap();
            (CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap(), key)
        };
        let (server, server_key) = signed("localhost");
        let (client, client_key) = signed("client");
        std::fs::write(dir.path().join("ca.pem"), authority.pem()).unwrap();
        std::fs::write(dir.path().join("client.pem"), client.pem()).unwrap();
        std::fs::write(dir.path().join("client.key"), client_key.serialize_pem()).unwrap();
        let server_key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(server_key.serialize_der()));
        Pki { dir, authority: authority.der().clone(), server: (server.der().clone(), server_key) }
    }

    fn file(&self, name: &str) -> Option<PathBuf> {
        Some(self.dir.path().join(name))
    }

    /// A server that answers with the HTTP version it was asked in; with `mutual` it wants the client's certificate.
    async fn serve(&self, mutual: bool) -> u16 {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
        let builder = if mutual {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(self.authority.clone()).unwrap();
            let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder.with_single_cert(vec![self.server.0.clone()], self.server.1.clone_key()).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // A client that does not trust the server goes away.
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| async move {
                        let answer = format!("{:?}", request.version());
                        Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from(answer))))
                    });
                    let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    drop(serving.serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        port
    }
}

async fn get(port: u16, http: PluginHttp) -> Value {
    let spec = probe(json!({ "do": "http", "method": "GET", "url": format!("https://localhost:{port}/") }));
    let spec = PluginSpec { allowed_hosts: vec![format!("https://localhost:{port}")], http, ..spec };
    ask(&*ready(spec).await).await
}

#[test]
fn an_authority_of_ones_own_is_trusted_where_it_is_named_and_http_2_is_spoken() {
    RUNTIME.block_on(async {
        let pki = Pki::new();
        let port = pki.serve(false).await;
        let told = get(port, PluginHttp::default()).await;
        assert!(told["connect"].is_string(), "a stranger: {told}");
        let told = get(port, PluginHttp { ca: pki.file("ca.pem"), ..PluginHttp::default() }).await;
        assert_eq!((told["status"].as_u64(), told["body"].as_str()), (Some(200), Some("HTTP/2.0")), "{told}");
    });
}

#[test]
fn a_client_certificate_opens_what_is_closed_without_it() {
    RUNTIME.block_on(async {
        let pki = Pki::new();
        let port = pki.serve(true).await;
        let trusting = PluginHttp { ca: pki.file("ca.pem"), ..PluginHttp::default() };
        let told = get(port, trusting.clone()).await;
        assert!(told["status"].is_null(), "{told}");
        let told = get(port, PluginHttp { cert: pki.file("client.pem"), key: pki.file("client.key"), ..trusting }).await;
        assert_eq!(told["status"], 200, "{told}");
    });
}

#[test]
fn a_certificates_file_that_cannot_be_used_makes_the_plugin_invalid_and_is_named() {
    RUNTIME.block_on(async {
        let pki = Pki::new();
        std::fs::write(pki.file("empty.pem").unwrap(), "nothing").unwrap();
        let with = |http| PluginSpec { http, allowed_hosts: vec!["https://in.acme.dev".to_owned()], ..probe(json!({})) };
        let table = [
            (PluginHttp { ca: pki.file("missing.pem"), ..PluginHttp::default() }, "`http.tls.ca`) cannot be read"),
            (PluginHttp { ca: pki.file("empty.pem"), ..PluginHttp::default() }, "`http.tls.ca`) has no certificate"),
            (
                PluginHttp { cert: pki.file("client.pem"), key: pki.file("empty.pem"), ..PluginHttp::default() },
                "are no certificate with its key",
            ),
        ];
        for (http, expected) in table {
            let reason = common::invalid(with(http)).await;
            assert!(reason.contains(expected), "{reason}");
        }
    });
}

#[test]
fn certificates_that_change_are_read_again_and_what_cannot_be_used_changes_nothing() {
    RUNTIME.block_on(async {
        let (before, after) = (Pki::new(), Pki::new());
        let (old_port, new_port) = (before.serve(true).await, after.serve(true).await);
        let files = tempfile::tempdir().unwrap();
        let file = |name: &str| files.path().join(name);
        let take = |pki: &Pki, names: &[&str]| {
            for name in names {
                std::fs::copy(pki.file(name).unwrap(), file(name)).unwrap();
            }
        };
        let spec = |port: u16| PluginSpec {
            allowed_hosts: vec![format!("https://localhost:{port}")],
            http: PluginHttp {
                ca: Some(file("ca.pem")),
                cert: Some(file("client.pem")),
                key: Some(file("client.key")),
                ..PluginHttp::default()
            },
            ..probe(json!({ "do": "http", "method": "GET", "url": format!("https://localhost:{port}/") }))
        };
        // What is missing at first is not waited for until the next try.
        take(&before, &["ca.pem", "client.pem"]);
        let (old, new) = (HOST.load(spec(old_port)).unwrap(), HOST.load(spec(new_port)).unwrap());
        assert!(matches!(settled(&old).await, Readiness::Invalid { .. }));
        take(&before, &["client.key"]);
        for plugin in [&old, &new] {
            plugin.readiness().unwrap().wait_for(|readiness| matches!(readiness, Readiness::Ready { .. })).await.unwrap();
        }
        assert_eq!(ask(&old).await["status"], 200);
        assert!(ask(&new).await["connect"].is_string(), "another authority's server");

        std::fs::write(file("client.pem"), "half of a certifi").unwrap();
        let why = until("the half is noticed", async || old.report().certificates_refused).await;
        assert!(why.contains("`http.tls.cert`) has no certificate in PEM") && old.stats().certificates_refused == 1, "{why}");
        assert_eq!(ask(&old).await["status"], 200, "those before go on");

        take(&after, &["ca.pem", "client.pem", "client.key"]);
        until("the new ones hold", async || (ask(&new).await["status"] == 200).then_some(())).await;
        assert_eq!(new.report().certificates_refused, None);
        until("the old ones do not", async || ask(&old).await["connect"].is_string().then_some(())).await;
    });
}

/// Knows the proxy's name only, and leads it to a private address.
#[derive(Debug)]
struct OnlyTheProxy;

#[async_trait]
impl Resolver for OnlyTheProxy {
    async fn resolve(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        match name {
            "proxy.internal" => Ok(vec![IpAddr::from([127, 0, 0, 1])]),
            other => Err(std::io::Error::other(format!("{other} was looked up"))),
        }
    }
}

fn host(dir: &Path) -> Arc<PluginHost> {
    PluginHost::start(HostOptions { resolver: Arc::new(OnlyTheProxy), ..common::options(&dir.join("cache")) }).unwrap()
}

#[test]
fn a_proxy_is_used_only_where_it_is_named_and_what_is_not_granted_never_reaches_it() {
    RUNTIME.block_on(async {
        let temp = tempfile::tempdir().unwrap();
        let (host, proxy) = (host(temp.path()), Server::start(|_| status(204)).await);
        let send = async |url: &str, through: Option<&str>| {
            let spec = probe(json!({ "do": "http", "method": "POST", "url": url, "body": "events" }));
            let granted = vec!["http://in.acme.dev".to_owned(), "http://metadata.google.internal".to_owned()];
            let http = PluginHttp { proxy: through.map(Secret::new), ..PluginHttp::default() };
            ask(&*load(&host, PluginSpec { allowed_hosts: granted, http, ..spec }).await).await
        };
        let proxy_url = proxy.origin("proxy.internal");
        assert_eq!(send("http://in.acme.dev/v1", Some(&proxy_url)).await["status"], 204);
        let seen = proxy.seen();
        assert_eq!((seen[0].path.as_str(), seen[0].body.as_str()), ("http://in.acme.dev/v1", "events"));
        let told = send("http://in.acme.dev/v1", None).await.to_string();
        assert!(told.contains("in.acme.dev was looked up"), "without it the name is looked up here: {told}");
        for url in ["http://other.dev/", "http://169.254.169.254/", "http://metadata.google.internal/"] {
            assert!(send(url, Some(&proxy_url)).await["denied"].is_string(), "{url}");
        }
        assert_eq!(proxy.seen().len(), 1);
    });
}
