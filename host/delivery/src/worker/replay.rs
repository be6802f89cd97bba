//! Sending dead letters again.
//!
//! An operator marks dead letters; the consumer's own worker sends them, so that its order, its number of attempts at once and its pauses hold
//! for them, too. A letter stays a dead letter until the ledger knows that it was delivered: a crash repeats at most the batch under way, and no
//! event is ever in two places of the sum.
//!
//! # Turns
//! Letters and the stream's batches take turns: neither waits for the end of the other. For an ordered exporter the letters are one more
//! batch in the order, so nothing else is sent while one is being tried; letters begin only when nothing before them is open. A batch of letters that
//! failed [`STUCK_AFTER`] times is set aside, and the stream goes first: if that cannot be delivered either, the destination is down, and the letters wait
//! until it is back. Else they are tried once more from time to time: a letter that makes a destination answer 503 for ever holds up nobody.
//! At the end they are sent like events: what waits for a pause at once, what is marked as long as nothing fails.
//!
//! # Refusals
//! Who is guilty need not be found out again: a letter that is refused alone is a dead letter as before, with the new reason and its attempts counted, and
//! nothing is lost if the exporter is sick. So there is no suspicion here, only a size: a batch that is refused is halved, one that is
//! delivered doubles the next. Names that a partial failure gives are believed.
//!
//! # What is durable
//! The batch (its events, its id `<store>-<stream>-<first>-<last>.d<n>`, its object) before each attempt, with the attempt counted as a crash until its outcome is
//! known. An outcome that the ledger does not take is kept and noted before anything else is sent.

mod taken_back;

use std::time::Duration;

use bytes::Bytes;
use flagpost_event::{BatchId, EventBatch};
use flagpost_exporter::ExportError;
use flagpost_spool::{DeadLetter, LedgerError, NumberRanges, ReplayPlan, ReplaySettlement};
use futures_util::FutureExt;
use futures_util::future::AbortHandle;
use tokio::time::Instant;

use super::attempt::{Landing, attempt};
use super::choose::{most_bytes, most_events};
use super::{Mode, STORE_PAUSE, Worker};
use crate::ids::replay_id;
use crate::lane::Flight;
use crate::partial::take_apart;
use crate::ranges::Numbers;
use crate::retry::{pause, probe_pause};
use crate::suspicion::CRASHES;

/// A batch of letters that failed this often lets the stream's events go first.
const STUCK_AFTER: u32 = 8;

/// So many names in a row are planned at once; with more of them there are pauses.
const NAMES_AT_ONCE: u32 = 5;

/// What a worker knows of the letters that it is to send.
pub(super) struct Replays {
    /// Letters may be marked that are in no batch.
    marked: bool,
    /// Orders that were seen.
    orders: u64,
    batch: Option<Batch>,
    /// The number of the last batch.
    last: u64,
    /// Most events of the next batch.
    most: u64,
    /// Failures, probes and taken names in a row.
    failures: u32,
    probes: u32,
    names_taken: u32,
    /// No attempt before.
    due: Instant,
    /// The next turn is the stream's.
    yields: bool,
    /// Marks may have been taken back: the batch is looked at before anything else is done with it.
    look_again: bool,
    /// What the ledger has not taken yet.
    unsaved: Option<ReplaySettlement>,
}

/// A batch of letters under way.
struct Batch {
    plan: ReplayPlan,
    flight: Option<Flight>,
}

/// Whose turn it is.
pub(super) enum Turn {
    /// The letters'.
    Replay,
    /// Nobody's before then: a batch of letters is in the order.
    Hold(Option<Instant>),
    /// The stream's; letters not before then.
    Pass(Option<Instant>),
}

impl Replays {
    /// What the ledger kept. Whether letters are marked is asked for once.
    pub(super) fn restore(plan: Option<ReplayPlan>, last: u64, now: Instant) -> Self {
        // Marks may have been taken back while nothing ran.
        let look_again = plan.is_some();
        Replays {
            marked: true,
            orders: 0,
            batch: plan.map(|plan| Batch { plan, flight: None }),
            last,
            most: u64::MAX,
            failures: 0,
            probes: 0,
            names_taken: 0,
            due: now,
            yields: false,
            look_again,
            unsaved: None,
        }
    }

