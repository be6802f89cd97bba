//! Wiring: what is started in which order, and why in this one.
//!
//! Store (its lock first, so that two relays never write one log) -> plugin host -> delivery with all exporters -> intake -> listening.
//! Each step needs the ones before; nothing is taken before all of it stands.

use std::sync::Arc;

use flagpost_delivery::{Delivery, DeliveryOptions, TaskSpec};
use flagpost_event::{Clock, EventKind, StreamName};
use flagpost_exporter::{Exporter, Readiness};
use flagpost_plugin::{Compiler, HostOptions, PluginHost};
use flagpost_spool::Identity;
use tokio_util::sync::CancellationToken;

use super::runtimes::Runtimes;
use super::{Relay, StartError, store};
use crate::config::{Config, DEFAULT_FLAG_SET, ExporterConfig, Target};
use crate::http::{Door, Ending, Health, MetricSources, Metrics, Plugin, Plugins, Proxy, Room, Server};
use crate::intake::{Gate, Intake, IntakeStats};
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
        runtime: work,
    };
    let delivery = Arc::new(Delivery::start(store.log.clone(), store.ledger.clone(), options).await?);
    let configured: Vec<(Identity, StreamName)> = specs.iter().map(|spec| (spec.identity.clone(), spec.stream.clone())).collect();
    if let Some(twice) = configured.iter().enumerate().find_map(|(n, one)| configured[..n].contains(one).then_some(one)) {
        return Err(StartError::Twice { exporter: twice.0.exporter.clone() });
    }
    for spec in specs {
        delivery.add(spec).await?;
    }
    delivery.retain(&configured).await?;

    let log = store.log.clone();
    let gate = Gate::new(delivery.admission(), Box::new(move || log.pressure()), config.buffer.min_free, store.budget);
    let stats = Arc::new(IntakeStats::default());
    let read: Vec<EventKind> =
        EventKind::ALL.into_iter().filter(|kind| configured.iter().any(|(_, stream)| stream.kind == *kind)).collect();
    let intake = Arc::new(Intake::new(store.log.clone(), DEFAULT_FLAG_SET, &read, gate, stats.clone()));
    let draining = CancellationToken::new();

    let server = if settings.listen {
        let proxy = config.upstream.clone().map(Proxy::new).transpose().map_err(StartError::Upstream)?.map(Arc::new);
        let plugins = Arc::new(plugins);
        let room = Room::new(config.collector.max_in_flight);
        let metrics = Metrics::new(MetricSources {
            log: store.log.clone(),
            log_stats: store.stats,
            delivery: Some(delivery.clone()),
            plugins: plugins.clone(),
            intakes: vec![(DEFAULT_FLAG_SET.to_owned(), stats)],
            proxy: proxy.clone(),
            room: room.clone(),
        });
        let door = Door {
            intake: intake.clone(),
            room,
            limits: Arc::new(config.collector),
            health: Health { delivery: Some(delivery.clone()), plugins },
            metrics: Arc::new(metrics),
            proxy,
            ending: Ending { draining: draining.clone(), cut: CancellationToken::new() },
        };
        Some(Server::start(&config.server.host, config.server.port, Arc::new(door), &door_runtime).await?)
    } else {
        None
    };
    Ok(Relay {
        intake,
        delivery,
        log: store.log,
        ledger: store.ledger,
        server,
        draining,
        shutdown_timeout: config.shutdown_timeout,
        _lock: store.lock,
        _runtimes: runtimes,
    })
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
