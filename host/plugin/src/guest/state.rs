//! What a store carries, and what all instances of a plugin share.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use flagpost_event::{BatchId, Clock};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{HostWallClock, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::cpu::CpuMeter;
use super::limiter::Limiter;
use super::output::{Output, Printer, Stream};
use crate::PluginSpec;
use crate::outbound::{Outbound, WasiHooks};
use crate::redact::Hidden;
use crate::stats::{Counters, Peak};

/// What all instances of one plugin share: its configuration and its counters.
pub(crate) struct Shared {
    pub(crate) spec: PluginSpec,
    /// `spec.config` as the guest reads it.
    pub(crate) config: String,
    /// What no text shows that leaves the host.
    pub(crate) hidden: Hidden,
    pub(crate) counters: Arc<Counters>,
    pub(crate) memory_peak: Peak,
    pub(crate) outbound: Outbound,
    pub(crate) clock: Arc<dyn Clock>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("name", &self.spec.name).finish_non_exhaustive()
    }
}

impl Shared {
    /// The same plugin with nothing granted, nothing configured and counters of its own: what describes itself in it can do nothing.
    pub(crate) fn bare(&self) -> Shared {
        let spec = PluginSpec { limits: self.spec.limits.clone(), ..PluginSpec::new(self.spec.name.clone(), self.spec.path.clone()) };
        Shared {
            spec,
            config: "{}".to_owned(),
            hidden: Hidden::default(),
            counters: Arc::default(),
            memory_peak: Peak::default(),
            outbound: self.outbound.bare(),
            clock: Arc::clone(&self.clock),
        }
    }
}

/// The data of one store.
pub(crate) struct GuestState {
    pub(super) shared: Arc<Shared>,
    pub(super) limiter: Limiter,
    pub(super) cpu: Arc<CpuMeter>,
    pub(super) output: Output,
    /// The call being made.
    pub(super) batch: Option<BatchId>,
    pub(super) attempt: u32,
    /// When the call being made is ended.
    pub(super) deadline: tokio::time::Instant,
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: WasiHooks,
}

/// Random bytes of one call to the host, which makes them in memory of its own.
const MAX_RANDOM: u64 = 64 << 10;

impl GuestState {
    /// Fresh data: no directories, no sockets, no environment but the plugin's own, output into the log.
    pub(super) fn new(shared: Arc<Shared>) -> wasmtime::Result<Self> {
        let output = Output::new(Arc::clone(&shared));
        let mut wasi = WasiCtx::builder();
        wasi.stdout(Printer { output: output.clone(), stream: Stream::Stdout })
            .stderr(Printer { output: output.clone(), stream: Stream::Stderr })
            .wall_clock(WallClock(Arc::clone(&shared.clock)))
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(MAX_RANDOM);
        for (name, value) in &shared.spec.env {
            wasi.env(name, value);
        }
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(super::MAX_HEADER_BYTES);
        let mut table = ResourceTable::new();
        table.set_max_capacity(super::MAX_RESOURCES);
        Ok(GuestState {
            limiter: Limiter::new(Arc::clone(&shared)),
            cpu: Arc::default(),
            output,
            batch: None,
            attempt: 0,
            deadline: tokio::time::Instant::now(),
            table,
            wasi: wasi.build(),
            http,
            hooks: WasiHooks::new(shared.outbound.clone()),
            shared,
        })
    }

    /// How many handles of the host the guest holds.
    pub(super) fn handles(&mut self) -> usize {
        self.table.iter_mut().count()
    }

    /// Notes which call comes, and until when it may last.
    pub(super) fn begin_call(&mut self, batch: Option<BatchId>, attempt: u32) {
        self.batch = batch;
        self.attempt = attempt;
        self.deadline = tokio::time::Instant::now() + self.shared.spec.limits.timeout;
        self.hooks.set_deadline(self.deadline);
        self.output.begin_call();
    }
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for GuestState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.hooks }
    }
}

/// The relay's clock as the guest's.
struct WallClock(Arc<dyn Clock>);

impl HostWallClock for WallClock {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.0.unix_millis())
    }
}
