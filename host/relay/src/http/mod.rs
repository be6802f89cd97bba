//! The HTTP surface: the collector, health and metrics, and everything else passed through.
//!
//! At one event per request the price of a request is the price of an event, so the way to the collector is short: no middleware, no
//! spans, one look at method and path, a body that is used where it arrived.

mod body;
mod collector;
pub(crate) mod fuzzed;
mod health;
mod idle;
mod inflate;
mod metrics;
#[cfg(test)]
mod passing;
mod places;
mod proxy;
mod room;
mod roots;
mod server;
mod snapshot;
#[cfg(test)]
mod tests;
mod upgrade;
mod work;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use tokio_util::sync::CancellationToken;

pub(crate) use body::Reply;
pub(crate) use health::Health;
pub(crate) use metrics::{Metrics, Plugin, Plugins, Sources as MetricSources};
pub(crate) use proxy::Proxy;
pub(crate) use room::Room;
pub(crate) use server::Server;

use crate::config::Collector;
use crate::intake::Intake;

/// Everything a request can need.
pub(crate) struct Door {
    pub(crate) intake: Arc<Intake>,
    pub(crate) limits: Arc<Collector>,
    /// What all requests to the collector together may hold.
    pub(crate) room: Arc<Room>,
    pub(crate) health: Health,
    pub(crate) metrics: Arc<Metrics>,
    /// Where other requests go; `None`: nowhere.
    pub(crate) proxy: Option<Arc<Proxy>>,
    /// How the program ends.
    pub(crate) ending: Ending,
}

/// The end of the program, in two steps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ending {
    /// It has begun: readiness says so, and streams are cut.
    pub(crate) draining: CancellationToken,
    /// Requests have had their time: what waits for a client or for upstream waits no longer.
    pub(crate) cut: CancellationToken,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").finish_non_exhaustive()
    }
}

/// Upstream's routes that are served by whoever evaluates (its `docs`, relay proxy v1.5x), as prefixes: never a 404, since clients take
/// one for a missing flag and fall to their defaults in silence.
const ELSEWHERE: &[&str] = &["/v1/", "/ofrep/", "/openfeature/", "/admin/", "/stream/", "/ws/", "/info", "/swagger", "/debug/"];

impl Door {
    /// Answers one request.
    pub(crate) async fn answer<B>(&self, request: Request<B>, peer: Option<std::net::IpAddr>) -> Result<Response<Reply>, Infallible>
    where
        B: Body<Data = bytes::Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let path = request.uri().path();
        if path == "/v1/data/collector" && request.method() == Method::POST {
            return Ok(with_cors(request.headers().get(header::ORIGIN).is_some(), collector::collect(self, request).await));
        }
        let get = matches!(*request.method(), Method::GET | Method::HEAD);
        let response = match path {
            "/v1/data/collector" if request.method() == Method::OPTIONS => return Ok(preflight(request.headers())),
            "/health" if get => health::initialized(),
            "/health/live" if get => health::live(),
            "/health/ready" if get => self.health.ready(self),
            "/health/exporters" if get => self.health.exporters(),
            "/metrics" if get => self.metrics.answer(),
            "/v1/data/collector" => Reply::error(StatusCode::NOT_FOUND, "Not Found"),
            "/health" | "/health/live" | "/health/ready" | "/health/exporters" | "/metrics" => {
                let mut response = Reply::error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
                response
            }
            "/v1/data/exported" => Reply::error(StatusCode::NOT_IMPLEMENTED, "POST /v1/data/exported is not served yet"),
            _ => match &self.proxy {
                Some(proxy) => return Ok(proxy.pass(request, peer, &self.ending).await),
                None if ELSEWHERE.iter().any(|prefix| path.starts_with(prefix)) => Reply::error(StatusCode::NOT_IMPLEMENTED, NO_EVALUATION),
                None => Reply::error(StatusCode::NOT_FOUND, "Not Found"),
            },
        };
        Ok(response)
    }
}

/// Said for everything that needs an evaluating relay.
const NO_EVALUATION: &str = "this relay does not evaluate flags itself yet: set `upstream.url` to a relay that evaluates, or \
                             `evaluation: none` to only collect and export events";

/// Browsers send events, too: upstream answers every origin.
fn with_cors(has_origin: bool, mut response: Response<Reply>) -> Response<Reply> {
    if has_origin {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    }
    response
}

/// A browser's question before its request: upstream's answer.
fn preflight(asked: &http::HeaderMap) -> Response<Reply> {
    let mut response = Response::new(Reply::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET,HEAD,PUT,PATCH,POST,DELETE"));
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(wanted) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    response
}
