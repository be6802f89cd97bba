//! A real HTTP/1.1 server on loopback that answers as the test says and remembers what it was asked.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "tests")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub headers: http::HeaderMap,
    pub body: String,
}

/// The server; it ends with the test's runtime.
pub struct Server {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    /// Open now, and most at the same time.
    open: Arc<(AtomicUsize, AtomicUsize)>,
}

/// What to answer; `None` never answers.
pub type Answer = fn(&Seen) -> Option<Response<Bytes>>;

impl Server {
    pub async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, connections) = (Arc::<Mutex<Vec<Seen>>>::default(), Arc::<AtomicUsize>::default());
        let open = Arc::<(AtomicUsize, AtomicUsize)>::default();
        let server = Server { address, seen: Arc::clone(&seen), connections: Arc::clone(&connections), open: Arc::clone(&open) };
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.fetch_add(1, Ordering::SeqCst);
                open.1.fetch_max(open.0.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let seen = Arc::clone(&seen);
                let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                    let seen = Arc::clone(&seen);
                    async move {
                        let (parts, body) = request.into_parts();
                        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
                        let one = Seen { method: parts.method.to_string(), path: parts.uri.to_string(), headers: parts.headers, body };
                        seen.lock().unwrap().push(one.clone());
                        match answer(&one) {
                            Some(response) => Ok::<_, Infallible>(response.map(Full::new)),
                            None => std::future::pending().await,
                        }
                    }
                });
                let open = Arc::clone(&open);
                tokio::spawn(async move {
                    // How a connection ends is the client's business.
                    drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
                    open.0.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        server
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The URL's origin with another host.
    pub fn origin(&self, host: &str) -> String {
        format!("http://{host}:{}", self.address.port())
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Most connections at the same time.
    pub fn most_open(&self) -> usize {
        self.open.1.load(Ordering::SeqCst)
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// An answer without a body.
pub fn status(status: u16) -> Option<Response<Bytes>> {
    Some(Response::builder().status(status).body(Bytes::new()).unwrap())
}
