//! The collector's decoding: a request's body to canonical JSON lines. No HTTP here.

mod drops;
mod error;
mod limits;

pub use drops::{DropCause, Dropped, Drops};
pub use error::CollectError;
pub use limits::CollectLimits;

/// A decoded request.
#[derive(Clone, Debug, Default)]
pub struct Collected {
    /// The length of the request's `events`, dropped ones included: upstream's `ingestedContentCount`.
    pub ingested: u64,
    /// The accepted feature events.
    pub feature: Lines,
    /// The accepted tracking events.
    pub tracking: Lines,
    /// What was not accepted.
    pub dropped: Drops,
    /// Events whose `creationDate` was not in seconds and was cut to its first ten digits.
    pub normalised_dates: u64,
}

/// Canonical JSON lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// Whole lines, each ended by `\n`.
    pub bytes: Vec<u8>,
    /// How many.
    pub count: u32,
}

/// Decodes the body of `POST /v1/data/collector`, already inflated.
pub fn decode(body: &[u8], limits: &CollectLimits) -> Result<Collected, CollectError> {
    let _ = (body, limits);
    todo!()
}
