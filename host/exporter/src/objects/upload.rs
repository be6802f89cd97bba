//! One batch into one object: encoded where it may block, sent in parts, put into place only if nothing stands there.

use std::sync::Arc;

use bytes::Bytes;
use flagpost_event::{Chunks, Encoded, EventBatch};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::ExportError;

use super::{Object, ObjectConfig, ObjectStore, PART, Put};

/// Parts that wait for the upload while the encoder fills the next one.
const AHEAD: usize = 1;

/// Writes the batch. `fresh`: no attempt at it was made before.
pub(super) async fn upload<S: ObjectStore>(
    store: &Arc<S>,
    config: &Arc<ObjectConfig>,
    object: Object,
    batch: EventBatch,
    fresh: bool,
) -> Result<Encoded, ExportError> {
    let mut parts = Parts::of(config, batch);
    let Some(first) = parts.next().await else { return parts.end().await };
    let Some(second) = parts.next().await else {
        // All of it; unless the encoder failed.
        let encoded = parts.end().await?;
        let put = store.put(&object, first).await?;
        settle(&**store, &object, put).await?;
        return Ok(encoded);
    };
    if !fresh {
        store.sweep(&object.name).await;
    }
    // Before megabytes are sent for nothing. A store that does not tell (a permission less) tells in the end.
    if let Ok(Some(found)) = store.owner(&object.name).await {
        mine(&object, Some(&found))?;
        return parts.drain().await;
    }
    let upload = store.begin(&object).await?;
    let mut begun = Begun { store: Arc::clone(store), upload: Some(upload) };
    let (put, encoded) = match begun.send([first, second], parts).await {
        Ok(sent) => sent,
        Err(error) => {
            begun.abort().await;
            return Err(error);
        }
    };
    match put {
        Put::Stored => drop(begun.upload.take()),
        Put::Exists => begun.abort().await,
    }
    settle(&**store, &object, put).await?;
    Ok(encoded)
}

/// What a conditional write means: an object that was there is asked whose it is.
async fn settle<S: ObjectStore>(store: &S, object: &Object, put: Put) -> Result<(), ExportError> {
    match put {
        Put::Stored => Ok(()),
        Put::Exists => mine(object, store.owner(&object.name).await?.as_deref()),
    }
}

fn mine(object: &Object, found: Option<&str>) -> Result<(), ExportError> {
    match found {
        Some(owner) if owner == object.owner => Ok(()),
        Some(_) => Err(ExportError::NameTaken { name: object.name.clone() }),
        None => Err(ExportError::retryable(format!("the object `{}` existed a moment ago and is gone", object.name))),
    }
}

/// An encoder at work, and the parts that it made.
struct Parts {
    parts: mpsc::Receiver<Bytes>,
    encoder: JoinHandle<std::io::Result<Encoded>>,
}

impl Parts {
    fn of(config: &Arc<ObjectConfig>, batch: EventBatch) -> Parts {
        let (sender, parts) = mpsc::channel(AHEAD);
        let config = Arc::clone(config);
        let encoder = tokio::task::spawn_blocking(move || {
            let mut chunks = Chunks::new(PART, |part| sender.blocking_send(part).map_err(std::io::Error::other));
            let encoded = config.format.encoding.encode(&batch, &mut chunks)?;
            chunks.finish()?;
            Ok(encoded)
        });
        Parts { parts, encoder }
    }

    async fn next(&mut self) -> Option<Bytes> {
        self.parts.recv().await
    }

    /// What became of the events; only when there is no next part.
    async fn end(self) -> Result<Encoded, ExportError> {
        let crashed = |why: String| ExportError::Crashed { reason: format!("the batch could not be encoded: {why}") };
        match self.encoder.await {
            Ok(Ok(encoded)) => Ok(encoded),
            Ok(Err(error)) => Err(crashed(error.to_string())),
            Err(error) => Err(crashed(error.to_string())),
        }
    }

    /// What became of the events, when the bytes are of no use.
    async fn drain(mut self) -> Result<Encoded, ExportError> {
        while self.next().await.is_some() {}
        self.end().await
    }
}

/// An upload that has begun. It is given up when the attempt is, however that ends.
struct Begun<S: ObjectStore> {
    store: Arc<S>,
    upload: Option<S::Upload>,
}

impl<S: ObjectStore> Begun<S> {
    async fn send(&mut self, first: [Bytes; 2], mut parts: Parts) -> Result<(Put, Encoded), ExportError> {
        let Some(upload) = &mut self.upload else { return Err(ExportError::retryable("the upload was given up")) };
        for part in first {
            self.store.part(upload, part).await?;
        }
        while let Some(part) = parts.next().await {
            self.store.part(upload, part).await?;
        }
        let encoded = parts.end().await?;
        Ok((self.store.complete(upload).await?, encoded))
    }

    async fn abort(&mut self) {
        if let Some(upload) = self.upload.take() {
            self.store.abort(upload).await;
        }
    }
}

impl<S: ObjectStore> Drop for Begun<S> {
    fn drop(&mut self) {
        // The attempt was dropped in the middle.
        if let (Some(upload), Ok(runtime)) = (self.upload.take(), tokio::runtime::Handle::try_current()) {
            let store = Arc::clone(&self.store);
            runtime.spawn(async move { store.abort(upload).await });
        }
    }
}
