//! Entra ID: a client secret, a workload's identity, a machine's. Tokens are issued by the test, over HTTPS where Microsoft's are; Azurite checks
//! whom they are from and for.

use std::fs;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use flagpost_tests::servers::azurite;
use flagpost_tests::{Answer, Program, Received, Setup, Target, events, flagpost};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::with;
use crate::objects::{complete, sorted};

const TENANT: &str = "ab1f708d-50f6-404c-a006-d71b2ac7a606";

/// A certificate for 127.0.0.1.
struct Certificate {
    directory: TempDir,
    config: Arc<ServerConfig>,
}

impl Certificate {
    fn new() -> Certificate {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        fs::write(directory.path().join("tls.crt"), &certificate).unwrap();
        fs::write(directory.path().join("tls.key"), &key).unwrap();
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap());
        Certificate { directory, config: Arc::new(config.unwrap()) }
    }

    fn files(&self) -> [String; 2] {
        ["tls.crt", "tls.key"].map(|name| self.directory.path().join(name).to_str().unwrap().to_owned())
    }

    /// HTTPS in front of a target, for as long as the test runs; gives its address.
    async fn before(&self, target: &Target) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (acceptor, behind) = (TlsAcceptor::from(self.config.clone()), target.url("").trim_start_matches("http://").to_owned());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, behind) = (acceptor.clone(), behind.clone());
                tokio::spawn(async move {
                    let mut outside = acceptor.accept(stream).await?;
                    let mut inside = TcpStream::connect(behind).await?;
                    tokio::io::copy_bidirectional(&mut outside, &mut inside).await
                });
            }
        });
        format!("https://{address}")
    }
}

