//! One worker per exporter and stream.
//!
//! A worker is one task and one loop: obey orders (stop, drain, give up what is over budget), start what can be started, wait until
//! something changes. It owns all of its state; others see its [`TaskStatus`] and talk to it through [`Orders`]. Nothing it waits for is
//! shared with another worker but the log and the ledger, and those wait for the disk only.
//!
//! Dead letters that are marked to be sent again take turns with the batches of the stream (`replay.rs`).
//!
//! A crash may happen at every await. What must survive is in the ledger before it is acted on: the plan before an attempt with its id,
//! the attempt itself before it is made, cursor and dead letters and plan in one settlement. Dropping a worker anywhere is the same as a
//! crash there, and tests do it.

mod attempt;
mod choose;
mod commit;
mod judge;
mod launch;
mod read;
mod replay;

use std::sync::Arc;
use std::time::Duration;

use flagpost_event::{Clock, StreamName};
use flagpost_exporter::{Limits, Readiness};
use flagpost_spool::{ConsumerId, ConsumerRecord, DropReason, EventLog, Follower, Ledger, Plan};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::lanes::Lanes;
use crate::rarity::Rarity;
use crate::status::{StateKind, TaskStatus};
use crate::{Policy, TaskSpec};
use attempt::Landing;
pub(crate) use commit::{give_up, settlement};
use replay::Replays;

/// An attempt that is in the way of a budget is abandoned when it is older. Exporters time out after ten seconds by default.
const ABANDON_AFTER: Duration = Duration::from_secs(15);

/// After a start streaming exporters plan their batches for this long: an event that killed the process is among the first to come
/// again (cursors are at most 200 ms behind), and without a plan nobody would know that it was tried before.
const CAREFUL: Duration = Duration::from_secs(2);

/// The pause after the ledger or the log failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// What all workers share.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) store: Arc<str>,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) ledger: Ledger,
    pub(crate) clock: Arc<dyn Clock>,
}

/// What a worker is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Orders {
    pub(crate) mode: Mode,
    /// Events below this number are over budget.
    pub(crate) give_up: Option<(u64, DropReason)>,
    /// How often dead letters were marked to be sent again, or no longer.
    pub(crate) replays: u64,
}

/// Whether a worker goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    /// For ever.
    #[default]
    Run,
    /// Until the attempts under way have ended; nothing new.
    Finish,
    /// Until nothing waits, or something fails.
    Drain,
    /// Not any longer: attempts under way are dropped.
    Stop,
}

/// The state of one worker.
pub(crate) struct Worker {
    context: Context,
    id: ConsumerId,
    spec: TaskSpec,
    status: Arc<TaskStatus>,
    orders: watch::Receiver<Orders>,
    head: Follower,
    /// Nothing changes before the head is here, as far as the log is concerned.
    awaited: u64,
    readiness: Option<watch::Receiver<Readiness>>,
    random: StdRng,
    lanes: Lanes,
    flights: FuturesUnordered<BoxFuture<'static, Landing>>,
    rarity: Rarity,
    replays: Replays,
    /// The plan as the ledger has it.
    stored: Option<Plan>,
    stored_at: Instant,
    /// Batches settled out of order are not in the ledger yet.
    unsaved_since: Option<Instant>,
    /// Nothing is started before: the store failed.
    pause: Option<Instant>,
    generation: Option<u64>,
    bulk: bool,
    /// Bulk: events below are to be sent now.
    flush_until: u64,
    /// Bulk: since when an event waits to be cut, as far as this worker has seen.
    waits: Option<(u64, Instant)>,
    /// The exporter said that it is misconfigured, and has delivered nothing since.
    misconfigured: bool,
    /// Whether it was said that the exporter is thought to be sick, since it last delivered.
    said_sick: bool,
    last_reason: Option<String>,
    mode: Mode,
    careful_until: Instant,
}

