//! The `googleStorage` exporter: one object per batch in a Google Cloud Storage bucket.
//!
//! What is promised stands in `objects/mod.rs`: this store's conditional writes are `ifGenerationMatch=0`, on an object that is sent at once and on
//! an upload in parts (a *session*), where the service heeds it when the session begins and again when it ends. A session that nobody ends leaves
//! nothing behind; the service forgets it after a week.
//!
//! # How
//! `config.rs` checks the keys; `store.rs` makes the calls, `session.rs` those of an upload in parts, through `http.rs`; `outcome.rs` says what
//! replies mean for objects.
//!
//! # Why not Google's library for this service
//! It does an upload in one call and keeps what happens inside to itself: sessions cannot be given up, single requests have no time limit, and
//! repeats are its own decision, where delivery has to know. It also leaves the port out of `Host`, so the session that an emulator opens leads
//! elsewhere, and the upload hangs. Six requests of the JSON API say the same; who we are there is still the matter of Google's own library.

mod config;
mod http;
mod outcome;
mod session;
mod store;

pub(crate) use config::Keys;
