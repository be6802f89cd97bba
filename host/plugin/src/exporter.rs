//! A plugin as an exporter: calls, and what is told about it.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use flagpost_event::EventBatch;
use flagpost_exporter::{ExportError, Exporter, Limits, MAX_BATCH_BYTES, ProbeError, Readiness};
use futures_util::FutureExt as _;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_util::task::AbortOnDropHandle;

use crate::convert;
use crate::generation::Generation;
use crate::guest::{CallFailure, Shared};
use crate::host::PluginHost;
use crate::life::{Life, run};
use crate::memory::Reservation;
use crate::{PluginGrants, PluginMetric, PluginReport, PluginSpec, PluginState, PluginStats};

/// Events of one call when the configuration says nothing: cost per event is flat from 100 on, and memory, which never shrinks, stays
/// small.
const BULK_EVENTS: usize = 1000;

/// Bytes of one call's lines; see [`BULK_EVENTS`].
const CALL_BYTES: usize = 1 << 20;

/// A component as an [`Exporter`].
///
/// Dropping it, or [`close`](Exporter::close), ends its tasks and frees its instances.
pub struct WasmExporter {
    life: Arc<Life>,
    task: AbortHandle,
}

impl fmt::Debug for WasmExporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasmExporter")
            .field("name", &self.life.shared.spec.name)
            .field("readiness", &*self.life.readiness.borrow())
            .finish()
    }
}

impl WasmExporter {
    pub(crate) fn spawn(host: Arc<PluginHost>, shared: Arc<Shared>, memory: Reservation) -> Arc<Self> {
        let life = Arc::new(Life::new(host, shared, memory));
        let task = life.host.runtime().spawn(run(Arc::clone(&life))).abort_handle();
        Arc::new(WasmExporter { life, task })
    }

    /// State and facts, for `/health/exporters`.
    pub fn report(&self) -> PluginReport {
        let life = &self.life;
        let generation = life.slot.current();
        let (state, reason) = match &*life.readiness.borrow() {
            Readiness::Preparing => (PluginState::Compiling, None),
            Readiness::Ready { .. } => (PluginState::Ready, None),
            Readiness::Invalid { reason } => (PluginState::Invalid, Some(reason.clone())),
        };
        let restarts = generation.as_ref().map(|generation| &generation.restarts);
        let (crashes_in_a_row, slowed) = restarts.map_or((0, false), |restarts| (restarts.in_a_row(), !restarts.pause().is_zero()));
        let facts = life.facts();
        PluginReport {
            name: life.shared.spec.name.clone(),
            path: life.shared.spec.path.clone(),
            state,
            reason,
            image: facts.image.clone(),
            digest: facts.digest.clone(),
            size: facts.size,
            loading: facts.loading,
            loads: facts.loads,
            refused: facts.refused.clone(),
            draining: facts.draining(),
            crashes_in_a_row,
            slowed,
            interface: generation.as_ref().map(|generation| generation.shape.interface.clone()),
            imports: generation.as_ref().map(|generation| generation.shape.imports.clone()).unwrap_or_default(),
            title: generation.as_ref().and_then(|generation| generation.description.title.clone()),
            encoding: generation.as_ref().map(|generation| generation.description.encoding),
            diagnostics: facts.diagnostics.clone(),
            grants: PluginGrants::of(&life.shared.spec),
            last_denial: life.shared.denials.last(),
            generation: generation.as_ref().map(|generation| generation.number),
            bulk: generation.as_ref().map(|generation| generation.bulk),
            last_error: facts.last_error.clone(),
            certificates_refused: facts.certificates_refused.clone(),
            memory_peak: life.shared.memory_peak.get(),
            stats: self.stats(),
        }
    }

    /// The plugin's own numbers, for `/metrics`.
    pub fn metrics(&self) -> Vec<PluginMetric> {
        self.life.shared.metrics.read()
    }

    /// Counters, for `/metrics`.
    pub fn stats(&self) -> PluginStats {
        self.life.shared.counters.read()
    }

    /// What it is configured with: its grants among it.
    pub fn spec(&self) -> &PluginSpec {
        &self.life.shared.spec
    }

    /// Tries its file again, now: a file that runs already changes nothing. [`PluginReport::loads`] rises when that is done.
    pub fn reload(&self) {
        self.life.asked.notify_one();
    }

    /// Drops every instance that has no call under way, without a word to it, as a limit or a restart does: the next call gets a new one.
    pub fn drop_instances(&self) {
        if let Some(generation) = self.life.slot.current() {
            generation.drop_all();
        }
    }

    /// Nothing is loaded or begun any more.
    fn stop(&self) -> Option<Arc<Generation>> {
        self.task.abort();
        let last = self.life.slot.current();
        self.life.slot.install(None);
        last
    }
}

impl Drop for WasmExporter {
    fn drop(&mut self) {
        if let Some(last) = self.stop() {
            last.close();
        }
    }
}

#[async_trait]
impl Exporter for WasmExporter {
    /// What the guest said; `true` until it is ready.
    fn is_bulk(&self) -> bool {
        self.life.slot.current().is_none_or(|generation| generation.bulk)
    }

