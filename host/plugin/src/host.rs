//! The host: one engine, one linker, one compiler and one cache for all plugins.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use flagpost_event::{Clock, SystemClock};
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::cache::{Cache, CacheError, Digest};
use crate::compile::{CompileError, CompileQueue};
use crate::denials::Denials;
use crate::distribution::Store;
use crate::engine::{self, TickerGuard};
use crate::guest::{self, GuestState, Shared};
use crate::memory::{Budget, Reservation};
use crate::metrics::Metrics;
use crate::outbound::{Authorities, Outbound, Resolver, Responder, SystemResolver, Way};
use crate::payload::Payloads;
use crate::policy::Policy;
use crate::secrets::Secrets;
use crate::state::State;
use crate::stats::{Counters, Peak};
use crate::text::bytes as readable;
use crate::watch::{Stamp, Watcher};
use crate::{PluginSpec, SecretUse, SpecError, SpecProblem, WasmExporter};

/// What a host needs.
#[derive(Debug)]
pub struct HostOptions {
    /// Where compiled artefacts are kept: `<buffer.path>/cache`. Made with mode 0700; one that others may write to is refused.
    pub cache_dir: PathBuf,
    /// Who compiles.
    pub compiler: Compiler,
    /// Bytes that the memory limits of all plugins together may reach.
    pub memory_budget: u64,
    /// Runs guests and the tasks around them.
    pub runtime: tokio::runtime::Handle,
    /// Wall time for guests.
    pub clock: Arc<dyn Clock>,
    /// Where plugins keep their state: `<buffer.path>/state`. `None`: plugins that are granted state keep none (it is an error of their
    /// configuration).
    pub state_dir: Option<PathBuf>,
    /// Where names in guests' requests are looked up.
    pub resolver: Arc<dyn Resolver>,
    /// Answers guests' requests in place of the network. Whatever it is asked for is granted, unless `allowedHosts` names something.
    pub responder: Option<Arc<dyn Responder>>,
}

impl HostOptions {
    /// Options with no limit on memory, the system's clock and the system's resolver.
    pub fn new(cache_dir: impl Into<PathBuf>, compiler: Compiler, runtime: tokio::runtime::Handle) -> Self {
        HostOptions {
            cache_dir: cache_dir.into(),
            compiler,
            memory_budget: u64::MAX,
            runtime,
            clock: Arc::new(SystemClock),
            state_dir: None,
            resolver: Arc::new(SystemResolver),
            responder: None,
        }
    }
}

/// Who turns WebAssembly into machine code.
#[derive(Clone, Debug)]
pub enum Compiler {
    /// A child process of this program, run as `<program> plugin compile <in.wasm> <out.cwasm>`: a hostile file costs the child, not the
    /// relay.
    Child(PathBuf),
    /// This process, on a blocking thread. For tests and embedders without the program.
    InProcess,
}

/// All plugins of a relay.
pub struct PluginHost {
    engine: Engine,
    linker: Linker<GuestState>,
    cache: Arc<Cache>,
    queue: CompileQueue,
    options: HostOptions,
    /// Batches as texts, made once for all plugins.
    payloads: Arc<Payloads>,
    memory: Arc<Budget>,
    watcher: Arc<Watcher>,
    authorities: Arc<Authorities>,
    /// What came out of registries.
    images: Store,
    _ticker: Arc<TickerGuard>,
}

impl fmt::Debug for PluginHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginHost").field("options", &self.options).finish_non_exhaustive()
    }
}