    /// Letters were marked, or are no longer.
    pub(super) fn ordered(&mut self, orders: u64) {
        if std::mem::replace(&mut self.orders, orders) != orders {
            (self.marked, self.look_again) = (true, true);
            // What was refused before says nothing of these.
            self.most = u64::MAX;
        }
    }

    /// The stream had its turn. Returns whether the letters waited for that.
    pub(super) fn turn_taken(&mut self) -> bool {
        std::mem::take(&mut self.yields) && self.marked
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// What failed before says nothing of what comes.
    fn forget_failures(&mut self, now: Instant) {
        (self.failures, self.probes, self.names_taken, self.due) = (0, 0, 0, now);
    }

    /// Another implementation gets them as if nobody had tried.
    pub(super) fn start_anew(&mut self, now: Instant) {
        self.forget_failures(now);
        if let Some(batch) = &mut self.batch {
            (batch.plan.attempts, batch.plan.crashes) = (0, u32::from(batch.flight.is_some()));
        }
    }

    /// The end has begun: what waits for a pause gets one attempt at once.
    pub(super) fn try_once_more(&mut self, now: Instant) {
        (self.failures, self.due, self.yields) = (0, self.due.min(now), false);
    }

    fn settle(&mut self, settlement: ReplaySettlement) {
        self.batch = None;
        self.unsaved = Some(settlement);
    }
}

impl Worker {
    pub(super) fn replay_turn(&self, now: Instant) -> Turn {
        let replays = &self.replays;
        let waits = |batch: &Batch| batch.flight.is_none();
        if replays.unsaved.is_some() || replays.look_again && replays.batch.as_ref().is_some_and(waits) {
            return Turn::Replay;
        }
        let ordered = self.limits().ordered;
        if let Some(batch) = &replays.batch {
            return match (&batch.flight, ordered) {
                (Some(_), _) => Turn::Pass(None),
                // Sent at once, or set aside.
                (None, _) if self.mode != Mode::Run || replays.due <= now => Turn::Replay,
                (None, true) => Turn::Hold(Some(replays.due)),
                (None, false) => Turn::Pass(Some(replays.due)),
            };
        }
        if !replays.marked || replays.yields || !self.sends_letters() {
            return Turn::Pass(None);
        }
        let in_the_way = self.lanes.open().any(|lane| match ordered {
            true => !lane.parked,
            false => lane.failures > 0 || lane.stuck || lane.suspicion.is_some(),
        });
        match in_the_way {
            true => Turn::Pass(None),
            false if replays.due > now => Turn::Pass(Some(replays.due)),
            false => Turn::Replay,
        }
    }

    /// Whether letters may be sent: at the end only until something fails.
    fn sends_letters(&self) -> bool {
        match self.mode {
            Mode::Run => true,
            Mode::Drain => !self.replays.is_failing(),
            Mode::Finish | Mode::Stop => false,
        }
    }

    /// The letters' turn: notes what is to be noted, makes a batch if there is none, sends it.
    pub(super) async fn replay(&mut self) {
        if self.replays.unsaved.is_some() {
            self.note_replay().await;
            return;
        }
        if std::mem::take(&mut self.replays.look_again) && self.replays.batch.is_some() {
            return self.look_again().await;
        }
        if !self.sends_letters() {
            self.set_aside();
            self.note_replay().await;
            return;
        }
        if self.replays.batch.is_none() && !self.plan_replay().await {
            return;
        }
        let Some(batch) = &self.replays.batch else { return };
        if batch.plan.crashes >= CRASHES {
            let reason = format!("the program ended or the exporter crashed {} times while it was being delivered", batch.plan.crashes);
            self.refused(reason);
            self.note_replay().await;
            return;
        }
        self.launch_replay().await;
    }

