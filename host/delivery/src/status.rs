//! What an operator sees of one task. Counts of events are computed from numbers (cursor, head, the ledger's), never counted beside them,
//! so that no crash can break the sum `accepted = delivered + waiting + dead + dropped`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use flagpost_event::{Clock, StreamName};
use flagpost_spool::{DropReason, EventLog, Identity, Ledger, StreamId};
use prometheus_client::metrics::histogram::Histogram;

use crate::lanes::Passed;

/// What a task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StateKind {
    /// Nothing was tried yet.
    Starting,
    /// The exporter is being prepared (a component compiles); events wait.
    Compiling,
    /// Delivering, or nothing to deliver.
    Running,
    /// The last attempt failed; the batch comes again.
    Retrying,
    /// Nothing can be delivered until an operator changes something; one batch probes.
    Misconfigured,
    /// The exporter cannot run (a wrong component); events wait.
    Invalid,
    /// More than its budget waits: events are given up, or the collector refuses.
    Full,
    /// Gone from the configuration; events are kept for a while.
    Orphaned,
    /// Gone for longer than that: its events were dropped. Shown until the program ends.
    Removed,
    /// Ended.
    Stopped,
}

impl StateKind {
    /// All of them, in the order in which they are reported.
    pub const ALL: [StateKind; 10] = [
        StateKind::Starting,
        StateKind::Compiling,
        StateKind::Running,
        StateKind::Retrying,
        StateKind::Misconfigured,
        StateKind::Invalid,
        StateKind::Full,
        StateKind::Orphaned,
        StateKind::Removed,
        StateKind::Stopped,
    ];

    /// The metric label and the word in `/health/exporters`.
    pub fn as_str(self) -> &'static str {
        match self {
            StateKind::Starting => "starting",
            StateKind::Compiling => "compiling",
            StateKind::Running => "running",
            StateKind::Retrying => "retrying",
            StateKind::Misconfigured => "misconfigured",
            StateKind::Invalid => "invalid",
            StateKind::Full => "full",
            StateKind::Orphaned => "orphaned",
            StateKind::Removed => "removed",
            StateKind::Stopped => "stopped",
        }
    }
}

/// A state and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskState {
    /// What the task is doing.
    pub kind: StateKind,
    /// Why, where there is something to say.
    pub reason: Option<String>,
}

/// The last failure of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    /// What happened.
    pub text: String,
    /// When, in Unix milliseconds.
    pub at_millis: u64,
}

/// A consumer's numbers at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// The stream's head when the consumer was first seen.
    pub start: u64,
    /// The first event that is not settled.
    pub cursor: u64,
    /// Events below the cursor that are in the dead letters.
    pub dead: u64,
    /// Events that were delivered out of the dead letters.
    pub replayed: u64,
    /// Events below the cursor that were given up, by reason.
    pub dropped: BTreeMap<DropReason, u64>,
}

/// What an operator sees of one task; read by `/metrics` and `/health/exporters`.
pub struct TaskStatus {
    identity: Identity,
    kind: String,
    stream: StreamName,
    stream_id: StreamId,
    log: Arc<dyn EventLog>,
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    numbers: Mutex<Numbers>,
    /// Where its events end, once it is no more.
    ended: OnceLock<u64>,
    text: Mutex<Text>,
    retried: AtomicU64,
    last_success: AtomicU64,
    attempt_seconds: Histogram,
}

struct Text {
    state: TaskState,
    full: Option<String>,
    last_error: Option<LastError>,
}

/// Bounds of the attempt histogram in seconds: from a local file to a destination that times out.
const ATTEMPT_BUCKETS: [f64; 12] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

impl TaskStatus {
    pub(crate) fn new(
        identity: Identity,
        kind: String,
        stream: StreamName,
        log: Arc<dyn EventLog>,
        ledger: Ledger,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let stream_id = log.stream(&stream);
        TaskStatus {
            identity,
            kind,
            stream,
            stream_id,
            log,
            ledger,
            clock,
            numbers: Mutex::default(),
            ended: OnceLock::new(),
            text: Mutex::new(Text { state: TaskState { kind: StateKind::Starting, reason: None }, full: None, last_error: None }),
            retried: AtomicU64::new(0),
            last_success: AtomicU64::new(0),
            attempt_seconds: Histogram::new(ATTEMPT_BUCKETS),
        }
    }

    /// Whose task it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The exporter's kind; empty for one that is gone from the configuration.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// What it reads.
    pub fn stream(&self) -> &StreamName {
        &self.stream
    }

    /// What it is doing. A full budget shows over running and retrying.
    pub fn state(&self) -> TaskState {
        let text = self.text();
        match (&text.full, text.state.kind) {
            (Some(reason), StateKind::Starting | StateKind::Running | StateKind::Retrying) => {
                TaskState { kind: StateKind::Full, reason: Some(reason.clone()) }
            }
            _ => text.state.clone(),
        }
    }

    /// Its numbers at one instant.
    pub fn numbers(&self) -> Numbers {
        lock(&self.numbers).clone()
    }

    /// Events accepted for it since it was first seen.
    pub fn accepted(&self) -> u64 {
        self.head().saturating_sub(self.numbers().start)
    }

    /// Events that are not settled, those of the batch under way included.
    pub fn waiting_events(&self) -> u64 {
        self.head().saturating_sub(self.cursor())
    }

