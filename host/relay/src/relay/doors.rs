//! What listens: the collector's door, and the one for monitoring if it is apart.

use std::sync::Arc;

use flagpost_spool::{EventLog, LogStats};
use tokio::runtime::Handle;
use tokio_rustls::TlsAcceptor;

use super::StartError;
use super::live::Live;
use crate::config::Config;
use crate::http::{Door, Ending, Health, Listen, MetricSources, Metrics, Proxy, Room, Server, Side, Traffic, Visits};
use crate::tls::{Certificate, TlsError};

/// What a door leads to.
pub(super) struct Inside<'a> {
    pub(super) config: &'a Config,
    pub(super) live: &'a Live,
    pub(super) log: Arc<dyn EventLog>,
    pub(super) log_stats: Option<LogStats>,
    pub(super) ending: Ending,
}

/// Opens them.
pub(super) async fn open(inside: Inside<'_>, runtime: &Handle) -> Result<(Server, Option<Server>), StartError> {
    let Inside { config, live, log, log_stats, ending } = inside;
    let server = &config.server;
    let certificate = server.tls.clone().map(Certificate::load).transpose()?;
    let acceptor = certificate.as_ref().map(acceptor).transpose()?;
    let proxy = config.upstream.clone().map(Proxy::new).transpose().map_err(StartError::Upstream)?.map(Arc::new);
    let traffic = Arc::new(Traffic::default());
    let room = Room::new(config.collector.max_in_flight);
    let metrics = Metrics::new(MetricSources {
        log,
        log_stats,
        delivery: Some(live.delivery.clone()),
        plugins: live.plugins.clone(),
        intakes: live.intakes.clone(),
        traffic: traffic.clone(),
        certificate: certificate.clone(),
        proxy: proxy.clone(),
        room: room.clone(),
        reloads: live.reloads.clone(),
    });
    let door = Arc::new(Door {
        keys: live.keys.clone(),
        intakes: live.intakes.clone(),
        limits: live.limits.clone(),
        room,
        health: Health { delivery: Some(live.delivery.clone()), plugins: live.plugins.clone(), reloads: live.reloads.clone() },
        info: live.info.clone(),
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