impl Worker {
    /// A worker that goes on where the record says.
    pub(crate) fn new(
        context: Context,
        spec: TaskSpec,
        record: ConsumerRecord,
        status: Arc<TaskStatus>,
        orders: watch::Receiver<Orders>,
        seed: u64,
    ) -> Self {
        let now = Instant::now();
        let readiness = spec.exporter.readiness();
        Worker {
            id: record.id,
            head: context.log.follow(status.stream_id()),
            awaited: u64::MAX,
            lanes: Lanes::restore(record.cursor, record.plan.clone(), now),
            context,
            spec,
            status,
            orders,
            readiness,
            random: StdRng::seed_from_u64(seed),
            flights: FuturesUnordered::new(),
            rarity: Rarity::default(),
            replays: Replays::restore(record.replay, record.replays, now),
            stored: record.plan,
            stored_at: now,
            unsaved_since: None,
            pause: None,
            generation: None,
            bulk: false,
            flush_until: 0,
            waits: None,
            misconfigured: false,
            said_sick: false,
            last_reason: None,
            mode: Mode::Run,
            careful_until: now + CAREFUL,
        }
    }

    /// Another implementation gets what the one before failed with, as if nobody had tried.
    pub(crate) fn start_anew(&mut self) {
        let now = Instant::now();
        self.lanes.iter_mut().filter(|lane| !lane.is_done()).for_each(|lane| lane.start_anew(now));
        self.replays.start_anew(now);
        self.misconfigured = false;
        self.last_reason = None;
    }

