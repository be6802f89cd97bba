//! Against registries that mean harm, each a server of the test's own.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use flagpost_exporter::Secret;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::distribution::{RegistryAccess, pull};

/// Where a server stops that nobody stops: a test that fails ends, too.
const ENDLESS: usize = 256 << 20;

/// What lies in buffers between the server and what reads it.
const UNDER_WAY: usize = 24 << 20;

/// What is said to a request.
#[derive(Clone)]
enum Says {
    /// A head and a body.
    All(String),
    /// A head, and then bytes without end.
    Endless(&'static str),
}

/// A registry that says these things to requests whose path begins so; anything else gets a 404.
struct Hostile {
    reference: ImageReference,
    sent: Arc<AtomicUsize>,
    /// Paths, and what was shown there.
    asked: Asked,
}

type Asked = Arc<Mutex<Vec<(String, String)>>>;

impl Hostile {
    async fn start(says: impl Fn(&str) -> Vec<(&'static str, Says)>) -> Hostile {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (says, sent, asked) = (Arc::new(says(&address)), Arc::new(AtomicUsize::new(0)), Asked::default());
        let (counter, heard) = (sent.clone(), asked.clone());
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                tokio::spawn(serve(stream, says.clone(), counter.clone(), heard.clone()));
            }
        });
        Hostile { reference: format!("oci://{address}/team/acme:v1").parse().unwrap(), sent, asked }
    }

    async fn pulled(&self) -> String {
        let access =
            RegistryAccess { username: Some("anna".to_owned()), password: Some(Secret::new("hunter22")), ..RegistryAccess::default() };
        let why = pull(&self.reference, &access).await.unwrap_err().to_string();
        let sent = self.sent.load(Ordering::Relaxed);
        assert!(sent < UNDER_WAY, "{sent} bytes were taken: {why}");
        assert!(!why.contains("hunter22"), "{why}");
        why
    }
}

