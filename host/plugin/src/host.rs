//! The host: one engine for all plugins.

use std::path::PathBuf;
use std::sync::Arc;

use flagpost_event::Clock;

use crate::{PluginSpec, SpecError, WasmExporter};

/// What a host needs.
#[derive(Debug)]
pub struct HostOptions {
    /// Where compiled artefacts are kept: `<buffer.path>/cache`. Made with mode 0700.
    pub cache_dir: PathBuf,
    /// Who compiles.
    pub compiler: Compiler,
    /// Bytes that the memory limits of all plugins together may reach.
    pub memory_budget: u64,
    /// Runs guests and the tasks around them.
    pub runtime: tokio::runtime::Handle,
    /// Wall time for guests.
    pub clock: Arc<dyn Clock>,
}

/// Who turns WebAssembly into machine code.
#[derive(Clone, Debug)]
pub enum Compiler {
    /// A child process of this program, run as `<program> plugin compile <in.wasm> <out.cwasm>`: a hostile file costs the child, not the relay.
    Child(PathBuf),
    /// This process, on a blocking thread. For tests and embedders without the program.
    InProcess,
}

/// All plugins of a relay.
#[derive(Debug)]
pub struct PluginHost {
    _options: HostOptions,
}

/// The host could not start.
#[derive(Debug, thiserror::Error)]
pub enum HostError {}

impl PluginHost {
    /// Starts the engine and opens the cache.
    pub fn start(options: HostOptions) -> Result<Arc<PluginHost>, HostError> {
        Ok(Arc::new(PluginHost { _options: options }))
    }

    /// Begins to load a plugin and returns at once; [`Exporter::readiness`](flagpost_exporter::Exporter::readiness) says how it goes.
    pub fn load(self: &Arc<Self>, spec: PluginSpec) -> Result<Arc<WasmExporter>, SpecError> {
        Ok(Arc::new(WasmExporter { spec }))
    }
}
