//! One implementation of a plugin: a file's bytes, made runnable, with its instances.
//!
//! A [`Generation`] is immutable but for its pool. Replacing a plugin while it runs makes the next one beside this and swaps which one
//! [`Slot`] holds: a call that has begun finishes on the generation it began with.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use flagpost_event::EventBatch;
use flagpost_exporter::ExportError;
use tokio::sync::Semaphore;
use tokio::time::{Duration, Instant};

use crate::cache::Digest;
use crate::contract::{Answer, Description, Linked};
use crate::guest::{CallFailure, Instance, Shared};
use crate::memory::Reservation;
use crate::payload::{Encoder, Payload};
use crate::restarts::Restarts;
use crate::world::Shape;

/// An instance that nobody called for this long gives its memory back.
pub(crate) const MAX_IDLE: Duration = Duration::from_secs(300);

/// A runnable implementation.
pub(crate) struct Generation {
    /// Counts implementations of this plugin, from 1.
    pub(crate) number: u64,
    pub(crate) digest: Digest,
    pub(crate) shape: Shape,
    pub(crate) description: Description,
    pub(crate) bulk: bool,
    /// Crashes in a row.
    pub(crate) restarts: Restarts,
    linked: Box<dyn Linked>,
    encoder: Encoder,
    shared: Arc<Shared>,
    /// One permit per instance that may run.
    running: Semaphore,
    /// `None`: nothing more is called, and who comes back from a call goes.
    idle: Mutex<Option<Vec<Instance>>>,
    /// Memory that is held for it while another one has taken its place.
    reserved: OnceLock<Reservation>,
}

impl Generation {
    /// Tries the component: makes an instance (imports and exports are only type-checked then), configures it and asks `is-bulk`. The
    /// instance stays, warm.
    pub(crate) async fn try_out(
        number: u64,
        digest: Digest,
        (shape, description): (Shape, Description),
        linked: Box<dyn Linked>,
        encoder: Encoder,
        shared: Arc<Shared>,
    ) -> Result<Self, CallFailure> {
        let mut instance = Instance::start(&*linked, &shared).await?;
        instance.configure().await?;
        let bulk = instance.is_bulk().await?;
        let running = Semaphore::new(shared.spec.limits.instances);
        let (restarts, idle, reserved) = (Restarts::default(), Mutex::new(Some(vec![instance])), OnceLock::new());
        Ok(Generation { number, digest, shape, description, bulk, restarts, linked, encoder, shared, running, idle, reserved })
    }

    /// The batch's events as the plugin wants them.
    pub(crate) fn encode(&self, batch: &EventBatch) -> Result<Payload, ExportError> {
        self.encoder.encode(batch)
    }

    /// Gives the batch, encoded as `payload`, to a warm instance, or to a new one. An instance that failed, or is worn, is not used again.
    pub(crate) async fn export(&self, batch: &EventBatch, payload: &Payload) -> Result<Answer, CallFailure> {
        let _permit = self.running.acquire().await.map_err(|_| CallFailure::Start { reason: "the plugin is closed".to_owned() })?;
        let warm = self.idle().as_mut().and_then(Vec::pop);
        let mut instance = match warm {
            Some(instance) => instance,
            None => {
                let mut instance = Instance::start(&*self.linked, &self.shared).await?;
                instance.configure().await?;
                instance
            }
        };
        let answer = instance.export(batch, payload).await?;
        if !instance.is_worn()
            && let Some(instance) = self.put_back(instance)
        {
            instance.close().await;
        }
        Ok(answer)
    }

    /// Keeps the instance warm; gives it back when nobody will call it any more.
    fn put_back(&self, instance: Instance) -> Option<Instance> {
        match &mut *self.idle() {
            Some(idle) => {
                idle.push(instance);
                None
            }
            None => Some(instance),
        }
    }

    /// Drops instances that have been idle for [`MAX_IDLE`].
    pub(crate) fn drop_idle(&self, now: Instant) {
        if let Some(idle) = &mut *self.idle() {
            idle.retain(|instance| now.saturating_duration_since(instance.idle_since) < MAX_IDLE);
        }
    }

    /// Drops idle instances, however young.
    pub(crate) fn drop_all(&self) {
        if let Some(idle) = &mut *self.idle() {
            idle.clear();
        }
    }

    /// Another one has taken its place: idle instances are told and go at once, the others with the calls that are under way. Until the
    /// last of them is gone `memory` is held for them.
    pub(crate) fn retire(self: &Arc<Self>, memory: Reservation) {
        // It is retired once.
        drop(self.reserved.set(memory));
        let (idle, reserved) = (self.idle().take().unwrap_or_default(), Arc::clone(self));
        tokio::spawn(async move {
            futures_util::future::join_all(idle.into_iter().map(Instance::close)).await;
            drop(reserved);
        });
    }

    /// Waits for the calls under way. No further ones; the instances are told, and go.
    pub(crate) async fn drain(&self) {
        let all = u32::try_from(self.shared.spec.limits.instances).unwrap_or(u32::MAX);
        drop(self.running.acquire_many(all).await);
        self.running.close();
        let idle = self.idle().take().unwrap_or_default();
        // Best effort, as the contract says: how it ends changes nothing.
        futures_util::future::join_all(idle.into_iter().map(Instance::close)).await;
    }

    /// No further calls; the instances go.
    pub(crate) fn close(&self) {
        self.running.close();
        drop(self.idle().take());
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Option<Vec<Instance>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Holds the generation that calls go to: the one place where a replacement takes over.
#[derive(Default)]
pub(crate) struct Slot(RwLock<Option<Arc<Generation>>>);

impl Slot {
    pub(crate) fn current(&self) -> Option<Arc<Generation>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn install(&self, generation: Option<Arc<Generation>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = generation;
    }
}
