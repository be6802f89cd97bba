//! All batches under way of one consumer, and where its cursor stands.
//!
//! Usually there is one lane. An unordered exporter has several; a parked event has lanes behind it that were delivered already. Whatever
//! lies between the base and the head and in no lane is waiting to be cut.

use std::collections::BTreeMap;
use std::ops::Range;

use flagpost_spool::{DropReason, Plan};
use tokio::time::Instant;

use crate::lane::Lane;
use crate::ranges::Numbers;

/// Lanes in the order of their numbers, disjoint, none below the base.
#[derive(Clone, Debug)]
pub(crate) struct Lanes {
    base: u64,
    list: Vec<Lane>,
}

/// What the cursor passes when it moves to where everything below is settled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Passed {
    pub(crate) cursor: u64,
    pub(crate) condemned: Vec<Condemned>,
    pub(crate) dropped: BTreeMap<DropReason, u64>,
}

/// One condemned event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condemned {
    pub(crate) number: u64,
    /// The batch that it was cut in.
    pub(crate) batch: Range<u64>,
    pub(crate) reason: String,
    pub(crate) attempts: u32,
    pub(crate) since: u64,
}

impl Lanes {
    /// What the ledger kept: a cursor and the batches under way.
    pub(crate) fn restore(cursor: u64, plan: Option<Plan>, now: Instant) -> Self {
        let mut lanes = Lanes { base: cursor, list: Vec::new() };
        let Some(mut first) = plan else { return lanes };
        let behind = std::mem::take(&mut first.behind);
        for mut plan in std::iter::once(first).chain(behind) {
            plan.remaining = Numbers::from(&plan.remaining, cursor);
            if plan.last >= cursor {
                lanes.insert(Lane::restored(plan, now));
            }
        }
        lanes
    }

    /// The first event that is not settled.
    pub(crate) fn position(&self) -> u64 {
        let mut position = self.base;
        for lane in &self.list {
            if lane.first() > position {
                break;
            }
            if let Some(lowest) = lane.plan.remaining.lowest() {
                return lowest;
            }
            position = position.max(lane.end());
        }
        position
    }

    /// The lowest number that is in no lane, and where the next lane begins, if one is behind it.
    pub(crate) fn gap(&self) -> (u64, Option<u64>) {
        let mut from = self.base;
        for lane in &self.list {
            if lane.first() > from {
                return (from, Some(lane.first()));
            }
            from = from.max(lane.end());
        }
        (from, None)
    }

    /// The number in no lane that has `skip` such numbers before it, or the last one below `head`.
    pub(crate) fn uncovered(&self, skip: u64, head: u64) -> Option<u64> {
        let starts = self.list.iter().map(Lane::first).chain([head]);
        let ends = std::iter::once(self.base).chain(self.list.iter().map(|lane| lane.end().max(self.base)));
        let mut skip = skip;
        let mut last = None;
        for (from, until) in ends.zip(starts.map(|start| start.min(head))).filter(|(from, until)| from < until) {
            if skip < until - from {
                return Some(from + skip);
            }
            skip -= until - from;
            last = Some(until - 1);
        }
        last
    }

