//! The keeper: budgets, orphans and trimming. One task, four times a second.
//!
//! It never touches a consumer that has a worker: it gives orders, and the worker obeys between attempts. Consumers without a worker
//! (gone from the configuration) are its own. Trimming and the registering of consumers exclude each other, so that a consumer that is just
//! being registered does not lose its first events. Nothing is trimmed before all consumers are known: after the bookkeeping was lost, a
//! stream without a consumer is one whose exporter has not been added yet.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use flagpost_spool::{DropReason, StreamId};
use tokio::time::{Instant, MissedTickBehavior};

use crate::WhenFull;
use crate::budget::{Holder, Segment, store_targets};
use crate::lanes::Lanes;
use crate::status::{StateKind, TaskStatus};
use crate::tasks::{Shared, Task};
use crate::worker::{give_up, settlement};

/// How often budgets are looked at. At 100 MB/s of intake a backlog exceeds its bound by 25 MB in between.
const INTERVAL: Duration = Duration::from_millis(250);

/// A task that gives up events says so at most this often.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// The log is asked to trim this often even when no cursor moved: a segment may have become idle, and one that could not be removed
/// is tried again.
const TRIM_EVERY: Duration = Duration::from_secs(30);

/// What the keeper remembers between two rounds.
#[derive(Default)]
pub(crate) struct Keeper {
    said: HashMap<i64, Instant>,
    trimmed: Vec<(StreamId, u64)>,
    trimmed_at: Option<Instant>,
}

/// Keeps until the task is dropped.
pub(crate) async fn keep(shared: Arc<Shared>) {
    let mut keeper = Keeper::default();
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        keeper.round(&shared).await;
    }
}

/// Gives up what every durable cursor has passed, once: at the end, so that the log knows what it still holds for somebody.
pub(crate) async fn trim_at_the_end(shared: &Shared) {
    shared.log.trim(&floors(shared)).await;
}

/// Per stream the first event that somebody needs. Streams that nobody reads keep nothing.
fn floors(shared: &Shared) -> Vec<(StreamId, u64)> {
    let floor: HashMap<_, _> = shared.ledger.durable_floor().into_iter().collect();
    let first = |(id, name)| (id, floor.get(&name).copied().unwrap_or_else(|| shared.log.bounds(id).head));
    shared.log.streams().into_iter().map(first).collect()
}

impl Keeper {
    /// Looks at everything once.
    pub(crate) async fn round(&mut self, shared: &Shared) {
        let _registry = shared.registry.lock().await;
        shared.revive();
        if shared.is_configured() {
            self.expire_orphans(shared).await;
        }
        self.own_budgets(shared).await;
        if shared.is_configured() {
            self.trim(shared).await;
            self.store_budget(shared).await;
        }
    }

    /// `maxBacklog`, exporter by exporter.
    async fn own_budgets(&mut self, shared: &Shared) {
        for task in shared.tasks().into_iter().filter(|task| task.has_worker() || shared.is_configured()) {
            let bound = task.max_backlog(shared.max_bytes());
            if task.status.waiting_bytes() <= bound {
                if task.when_full() == WhenFull::Block || task.status.waiting_bytes() <= bound - bound / 10 {
                    task.status.set_full(None);
                }
                continue;
            }
            let reason = format!("more than {bound} bytes wait (`maxBacklog`)");
            if task.when_full() == WhenFull::Block {
                self.say(&task, &format!("{reason}; the collector refuses its flag set's events (`whenFull: block`)"));
                task.status.set_full(Some(reason));
                continue;
            }
            let target = shared.log.number_within(task.status.stream_id(), bound);
            self.step(shared, &task, target, DropReason::Backlog, reason).await;
        }
    }

