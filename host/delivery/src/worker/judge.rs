//! What became of an attempt, and what follows from it.

use std::time::Duration;

use flagpost_exporter::{ExportError, Readiness, RejectedEvent};
use flagpost_spool::{DropReason, NumberRanges};
use tokio::time::Instant;

use super::Worker;
use super::attempt::Landing;
use crate::lane::Flight;
use crate::partial::take_apart;
use crate::ranges::Numbers;
use crate::retry::{pause, probe_pause};
use crate::suspicion::{CRASHES, Failure, Finding, Step};

/// A streaming batch that failed this often lets an event behind it be tried.
const STUCK_AFTER: u32 = 8;

/// So many names in a row are planned at once; with more of them there are pauses.
const NAMES_AT_ONCE: u32 = 5;

impl Worker {
    /// An attempt ended.
    pub(super) async fn land(&mut self, landing: Landing) {
        if landing.replay {
            return self.land_replay(landing).await;
        }
        let Landing { first, piece, outcome, took, .. } = landing;
        let Some(lane) = self.lanes.get_mut(first) else { return };
        let flight = lane.flight.take();
        let Some(outcome) = outcome else {
            self.put_off(first, None);
            self.commit().await;
            return;
        };
        if flight.is_some() {
            self.status.attempt_seconds().observe(took.as_secs_f64());
        }
        match outcome {
            Ok(()) => self.delivered(first, &piece),
            Err(error @ (ExportError::Crashed { .. } | ExportError::Rejected { .. })) if self.is_replaced(flight.as_ref()) => {
                self.unjudged(first, &error);
            }
            Err(error) => self.failed(first, &piece, error),
        }
        self.refresh_state();
        self.commit().await;
    }

    /// Whether another implementation has taken over since the attempt began.
    pub(super) fn is_replaced(&self, flight: Option<&Flight>) -> bool {
        let now = self.readiness.as_ref().map(|readiness| readiness.borrow().clone());
        match (flight, now) {
            (Some(flight), Some(Readiness::Ready { generation })) => flight.generation != Some(generation),
            _ => false,
        }
    }

    /// The implementation before failed. That says nothing about the events: the new one gets them as if nobody had tried.
    fn unjudged(&mut self, first: u64, error: &ExportError) {
        let reason = error.to_string();
        tracing::info!(
            exporter = %self.spec.identity, stream = %self.spec.stream, first, reason,
            "an attempt of the implementation before failed; the one that took over gets the same events"
        );
        self.status.failed(reason);
        match self.lanes.get_mut(first) {
            // Goes back in order.
            Some(lane) if lane.witness_for.is_some() => {
                self.lanes.remove(first);
            }
            Some(lane) => lane.start_anew(Instant::now()),
            None => {}
        }
    }

    fn delivered(&mut self, first: u64, piece: &NumberRanges) {
        self.works(piece.count());
        let now = Instant::now();
        let Some(lane) = self.lanes.get_mut(first) else { return };
        lane.settle(piece);
        (lane.failures, lane.probes, lane.names_taken, lane.stuck) = (0, 0, 0, false);
        lane.due = now;
        if let Some(suspicion) = &mut lane.suspicion {
            suspicion.delivered(piece);
        }
        if lane.is_done() {
            lane.suspicion = None;
            lane.parked = false;
        }
        let Some(held) = lane.witness_for.take() else { return };
        if let Some(lane) = self.lanes.get_mut(held).filter(|lane| lane.stuck) {
            (lane.stuck, lane.parked) = (false, true);
            tracing::warn!(
                exporter = %self.spec.identity, stream = %self.spec.stream, first = held, reason = self.last_reason,
                "a batch fails again and again while later events are delivered: it is tried beside them from now on"
            );
            self.put_off(held, None);
        }
    }