    /// Delivers until told to stop.
    pub(crate) async fn run(mut self) {
        // What the restart itself found out: an event that killed the program may be condemned already.
        self.commit().await;
        loop {
            let orders = *self.orders.borrow_and_update();
            if orders.mode == Mode::Drain && self.mode == Mode::Run {
                self.try_once_more();
            }
            self.mode = orders.mode;
            self.replays.ordered(orders.replays);
            if self.mode == Mode::Stop {
                break;
            }
            if let Some((target, reason)) = orders.give_up {
                self.obey_budget(target, reason).await;
            }
            let wake = self.work().await;
            if self.mode != Mode::Run && self.flights.is_empty() {
                break;
            }
            let readiness_changed = async {
                match &mut self.readiness {
                    Some(readiness) => readiness.changed().await.is_ok(),
                    None => std::future::pending().await,
                }
            };
            let woken = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(landing) = self.flights.next(), if !self.flights.is_empty() => self.land(landing).await,
                changed = self.orders.changed() => if changed.is_err() { break },
                () = self.head.reached(self.awaited) => {}
                alive = readiness_changed => if !alive {
                    // Nobody can change it any more: what it says now holds.
                    self.forget_readiness();
                },
                () = woken => {}
            }
        }
        self.end().await;
    }

    /// The end has begun, and a destination that failed before may be well by now: what waits for a pause gets one attempt at once.
    fn try_once_more(&mut self) {
        let now = Instant::now();
        self.lanes.iter_mut().filter(|lane| !lane.is_done() && lane.flight.is_none()).for_each(|lane| lane.due = lane.due.min(now));
        self.replays.try_once_more(now);
    }

    /// Starts what can be started. Returns when to look again even if nothing else changes.
    async fn work(&mut self) -> Option<Instant> {
        loop {
            self.awaited = u64::MAX;
            let now = Instant::now();
            if let Some(until) = self.pause {
                if now < until {
                    return Some(until);
                }
                self.pause = None;
                if !self.commit().await {
                    return self.pause;
                }
            }
            if self.unsaved_since.is_some_and(|since| now >= since + commit::LAZY) && !self.commit().await {
                return self.pause;
            }
            let lazy = self.unsaved_since.map(|since| since + commit::LAZY);
            if self.mode == Mode::Finish || !self.is_ready() {
                return lazy;
            }
            self.bulk = self.spec.exporter.is_bulk();
            if self.flights.len() >= at_once(&self.limits()) {
                return lazy;
            }
            let replay = match self.replay_turn(now) {
                replay::Turn::Replay => {
                    self.replay().await;
                    continue;
                }
                replay::Turn::Hold(until) => return earliest(lazy, until),
                replay::Turn::Pass(until) => until,
            };
            match self.choose(now) {
                choose::Choice::Try { first, piece } => {
                    self.replays.turn_taken();
                    self.launch(first, piece).await;
                }
                choose::Choice::Cut { from, most, witness_for } => {
                    self.replays.turn_taken();
                    self.cut(from, most, witness_for).await;
                }
                choose::Choice::Wait(_) if self.replays.turn_taken() => {}
                choose::Choice::Wait(until) => return earliest(lazy, earliest(replay, until)),
            }
        }
    }

    /// Whether batches may be given. Another generation starts everything anew.
    fn is_ready(&mut self) -> bool {
        let readiness = self.readiness.as_mut().map(|readiness| readiness.borrow_and_update().clone());
        match readiness {
            None => self.refresh_state(),
            Some(Readiness::Ready { generation }) => {
                if self.generation.is_some_and(|before| before != generation) {
                    self.start_anew();
                }
                self.generation = Some(generation);
                self.refresh_state();
            }
            Some(Readiness::Preparing) => {
                self.status.set_state(StateKind::Compiling, None);
                return false;
            }
            Some(Readiness::Invalid { reason }) => {
                if self.status.set_state(StateKind::Invalid, Some(reason.clone())) {
                    tracing::error!(exporter = %self.spec.identity, stream = %self.spec.stream, reason, "the exporter cannot run; its events are kept");
                    self.status.failed(reason);
                }
                return false;
            }
        }
        true
    }

    fn forget_readiness(&mut self) {
        let ready = self.readiness.as_ref().is_none_or(|readiness| matches!(*readiness.borrow(), Readiness::Ready { .. }));
        self.readiness = if ready { None } else { Some(forever(Readiness::Invalid { reason: "the exporter is gone".to_owned() })) };
    }

    /// What an operator sees, from what is known.
    fn refresh_state(&self) {
        let sick = self.misconfigured || self.lanes.open().any(|lane| lane.suspicion.is_some() && lane.probes > 0);
        let failing = self.replays.is_failing() || self.lanes.open().any(|lane| lane.failures > 0 || lane.suspicion.is_some());
        match (sick, failing) {
            (true, _) => self.status.set_state(StateKind::Misconfigured, self.last_reason.clone()),
            (false, true) => self.status.set_state(StateKind::Retrying, self.last_reason.clone()),
            (false, false) => self.status.set_state(StateKind::Running, None),
        };
    }

    /// Gives up what is over budget. An attempt that is in the way is waited for, unless it hangs.
    async fn obey_budget(&mut self, target: u64, reason: DropReason) {
        if self.lanes.position() >= target {
            return;
        }
        let now = Instant::now();
        for first in self.lanes.give_up_below(target, reason, now) {
            let flight = self.lanes.get(first).and_then(|lane| lane.flight.as_ref());
            if let Some(flight) = flight.filter(|flight| now >= flight.since + ABANDON_AFTER) {
                flight.abort.abort();
            }
        }
        self.commit().await;
    }

    /// Leaves the plan as it is after attempts that ended: one that was dropped is not a crash.
    async fn end(&mut self) {
        self.flights.clear();
        self.end_replay().await;
        self.lanes.iter_mut().for_each(|lane| lane.flight = None);
        self.unsaved_since = Some(self.stored_at);
        self.commit().await;
        self.status.set_state(StateKind::Stopped, self.last_reason.clone());
    }

    /// The exporter's limits, with the operator's word on order.
    fn limits(&self) -> Limits {
        let limits = self.spec.exporter.limits();
        Limits { ordered: self.policy().ordered.unwrap_or(limits.ordered), ..limits }
    }

    fn policy(&self) -> &Policy {
        &self.spec.policy
    }

    fn stream(&self) -> &StreamName {
        &self.spec.stream
    }
}

/// How many attempts may be under way.
fn at_once(limits: &Limits) -> usize {
    if limits.ordered { 1 } else { limits.concurrency.max(1) }
}

fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

/// A value that never changes.
fn forever<T>(value: T) -> watch::Receiver<T> {
    watch::channel(value).1
}
