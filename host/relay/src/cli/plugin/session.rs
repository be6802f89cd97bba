//! A plugin host for one command: no store, no network but what the command gives it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use flagpost_exporter::{Exporter, Readiness};
use flagpost_plugin::{Compiler, HostOptions, PluginHost, PluginSpec, Responder, WasmExporter};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::cli::{chain, complain};

/// Loading that takes longer is spoken of.
const SILENT: Duration = Duration::from_secs(1);

/// What runs plugins for a command.
pub(super) struct Session {
    pub(super) runtime: Runtime,
    pub(super) host: Arc<PluginHost>,
    /// What plugins keep through `key-value`: empty in each run.
    _state: TempDir,
}

impl Session {
    /// Starts a host. With `responder`, no request leaves the process.
    pub(super) fn start(responder: Option<Arc<dyn Responder>>) -> Result<Session> {
        Session::start_in(&cache(), responder)
    }

    /// Starts a host that keeps what it compiles in that directory.
    pub(super) fn start_in(cache: &std::path::Path, responder: Option<Arc<dyn Responder>>) -> Result<Session> {
        flagpost_exporter::install_crypto();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().context("no threads")?;
        let program = std::env::current_exe().context("this program's own file is not known")?;
        let state = tempfile::tempdir().context("no directory for state")?;
        let options = HostOptions::new(cache, Compiler::Child(program), runtime.handle().clone());
        let host = PluginHost::start(HostOptions { responder, state_dir: Some(state.path().to_owned()), ..options })
            .map_err(|error| anyhow!(chain(&error)))?;
        Ok(Session { runtime, host, _state: state })
    }

    /// Loads a plugin and waits until it runs. The error is why it does not.
    pub(super) fn load(&self, spec: PluginSpec) -> Result<Arc<WasmExporter>> {
        let (exporter, refused) = self.try_out(spec)?;
        refused.map_or(Ok(exporter), |reason| Err(anyhow!(reason)))
    }

    /// Loads a plugin and waits until it runs, or cannot: then with the reason. The error is that nothing could be tried.
    pub(super) fn try_out(&self, spec: PluginSpec) -> Result<(Arc<WasmExporter>, Option<String>)> {
        let file = spec.path.clone();
        let exporter = self.host.load(spec)?;
        let ended = self.runtime.block_on(async {
            let mut readiness = exporter.readiness().context("plugins have a readiness")?;
            let settled = async |readiness: &mut watch::Receiver<Readiness>| {
                let settled = readiness.wait_for(|readiness| *readiness != Readiness::Preparing).await;
                settled.map(|readiness| readiness.clone()).context("loading ended")
            };
            if let Ok(ended) = timeout(SILENT, settled(&mut readiness)).await {
                return ended;
            }
            complain(format_args!("compiling {}, once; what comes out is kept for the next command", file.display()));
            settled(&mut readiness).await
        })?;
        match ended {
            Readiness::Invalid { reason } => Ok((exporter, Some(reason))),
            Readiness::Ready { .. } | Readiness::Preparing => Ok((exporter, None)),
        }
    }
}

/// Where what was compiled is kept for the next command: compiling takes seconds for some languages.
fn cache() -> PathBuf {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    base.unwrap_or_else(|| std::env::temp_dir().join(format!("flagpost-{}", rustix::process::getuid().as_raw()))).join("flagpost/plugins")
}