    /// The exporter delivered something: it is not sick, and its word about single events counts.
    pub(super) fn works(&mut self, count: u64) {
        let now = Instant::now();
        self.misconfigured = false;
        self.said_sick = false;
        self.rarity.delivered(count);
        self.status.succeeded();
        for lane in self.lanes.iter_mut() {
            let Some(suspicion) = &mut lane.suspicion else { continue };
            if !suspicion.is_vouched() {
                // Crashes before it was known to work do not count.
                lane.plan.crashes = 0;
            }
            suspicion.vouch();
            lane.held_up = false;
            if !suspicion.is_sick() {
                lane.probes = 0;
                if matches!(suspicion.next(), Step::Try(_)) && lane.failures == 0 {
                    lane.due = now;
                }
            }
        }
    }

    fn failed(&mut self, first: u64, piece: &NumberRanges, error: ExportError) {
        let reason = error.to_string();
        self.status.failed(reason.clone());
        tracing::warn!(exporter = %self.spec.identity, stream = %self.spec.stream, first, events = piece.count(), reason, "an attempt failed");
        // Another answer than that: whoever said it comes again after its own pause.
        self.misconfigured &= matches!(error, ExportError::Misconfigured { .. });
        let error = match error {
            ExportError::Partial { retry, rejected, after } => match self.in_part(first, piece, retry, rejected, after) {
                Some(error) => error,
                None => return,
            },
            error => error,
        };
        if self.is_expired(first) {
            return self.expire(first);
        }
        let Some(lane) = self.lanes.get_mut(first) else { return };
        if let Some(held) = lane.witness_for {
            self.lanes.remove(first);
            return self.witness_failed(held, error);
        }
        let reason = error.to_string();
        match error {
            ExportError::Retryable { after, .. } => {
                self.last_reason = Some(reason);
                self.put_off(first, after);
                let bulk = self.bulk;
                if let Some(lane) = self.lanes.get_mut(first).filter(|lane| !bulk && !lane.parked && lane.suspicion.is_none()) {
                    lane.stuck = lane.failures.is_multiple_of(STUCK_AFTER);
                }
            }
            ExportError::Crashed { .. } => self.crashed(first, piece, reason),
            ExportError::Rejected { .. } => self.fell(first, piece, Failure::Rejected, reason),
            // Taken apart above.
            ExportError::Partial { .. } => {}
            ExportError::Misconfigured { .. } => {
                self.misconfigured = true;
                if !std::mem::replace(&mut self.said_sick, true) {
                    tracing::error!(exporter = %self.spec.identity, stream = %self.spec.stream, reason, "the exporter is misconfigured; its events are kept");
                }
                self.last_reason = Some(reason);
                self.probe_later(first);
            }
            ExportError::NameTaken { name } => self.name_taken(first, &name, reason),
        }
    }

    fn crashed(&mut self, first: u64, piece: &NumberRanges, reason: String) {
        let Some(lane) = self.lanes.get_mut(first) else { return };
        lane.plan.crashes += 1;
        if lane.suspicion.is_some() || lane.plan.crashes >= CRASHES {
            return self.fell(first, piece, Failure::Crashed, reason);
        }
        self.last_reason = Some(reason);
        self.put_off(first, None);
    }

    /// A batch, or a piece of a suspect one, failed in a way that speaks against its events.
    fn fell(&mut self, first: u64, piece: &NumberRanges, failure: Failure, reason: String) {
        let Some(lane) = self.lanes.get_mut(first) else { return };
        let Some(suspicion) = &mut lane.suspicion else {
            tracing::warn!(
                exporter = %self.spec.identity, stream = %self.spec.stream, first, last = lane.plan.last, reason,
                "the batch is suspect: looking for the events that cannot be delivered"
            );
            lane.suspect();
            self.last_reason = Some(reason);
            return self.search_on(first);
        };
        let finding = suspicion.failed(piece, failure);
        lane.held_up = false;
        let finding = match finding {
            Finding::Guilty(number) if self.rarity.condemn() => {
                tracing::warn!(exporter = %self.spec.identity, stream = %self.spec.stream, number, reason, "an event cannot be delivered: it goes to the dead letters");
                lane.failures = 0;
                lane.condemn(number, reason.clone());
                Finding::Search
            }
            Finding::Guilty(number) => suspicion.refuse(number),
            finding => finding,
        };
        self.last_reason = Some(reason);
        match finding {
            Finding::Again => self.put_off(first, None),
            Finding::Sick => self.sick(first),
            Finding::Search | Finding::Guilty(_) => self.search_on(first),
        }
    }