    /// Where the lane behind `number` begins.
    pub(crate) fn next_behind(&self, number: u64) -> Option<u64> {
        self.list.iter().map(Lane::first).find(|&first| first > number)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Lane> {
        self.list.iter_mut()
    }

    /// Lanes with something left to deliver.
    pub(crate) fn open(&self) -> impl Iterator<Item = &Lane> {
        self.list.iter().filter(|lane| !lane.is_done())
    }

    pub(crate) fn get(&self, first: u64) -> Option<&Lane> {
        self.list.iter().find(|lane| lane.first() == first)
    }

    pub(crate) fn get_mut(&mut self, first: u64) -> Option<&mut Lane> {
        self.list.iter_mut().find(|lane| lane.first() == first)
    }

    pub(crate) fn insert(&mut self, lane: Lane) {
        let at = self.list.partition_point(|other| other.first() < lane.first());
        debug_assert!(self.list.get(at).is_none_or(|next| next.first() >= lane.end()), "lanes are disjoint");
        self.list.insert(at, lane);
    }

    /// Puts a lane's events back in order: they will be cut again.
    pub(crate) fn remove(&mut self, first: u64) {
        self.list.retain(|lane| lane.first() != first);
    }

    /// Gives up every event below `target` that is not in an attempt. Returns the attempts that are in the way, by their lanes.
    pub(crate) fn give_up_below(&mut self, target: u64, reason: DropReason, now: Instant) -> Vec<u64> {
        let mut in_the_way = Vec::new();
        for lane in self.list.iter_mut().filter(|lane| lane.first() < target && !lane.is_done()) {
            if lane.flight.is_some() {
                in_the_way.push(lane.first());
            } else {
                lane.give_up(&lane.plan.remaining.below(target), reason);
            }
        }
        loop {
            let (from, until) = self.gap();
            let end = until.unwrap_or(target).min(target);
            if from >= end {
                return in_the_way;
            }
            self.insert(Lane::lost(from..end, reason, now));
        }
    }

    /// What the cursor passes now.
    pub(crate) fn passed(&self) -> Passed {
        let cursor = self.position();
        let mut passed = Passed { cursor, ..Passed::default() };
        for lane in self.list.iter().filter(|lane| lane.first() < cursor) {
            let Plan { attempts, since, .. } = lane.plan;
            for (number, reason) in lane.plan.condemned.iter().filter(|(number, _)| *number < cursor) {
                let batch = lane.first()..lane.end();
                passed.condemned.push(Condemned { number: *number, batch, reason: reason.clone(), attempts, since });
            }
            for (range, reason) in &lane.plan.given_up {
                let count = range.end.min(cursor).saturating_sub(range.start);
                if count > 0 {
                    *passed.dropped.entry(*reason).or_default() += count;
                }
            }
        }
        passed.condemned.sort_by_key(|condemned| condemned.number);
        passed
    }

    /// The ledger took the cursor over.
    pub(crate) fn pass(&mut self, cursor: u64) {
        self.base = self.base.max(cursor);
        self.list.retain(|lane| lane.end() > cursor);
        for lane in &mut self.list {
            pass_plan(&mut lane.plan, cursor);
        }
        self.merge_done();
    }

    /// What the ledger is to keep when the cursor is at `cursor`: nothing, as long as no lane needs a plan.
    pub(crate) fn to_plan(&self, cursor: u64) -> Option<Plan> {
        if !self.open().any(|lane| lane.planned) {
            return None;
        }
        let kept = self.list.iter().filter(|lane| lane.end() > cursor && (lane.planned || lane.is_done()));
        let mut plans = kept.map(|lane| {
            let mut plan = lane.plan.clone();
            pass_plan(&mut plan, cursor);
            // Until its outcome is known an attempt counts as a crash: the process may die of it.
            plan.crashes += u32::from(lane.flight.is_some());
            plan
        });
        let mut first = plans.next()?;
        first.behind = plans.collect();
        Some(first)
    }

    /// Neighbours that are settled become one, so that an event that is parked for long does not cost memory for each one behind it.
    fn merge_done(&mut self) {
        let plain = |lane: &Lane| lane.is_done() && lane.plan.condemned.is_empty() && lane.flight.is_none();
        let mut merged: Vec<Lane> = Vec::with_capacity(self.list.len());
        for mut lane in self.list.drain(..) {
            match merged.last_mut() {
                Some(before) if before.end() == lane.first() && plain(before) && plain(&lane) => {
                    before.plan.last = lane.plan.last;
                    before.plan.given_up.append(&mut lane.plan.given_up);
                }
                _ => merged.push(lane),
            }
        }
        self.list = merged;
    }
}

/// Takes out of a plan what was counted when the cursor came to `cursor`.
fn pass_plan(plan: &mut Plan, cursor: u64) {
    plan.condemned.retain(|(number, _)| *number >= cursor);
    for (range, _) in &mut plan.given_up {
        range.start = range.start.max(cursor);
    }
    plan.given_up.retain(|(range, _)| !range.is_empty());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::single_range_in_vec_init)]

    use flagpost_spool::NumberRanges;

    use super::*;

    fn lanes(base: u64, ranges: &[std::ops::Range<u64>]) -> Lanes {
        let mut lanes = Lanes::restore(base, None, Instant::now());
        for range in ranges {
            lanes.insert(Lane::new(range.clone(), Instant::now()));
        }
        lanes
    }

    fn deliver(lanes: &mut Lanes, first: u64) {
        let lane = lanes.get_mut(first).unwrap();
        let all = lane.plan.remaining.clone();
        lane.settle(&all);
    }

    #[tokio::test]
    async fn the_cursor_is_the_end_of_the_contiguous_settled_prefix() {
        let mut lanes = lanes(10, &[10..20, 20..30, 40..50]);
        assert_eq!((lanes.position(), lanes.gap()), (10, (30, Some(40))));
        deliver(&mut lanes, 20);
        assert_eq!(lanes.position(), 10);
        deliver(&mut lanes, 10);
        assert_eq!(lanes.position(), 30);
        lanes.pass(30);
        deliver(&mut lanes, 40);
        assert_eq!((lanes.position(), lanes.gap()), (30, (30, Some(40))));
    }

    #[tokio::test]
    async fn numbers_in_no_lane_are_found_across_gaps() {
        let lanes = lanes(10, &[10..20, 22..30, 40..50]);
        let found: Vec<_> = [0, 1, 2, 11, 12, 14, 15, 1_000].into_iter().map(|skip| lanes.uncovered(skip, 53)).collect();
        assert_eq!(found, [20, 21, 30, 39, 50, 52, 52, 52].map(Some));
        assert_eq!((lanes.uncovered(100, 35), lanes.uncovered(100, 10)), (Some(34), None));
        assert_eq!(Lanes::restore(5, None, Instant::now()).uncovered(3, 5), None);
        assert_eq!((lanes.next_behind(20), lanes.next_behind(50)), (Some(22), None));
    }

    #[tokio::test]
    async fn condemned_and_given_up_events_are_counted_when_the_cursor_passes_them_and_only_once() {
        let mut lanes = lanes(1, &[1..11]);
        let lane = lanes.get_mut(1).unwrap();
        lane.condemn(3, "bad".to_owned());
        lane.give_up(&NumberRanges::of(5..7), DropReason::Damaged);
        assert_eq!(lanes.passed(), Passed { cursor: 1, ..Passed::default() });
        lanes.get_mut(1).unwrap().settle(&NumberRanges::of(1..6));
        let passed = lanes.passed();
        assert_eq!((passed.cursor, passed.condemned.len(), passed.dropped[&DropReason::Damaged]), (7, 1, 2));
        lanes.pass(7);
        assert_eq!(lanes.passed(), Passed { cursor: 7, ..Passed::default() });
    }

    #[tokio::test]
    async fn what_is_given_up_spares_attempts_and_what_is_settled() {
        let mut lanes = lanes(1, &[1..11, 21..31]);
        deliver(&mut lanes, 21);
        let (abort, _) = futures_util::future::AbortHandle::new_pair();
        lanes.get_mut(1).unwrap().flight = Some(crate::lane::Flight { since: Instant::now(), abort, generation: None });
        assert_eq!(lanes.give_up_below(26, DropReason::Backlog, Instant::now()), [1]);
        deliver(&mut lanes, 1);
        let passed = lanes.passed();
        assert_eq!((passed.cursor, passed.dropped[&DropReason::Backlog]), (31, 10));
    }

    #[tokio::test]
    async fn a_plan_read_back_is_the_same_lanes() {
        let mut lanes = lanes(1, &[1..11, 11..21, 21..31]);
        for lane in lanes.iter_mut() {
            lane.planned = true;
        }
        deliver(&mut lanes, 11);
        lanes.get_mut(1).unwrap().settle(&NumberRanges::of(1..4));
        lanes.get_mut(1).unwrap().condemn(5, "bad".to_owned());
        let plan = lanes.to_plan(4);
        let again = Lanes::restore(4, plan.clone(), Instant::now());
        assert_eq!(again.to_plan(4), plan);
        assert_eq!(again.position(), 4);
        assert_eq!(again.gap(), (31, None));
        assert_eq!(plan.unwrap().behind.len(), 2);
    }

    #[tokio::test]
    async fn an_attempt_that_never_came_back_counts_as_a_crash() {
        let mut lanes = lanes(1, &[1..11]);
        let (abort, _) = futures_util::future::AbortHandle::new_pair();
        let lane = lanes.get_mut(1).unwrap();
        lane.planned = true;
        lane.plan.crashes = 2;
        lane.flight = Some(crate::lane::Flight { since: Instant::now(), abort, generation: None });
        let restored = Lanes::restore(1, lanes.to_plan(1), Instant::now());
        assert!(restored.get(1).unwrap().suspicion.is_some());
    }
}
