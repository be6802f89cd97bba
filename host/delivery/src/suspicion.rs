//! Who is guilty: finding the events that an exporter cannot take, without ever condemning healthy ones for a sick exporter.
//!
//! # The problem
//! A batch is refused as a whole (`Rejected`), or it crashes the exporter again and again (a trap, a timeout, a killed process). Somewhere
//! in it may be one event that can never be delivered, and behind it thousands that can. Or the exporter itself is sick: a plugin that
//! traps on everything, a destination that answers 400 because a credential ran out. Seen from one batch, both look the same. Bisecting
//! finds the guilty event in the first case. In the second it "finds" that every single event is guilty, and an honest bisection would
//! move the whole backlog to the dead letters, one healthy event after the other.
//!
//! # The rule: poison must be rare to be believed
//! An event is condemned only while the exporter is known to work: something else must have been *delivered* since the suspicion began.
//! We call that a vouch. Three refinements make the rule hold where it is tempted:
//! * **Evidence counts only after a vouch.** A single event that failed while nothing vouched for the exporter is set aside (`unproven`),
//!   not condemned. After a vouch it is tried again, and only that failure counts: one rejection, or [`CRASHES`] crashes. So an exporter
//!   that was sick and recovers delivers what it refused before.
//! * **A condemnation uses its vouch up.** The next one needs a new delivery. An exporter that falls sick in the middle of a bisection
//!   therefore condemns at most one event more.
//! * **Rarity**, kept by the worker over all batches (see `rarity`): when too many of the last events were condemned, nothing more is.
//!
//! # The search
//! Pieces are tried in order, so that an ordered exporter stays ordered but for the guilty. A piece that fails is halved; a piece of one
//! event is judged by the rule. When a single event fails unvouched, bisecting on would be slow on a sick exporter (twice as many attempts
//! as events), so the search turns to witnesses: single events spread over what is left of the batch, at most [`WITNESSES`] of them. If
//! poison is at most one event in a hundred, the chance that all of them are guilty is nil; if all fail, the exporter is sick. When the
//! batch has no event left to ask, an event behind the batch is asked (`Step::Beyond`), further behind each time; one that fails goes back
//! in order, with nothing held against it.
//!
//! # Sick
//! The worker shows `Misconfigured`, the cursor stays, and one event probes with a back-off of up to five minutes: in turn the oldest of the
//! batch (the operator repaired the exporter) and a witness (the oldest is indeed guilty and others can be delivered). Any delivery ends
//! the sickness and vouches. A sickness declared for rarity is ended only by a delivery of the suspects themselves: that others can be
//! delivered is known then and proves nothing.
//!
//! # Restarts
//! The plan holds the piece that is being tried, whether it was vouched for, and how often it crashed, an attempt without an outcome
//! included. So an event that kills the whole process is found like any other, one restart per attempt.
//!
//! # What is not promised
//! Order among the events of one suspect batch: witnesses overtake. An exporter that crashes at random, half of the time, on everything,
//! may lose some healthy events to the dead letters until rarity stops it; they are kept there, with the reason.
//!
//! This module is a pure state machine: the worker asks [`Suspicion::next`], tries what it says, and tells what became of it.

use std::collections::BTreeMap;

use flagpost_spool::NumberRanges;

use crate::ranges::Numbers;

/// Crashes that count against a batch or a single event; fewer may be anyone's fault.
pub(crate) const CRASHES: u32 = 3;

/// Witnesses asked before an exporter is called sick.
pub(crate) const WITNESSES: u32 = 32;

/// How a piece failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The destination will never take it.
    Rejected,
    /// The exporter failed on it.
    Crashed,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Try these events as a batch of their own.
    Try(NumberRanges),
    /// Try an event behind the batch. When there is none, wait for one; meanwhile these may be tried after a pause.
    Beyond(NumberRanges),
    /// Nothing is suspect any more.
    Clear,
}

