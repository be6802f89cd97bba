//! Wiring: what is started in which order, and why in this one.
//!
//! Store (its lock first, so that two relays never write one log) -> plugin host -> delivery with all exporters -> intake -> listening ->
//! probes, which nothing waits for.
//! Each step needs the ones before; nothing is taken before all of it stands.

use std::sync::Arc;

use flagpost_delivery::{Delivery, DeliveryOptions, TaskSpec};
use flagpost_event::{Clock, EventKind, StreamName};
use flagpost_exporter::{Exporter, Readiness};
use flagpost_plugin::{Compiler, HostOptions, PluginHost};
use flagpost_spool::Identity;
use tokio_util::sync::CancellationToken;

use super::runtimes::Runtimes;
use super::{Relay, StartError, doors, store};
use crate::config::{Config, DEFAULT_FLAG_SET, ExporterConfig, Target};
use crate::http::{Access, Ending, Keys, Plugin, Plugins};
use crate::intake::{Gate, Intakes};
use crate::probe::Probes;
use crate::process;

/// How the surroundings differ between the program, a library's user and tests.
pub(crate) struct Settings {
    pub(crate) clock: Arc<dyn Clock>,
    /// Who compiles plugins.
    pub(crate) compiler: Compiler,
    /// Seeds the jitter of retries.
    pub(crate) seed: u64,
    /// Whether to listen at `server`.
    pub(crate) listen: bool,
}

pub(crate) async fn start(config: Config, settings: Settings) -> Result<Relay, StartError> {
    process::mark_start();
    crate::tls::install();
    check_flag_sets(&config)?;
    let runtimes = Runtimes::start().map_err(StartError::Threads)?;
    let (Some(door_runtime), Some(work)) = (runtimes.door().cloned(), runtimes.work().cloned()) else {
        return Err(StartError::Threads(std::io::Error::other("no runtime")));
    };

    let store = store::open(&config.buffer, &settings.clock).await?;
    let (specs, plugins) = specs(&config.exporters, &store.cache, &settings, &work)?;
    if config.plugins_required {
        require(&plugins).await?;
    }

    let options = DeliveryOptions {
        store: store.id.clone(),
        clock: settings.clock.clone(),
        seed: settings.seed,
        max_bytes: store.budget,
        keep_removed: config.buffer.keep_removed,
        runtime: work.clone(),
    };
    let delivery = Arc::new(Delivery::start(store.log.clone(), store.ledger.clone(), options).await?);
    let configured: Vec<(Identity, StreamName)> = specs.iter().map(|spec| (spec.identity.clone(), spec.stream.clone())).collect();
    if let Some(twice) = configured.iter().enumerate().find_map(|(n, one)| configured[..n].contains(one).then_some(one)) {
        return Err(StartError::Twice { exporter: twice.0.exporter.clone() });
    }
    let probes = Arc::new(Probes::of(&specs));
    for spec in specs {
        delivery.add(spec).await?;
    }
    delivery.retain(&configured).await?;

    let log = store.log.clone();
    let gate = Gate::new(delivery.admission(), Box::new(move || log.pressure()), config.buffer.min_free, store.budget);
    let intakes = Arc::new(Intakes::new(store.log.clone(), read_streams(&config, &configured), &gate));
    let access = Access::new(&config.authorized_keys, &config.flag_sets, &intakes, rand::random());
    let keys = Arc::new(Keys::new(access));
    let draining = CancellationToken::new();

    let (server, monitoring) = if settings.listen {
        let inside = doors::Inside {
            config: &config,
            intakes: intakes.clone(),
            keys,
            delivery: delivery.clone(),
            plugins,
            probes: probes.clone(),
            log: store.log.clone(),
            log_stats: store.stats,
            ending: Ending { draining: draining.clone(), cut: CancellationToken::new() },
            clock: &*settings.clock,
        };
        let (main, monitoring) = doors::open(inside, &door_runtime).await?;
        (Some(main), monitoring)
    } else {
        (None, None)
    };
    if config.probes {
        probes.start(&delivery, &settings.clock, &work, &draining);
    }
    Ok(Relay {
        intakes,
        delivery,
        log: store.log,
        ledger: store.ledger,
        server,
        monitoring,
        draining,
        shutdown_timeout: config.shutdown_timeout,
        _lock: store.lock,
        runtimes,
    })
}