    /// The search goes on at once, unless it has to wait for an event behind the batch.
    fn search_on(&mut self, first: u64) {
        let Some(lane) = self.lanes.get_mut(first) else { return };
        if lane.is_done() {
            lane.suspicion = None;
            return;
        }
        match lane.step() {
            Step::Beyond(_) => self.probe_later(first),
            _ => lane.due = Instant::now(),
        }
    }

    fn sick(&mut self, first: u64) {
        let Some(lane) = self.lanes.get(first) else { return };
        let not_rare = lane.suspicion.as_ref().is_some_and(|suspicion| suspicion.is_not_rare());
        let error = self.last_reason.take().unwrap_or_default();
        let why = if not_rare { NOT_RARE } else { ALL_FAIL };
        if !std::mem::replace(&mut self.said_sick, true) {
            tracing::error!(exporter = %self.spec.identity, stream = %self.spec.stream, reason = error, "{why}; nothing is condemned, its events are kept");
        }
        self.last_reason = Some(format!("{why}: {error}"));
        self.probe_later(first);
    }

    /// An event behind `held` was tried on its behalf and was not delivered.
    fn witness_failed(&mut self, held: u64, error: ExportError) {
        let speaks_against = matches!(error, ExportError::Crashed { .. } | ExportError::Rejected { .. });
        let after = if let ExportError::Retryable { after, .. } = &error { *after } else { None };
        self.misconfigured |= matches!(error, ExportError::Misconfigured { .. });
        self.last_reason = Some(error.to_string());
        let Some(lane) = self.lanes.get_mut(held) else { return };
        lane.stuck = false;
        match &mut lane.suspicion {
            Some(suspicion) if speaks_against => {
                suspicion.beyond_failed();
                self.sick(held);
            }
            // It says nothing about the events: asked again after a pause.
            Some(_) => {
                lane.held_up = true;
                match error {
                    ExportError::Retryable { .. } => self.put_off(held, after),
                    _ => self.probe_later(held),
                }
            }
            None => self.put_off(held, after),
        }
    }

