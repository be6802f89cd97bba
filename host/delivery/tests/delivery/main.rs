//! Delivery end to end over a store in memory, on a paused clock.
#![allow(clippy::unwrap_used)]

mod budgets;
mod crashes;
mod identities;
mod isolation;
mod odd_log;
mod outcomes;
mod plans;
mod poison;
mod rebuilt;
mod replacing;
mod replays;
mod stopping;
mod streaming;
mod support;
