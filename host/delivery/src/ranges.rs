//! Sets of event numbers: what delivery needs of [`NumberRanges`].

use std::ops::Range;

use flagpost_spool::NumberRanges;

/// Set operations. All results are sorted, disjoint and free of empty ranges, as [`NumberRanges`] promises.
pub(crate) trait Numbers: Sized {
    /// The numbers of one range.
    fn of(range: Range<u64>) -> Self;
    /// How many numbers.
    fn count(&self) -> u64;
    /// Whether there are none.
    fn none(&self) -> bool;
    /// The lowest.
    fn lowest(&self) -> Option<u64>;
    /// The highest.
    fn highest(&self) -> Option<u64>;
    /// Whether `number` is among them.
    #[cfg(test)]
    fn holds(&self, number: u64) -> bool;
    /// The number at `place`, from 0.
    fn nth(&self, place: u64) -> Option<u64>;
    /// All numbers, in order.
    fn each(&self) -> impl Iterator<Item = u64>;
    /// Those that are not in `other`.
    fn without(&self, other: &Self) -> Self;
    /// Those below `number`.
    fn below(&self, number: u64) -> Self;
    /// Those from `number` on.
    fn from(&self, number: u64) -> Self;
    /// The first `count` and the others.
    fn split(&self, count: u64) -> (Self, Self);
    /// These numbers, which rise.
    fn collect_from(numbers: impl IntoIterator<Item = u64>) -> Self;
}

impl Numbers for NumberRanges {
    fn of(range: Range<u64>) -> Self {
        NumberRanges(if range.is_empty() { Vec::new() } else { vec![range] })
    }

    fn count(&self) -> u64 {
        self.0.iter().map(|range| range.end - range.start).sum()
    }

    fn none(&self) -> bool {
        self.0.is_empty()
    }

    fn lowest(&self) -> Option<u64> {
        self.0.first().map(|range| range.start)
    }

    fn highest(&self) -> Option<u64> {
        self.0.last().map(|range| range.end - 1)
    }

    #[cfg(test)]
    fn holds(&self, number: u64) -> bool {
        self.0.iter().any(|range| range.contains(&number))
    }

    fn nth(&self, mut place: u64) -> Option<u64> {
        for range in &self.0 {
            let count = range.end - range.start;
            if place < count {
                return Some(range.start + place);
            }
            place -= count;
        }
        None
    }

    fn each(&self) -> impl Iterator<Item = u64> {
        self.0.iter().cloned().flatten()
    }

    fn without(&self, other: &Self) -> Self {
        let mut kept = Vec::with_capacity(self.0.len());
        let mut holes = other.0.iter().peekable();
        for range in &self.0 {
            let mut start = range.start;
            while let Some(hole) = holes.peek() {
                if hole.end <= start {
                    holes.next();
                    continue;
                }
                if hole.start >= range.end {
                    break;
                }
                if start < hole.start {
                    kept.push(start..hole.start);
                }
                start = hole.end;
                if hole.end >= range.end {
                    break;
                }
            }
            if start < range.end {
                kept.push(start..range.end);
            }
        }
        NumberRanges(kept)
    }

    fn below(&self, number: u64) -> Self {
        let clipped = self.0.iter().map(|range| range.start..range.end.min(number));
        NumberRanges(clipped.filter(|range| !range.is_empty()).collect())
    }

    fn from(&self, number: u64) -> Self {
        let clipped = self.0.iter().map(|range| range.start.max(number)..range.end);
        NumberRanges(clipped.filter(|range| !range.is_empty()).collect())
    }

    fn split(&self, count: u64) -> (Self, Self) {
        match self.nth(count) {
            Some(number) => (self.below(number), self.from(number)),
            None => (self.clone(), NumberRanges::default()),
        }
    }

    fn collect_from(numbers: impl IntoIterator<Item = u64>) -> Self {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for number in numbers {
            match ranges.last_mut() {
                Some(range) if range.end == number => range.end += 1,
                _ => ranges.push(number..number + 1),
            }
        }
        NumberRanges(ranges)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn set(numbers: &BTreeSet<u64>) -> NumberRanges {
        NumberRanges::collect_from(numbers.iter().copied())
    }

    proptest! {
        #[test]
        fn operations_agree_with_a_plain_set(
            a in proptest::collection::btree_set(0u64..60, 0..40),
            b in proptest::collection::btree_set(0u64..60, 0..40),
            n in 0u64..64,
        ) {
            let (ra, rb) = (set(&a), set(&b));
            prop_assert_eq!(ra.count(), a.len() as u64);
            prop_assert_eq!(ra.lowest(), a.first().copied());
            prop_assert_eq!(ra.highest(), a.last().copied());
            prop_assert_eq!(ra.holds(n), a.contains(&n));
            prop_assert_eq!(ra.nth(n), a.iter().nth(n as usize).copied());
            prop_assert_eq!(ra.each().collect::<BTreeSet<_>>(), a.clone());
            prop_assert_eq!(ra.without(&rb), set(&a.difference(&b).copied().collect()));
            prop_assert_eq!(ra.below(n), set(&a.range(..n).copied().collect()));
            prop_assert_eq!(Numbers::from(&ra, n), set(&a.range(n..).copied().collect()));
            let (head, tail) = ra.split(n);
            prop_assert_eq!(head.count(), n.min(a.len() as u64));
            prop_assert_eq!(head.each().chain(tail.each()).collect::<Vec<_>>(), a.into_iter().collect::<Vec<_>>());
        }
    }
}
