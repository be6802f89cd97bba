//! Real HTTP servers for exporters to talk to, good and bad ones.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::event_number;

/// What a target does with a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Answers with that status.
    Status(u16),
    /// Answers with that status and headers.
    With(u16, Vec<(&'static str, String)>),
    /// Answers 200 with that JSON.
    Json(String),
    /// Answers with that status, headers and JSON.
    Full(u16, Vec<(&'static str, String)>, String),
    /// Never answers.
    Hang,
    /// Closes the connection without an answer.
    Cut,
    /// Answers 200 once somebody says so.
    After(Arc<Notify>),
}

/// A request that a target got.
#[derive(Clone, Debug)]
pub struct Received {
    /// `POST /path`.
    pub line: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// What the target did with it.
    pub answer: Answer,
}

impl Received {
    /// The numbers of the events in upstream's webhook body.
    pub fn numbers(&self) -> Vec<u64> {
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        let events = body["events"].as_array().unwrap_or_else(|| panic!("no events: {body}"));
        events.iter().map(event_number).collect()
    }
}

/// A listening server; closed when it goes out of scope.
#[derive(Debug)]
pub struct Target {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    task: JoinHandle<()>,
}

impl Target {
    /// A server that answers every request as `behave` says. The request is recorded with its answer before it is answered.
    pub async fn start(behave: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let (seen, behave) = (received.clone(), Arc::new(behave));
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let (seen, behave) = (seen.clone(), behave.clone());
                tokio::spawn(async move {
                    let serve = service_fn(|request| answer(request, seen.clone(), behave.clone()));
                    // Connections that are cut are what these servers are for.
                    let _cut = http1::Builder::new().serve_connection(TokioIo::new(stream), serve).await;
                });
            }
        });
        Target { address, received, task }
    }

    /// A server that takes everything.
    pub async fn good() -> Target {
        Target::start(|_| Answer::Status(200)).await
    }

    /// Its address.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What it got so far.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// The last request that it got.
    pub fn last(&self) -> Option<Received> {
        self.received.lock().unwrap().last().cloned()
    }

    /// How many requests it got so far.
    pub fn requests(&self) -> usize {
        self.received.lock().unwrap().len()
    }

    /// The numbers of all events that it answered with a 2xx status, in order.
    pub fn taken(&self) -> Vec<u64> {
        let received = self.received.lock().unwrap();
        let good = received.iter().filter(|received| matches!(received.answer, Answer::Status(200..300) | Answer::After(_)));
        good.flat_map(Received::numbers).collect()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Stands for a connection that is closed without an answer.
#[derive(Debug)]
struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("closed on purpose")
    }
}

impl std::error::Error for Closed {}

async fn answer(
    request: Request<Incoming>,
    seen: Arc<Mutex<Vec<Received>>>,
    behave: Arc<impl Fn(&Received) -> Answer>,
) -> Result<Response<Full<Bytes>>, Closed> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Closed)?.to_bytes();
    let line = format!("{} {}", head.method, head.uri);
    let mut received = Received { line, headers: head.headers, body, answer: Answer::Hang };
    received.answer = behave(&received);
    let answer = received.answer.clone();
    seen.lock().unwrap().push(received);
    let mut text = "answered by a test".to_owned();
    let (status, headers) = match answer {
        Answer::Status(status) => (status, Vec::new()),
        Answer::Json(json) => {
            text = json;
            (200, vec![("content-type", "application/json".to_owned())])
        }
        Answer::With(status, headers) => (status, headers),
        Answer::Full(status, headers, json) => {
            text = json;
            (status, headers)
        }
        Answer::Hang => match std::future::pending::<Infallible>().await {},
        Answer::Cut => return Err(Closed),
        Answer::After(signal) => {
            signal.notified().await;
            (200, Vec::new())
        }
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    Ok(response)
}
