//! What the object stores have in common: `s3`, `azureBlobStorage`, `googleStorage`.
//!
//! # What is promised
//! One batch is one object, and it has no second one, whatever fails in between. Its name is planned, durably, before the first attempt
//! (`name.rs`), so every attempt writes to the same name, and only if nothing stands there yet. The object bears its [owner](Object::owner)
//! in its metadata. So when there is one already, it is either this batch's, from an attempt whose answer was lost or whose relay was
//! killed, and then all is well; or somebody else's, and then another name is planned.
//!
//! # How
//! The encoder runs on a thread that may block and writes into parts of [`PART`] bytes, one ahead of the upload (`upload.rs`): nothing lies on
//! disk, and memory holds a few parts, whatever the size of the object. What fits into one part is one conditional call. More is an upload in
//! parts, whose end is the conditional call; when anything goes wrong it is given up at once, and if the relay was killed, by the next
//! attempt. Events that the format cannot write are rejected one by one; a batch with no others makes no object.
//!
//! # How a kind uses it
//! 1. `config.rs`: its struct of keys is made with [`object_keys!`], which adds the common ones (`path`, `filename`, `format`, `timeout`, …). Its
//!    `check` calls `self.objects(Join::…).check(problems, context)`, which gives an [`ObjectConfig`].
//! 2. `client.rs`: one type implements [`ObjectStore`]: seven calls to the service, each with a time-out. What a reply means is said in `outcome.rs`.
//! 3. `build` gives `Arc::new(ObjectExporter::new(store, config))`. The rest is here.

mod exporter;
mod keys;
#[cfg(test)]
mod tests;
mod upload;

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{ExportError, ProbeError};
pub(crate) use exporter::ObjectExporter;
pub(crate) use keys::{DEFAULT_TIMEOUT, ObjectConfig, ObjectKeys, object_keys};

/// The metadata entry that holds an object's [owner](Object::owner). A name that all stores take: Azure's must be identifiers.
pub(crate) const OWNER: &str = "flagpostbatch";

/// Bytes of one part. The smallest that S3 takes; a multiple of 256 KiB, as Google's wants it.
pub(crate) const PART: usize = 5 << 20;

/// An object to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    /// Its whole name in the bucket or container, path included.
    pub(crate) name: String,
    /// What goes into its metadata under [`OWNER`]: printable ASCII without blanks.
    pub(crate) owner: String,
}

/// What became of a conditional write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// The object is safe in the store.
    Stored,
    /// Nothing was written: an object of that name exists.
    Exists,
}

/// A store of objects, as far as exporters need it. Each call ends within the configured time-out, and answers with what its failure means for
/// the batch. No store can blame an event: objects are opaque to it, so what will not change by itself is
/// [`Misconfigured`](ExportError::Misconfigured); [`Rejected`](ExportError::Rejected) is only an object that is too large.
#[async_trait]
pub(crate) trait ObjectStore: fmt::Debug + Send + Sync + 'static {
    /// An upload in parts that has begun: what the service calls it, and what was sent so far.
    type Upload: Send + 'static;

    /// The bucket or container, so that equal texts are equal places: `s3:https://host/bucket`. No secrets.
    fn place(&self) -> String;

    /// Writes an object with one call, unless one of that name exists.
    async fn put(&self, object: &Object, body: Bytes) -> Result<Put, ExportError>;

    /// The [`OWNER`] entry of the object of that name, empty if it has none. `None`: there is no such object.
    async fn owner(&self, name: &str) -> Result<Option<String>, ExportError>;

    /// Begins an upload in parts.
    async fn begin(&self, object: &Object) -> Result<Self::Upload, ExportError>;

    /// Sends the next part: [`PART`] bytes, the last one perhaps less.
    async fn part(&self, upload: &mut Self::Upload, bytes: Bytes) -> Result<(), ExportError>;

    /// Makes an object of the parts, unless one of that name exists.
    async fn complete(&self, upload: &mut Self::Upload) -> Result<Put, ExportError>;

    /// Gives an upload up, best effort. It may have been completed: an attempt whose answer was lost.
    async fn abort(&self, upload: Self::Upload);

    /// Gives up what uploads to that name a killed relay left, best effort. Where the store forgets them by itself there is nothing to do.
    async fn sweep(&self, name: &str) {
        let _ = name;
    }

    /// Checks credentials, the right to write to such a name, and the bucket, without writing an object.
    async fn probe(&self, object: &Object) -> Result<(), ProbeError>;
}
