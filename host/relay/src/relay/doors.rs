//! What listens: the collector's door, and the one for monitoring if it is apart.

use std::sync::Arc;

use flagpost_delivery::Delivery;
use flagpost_event::Clock;
use flagpost_spool::{EventLog, LogStats};
use tokio::runtime::Handle;
use tokio_rustls::TlsAcceptor;

use super::StartError;
use crate::config::Config;
use crate::http::{Door, Ending, Health, Info, Keys, Listen, MetricSources, Metrics, Plugins, Proxy, Room, Server, Side, Traffic, Visits};
use crate::intake::Intakes;
use crate::probe::Probes;
use crate::tls::{Certificate, TlsError};

/// What a door leads to.
pub(super) struct Inside<'a> {
    pub(super) config: &'a Config,
    pub(super) intakes: Arc<Intakes>,
    pub(super) keys: Arc<Keys>,
    pub(super) delivery: Arc<Delivery>,
    pub(super) plugins: Plugins,
    pub(super) probes: Arc<Probes>,
    pub(super) log: Arc<dyn EventLog>,
    pub(super) log_stats: Option<LogStats>,
    pub(super) ending: Ending,
    pub(super) clock: &'a dyn Clock,
}

/// Opens them.
pub(super) async fn open(inside: Inside<'_>, runtime: &Handle) -> Result<(Server, Option<Server>), StartError> {
    let Inside { config, intakes, keys, delivery, plugins, probes, log, log_stats, ending, clock } = inside;
    let server = &config.server;
    let certificate = server.tls.clone().map(Certificate::load).transpose()?;
    let acceptor = certificate.as_ref().map(acceptor).transpose()?;
    let proxy = config.upstream.clone().map(Proxy::new).transpose().map_err(StartError::Upstream)?.map(Arc::new);
    let (plugins, traffic) = (Arc::new(plugins), Arc::new(Traffic::default()));
    let room = Room::new(config.collector.max_in_flight);
    let metrics = Metrics::new(MetricSources {
        log,
        log_stats,
        delivery: Some(delivery.clone()),
        plugins: plugins.clone(),
        intakes: intakes.clone(),
        traffic: traffic.clone(),
        certificate: certificate.clone(),
        proxy: proxy.clone(),
        room: room.clone(),
    });
    let configured = i64::try_from(clock.unix_seconds()).unwrap_or(i64::MAX);
    let door = Arc::new(Door {
        keys,
        intakes,
        limits: Arc::new(config.collector.clone()),
        room,
        health: Health { delivery: Some(delivery), plugins, probes },
        info: Info {
            configured: flagpost_event::Zone::utc().rfc3339(configured),
            flag_sets: config.flag_sets.iter().map(|set| set.name.clone()).collect(),
        },
        metrics: Arc::new(metrics),
        visits: Arc::new(Visits::new(traffic, !config.disable_version_header, rand::random())),
        proxy,
        monitoring_apart: server.monitoring_port.is_some(),
        ending: ending.clone(),
    });

    // First the one that nobody waits for: who sees the collector open can ask it how it is.
    let monitoring = match server.monitoring_port {
        Some(port) => Some(Server::start(Listen::Tcp(server.host.clone(), port, None), Side::Monitoring, door.clone(), runtime).await?),
        None => None,
    };
    let listen = match &server.unix_socket {
        Some(path) => Listen::Unix(path.clone()),
        None => Listen::Tcp(server.host.clone(), server.port, acceptor),
    };
    let main = Server::start(listen, Side::Main, door, runtime).await?;
    if let Some(path) = &server.unix_socket {
        tracing::info!(socket = %path.display(), "listening");
    }
    if let Some(address) = monitoring.as_ref().and_then(Server::address) {
        tracing::info!(%address, "health, info and metrics are apart");
    }
    if let Some(certificate) = certificate {
        runtime.spawn(ending.draining.run_until_cancelled_owned(certificate.watch()));
    }
    Ok((main, monitoring))
}

fn acceptor(certificate: &Arc<Certificate>) -> Result<TlsAcceptor, TlsError> {
    certificate.server_config().map(TlsAcceptor::from)
}