/// A token for storage, as Azurite takes it; good for ten minutes from `from` seconds after now.
fn token(from: i64) -> String {
    let now = i64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    let begin = now + from;
    let claims = format!(
        r#"{{"aud":"https://storage.azure.com","iss":"https://sts.windows.net/{TENANT}/","iat":{begin},"nbf":{begin},"exp":{}}}"#,
        begin + 600
    );
    let part = |json: &str| BASE64_URL_SAFE_NO_PAD.encode(json);
    format!("{}.{}.{}", part(r#"{"alg":"HS256","typ":"JWT"}"#), part(&claims), part("signature"))
}

/// What an issuer of tokens answers. `expires_on` is a machine's, `expires_in` Entra ID's.
fn issued(token: &str) -> Answer {
    let later = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() + 600;
    Answer::Json(format!(
        r#"{{"token_type":"Bearer","access_token":"{token}","expires_in":600,"ext_expires_in":600,"expires_on":"{later}","resource":"https://storage.azure.com/"}}"#
    ))
}

fn form(received: &Received) -> String {
    String::from_utf8_lossy(&received.body).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_secret_a_workload_and_a_machine_are_believed() {
    let certificate = Certificate::new();
    let files = certificate.files();
    let Some(server) = azurite::secure(files.clone()).await else { return };
    let issuer = Target::start(|received| {
        let form = form(received);
        let of_secret = form.contains("client_secret=not-for-logs");
        let of_workload = form.contains("client_assertion=signed-by-kubernetes");
        // A machine says who it is by a header.
        let of_machine =
            received.line.starts_with("GET ") && received.headers.get("x-identity-header").is_some_and(|said| said == "not-for-logs");
        if of_secret || of_workload || of_machine { issued(&token(-60)) } else { Answer::Status(401) }
    })
    .await;
    let authority = certificate.before(&issuer).await;
    let assertion = certificate.directory.path().join("assertion");
    fs::write(&assertion, "signed-by-kubernetes").unwrap();
    let machine = issuer.url("/msi/token");
    let entra = [("AZURE_TENANT_ID", TENANT), ("AZURE_CLIENT_ID", "relay"), ("AZURE_AUTHORITY_HOST", authority.as_str())];
    let ways = [
        ("secret", [entra.as_slice(), &[("AZURE_CLIENT_SECRET", "not-for-logs")]].concat()),
        ("workload", [entra.as_slice(), &[("AZURE_FEDERATED_TOKEN_FILE", assertion.to_str().unwrap())]].concat()),
        ("machine", vec![("IDENTITY_ENDPOINT", machine.as_str()), ("IDENTITY_HEADER", "not-for-logs")]),
    ];
    for (name, environment) in ways {
        let container = server.container().await;
        let setup = Setup::new().with_exporters(&with("out", &container, &format!(", endpoint: '{}'", server.endpoint())));
        let setup = setup.with_environment(environment).with_environment([("SSL_CERT_FILE", files[0].as_str())]);
        let probed = tokio::task::block_in_place(|| flagpost(&setup, &["validate", "--config", "flagpost.yaml", "--probe"]));
        assert!(probed.status.success() && probed.text.contains("probe ok: "), "{name}: {}", probed.text);
        let relay = Program::start(&setup).await;
        relay.post(&events(1..101)).await;
        complete(&relay, "out", 100).await;
        assert_eq!(container.lines().await, sorted(events(1..101)), "{name}");
        let text = relay.log() + &probed.text;
        for secret in ["not-for-logs", "signed-by-kubernetes", "eyJ"] {
            assert!(!text.contains(secret), "{name}: {secret} in {text}");
        }
        relay.stop().await;
    }
    // Where Entra ID is asked, and what for.
    let asked = issuer.received().into_iter().find(|received| received.line.contains(TENANT)).unwrap();
    assert_eq!(asked.line, format!("POST /{TENANT}/oauth2/v2.0/token"));
    assert!(form(&asked).contains("storage.azure.com") && form(&asked).contains("client_id=relay"), "{}", form(&asked));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_refuses_and_a_token_that_is_too_old_are_an_alarm_and_nothing_is_lost() {
    let certificate = Certificate::new();
    let files = certificate.files();
    let Some(server) = azurite::secure(files.clone()).await else { return };
    let container = server.container().await;
    let issuer = Target::start(|received| {
        let form = form(received);
        if form.contains("client_secret=wrong") {
            return Answer::With(401, vec![("content-type", "application/json".to_owned())]);
        }
        // Expired a minute ago, whatever its issuer says.
        issued(&token(if form.contains("client_secret=old") { -660 } else { -60 }))
    })
    .await;
    let authority = certificate.before(&issuer).await;
    let setup = |secret: &str, setup: Setup| {
        let names = [("AZURE_TENANT_ID", TENANT), ("AZURE_CLIENT_ID", "relay"), ("AZURE_AUTHORITY_HOST", &authority)];
        setup.with_environment(names).with_environment([("AZURE_CLIENT_SECRET", secret), ("SSL_CERT_FILE", &files[0])])
    };
    let mut one = Setup::new().with_exporters(&with("out", &container, &format!(", endpoint: '{}'", server.endpoint())));
    for (round, secret) in ["wrong", "old"].into_iter().enumerate() {
        one = setup(secret, one);
        let relay = Program::start(&one).await;
        let first = round as u64 * 100 + 1;
        relay.post(&events(first..first + 100)).await;
        let task = relay.in_state("out", "misconfigured").await;
        let said = task["lastError"]["message"].as_str().unwrap();
        assert!(said.contains(&container.name), "{secret}: {said}");
        let counts = relay.metrics().await.counts("out");
        assert_eq!((counts.waiting, counts.dead), (first + 99, 0), "{secret}");
        assert!(!relay.log().contains("eyJ"), "{}", relay.log());
        relay.kill();
    }
    one = setup("good", one);
    let relay = Program::start(&one).await;
    let counts = relay.drained(&["out"]).await.counts("out");
    assert_eq!((counts.delivered, counts.dead, counts.dropped), (200, 0, 0));
    assert_eq!(container.lines().await, sorted(events(1..201)));
    relay.stop().await;
}