    /// Applies what a partial failure settled. What is left of it is treated as the answer that it amounts to: `None` when nothing is, or
    /// when it is under way.
    ///
    /// The names that a destination gives are believed as far as anybody's word is: something else must have been delivered, here in the
    /// same call, and poison must be rare. An exporter that names everything is one that refuses the batch.
    fn in_part(
        &mut self,
        first: u64,
        piece: &NumberRanges,
        retry: Vec<u32>,
        rejected: Vec<RejectedEvent>,
        after: Option<Duration>,
    ) -> Option<ExportError> {
        let again = retry.len();
        let parts = match take_apart(piece, &retry, rejected) {
            Ok(parts) => parts,
            Err(reason) => return Some(ExportError::Crashed { reason }),
        };
        let left = format!("{again} of {} events to be sent again", piece.count());
        if parts.delivered.none() {
            // Nothing was settled.
            let named: Vec<u64> = parts.guilty.iter().map(|(number, _)| *number).collect();
            let one = parts.guilty.into_iter().next().map(|(_, reason)| reason);
            return Some(match one {
                Some(reason) if again == 0 && named.len() == 1 => ExportError::Rejected { reason },
                Some(reason) if again == 0 => {
                    ExportError::Rejected { reason: format!("all {} events were refused, the first because: {reason}", named.len()) }
                }
                one => {
                    if let (Some(lane), Some(_)) = (self.lanes.get_mut(first), one) {
                        lane.set_aside(&named);
                    }
                    ExportError::Retryable { reason: left, after }
                }
            });
        }
        if parts.delivered == *piece {
            self.delivered(first, piece);
            return None;
        }
        self.works(parts.delivered.count());
        let (mut guilty, mut refused) = (Vec::new(), Vec::new());
        for (number, reason) in parts.guilty {
            if self.rarity.condemn() {
                tracing::warn!(exporter = %self.spec.identity, stream = %self.spec.stream, number, reason, "an event was refused: it goes to the dead letters");
                guilty.push((number, reason));
            } else {
                refused.push(number);
                self.last_reason = Some(reason);
            }
        }
        let condemned = NumberRanges::collect_from(guilty.iter().map(|(number, _)| *number));
        let gone = piece.without(&piece.without(&parts.delivered).without(&condemned));
        let lane = self.lanes.get_mut(first)?;
        lane.settle_part(&gone, guilty);
        lane.failures = 0;
        if lane.is_done() {
            lane.suspicion = None;
            lane.parked = false;
            return None;
        }
        if !refused.is_empty() {
            lane.refuse(&refused);
            if self.is_expired(first) {
                self.expire(first);
            } else {
                self.sick(first);
            }
            return None;
        }
        if again == 0 {
            self.search_on(first);
            return None;
        }
        Some(ExportError::Retryable { reason: left, after })
    }

    fn name_taken(&mut self, first: u64, name: &str, reason: String) {
        self.last_reason = Some(reason);
        let Some(lane) = self.lanes.get_mut(first) else { return };
        tracing::info!(exporter = %self.spec.identity, stream = %self.spec.stream, first, name, "the object's name is taken; a new one is planned");
        lane.plan.object = None;
        lane.names_taken += 1;
        if lane.names_taken < NAMES_AT_ONCE {
            lane.due = Instant::now();
        } else {
            self.put_off(first, None);
        }
    }

    /// The same again after a pause.
    fn put_off(&mut self, first: u64, after: Option<Duration>) {
        let retry = self.spec.policy.retry;
        let Some(lane) = self.lanes.get_mut(first) else { return };
        lane.failures = lane.failures.saturating_add(1);
        lane.due = Instant::now() + pause(&retry, lane.failures, after, &mut self.random);
    }

    /// One attempt after a longer pause: to see whether an operator changed something.
    fn probe_later(&mut self, first: u64) {
        let retry = self.spec.policy.retry;
        let Some(lane) = self.lanes.get_mut(first) else { return };
        lane.probes = lane.probes.saturating_add(1);
        lane.due = Instant::now() + probe_pause(&retry, lane.probes, &mut self.random);
    }

    fn is_expired(&self, first: u64) -> bool {
        let most = self.spec.policy.retry.max_elapsed.filter(|most| !most.is_zero());
        let (Some(lane), Some(most)) = (self.lanes.get(first), most) else { return false };
        lane.plan.since > 0 && self.context.clock.unix_millis().saturating_sub(lane.plan.since) as u128 >= most.as_millis()
    }

    fn expire(&mut self, first: u64) {
        let Some(lane) = self.lanes.get_mut(first) else { return };
        tracing::error!(
            exporter = %self.spec.identity, stream = %self.spec.stream, first, last = lane.plan.last,
            events = lane.plan.remaining.count(), "a batch failed for longer than `retry.maxElapsed`; its events are dropped"
        );
        let all = lane.plan.remaining.clone();
        lane.give_up(&all, DropReason::Expired);
        (lane.suspicion, lane.stuck, lane.parked, lane.failures) = (None, false, false, 0);
    }
}

const ALL_FAIL: &str = "no event can be delivered, so the exporter itself is thought to be at fault";
const NOT_RARE: &str = "more than 1 in 100 of the last events cannot be delivered, so the exporter itself is thought to be at fault";
