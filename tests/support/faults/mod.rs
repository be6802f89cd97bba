//! A fault proxy for HTTP, in the test's own process: answers that no emulator gives, and delays, hangs and cut lines where a test wants them.
//!
//! It stands in front of any server that speaks HTTP/1.1 and passes everything on unchanged, `Host` included, so signatures over the request
//! (SigV4) stay valid. What a [`Rule`] matches is treated as it says, as often as it says; rules are asked in the order in which they were
//! given. Every request is recorded, whether it was passed on or not. A request's body is read to its end before anything is done with it;
//! answers are passed on as they come.

mod grpc;
mod rule;

pub use grpc::{GrpcFaults, GrpcRefusal, protobuf_fields, protobuf_text};
pub use rule::{Gate, Rule};

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use rule::Action;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `POST`.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// The status with which it was answered, by the server or by a rule. `None`: not (yet).
    pub status: Option<u16>,
}

impl Seen {
    /// A header's text; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }
}

/// A proxy in front of one server; ends with the test.
#[derive(Debug)]
pub struct Faults {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    client: Client<HttpConnector, Full<Bytes>>,
    /// `host:port`.
    server: String,
    seen: Mutex<Vec<Seen>>,
    rules: Mutex<Vec<Rule>>,
}

/// The line breaks.
#[derive(Debug)]
struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("broken on purpose")
    }
}

impl std::error::Error for Broken {}

type Body = BoxBody<Bytes, Broken>;

impl Faults {
    /// A proxy in front of the server at that URL (`http://host:port`, what follows does not count).
    pub async fn before(server: &str) -> Faults {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            client: Client::builder(TokioExecutor::new()).build_http(),
            server: authority(server),
            seen: Mutex::default(),
            rules: Mutex::default(),
        });
        let serving = shared.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                connections.spawn(serve(stream, serving.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        Faults { address, shared, task }
    }

    /// Its address with a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Adds a rule, behind those that it has.
    pub fn add(&self, rule: Rule) {
        self.shared.rules.lock().unwrap().push(rule);
    }

    /// Holds the answer to the next request that the rule matches: the server has it, the client does not.
    pub fn hold(&self, rule: Rule) -> Gate {
        let gate = Gate::default();
        self.add(rule.held_at(gate.clone()));
        gate
    }

    /// Removes all rules.
    pub fn heal(&self) {
        self.shared.rules.lock().unwrap().clear();
    }

    /// How many rules wait for a request.
    pub fn pending(&self) -> usize {
        self.shared.rules.lock().unwrap().len()
    }

    /// All requests so far, in the order in which they came.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Those that `rule` would match, whatever was done with them.
    pub fn matching(&self, rule: &Rule) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().iter().filter(|seen| rule.matches(seen)).cloned().collect()
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn authority(server: &str) -> String {
    let uri: Uri = server.parse().unwrap_or_else(|error| panic!("{server}: {error}"));
    uri.authority().unwrap_or_else(|| panic!("{server} has no host")).to_string()
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let stream = stream.into_std().unwrap();
    // A second handle on the connection decides how it ends.
    let (twin, stream) = (TcpStream::from_std(stream.try_clone().unwrap()).unwrap(), TcpStream::from_std(stream).unwrap());
    let serving = service_fn(|request| answer(request, &shared, &twin));
    // Connections that break are what this is for.
    let _broken = http1::Builder::new().serve_connection(TokioIo::new(stream), serving).await;
}

async fn answer(request: Request<Incoming>, shared: &Shared, line: &TcpStream) -> Result<Response<Body>, Broken> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Broken)?.to_bytes();
    let path = head.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
    let seen = Seen { method: head.method, path, headers: head.headers, body, status: None };
    let number = {
        let mut all = shared.seen.lock().unwrap();
        all.push(seen.clone());
        all.len() - 1
    };
    let pass = async |body: Bytes| {
        let answer = shared.pass(&seen, body).await;
        if answer.is_err() {
            line.set_zero_linger().ok();
        }
        answer
    };
    let action = rule::take(&mut shared.rules.lock().unwrap(), &seen);
    let answer = match action {
        None => pass(seen.body.clone()).await?.map(whole),
        Some(Action::Answer { status, headers, body }) => {
            let mut answer = Response::new(whole(Full::from(body)));
            *answer.status_mut() = StatusCode::from_u16(status).unwrap();
            for (name, value) in headers {
                answer.headers_mut().insert(name, value.parse().unwrap());
            }
            answer
        }
        Some(Action::Hang) => match std::future::pending::<Infallible>().await {},
        Some(Action::Reset) => {
            line.set_zero_linger().map_err(|_| Broken)?;
            return Err(Broken);
        }
        Some(Action::ResetAfter) => {
            drop(pass(seen.body.clone()).await?);
            line.set_zero_linger().map_err(|_| Broken)?;
            return Err(Broken);
        }
        Some(Action::Cut) => {
            let (mut head, body) = pass(seen.body.clone()).await?.into_parts();
            let body = body.collect().await.map_err(|_| Broken)?.to_bytes();
            head.headers.insert(CONTENT_LENGTH, body.len().into());
            let half = body.slice(..body.len() / 2);
            let parts = stream::iter([Ok(Frame::data(half)), Err(Broken)]);
            Response::from_parts(head, BodyExt::boxed(StreamBody::new(parts)))
        }
        Some(Action::Hold(gate)) => {
            let answer = pass(seen.body.clone()).await?.map(whole);
            gate.wait().await;
            answer
        }
        Some(Action::Rewrite { request, answer }) => {
            let body = match request {
                Some(change) => Bytes::from(change(seen.json()).to_string()),
                None => seen.body.clone(),
            };
            let (mut head, body) = pass(body).await?.into_parts();
            let body = body.collect().await.map_err(|_| Broken)?.to_bytes();
            let body = match answer {
                Some(change) => Bytes::from(change(serde_json::from_slice(&body).unwrap_or_default()).to_string()),
                None => body,
            };
            head.headers.remove(CONTENT_LENGTH);
            Response::from_parts(head, whole(Full::from(body)))
        }
    };
    shared.seen.lock().unwrap()[number].status = Some(answer.status().as_u16());
    Ok(answer)
}

/// A body of any kind as the proxy's.
fn whole<B>(body: B) -> Body
where
    B: hyper::body::Body<Data = Bytes> + Send + Sync + 'static,
{
    body.map_err(|_| Broken).boxed()
}

impl Shared {
    async fn pass(&self, seen: &Seen, body: Bytes) -> Result<Response<Incoming>, Broken> {
        let mut request = Request::new(Full::from(body.clone()));
        *request.method_mut() = seen.method.clone();
        *request.uri_mut() = format!("http://{}{}", self.server, seen.path).parse().map_err(|_| Broken)?;
        *request.headers_mut() = seen.headers.clone();
        // These belong to one connection, and to a body that comes in pieces.
        for name in [CONNECTION, EXPECT, TRANSFER_ENCODING] {
            request.headers_mut().remove(name);
        }
        if !body.is_empty() || seen.headers.contains_key(CONTENT_LENGTH) {
            request.headers_mut().insert(CONTENT_LENGTH, body.len().into());
        }
        let mut answer = self.client.request(request).await.map_err(|_| Broken)?;
        for name in [CONNECTION, TRANSFER_ENCODING] {
            answer.headers_mut().remove(name);
        }
        Ok(answer)
    }
}
