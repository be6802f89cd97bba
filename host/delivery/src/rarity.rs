//! Poison must be rare: how many of the last events were condemned.

use std::collections::VecDeque;

/// Events that are looked back at.
const WINDOW: u64 = 10_000;
/// This many may always be condemned within the window; above it, one in a hundred.
const ALWAYS: u64 = 10;
/// Precision of the window: a hundredth.
const BUCKET: u64 = WINDOW / 100;

/// A sliding window over the last settled events, in steps of a hundredth.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rarity {
    buckets: VecDeque<(u64, u64)>,
}

impl Rarity {
    /// Events were delivered.
    pub(crate) fn delivered(&mut self, mut count: u64) {
        if count >= WINDOW {
            self.buckets.clear();
            count = WINDOW;
        }
        while count > 0 {
            let room = match self.buckets.back() {
                Some(&(settled, _)) if settled < BUCKET => BUCKET - settled,
                _ => {
                    self.buckets.push_back((0, 0));
                    BUCKET
                }
            };
            let taken = room.min(count);
            if let Some((settled, _)) = self.buckets.back_mut() {
                *settled += taken;
            }
            count -= taken;
        }
        while self.buckets.len() as u64 > WINDOW / BUCKET {
            self.buckets.pop_front();
        }
    }

    /// Whether one more may be condemned; if so it is counted.
    pub(crate) fn condemn(&mut self) -> bool {
        let (settled, condemned) = self.buckets.iter().fold((0, 0), |(settled, condemned), (s, c)| (settled + s, condemned + c));
        if condemned + 1 > ALWAYS.max((settled + 1) / 100) {
            return false;
        }
        self.delivered(1);
        if let Some((_, condemned)) = self.buckets.back_mut() {
            *condemned += 1;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condemned_of(rarity: &mut Rarity, tries: u64) -> u64 {
        (0..tries).filter(|_| rarity.condemn()).count() as u64
    }

    #[test]
    fn ten_may_be_condemned_before_anything_is_known() {
        assert_eq!(condemned_of(&mut Rarity::default(), 50), 10);
    }

    #[test]
    fn one_in_a_hundred_of_the_last_ten_thousand_may_be_condemned() {
        let mut rarity = Rarity::default();
        rarity.delivered(5_000);
        assert_eq!(condemned_of(&mut rarity, 500), 50);
        rarity.delivered(1_000_000);
        assert_eq!(condemned_of(&mut rarity, 500), 100);
    }

    #[test]
    fn what_is_long_ago_is_forgotten() {
        let mut rarity = Rarity::default();
        assert_eq!(condemned_of(&mut rarity, 50), 10);
        for _ in 0..200 {
            rarity.delivered(100);
        }
        assert!(rarity.condemn());
    }
}
