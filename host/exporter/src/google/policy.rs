//! How long a call may take.

use std::time::Duration;

use google_cloud_gax::backoff_policy::BackoffPolicyArg;
use google_cloud_gax::exponential_backoff::ExponentialBackoffBuilder;
use google_cloud_gax::retry_policy::{Aip194Strict, RetryPolicyArg, RetryPolicyExt};

use super::Verdict;

/// How often the library may try by itself: once more, for a connection that the other side had closed in between.
const MOST_ATTEMPTS: u32 = 2;

/// Pauses of the library's own.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// When the library tries again: what failed before it was sent, or may be repeated, once more and within `limit`. It is also how long the library
/// waits for an answer. Everything else is delivery's matter.
pub(crate) fn attempts(limit: Duration) -> RetryPolicyArg {
    Aip194Strict.with_attempt_limit(MOST_ATTEMPTS).with_time_limit(limit).into()
}

/// The pauses between them.
pub(crate) fn backoff() -> BackoffPolicyArg {
    ExponentialBackoffBuilder::new().with_initial_delay(PAUSE).with_maximum_delay(LONGEST_PAUSE).clamp().into()
}

/// The call's result, or that it took longer than `limit`. The library's own limits do not count everything: neither waiting for a token nor for a
/// connection.
pub(crate) async fn within<T>(limit: Duration, what: &str, call: impl Future<Output = Result<T, Verdict>>) -> Result<T, Verdict> {
    match tokio::time::timeout(limit, call).await {
        Ok(result) => result,
        Err(_) => Err(Verdict::passing(format!("{what}: no answer within {} s", limit.as_secs_f32()))),
    }
}
