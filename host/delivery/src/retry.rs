//! How long to wait before a batch comes again: exponential, with full jitter, never shorter than the destination asks for.

use std::time::Duration;

use rand::RngExt;

use crate::RetryPolicy;

/// A destination that asks for more is asked again after this: a wrong header must not silence an exporter for days.
pub(crate) const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// The longest pause of an exporter that waits for its operator; DESIGN's five minutes.
pub(crate) const MAX_PROBE_PAUSE: Duration = Duration::from_secs(300);

/// The longest pause before the attempt that follows `failures` failures in a row (from 1).
pub(crate) fn ceiling(initial: Duration, max: Duration, failures: u32) -> Duration {
    let doubled = 1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    initial.saturating_mul(doubled).min(max)
}

/// The pause before the attempt that follows `failures` failures in a row: uniform between zero and the ceiling.
pub(crate) fn pause(policy: &RetryPolicy, failures: u32, after: Option<Duration>, random: &mut impl RngExt) -> Duration {
    let jittered = jitter(ceiling(policy.initial, policy.max, failures), random);
    jittered.max(after.unwrap_or_default().min(MAX_RETRY_AFTER))
}

/// The pause before the next probe of an exporter that waits for its operator: between half and all of the ceiling, so that a probe
/// never comes at once.
pub(crate) fn probe_pause(policy: &RetryPolicy, failures: u32, random: &mut impl RngExt) -> Duration {
    let half = ceiling(policy.initial, MAX_PROBE_PAUSE, failures) / 2;
    half + jitter(half, random)
}

fn jitter(ceiling: Duration, random: &mut impl RngExt) -> Duration {
    let nanos = u64::try_from(ceiling.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(random.random_range(0..=nanos))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_the_maximum() {
        let (initial, max) = (Duration::from_millis(500), Duration::from_secs(60));
        let cases = [(1, 500), (2, 1_000), (3, 2_000), (7, 32_000), (8, 60_000), (33, 60_000), (u32::MAX, 60_000)];
        for (failures, millis) in cases {
            assert_eq!(ceiling(initial, max, failures), Duration::from_millis(millis), "{failures}");
        }
    }

    #[test]
    fn pauses_spread_over_the_whole_range_and_repeat_with_the_seed() {
        let policy = RetryPolicy::default();
        let draw = |seed| {
            let mut random = StdRng::seed_from_u64(seed);
            (0..200).map(|_| pause(&policy, 3, None, &mut random)).collect::<Vec<_>>()
        };
        let pauses = draw(1);
        assert_eq!(pauses, draw(1));
        assert_ne!(pauses, draw(2));
        assert!(pauses.iter().all(|pause| *pause <= Duration::from_secs(2)));
        assert!(pauses.iter().any(|pause| *pause < Duration::from_millis(200)));
        assert!(pauses.iter().any(|pause| *pause > Duration::from_millis(1_800)));
    }

    #[test]
    fn the_destination_is_waited_for_but_not_for_ever() {
        let mut random = StdRng::seed_from_u64(1);
        let policy = RetryPolicy::default();
        assert!(pause(&policy, 1, Some(Duration::from_secs(30)), &mut random) >= Duration::from_secs(30));
        assert_eq!(pause(&policy, 1, Some(Duration::from_secs(1 << 40)), &mut random), MAX_RETRY_AFTER);
    }

    #[test]
    fn probes_slow_down_to_five_minutes() {
        let mut random = StdRng::seed_from_u64(1);
        let pause = probe_pause(&RetryPolicy::default(), 40, &mut random);
        assert!(pause >= MAX_PROBE_PAUSE / 2 && pause <= MAX_PROBE_PAUSE);
        assert!(probe_pause(&RetryPolicy::default(), 1, &mut random) >= Duration::from_millis(250));
    }
}