/// What a failure of a piece led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The search goes on at once.
    Search,
    /// The same event comes again after a pause.
    Again,
    /// The event is guilty: condemn it, or call [`Suspicion::refuse`] when poison is no longer rare.
    Guilty(u64),
    /// The exporter is sick: nothing is condemned; the next step comes after a pause.
    Sick,
}

/// Why an exporter is thought to be sick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sickness {
    /// No event of a sample could be delivered.
    AllFail,
    /// Too many events were condemned.
    NotRare,
}

/// The state of one suspect batch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Suspicion {
    /// Pieces not judged yet, by their lowest number. Disjoint.
    pending: BTreeMap<u64, NumberRanges>,
    /// Single events that failed while nothing vouched for the exporter.
    unproven: BTreeMap<u64, ()>,
    /// Crashes of single events since the last vouch.
    crashes: BTreeMap<u64, u32>,
    vouched: bool,
    witnesses: u32,
    /// Events behind the batch that failed since the last vouch.
    beyonds: u32,
    sick: Option<Sickness>,
    probes: u32,
}

impl Suspicion {
    /// Begins with a batch that failed as a whole.
    pub(crate) fn begin(remaining: &NumberRanges) -> Self {
        let mut suspicion = Suspicion::default();
        suspicion.split(remaining.clone());
        suspicion
    }

    /// Goes on after a restart: `trying` was being tried, `vouched` or not, and has crashed that often; the others of `remaining` were not
    /// judged.
    pub(crate) fn resume(remaining: &NumberRanges, trying: &NumberRanges, vouched: bool, crashes: u32) -> Self {
        let mut suspicion = Suspicion { vouched, ..Suspicion::default() };
        suspicion.insert(trying.clone());
        suspicion.insert(remaining.without(trying));
        if let (Some(number), 1) = (trying.lowest(), trying.count()) {
            suspicion.crashes.insert(number, crashes);
        }
        suspicion
    }

    /// Whether something was delivered since the suspicion began, or since the last event was condemned.
    pub(crate) fn is_vouched(&self) -> bool {
        self.vouched
    }

    /// Whether the exporter is thought to be sick.
    pub(crate) fn is_sick(&self) -> bool {
        self.sick.is_some()
    }

    /// Whether it is thought to be sick because too many events were condemned.
    pub(crate) fn is_not_rare(&self) -> bool {
        self.sick == Some(Sickness::NotRare)
    }

    /// What to try next. Asking changes nothing.
    pub(crate) fn next(&self) -> Step {
        let Some(oldest) = self.oldest() else { return Step::Clear };
        match self.sick {
            Some(Sickness::NotRare) => return Step::Try(oldest),
            Some(Sickness::AllFail) if self.probes.is_multiple_of(2) => return Step::Try(oldest),
            Some(Sickness::AllFail) => return self.witness().map_or(Step::Beyond(oldest), Step::Try),
            None => {}
        }
        if self.unproven.is_empty() {
            let first = self.pending.values().next();
            return first.map_or(Step::Clear, |piece| Step::Try(piece.clone()));
        }
        self.witness().map_or(Step::Beyond(oldest), Step::Try)
    }

    /// All of `piece` was delivered.
    pub(crate) fn delivered(&mut self, piece: &NumberRanges) {
        self.remove(piece);
        if self.is_not_rare() {
            self.sick = None;
        }
        self.vouch();
    }

    /// Something was delivered by the exporter.
    pub(crate) fn vouch(&mut self) {
        if self.is_not_rare() {
            return;
        }
        self.sick = None;
        self.probes = 0;
        self.witnesses = 0;
        self.beyonds = 0;
        self.vouched = true;
        self.crashes.clear();
        for number in std::mem::take(&mut self.unproven).into_keys() {
            self.insert(NumberRanges::of(number..number + 1));
        }
    }

