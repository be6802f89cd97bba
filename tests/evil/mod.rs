//! Plugins that mean harm, each on a real relay with a `file` exporter beside it and clients that send all the time.
//!
//! Of each the same is asked ([`contained`]): the operator is told what it does, in words and by a counter; every request is answered with 200; the
//! exporter beside it writes every event; its own events wait, or are where the contract puts them; it has nothing that it was not granted; and
//! when a good file takes its place, everything that waited arrives. [`together`] runs all of them in one relay.
//!
//! What needs a resolver that answers anew each time (DNS rebinding) stands in `host/plugin/tests/outbound.rs`: the program asks the system's.

mod bombs;
mod cache;
mod contained;
mod rows;
mod together;
