//! The tasks of a relay: who has a worker, who is only remembered.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flagpost_event::StreamName;
use flagpost_exporter::Exporter;
use flagpost_spool::{ConsumerId, ConsumerRecord, DropReason, EventLog, Identity, Ledger};
use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};

use crate::admission::{Admission, Blocking};
use crate::options::DeliveryOptions;
use crate::status::{Numbers, StateKind, TaskStatus, lock};
use crate::worker::{Context, Mode, Orders, Worker};
use crate::{TaskSpec, WhenFull};

/// What a cursor belongs to: an identity reading a stream.
pub(crate) type Key = (Identity, StreamName);

/// Everything that delivery holds.
pub(crate) struct Shared {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) ledger: Ledger,
    pub(crate) options: DeliveryOptions,
    pub(crate) admission: Admission,
    /// Held while consumers come or go, and while the log is trimmed.
    pub(crate) registry: tokio::sync::Mutex<()>,
    /// Whether the configuration is known, so that consumers without a worker are indeed gone from it.
    configured: AtomicBool,
    /// `buffer.maxBytes`.
    max_bytes: AtomicU64,
    /// `buffer.keepRemoved` in milliseconds.
    keep_removed: AtomicU64,
    tasks: Mutex<BTreeMap<Key, Task>>,
    removed: Mutex<BTreeMap<Key, Arc<TaskStatus>>>,
}

/// One consumer. A clone is a view of the same one.
#[derive(Clone)]
pub(crate) struct Task {
    pub(crate) id: ConsumerId,
    pub(crate) status: Arc<TaskStatus>,
    running: Option<Running>,
}

#[derive(Clone)]
struct Running {
    spec: TaskSpec,
    orders: watch::Sender<Orders>,
    worker: Arc<Mutex<Option<JoinHandle<()>>>>,
    abort: AbortHandle,
}

impl Task {
    pub(crate) fn has_worker(&self) -> bool {
        self.running.is_some()
    }

    pub(crate) fn when_full(&self) -> WhenFull {
        self.running.as_ref().map_or(WhenFull::DropOldest, |running| running.spec.policy.when_full)
    }

    /// Its own bound in bytes; an orphaned one has the default, half of the store.
    pub(crate) fn max_backlog(&self, max_bytes: u64) -> u64 {
        self.running.as_ref().map_or(max_bytes / 2, |running| running.spec.policy.max_backlog)
    }

    pub(crate) fn exporter(&self) -> Option<Arc<dyn Exporter>> {
        self.running.as_ref().map(|running| Arc::clone(&running.spec.exporter))
    }

    pub(crate) fn spec(&self) -> Option<&TaskSpec> {
        self.running.as_ref().map(|running| &running.spec)
    }

    /// `false`: it has no worker.
    pub(crate) fn order_to_give_up(&self, target: u64, reason: DropReason) -> bool {
        let Some(running) = &self.running else { return false };
        running.orders.send_modify(|orders| {
            let target = orders.give_up.map_or(target, |(before, _)| before.max(target));
            orders.give_up = Some((target, reason));
        });
        true
    }

    /// Tells its worker that other dead letters are marked to be sent again than before.
    pub(crate) fn order_replay(&self) {
        if let Some(running) = &self.running {
            running.orders.send_modify(|orders| orders.replays += 1);
        }
    }

    /// Tells its worker how long to go on.
    pub(crate) fn order(&self, mode: Mode) {
        if let Some(running) = &self.running {
            running.orders.send_modify(|orders| orders.mode = orders.mode.max(mode));
        }
    }

    /// Waits until its worker has ended. `false`: it has not within the time.
    pub(crate) async fn ended(&self, within: Duration) -> bool {
        let Some(running) = &self.running else { return true };
        let worker = lock(&running.worker).take();
        let Some(mut worker) = worker else { return true };
        match tokio::time::timeout(within, &mut worker).await {
            Ok(_) => true,
            Err(_) => {
                *lock(&running.worker) = Some(worker);
                false
            }
        }
    }

    /// Ends its worker: gracefully within the time, then without its attempts, then at once. `true`: it ended by itself.
    pub(crate) async fn end(&self, mode: Mode, within: Duration) -> bool {
        /// A worker that was told to stop only has its plan to note.
        const LAST_NOTE: Duration = Duration::from_secs(1);
        self.order(mode);
        if self.ended(within).await {
            return true;
        }
        self.order(Mode::Stop);
        if !self.ended(LAST_NOTE).await {
            self.abort();
            // It is gone where it waits next.
            self.ended(LAST_NOTE).await;
        }
        false
    }