    /// `piece` failed.
    pub(crate) fn failed(&mut self, piece: &NumberRanges, failure: Failure) -> Finding {
        let (Some(number), 1) = (piece.lowest(), piece.count()) else {
            self.remove(piece);
            self.split(piece.clone());
            return Finding::Search;
        };
        if self.sick.is_some() {
            self.remove(piece);
            self.unproven.insert(number, ());
            self.probes = self.probes.wrapping_add(1);
            return Finding::Sick;
        }
        if self.vouched {
            let crashes = self.crashes.entry(number).or_default();
            *crashes += 1;
            if failure == Failure::Crashed && *crashes < CRASHES {
                return Finding::Again;
            }
            self.remove(piece);
            self.vouched = false;
            self.crashes.clear();
            return Finding::Guilty(number);
        }
        let first = self.unproven.is_empty();
        self.remove(piece);
        self.unproven.insert(number, ());
        if !first {
            self.witnesses += 1;
        }
        if self.witnesses >= WITNESSES {
            self.sick = Some(Sickness::AllFail);
            return Finding::Sick;
        }
        Finding::Search
    }

    /// How far behind the batch to ask: further each time, since guilty events may be neighbours.
    pub(crate) fn beyond(&self) -> u64 {
        (1 << self.beyonds.min(32)) - 1
    }

    /// The event behind the batch failed too.
    pub(crate) fn beyond_failed(&mut self) -> Finding {
        self.sick.get_or_insert(Sickness::AllFail);
        self.beyonds = self.beyonds.saturating_add(1);
        self.probes = self.probes.wrapping_add(1);
        Finding::Sick
    }

    /// `number` would be condemned, but poison is no longer rare.
    pub(crate) fn refuse(&mut self, number: u64) -> Finding {
        self.unproven.insert(number, ());
        self.sick = Some(Sickness::NotRare);
        Finding::Sick
    }

    /// `number` was named as guilty by an answer that delivered nothing: it is judged alone, after a vouch.
    pub(crate) fn set_aside(&mut self, number: u64) {
        let alone = NumberRanges::of(number..number + 1);
        self.remove(&alone);
        if self.vouched {
            self.insert(alone);
        } else {
            self.unproven.insert(number, ());
        }
    }

    /// These events are settled by other means.
    pub(crate) fn remove(&mut self, gone: &NumberRanges) {
        for number in gone.each().filter(|number| self.unproven.contains_key(number)).collect::<Vec<_>>() {
            self.unproven.remove(&number);
        }
        let Some(highest) = gone.highest() else { return };
        let touched: Vec<u64> = self.pending.range(..=highest).map(|(&first, _)| first).collect();
        for first in touched {
            let hit = self.pending.get(&first).is_some_and(|piece| piece.without(gone) != *piece);
            if hit && let Some(piece) = self.pending.remove(&first) {
                self.insert(piece.without(gone));
            }
        }
    }

    /// The lowest event that is not judged.
    fn oldest(&self) -> Option<NumberRanges> {
        let pending = self.pending.keys().next();
        let number = pending.into_iter().chain(self.unproven.keys().next()).min()?;
        Some(NumberRanges::of(*number..number + 1))
    }

    /// A single event of what is left, spread: the middle, the quarters, the eighths.
    fn witness(&self) -> Option<NumberRanges> {
        let left: u64 = self.pending.values().map(Numbers::count).sum();
        let asked = self.witnesses.wrapping_add(self.probes).wrapping_add(1);
        let spread = (u64::from(asked.reverse_bits()) * left) >> 32;
        let mut place = spread.min(left.checked_sub(1)?);
        for piece in self.pending.values() {
            match piece.nth(place) {
                Some(number) => return Some(NumberRanges::of(number..number + 1)),
                None => place -= piece.count(),
            }
        }
        None
    }

    fn split(&mut self, piece: NumberRanges) {
        let count = piece.count();
        if count == 1 {
            if let Some(number) = piece.lowest() {
                self.unproven.insert(number, ());
            }
            return;
        }
        let (front, back) = piece.split(count / 2);
        self.insert(front);
        self.insert(back);
    }

    fn insert(&mut self, piece: NumberRanges) {
        if let Some(first) = piece.lowest() {
            self.pending.insert(first, piece);
        }
    }
}

#[cfg(test)]
mod tests;
