//! A store with its instance: made, called, dropped.

use std::sync::Arc;
use std::time::Duration;

use flagpost_event::EventBatch;
use tokio::time::Instant;
use wasmtime::{Store, Trap, UpdateDeadline};
use wasmtime_wasi::I32Exit;

use super::limiter::Refused;
use super::output::printable;
use super::state::Shared;
use super::{GuestState, MAX_HOSTCALL_BYTES, MAX_RESOURCES};
use crate::contract::{Answer, Description, Guest, Linked};
use crate::payload::Payload;
use crate::places::PluginDiagnostic;
use crate::text::{bytes as readable, cut};

/// Calls after which an instance is replaced: bounds what a leak can cost.
const MAX_CALLS: u64 = 10_000;

/// How long a guest may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// An instance between or in calls.
pub(crate) struct Instance {
    store: Store<GuestState>,
    guest: Box<dyn Guest>,
    calls: u64,
    /// When the last call ended.
    pub(crate) idle_since: Instant,
}

/// Why a call ended without an answer. The instance is gone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallFailure {
    #[error("used more than {} ms of CPU in one call (limits.cpu); it loops, or the batch is too large for it", limit.as_millis())]
    Cpu { limit: Duration },
    #[error("did not answer within {} ms (limits.timeout)", limit.as_millis())]
    Timeout { limit: Duration },
    #[error("wanted {} of memory, limits.memory is {}", readable(*wanted), readable(*limit))]
    Memory { wanted: u64, limit: u64 },
    #[error("wanted a table of {wanted} elements, at most {limit} are given")]
    Table { wanted: usize, limit: usize },
    #[error("held more than {limit} handles of the host at once; it does not drop what it opens")]
    Resources { limit: usize },
    #[error("handed the host more than {} in one call", readable(*limit as u64))]
    Hostcall { limit: usize },
    #[error("exited with code {code}; an exporter returns, it does not exit{tail}")]
    Exit { code: i32, tail: String },
    #[error("trapped: {reason}{tail}")]
    Trap { reason: String, tail: String },
    #[error("could not be started: {reason}")]
    Start { reason: String },
    #[error("refuses its configuration: {}", listed(diagnostics))]
    Configuration { diagnostics: Vec<PluginDiagnostic> },
}

fn listed(diagnostics: &[PluginDiagnostic]) -> String {
    diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl CallFailure {
    /// Whether the machine may be at fault, so that the same call may end well later: its time was up.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, CallFailure::Timeout { .. })
    }
}

impl Instance {
    /// Makes an instance. Its start code runs under the same limits as a call.
    pub(crate) async fn start(linked: &dyn Linked, shared: &Arc<Shared>) -> Result<Self, CallFailure> {
        let state = GuestState::new(Arc::clone(shared)).map_err(|why| CallFailure::Start { reason: format!("{why:#}") })?;
        let mut store = Store::new(linked.engine(), state);
        store.limiter(|state| &mut state.limiter);
        store.set_hostcall_fuel(MAX_HOSTCALL_BYTES);
        store.set_max_component_handles(MAX_RESOURCES);
        let (cpu, limit) = (Arc::clone(&store.data().cpu), shared.spec.limits.cpu);
        store.epoch_deadline_callback(move |_| {
            if cpu.spent() > limit {
                return Err(wasmtime::Error::from(CpuExceeded));
            }
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
        });
        shared.counters.instances.one();
        let started = run(&mut store, None, async |store| linked.instantiate(store).await).await;
        match started {
            Ok(guest) => Ok(Instance { store, guest, calls: 0, idle_since: Instant::now() }),
            Err(Ended::Limit(failure)) => Err(failure),
            Err(Ended::Error(why)) => Err(CallFailure::Start { reason: format!("{why:#}") }),
        }
    }

    /// Asks for its description.
    pub(crate) async fn describe(&mut self) -> Result<Description, CallFailure> {
        let guest = &self.guest;
        run(&mut self.store, None, async |store| guest.describe(store).await).await.map_err(Ended::into_failure)
    }

    /// Hands its configuration over: once, before the first export.
    pub(crate) async fn configure(&mut self) -> Result<(), CallFailure> {
        let (guest, shared) = (&self.guest, Arc::clone(&self.store.data().shared));
        let remarks = run(&mut self.store, None, async |store| guest.configure(store, &shared.config).await).await;
        let remarks = remarks.map_err(Ended::into_failure)?;
        if remarks.is_empty() {
            Ok(())
        } else {
            Err(CallFailure::Configuration { diagnostics: crate::describe::diagnostics(remarks, &shared) })
        }
    }

    /// Asks `is-bulk`.
    pub(crate) async fn is_bulk(&mut self) -> Result<bool, CallFailure> {
        let guest = &self.guest;
        let asked = run(&mut self.store, None, async |store| guest.is_bulk(store).await).await;
        self.idle_since = Instant::now();
        asked.map_err(Ended::into_failure)
    }