    /// `buffer.maxBytes`, for the store as a whole.
    async fn store_budget(&mut self, shared: &Shared) {
        let (held, max) = (shared.log.pressure().held_bytes, shared.max_bytes());
        if held <= max {
            return;
        }
        let tasks = shared.tasks();
        let holder = |task: &Task| Holder {
            stream: task.status.stream_id(),
            cursor: task.status.cursor(),
            may_drop: task.when_full() == WhenFull::DropOldest,
        };
        let holders: Vec<_> = tasks.iter().map(holder).collect();
        let segments = shared.log.segments();
        let segments: Vec<Segment<'_>> = segments.iter().map(|segment| (segment.bytes, segment.holds.as_slice())).collect();
        for (task, target) in tasks.iter().zip(store_targets(&holders, &segments, held, max)) {
            if let Some(target) = target {
                let reason = format!("the event log holds more than {max} bytes (`buffer.maxBytes`)");
                self.step(shared, task, target, DropReason::StoreFull, reason).await;
            }
        }
    }

    /// Has a consumer give up what is below `target`.
    async fn step(&mut self, shared: &Shared, task: &Task, target: u64, reason: DropReason, why: String) {
        if target <= task.status.cursor() {
            return;
        }
        self.say(task, &format!("{why}; its oldest events are dropped"));
        if task.order_to_give_up(target, reason) {
            task.status.set_full(Some(why));
        } else {
            self.give_up(shared, task, target, reason).await;
        }
    }

    /// Gives up events of a consumer without a worker.
    async fn give_up(&mut self, shared: &Shared, task: &Task, target: u64, reason: DropReason) -> bool {
        let Some(record) = shared.ledger.record(task.id) else { return false };
        let mut lanes = Lanes::restore(record.cursor, record.plan, Instant::now());
        let passed = give_up(&mut lanes, target, reason);
        let context = shared.context();
        let settled = match settlement(&context, &task.status, &passed, lanes.to_plan(passed.cursor)).await {
            Ok(settlement) => shared.ledger.settle(task.id, settlement).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match settled {
            Ok(()) => task.status.add(&passed),
            Err(ref error) => tracing::error!(exporter = %task.status.identity(), error, "events could not be given up"),
        }
        settled.is_ok()
    }

    /// `buffer.keepRemoved`: consumers that are gone for longer lose what waits, and are forgotten.
    async fn expire_orphans(&mut self, shared: &Shared) {
        let now = shared.options.clock.unix_millis();
        let keep = shared.keep_removed();
        for task in shared.tasks().into_iter().filter(|task| !task.has_worker()) {
            let since = shared.ledger.record(task.id).and_then(|record| record.orphaned_since);
            if since.is_none_or(|since| now.saturating_sub(since) < keep) {
                continue;
            }
            let (head, waiting) = (task.status.head(), task.status.waiting_events());
            if !self.give_up(shared, &task, head, DropReason::Removed).await {
                continue;
            }
            tracing::warn!(
                exporter = %task.status.identity(), stream = %task.status.stream(), events = waiting,
                "an exporter is gone from the configuration for longer than `buffer.keepRemoved`: what waited for it is dropped"
            );
            match shared.ledger.forget(task.id).await {
                Ok(()) => shared.forget(&task, head),
                Err(error) => tracing::error!(exporter = %task.status.identity(), %error, "a removed exporter could not be forgotten"),
            }
        }
    }

    /// Gives up segments behind every durable cursor.
    async fn trim(&mut self, shared: &Shared) {
        let keep = floors(shared);
        let now = Instant::now();
        if keep != self.trimmed || self.trimmed_at.is_none_or(|at| now >= at + TRIM_EVERY) {
            shared.log.trim(&keep).await;
            (self.trimmed, self.trimmed_at) = (keep, Some(now));
        }
    }

    fn say(&mut self, task: &Task, why: &str) {
        let now = Instant::now();
        let due = self.said.get(&task.id.0).is_none_or(|said| now >= *said + SAY_EVERY);
        if due {
            self.said.insert(task.id.0, now);
            let status: &TaskStatus = &task.status;
            tracing::error!(
                exporter = %status.identity(), stream = %status.stream(), waiting = status.waiting_events(),
                state = StateKind::Full.as_str(), "{why}"
            );
        }
    }
}
