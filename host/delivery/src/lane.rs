//! One batch under way: its plan, and what is known about it that need not survive a crash.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use flagpost_spool::{DropReason, NumberRanges, Plan};
use futures_util::future::AbortHandle;
use tokio::time::Instant;

use crate::ranges::Numbers;
use crate::suspicion::{CRASHES, Failure, Finding, Step, Suspicion};

/// A batch under way, or a range that is settled while something before it is not.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    /// What is durable about it; `behind` stays empty.
    pub(crate) plan: Plan,
    /// Whether the plan is kept in the ledger. A streaming batch is, from its second attempt on.
    pub(crate) planned: bool,
    /// Failures in a row, for the pause before the next attempt.
    pub(crate) failures: u32,
    /// Pauses in a row as a probe of a sick exporter.
    pub(crate) probes: u32,
    /// Not tried before.
    pub(crate) due: Instant,
    /// The attempt under way.
    pub(crate) flight: Option<Flight>,
    /// The search for the guilty.
    pub(crate) suspicion: Option<Suspicion>,
    /// Streaming: failed so often that an event behind it is tried.
    pub(crate) stuck: bool,
    /// Streaming: stuck, and what is behind it can be delivered; it no longer holds that up.
    pub(crate) parked: bool,
    /// Tried on behalf of the batch that begins with this number: goes back in order when it fails.
    pub(crate) witness_for: Option<u64>,
    /// An event behind it was asked, and could not be delivered for a reason that may pass: nobody is asked before it is due.
    pub(crate) held_up: bool,
    /// Names in a row that were taken.
    pub(crate) names_taken: u32,
    /// Its lines as they were cut, for the first attempt.
    pub(crate) lines: Option<Arc<[Bytes]>>,
}

/// An attempt under way.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    pub(crate) since: Instant,
    pub(crate) abort: AbortHandle,
    /// Which implementation of the exporter it was given to.
    pub(crate) generation: Option<u64>,
}

impl Lane {
    /// A new batch of all of `numbers` (which are not empty), never tried.
    pub(crate) fn new(numbers: Range<u64>, now: Instant) -> Self {
        let remaining = NumberRanges::of(numbers.clone());
        let plan = Plan {
            first: numbers.start,
            last: numbers.end - 1,
            remaining,
            subset: 0,
            object: None,
            attempts: 0,
            crashes: 0,
            since: 0,
            condemned: Vec::new(),
            given_up: Vec::new(),
            trying: None,
            vouched: false,
            behind: Vec::new(),
        };
        Lane::from_plan(plan, now)
    }

    /// A range that is given up without being tried.
    pub(crate) fn lost(numbers: Range<u64>, reason: DropReason, now: Instant) -> Self {
        let mut lane = Lane::new(numbers.clone(), now);
        lane.give_up(&NumberRanges::of(numbers), reason);
        lane
    }

    /// A batch that the ledger kept. What was being tried when the program ended counts as a crash: that is how a batch that kills the
    /// process is found.
    pub(crate) fn restored(plan: Plan, now: Instant) -> Self {
        let mut lane = Lane::from_plan(plan, now);
        lane.planned = true;
        if let Some(trying) = &lane.plan.trying {
            let left = lane.plan.remaining.without(&lane.plan.remaining.without(trying));
            let again = left == *trying;
            let crashes = if again { lane.plan.crashes } else { 0 };
            let mut suspicion = Suspicion::resume(&lane.plan.remaining, &left, lane.plan.vouched && again, crashes.saturating_sub(1));
            if crashes > 0
                && let Finding::Guilty(number) = suspicion.failed(&left, Failure::Crashed)
            {
                lane.suspicion = Some(suspicion);
                lane.condemn(number, format!("the program ended {crashes} times while it was being delivered"));
                return lane;
            }
            lane.suspicion = Some(suspicion);
        } else if lane.plan.crashes >= CRASHES {
            lane.suspect();
        }
        lane
    }

    fn from_plan(plan: Plan, now: Instant) -> Self {
        Lane {
            plan,
            planned: false,
            failures: 0,
            probes: 0,
            due: now,
            flight: None,
            suspicion: None,
            stuck: false,
            parked: false,
            witness_for: None,
            held_up: false,
            names_taken: 0,
            lines: None,
        }
    }

    /// The number that names it: no other lane has it.
    pub(crate) fn first(&self) -> u64 {
        self.plan.first
    }

