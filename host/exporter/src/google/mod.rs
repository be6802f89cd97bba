//! What the kinds that talk to Google Cloud have in common.
//!
//! * **Where, and as whom** (`access.rs`): the service's own address or the key `endpoint`, an emulator that the environment names
//!   (`PUBSUB_EMULATOR_HOST`, …), or a plain `http://` address. Credentials come from a file, from text, or from where Google's libraries
//!   look by default (`credentials.rs`). Emulators get none.
//! * **An end** (`policy.rs`): Google's libraries try again for minutes or for ever, in the middle of a call. Delivery tries again by itself, with its
//!   own pauses, counters and alarms; so a call here is short, and what goes wrong comes out.
//! * **What replies mean** (`outcome.rs`), as data: gRPC codes, HTTP codes, and what the library met before either.
//! * **Clients are made late** (`lazy.rs`): building an exporter opens no connection and reads no credentials. A client that failed for want of good
//!   credentials is thrown away, so that a file that was replaced is read again.

mod access;
mod credentials;
mod lazy;
mod outcome;
mod policy;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod scripted;

pub(crate) use access::{Access, AccessKeys};
pub(crate) use credentials::Source;
pub(crate) use lazy::Lazy;
pub(crate) use outcome::{Advice, Meaning, Verdict, judge, probe_error};
#[cfg(feature = "bigquery")]
pub(crate) use outcome::{chain, one_line};
#[cfg(any(feature = "bigquery", feature = "googlestorage"))]
pub(crate) use outcome::{judge_credentials, judge_reply};
pub(crate) use policy::{attempts, backoff, within};
