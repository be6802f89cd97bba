//! Budgets as rules over numbers: what has to be given up so that nothing waits for ever.

use std::ops::Range;

use flagpost_spool::StreamId;

/// One consumer as the store's budget sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) stream: StreamId,
    /// The first event that it still needs.
    pub(crate) cursor: u64,
    /// Whether it may be told to give up events. One that blocks is not: the collector refuses its events instead.
    pub(crate) may_drop: bool,
}

/// A segment: its bytes, and what it holds.
pub(crate) type Segment<'a> = (u64, &'a [(StreamId, Range<u64>)]);

/// What each holder has to give up (all below the number) so that the oldest segments go and at most `max` of the `held` bytes stay.
///
/// The oldest segments first, whoever needs them. The newest one stays: it is being written. A segment that a blocking holder needs stays
/// too.
pub(crate) fn store_targets(holders: &[Holder], segments: &[Segment<'_>], held: u64, max: u64) -> Vec<Option<u64>> {
    let mut targets = vec![None; holders.len()];
    let mut held = held;
    let Some((_newest, oldest)) = segments.split_last() else { return targets };
    for (bytes, holds) in oldest {
        if held <= max {
            break;
        }
        let needs = |holder: &Holder| holds.iter().find(|(stream, range)| *stream == holder.stream && range.end > holder.cursor);
        if holders.iter().any(|holder| !holder.may_drop && needs(holder).is_some()) {
            continue;
        }
        for (holder, target) in holders.iter().zip(&mut targets) {
            if let Some((_, range)) = needs(holder) {
                *target = Some(range.end.max(target.unwrap_or(0)));
            }
        }
        held = held.saturating_sub(*bytes);
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: StreamId = StreamId(0);
    const B: StreamId = StreamId(1);

    fn holder(stream: StreamId, cursor: u64, may_drop: bool) -> Holder {
        Holder { stream, cursor, may_drop }
    }

    #[test]
    fn the_oldest_segments_go_first_and_only_as_many_as_needed() {
        let holds = [vec![(A, 1..10)], vec![(A, 10..20), (B, 1..5)], vec![(B, 5..9)], vec![(A, 20..30)]];
        let segments: Vec<_> = holds.iter().map(|holds| (100, holds.as_slice())).collect();
        type Case<'a> = (&'a [Holder], u64, &'a [Option<u64>]);
        let cases: [Case<'_>; 6] = [
            (&[holder(A, 1, true), holder(B, 1, true)], 400, &[None, None]),
            (&[holder(A, 1, true), holder(B, 1, true)], 399, &[Some(10), None]),
            (&[holder(A, 1, true), holder(B, 1, true)], 200, &[Some(20), Some(5)]),
            (&[holder(A, 15, true), holder(B, 9, true)], 200, &[Some(20), None]),
            (&[holder(A, 1, true), holder(B, 1, true)], 0, &[Some(20), Some(9)]),
            (&[holder(A, 1, true), holder(B, 1, false)], 200, &[Some(10), None]),
        ];
        for (holders, max, expected) in cases {
            assert_eq!(store_targets(holders, &segments, 400, max), expected, "{max}");
        }
    }
}