/// One request for each connection.
async fn serve(stream: TcpStream, says: Arc<Vec<(&'static str, Says)>>, sent: Arc<AtomicUsize>, asked: Asked) {
    let mut stream = BufReader::new(stream);
    let (mut path, mut line, mut shown) = (String::new(), String::new(), String::new());
    while stream.read_line(&mut line).await.is_ok_and(|read| read > 2) {
        if path.is_empty() {
            path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        }
        if let Some(value) = line.strip_prefix("authorization: ") {
            shown = value.trim().to_owned();
        }
        line.clear();
    }
    asked.lock().unwrap().push((path.clone(), shown));
    let found = says.iter().find(|(start, _)| path.starts_with(start)).map(|(_, says)| says.clone());
    match found.unwrap_or(Says::All(answer("404 Not Found", "", ""))) {
        Says::All(text) => drop(stream.write_all(text.as_bytes()).await),
        Says::Endless(status) => {
            let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\n\r\n");
            if stream.write_all(head.as_bytes()).await.is_err() {
                return;
            }
            let piece = vec![b' '; 64 << 10];
            while sent.load(Ordering::Relaxed) < ENDLESS && stream.write_all(&piece).await.is_ok() {
                sent.fetch_add(piece.len(), Ordering::Relaxed);
            }
        }
    }
    drop(stream.shutdown().await);
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

/// The path that is asked for first, last: what begins so is everything.
fn open() -> (&'static str, Says) {
    ("/v2/", Says::All(answer("200 OK", "", "{}")))
}

fn manifest_of(component: &[u8]) -> String {
    String::from_utf8(manifest::write(component, "acme.wasm", &[], &[]).manifest).unwrap()
}

#[tokio::test]
async fn a_manifest_without_an_end_is_given_up() {
    let hostile = Hostile::start(|_| vec![("/v2/team/acme/manifests/v1", Says::Endless("200 OK")), open()]).await;
    let why = hostile.pulled().await;
    assert!(why.contains("its manifest has more than 4"), "{why}");
}

#[tokio::test]
async fn a_refusal_without_an_end_is_given_up() {
    for path in ["/v2/team/acme/manifests/v1", "/v2/team/acme/blobs/"] {
        let good = Says::All(answer("200 OK", "", &manifest_of(b"component")));
        let hostile =
            Hostile::start(|_| vec![(path, Says::Endless("503 Busy")), ("/v2/team/acme/manifests/v1", good.clone()), open()]).await;
        let why = hostile.pulled().await;
        assert!(why.contains("answers 503"), "{path}: {why}");
    }
}

#[tokio::test]
async fn a_component_that_is_longer_than_its_manifest_says_is_given_up_and_another_one_is_refused() {
    let other = Says::All(answer("200 OK", "", "other one"));
    for (blob, words) in [(Says::Endless("200 OK"), "longer than the 9 bytes"), (other, "what came is not what its digest says")] {
        let good = Says::All(answer("200 OK", "", &manifest_of(b"component")));
        let says = vec![("/v2/team/acme/blobs/", blob), ("/v2/team/acme/manifests/v1", good), open()];
        let hostile = Hostile::start(|_| says.clone()).await;
        let why = hostile.pulled().await;
        assert!(why.contains(words), "{why}");
    }
}

#[tokio::test]
async fn a_token_without_an_end_is_given_up_whether_it_is_given_or_refused() {
    for (status, words) in [("200 OK", "its token has more than"), ("500 Broken", "answers 500")] {
        let hostile = Hostile::start(|address| {
            let challenge = format!("www-authenticate: Bearer realm=\"http://{address}/token\",service=\"tests\"\r\n");
            vec![("/token", Says::Endless(status)), ("/v2/", Says::All(answer("401 Unauthorized", &challenge, "")))]
        })
        .await;
        let why = hostile.pulled().await;
        assert!(why.contains(words), "{why}");
    }
}

#[tokio::test]
async fn a_token_is_got_from_where_the_registry_says_and_shown_to_it() {
    let component = b"component";
    let hostile = Hostile::start(|address| {
        let challenge = format!("www-authenticate: Bearer realm=\"http://{address}/token?a=b\",service=\"a, \\\"b\\\"\"\r\n");
        vec![
            (
                "/token?a=b&scope=repository%3Ateam%2Facme%3Apull&service=a%2C+%22b%22",
                Says::All(answer("200 OK", "", r#"{"access_token":"t-1"}"#)),
            ),
            ("/v2/team/acme/manifests/v1", Says::All(answer("200 OK", "", &manifest_of(component)))),
            ("/v2/team/acme/blobs/", Says::All(answer("200 OK", "", "component"))),
            ("/v2/", Says::All(answer("401 Unauthorized", &challenge, ""))),
        ]
    })
    .await;
    let access = RegistryAccess { username: Some("anna".to_owned()), password: Some(Secret::new("hunter22")), ..RegistryAccess::default() };
    assert_eq!(pull(&hostile.reference, &access).await.unwrap().component, component);
    for (path, shown) in hostile.asked.lock().unwrap().iter() {
        let expected = match path.as_str() {
            "/v2/" => "",
            path if path.starts_with("/token") => "Basic YW5uYTpodW50ZXIyMg==",
            _ => "Bearer t-1",
        };
        assert_eq!(shown, expected, "{path}");
    }
}

#[test]
fn challenges_are_read_as_registries_write_them() {
    let of = |realm: &str, service: Option<&str>| Some(Challenge { realm: realm.to_owned(), service: service.map(str::to_owned) });
    for (text, expected) in [
        (
            r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io""#,
            of("https://auth.docker.io/token", Some("registry.docker.io")),
        ),
        (r#"bearer service=x, scope="repository:a:pull,push", realm="https://r""#, of("https://r", Some("x"))),
        (r#"Bearer realm="https://r/\"q\"" , error="insufficient_scope""#, of("https://r/\"q\"", None)),
        (r#"Basic realm="Registry Realm""#, None),
        (r#"Bearer realm="never ends"#, None),
        (r#"Bearer service="x""#, None),
        ("Bearer", None),
        ("", None),
    ] {
        assert_eq!(bearer(text), expected, "{text}");
    }
}
