//! The sockets: connections are taken, bounded in number, time and size, and served by a few threads.

pub mod guard;
mod refuse;
mod tls;

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use mio::Waker;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::app::{self, App};
use crate::counters::TurnedAway;
use crate::gate::{self, Peer};
use crate::tally::Held;
use guard::{Guarded, Phase};

pub use tls::acceptor;

/// Connections that are told that there are too many, at the same time; the next ones are closed without a word.
const TURNED_AWAY_MAX: usize = 64;
/// How long to wait when the system has no descriptor or memory for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Headers of one request.
const HEADERS_MAX: usize = 100;
/// What is read at a time: the more, the fewer calls for a large body.
const READ_BYTES_MAX: usize = 256 * 1024;

/// The threads that serve connections.
#[derive(Debug)]
pub struct Server {
    runtime: Runtime,
    addresses: Vec<SocketAddr>,
    stop: watch::Sender<bool>,
    app: Arc<App>,
}

/// What all connections share.
struct Shared {
    app: Arc<App>,
    routes: Router,
    tls: Option<TlsAcceptor>,
    turned_away: Arc<Semaphore>,
    /// Wakes the thread that waits for the last connection.
    waker: Arc<Waker>,
}

impl Server {
    /// Serves what comes in at `listeners`.
    pub fn start(
        app: Arc<App>,
        listeners: Vec<TcpListener>,
        tls: Option<TlsAcceptor>,
        stop: watch::Sender<bool>,
        waker: Arc<Waker>,
    ) -> anyhow::Result<Server> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(app.config.threads as usize)
            .max_blocking_threads(app.config.threads as usize + 2)
            .thread_name("leela-http")
            .enable_io()
            .enable_time()
            .build()
            .context("starting threads")?;
        let addresses = listeners.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
        let routes = app::routes(app.clone());
        let turned_away = Arc::new(Semaphore::new(TURNED_AWAY_MAX));
        let shared = Arc::new(Shared { app: app.clone(), routes, tls, turned_away, waker });
        let entered = runtime.enter();
        for listener in listeners {
            listener.set_nonblocking(true)?;
            let listener = tokio::net::TcpListener::from_std(listener).context("listening")?;
            runtime.spawn(accept(shared.clone(), listener));
        }
        drop(entered);
        Ok(Server { runtime, addresses, stop, app })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Takes no more connections, and no more requests on those that are there.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// True when the last connection has ended.
    pub fn is_over(&self) -> bool {
        self.app.tally.connections.load(Relaxed) == 0
    }

    /// Ends what is left.
    pub fn end(self) {
        self.runtime.shutdown_background();
    }
}

async fn accept(shared: Arc<Shared>, listener: tokio::net::TcpListener) {
    let mut stop = shared.app.stop.clone();
    let mut is_short = false;
    loop {
        let taken = tokio::select! {
            taken = listener.accept() => taken,
            () = stopped(&mut stop) => return,
        };
        match taken {
            Ok((stream, address)) => {
                if std::mem::take(&mut is_short) {
                    tracing::info!("connections are taken again");
                }
                shared.clone().take(stream, address);
            }
            // It went away while it waited.
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                shared.app.tally.turned_away(TurnedAway::Accept);
                if !std::mem::replace(&mut is_short, true) {
                    tracing::warn!(%error, "a connection cannot be taken: raise LimitNOFILE= of the unit");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Waits until the process is told to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error says that nobody is left who could say so.
    let _ = stop.wait_for(|stop| *stop).await;
}

fn is_of_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

impl Shared {
    fn take(self: Arc<Shared>, stream: TcpStream, address: SocketAddr) {
        let tally = &self.app.tally;
        if tally.connections.load(Relaxed) >= u64::from(self.app.config.connections_max) {
            tally.turned_away(TurnedAway::Connections);
            // With TLS there is no way to say so.
            if self.tls.is_none()
                && let Ok(place) = self.turned_away.clone().try_acquire_owned()
            {
                tokio::spawn(async move {
                    refuse::connections(stream).await;
                    drop(place);
                });
            }
            return;
        }
        let held = Held::new(tally.clone(), |tally| &tally.connections);
        tally.connected.fetch_add(1, Relaxed);
        tokio::spawn(async move {
            // An answer is small or sent in large pieces: waiting for more would only delay it.
            let _ = stream.set_nodelay(true);
            match self.tls.clone() {
                None => self.serve(stream, address, false).await,
                Some(tls) => {
                    let timeout = self.app.config.header_timeout.duration();
                    match tokio::time::timeout(timeout, tls.accept(stream)).await {
                        Ok(Ok(stream)) => {
                            let has_certificate = stream.get_ref().1.peer_certificates().is_some();
                            self.serve(stream, address, has_certificate).await;
                        }
                        Ok(Err(error)) => {
                            tracing::debug!(%address, %error, "no TLS handshake");
                            self.app.tally.turned_away(TurnedAway::Tls);
                        }
                        Err(_) => self.app.tally.turned_away(TurnedAway::Tls),
                    }
                }
            }
            drop(held);
            if *self.app.stop.borrow()
                && let Err(error) = self.waker.wake()
            {
                tracing::debug!(%error, "the end of a connection is not told");
            }
        });
    }

    async fn serve(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        address: SocketAddr,
        has_certificate: bool,
    ) {
        let config = &self.app.config;
        let phase = Phase::default();
        let peer = Peer { address, has_certificate, phase: phase.clone() };
        let (header_timeout, answer_timeout) =
            (config.header_timeout.duration(), config.answer_timeout.duration());
        let guarded = Guarded::new(stream, phase.clone(), header_timeout, answer_timeout);
        let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
            let (app, routes, peer) = (self.app.clone(), self.routes.clone(), peer.clone());
            async move { Ok::<_, Infallible>(gate::answer(app, routes, peer, request.map(Body::new)).await) }
        });
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(config.idle_timeout.duration().max(header_timeout))
            .max_headers(HEADERS_MAX)
            .max_header_size(config.header_max.len())
            .max_buf_size(READ_BYTES_MAX.max(config.header_max.len()))
            .serve_connection(TokioIo::new(guarded), service);
        let mut stop = self.app.stop.clone();
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = stopped(&mut stop) => {
                std::pin::Pin::new(&mut connection).graceful_shutdown();
                (&mut connection).await
            }
        };
        let Err(error) = ended else { return };
        tracing::debug!(%address, %error, "a connection ended");
        if phase.is_head() {
            self.app.tally.turned_away(TurnedAway::Head);
            if is_late(&error) {
                let stream = connection.into_parts().io.into_inner().into_inner();
                refuse::late(stream).await;
            }
        }
    }
}

/// True when the head did not come in time.
fn is_late(error: &hyper::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::TimedOut)
        {
            return true;
        }
        cause = error.source();
    }
    false
}
