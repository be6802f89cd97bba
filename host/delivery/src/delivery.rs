//! The door to this room: tasks come, go, and are shut down.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flagpost_event::StreamName;
use flagpost_spool::{ConsumerRecord, EventLog, Identity, Ledger, LedgerError};
use futures_util::future::join_all;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::keeper::{keep, trim_at_the_end};
use crate::tasks::{Shared, Task};
use crate::worker::Mode;
use crate::{Admission, DeliveryOptions, TaskSpec, TaskStatus, WhenFull};

/// How long a worker that is replaced or removed may finish the attempt it is in.
const FINISH: Duration = Duration::from_secs(10);

/// How long an exporter may take to free what it holds, however little time a shutdown has left.
const CLOSE: Duration = Duration::from_secs(1);

/// How long the bookkeeping may take to write the cursors, however little time a shutdown has left: a disk that is slow is worth waiting
/// for, one that hangs is not.
const FLUSH: Duration = Duration::from_secs(5);

/// All tasks of one relay. Dropping it drops every worker where it is, as a crash would: [`shutdown`](Self::shutdown) ends it well.
pub struct Delivery {
    pub(crate) shared: Arc<Shared>,
    keeper: AbortHandle,
    closing: AtomicBool,
}

/// Delivery could not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The bookkeeping failed.
    #[error("the bookkeeping of exporter `{identity}` failed")]
    Ledger {
        /// Whose.
        identity: Identity,
        /// Why.
        #[source]
        source: LedgerError,
    },
    /// Delivery is being shut down.
    #[error("delivery is being shut down")]
    ShuttingDown,
}

/// What a shutdown left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Whether every worker ended by itself before the time was up.
    pub in_time: bool,
    /// Whether every cursor is durable. If not, what was delivered last is delivered again after the next start.
    pub flushed: bool,
    /// What was not sent and stays in the log.
    pub unsent: Vec<Unsent>,
}

/// What waits for the next start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsent {
    /// Whose they are.
    pub identity: Identity,
    /// Their stream.
    pub stream: StreamName,
    /// How many events.
    pub events: u64,
    /// How many dead letters that are marked to be sent again.
    pub letters: u64,
}

impl Delivery {
    /// Opens delivery over a log and its bookkeeping ([`Ledger::attach`]ed to each other): budgets and trimming run from now on, and
    /// consumers of earlier starts are shown. Exporters come with [`add`](Self::add).
    pub async fn start(log: Arc<dyn EventLog>, ledger: Ledger, options: DeliveryOptions) -> Result<Delivery, DeliveryError> {
        let runtime = options.runtime.clone();
        let shared = Arc::new(Shared::new(log, ledger, options));
        for record in shared.ledger.consumers() {
            shared.remember(&record);
        }
        let keeper = runtime.spawn(keep(Arc::clone(&shared))).abort_handle();
        Ok(Delivery { shared, keeper, closing: AtomicBool::new(false) })
    }

    /// Starts a task. An exporter that was never seen starts at the stream's head, durably before it runs; a known one goes on where it
    /// was, with the batch that was under way. One that is running is replaced: its attempt under way may finish first, and its exporter is
    /// closed before the new one is called, unless it is the same one or serves another stream. When this fails, whoever was running still is.
    pub async fn add(&self, spec: TaskSpec) -> Result<Arc<TaskStatus>, DeliveryError> {
        let key = (spec.identity.clone(), spec.stream.clone());
        // First what can fail. While a worker still runs, its record says where it is only once it has ended.
        let registry = self.shared.registry.lock().await;
        let mut record = self.register(&spec).await?;
        let (mut late, mut other) = (None, false);
        let registry = match self.shared.task(&key).filter(Task::has_worker) {
            None => registry,
            Some(before) => {
                drop(registry);
                before.end(Mode::Finish, FINISH).await;
                let leaving = before.exporter().filter(|exporter| !Arc::ptr_eq(exporter, &spec.exporter));
                other = leaving.is_some();
                if before.is_finished() {
                    self.shared.close_unused(leaving, CLOSE).await;
                } else {
                    late = leaving;
                }
                let registry = self.shared.registry.lock().await;
                if self.closing.load(Ordering::Acquire) {
                    return Err(DeliveryError::ShuttingDown);
                }
                record = match self.shared.ledger.record(record.id) {
                    Some(record) => record,
                    None => self.register(&spec).await?,
                };
                registry
            }
        };
        let status = self.shared.run(spec, record, other);
        drop(registry);
        self.shared.close_unused(late, CLOSE).await;
        Ok(status)
    }

    async fn register(&self, spec: &TaskSpec) -> Result<ConsumerRecord, DeliveryError> {
        if self.closing.load(Ordering::Acquire) {
            return Err(DeliveryError::ShuttingDown);
        }
        let bounds = self.shared.log.bounds(self.shared.log.stream(&spec.stream));
        let registered = self.shared.ledger.register(&spec.identity, &spec.stream, bounds).await;
        registered.map_err(|source| DeliveryError::Ledger { identity: spec.identity.clone(), source })
    }