    /// Whether its worker is gone.
    pub(crate) fn is_finished(&self) -> bool {
        self.running.as_ref().is_none_or(|running| running.abort.is_finished())
    }

    /// Whether its worker may still call that exporter.
    fn is_using(&self, exporter: &Arc<dyn Exporter>) -> bool {
        self.running.as_ref().is_some_and(|running| !running.abort.is_finished() && Arc::ptr_eq(&running.spec.exporter, exporter))
    }

    /// Drops its worker where it is.
    pub(crate) fn abort(&self) {
        if let Some(running) = &self.running {
            running.abort.abort();
        }
    }
}

impl Shared {
    pub(crate) fn new(log: Arc<dyn EventLog>, ledger: Ledger, options: DeliveryOptions) -> Self {
        let (admission, registry) = (Admission::default(), tokio::sync::Mutex::new(()));
        let (max_bytes, keep_removed) = (AtomicU64::new(options.max_bytes), AtomicU64::new(millis(options.keep_removed)));
        Shared {
            log,
            ledger,
            options,
            admission,
            registry,
            configured: AtomicBool::new(false),
            max_bytes,
            keep_removed,
            tasks: Mutex::default(),
            removed: Mutex::default(),
        }
    }

    pub(crate) fn context(&self) -> Context {
        Context {
            store: self.options.store.as_str().into(),
            log: Arc::clone(&self.log),
            ledger: self.ledger.clone(),
            clock: Arc::clone(&self.options.clock),
        }
    }

    /// Whether consumers without a worker are gone from the configuration. Before, they may just not have been added yet.
    pub(crate) fn is_configured(&self) -> bool {
        self.configured.load(Ordering::Acquire)
    }

    pub(crate) fn set_configured(&self) {
        self.configured.store(true, Ordering::Release);
    }

    pub(crate) fn max_bytes(&self) -> u64 {
        self.max_bytes.load(Ordering::Relaxed)
    }

    /// In milliseconds.
    pub(crate) fn keep_removed(&self) -> u64 {
        self.keep_removed.load(Ordering::Relaxed)
    }

    pub(crate) fn set_bounds(&self, max_bytes: u64, keep_removed: Duration) {
        self.max_bytes.store(max_bytes, Ordering::Relaxed);
        self.keep_removed.store(millis(keep_removed), Ordering::Relaxed);
    }

    pub(crate) fn set_backlog(&self, key: &Key, max_backlog: u64, when_full: WhenFull) -> bool {
        {
            let mut tasks = lock(&self.tasks);
            let Some(running) = tasks.get_mut(key).and_then(|task| task.running.as_mut()) else { return false };
            (running.spec.policy.max_backlog, running.spec.policy.when_full) = (max_backlog, when_full);
        }
        self.refresh_admission();
        true
    }

    pub(crate) fn tasks(&self) -> Vec<Task> {
        lock(&self.tasks).values().cloned().collect()
    }

    pub(crate) fn task(&self, key: &Key) -> Option<Task> {
        lock(&self.tasks).get(key).cloned()
    }

    /// A consumer that is in the ledger and not (or no longer) configured.
    pub(crate) fn remember(&self, record: &ConsumerRecord) {
        let key = (record.identity.clone(), record.stream.clone());
        let status = match self.task(&key) {
            Some(task) => task.status,
            None => self.status(&key, ""),
        };
        status.set_numbers(numbers(record));
        status.set_full(None);
        status.set_state(StateKind::Orphaned, Some("gone from the configuration; its events are kept for `buffer.keepRemoved`".to_owned()));
        lock(&self.tasks).insert(key, Task { id: record.id, status, running: None });
        self.refresh_admission();
    }

    /// Takes a consumer out; what became of its events stays readable until the program ends or the same one comes again. `head`: the
    /// stream's head when it was taken out.
    pub(crate) fn forget(&self, task: &Task, head: u64) {
        let key = (task.status.identity().clone(), task.status.stream().clone());
        task.status.end_at(head);
        lock(&self.removed).insert(key.clone(), Arc::clone(&task.status));
        lock(&self.tasks).remove(&key);
    }

