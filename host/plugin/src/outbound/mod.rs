//! Outbound HTTP for guests, by either interface: our own `http.send` and `wasi:http`.
//!
//! Both go through one pooled client per plugin: connections and TLS sessions are never shared between plugins, whose grants and
//! credentials differ. Policy is checked twice (see `policy`): the name here, every address it resolves into in [`resolver`]. Redirects
//! are not followed: the guest sees the 3xx, and a request to the new place is a request like any other. Proxies of the environment are
//! not used: a proxy would resolve names out of reach of the check.
//!
//! A request ends before the call does: at most four fifths of what is left of the call's wall time. A destination that hangs is then an
//! error that the guest can turn into `retryable`, not a killed guest.

mod client;
mod resolver;
mod responder;
mod simple;
mod wasi;

pub use resolver::{Resolver, SystemResolver};
pub use responder::{Responder, Unanswered};
pub(crate) use wasi::WasiHooks;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use futures_util::future::maybe_done;
use http::Method;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use url::Url;

use crate::policy::{Denial, Policy};
use crate::stats::Counters;

/// Bytes of a response's body that a guest gets.
pub(crate) const MAX_RESPONSE_BYTES: usize = 4 << 20;

/// Requests of one plugin at the same time; more wait for their turn. Each is a connection: without a bound one guest could take every
/// file descriptor of the relay, and with them its listening side.
const MAX_REQUESTS: usize = 16;

/// Refusals are logged this often: a guest could make thousands a second.
const DENIAL_LOG: Duration = Duration::from_secs(10);

/// One plugin's way out.
#[derive(Clone)]
pub(crate) struct Outbound(Arc<Inner>);

struct Inner {
    /// For log lines.
    plugin: String,
    policy: Arc<Policy>,
    resolver: Arc<dyn Resolver>,
    /// Answers in place of the network.
    responder: Option<Arc<dyn Responder>>,
    counters: Arc<Counters>,
    turns: Arc<Semaphore>,
    /// When a refusal was last logged, and how many were not since.
    logged: Mutex<(Option<Instant>, u64)>,
    /// Made by [`Outbound::warm_up`], or at the first request.
    client: OnceLock<Result<reqwest::Client, String>>,
}

impl Outbound {
    pub(crate) fn new(
        plugin: &str,
        policy: Policy,
        resolver: Arc<dyn Resolver>,
        responder: Option<Arc<dyn Responder>>,
        counters: Arc<Counters>,
    ) -> Self {
        Outbound(Arc::new(Inner {
            plugin: plugin.to_owned(),
            policy: Arc::new(policy),
            resolver,
            responder,
            counters,
            turns: Arc::new(Semaphore::new(MAX_REQUESTS)),
            logged: Mutex::default(),
            client: OnceLock::new(),
        }))
    }

    /// A way out that leads nowhere.
    pub(crate) fn bare(&self) -> Self {
        Outbound::new(&self.0.plugin, Policy::default(), Arc::clone(&self.0.resolver), None, Arc::default())
    }

    /// Makes the client now, off the way of events, if the plugin may use it at all: reading the system's certificates takes a while.
    pub(crate) async fn warm_up(&self) {
        if !self.0.policy.is_empty() {
            let outbound = self.clone();
            // Only a panic could be lost here; the first request would meet it again.
            drop(tokio::task::spawn_blocking(move || outbound.client().map(drop)).await);
        }
    }

    /// Whether the request may be made at all. A refusal is counted and logged with what to write into the configuration.
    fn check(&self, method: &Method, url: &Url) -> Result<(), Denial> {
        self.0.counters.http_requests.one();
        if self.0.responder.is_some() && self.0.policy.is_empty() {
            return Ok(());
        }
        self.0.policy.check(method, url).inspect_err(|denial| self.denied(denial))
    }

    /// Queues up for a turn, now; it lasts as long as the permit: until the response is read or dropped.
    ///
    /// Turns come in the order of the guest's requests, not in that of the tasks that serve them: a guest that waits for its first
    /// response would otherwise wait for ever, when later ones that it does not read yet have all the turns.
    fn queue_up(&self) -> impl Future<Output = Option<OwnedSemaphorePermit>> + Send + use<> {
        let mut turn = Box::pin(maybe_done(Arc::clone(&self.0.turns).acquire_owned()));
        // The first poll takes the place in the queue; whoever awaits the turn polls again.
        let _free_now = turn.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        async move {
            turn.as_mut().await;
            turn.as_mut().take_output()?.ok()
        }
    }

    fn denied(&self, denial: &Denial) {
        self.0.counters.http_denied.one();
        let now = Instant::now();
        let mut logged = self.0.logged.lock().unwrap_or_else(PoisonError::into_inner);
        match *logged {
            (Some(last), ref mut hidden) if now.saturating_duration_since(last) < DENIAL_LOG => *hidden += 1,
            (_, hidden) => {
                *logged = (Some(now), 0);
                tracing::warn!(plugin = self.0.plugin, not_shown = hidden, "a request is refused: {denial}");
            }
        }
    }

    fn client(&self) -> Result<&reqwest::Client, String> {
        let made = self.0.client.get_or_init(|| client::build(Arc::clone(&self.0.policy), Arc::clone(&self.0.resolver)));
        made.as_ref().map_err(Clone::clone)
    }
}

/// Time that a request may take.
fn budget(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()) / 5 * 4
}

/// The refusal of an address, wherever in the error's causes it is.
fn denial_in<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Denial> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref())
}

/// An error with its causes, without the URL: its query may hold a key.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(why) = cause {
        text.push_str(": ");
        text.push_str(&why.to_string());
        cause = why.source();
    }
    text
}
