//! Taking a partial failure apart: indices of a batch into event numbers.

use std::collections::BTreeSet;

use flagpost_exporter::RejectedEvent;
use flagpost_spool::NumberRanges;

use crate::ranges::Numbers;

/// A partial failure in event numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    /// Safe at the destination.
    pub(crate) delivered: NumberRanges,
    /// Named guilty, and why.
    pub(crate) guilty: Vec<(u64, String)>,
}

/// Takes a partial failure of `piece` apart. Indices that name no event, or one event twice, are a defect of the exporter; nothing it
/// says about this batch can be believed then. The error says which.
pub(crate) fn take_apart(piece: &NumberRanges, retry: &[u32], rejected: Vec<RejectedEvent>) -> Result<Parts, String> {
    let numbers: Vec<u64> = piece.each().collect();
    let mut named = BTreeSet::new();
    for &index in retry.iter().chain(rejected.iter().map(|event| &event.index)) {
        if index as usize >= numbers.len() {
            return Err(format!("the exporter named event {index} of a batch of {} (indices count from 0)", numbers.len()));
        }
        if !named.insert(index as usize) {
            return Err(format!("the exporter named event {index} twice in one partial failure"));
        }
    }
    let untouched = numbers.iter().enumerate().filter(|(index, _)| !named.contains(index));
    let mut guilty: Vec<(u64, String)> = rejected.into_iter().map(|event| (numbers[event.index as usize], event.reason)).collect();
    guilty.sort_by_key(|(number, _)| *number);
    Ok(Parts { delivered: NumberRanges::collect_from(untouched.map(|(_, &number)| number)), guilty })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::single_range_in_vec_init)]

    use super::*;

    fn rejected(indices: &[u32]) -> Vec<RejectedEvent> {
        indices.iter().map(|&index| RejectedEvent { index, reason: format!("bad {index}") }).collect()
    }

    #[test]
    fn indices_become_the_numbers_of_a_batch_with_holes() {
        let piece = NumberRanges(vec![10..12, 20..23]);
        let parts = take_apart(&piece, &[3, 0], rejected(&[4])).unwrap();
        assert_eq!(parts.delivered, NumberRanges(vec![11..12, 20..21]));
        assert_eq!(parts.guilty, [(22, "bad 4".to_owned())]);
    }

    #[test]
    fn indices_that_name_no_event_or_one_twice_are_the_exporters_defect() {
        let piece = NumberRanges(vec![1..4]);
        for (retry, guilty, word) in [
            (&[3][..], &[][..], "named event 3"),
            (&[][..], &[u32::MAX][..], "named event 4294967295"),
            (&[1, 1][..], &[][..], "twice"),
            (&[][..], &[2, 2][..], "twice"),
            (&[0][..], &[0][..], "twice"),
        ] {
            let error = take_apart(&piece, retry, rejected(guilty)).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn naming_nothing_means_that_all_were_delivered() {
        let piece = NumberRanges(vec![1..4]);
        let parts = take_apart(&piece, &[], Vec::new()).unwrap();
        assert_eq!((parts.delivered, parts.guilty), (piece, Vec::new()));
    }
}
