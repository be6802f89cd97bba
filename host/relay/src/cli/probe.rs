//! `flagpost validate --probe`: every exporter's target is asked once, all at the same time.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use flagpost_exporter::Exporter;
use flagpost_plugin::{Compiler, HostOptions, PluginHost};

use crate::config::{ExporterConfig, Target};
use crate::probe::{self, Finding};
use crate::process;
use crate::relay::temporary_cache;

/// A plugin is compiled first: a large one takes a minute on a small machine.
const COMPILED: Duration = Duration::from_secs(180);

/// What a probe found out, and what it did.
pub(super) struct Probed {
    pub(super) finding: Finding,
    pub(super) tries: &'static str,
}

/// Asks all of them; the answers are in the order of the exporters.
pub(super) fn probe(exporters: &[ExporterConfig]) -> anyhow::Result<Vec<Probed>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the system gives no runtime")?;
    let mut host: Option<Arc<PluginHost>> = None;
    let mut built: Vec<(Arc<dyn Exporter>, Duration)> = Vec::new();
    for exporter in exporters {
        built.push(match &exporter.target {
            Target::Native(exporter) => (Arc::clone(exporter), probe::LIMIT),
            Target::Wasm(spec) => {
                let host = match &host {
                    Some(host) => host,
                    None => host.insert(start_host(runtime.handle())?),
                };
                (host.load((**spec).clone()).context("a plugin's configuration is wrong")?, COMPILED)
            }
        });
    }
    let asked: Vec<_> = built
        .into_iter()
        .map(|(exporter, limit)| {
            runtime.spawn(async move { Probed { finding: probe::ask(&exporter, limit).await, tries: exporter.tries() } })
        })
        .collect();
    let probed = asked.into_iter().map(|one| runtime.block_on(one).context("a probe was broken off")).collect::<Result<_, _>>()?;
    drop(host);
    // Somebody may still be asking a target that hangs.
    runtime.shutdown_background();
    Ok(probed)
}

/// A host with a cache beside the relay's own, which belongs to whoever holds the store.
fn start_host(runtime: &tokio::runtime::Handle) -> anyhow::Result<Arc<PluginHost>> {
    let program = std::env::current_exe().context("the program's own path cannot be found")?;
    let options = HostOptions {
        memory_budget: process::memory_limit() / 4 * 3,
        ..HostOptions::new(temporary_cache(), Compiler::Child(program), runtime.clone())
    };
    PluginHost::start(options).context("plugins cannot be run")
}
