//! Outbound HTTP for guests, by either interface: our own `http.send` and `wasi:http`.
//!
//! Both go through one pooled client per plugin: connections and TLS sessions are never shared between plugins, whose grants and
//! credentials differ. Policy is checked twice (see `policy`): the name here, every address it resolves into in [`resolver`]. Redirects
//! are followed where the operator says so, by [`redirect`]; each hop is a request like any other. Otherwise the guest sees the 3xx.
//! A proxy is used only where the exporter's `http.proxy` says so, be it `env`: a proxy resolves names out of reach of the check of
//! addresses, and then its own rules decide about them. Secrets go into headers last, when it is certain where they go.
//!
//! A request ends before the call does: at most four fifths of what is left of the call's wall time. A destination that hangs is then an
//! error that the guest can turn into `retryable`, not a killed guest.

mod authorities;
mod client;
mod redirect;
mod resolver;
mod responder;
mod simple;
mod wasi;

pub(crate) use authorities::Authorities;
pub use resolver::{Resolver, SystemResolver};
pub use responder::{Responder, Unanswered};
pub(crate) use wasi::WasiHooks;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use futures_util::future::maybe_done;
use http::{HeaderMap, Method};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use url::Url;

use crate::PluginHttp;
use crate::denials::Denials;
use crate::policy::{Denial, Policy};
use crate::secrets::Secrets;
use crate::stats::Counters;

/// Bytes of a response's body that a guest gets.
pub(crate) const MAX_RESPONSE_BYTES: usize = 4 << 20;

/// Requests of one plugin at the same time; more wait for their turn. Each is a connection: without a bound one guest could take every
/// file descriptor of the relay, and with them its listening side.
const MAX_REQUESTS: usize = 16;

/// One plugin's way out.
#[derive(Clone)]
pub(crate) struct Outbound(Arc<Inner>);

struct Inner {
    way: Way,
    turns: Arc<Semaphore>,
    /// Made by [`Outbound::warm_up`], or at the first request.
    client: Mutex<Option<reqwest::Client>>,
}

/// What decides about a plugin's requests.
pub(crate) struct Way {
    pub(crate) policy: Arc<Policy>,
    pub(crate) http: PluginHttp,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) authorities: Arc<Authorities>,
    /// Answers in place of the network.
    pub(crate) responder: Option<Arc<dyn Responder>>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) denials: Arc<Denials>,
}

impl Outbound {
    pub(crate) fn new(way: Way) -> Self {
        Outbound(Arc::new(Inner { way, turns: Arc::new(Semaphore::new(MAX_REQUESTS)), client: Mutex::default() }))
    }

    /// A way out that leads nowhere; what it refuses is noted in `denials`.
    pub(crate) fn bare(&self, denials: Arc<Denials>) -> Self {
        Outbound::new(Way {
            policy: Arc::default(),
            http: PluginHttp::default(),
            secrets: Arc::default(),
            resolver: Arc::clone(&self.0.way.resolver),
            authorities: Arc::clone(&self.0.way.authorities),
            responder: None,
            counters: Arc::default(),
            denials,
        })
    }

    /// Makes the client now, off the way of events, if the plugin may use it at all: reading the system's certificates takes a while. Fails
    /// when a file of `http.tls` cannot be used.
    pub(crate) async fn warm_up(&self) -> Result<(), String> {
        if self.0.way.policy.is_empty() {
            return Ok(());
        }
        let outbound = self.clone();
        // Only a panic could be lost here; the first request would meet it again.
        tokio::task::spawn_blocking(move || outbound.client().map(drop)).await.unwrap_or(Ok(()))
    }

    /// The files of certificates and their key.
    pub(crate) fn certificates(&self) -> impl Iterator<Item = &Path> {
        let PluginHttp { ca, cert, key, .. } = &self.0.way.http;
        [ca, cert, key].into_iter().flatten().map(PathBuf::as_path)
    }

    /// Makes the client anew of what is in the files now. When that fails the one before goes on.
    pub(crate) async fn renew(&self) -> Result<(), String> {
        let outbound = self.clone();
        let made = tokio::task::spawn_blocking(move || {
            let new = client::build(&outbound.0.way)?;
            // Requests that are under way end on the one before.
            *outbound.0.client.lock().unwrap_or_else(PoisonError::into_inner) = Some(new);
            Ok(())
        });
        made.await.unwrap_or_else(|why| Err(format!("the client cannot be made: {why}")))
    }

    /// The next one who needs a client makes it of what is in the files then.
    pub(crate) fn forget(&self) {
        *self.0.client.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether the request may be made at all. A refusal is counted and logged with what to write into the configuration.
    fn check(&self, method: &Method, url: &Url) -> Result<(), Denial> {
        self.0.way.counters.http_requests.one();
        if self.0.way.responder.is_some() && self.0.way.policy.is_empty() {
            return Ok(());
        }
        self.0.way.policy.check(method, url).inspect_err(|denial| self.denied(denial))
    }

    /// Puts the secrets in that are for this request. A refusal is counted and logged like any other.
    fn attach(&self, method: &Method, url: &Url, headers: &mut HeaderMap) -> Result<(), Denial> {
        self.0.way.secrets.attach(method, url, headers).map(drop).inspect_err(|denial| self.denied(denial))
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
        let Way { counters, denials, .. } = &self.0.way;
        let counter = match denial {
            Denial::Secret { .. } | Denial::SecretPlace { .. } | Denial::SecretValue => &counters.secrets_refused,
            _ => &counters.http_denied,
        };
        denials.note(counter, denial);
    }

    fn client(&self) -> Result<reqwest::Client, String> {
        let mut client = self.0.client.lock().unwrap_or_else(PoisonError::into_inner);
        match &*client {
            Some(client) => Ok(client.clone()),
            None => Ok(client.insert(client::build(&self.0.way)?).clone()),
        }
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