    /// Changes how much may wait for a task, and what happens above that: its worker does not notice. `false`: there is no such task.
    pub fn set_backlog(&self, identity: &Identity, stream: &StreamName, max_backlog: u64, when_full: WhenFull) -> bool {
        self.shared.set_backlog(&(identity.clone(), stream.clone()), max_backlog, when_full)
    }

    /// Changes `buffer.maxBytes` and `buffer.keepRemoved`.
    pub fn set_bounds(&self, max_bytes: u64, keep_removed: Duration) {
        self.shared.set_bounds(max_bytes, keep_removed);
    }

    /// Tells which exporters are configured: all others that the bookkeeping knows become orphaned. Their workers end; their events are
    /// kept for `buffer.keepRemoved`. Called after every exporter was added: before, consumers without a task are left alone.
    pub async fn retain(&self, configured: &[(Identity, StreamName)]) -> Result<(), DeliveryError> {
        let stays = |identity: &Identity, stream: &StreamName| configured.iter().any(|(i, s)| i == identity && s == stream);
        let mut leaving = self.shared.tasks();
        leaving.retain(|task| task.has_worker() && !stays(task.status.identity(), task.status.stream()));
        join_all(leaving.iter().map(|task| task.end(Mode::Finish, FINISH))).await;
        self.shared.close_unused(leaving.iter().filter_map(Task::exporter), CLOSE).await;
        let _registry = self.shared.registry.lock().await;
        let now = self.shared.options.clock.unix_millis();
        for record in self.shared.ledger.consumers() {
            if stays(&record.identity, &record.stream) {
                continue;
            }
            let failed = |source| DeliveryError::Ledger { identity: record.identity.clone(), source };
            self.shared.ledger.orphan(record.id, now).await.map_err(failed)?;
            if record.orphaned_since.is_none() {
                tracing::warn!(
                    exporter = %record.identity, stream = %record.stream,
                    "an exporter is gone from the configuration; its events are kept for `buffer.keepRemoved`, then dropped. If it got another \
                     address or key, give it this `name` and it goes on here"
                );
            }
            self.shared.remember(&record);
        }
        self.shared.set_configured();
        Ok(())
    }

    /// Every task, orphaned ones included, and those that were given up since the start: what was dropped stays readable.
    pub fn statuses(&self) -> Vec<Arc<TaskStatus>> {
        self.shared.statuses()
    }

    /// Asked by the collector before it takes a request.
    pub fn admission(&self) -> Admission {
        self.shared.admission.clone()
    }

    /// Ends all tasks within the time: bulk exporters get what waits, streaming ones finish, dead letters that are marked are sent, all at the
    /// same time; whatever fails is not tried again. What is not sent stays in the log, or a marked letter. Exporters are closed, cursors are durable.
    pub async fn shutdown(&self, within: Duration) -> ShutdownReport {
        let deadline = Instant::now() + within;
        self.closing.store(true, Ordering::Release);
        // Whoever is just being added is waited for, but not a disk that hangs.
        drop(tokio::time::timeout(within.max(CLOSE), self.shared.registry.lock()).await);
        let tasks = self.shared.tasks();
        let ended = join_all(tasks.iter().map(|task| task.end(Mode::Drain, within))).await;
        let left = deadline.saturating_duration_since(Instant::now()).max(CLOSE);
        self.shared.close_unused(tasks.iter().filter_map(Task::exporter), left).await;
        self.keeper.abort();
        let left = deadline.saturating_duration_since(Instant::now()).max(FLUSH);
        let flushed = match tokio::time::timeout(left, self.shared.ledger.flush()).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::error!(%error, "cursors could not be written at the end; what was delivered last will be delivered again");
                false
            }
            Err(_) => {
                tracing::error!(
                    seconds = left.as_secs(),
                    "the disk did not take the cursors at the end; what was delivered last will be delivered again"
                );
                false
            }
        };
        if tokio::time::timeout(FLUSH, trim_at_the_end(&self.shared)).await.is_err() {
            tracing::warn!("the log did not give up what was delivered last");
        }
        let unsent = tasks.iter().map(|Task { status, .. }| Unsent {
            identity: status.identity().clone(),
            stream: status.stream().clone(),
            events: status.waiting_events(),
            letters: status.marked_letters(),
        });
        let unsent = unsent.filter(|left| left.events > 0 || left.letters > 0).collect();
        ShutdownReport { in_time: ended.into_iter().all(|in_time| in_time), flushed, unsent }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.keeper.abort();
        self.shared.tasks().iter().for_each(Task::abort);
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("statuses", &self.statuses()).finish_non_exhaustive()
    }
}
