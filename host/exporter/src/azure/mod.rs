//! The `azureBlobStorage` exporter: one block blob per batch in a container.
//!
//! What is promised stands in `objects/mod.rs`: this store's conditional writes are `If-None-Match: *`, on a blob that is sent at once and on the
//! list of its blocks. Blocks that were never listed are no blob; they go away with the next blob of that name, or after a week.
//!
//! Microsoft's client library knows Entra credentials only, so an account's key signs requests in a policy of ours (`shared_key.rs`), and a shared
//! access signature stands in the URL, which is why no URL is ever shown.

mod config;
mod credential;
mod outcome;
mod shared_key;
mod store;

pub(crate) use config::Keys;
