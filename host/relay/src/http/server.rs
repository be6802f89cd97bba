//! Listening: connections in, their end at shutdown.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};

use super::Door;

/// The server could not listen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    /// The address is taken, or not ours.
    #[error("cannot listen on {address}: choose another `server.host` or `server.port`")]
    Listen {
        /// Where.
        address: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

/// A listening server.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    stopped: oneshot::Receiver<()>,
}

/// A pause after the system refused a connection, so that a full file table does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Server {
    /// Listens and serves on the runtime of `runtime`.
    pub(crate) async fn start(host: &str, port: u16, door: Arc<Door>, runtime: &Handle) -> Result<Server, ServerError> {
        let failed = |source| ServerError::Listen { address: format!("{host}:{port}"), source };
        let (host, address) = (host.to_owned(), (host.trim_matches(['[', ']']).to_owned(), port));
        // The listener belongs to the runtime that polls it.
        let bound = runtime.spawn(async move {
            let listener = TcpListener::bind((address.0.as_str(), address.1)).await?;
            Ok((listener.local_addr()?, listener))
        });
        let bound: io::Result<(SocketAddr, TcpListener)> = bound.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        let (address, listener) = bound.map_err(failed)?;
        tracing::debug!(%host, %address, "listening");
        let (stop, stopping) = oneshot::channel();
        let (done, stopped) = oneshot::channel();
        runtime.spawn(async move {
            serve(listener, door, stopping).await;
            // Nobody may be waiting.
            let _gone = done.send(());
        });
        Ok(Server { address, stop, stopped })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections and lets requests under way finish, for at most `within`. Whether all did.
    pub(crate) async fn stop(self, within: Duration) -> bool {
        // A server that ended by itself is stopped, too.
        let _ended = self.stop.send(());
        tokio::time::timeout(within, self.stopped).await.is_ok()
    }
}

async fn serve(listener: TcpListener, door: Arc<Door>, mut stopping: oneshot::Receiver<()>) {
    let graceful = GracefulShutdown::new();
    let connections = Arc::new(Semaphore::new(door.limits.max_connections.clamp(1, Semaphore::MAX_PERMITS)));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(door.limits.header_timeout);
    loop {
        let accepted = tokio::select! {
            biased;
            _ = &mut stopping => break,
            accepted = accept(&listener, &connections) => accepted,
        };
        let (stream, peer, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Answers are small and wait for nothing.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "nodelay");
        }
        let door = door.clone();
        let service = service_fn(move |request| {
            let door = door.clone();
            async move { door.answer(request, Some(peer.ip())).await }
        });
        let connection = graceful.watch(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended");
            }
            drop(permit);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> io::Result<(tokio::net::TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = connections.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, permit))
}
