//! Listening: connections in, their end at shutdown.
//!
//! While the program ends the port stays open, so that probes and clients get an answer instead of a refused connection: readiness is 503,
//! and the collector refuses before it takes anything. Connections from before finish their request and are closed.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::{Door, Ending, places, upgrade};
use crate::process;
use crate::relay::StartError;

/// A listening server. Dropped, it listens no more.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    /// The connections that were there before the end began.
    connections: TaskTracker,
    cut: CancellationToken,
    _listening: DropGuard,
}

/// A pause after the system refused a connection, so that a full file table does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a connection whose request was cut off may take to hear it.
const LAST_WORDS: Duration = Duration::from_millis(500);

impl Server {
    /// Listens, and serves on `runtime`.
    pub(crate) async fn start(host: &str, port: u16, door: Arc<Door>, runtime: &Handle) -> Result<Server, StartError> {
        let cut = door.ending.cut.clone();
        let failed = |source| StartError::Listen { address: format!("{host}:{port}"), source };
        let place = (host.trim_matches(['[', ']']).to_owned(), port);
        // The listener belongs to the runtime that polls it.
        let bound = runtime.spawn(async move {
            let listener = TcpListener::bind((place.0.as_str(), place.1)).await?;
            Ok((listener.local_addr()?, listener))
        });
        let bound: io::Result<(SocketAddr, TcpListener)> = bound.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        let (address, listener) = bound.map_err(failed)?;
        let (connections, listening) = (TaskTracker::new(), CancellationToken::new());
        runtime.spawn(listening.clone().run_until_cancelled_owned(serve(listener, door, connections.clone())));
        Ok(Server { address, connections, cut, _listening: listening.drop_guard() })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until the connections from before the end have finished their requests, at most `within`. Whether all did; the others are told,
    /// those that can be, and closed.
    pub(crate) async fn finish(&self, within: Duration) -> bool {
        self.connections.close();
        let last = LAST_WORDS.min(within / 4);
        if tokio::time::timeout(within - last, self.connections.wait()).await.is_ok() {
            return true;
        }
        self.cut.cancel();
        // Whoever does not listen is left.
        drop(tokio::time::timeout(last, self.connections.wait()).await);
        false
    }
}

async fn serve(listener: TcpListener, door: Arc<Door>, connections: TaskTracker) {
    let wanted = (door.limits.max_connections, door.proxy.as_ref().map_or(0, |proxy| proxy.places()));
    let (most, passed) = places::fitting(process::files(), wanted.0, wanted.1);
    if (most, passed) != wanted {
        tracing::warn!(
            connections = most,
            passed_on = passed,
            "fewer connections than `collector.maxConnections` and `upstream.maxConnections` say: the process may not open more files (`ulimit -n`, `LimitNOFILE`)"
        );
        door.proxy.as_ref().inspect(|proxy| proxy.limit_places(passed));
    }
    let room = Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS)));
    loop {
        match accept(&listener, &room).await {
            Ok((stream, peer, permit)) => {
                let ending = door.ending.draining.is_cancelled();
                let connection = connection(stream, peer.ip(), door.clone(), permit);
                // A connection that came after the end began is not waited for.
                drop(if ending { tokio::spawn(connection) } else { connections.spawn(connection) });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, peer: IpAddr, door: Arc<Door>, permit: OwnedSemaphorePermit) {
    // Answers are small and wait for nothing.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "nodelay");
    }
    let Ending { draining, cut } = door.ending.clone();
    // A connection that comes while the program ends has one request; asked to end at once it might not have any.
    let ending = draining.is_cancelled();
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(door.limits.header_timeout).keep_alive(!ending);
    // Shared with a connection that this one is upgraded to.
    let place = Arc::new(permit);
    let lent = Arc::clone(&place);
    let service = service_fn(move |mut request| {
        let door = door.clone();
        upgrade::lend(&mut request, &lent);
        async move { door.answer(request, Some(peer)).await }
    });
    let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = draining.cancelled(), if !ending => {
            serving.as_mut().graceful_shutdown();
            let cut_off = async {
                cut.cancelled().await;
                tokio::time::sleep(LAST_WORDS).await;
            };
            tokio::select! {
                ended = serving.as_mut() => ended,
                () = cut_off => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
    drop(place);
}

async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = room.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, permit))
}
