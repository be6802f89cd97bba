//! A plugin as an exporter, and its life: compiling, ready, invalid, healed.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use flagpost_event::EventBatch;
use flagpost_exporter::{ExportError, Exporter, Limits, MAX_BATCH_BYTES, ProbeError, Readiness};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinError, JoinHandle};
use tokio::time::{Instant, MissedTickBehavior};

use crate::convert;
use crate::generation::{Generation, Slot};
use crate::guest::{CallFailure, Shared};
use crate::host::PluginHost;
use crate::load::{self, LoadError, Stamp};
use crate::world::Shape;
use crate::{PluginDiagnostic, PluginReport, PluginState, PluginStats};

/// How often the file of an invalid plugin is looked at; a change counts when size and time stayed the same for one such step.
const POLL: Duration = Duration::from_millis(500);

/// How often idle instances are looked for.
const IDLE_POLL: Duration = Duration::from_secs(30);

/// Waits before the same file is tried again after a fault of the host's: the first, and the longest.
const AGAIN: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(120));

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

/// What the exporter and its loading task share.
struct Life {
    host: Arc<PluginHost>,
    shared: Arc<Shared>,
    slot: Slot,
    readiness: watch::Sender<Readiness>,
    facts: Mutex<Facts>,
}

/// What was last seen, for reports.
#[derive(Default)]
struct Facts {
    digest: Option<String>,
    size: Option<u64>,
    shape: Option<Shape>,
    last_error: Option<String>,
    diagnostics: Vec<PluginDiagnostic>,
}

impl WasmExporter {
    pub(crate) fn spawn(host: Arc<PluginHost>, shared: Arc<Shared>) -> Arc<Self> {
        let (readiness, _) = watch::channel(Readiness::Preparing);
        let life = Arc::new(Life { host, shared, slot: Slot::default(), readiness, facts: Mutex::default() });
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
        let facts = life.facts();
        PluginReport {
            name: life.shared.spec.name.clone(),
            path: life.shared.spec.path.clone(),
            state,
            reason,
            digest: facts.digest.clone(),
            size: facts.size,
            interface: facts.shape.as_ref().map(|shape| shape.interface.clone()),
            imports: facts.shape.as_ref().map(|shape| shape.imports.clone()).unwrap_or_default(),
            title: generation.as_ref().and_then(|generation| generation.description.title.clone()),
            encoding: generation.as_ref().map(|generation| generation.description.encoding),
            diagnostics: facts.diagnostics.clone(),
            generation: generation.as_ref().map(|generation| generation.number),
            bulk: generation.as_ref().map(|generation| generation.bulk),
            last_error: facts.last_error.clone(),
            memory_peak: life.shared.memory_peak.get(),
            stats: self.stats(),
        }
    }

    /// Counters, for `/metrics`.
    pub fn stats(&self) -> PluginStats {
        self.life.shared.counters.read()
    }

    fn stop(&self) {
        self.task.abort();
        if let Some(generation) = self.life.slot.current() {
            generation.close();
            self.life.slot.install(None);
        }
    }
}

impl Drop for WasmExporter {
    fn drop(&mut self) {
        self.stop();
        self.life.host.release(&self.life.shared.spec);
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
        let (life, batch) = (Arc::clone(&self.life), batch.clone());
        // Guests run on the work runtime, whoever calls; a dropped call ends there, too.
        let call = self.life.host.runtime().spawn(async move { life.call(&generation, &batch).await });
        Joined(call).await
    }

    fn limits(&self) -> Limits {
        let spec = &self.life.shared.spec;
        let most = if self.is_bulk() { BULK_EVENTS } else { 1 };
        let described = self.life.slot.current().map(|generation| generation.description.clone()).unwrap_or_default();
        // The plugin knows what it bears, the operator may ask for less.
        let max_events = match (described.max_events, spec.max_events_per_call) {
            (Some(bears), Some(wanted)) => bears.min(wanted),
            (bears, wanted) => bears.or(wanted).unwrap_or(most),
        };
        Limits {
            max_events,
            max_bytes: described.max_bytes.unwrap_or(CALL_BYTES).min(MAX_BATCH_BYTES),
            // Counts only where the operator does without order (`ordered: false`).
            concurrency: spec.limits.instances,
            ..Limits::default()
        }
    }

    fn readiness(&self) -> Option<watch::Receiver<Readiness>> {
        Some(self.life.readiness.subscribe())
    }

    /// Waits until the plugin is ready. Runs nothing but `is-bulk`.
    async fn probe(&self) -> Result<(), ProbeError> {
        let mut readiness = self.life.readiness.subscribe();
        match readiness.wait_for(|readiness| *readiness != Readiness::Preparing).await.as_deref() {
            Ok(Readiness::Invalid { reason }) => Err(ProbeError { reason: reason.clone() }),
            _ => Ok(()),
        }
    }