    /// Says that nothing more comes. However that ends, the instance is gone.
    pub(crate) async fn close(mut self) {
        let guest = &self.guest;
        drop(tokio::time::timeout(GOODBYE, run(&mut self.store, None, async |store| guest.close(store).await)).await);
    }

    /// Gives the batch, encoded as `payload`, to the guest. After an `Err` the instance must not be used again.
    pub(crate) async fn export(&mut self, batch: &EventBatch, payload: &Payload) -> Result<Answer, CallFailure> {
        let guest = &self.guest;
        let call = async |store: &mut Store<GuestState>| guest.export(store, batch, payload).await;
        let answer = run(&mut self.store, Some(batch), call).await;
        self.calls += 1;
        self.idle_since = Instant::now();
        answer.map_err(Ended::into_failure)
    }

    /// Whether it has served long enough, was refused memory, or holds most of what it may: memory never shrinks, and leaked handles stay.
    pub(crate) fn is_worn(&mut self) -> bool {
        let state = self.store.data_mut();
        let limit = state.shared.spec.limits.memory;
        self.calls >= MAX_CALLS
            || state.limiter.refused().is_some()
            || state.limiter.memory() > limit / 4 * 3
            || state.handles() > MAX_RESOURCES / 4 * 3
    }
}

/// How a call ended without an answer.
enum Ended {
    /// For a reason that is known exactly.
    Limit(CallFailure),
    /// With an error of wasmtime's that is none of ours.
    Error(wasmtime::Error),
}

impl Ended {
    fn into_failure(self) -> CallFailure {
        match self {
            Ended::Limit(failure) => failure,
            Ended::Error(why) => CallFailure::Trap { reason: format!("{why:#}"), tail: String::new() },
        }
    }
}

/// Runs one entry into the guest under all limits.
async fn run<T>(
    store: &mut Store<GuestState>,
    batch: Option<&EventBatch>,
    entry: impl AsyncFnOnce(&mut Store<GuestState>) -> wasmtime::Result<T>,
) -> Result<T, Ended> {
    store.data_mut().begin_call(batch.map(|batch| batch.id().clone()), batch.map_or(0, EventBatch::attempt));
    store.set_epoch_deadline(1);
    let (cpu, deadline) = (Arc::clone(&store.data().cpu), store.data().deadline);
    let ended = tokio::time::timeout_at(deadline, cpu.measure(entry(store))).await;
    let state = store.data();
    state.output.end_call();
    match ended {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(why)) => Err(explain(state, why)),
        Err(_) => {
            state.shared.counters.timeouts.one();
            Err(Ended::Limit(CallFailure::Timeout { limit: state.shared.spec.limits.timeout }))
        }
    }
}

/// Marks the error that the epoch callback ends a call with.
#[derive(Debug, thiserror::Error)]
#[error("CPU limit reached")]
struct CpuExceeded;

fn explain(state: &GuestState, why: wasmtime::Error) -> Ended {
    let (counters, limits) = (&state.shared.counters, &state.shared.spec.limits);
    if why.is::<CpuExceeded>() {
        counters.cpu_exceeded.one();
        return Ended::Limit(CallFailure::Cpu { limit: limits.cpu });
    }
    match state.limiter.refused() {
        Some(Refused::Memory(wanted)) => return Ended::Limit(CallFailure::Memory { wanted, limit: limits.memory }),
        Some(Refused::Table(wanted)) => return Ended::Limit(CallFailure::Table { wanted, limit: crate::engine::TABLE_ELEMENTS }),
        None => {}
    }
    let text = format!("{why:#}");
    // These two have no type of their own.
    if text.contains("resource table has no free keys") || text.contains("too many live handles") {
        counters.resources_refused.one();
        return Ended::Limit(CallFailure::Resources { limit: MAX_RESOURCES });
    }
    if text.contains("fuel allocated for hostcalls has been exhausted") {
        counters.hostcall_exceeded.one();
        return Ended::Limit(CallFailure::Hostcall { limit: MAX_HOSTCALL_BYTES });
    }
    let tail: Vec<_> = state
        .shared
        .hidden
        .hide(&state.output.tail())
        .lines()
        .map(|line| printable(line.as_bytes()))
        .filter(|line| !line.is_empty())
        .collect();
    let tail = match tail.join(" | ") {
        tail if tail.is_empty() => tail,
        tail => format!("; it last printed: {tail}"),
    };
    if let Some(exit) = why.downcast_ref::<I32Exit>() {
        counters.traps.one();
        return Ended::Limit(CallFailure::Exit { code: exit.0, tail });
    }
    if let Some(trap) = why.downcast_ref::<Trap>() {
        counters.traps.one();
        let place =
            why.downcast_ref::<wasmtime::WasmBacktrace>().and_then(|trace| trace.frames().iter().find_map(|frame| frame.func_name()));
        let place = place.map_or_else(String::new, |name| format!(" in {}", cut(&printable(name.as_bytes()), 120)));
        return Ended::Limit(CallFailure::Trap { reason: format!("{trap}{place}"), tail });
    }
    counters.traps.one();
    Ended::Error(why)
}
