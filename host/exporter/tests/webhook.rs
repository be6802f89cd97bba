//! The `webhook` exporter against a real HTTP server.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use common::{batch, build, line};
use flagpost_exporter::{ExportError, Exporter};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;

/// What the server got.
struct Got {
    method: http::Method,
    uri: String,
    headers: http::HeaderMap,
    body: Bytes,
}

/// What the server is to answer; `None` leaves the request without an answer.
type Reply = Option<http::Response<Full<Bytes>>>;

/// Answers with the given replies in turn, then with 200.
struct Server {
    address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Server {
    async fn start(replies: Vec<Reply>) -> Server {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let got = Arc::new(Mutex::new(Vec::new()));
        let replies = Arc::new(Mutex::new(VecDeque::from(replies)));
        let seen = Arc::clone(&got);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (got, replies) = (Arc::clone(&seen), Arc::clone(&replies));
                let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    let (got, replies) = (Arc::clone(&got), Arc::clone(&replies));
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await.unwrap().to_bytes();
                        got.lock().unwrap().push(Got { method: head.method, uri: head.uri.to_string(), headers: head.headers, body });
                        let reply = replies.lock().unwrap().pop_front().unwrap_or_else(|| answer(200, &[], "ok"));
                        match reply {
                            Some(reply) => Ok::<_, Infallible>(reply),
                            None => std::future::pending().await,
                        }
                    }
                });
                tokio::spawn(async move {
                    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    server.serve_connection(TokioIo::new(stream), service).await.ok();
                });
            }
        });
        Server { address, got }
    }

    fn exporter(&self, mut config: serde_json::Value) -> Arc<dyn Exporter> {
        config["endpointUrl"] = json!(format!("http://{}/hook?token=hunter2", self.address));
        build("webhook", config).unwrap()
    }

    fn got(&self) -> Vec<Got> {
        std::mem::take(&mut self.got.lock().unwrap())
    }
}

fn answer(status: u16, headers: &[(&str, &str)], body: &'static str) -> Reply {
    let reply = headers.iter().fold(http::Response::builder().status(status), |reply, (name, value)| reply.header(*name, *value));
    Some(reply.body(Full::from(body)).unwrap())
}

fn body(keys: &[&str]) -> String {
    let lines: Vec<_> = keys.iter().map(|key| line(key).trim_end().to_owned()).collect();
    format!("{{\"meta\":{{\"app\":\"x\",\"hostname\":\"host\"}},\"events\":[{}]}}", lines.join(","))
}

#[tokio::test]
async fn a_batch_is_one_signed_post_as_upstream_sends_it() {
    let server = Server::start(Vec::new()).await;
    let config = json!({
        "secret": "secret", "meta": { "app": "x" },
        "headers": { "X-Api-Key": ["k1", "k2"], "Content-Type": "text/plain", "X-One": "1" },
    });
    let exporter = server.exporter(config);
    assert!(exporter.is_bulk());
    exporter.export(&batch("b-1", &["a", "b"])).await.unwrap();
    let got = server.got();
    assert_eq!(got.len(), 1);
    let Got { method, uri, headers, body: sent } = &got[0];
    assert_eq!((method, uri.as_str()), (&http::Method::POST, "/hook?token=hunter2"));
    assert_eq!(std::str::from_utf8(sent).unwrap(), body(&["a", "b"]));
    let values = |name| headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(values("content-type"), ["application/json"]);
    assert_eq!(values("x-api-key"), ["k1", "k2"]);
    assert_eq!(values("x-one"), ["1"]);
    assert_eq!(values("idempotency-key"), ["b-1"]);
    assert_eq!(values("content-length"), [sent.len().to_string()]);
    let mut mac = <hmac::Hmac<sha2::Sha256> as hmac::KeyInit>::new_from_slice(b"secret").unwrap();
    hmac::Mac::update(&mut mac, sent);
    assert_eq!(values("x-hub-signature-256"), [format!("sha256={}", hex::encode(hmac::Mac::finalize(mac).into_bytes()))]);
}

#[tokio::test]
async fn a_large_batch_arrives_whole() {
    let server = Server::start(Vec::new()).await;
    let keys: Vec<_> = (0..20_000).map(|index| index.to_string()).collect();
    let keys: Vec<_> = keys.iter().map(String::as_str).collect();
    server.exporter(json!({ "meta": { "app": "x" } })).export(&batch("b-1", &keys)).await.unwrap();
    let got = server.got();
    assert_eq!(got[0].body, body(&keys));
    assert!(got[0].headers.get("x-hub-signature-256").is_none());
}

