//! TLS: the certificate, its change while the relay runs, and a change for the worse.

use std::fs;
use std::sync::Arc;

use flagpost_tests::{Client, Program, Setup, assert_lines, body, client, events, free_port, lines_in, until};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A certificate for `localhost` and its key, in PEM.
struct Pair {
    cert: String,
    key: String,
}

impl Pair {
    fn new() -> Pair {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Pair { cert: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }

    fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.cert.as_bytes()).unwrap()
    }

    fn write(&self, setup: &Setup) {
        fs::write(setup.path("tls.key"), &self.key).unwrap();
        fs::write(setup.path("tls.crt"), &self.cert).unwrap();
    }
}

/// The certificate that is served, and the protocol that was agreed on. Fails if it is none of these.
async fn served(port: u16, known: &[&Pair]) -> (CertificateDer<'static>, Option<Vec<u8>>) {
    let mut roots = RootCertStore::empty();
    known.iter().for_each(|pair| roots.add(pair.der()).unwrap());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    let connection = stream.get_ref().1;
    let cert = connection.peer_certificates().unwrap()[0].clone().into_owned();
    (cert, connection.alpn_protocol().map(<[u8]>::to_vec))
}

#[tokio::test]
async fn a_new_certificate_is_served_without_a_restart_and_a_bad_one_is_not() {
    let monitoring = free_port();
    let setup = Setup::new();
    let (first, second) = (Pair::new(), Pair::new());
    first.write(&setup);
    let server = format!("monitoringPort: {monitoring}, tls: {{ cert: tls.crt, key: tls.key }}");
    let setup = setup.with_server(&server).with_exporters("  - { kind: file, name: out, outputDir: out, flushInterval: 20 }");
    let relay = Program::spawn(&setup);
    let monitoring = Client::new(monitoring);
    until("the relay is ready", async || {
        let answer = client().get(monitoring.url("/health/ready")).send().await.ok()?;
        (answer.status() == 200).then_some(())
    })
    .await;
    until("the port is open", async || TcpStream::connect(("127.0.0.1", setup.port)).await.ok().map(drop)).await;

    let both = [&first, &second];
    assert_eq!(served(setup.port, &both).await, (first.der(), Some(b"http/1.1".to_vec())));
    let root = reqwest::Certificate::from_pem(first.cert.as_bytes()).unwrap();
    let https = reqwest::Client::builder().no_proxy().tls_certs_only([root]).build().unwrap();
    let url = format!("https://localhost:{}/v1/data/collector", setup.port);
    let sent = https.post(url).header("content-type", "application/json").body(body(&events(1..11))).send().await.unwrap();
    assert_eq!(sent.status(), 200);
    assert!(client().get(relay.url("/openapi.json")).send().await.is_err(), "plain HTTP is not spoken there");

    // A certificate without its key: the old pair stays, and that is said.
    fs::write(setup.path("tls.crt"), &second.cert).unwrap();
    until("the bad pair is noticed", async || (monitoring.metrics().await.sum("flagpost_tls_certificate_stale", &[]) == 1.0).then_some(()))
        .await;
    assert!(relay.log().contains("the one before it stays"), "{}", relay.log());
    assert_eq!(served(setup.port, &both).await.0, first.der());

    second.write(&setup);
    until("the new certificate is served", async || (served(setup.port, &both).await.0 == second.der()).then_some(())).await;
    let metrics = monitoring.drained(&["out"]).await;
    assert_eq!(metrics.sum("flagpost_tls_certificate_stale", &[]), 0.0);
    assert_eq!(metrics.sum("flagpost_tls_reloads_total", &[]), 1.0);
    assert_lines(&lines_in(&setup.path("out")), &events(1..11));
    relay.stop().await;
}

#[tokio::test]
async fn a_pair_that_cannot_be_served_is_an_error_at_start() {
    let setup = Setup::new();
    let (first, second) = (Pair::new(), Pair::new());
    first.write(&setup);
    fs::write(setup.path("tls.key"), &second.key).unwrap();
    let setup = setup.with_server("tls: { cert: tls.crt, key: tls.key }");
    let mut relay = Program::spawn(&setup);
    assert!(!relay.ended().await.success());
    assert!(relay.log().contains("cannot be used together"), "{}", relay.log());
}
