//! The HTTP surface: the collector, health and metrics, and everything else passed through.
//!
//! At one event per request the price of a request is the price of an event, so the way to the collector is short: no middleware, no
//! spans, one look at method and path, a body that is used where it arrived, numbers that are found without hashing.
//!
//! The order is upstream's: a browser's question first, then the key, then the route. Requests that are passed on are let through as they are:
//! the relay behind asks for its own keys, and a second check here could only disagree with it.

mod access_log;
mod auth;
mod body;
mod collector;
mod dead_letters;
mod exposition;
pub(crate) mod fuzzed;
mod health;
mod idle;
mod inflate;
mod info;
mod keys;
mod metrics;
mod openapi;
#[cfg(test)]
mod passing;
mod places;
mod plugins;
mod proxy;
mod room;
mod roots;
mod route;
mod server;
mod signature;
mod snapshot;
mod socket;
#[cfg(test)]
mod surface;
#[cfg(test)]
mod tests;
mod traffic;
mod upgrade;
mod visit;
mod work;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use tokio_util::sync::CancellationToken;

pub(crate) use body::Reply;
pub(crate) use health::Health;
pub(crate) use info::Info;
pub(crate) use keys::{Access, Keys};
pub(crate) use metrics::{Metrics, Plugin, Plugins, Sources as MetricSources};
pub(crate) use proxy::Proxy;
pub(crate) use room::Room;
pub(crate) use server::{Listen, Server};
pub(crate) use traffic::Traffic;
pub(crate) use visit::{Visitor, Visits};

use auth::AuthError;
use collector::Source;
use route::{Guard, Route};

use crate::config::Collector;
use crate::intake::Intakes;

/// Everything a request can need.
pub(crate) struct Door {
    /// Who may come in, and whose events they send.
    pub(crate) keys: Arc<Keys>,
    pub(crate) intakes: Arc<Intakes>,
    /// A reload replaces them.
    pub(crate) limits: Arc<ArcSwap<Collector>>,
    /// What all requests to the collector together may hold.
    pub(crate) room: Arc<Room>,
    pub(crate) health: Health,
    /// A reload replaces it.
    pub(crate) info: Arc<ArcSwap<Info>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) visits: Arc<Visits>,
    /// Where other requests go; `None`: nowhere.
    pub(crate) proxy: Option<Arc<Proxy>>,
    /// Whether health, info and metrics are served at `server.monitoringPort` and not beside the collector.
    pub(crate) monitoring_apart: bool,
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

/// Which routes a listener has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The collector and whatever is not served elsewhere.
    Main,
    /// `server.monitoringPort`.
    Monitoring,
}

impl Door {
    /// Answers one request.
    pub(crate) async fn answer<B>(&self, request: Request<B>, visitor: &Arc<Visitor>, side: Side) -> Result<Response<Reply>, Infallible>
    where
        B: Body<Data = bytes::Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let route = Route::of(request.uri().path());
        let visit = self.visits.begin(&request, visitor, route, side == Side::Main);
        if let (Some(proxy), Side::Main) = (&self.proxy, side)
            && !route.is_ours()
        {
            return Ok(proxy.pass(request, visitor, visit, &self.ending).await);
        }
        if request.method() == Method::OPTIONS {
            return Ok(visit.preflight(request.headers()));
        }
        let is_here = match side {
            Side::Main => !(self.monitoring_apart && route.is_monitoring()),
            Side::Monitoring => route.is_monitoring(),
        };
        let response = if is_here { self.serve(route, request).await } else { not_found() };
        Ok(visit.answer(response))
    }

    async fn serve<B>(&self, route: Route, request: Request<B>) -> Response<Reply>
    where
        B: Body<Data = bytes::Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let post = request.method() == Method::POST;
        match route {
            Route::Collector if post => collector::collect(self, request, Source::Clients).await,
            Route::Exported if post => collector::collect(self, request, Source::Exporter).await,
            Route::Collector | Route::Exported => self.refused(Guard::User, &request).unwrap_or_else(not_found),
            Route::Admin => match self.refused(Guard::Admin, &request) {
                Some(refused) => refused,
                // In a box: the collector's way is not to carry what this keeps over its waits.
                None if dead_letters::is_here(request.uri().path()) => Box::pin(dead_letters::answer(self, request)).await,
                None => plugins::answer(&self.health.plugins.now(), &request),
            },
            Route::Elsewhere(elsewhere) => {
                self.refused(elsewhere.guard, &request).unwrap_or_else(|| Reply::error(StatusCode::NOT_IMPLEMENTED, NO_EVALUATION))
            }
            Route::Unknown => not_found(),
            _ if !matches!(*request.method(), Method::GET | Method::HEAD) => method_not_allowed(route),
            Route::Health => health::initialized(),
            Route::Live => health::live(),
            Route::Ready => self.health.ready(self),
            Route::Exporters => self.health.exporters(),
            Route::Info => self.info.load_full().answer(self.proxy.as_deref()).await,
            Route::Metrics => self.metrics.answer(request.headers()),
            Route::OpenApi => openapi::answer(),
        }
    }

    /// The 401 of a request that does not come in.
    fn refused<B>(&self, guard: Guard, request: &Request<B>) -> Option<Response<Reply>> {
        let access = self.keys.now();
        let checked: Result<(), AuthError> = match guard {
            Guard::None => Ok(()),
            Guard::User => auth::user(&access, request.headers()),
            Guard::Admin => auth::admin(&access, request.headers()),
            Guard::Stream => auth::stream(&access, request.uri().query()),
        };
        checked.err().map(|error| Reply::error(StatusCode::UNAUTHORIZED, &error.to_string()))
    }
}

fn not_found() -> Response<Reply> {
    Reply::error(StatusCode::NOT_FOUND, "Not Found")
}

fn method_not_allowed(route: Route) -> Response<Reply> {
    let mut response = Reply::error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    if let Some(allow) = route.allow() {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    }
    response
}

/// Said for everything that needs an evaluating relay.
const NO_EVALUATION: &str = "this relay does not evaluate flags itself yet: set `upstream.url` to a relay that evaluates, or \
                             `evaluation: none` to only collect and export events";