    async fn export(&self, batch: &EventBatch) -> Result<(), ExportError> {
        let Some(generation) = self.life.slot.current() else {
            return Err(ExportError::retryable("the plugin is not ready"));
        };
        let life = Arc::clone(&self.life);
        let runtime = life.host.runtime().clone();
        // Guests run on the work runtime, whoever calls. Delivery's tasks are there already, and a change of threads costs as much as
        // the rest of a small call; but all calls of one exporter come from one task, and several instances are to run beside each other.
        let alone = life.shared.spec.limits.instances == 1;
        if alone && Handle::try_current().is_ok_and(|here| here.id() == runtime.id()) {
            return uncaught(life.call(&generation, batch)).await;
        }
        let batch = batch.clone();
        let call = runtime.spawn(async move { uncaught(life.call(&generation, &batch)).await });
        // A dropped call ends there, too; a cancelled task is the relay stopping.
        AbortOnDropHandle::new(call).await.unwrap_or_else(|_| Err(ExportError::retryable("the plugin host is stopping")))
    }

    fn limits(&self) -> Limits {
        let spec = &self.life.shared.spec;
        let generation = self.life.slot.current();
        let most = if generation.as_ref().is_none_or(|generation| generation.bulk) { BULK_EVENTS } else { 1 };
        let described = generation.as_ref().map(|generation| &generation.description);
        // The plugin knows what it bears, the operator may ask for less.
        let max_events = match (described.and_then(|said| said.max_events), spec.max_events_per_call) {
            (Some(bears), Some(wanted)) => bears.min(wanted),
            (bears, wanted) => bears.or(wanted).unwrap_or(most),
        };
        Limits {
            max_events,
            max_bytes: described.and_then(|said| said.max_bytes).unwrap_or(CALL_BYTES).min(MAX_BATCH_BYTES),
            // Counts only where the operator does without order (`ordered: false`).
            concurrency: spec.limits.instances,
            ..Limits::default()
        }
    }

    fn readiness(&self) -> Option<watch::Receiver<Readiness>> {
        Some(self.life.readiness.subscribe())
    }

    fn tries(&self) -> &'static str {
        "compiled the component and asked it whether it is a bulk exporter"
    }

    /// Waits until the plugin is ready. Runs nothing but `is-bulk`.
    async fn probe(&self) -> Result<(), ProbeError> {
        let mut readiness = self.life.readiness.subscribe();
        match readiness.wait_for(|readiness| *readiness != Readiness::Preparing).await.as_deref() {
            Ok(Readiness::Invalid { reason }) => Err(ProbeError { reason: reason.clone() }),
            _ => Ok(()),
        }
    }

    /// Returns when no call is under way any more, and the guests were told that nothing comes.
    async fn close(&self) {
        if let Some(last) = self.stop() {
            // On the work runtime, like every call.
            drop(self.life.host.runtime().spawn(async move { last.drain().await }).await);
        }
    }
}

/// A panic of the host's on this batch counts as a crash, so that the batch becomes suspect.
async fn uncaught(call: impl Future<Output = Result<(), ExportError>>) -> Result<(), ExportError> {
    // What the call shared was made for threads that may die: its locks give what they hold.
    AssertUnwindSafe(call).catch_unwind().await.unwrap_or_else(|why| {
        let said = why.downcast_ref::<&str>().copied().or_else(|| why.downcast_ref::<String>().map(String::as_str));
        Err(ExportError::Crashed { reason: format!("the plugin host failed: {}", said.unwrap_or("a panic")) })
    })
}

impl Life {
    async fn call(&self, generation: &Generation, batch: &EventBatch) -> Result<(), ExportError> {
        let payload = generation.encode(batch)?;
        let pause = generation.restarts.pause();
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        self.shared.counters.calls.one();
        let answer = generation.export(batch, &payload).await;
        self.count(generation, answer.as_ref().err());
        let outcome = match answer {
            Ok(answer) => convert::outcome(answer, batch.len(), &self.shared.ear()).unwrap_or_else(|why| {
                self.shared.counters.bad_results.one();
                Err(ExportError::Crashed { reason: format!("plugin `{}`: {why}", self.shared.spec.name) })
            }),
            Err(failure) => Err(self.crashed(&failure)),
        };
        if let Err(error) = &outcome {
            self.facts().last_error = Some(error.to_string());
        }
        outcome
    }

    fn count(&self, generation: &Generation, failure: Option<&CallFailure>) {
        match failure {
            None => generation.restarts.answered(),
            Some(why) if generation.restarts.crashed() => tracing::error!(
                plugin = self.shared.spec.name,
                crashes = generation.restarts.in_a_row(),
                "the plugin crashes again and again: its calls are slowed until one is answered; the last time it {why}"
            ),
            Some(_) => {}
        }
    }

    fn crashed(&self, failure: &CallFailure) -> ExportError {
        if let CallFailure::Configuration { .. } = failure {
            return ExportError::misconfigured(format!("plugin `{}` {failure}", self.shared.spec.name));
        }
        ExportError::Crashed { reason: format!("plugin `{}` {failure}", self.shared.spec.name) }
    }
}
