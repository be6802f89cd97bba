//! A stand-in for the relay that evaluates, behind `upstream.url`: what GO Feature Flag's clients need of one, and nothing else.
//!
//! It exists so that the real clients evaluate; tests on top of it test the pass-through and the collector, not this.

mod answers;
mod flags;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

pub use flags::Flags;

/// A request that the stand-in got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// `POST /path`, without its query.
    pub line: String,
    /// The key that came with it, as it came: `X-API-Key: k`, `Authorization: Bearer k` or `?apiKey=k`.
    pub key: Option<String>,
    /// The protocol that it wanted to switch to.
    pub upgrade: Option<String>,
    /// The answer's status.
    pub status: u16,
}

#[derive(Debug)]
struct State {
    flags: Mutex<Flags>,
    asked: Mutex<Vec<Asked>>,
    news: broadcast::Sender<String>,
}

/// A listening stand-in; closed when it goes out of scope.
#[derive(Debug)]
pub struct Evaluation {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

impl Evaluation {
    /// Starts it with a flag file.
    pub async fn start(flags: Flags) -> Evaluation {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (news, _) = broadcast::channel(100);
        let state = Arc::new(State { flags: Mutex::new(flags), asked: Mutex::default(), news });
        let shared = state.clone();
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let state = shared.clone();
                tokio::spawn(async move {
                    let serve = service_fn(|request| answer(request, state.clone()));
                    let _cut = http1::Builder::new().serve_connection(TokioIo::new(stream), serve).with_upgrades().await;
                });
            }
        });
        Evaluation { address, state, task }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().unwrap().clone()
    }

    /// The requests with that line so far.
    pub fn asked_for(&self, line: &str) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.line == line).collect()
    }

    /// Gives a flag another default and tells everyone who listens on a WebSocket; returns how many do.
    pub fn change(&self, flag: &str, variation: &str) -> usize {
        let changed = self.state.flags.lock().unwrap().set_default(flag, variation);
        self.state.news.send(answers::change(flag, &changed)).unwrap_or(0)
    }
}

impl Drop for Evaluation {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(mut request: Request<Incoming>, state: Arc<State>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    let key = key(&request);
    let upgrade = request.headers().get(header::UPGRADE).map(|value| value.to_str().unwrap().to_owned());
    let streams = ["/ws/v1/flag/change", "/stream/v1/ws/flag/change"].contains(&path.as_str());
    let mut response = if streams && request.headers().contains_key("sec-websocket-key") {
        switch(&mut request, &state)
    } else if method == "OPTIONS" {
        Response::builder().status(StatusCode::NO_CONTENT).body(Full::default()).unwrap()
    } else {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let flags = state.flags.lock().unwrap().clone();
        let known = answers::answer(&flags, &method, &path, &head.headers, &body);
        known.unwrap_or_else(|| answers::reply(StatusCode::NOT_FOUND, &json!({ "message": "Not Found" })))
    };
    // As upstream's CORS middleware: any origin, any header.
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*".parse().unwrap());
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, "GET,HEAD,PUT,PATCH,POST,DELETE".parse().unwrap());
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, "content-type,authorization,x-api-key,if-none-match".parse().unwrap());
    let asked = Asked { line: format!("{method} {path}"), key, upgrade, status: response.status().as_u16() };
    state.asked.lock().unwrap().push(asked);
    Ok(response)
}

fn key(request: &Request<Incoming>) -> Option<String> {
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let query = request.uri().query().unwrap_or_default().split('&').find(|pair| pair.starts_with("apiKey="));
    text("x-api-key")
        .map(|key| format!("X-API-Key: {key}"))
        .or_else(|| text("authorization").map(|value| format!("Authorization: {value}")))
        .or_else(|| query.map(|pair| format!("?{pair}")))
}

/// A WebSocket that tells of changes and pings, as upstream does.
fn switch(request: &mut Request<Incoming>, state: &State) -> Response<Full<Bytes>> {
    let accept = derive_accept_key(request.headers()["sec-websocket-key"].as_bytes());
    let upgrade = hyper::upgrade::on(request);
    let mut news = state.news.subscribe();
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        let mut ping = tokio::time::interval(std::time::Duration::from_secs(1));
        loop {
            let sent = tokio::select! {
                change = news.recv() => match change {
                    Ok(change) => socket.send(Message::text(change)).await,
                    Err(_) => return,
                },
                _ = ping.tick() => socket.send(Message::Ping(Bytes::new())).await,
                read = socket.next() => match read {
                    Some(Ok(_)) => Ok(()),
                    _ => return,
                },
            };
            if sent.is_err() {
                return;
            }
        }
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header("sec-websocket-accept", accept)
        .body(Full::default())
        .unwrap()
}