    /// Says goodbye to the guests first.
    async fn close(&self) {
        if let Some(generation) = self.life.slot.current() {
            // On the work runtime, like every call.
            let goodbye = self.life.host.runtime().spawn(async move { generation.say_goodbye().await });
            drop(goodbye.await);
        }
        self.stop();
    }
}

/// A spawned call that ends when nobody waits for it.
struct Joined(JoinHandle<Result<(), ExportError>>);

impl Future for Joined {
    type Output = Result<(), ExportError>;

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        // A panic of the host's on this batch counts as a crash, so that the batch becomes suspect; a cancelled task is the relay stopping.
        let failed = |why: JoinError| match why.is_panic() {
            true => ExportError::Crashed { reason: format!("the plugin host failed: {why}") },
            false => ExportError::retryable("the plugin host is stopping"),
        };
        std::pin::Pin::new(&mut self.0).poll(cx).map(|joined| joined.unwrap_or_else(|why| Err(failed(why))))
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Life {
    fn facts(&self) -> std::sync::MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn call(&self, generation: &Generation, batch: &EventBatch) -> Result<(), ExportError> {
        let payload = generation.encode(batch)?;
        self.shared.counters.calls.one();
        let outcome = match generation.export(batch, &payload).await {
            Ok(answer) => convert::outcome(answer, batch.len(), &self.shared.hidden).unwrap_or_else(|why| {
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

    fn crashed(&self, failure: &CallFailure) -> ExportError {
        if let CallFailure::Configuration { .. } = failure {
            return ExportError::misconfigured(format!("plugin `{}` {failure}", self.shared.spec.name));
        }
        ExportError::Crashed { reason: format!("plugin `{}` {failure}", self.shared.spec.name) }
    }

    /// Reads, compiles and tries the file; on success calls go to it.
    async fn load(&self) -> Result<(), LoadError> {
        let file = load::read(&self.shared).await?;
        {
            let mut facts = self.facts();
            *facts = Facts { digest: Some(file.digest.hex()), size: Some(file.bytes.len() as u64), ..Facts::default() };
        }
        let number = self.slot.current().map_or(1, |generation| generation.number + 1);
        let prepared = load::prepare(&self.host, &self.shared, file, number).await;
        let generation = prepared.inspect_err(|why| self.facts().diagnostics.clone_from(&why.diagnostics))?;
        self.shared.outbound.warm_up().await;
        self.facts().shape = Some(generation.shape.clone());
        let (plugin, interface, bulk) = (self.shared.spec.name.as_str(), generation.shape.interface.as_str(), generation.bulk);
        tracing::info!(plugin, interface, bulk, digest = generation.digest.hex(), "the plugin is ready");
        self.slot.install(Some(Arc::new(generation)));
        self.readiness.send_replace(Readiness::Ready { generation: number });
        Ok(())
    }
}

/// A plugin's life: loads the file, and while it cannot run, waits for another one.
async fn run(life: Arc<Life>) {
    let name = life.shared.spec.name.as_str();
    let mut again = AGAIN.0;
    loop {
        let tried = load::stamp(&life.shared.spec.path).await;
        life.readiness.send_replace(Readiness::Preparing);
        match life.load().await {
            Ok(()) => break,
            Err(LoadError { reason, again: retry, .. }) => {
                tracing::error!(plugin = name, "the plugin is invalid, its events wait: {reason}");
                life.readiness.send_replace(Readiness::Invalid { reason });
                let changed = changed(&life.shared.spec.path, tried);
                if retry {
                    // Either ends the wait; which one does not matter.
                    drop(tokio::time::timeout(again, changed).await);
                    again = (again * 2).min(AGAIN.1);
                } else {
                    changed.await;
                    again = AGAIN.0;
                }
            }
        }
    }
    let Some(generation) = life.slot.current() else { return };
    let generation = Arc::downgrade(&generation);
    drop(life);
    let mut ticks = tokio::time::interval(IDLE_POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(generation) = generation.upgrade() else { return };
        generation.drop_idle(Instant::now());
    }
}

/// Returns when the file is another one than `tried`, and has stayed the same for one [`POLL`]: a copy that is still being written is not
/// loaded.
async fn changed(path: &std::path::Path, tried: Stamp) {
    let mut before = tried;
    loop {
        tokio::time::sleep(POLL).await;
        let now = load::stamp(path).await;
        if now != tried && now.is_some() && now == before {
            return;
        }
        before = now;
    }
}