    /// The number after its last.
    pub(crate) fn end(&self) -> u64 {
        self.plan.last + 1
    }

    /// Whether every event of it is settled.
    pub(crate) fn is_done(&self) -> bool {
        self.plan.remaining.none()
    }

    /// What to try next of it.
    pub(crate) fn step(&self) -> Step {
        match self.suspicion.as_ref().map(Suspicion::next) {
            Some(step) if step != Step::Clear => step,
            _ if self.is_done() => Step::Clear,
            _ => Step::Try(self.plan.remaining.clone()),
        }
    }

    /// Makes `piece` the set that the next attempt's id names: another set never has the same id, and gets another object.
    pub(crate) fn name_set(&mut self, piece: &NumberRanges) {
        let named = self.plan.trying.as_ref().unwrap_or(&self.plan.remaining);
        let restored_whole = self.suspicion.is_none() && self.plan.trying.is_some();
        if named != piece || restored_whole {
            self.plan.subset += 1;
            self.plan.object = None;
            self.plan.crashes = 0;
            self.lines = None;
        }
        self.plan.trying = self.suspicion.is_some().then(|| piece.clone());
        self.plan.vouched = self.suspicion.as_ref().is_some_and(Suspicion::is_vouched);
    }

    /// These events are settled: delivered, or named guilty.
    pub(crate) fn settle(&mut self, gone: &NumberRanges) {
        let left = self.plan.remaining.without(gone);
        if left == self.plan.remaining {
            return;
        }
        self.plan.remaining = left;
        if let Some(suspicion) = &mut self.suspicion {
            suspicion.remove(gone);
        } else if !self.is_done() {
            self.plan.subset += 1;
            self.plan.object = None;
        }
        self.lines = None;
    }

    /// A partial failure: `gone` are settled, the guilty among them are condemned. What is left is one new subset.
    pub(crate) fn settle_part(&mut self, gone: &NumberRanges, guilty: Vec<(u64, String)>) {
        self.settle(gone);
        self.plan.condemned.extend(guilty);
    }

    /// An event is guilty: it goes to the dead letters when the cursor passes it.
    pub(crate) fn condemn(&mut self, number: u64, reason: String) {
        self.settle(&NumberRanges::of(number..number + 1));
        self.plan.condemned.push((number, reason));
    }

    /// These events are given up; those of them that were not settled are counted when the cursor passes them.
    pub(crate) fn give_up(&mut self, numbers: &NumberRanges, reason: DropReason) {
        let lost = self.plan.remaining.without(&self.plan.remaining.without(numbers));
        self.settle(&lost);
        self.plan.given_up.extend(lost.0.into_iter().map(|range| (range, reason)));
    }

    /// The batch failed as a whole: the search for the guilty begins.
    pub(crate) fn suspect(&mut self) {
        self.plan.crashes = 0;
        self.failures = 0;
        self.suspicion = Some(Suspicion::begin(&self.plan.remaining));
        // What the suspects' first piece is compared with: the set that failed.
        self.plan.trying = Some(self.plan.remaining.clone());
    }

    /// These were named and nothing was delivered beside them: they are judged alone once something is.
    pub(crate) fn set_aside(&mut self, numbers: &[u64]) {
        let suspicion = self.suspects();
        numbers.iter().for_each(|&number| suspicion.set_aside(number));
    }

    /// These would be condemned, but poison is no longer rare: nothing more is before one of the suspects is delivered.
    pub(crate) fn refuse(&mut self, numbers: &[u64]) {
        let suspicion = self.suspects();
        for &number in numbers {
            suspicion.remove(&NumberRanges::of(number..number + 1));
            suspicion.refuse(number);
        }
    }

    fn suspects(&mut self) -> &mut Suspicion {
        let remaining = &self.plan.remaining;
        self.suspicion.get_or_insert_with(|| Suspicion::resume(remaining, &NumberRanges::default(), false, 0))
    }

    /// Another implementation took over: attempts start anew, the id stays.
    pub(crate) fn start_anew(&mut self, now: Instant) {
        if self.suspicion.take().is_none() {
            self.plan.trying = None;
        }
        self.plan.attempts = 0;
        self.plan.crashes = 0;
        self.failures = 0;
        self.probes = 0;
        self.names_taken = 0;
        self.stuck = false;
        self.held_up = false;
        self.due = now;
    }
}