    /// Everyone that an operator may ask about: tasks, orphaned ones, and those that were taken out since the program started.
    pub(crate) fn statuses(&self) -> Vec<Arc<TaskStatus>> {
        let tasks = self.tasks();
        let removed = lock(&self.removed);
        tasks.into_iter().map(|task| task.status).chain(removed.values().cloned()).collect()
    }

    /// Starts a worker where the record says. Whoever had the key before has ended. `other`: that was another exporter, whose failures say
    /// nothing of this one.
    pub(crate) fn run(&self, spec: TaskSpec, record: ConsumerRecord, other: bool) -> Arc<TaskStatus> {
        let key = (spec.identity.clone(), spec.stream.clone());
        lock(&self.removed).remove(&key);
        let known = self.task(&key).filter(|task| task.status.kind() == spec.kind);
        let status = known.map_or_else(|| self.status(&key, &spec.kind), |task| task.status);
        status.set_numbers(numbers(&record));
        status.set_full(None);
        status.set_state(StateKind::Starting, None);
        let id = record.id;
        let (orders, ordered) = watch::channel(Orders::default());
        let seed = self.options.seed ^ id.0.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut worker = Worker::new(self.context(), spec.clone(), record, Arc::clone(&status), ordered, seed);
        if other {
            worker.start_anew();
        }
        let worker = self.options.runtime.spawn(worker.run());
        let abort = worker.abort_handle();
        let running = Running { spec, orders, worker: Arc::new(Mutex::new(Some(worker))), abort };
        lock(&self.tasks).insert(key, Task { id, status: Arc::clone(&status), running: Some(running) });
        self.refresh_admission();
        status
    }

    /// A worker that ended without being told to is a defect of ours. It starts again from what the ledger has, as after a crash.
    pub(crate) fn revive(&self) {
        for task in self.tasks() {
            let Some(running) = &task.running else { continue };
            let dead = lock(&running.worker).as_ref().is_some_and(JoinHandle::is_finished);
            if dead && running.orders.borrow().mode == Mode::Run {
                tracing::error!(exporter = %task.status.identity(), stream = %task.status.stream(), "a worker ended unexpectedly; it starts again");
                if let Some(record) = self.ledger.record(task.id) {
                    self.run(running.spec.clone(), record, false);
                }
            }
        }
    }

    /// Closes those exporters that no task uses any more, each once.
    pub(crate) async fn close_unused(&self, exporters: impl IntoIterator<Item = Arc<dyn Exporter>>, within: Duration) {
        let mut unused: Vec<Arc<dyn Exporter>> = Vec::new();
        let tasks = self.tasks();
        for exporter in exporters {
            let used = tasks.iter().any(|task| task.is_using(&exporter)) || unused.iter().any(|other| Arc::ptr_eq(other, &exporter));
            if !used {
                unused.push(exporter);
            }
        }
        let closing = unused.iter().map(|exporter| tokio::time::timeout(within, AssertUnwindSafe(exporter.close()).catch_unwind()));
        for closed in join_all(closing).await {
            match closed {
                Ok(Ok(())) => {}
                Ok(Err(_panic)) => tracing::error!("an exporter panicked while it was closed"),
                Err(_) => tracing::warn!(seconds = within.as_secs(), "an exporter did not close in time"),
            }
        }
    }

    fn status(&self, key: &Key, kind: &str) -> Arc<TaskStatus> {
        let (log, clock) = (Arc::clone(&self.log), Arc::clone(&self.options.clock));
        Arc::new(TaskStatus::new(key.0.clone(), kind.to_owned(), key.1.clone(), log, self.ledger.clone(), clock))
    }

    fn refresh_admission(&self) {
        let blocking = self.tasks().into_iter().filter(|task| task.when_full() == WhenFull::Block && task.has_worker());
        let blocking = blocking.filter_map(|task| {
            let max_backlog = task.spec()?.policy.max_backlog;
            Some(Blocking { status: task.status, max_backlog })
        });
        self.admission.replace(blocking.collect());
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn numbers(record: &ConsumerRecord) -> Numbers {
    Numbers { start: record.start, cursor: record.cursor, dead: record.dead, replayed: record.replayed, dropped: record.dropped.clone() }
}
