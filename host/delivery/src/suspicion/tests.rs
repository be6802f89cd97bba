#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::rarity::Rarity;

fn all(count: u64) -> NumberRanges {
    NumberRanges::of(1..count + 1)
}

struct Trial {
    delivered: Vec<u64>,
    condemned: BTreeSet<u64>,
    attempts: usize,
    sick: bool,
}

/// Runs a suspicion against an exporter that fails on what `fails` says, with `beyond` deciding about events behind the batch.
fn run(count: u64, failure: Failure, fails: impl Fn(&NumberRanges, usize) -> bool, beyond: Option<bool>, most: usize) -> Trial {
    let mut suspicion = Suspicion::begin(&all(count));
    let mut rarity = Rarity::default();
    rarity.delivered(10_000);
    let mut trial = Trial { delivered: Vec::new(), condemned: BTreeSet::new(), attempts: 0, sick: false };
    while trial.attempts < most {
        let piece = match suspicion.next() {
            Step::Clear => break,
            Step::Try(piece) => piece,
            Step::Beyond(oldest) => match beyond {
                Some(true) => {
                    trial.attempts += 1;
                    suspicion.vouch();
                    continue;
                }
                Some(false) => {
                    trial.attempts += 1;
                    suspicion.beyond_failed();
                    trial.sick = true;
                    continue;
                }
                None => oldest,
            },
        };
        trial.attempts += 1;
        if !fails(&piece, trial.attempts) {
            trial.delivered.extend(piece.each());
            suspicion.delivered(&piece);
            rarity.delivered(piece.count());
            continue;
        }
        match suspicion.failed(&piece, failure) {
            Finding::Guilty(number) if rarity.condemn() => assert!(trial.condemned.insert(number)),
            Finding::Guilty(number) => {
                suspicion.refuse(number);
                trial.sick = true;
            }
            Finding::Sick => trial.sick = true,
            Finding::Search | Finding::Again => {}
        }
    }
    trial
}

#[test]
fn one_poison_among_ten_thousand_is_found_in_few_attempts() {
    for poison in [1, 2, 5_000, 5_001, 9_999, 10_000] {
        for (failure, most) in [(Failure::Rejected, 35), (Failure::Crashed, 37)] {
            let trial = run(10_000, failure, |piece, _| piece.holds(poison), None, 1_000);
            assert_eq!(trial.condemned, BTreeSet::from([poison]));
            assert_eq!(trial.delivered.len(), 9_999);
            assert!(trial.attempts <= most, "{poison}: {}", trial.attempts);
            assert!(!trial.sick);
        }
    }
}

#[test]
fn an_exporter_that_fails_on_everything_is_sick_soon_and_condemns_nothing() {
    for failure in [Failure::Rejected, Failure::Crashed] {
        for count in [1, 2, 3, 31, 32, 33, 100, 5_000] {
            for beyond in [Some(false), None] {
                let trial = run(count, failure, |_, _| true, beyond, 200);
                assert!(trial.condemned.is_empty() && trial.delivered.is_empty());
                assert!(trial.sick || beyond.is_none());
            }
        }
    }
    let mut suspicion = Suspicion::begin(&all(100_000));
    let attempts = (1..200).find(|_| match suspicion.next() {
        Step::Try(piece) => suspicion.failed(&piece, Failure::Crashed) == Finding::Sick,
        _ => false,
    });
    assert!(attempts.unwrap() <= 60);
}

#[test]
fn an_exporter_that_recovers_delivers_all_that_it_refused() {
    let trial = run(500, Failure::Rejected, |_, attempt| attempt < 100, None, 5_000);
    assert!(trial.sick && trial.condemned.is_empty());
    assert_eq!(trial.delivered.len(), 500);
}

#[test]
fn an_exporter_that_falls_sick_during_the_search_condemns_at_most_one_more() {
    for start in 2..40 {
        let trial = run(1_000, Failure::Rejected, |piece, attempt| attempt > start || piece.holds(700), Some(false), 500);
        assert!(trial.condemned.iter().filter(|number| **number != 700).count() <= 1);
    }
}

#[test]
fn a_lone_event_is_condemned_only_when_an_event_behind_it_was_delivered() {
    let guilty = run(1, Failure::Rejected, |_, _| true, Some(true), 10);
    assert_eq!((guilty.condemned.len(), guilty.attempts), (1, 2));
    let sick = run(1, Failure::Rejected, |_, _| true, Some(false), 10);
    assert!(sick.sick && sick.condemned.is_empty());
}

#[test]
fn frequent_poison_is_not_believed() {
    let trial = run(10_000, Failure::Rejected, |piece, _| piece.each().any(|number| number % 20 == 0), None, 30_000);
    assert!(trial.sick);
    assert!(trial.condemned.len() <= 100);
}

#[test]
fn a_restart_goes_on_with_the_piece_that_was_tried() {
    let piece = NumberRanges::of(51..76);
    let suspicion = Suspicion::resume(&all(100), &piece, false, 0);
    let tried: Vec<_> = suspicion.pending.values().map(Numbers::count).collect();
    assert_eq!(tried.iter().sum::<u64>(), 100);
    assert!(suspicion.pending.values().any(|pending| *pending == piece));
}

proptest! {
    #[test]
    fn exactly_rare_poison_is_condemned_and_everything_else_delivered_once(
        count in 2u64..400,
        poison in proptest::collection::btree_set(1u64..400, 0..4),
        crash in proptest::bool::ANY,
    ) {
        let poison: BTreeSet<u64> = poison.into_iter().filter(|number| *number <= count).collect();
        prop_assume!((poison.len() as u64) < count);
        let failure = if crash { Failure::Crashed } else { Failure::Rejected };
        let trial = run(count, failure, |piece, _| poison.iter().any(|number| piece.holds(*number)), Some(true), 5_000);
        prop_assert_eq!(&trial.condemned, &poison);
        let delivered: BTreeSet<u64> = trial.delivered.iter().copied().collect();
        prop_assert_eq!(delivered.len(), trial.delivered.len());
        prop_assert_eq!(delivered.len() as u64, count - poison.len() as u64);
        prop_assert!(delivered.is_disjoint(&poison));
    }
}
