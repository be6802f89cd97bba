//! A stand-in for the relay behind `upstream.url`: echoes requests, streams events, speaks WebSocket.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, stream};
use http::{Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

type Body = BoxBody<Bytes, Infallible>;

/// A listening server; closed when it goes out of scope.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    news: broadcast::Sender<String>,
    task: JoinHandle<()>,
}

impl Upstream {
    /// Starts it. `/stream` is an event stream of what [`publish`](Self::publish) says, `/ws` a WebSocket that echoes, `/teapot` answers
    /// 418, and everything else describes the request.
    pub async fn start() -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (news, _) = broadcast::channel(100);
        let source = news.clone();
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let source = source.clone();
                tokio::spawn(async move {
                    let serve = service_fn(|request| answer(request, source.clone()));
                    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), serve).with_upgrades();
                    let _cut = connection.await;
                });
            }
        });
        Upstream { address, news, task }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sends an event to everyone who listens to `/stream`; returns how many do.
    pub fn publish(&self, event: &str) -> usize {
        self.news.send(event.to_owned()).unwrap_or(0)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(mut request: Request<Incoming>, news: broadcast::Sender<String>) -> Result<Response<Body>, Infallible> {
    Ok(match request.uri().path() {
        "/stream" => {
            let events = stream::unfold(news.subscribe(), |mut news| async {
                let event = news.recv().await.ok()?;
                Some((Ok(Frame::data(Bytes::from(format!("data: {event}\n\n")))), news))
            });
            let body = BodyExt::boxed(StreamBody::new(events));
            Response::builder().header(header::CONTENT_TYPE, "text/event-stream").body(body).unwrap()
        }
        "/ws" => {
            let key = derive_accept_key(request.headers()["sec-websocket-key"].as_bytes());
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let socket = TokioIo::new(upgrade.await.unwrap());
                let mut socket = WebSocketStream::from_raw_socket(socket, Role::Server, None).await;
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_text() {
                        socket.send(message).await.unwrap();
                    }
                }
            });
            Response::builder()
                .status(StatusCode::SWITCHING_PROTOCOLS)
                .header(header::CONNECTION, "Upgrade")
                .header(header::UPGRADE, "websocket")
                .header("sec-websocket-accept", key)
                .body(text(""))
                .unwrap()
        }
        "/teapot" => Response::builder().status(418).header("x-kettle", "on").body(text("short and stout")).unwrap(),
        _ => {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let headers = head.headers.iter().map(|(name, value)| (name.to_string(), json!(value.to_str().unwrap_or("?"))));
            let headers: serde_json::Map<_, _> = headers.collect();
            let seen = json!({
                "method": head.method.as_str(),
                "uri": head.uri.to_string(),
                "headers": headers,
                "body": String::from_utf8_lossy(&body),
            });
            Response::new(text(&seen.to_string()))
        }
    })
}

fn text(text: &str) -> Body {
    Full::from(text.to_owned()).boxed()
}