/// The host could not start.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The engine does not run on this machine.
    #[error("the WebAssembly engine does not start: {0}")]
    Engine(String),
    /// The cache directory cannot be used.
    #[error("the cache of compiled plugins cannot be used")]
    Cache(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No thread for the ticker.
    #[error("the plugin host cannot start a thread")]
    Thread(#[source] std::io::Error),
}

impl From<CacheError> for HostError {
    fn from(why: CacheError) -> Self {
        HostError::Cache(Box::new(why))
    }
}

impl PluginHost {
    /// Starts the engine and opens the cache. Makes the cache's directory and key.
    ///
    /// # Errors
    ///
    /// The engine does not run here, or the cache directory cannot be made private.
    pub fn start(options: HostOptions) -> Result<Arc<PluginHost>, HostError> {
        let of_engine = |why: wasmtime::Error| HostError::Engine(format!("{why:#}"));
        let engine = engine::runner().map_err(of_engine)?;
        let linker = guest::linker(&engine).map_err(of_engine)?;
        let cache = Arc::new(Cache::open(&options.cache_dir, &engine)?);
        let ticker = engine::start_ticker(&engine).map_err(HostError::Thread)?;
        let (queue, images) = (CompileQueue::new(options.compiler.clone()), Store::new(&options.cache_dir));
        let (payloads, memory) = (Arc::default(), Budget::new(options.memory_budget));
        let (watcher, authorities) = Default::default();
        Ok(Arc::new(PluginHost { engine, linker, cache, queue, options, payloads, memory, watcher, authorities, images, _ticker: ticker }))
    }

    /// Begins to load a plugin and returns at once; [`Exporter::readiness`](flagpost_exporter::Exporter::readiness) says how it goes.
    ///
    /// # Errors
    ///
    /// The configuration is wrong, or the memory limits exceed the budget. What is wrong with the *file* is no error here but a state.
    pub fn load(self: &Arc<Self>, spec: PluginSpec) -> Result<Arc<WasmExporter>, SpecError> {
        let mut problems = spec.problems();
        if spec.state.is_some() && self.options.state_dir.is_none() {
            let message = "this relay has no directory for it; set buffer.path".to_owned();
            problems.push(SpecProblem { key: "state".to_owned(), message });
        }
        if !problems.is_empty() {
            return Err(SpecError { name: spec.name, problems });
        }
        let memory = match self.reserve(&spec) {
            Ok(memory) => memory,
            Err(problem) => return Err(SpecError { name: spec.name, problems: vec![problem] }),
        };
        Ok(WasmExporter::spawn(Arc::clone(self), Arc::new(self.shared(spec)), memory))
    }

    /// What all instances of a plugin share.
    fn shared(&self, spec: PluginSpec) -> Shared {
        let counters = Arc::new(Counters::default());
        let denials = Arc::new(Denials::new(&spec.name));
        let rules = spec.allowed_hosts.iter().filter_map(|text| text.parse().ok()).collect();
        let policy = Arc::new(Policy::new(rules, spec.allowed_networks.clone()));
        let secrets = Arc::new(Secrets::new(&spec));
        let mut hidden = spec.hidden.clone();
        secrets.hide_in(&mut hidden);
        let revealed: Vec<_> =
            spec.secrets.iter().filter(|(_, secret)| secret.exposure == SecretUse::Reveal).map(|(name, _)| name).collect();
        if !revealed.is_empty() {
            tracing::warn!(plugin = spec.name, secrets = ?revealed, "the plugin sees these secrets (as: reveal)");
        }
        let outbound = Outbound::new(Way {
            policy: Arc::clone(&policy),
            http: spec.http.clone(),
            secrets: Arc::clone(&secrets),
            resolver: Arc::clone(&self.options.resolver),
            authorities: Arc::clone(&self.authorities),
            responder: self.options.responder.clone(),
            counters: Arc::clone(&counters),
            denials: Arc::clone(&denials),
        });
        let state = match (spec.state, &self.options.state_dir) {
            (Some(quota), Some(dir)) => State::new(dir, &spec.flag_set, &spec.name, quota),
            _ => State::denied(),
        };
        let sockets = spec.allowed_sockets.iter().filter_map(|text| text.parse().ok()).collect();
        Shared {
            config: if spec.config.is_null() { "{}".to_owned() } else { spec.config.to_string() },
            hidden,
            secrets,
            counters,
            denials,
            memory_peak: Peak::default(),
            metrics: Metrics::default(),
            state,
            policy,
            sockets,
            outbound,
            clock: Arc::clone(&self.options.clock),
            spec,
        }
    }

    /// What a plugin's instances may use, of what all plugins may.
    fn reserve(&self, spec: &PluginSpec) -> Result<Reservation, SpecProblem> {
        self.memory.take(spec.memory()).map_err(|given| SpecProblem {
            key: "limits.memory".to_owned(),
            message: format!(
                "{} for {} instance(s) of {}, beside the {} of the plugins before it, exceed the {} that all plugins may use; lower limits.memory",
                readable(spec.memory()),
                spec.limits.instances,
                readable(spec.limits.memory),
                readable(given),
                readable(self.memory.most),
            ),
        })
    }

    /// The same once more, for another generation beside the one that runs.
    pub(crate) fn reserve_beside(&self, spec: &PluginSpec) -> Result<Reservation, String> {
        self.memory.take(spec.memory()).map_err(|given| {
            format!(
                "for a moment two of it would run, and another {} beside the {} that plugins have exceed the {} that all plugins may use; \
                 lower limits.memory, or restart the relay",
                readable(spec.memory()),
                readable(given),
                readable(self.memory.most),
            )
        })
    }

    /// Stable versions of a plugin's file from now on, beginning with `now`.
    pub(crate) fn watch(&self, path: &std::path::Path, now: Stamp) -> tokio::sync::watch::Receiver<Stamp> {
        self.watcher.watch(path, now, &self.options.runtime)
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.options.clock
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn linker(&self) -> &Linker<GuestState> {
        &self.linker
    }

    pub(crate) fn images(&self) -> &Store {
        &self.images
    }

    pub(crate) fn payloads(&self) -> &Arc<Payloads> {
        &self.payloads
    }

    pub(crate) fn runtime(&self) -> &tokio::runtime::Handle {
        &self.options.runtime
    }

    /// The component from the cache, if it is there and genuine.
    pub(crate) async fn cached(&self, digest: &Digest) -> Option<Component> {
        let (cache, engine, digest) = (Arc::clone(&self.cache), self.engine.clone(), *digest);
        tokio::task::spawn_blocking(move || cache.load(&engine, &digest)).await.ok().flatten()
    }

    pub(crate) async fn compile(&self, wasm: Vec<u8>) -> Result<Vec<u8>, CompileError> {
        self.queue.compile(&self.engine, wasm, self.cache.dir().to_owned()).await
    }

    /// Loads what was just compiled, and keeps it.
    pub(crate) async fn keep(&self, digest: Digest, artefact: Vec<u8>) -> wasmtime::Result<Component> {
        let (cache, engine) = (Arc::clone(&self.cache), self.engine.clone());
        tokio::task::spawn_blocking(move || cache.take(&engine, &digest, &artefact)).await?
    }
}