    /// Their size in bytes of JSON lines; exact at the log's block boundaries.
    pub fn waiting_bytes(&self) -> u64 {
        let before_head = self.log.bytes_before(self.stream_id, self.head());
        before_head.saturating_sub(self.log.bytes_before(self.stream_id, self.cursor()))
    }

    /// How long the oldest of them has waited since it was stored; zero when none waits.
    pub fn oldest_age(&self) -> Duration {
        if self.waiting_events() == 0 {
            return Duration::ZERO;
        }
        match self.log.appended_at(self.stream_id, self.cursor()) {
            Some(at) => Duration::from_millis(self.clock.unix_millis().saturating_sub(at)),
            None => Duration::ZERO,
        }
    }

    /// Events delivered: what the cursor has passed and nothing else accounts for.
    pub fn delivered(&self) -> u64 {
        let numbers = self.numbers();
        let lost: u64 = numbers.dropped.values().sum();
        (numbers.cursor - numbers.start).saturating_sub(numbers.dead).saturating_sub(lost)
    }

    /// Events in its dead letters.
    pub fn dead(&self) -> u64 {
        lock(&self.numbers).dead
    }

    /// Dead letters that are marked to be sent again: work that waits, though they count as dead until they are delivered.
    pub fn marked_letters(&self) -> u64 {
        self.ledger.marked(&self.identity, &self.stream)
    }

    /// Events that were delivered out of its dead letters; they count as delivered.
    pub fn replayed(&self) -> u64 {
        lock(&self.numbers).replayed
    }

    /// Events given up, by reason.
    pub fn dropped(&self) -> BTreeMap<DropReason, u64> {
        self.numbers().dropped
    }

    /// Attempts that repeated an earlier one, since the program started.
    pub fn retried(&self) -> u64 {
        self.retried.load(Ordering::Relaxed)
    }

    /// How long attempts took, in seconds.
    pub fn attempt_seconds(&self) -> &Histogram {
        &self.attempt_seconds
    }

    /// When something was last delivered, in Unix seconds; `None`: not since the program started.
    pub fn last_success(&self) -> Option<u64> {
        match self.last_success.load(Ordering::Relaxed) {
            0 => None,
            seconds => Some(seconds),
        }
    }

    /// The last failure since the program started.
    pub fn last_error(&self) -> Option<LastError> {
        self.text().last_error.clone()
    }

    pub(crate) fn stream_id(&self) -> StreamId {
        self.stream_id
    }

    pub(crate) fn cursor(&self) -> u64 {
        lock(&self.numbers).cursor
    }

    pub(crate) fn head(&self) -> u64 {
        self.ended.get().copied().unwrap_or_else(|| self.log.bounds(self.stream_id).head)
    }

    /// The consumer is no more: events from `head` on are not its own.
    pub(crate) fn end_at(&self, head: u64) {
        let _again = self.ended.set(head);
        self.set_full(None);
        self.set_state(StateKind::Removed, Some("gone from the configuration for longer than `buffer.keepRemoved`".to_owned()));
    }

    pub(crate) fn set_numbers(&self, numbers: Numbers) {
        *lock(&self.numbers) = numbers;
    }

    /// The cursor passed events.
    pub(crate) fn add(&self, passed: &Passed) {
        let mut numbers = lock(&self.numbers);
        numbers.cursor = numbers.cursor.max(passed.cursor);
        numbers.dead += passed.condemned.len() as u64;
        for (&reason, count) in &passed.dropped {
            *numbers.dropped.entry(reason).or_default() += count;
        }
    }

    /// These left the dead letters: they were delivered.
    pub(crate) fn letters_delivered(&self, count: u64) {
        let mut numbers = lock(&self.numbers);
        numbers.dead = numbers.dead.saturating_sub(count);
        numbers.replayed += count;
    }

    /// These left the dead letters: they were dropped.
    pub(crate) fn letters_dropped(&self, count: u64) {
        let mut numbers = lock(&self.numbers);
        let count = count.min(numbers.dead);
        numbers.dead -= count;
        *numbers.dropped.entry(DropReason::DeadLetter).or_default() += count;
    }

    /// Sets the state and says whether it changed.
    pub(crate) fn set_state(&self, kind: StateKind, reason: Option<String>) -> bool {
        let mut text = self.text();
        let changed = text.state.kind != kind;
        text.state = TaskState { kind, reason };
        changed
    }

    pub(crate) fn set_full(&self, reason: Option<String>) {
        self.text().full = reason;
    }

    pub(crate) fn failed(&self, error: String) {
        self.text().last_error = Some(LastError { text: error, at_millis: self.clock.unix_millis() });
    }

    pub(crate) fn succeeded(&self) {
        self.last_success.store(self.clock.unix_seconds().max(1), Ordering::Relaxed);
    }

    pub(crate) fn count_retry(&self) {
        self.retried.fetch_add(1, Ordering::Relaxed);
    }

    fn text(&self) -> MutexGuard<'_, Text> {
        lock(&self.text)
    }
}

impl fmt::Debug for TaskStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskStatus")
            .field("identity", &self.identity)
            .field("stream", &self.stream)
            .field("state", &self.state())
            .field("numbers", &self.numbers())
            .finish_non_exhaustive()
    }
}

/// A panic while the lock was held leaves plain data that is still good.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
