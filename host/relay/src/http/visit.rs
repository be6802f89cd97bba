//! One request from its head to the last byte of its answer: its id, its answer's common headers, its line in the access log, its numbers.
//!
//! A visit ends when it goes out of scope: for a streamed answer that is with the stream's end, and for a client that went away whenever
//! that is noticed. So none is forgotten.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, Uri};
use http_body::Body;
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;

use super::Reply;
use super::access_log::{AccessLog, Line, is_logged};
use super::route::{Route, method_label};
use super::traffic::{self, Memory, Traffic};

/// Names a request, here and in the relay behind.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Upstream's header on every answer.
const VERSION_HEADER: HeaderName = HeaderName::from_static("x-gofeatureflag-version");
const VERSION: HeaderValue = HeaderValue::from_static(env!("CARGO_PKG_VERSION"));
/// The status of a request whose client did not wait for the answer; nginx's.
const CLIENT_WENT_AWAY: u16 = 499;
/// The longest id that is taken over.
const MAX_ID_LENGTH: usize = 128;

/// What all visits share.
#[derive(Debug)]
pub(crate) struct Visits {
    traffic: Arc<Traffic>,
    log: AccessLog,
    /// Whether answers carry `X-Gofeatureflag-Version`.
    version: bool,
    ids: Ids,
}

/// A connection.
#[derive(Debug, Default)]
pub(crate) struct Visitor {
    /// Who is at the other end; nobody has an address on a unix socket.
    pub(crate) peer: Option<IpAddr>,
    /// Whether the connection is TLS.
    pub(crate) secure: bool,
    memory: Memory,
}

impl Visitor {
    pub(crate) fn new(peer: Option<IpAddr>, secure: bool) -> Visitor {
        Visitor { peer, secure, memory: Memory::default() }
    }
}

/// One request.
pub(crate) struct Visit {
    visits: Arc<Visits>,
    visitor: Arc<Visitor>,
    started: Instant,
    route: Route,
    method: Method,
    uri: Uri,
    host: Option<HeaderValue>,
    agent: Option<HeaderValue>,
    /// Its name.
    pub(crate) id: HeaderValue,
    /// Whether a browser asks.
    origin: bool,
    /// Whether it is counted: at the monitoring port none is.
    counted: bool,
    request_bytes: u64,
    status: u16,
    /// Bytes of the answer's body so far.
    pub(crate) sent: u64,
}

impl Visits {
    /// `prefix`: random, so that two processes give different ids.
    pub(crate) fn new(traffic: Arc<Traffic>, version: bool, prefix: u64) -> Visits {
        Visits { traffic, log: AccessLog::default(), version, ids: Ids { prefix, next: AtomicU64::new(0) } }
    }

    /// A request came.
    pub(crate) fn begin<B: Body>(self: &Arc<Self>, request: &Request<B>, visitor: &Arc<Visitor>, route: Route, counted: bool) -> Visit {
        let headers = request.headers();
        Visit {
            visits: self.clone(),
            visitor: visitor.clone(),
            started: Instant::now(),
            route,
            method: request.method().clone(),
            uri: request.uri().clone(),
            host: headers.get(header::HOST).cloned(),
            agent: headers.get(header::USER_AGENT).cloned(),
            id: self.ids.of(headers),
            origin: headers.contains_key(header::ORIGIN),
            counted,
            request_bytes: size(request),
            status: CLIENT_WENT_AWAY,
            sent: 0,
        }
    }
}

impl Visit {
    /// Our own answer: with what every answer carries.
    pub(crate) fn answer(mut self, mut response: Response<Reply>) -> Response<Reply> {
        self.status = response.status().as_u16();
        self.sent = response.body().size_hint().exact().unwrap_or(0);
        let headers = response.headers_mut();
        headers.insert(header::VARY, HeaderValue::from_static("Origin"));
        if self.origin {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        }
        if self.visits.version {
            headers.insert(VERSION_HEADER, VERSION);
        }
        headers.insert(X_REQUEST_ID, self.id.clone());
        response
    }

