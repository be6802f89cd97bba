//! What a store carries, and what all instances of a plugin share.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use flagpost_event::{BatchId, Clock};
use wasmtime::component::ResourceTable;
use wasmtime::format_err;
use wasmtime_wasi::{FsPerms, HostWallClock, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::cpu::CpuMeter;
use super::limiter::Limiter;
use super::output::{Output, Printer, Stream};
use super::sockets::Connections;
use crate::PluginSpec;
use crate::convert::Ear;
use crate::denials::Denials;
use crate::metrics::Metrics;
use crate::outbound::{Outbound, WasiHooks};
use crate::policy::{Policy, SocketRule};
use crate::redact::Hidden;
use crate::secrets::Secrets;
use crate::state::State;
use crate::stats::{Counters, Peak};

/// What all instances of one plugin share: its configuration and its counters.
pub(crate) struct Shared {
    pub(crate) spec: PluginSpec,
    /// `spec.config` as the guest reads it.
    pub(crate) config: String,
    /// What no text shows that leaves the host.
    pub(crate) hidden: Hidden,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) denials: Arc<Denials>,
    pub(crate) memory_peak: Peak,
    pub(crate) metrics: Metrics,
    pub(crate) state: State,
    pub(crate) policy: Arc<Policy>,
    pub(crate) sockets: Vec<SocketRule>,
    pub(crate) outbound: Outbound,
    pub(crate) clock: Arc<dyn Clock>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("name", &self.spec.name).finish_non_exhaustive()
    }
}

impl Shared {
    /// How a guest's words are taken.
    pub(crate) fn ear(&self) -> Ear<'_> {
        Ear { hidden: &self.hidden, cut: &self.counters.texts_cut, duplicates: &self.counters.duplicates }
    }

    /// The same plugin with nothing granted, nothing configured and counters of its own: what describes itself in it can do nothing.
    pub(crate) fn bare(&self) -> Shared {
        let spec = PluginSpec { limits: self.spec.limits.clone(), ..PluginSpec::new(self.spec.name.clone(), self.spec.path.clone()) };
        let denials = Arc::new(Denials::new(&self.spec.name));
        Shared {
            spec,
            config: "{}".to_owned(),
            hidden: Hidden::default(),
            secrets: Arc::default(),
            counters: Arc::default(),
            denials: Arc::clone(&denials),
            memory_peak: Peak::default(),
            metrics: Metrics::default(),
            state: State::denied(),
            policy: Arc::default(),
            sockets: Vec::new(),
            outbound: self.outbound.bare(denials),
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
    pub(super) connections: Arc<Connections>,
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: WasiHooks,
}

/// Random bytes of one call to the host, which makes them in memory of its own.
const MAX_RANDOM: u64 = 64 << 10;

impl GuestState {
    /// Fresh data: what is granted and nothing else; output into the log. Fails when a granted directory cannot be opened.
    pub(super) fn new(shared: Arc<Shared>) -> wasmtime::Result<Self> {
        let output = Output::new(Arc::clone(&shared));
        let mut wasi = WasiCtx::builder();
        wasi.stdout(Printer { output: output.clone(), stream: Stream::Stdout })
            .stderr(Printer { output: output.clone(), stream: Stream::Stderr })
            .wall_clock(WallClock(Arc::clone(&shared.clock)))
            .allow_udp(false)
            .max_random_size(MAX_RANDOM);
        let connections = Connections::grant(&shared, &mut wasi);
        for (name, value) in &shared.spec.env {
            wasi.env(name, value);
        }
        for (name, value) in shared.secrets.env() {
            wasi.env(name, value);
        }
        for (guest, host) in &shared.spec.files {
            wasi.preopened_dir(host, guest, FsPerms::ReadOnly).map_err(|why| format_err!("{} (key `files`): {why:#}", host.display()))?;
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
            connections,
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