/// Whether flag sets, their keys and the exporters fit together. A file is checked when it is read; this holds for what a library's user adds.
fn check_flag_sets(config: &Config) -> Result<(), StartError> {
    let sets = &config.flag_sets;
    for (at, set) in sets.iter().enumerate() {
        for earlier in &sets[..at] {
            if earlier.name == set.name {
                return Err(StartError::FlagSetTwice { flag_set: set.name.clone() });
            }
            if earlier.api_keys.iter().any(|key| set.api_keys.contains(key)) {
                return Err(StartError::SharedKey { first: earlier.name.clone(), second: set.name.clone() });
            }
        }
    }
    let unknown = config
        .exporters
        .iter()
        .map(|exporter| &exporter.identity)
        .find(|Identity { flag_set, .. }| *flag_set != DEFAULT_FLAG_SET && sets.iter().all(|set| set.name != *flag_set));
    match unknown.cloned() {
        Some(Identity { exporter, flag_set }) => Err(StartError::UnknownFlagSet { exporter, flag_set }),
        None => Ok(()),
    }
}

/// The flag sets, each with the kinds of events that an exporter of its own reads. The default one is there when no key decides, and for an
/// embedding program that has exporters in it.
fn read_streams(config: &Config, configured: &[(Identity, StreamName)]) -> Vec<(Arc<str>, Vec<EventKind>)> {
    let read = |name: &str| -> Vec<EventKind> {
        let is_read = |kind: &EventKind| configured.iter().any(|(_, stream)| *stream.flag_set == *name && stream.kind == *kind);
        EventKind::ALL.into_iter().filter(is_read).collect()
    };
    let named = config.flag_sets.iter().map(|set| set.name.as_str());
    let has_default = config.flag_sets.is_empty() || !read(DEFAULT_FLAG_SET).is_empty();
    let default = has_default.then_some(DEFAULT_FLAG_SET).filter(|name| config.flag_sets.iter().all(|set| set.name != *name));
    named.chain(default).map(|name| (name.into(), read(name))).collect()
}

/// One task per exporter and stream, and the plugins among the exporters.
fn specs(
    exporters: &[ExporterConfig],
    cache: &std::path::Path,
    settings: &Settings,
    work: &tokio::runtime::Handle,
) -> Result<(Vec<TaskSpec>, Plugins), StartError> {
    let mut host: Option<Arc<PluginHost>> = None;
    let mut specs = Vec::new();
    let mut plugins = Plugins::new();
    for config in exporters {
        let exporter: Arc<dyn Exporter> = match &config.target {
            Target::Native(exporter) => exporter.clone(),
            Target::Wasm(spec) => {
                // A relay without plugins has no engine.
                let host = match &host {
                    Some(host) => host,
                    None => host.insert(PluginHost::start(HostOptions {
                        memory_budget: process::memory_limit() / 4 * 3,
                        clock: settings.clock.clone(),
                        ..HostOptions::new(cache, settings.compiler.clone(), work.clone())
                    })?),
                };
                let plugin = host.load((**spec).clone())?;
                plugins.push(Plugin { identity: config.identity.clone(), events: config.events.clone(), exporter: plugin.clone() });
                plugin
            }
        };
        for kind in &config.events {
            specs.push(TaskSpec {
                identity: config.identity.clone(),
                kind: config.kind.clone(),
                stream: StreamName::new(config.identity.flag_set.as_str(), *kind),
                exporter: exporter.clone(),
                policy: config.policy.clone(),
            });
        }
    }
    Ok((specs, plugins))
}

/// Waits until every plugin is ready; one that cannot run ends the start.
async fn require(plugins: &Plugins) -> Result<(), StartError> {
    for Plugin { identity, exporter, .. } in plugins {
        let Some(mut readiness) = exporter.readiness() else { continue };
        let settled = readiness.wait_for(|now| *now != Readiness::Preparing).await.map(|now| now.clone());
        if let Ok(Readiness::Invalid { reason }) = settled {
            return Err(StartError::PluginInvalid { exporter: identity.exporter.clone(), reason });
        }
    }
    Ok(())
}