#[tokio::test]
async fn replies_become_outcomes() {
    let retryable = |reason: &str, after| ExportError::Retryable { reason: reason.to_owned(), after };
    let cases = [
        (answer(204, &[], ""), Ok(())),
        (answer(503, &[("retry-after", "7")], "busy\nnow"), {
            Err(retryable("the receiver answered 503 Service Unavailable: busy now", Some(Duration::from_secs(7))))
        }),
        (answer(429, &[("retry-after", "Fri, 09 Apr 2021 12:15:57 GMT")], ""), {
            Err(retryable("the receiver answered 429 Too Many Requests", Some(Duration::from_millis(9_750))))
        }),
        (answer(400, &[], "no"), Err(ExportError::rejected("the receiver answered 400 Bad Request: no"))),
        (answer(404, &[], ""), Err(ExportError::misconfigured("the receiver answered 404 Not Found: check `endpointUrl`"))),
        (answer(304, &[], ""), Err(ExportError::misconfigured("the receiver answered 304 Not Modified: check `endpointUrl`"))),
    ];
    let (replies, outcomes): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    let server = Server::start(replies).await;
    let exporter = server.exporter(json!({}));
    for expected in outcomes {
        assert_eq!(exporter.export(&batch("b-1", &["a"])).await, expected);
    }
}

#[tokio::test]
async fn a_redirect_never_loses_the_body() {
    for status in [301, 302, 303, 307, 308] {
        let server = Server::start(vec![answer(status, &[("location", "/a")], ""), answer(status, &[("location", "b?x=1")], "")]).await;
        let exporter = server.exporter(json!({ "secret": "s", "headers": { "Authorization": "Bearer x" } }));
        exporter.export(&batch("b-1", &["a"])).await.unwrap();
        let got = server.got();
        assert_eq!(got.iter().map(|got| got.uri.as_str()).collect::<Vec<_>>(), ["/hook?token=hunter2", "/a", "/b?x=1"]);
        for again in &got {
            assert_eq!((&again.method, &again.body), (&http::Method::POST, &got[0].body));
            for name in ["authorization", "x-hub-signature-256", "content-type"] {
                assert_eq!(again.headers.get(name), got[0].headers.get(name));
            }
        }
    }
}

#[tokio::test]
async fn another_server_gets_nothing() {
    let other = Server::start(Vec::new()).await;
    let location = format!("http://{}/elsewhere?token=hunter2", other.address);
    let server = Server::start(vec![answer(307, &[("location", &location)], "")]).await;
    let error = server.exporter(json!({})).export(&batch("b-1", &["a"])).await.unwrap_err();
    let told = format!("http://{}/elsewhere", other.address);
    assert!(matches!(&error, ExportError::Misconfigured { reason } if reason.contains(&told) && !reason.contains("hunter2")), "{error}");
    assert!(other.got().is_empty());
}

#[tokio::test]
async fn a_circle_of_redirects_ends() {
    let server = Server::start((0..20).map(|_| answer(308, &[("location", "/hook")], "")).collect()).await;
    let error = server.exporter(json!({})).export(&batch("b-1", &["a"])).await.unwrap_err();
    assert!(matches!(&error, ExportError::Misconfigured { reason } if reason.contains("more than 5 times")), "{error}");
    assert_eq!(server.got().len(), 6);
}

#[tokio::test]
async fn a_receiver_that_is_not_there_is_retried_without_telling_secrets() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let exporter = build("webhook", json!({ "endpointUrl": format!("http://user:hunter2@{address}/?token=hunter2") })).unwrap();
    let error = exporter.export(&batch("b-1", &["a"])).await.unwrap_err();
    assert!(matches!(&error, ExportError::Retryable { reason, .. } if reason.contains("refused")), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
    let error = exporter.probe().await.unwrap_err();
    assert!(error.reason.contains("refused") && !error.reason.contains("hunter2"), "{error}");
}

#[tokio::test]
async fn a_probe_sends_nothing() {
    let server = Server::start(Vec::new()).await;
    server.exporter(json!({})).probe().await.unwrap();
    assert!(server.got().is_empty());
}

#[test]
fn every_problem_of_a_configuration_is_told_at_once_without_secrets() {
    let config = json!({
        "endpointUrl": "ftp://user:hunter2@x/", "secret": { "from": "hunter2" }, "meta": { "ok": 1, "bad": ["hunter2"] },
        "headers": { "bad name": "hunter2", "X-Key": "hunter2\n", "X-Bool": true }, "url": "hunter2",
    });
    let error = build("webhook", config).err().unwrap();
    let paths: Vec<_> = error.problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["meta.bad", "secret", "url", "endpointUrl", "headers.X-Key", "headers.bad name"]);
    assert!(!error.to_string().contains("hunter2"), "{error}");
    let error = build("webhook", json!({})).err().unwrap();
    assert_eq!(error.problems.len(), 1);
    assert!(error.to_string().contains("no \"endpointUrl\" property found for kind \"webhook\""), "{error}");
}

#[tokio::test]
async fn a_receiver_that_hangs_is_given_up() {
    let server = Server::start(vec![None]).await;
    let exporter = server.exporter(json!({}));
    let batch = batch("b-1", &["a"]);
    let export = exporter.export(&batch);
    tokio::pin!(export);
    // Until the request is there, time goes by as it does.
    while server.got.lock().unwrap().is_empty() {
        assert!(futures_util::poll!(&mut export).is_pending());
        tokio::task::yield_now().await;
    }
    tokio::time::pause();
    let error = export.await.unwrap_err();
    assert!(matches!(&error, ExportError::Retryable { .. }), "{error}");
}
