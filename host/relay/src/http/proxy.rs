//! Pass-through: every request that is not ours goes to the relay behind `upstream.url`, streamed both ways.
//!
//! Nothing is read or changed but what a proxy must: hop-by-hop headers (RFC 9110, 7.6.1) stay behind, `X-Forwarded-*` is added, `Host`
//! names the upstream. A failure to reach it is a 502 and a counter. Event streams are passed as they come, and cut when the program ends.

use std::error::Error;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flagpost_exporter::chain;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::{PathAndQuery, Uri};
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;

use super::body::Passage;
use super::idle::{Progress, Silent, Watched};
use super::visit::{Visit, Visitor, X_REQUEST_ID};
use super::{Ending, Reply, roots, upgrade};
use crate::config::Upstream;

/// Headers that belong to one connection (RFC 9110, 7.6.1; RFC 2616, 13.5.1). `Expect` is answered here.
static HOP_BY_HOP: [HeaderName; 10] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::EXPECT,
];
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// An idle connection to upstream is closed after this time: before a load balancer between closes it in silence (60 s is usual).
const IDLE: Duration = Duration::from_secs(50);
/// An `/info` has a line per flag set; this is thousands.
const MAX_INFO: usize = 1 << 20;
/// Log lines about failures come at most this often.
const SAY_EVERY: Duration = Duration::from_secs(10);

type Passed = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// The way to upstream.
pub(crate) struct Proxy {
    client: Client<HttpsConnector<HttpConnector>, Passed>,
    upstream: Upstream,
    /// Its path, without a slash at the end.
    prefix: String,
    /// One permit for each request, stream and upgraded connection.
    room: Arc<Semaphore>,
    passed: AtomicU64,
    failed: AtomicU64,
    said: Mutex<Option<Instant>>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("upstream", &self.upstream).finish_non_exhaustive()
    }
}

impl Proxy {
    /// The error is a sentence about `upstream.caFile`.
    pub(crate) fn new(upstream: Upstream) -> Result<Proxy, String> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(upstream.connect_timeout));
        connector.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(roots::client(upstream.ca_file.as_deref())?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).build(connector);
        let prefix = upstream.url.path().trim_end_matches('/').to_owned();
        let room = Arc::new(Semaphore::new(upstream.max_connections.clamp(1, Semaphore::MAX_PERMITS)));
        Ok(Proxy { client, upstream, prefix, room, passed: AtomicU64::new(0), failed: AtomicU64::new(0), said: Mutex::new(None) })
    }

    /// How many requests, streams and upgraded connections may be passed on at the same time.
    pub(crate) fn places(&self) -> usize {
        self.room.available_permits()
    }

    /// Passes on at most `most` at the same time; before the first request.
    pub(crate) fn limit_places(&self, most: usize) {
        self.room.forget_permits(self.room.available_permits().saturating_sub(most));
    }

    /// Requests that upstream answered, and those it did not.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.passed.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }

    /// Passes a request on and its answer back.
    pub(crate) async fn pass<B>(&self, mut request: Request<B>, visitor: &Visitor, visit: Visit, ending: &Ending) -> Response<Reply>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let Ok(uri) = self.target(request.uri()) else {
            return visit.answer(Reply::error(StatusCode::BAD_REQUEST, "the request's path cannot be passed on"));
        };
        let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() else {
            return visit.answer(later("as many requests and streams as may be are passed on already (`upstream.maxConnections`)"));
        };
        let passage = Passage { _permit: permit, _connection: upgrade::connection(&mut request) };
        let wanted = upgrade::wanted(request.headers());
        let client_side = wanted.as_ref().map(|_| hyper::upgrade::on(&mut request));
        let (head, body) = request.into_parts();
        let progress = Progress::new(self.upstream.response_timeout);
        let mut outgoing = Request::new(Watched::new(body, progress.clone()).boxed_unsync());
        *outgoing.method_mut() = head.method;
        *outgoing.uri_mut() = uri;
        *outgoing.headers_mut() = head.headers;
        forward_headers(outgoing.headers_mut(), visitor.peer, visitor.secure);
        outgoing.headers_mut().insert(X_REQUEST_ID, visit.id.clone());
        if let Some(protocol) = wanted {
            upgrade::ask(outgoing.headers_mut(), protocol);
        }
        let answered = tokio::select! {
            answered = self.client.request(outgoing) => answered,
            () = progress.stalled() => return visit.answer(self.too_slow()),
            () = ending.cut.cancelled() => return visit.answer(later("the relay is shutting down")),
        };
        match answered {
            Ok(mut response) => {
                self.passed.fetch_add(1, Ordering::Relaxed);
                if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                    return visit.switched(upgrade::switch(client_side, &mut response, ending.draining.clone(), passage));
                }
                strip(response.headers_mut());
                let endless =
                    response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
                visit.pass(response, endless.then(|| ending.draining.clone()), passage)
            }
            Err(error) if silent(&error) => visit.answer(Reply::error(StatusCode::REQUEST_TIMEOUT, "the request's body did not go on")),
            Err(error) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                self.say(&chain(&error));
                visit.answer(Reply::error(StatusCode::BAD_GATEWAY, "the relay behind `upstream.url` did not answer"))
            }
        }
    }

    /// What the relay behind says about itself at `/info`; `None`: nothing that could be shown.
    pub(crate) async fn info(&self) -> Option<serde_json::Map<String, serde_json::Value>> {
        let mut request = Request::new(Empty::new().map_err(Into::into).boxed_unsync());
        *request.uri_mut() = self.target(&Uri::from_static("/info")).ok()?;
        let response = self.client.request(request).await.ok().filter(|response| response.status().is_success())?;
        let body = Limited::new(response.into_body(), MAX_INFO).collect().await.ok()?.to_bytes();
        serde_json::from_slice(&body).ok()
    }

    fn too_slow(&self) -> Response<Reply> {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let within = self.upstream.response_timeout.as_millis();
        self.say(&format!("no answer within {within} ms (`upstream.responseTimeout`)"));
        let message = format!("the relay behind `upstream.url` did not answer within {within} ms (`upstream.responseTimeout`)");
        Reply::error(StatusCode::GATEWAY_TIMEOUT, &message)
    }

    fn target(&self, uri: &Uri) -> Result<Uri, http::Error> {
        let asked = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let authority = &self.upstream.url[url::Position::BeforeHost..url::Position::AfterPort];
        Uri::builder().scheme(self.upstream.url.scheme()).authority(authority).path_and_query(format!("{}{asked}", self.prefix)).build()
    }

    fn say(&self, why: &str) {
        let mut said = self.said.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if said.is_some_and(|at| at.elapsed() < SAY_EVERY) {
            return;
        }
        *said = Some(Instant::now());
        tracing::warn!(upstream = %self.upstream.url, failures = self.failed.load(Ordering::Relaxed), "a request could not be passed on: {why}");
    }
}