    /// Makes a batch of marked letters. `false`: there are none, or the ledger failed.
    async fn plan_replay(&mut self) -> bool {
        let limits = self.limits();
        let most = most_events(self.policy(), &limits, self.bulk).min(self.replays.most);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let found = match self.context.ledger.marked_letters(self.id, most, most_bytes(&limits)).await {
            Ok(found) => found,
            Err(error) => {
                self.replay_halts(&error);
                return false;
            }
        };
        self.replays.marked = !found.is_empty();
        if found.is_empty() {
            // Those that failed before are not to be sent any more.
            self.replays_are_over();
            return false;
        }
        // Rising with time, so that a bookkeeping that began anew does not use an id again.
        let number = self.context.clock.unix_millis().max(self.replays.last + 1);
        self.replays.last = number;
        let numbers = NumberRanges::collect_from(found.iter().map(|letter| letter.number));
        tracing::info!(
            exporter = %self.spec.identity, stream = %self.spec.stream, events = found.len(), "dead letters are sent again"
        );
        let plan = ReplayPlan { number, numbers, object: None, attempts: 0, crashes: 0 };
        self.replays.batch = Some(Batch { plan, flight: None });
        true
    }

    async fn launch_replay(&mut self) {
        let Some(batch) = &self.replays.batch else { return };
        let (id, piece) = (self.replay_id(&batch.plan), batch.plan.numbers.clone());
        if batch.plan.object.is_none() {
            match self.name_object(&id).await {
                Ok(object) => {
                    if let Some(batch) = &mut self.replays.batch {
                        batch.plan.object = object;
                    }
                }
                Err(error) => {
                    let landing = Landing { first: 0, replay: true, piece, outcome: Some(Err(error)), took: Duration::ZERO };
                    return self.land_replay(landing).await;
                }
            }
        }
        let (abort, _registration) = AbortHandle::new_pair();
        let Some(batch) = &mut self.replays.batch else { return };
        batch.plan.attempts += 1;
        batch.plan.crashes += 1;
        let plan = batch.plan.clone();
        let settlement = ReplaySettlement { plan: Some(plan.clone()), ..ReplaySettlement::default() };
        if let Err(error) = self.context.ledger.settle_replay(self.id, settlement).await {
            // Not durable, so not made.
            if let Some(batch) = &mut self.replays.batch {
                batch.plan.attempts -= 1;
                batch.plan.crashes -= 1;
            }
            return self.replay_halts(&error);
        }
        // Read after that: from now on nobody can drop them.
        let letters = match self.still_meant(&piece).await {
            Ok(Some(letters)) => letters,
            other => {
                if let Some(batch) = &mut self.replays.batch {
                    batch.plan.attempts -= 1;
                    batch.plan.crashes -= 1;
                }
                return match other {
                    Err(error) => self.replay_halts(&error),
                    Ok(_) => self.dissolve().await,
                };
            }
        };
        if plan.attempts > 1 {
            self.status.count_retry();
        }
        let Some(batch) = &mut self.replays.batch else { return };
        batch.flight = Some(Flight { since: Instant::now(), abort, generation: self.generation });
        let sent = EventBatch::new(id, self.stream().clone(), plan.attempts, vec![lines(&letters)]).with_object(plan.object);
        let sending = attempt(self.spec.exporter.clone(), sent.with_numbers(piece.0.clone()));
        let flight = async move {
            let (outcome, took) = sending.await;
            Landing { first: 0, replay: true, piece, outcome: Some(outcome), took }
        };
        self.flights.push(flight.boxed());
    }