    /// A browser's question before its request: upstream's answer (echo's `CORS` with its defaults).
    pub(crate) fn preflight(self, asked: &HeaderMap) -> Response<Reply> {
        let allow = self.route.allow();
        let browser = self.origin;
        let mut response = Response::new(Reply::empty());
        *response.status_mut() = http::StatusCode::NO_CONTENT;
        let mut response = self.answer(response);
        let headers = response.headers_mut();
        if let Some(allow) = allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        if browser {
            headers.append(header::VARY, HeaderValue::from_static("Access-Control-Request-Method"));
            headers.append(header::VARY, HeaderValue::from_static("Access-Control-Request-Headers"));
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET,HEAD,PUT,PATCH,POST,DELETE"));
            if let Some(wanted) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
                headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
            }
        }
        response
    }

    /// An answer that was passed on; the visit ends with its body. `cut`: its stream has no end of its own.
    pub(crate) fn pass(mut self, response: Response<Incoming>, cut: Option<CancellationToken>) -> Response<Reply> {
        self.status = response.status().as_u16();
        let id = self.id.clone();
        let mut response = response.map(|body| match cut {
            Some(end) => Reply::Endless(body, Box::pin(end.cancelled_owned()), Box::new(self)),
            None => Reply::Passed(body, Box::new(self)),
        });
        response.headers_mut().insert(X_REQUEST_ID, id);
        response
    }

    /// An answer that is passed on without a body that could be looked at: a switch of protocols.
    pub(crate) fn switched(mut self, mut response: Response<Reply>) -> Response<Reply> {
        self.status = response.status().as_u16();
        response.headers_mut().insert(X_REQUEST_ID, self.id.clone());
        response
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        let host = self.host.as_ref().map_or(&b""[..], HeaderValue::as_bytes);
        if self.counted {
            let request = traffic::Request {
                code: self.status,
                method: method_label(&self.method),
                url: self.route.pattern(),
                host,
                seconds: took.as_secs_f64(),
                request_bytes: self.request_bytes,
                response_bytes: self.sent,
            };
            self.visits.traffic.count(&self.visitor.memory, &request);
        }
        if !self.route.is_monitoring() && is_logged(self.status) {
            self.visits.log.write(&Line {
                peer: self.visitor.peer,
                latency: took,
                host,
                method: self.method.as_str(),
                path: self.uri.path(),
                status: self.status,
                size: self.sent,
                user_agent: self.agent.as_ref().map_or(&b""[..], HeaderValue::as_bytes),
                request_id: self.id.as_bytes(),
            });
        }
    }
}

/// A request's size as upstream estimates it: path, method, protocol, headers, and the body if its length is known.
fn size<B: Body>(request: &Request<B>) -> u64 {
    const PROTOCOL: usize = "HTTP/1.1".len();
    let headers: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let head = request.uri().path().len() + request.method().as_str().len() + PROTOCOL + headers;
    head as u64 + request.body().size_hint().exact().unwrap_or(0)
}

/// Gives requests their names.
#[derive(Debug)]
struct Ids {
    prefix: u64,
    next: AtomicU64,
}

impl Ids {
    /// The id that the client gave, if it can stand in a log, else a new one.
    fn of(&self, headers: &HeaderMap) -> HeaderValue {
        match headers.get(X_REQUEST_ID).filter(|id| is_sane(id.as_bytes())) {
            Some(id) => id.clone(),
            None => self.new_id(),
        }
    }

    fn new_id(&self) -> HeaderValue {
        let mut text = [0; 32];
        let bytes = (u128::from(self.prefix) << 64 | u128::from(self.next.fetch_add(1, Ordering::Relaxed))).to_be_bytes();
        let written = hex::encode_to_slice(bytes, &mut text);
        debug_assert!(written.is_ok(), "16 bytes are 32 digits");
        // Hexadecimal digits are a value always.
        HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("0"))
    }
}

fn is_sane(id: &[u8]) -> bool {
    let sound = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:/+=@".contains(byte);
    (1..=MAX_ID_LENGTH).contains(&id.len()) && id.iter().all(sound)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_id_is_kept_when_it_can_stand_in_a_log() {
        let ids = Ids { prefix: 0xabc, next: AtomicU64::new(7) };
        let of = |id: &[u8]| ids.of(&HeaderMap::from_iter([(X_REQUEST_ID, HeaderValue::from_bytes(id).unwrap())]));
        for kept in ["a", "0192f0a0-1b2c", "Root=1-5759e988-bd862e3fe1be46a994272793", &"x".repeat(MAX_ID_LENGTH)] {
            assert_eq!(of(kept.as_bytes()), kept);
        }
        for (n, replaced) in [&b""[..], b"a b", b"a\"b", b"a\tb", b"\xe9", &[b'x'; MAX_ID_LENGTH + 1]].into_iter().enumerate() {
            assert_eq!(of(replaced), format!("0000000000000abc{:016x}", 7 + n), "{replaced:?}");
        }
    }
}
