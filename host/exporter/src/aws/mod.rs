//! What the kinds of Amazon Web Services have in common: who we are there, how a client is made, and what an answer means.
//!
//! # Who we are
//! The SDK's own chain, in its order: environment, profile (`AWS_PROFILE`, the shared files), web identity, a credential process, the
//! container's role, the machine's role (IMDS). `assumeRole` then takes on another role with these.
//!
//! # When
//! Building an exporter connects to nothing and reads nothing. A client is made by the first attempt ([`Lazy`]), and made anew after
//! an answer that an operator has to do something about: the SDK reads the shared files once and keeps what it found, and a corrected file is
//! to heal an exporter without a restart.
//!
//! # Trying again
//! is delivery's business. The SDK makes one more attempt by itself: what it covers is a connection that went stale while nobody used it, and
//! a clock that is wrong (it corrects itself by the first answer).

mod client;
mod config;
mod outcome;
mod spread;
#[cfg(test)]
mod tests;

pub(crate) use client::{Connector, Lazy, Patience};
pub(crate) use config::{AssumeRole, Place, region_of_arn, region_of_host};
pub(crate) use outcome::{Failure, Meaning, Table, Tally, meaning};
pub(crate) use spread::Spread;
