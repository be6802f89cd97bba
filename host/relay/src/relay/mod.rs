//! A relay that runs: the program's, and an embedding program's.

mod builder;
mod doors;
mod error;
mod exporters;
mod live;
mod restart;
mod runtimes;
mod start;
mod store;

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flagpost_delivery::{ShutdownReport, TaskStatus};
use flagpost_event::Event;
use flagpost_event::collect::{Collected, Lines};
use flagpost_spool::{EventLog, Ledger, Lock};
use tokio_util::sync::CancellationToken;

pub use builder::{ExporterOptions, RelayBuilder};
pub use error::{CollectError, ReloadError, StartError};
pub(crate) use store::{LEDGER, temporary_cache};

use crate::config::{self, Config, DEFAULT_FLAG_SET, Sources};
use crate::http::Server;
use crate::reloads::Reloaded;
use live::Live;

/// How long the event log and the bookkeeping may take to close, each, however little time is left.
const CLOSE_STORE: Duration = Duration::from_secs(5);

/// A relay that takes events, keeps them, and delivers them to its exporters. End it with [`close`](Self::close).
///
/// It has threads and runtimes of its own and works inside any runtime. Dropped without `close` it sends nothing more: what a disk buffer
/// holds is delivered by the next relay that opens it, what a memory buffer holds is lost.
///
/// ```
/// use std::sync::{Arc, Mutex};
///
/// use flagpost::{EventBatch, ExportError, Exporter, FeatureEvent, Json, Relay};
///
/// /// Keeps the users of all events.
/// struct Users(Arc<Mutex<Vec<String>>>);
///
/// #[async_trait::async_trait]
/// impl Exporter for Users {
///     fn is_bulk(&self) -> bool {
///         true
///     }
///
///     async fn export(&self, batch: &EventBatch) -> Result<(), ExportError> {
///         for line in batch.lines() {
///             let event = FeatureEvent::from_line(line).map_err(|error| ExportError::rejected(error.to_string()))?;
///             self.0.lock().unwrap().push(event.user_key.into_owned());
///         }
///         Ok(())
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let users = Arc::new(Mutex::new(Vec::new()));
/// let relay = Relay::builder().memory(16 << 20).exporter("users", Users(users.clone())).start().await?;
/// relay
///     .collect(FeatureEvent {
///         kind: "feature".into(),
///         context_kind: "user".into(),
///         user_key: "jane".into(),
///         creation_date: 1_680_246_000,
///         key: "new-checkout".into(),
///         variation: "enabled".into(),
///         value: Json::from(serde_json::json!(true)),
///         default: false,
///         version: "".into(),
///         source: "SERVER".into(),
///         metadata: None,
///     })
///     .await?;
/// relay.close().await;
/// assert_eq!(*users.lock().unwrap(), ["jane"]);
/// # Ok(())
/// # })
/// # }
/// ```
pub struct Relay {
    live: Arc<Live>,
    log: Arc<dyn EventLog>,
    ledger: Ledger,
    server: Option<Server>,
    monitoring: Option<Server>,
    draining: CancellationToken,
    runtimes: runtimes::Runtimes,
    _lock: Option<Lock>,
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("address", &self.address()).finish_non_exhaustive()
    }
}

impl Relay {
    /// Where to begin.
    pub fn builder() -> RelayBuilder {
        RelayBuilder::default()
    }