    /// An attempt with letters ended.
    pub(super) async fn land_replay(&mut self, landing: Landing) {
        let Landing { piece, outcome, took, .. } = landing;
        let Some(batch) = &mut self.replays.batch else { return };
        let flight = batch.flight.take();
        if flight.is_some() {
            batch.plan.crashes = batch.plan.crashes.saturating_sub(1);
            self.status.attempt_seconds().observe(took.as_secs_f64());
        }
        self.replays.yields = true;
        match outcome {
            Some(Ok(())) => self.replayed(&piece),
            Some(Err(error @ (ExportError::Crashed { .. } | ExportError::Rejected { .. }))) if self.is_replaced(flight.as_ref()) => {
                self.status.failed(error.to_string());
                self.replays.start_anew(Instant::now());
            }
            Some(Err(error)) => self.replay_failed(&piece, error),
            None => {}
        }
        if let (None, Some(batch)) = (&self.replays.unsaved, &self.replays.batch) {
            self.replays.unsaved = Some(ReplaySettlement { plan: Some(batch.plan.clone()), ..ReplaySettlement::default() });
        }
        self.refresh_state();
        self.note_replay().await;
    }

    /// All of it was delivered.
    fn replayed(&mut self, piece: &NumberRanges) {
        self.works(piece.count());
        let replays = &mut self.replays;
        replays.most = replays.most.saturating_mul(2);
        replays.forget_failures(Instant::now());
        replays.settle(ReplaySettlement { delivered: piece.each().collect(), ..ReplaySettlement::default() });
    }

    fn replay_failed(&mut self, piece: &NumberRanges, error: ExportError) {
        let reason = error.to_string();
        self.status.failed(reason.clone());
        tracing::warn!(
            exporter = %self.spec.identity, stream = %self.spec.stream, events = piece.count(), reason,
            "dead letters that were sent again failed"
        );
        self.misconfigured &= matches!(error, ExportError::Misconfigured { .. });
        self.last_reason = Some(reason.clone());
        match error {
            ExportError::Partial { retry, rejected, after } => match take_apart(piece, &retry, rejected) {
                Err(reason) => self.replay_crashed(reason),
                Ok(parts) if parts.delivered.none() && parts.guilty.is_empty() => self.replay_later(after),
                Ok(parts) => self.replayed_in_part(piece, parts.delivered, parts.guilty, after),
            },
            ExportError::Retryable { after, .. } => self.replay_later(after),
            ExportError::Crashed { .. } => self.replay_crashed(reason),
            ExportError::Rejected { .. } => self.refused(reason),
            ExportError::Misconfigured { .. } => {
                self.misconfigured = true;
                if !std::mem::replace(&mut self.said_sick, true) {
                    tracing::error!(exporter = %self.spec.identity, stream = %self.spec.stream, reason, "the exporter is misconfigured; its events are kept");
                }
                self.replays.probes = self.replays.probes.saturating_add(1);
                let wait = probe_pause(&self.spec.policy.retry, self.replays.probes, &mut self.random);
                self.replay_after(wait);
            }
            ExportError::NameTaken { .. } => {
                if let Some(batch) = &mut self.replays.batch {
                    batch.plan.object = None;
                }
                self.replays.names_taken += 1;
                if self.replays.names_taken >= NAMES_AT_ONCE {
                    self.replay_later(None);
                }
            }
        }
    }

    /// Some are settled; the others come in another batch, after a pause if they were not taken.
    fn replayed_in_part(&mut self, piece: &NumberRanges, delivered: NumberRanges, refused: Vec<(u64, String)>, after: Option<Duration>) {
        if !delivered.none() {
            self.works(delivered.count());
        }
        let settled = NumberRanges::collect_from(refused.iter().map(|(number, _)| *number));
        let back = piece.without(&delivered).without(&settled);
        let wait = pause(&self.spec.policy.retry, 1, after, &mut self.random);
        let at = self.context.clock.unix_millis();
        let replays = &mut self.replays;
        (replays.failures, replays.probes, replays.names_taken) = (u32::from(!back.none()), 0, 0);
        replays.due = Instant::now() + if back.none() { Duration::ZERO } else { wait };
        let attempts = replays.batch.as_ref().map_or(0, |batch| batch.plan.attempts);
        let (delivered, back) = (delivered.each().collect(), back.each().collect());
        replays.settle(ReplaySettlement { delivered, refused, back, attempts, at, plan: None });
    }

