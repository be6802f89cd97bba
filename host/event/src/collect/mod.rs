//! The collector's decoding: the body of a request to canonical JSON lines. No HTTP here.
//!
//! Upstream decodes a body into generic maps and each map into a struct. Clients and operators see three layers of that, and so they are
//! kept apart here too:
//!
//! * the request (`request`): not JSON, or JSON of another shape, refuses everything, in Go's words;
//! * the event (`field`, `encode`): a wrong type refuses that event alone, since clients send a refused request again for ever;
//! * the values (`json`): brought into canonical form while they are read.
//!
//! Each byte is read once, except in arrays and objects that have to be sorted and in requests that are refused. Scalars are copied from
//! the body to the line. Hostile bodies meet a bound everywhere: nesting, number of events, size of one event, and the encoded size, since
//! `meta` is copied onto each feature event.
//!
//! Knowingly different from upstream: integers of 64 bits stay exact; a number beyond a float's range drops its event (upstream refuses the
//! request); of two spellings of one name in one event the same one wins always (upstream: at random).
//!
//! A body of `POST /v1/data/exported` comes from upstream's `webhook` exporter: its events went through these rules once and are final. It is
//! read by the same code with the rules switched off ([`decode_exported`]), so its limits are the same and its lines come out byte for byte.

mod drops;
mod encode;
mod error;
mod field;
mod limits;
mod request;

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
///
/// # Errors
/// A body without `events`, that is not JSON or not of a request's shape, or over a limit. One bad event is not an error: see
/// [`Collected::dropped`].
pub fn decode(body: &[u8], limits: &CollectLimits) -> Result<Collected, CollectError> {
    if body.is_empty() {
        return Err(CollectError::NoEvents);
    }
    request::Request::new(body, limits, Rules::Clients).read()
}

/// Decodes the body of `POST /v1/data/exported`, already inflated: what upstream's `webhook` exporter sends, `{"meta":{…},"events":[…]}`.
///
/// The events are final: metadata, source and date stay as they are, and the body's `meta` is ignored. It always names the sender's host and
/// would replace the metadata of every event.
///
/// # Errors
/// As for [`decode`].
pub fn decode_exported(body: &[u8], limits: &CollectLimits) -> Result<Collected, CollectError> {
    if body.is_empty() {
        return Err(CollectError::NoEvents);
    }
    request::Request::new(body, limits, Rules::Final).read()
}

/// What is done to events beyond reading them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rules {
    /// Upstream's rules for what clients send.
    Clients,
    /// Nothing: they were applied before.
    Final,
}
