//! The `s3` exporter: one object per batch in a bucket of Amazon S3, or of a store that speaks its protocol.
//!
//! What is promised stands in `objects/mod.rs`: this store's conditional writes are `If-None-Match: *`, on an object that is sent at once and on the
//! end of an upload in parts. Stores that take the header and do not heed it still get one object per batch, since its name is planned; only an
//! object of somebody else under that very name is then not safe.
//!
//! `config.rs` checks the keys, `store.rs` makes the calls, `outcome.rs` says what S3's codes mean; who we are there, and the codes of all of
//! Amazon's services, is in `crate::aws`.

mod config;
mod outcome;
mod store;

pub(crate) use config::Keys;
