//! Listening: connections in, their end at shutdown.
//!
//! While the program ends the port stays open, so that probes and clients get an answer instead of a refused connection: readiness is 503,
//! and the collector refuses before it takes anything. Connections from before finish their request and are closed.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::socket::{self, SocketFile};
use super::{Door, Ending, Side, Visitor, places, upgrade};
use crate::process;
use crate::relay::StartError;

/// Where to listen.
pub(crate) enum Listen {
    /// A host and port; with what to accept connections, if they are TLS.
    Tcp(String, u16, Option<TlsAcceptor>),
    /// A unix socket.
    Unix(PathBuf),
}

/// A listening server. Dropped, it listens no more.
#[derive(Debug)]
pub(crate) struct Server {
    /// `None`: a unix socket.
    address: Option<SocketAddr>,
    /// The connections that were there before the end began.
    connections: TaskTracker,
    cut: CancellationToken,
    _file: Option<SocketFile>,
    _listening: DropGuard,
}

enum Listener {
    Tcp(TcpListener, Option<TlsAcceptor>),
    Unix(UnixListener),
}

/// A connection, before anything was read from it.
enum Stream {
    Tcp(TcpStream, IpAddr),
    Tls(TcpStream, IpAddr, TlsAcceptor),
    Unix(UnixStream),
}

/// A pause after the system refused a connection, so that a full file table does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A handshake is two round trips; a client that needs longer than this is none.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long a connection whose request was cut off may take to hear it.
const LAST_WORDS: Duration = Duration::from_millis(500);

impl Server {
    /// Listens, and serves on `runtime`.
    pub(crate) async fn start(listen: Listen, side: Side, door: Arc<Door>, runtime: &Handle) -> Result<Server, StartError> {
        let cut = door.ending.cut.clone();
        let address = match &listen {
            Listen::Tcp(host, port, _) => format!("{host}:{port}"),
            Listen::Unix(path) => path.display().to_string(),
        };
        // The listener belongs to the runtime that polls it.
        let bound = runtime.spawn(bind(listen)).await.unwrap_or_else(|error| Err(io::Error::other(error)));
        let (listener, file) = bound.map_err(|source| StartError::Listen { address, source })?;
        let address = match &listener {
            Listener::Tcp(listener, _) => listener.local_addr().ok(),
            Listener::Unix(_) => None,
        };
        let (connections, listening) = (TaskTracker::new(), CancellationToken::new());
        runtime.spawn(listening.clone().run_until_cancelled_owned(serve(listener, side, door, connections.clone())));
        Ok(Server { address, connections, cut, _file: file, _listening: listening.drop_guard() })
    }

    /// Where it listens, if that is a port.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
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

async fn bind(listen: Listen) -> io::Result<(Listener, Option<SocketFile>)> {
    match listen {
        Listen::Tcp(host, port, tls) => {
            let listener = TcpListener::bind((host.trim_matches(['[', ']']), port)).await?;
            Ok((Listener::Tcp(listener, tls), None))
        }
        Listen::Unix(path) => {
            let (listener, file) = socket::bind(&path)?;
            Ok((Listener::Unix(listener), Some(file)))
        }
    }
}

impl Listener {
    async fn accept(&self) -> io::Result<Stream> {
        match self {
            Listener::Tcp(listener, tls) => {
                let (stream, peer) = listener.accept().await?;
                Ok(match tls {
                    Some(tls) => Stream::Tls(stream, peer.ip(), tls.clone()),
                    None => Stream::Tcp(stream, peer.ip()),
                })
            }
            Listener::Unix(listener) => Ok(Stream::Unix(listener.accept().await?.0)),
        }
    }
}

async fn serve(listener: Listener, side: Side, door: Arc<Door>, connections: TaskTracker) {
    let wanted = (door.limits.load().max_connections, door.proxy.as_ref().map_or(0, |proxy| proxy.places()));
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
            Ok((stream, permit)) => {
                let ending = door.ending.draining.is_cancelled();
                let connection = connection(stream, side, door.clone(), permit);
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

async fn accept(listener: &Listener, room: &Arc<Semaphore>) -> io::Result<(Stream, OwnedSemaphorePermit)> {
    let permit = room.clone().acquire_owned().await.map_err(io::Error::other)?;
    Ok((listener.accept().await?, permit))
}

async fn connection(stream: Stream, side: Side, door: Arc<Door>, permit: OwnedSemaphorePermit) {
    match stream {
        Stream::Tcp(stream, peer) => {
            without_delay(&stream);
            requests(stream, side, door, Visitor::new(Some(peer), false), permit).await;
        }
        Stream::Unix(stream) => requests(stream, side, door, Visitor::new(None, false), permit).await,
        Stream::Tls(stream, peer, tls) => {
            without_delay(&stream);
            let handshake = tokio::time::timeout(HANDSHAKE, tls.accept(stream));
            // One that is under way when the end begins is not waited for; one that begins later is for a probe.
            let shaken = if door.ending.draining.is_cancelled() {
                Some(handshake.await)
            } else {
                door.ending.draining.run_until_cancelled(handshake).await
            };
            match shaken {
                Some(Ok(Ok(stream))) => requests(stream, side, door, Visitor::new(Some(peer), true), permit).await,
                Some(Ok(Err(error))) => tracing::debug!(%error, %peer, "a TLS handshake failed"),
                Some(Err(_)) => tracing::debug!(%peer, "a TLS handshake took too long"),
                None => {}
            }
        }
    }
}

/// Answers are small and wait for nothing.
fn without_delay(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "nodelay");
    }
}

async fn requests<S>(stream: S, side: Side, door: Arc<Door>, visitor: Visitor, permit: OwnedSemaphorePermit)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Ending { draining, cut } = door.ending.clone();
    let visitor = Arc::new(visitor);
    // A connection that comes while the program ends has one request; asked to end at once it might not have any.
    let ending = draining.is_cancelled();
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(door.limits.load().header_timeout).keep_alive(!ending);
    // Shared with a connection that this one is upgraded to.
    let place = Arc::new(permit);
    let lent = Arc::clone(&place);
    let service = service_fn(move |mut request| {
        let (door, visitor) = (door.clone(), visitor.clone());
        upgrade::lend(&mut request, &lent);
        async move { door.answer(request, &visitor, side).await }
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