    fn replay_crashed(&mut self, reason: String) {
        let Some(batch) = &mut self.replays.batch else { return };
        batch.plan.crashes += 1;
        if batch.plan.crashes >= CRASHES { self.refused(reason) } else { self.replay_later(None) }
    }

    /// The batch was refused as a whole: one letter stays what it is, more are halved.
    fn refused(&mut self, reason: String) {
        let at = self.context.clock.unix_millis();
        let Some(batch) = &self.replays.batch else { return };
        let (attempts, count) = (batch.plan.attempts, batch.plan.numbers.count());
        let numbers: Vec<u64> = batch.plan.numbers.each().collect();
        let settlement = if count == 1 {
            tracing::warn!(exporter = %self.spec.identity, stream = %self.spec.stream, number = numbers[0], reason, "a dead letter was refused again");
            ReplaySettlement {
                refused: numbers.into_iter().map(|number| (number, reason.clone())).collect(),
                attempts,
                at,
                ..ReplaySettlement::default()
            }
        } else {
            self.replays.most = count / 2;
            ReplaySettlement { back: numbers, attempts, at, ..ReplaySettlement::default() }
        };
        let replays = &mut self.replays;
        (replays.failures, replays.probes, replays.names_taken, replays.due) = (0, 0, 0, Instant::now());
        replays.settle(settlement);
    }

    /// The same batch again after a pause, or set aside.
    fn replay_later(&mut self, after: Option<Duration>) {
        let wait = pause(&self.spec.policy.retry, self.replays.failures.saturating_add(1), after, &mut self.random);
        self.replay_after(wait);
    }

    fn replay_after(&mut self, wait: Duration) {
        self.replays.failures = self.replays.failures.saturating_add(1);
        self.replays.due = Instant::now() + wait;
        if self.replays.failures >= STUCK_AFTER {
            self.set_aside();
        }
    }

    /// The batch is no more; its letters stay marked.
    fn set_aside(&mut self) {
        let Some(batch) = &self.replays.batch else { return };
        let (attempts, back) = (batch.plan.attempts, batch.plan.numbers.each().collect());
        self.replays.settle(ReplaySettlement { back, attempts, ..ReplaySettlement::default() });
    }

    /// Makes durable what became of the letters. If the ledger fails, that is tried again before anything is sent.
    async fn note_replay(&mut self) {
        let Some(settlement) = self.replays.unsaved.clone() else { return };
        match self.context.ledger.settle_replay(self.id, settlement).await {
            Ok(left) => {
                self.replays.unsaved = None;
                self.status.letters_delivered(left);
            }
            Err(error) => self.replay_halts(&error),
        }
    }

    /// An attempt that is dropped at the end is not a crash.
    pub(super) async fn end_replay(&mut self) {
        if let Some(batch) = &mut self.replays.batch
            && batch.flight.take().is_some()
        {
            batch.plan.crashes = batch.plan.crashes.saturating_sub(1);
            self.replays.unsaved = Some(ReplaySettlement { plan: Some(batch.plan.clone()), ..ReplaySettlement::default() });
        }
        self.note_replay().await;
    }

    fn replay_halts(&mut self, error: &LedgerError) {
        let cause = std::error::Error::source(error).map(ToString::to_string);
        tracing::error!(exporter = %self.spec.identity, stream = %self.spec.stream, %error, cause, "dead letters wait for the store");
        self.status.failed(cause.unwrap_or_else(|| error.to_string()));
        self.pause = Some(Instant::now() + STORE_PAUSE);
    }

    fn replay_id(&self, plan: &ReplayPlan) -> BatchId {
        let (first, last) = (plan.numbers.lowest().unwrap_or(0), plan.numbers.highest().unwrap_or(0));
        replay_id(&self.context.store, self.stream(), first, last, plan.number)
    }
}

/// The letters' events as an exporter gets them.
fn lines(letters: &[DeadLetter]) -> Bytes {
    let mut lines = Vec::with_capacity(letters.iter().map(|letter| letter.event.len() + 1).sum());
    for letter in letters {
        lines.extend_from_slice(&letter.event);
        lines.push(b'\n');
    }
    lines.into()
}