/// Whether it is the client who did not go on.
fn silent(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<Silent>() {
            return true;
        }
        next = error.source();
    }
    false
}

/// 503, and the client may come again soon.
fn later(message: &str) -> Response<Reply> {
    let mut response = Reply::error(StatusCode::SERVICE_UNAVAILABLE, message);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// Removes what belongs to one connection.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
}

fn forward_headers(headers: &mut HeaderMap, peer: Option<IpAddr>, secure: bool) {
    strip(headers);
    if let Some(host) = headers.remove(header::HOST) {
        headers.entry(X_FORWARDED_HOST).or_insert(host);
    }
    headers.entry(X_FORWARDED_PROTO).or_insert(HeaderValue::from_static(if secure { "https" } else { "http" }));
    if let Some(peer) = peer {
        let mut chain: Vec<u8> = Vec::new();
        for value in headers.get_all(X_FORWARDED_FOR) {
            chain.extend_from_slice(value.as_bytes());
            chain.extend_from_slice(b", ");
        }
        chain.extend_from_slice(peer.to_string().as_bytes());
        if let Ok(chain) = HeaderValue::from_bytes(&chain) {
            headers.insert(X_FORWARDED_FOR, chain);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn proxy(url: &str) -> Proxy {
        flagpost_exporter::install_crypto();
        Proxy::new(Upstream::at(url.parse().unwrap())).unwrap()
    }

    #[test]
    fn the_path_is_put_behind_upstreams_own() {
        let cases = [
            ("http://relay:1031", "/v1/x?y=%20z", "http://relay:1031/v1/x?y=%20z"),
            ("http://relay:1031/", "/", "http://relay:1031/"),
            ("https://h/base/", "/v1/x", "https://h/base/v1/x"),
            ("http://[::1]:80/", "/a", "http://[::1]/a"),
        ];
        for (upstream, asked, expected) in cases {
            assert_eq!(proxy(upstream).target(&asked.parse().unwrap()).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn what_belongs_to_one_connection_stays_behind() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Private"),
            ("x-private", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("te", "trailers"),
            ("host", "flagpost:1031"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-api-key", "k"),
            ("if-none-match", "\"1\""),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        forward_headers(&mut headers, Some("10.0.0.2".parse().unwrap()), true);
        let mut left: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        left.sort();
        let expected = [
            "if-none-match: \"1\"",
            "x-api-key: k",
            "x-forwarded-for: 10.0.0.1, 10.0.0.2",
            "x-forwarded-host: flagpost:1031",
            "x-forwarded-proto: https",
        ];
        assert_eq!(left, expected);
    }
}