    /// Takes one event of the default flag set and returns once it is kept as the buffer promises.
    pub async fn collect<'e>(&self, event: impl Into<Event<'e>>) -> Result<(), CollectError> {
        self.collect_for(DEFAULT_FLAG_SET, event).await
    }

    /// Takes events of the default flag set together: with one wait for all of them, none is kept without the others.
    pub async fn collect_all<'e, E: Into<Event<'e>>>(&self, events: impl IntoIterator<Item = E>) -> Result<(), CollectError> {
        self.collect_all_for(DEFAULT_FLAG_SET, events).await
    }

    /// Takes one event of a flag set: only that flag set's exporters get it.
    pub async fn collect_for<'e>(&self, flag_set: &str, event: impl Into<Event<'e>>) -> Result<(), CollectError> {
        self.collect_all_for(flag_set, [event]).await
    }

    /// Takes events of a flag set together.
    pub async fn collect_all_for<'e, E: Into<Event<'e>>>(
        &self,
        flag_set: &str,
        events: impl IntoIterator<Item = E>,
    ) -> Result<(), CollectError> {
        let intake = self.live.intakes.get(flag_set).ok_or_else(|| CollectError::UnknownFlagSet { flag_set: flag_set.to_owned() })?;
        intake.admit().map_err(|refused| CollectError::Refused { reason: refused.message, retry_after: refused.retry_after })?;
        let mut collected = Collected::default();
        for event in events {
            let event = event.into();
            let lines: &mut Lines = match event {
                Event::Feature(_) => &mut collected.feature,
                Event::Tracking(_) => &mut collected.tracking,
            };
            event.write_line(&mut lines.bytes);
            lines.count += 1;
            collected.ingested += 1;
        }
        Ok(intake.store(collected).await?)
    }

    /// Where it listens, if that is a port.
    pub fn address(&self) -> Option<SocketAddr> {
        self.server.as_ref().and_then(Server::address)
    }

    /// Where health, info and metrics are, if they have a port of their own (`server.monitoringPort`).
    pub fn monitoring_address(&self) -> Option<SocketAddr> {
        self.monitoring.as_ref().and_then(Server::address)
    }

    /// The runtime that answers requests.
    pub(crate) fn door(&self) -> Option<&tokio::runtime::Handle> {
        self.runtimes.door()
    }

    /// What each exporter is doing.
    pub fn exporters(&self) -> Vec<Arc<TaskStatus>> {
        self.live.delivery.statuses()
    }

    /// Puts another configuration in effect while events flow. Exporters that did not change are not touched; changed ones are replaced
    /// between two attempts, and the batch that was under way goes on as planned; those that are gone end, and their events are kept for
    /// `buffer.keepRemoved`. Keys, flag sets, bounds and limits hold from the next request on. What the [builder](Self::builder) was given
    /// beside a configuration stays.
    ///
    /// Returns once it holds, and names the keys that hold only from the next start on. Waits for plugins that take the place of one that
    /// runs: seconds while a large one compiles.
    ///
    /// # Errors
    ///
    /// It does not fit together, or a plugin in it does not run that would take the place of one that does: the one before goes on,
    /// unchanged. When the bookkeeping does not take an exporter, that one is left as it was and everything else holds.
    pub async fn reload(&self, config: Config) -> Result<Reloaded, ReloadError> {
        self.live.reload(config).await.map_err(ReloadError::Refused)
    }

    /// Reads a file and [puts it in effect](Self::reload). A file that is wrong changes nothing; `/health/exporters` and the metrics say so.
    ///
    /// # Errors
    ///
    /// As [`reload`](Self::reload), or the file is wrong: all that is.
    pub async fn reload_file(&self, file: &Path, sources: &Sources) -> Result<Reloaded, ReloadError> {
        let loaded = config::load(file, sources).inspect_err(|error| self.live.reloads.refused(error.to_string()))?;
        for warning in &loaded.warnings {
            tracing::warn!("{}", warning.in_file(file));
        }
        self.reload(loaded.config).await
    }

    /// How long exporters may take to send what waits at the end.
    pub(crate) fn shutdown_timeout(&self) -> Duration {
        **self.live.shutdown_timeout.load()
    }

    /// How the configuration was last read.
    pub fn configuration(&self) -> Reloaded {
        self.live.reloads.now()
    }

    /// Ends it: no new requests, requests under way finish within half of `shutdownTimeout`, exporters send what waits within the rest. What
    /// is not sent stays in a disk buffer; the report names it.
    pub async fn close(self) -> ShutdownReport {
        let started = Instant::now();
        self.draining.cancel();
        self.live.probes.end();
        // A client that stalls must not take the exporters' time.
        let within = self.shutdown_timeout();
        let for_requests = within / 2;
        for server in self.server.iter().chain(&self.monitoring) {
            if !server.finish(for_requests.saturating_sub(started.elapsed())).await {
                tracing::warn!("requests under way did not finish in time");
            }
        }
        let left = within.saturating_sub(started.elapsed());
        let report = self.live.delivery.shutdown(left).await;
        // What was acknowledged is durable already: a disk that hangs is not waited for.
        if tokio::time::timeout(CLOSE_STORE, self.log.close()).await.is_err() {
            tracing::error!("the event log could not be closed in time: the next start will scan its newest segment");
        }
        match tokio::time::timeout(CLOSE_STORE, self.ledger.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the bookkeeping could not be closed: some deliveries may be repeated"),
            Err(_) => tracing::error!("the bookkeeping could not be closed in time: some deliveries may be repeated"),
        }
        report
    }
}
