//! What to start next: a batch under way that is due, a witness, or a new batch.

use std::time::Duration;

use flagpost_exporter::{Limits, MAX_BATCH_BYTES};
use flagpost_spool::NumberRanges;
use tokio::time::Instant;

use super::{Mode, Worker, at_once, earliest};
use crate::lane::Lane;
use crate::options::Policy;
use crate::suspicion::{Step, Suspicion};

/// Events that may be parked at the same time: with more of them it is no longer a matter of single events.
const MAX_PARKED: usize = 32;

/// What to start next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// These events of the lane that begins with `first`.
    Try { first: u64, piece: NumberRanges },
    /// A new batch of at most `most` events.
    Cut { from: u64, most: u64, witness_for: Option<u64> },
    /// Nothing before then.
    Wait(Option<Instant>),
}

impl Worker {
    pub(super) fn choose(&mut self, now: Instant) -> Choice {
        let limits = self.limits();
        let head = self.status.head();
        let (from, until) = self.lanes.gap();
        let end = until.unwrap_or(head).min(head);
        let mut wake = None;
        // Where events wait already, more of them change nothing but what `trigger` counts.
        self.awaited = if from < end { u64::MAX } else { head + 1 };
        let (mut unparked, mut parked, mut troubled) = (0, 0, false);
        for lane in self.lanes.open() {
            *if lane.parked { &mut parked } else { &mut unparked } += 1;
            troubled |= lane.suspicion.is_some() || lane.stuck;
            let held = limits.ordered && !lane.parked && unparked > 1;
            if lane.flight.is_some() || held || (self.misconfigured && unparked + parked > 1) {
                continue;
            }
            match consider(lane, from < end, now) {
                Some(Some(piece)) => return Choice::Try { first: lane.first(), piece },
                Some(None) => {
                    let skip = lane.suspicion.as_ref().map_or(0, Suspicion::beyond);
                    let from = self.lanes.uncovered(skip, head).unwrap_or(from);
                    return Choice::Cut { from, most: 1, witness_for: Some(lane.first()) };
                }
                None => wake = earliest(wake, Some(lane.due)),
            }
        }
        if self.mode == Mode::Drain {
            wake = None;
        }
        let full = if limits.ordered { unparked > 0 } else { unparked >= at_once(&limits) };
        // Without a batch under way, a new one is what probes.
        let probing = self.misconfigured && unparked + parked > 0;
        if probing || troubled || full || parked > MAX_PARKED || from >= end {
            return Choice::Wait(wake);
        }
        match self.trigger(from, end, until.is_some(), now) {
            Ok(end) => Choice::Cut { from, most: (end - from).min(most_events(self.policy(), &limits, self.bulk)), witness_for: None },
            Err(at) => Choice::Wait(earliest(wake, at)),
        }
    }

    /// Up to where events are to be cut now, or when to ask again. Streaming exporters get events as they come. Bulk exporters get them
    /// when enough wait or the oldest waited long enough: that says when, not how many make a batch.
    fn trigger(&mut self, from: u64, end: u64, again: bool, now: Instant) -> Result<u64, Option<Instant>> {
        if !self.bulk || again || self.mode == Mode::Drain {
            return Ok(end);
        }
        if self.flush_until > from {
            return Ok(self.flush_until.min(end));
        }
        let enough = self.policy().max_events.max(1) as u64;
        if end - from >= enough {
            self.flush_until = from.saturating_add(enough);
            return Ok(self.flush_until);
        }
        let seen = match self.waits {
            Some((number, since)) if number == from => since,
            _ => {
                self.waits = Some((from, now));
                now
            }
        };
        let stored = self.context.log.appended_at(self.status.stream_id(), from);
        let age = stored.map_or(0, |at| self.context.clock.unix_millis().saturating_sub(at));
        let age = Duration::from_millis(age).max(now.duration_since(seen));
        match self.policy().flush_interval.checked_sub(age).filter(|left| !left.is_zero()) {
            Some(left) => {
                self.awaited = from.saturating_add(enough);
                Err(Some(now + left))
            }
            None => {
                self.flush_until = end;
                Ok(end)
            }
        }
    }
}

/// Whether the lane is to be tried now: `Some(Some(piece))`, or an event behind it: `Some(None)`.
fn consider(lane: &Lane, behind: bool, now: Instant) -> Option<Option<NumberRanges>> {
    let due = lane.due <= now;
    if lane.stuck && behind {
        return Some(None);
    }
    match lane.step() {
        Step::Try(piece) if due => Some(Some(piece)),
        Step::Beyond(_) if behind && (due || !lane.held_up && lane.suspicion.as_ref().is_some_and(|suspicion| !suspicion.is_sick())) => {
            Some(None)
        }
        Step::Beyond(oldest) if due => Some(Some(oldest)),
        _ => None,
    }
}

/// The most events of one batch.
pub(super) fn most_events(policy: &Policy, limits: &Limits, bulk: bool) -> u64 {
    let own = if bulk { policy.max_events } else { usize::MAX };
    own.min(limits.max_events).min(policy.max_events_per_call.unwrap_or(usize::MAX)).max(1) as u64
}

/// The most bytes of one batch.
pub(super) fn most_bytes(limits: &Limits) -> usize {
    limits.max_bytes.clamp(1, MAX_BATCH_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_cut_at_the_smallest_limit() {
        let cases = [
            ((100_000, usize::MAX, None, true), 100_000),
            ((100_000, 500, None, true), 500),
            ((100_000, 500, Some(7), true), 7),
            ((3, 500, Some(7), true), 3),
            ((3, 500, Some(7), false), 7),
            ((0, 0, Some(0), true), 1),
        ];
        for ((max_events, exporter, per_call, bulk), expected) in cases {
            let policy = Policy { max_events, max_events_per_call: per_call, ..Policy::default() };
            let limits = Limits { max_events: exporter, ..Limits::default() };
            assert_eq!(most_events(&policy, &limits, bulk), expected);
        }
        assert_eq!(most_bytes(&Limits { max_bytes: usize::MAX, ..Limits::default() }), 16 << 20);
    }
}
