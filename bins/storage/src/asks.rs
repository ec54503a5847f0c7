//! The query socket: its connections, a thread each, up to a stated number. Of those, a stated number works at the same
//! time; a client that does not read is not at work, so nobody waits for it, and it is cut off after a while.

mod answers;
mod client;
mod import;
mod outlet;
mod permits;
mod report;
mod snapshot;

use std::collections::HashMap;
use std::io::{ErrorKind, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use common::ask::Status;
use common::ask::report::PowerCut;
use mio::Waker;
use sockets::frame;

use crate::config::Config;
use crate::counters::{AskRefusal, Counters, Lost};
use crate::store::{Store, Written};
use permits::Permits;

/// Clients that are taken in one turn.
const ACCEPTED_A_TURN: usize = 16;
/// Requests that wait for the loop; who asks waits too.
const REQUESTS_MAX: usize = 64;

/// What clients want of the loop, which alone has the log.
#[derive(Debug)]
pub(crate) enum Request {
    /// To log and write a datagram, whose header is sound.
    Import {
        /// As it came.
        datagram: Vec<u8>,
        /// To be told.
        reply: SyncSender<Imported>,
    },
    /// To make durable what is logged.
    Sync {
        /// To be told; why not, where it failed.
        reply: SyncSender<Result<(), String>>,
    },
    /// The segments of the log, each with the bytes it has now.
    Segments {
        /// To be told.
        reply: SyncSender<Vec<(PathBuf, u64)>>,
    },
}

/// What became of an imported datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Imported {
    /// It is in the log and in the store.
    Written(Written),
    /// Nothing is written now; the client has it still.
    Failed(Lost),
}

/// What connections share.
#[derive(Debug)]
pub(crate) struct Desk {
    store: Arc<dyn Store>,
    permits: Permits,
    requests: SyncSender<Request>,
    waker: Arc<Waker>,
    is_closing: AtomicBool,
    /// The log is not cut while somebody copies it.
    log_holders: AtomicU64,
    /// Bytes of the log, as of the last commit.
    pub(crate) log_bytes: AtomicU64,
    power_cut: Option<PowerCut>,
    client_timeout: Duration,
    idle_timeout: Duration,
    tally: Mutex<Tally>,
    streams: Mutex<HashMap<u64, UnixStream>>,
    gone: Condvar,
}

/// What is counted since the loop last took it into the books.
#[derive(Debug, Default)]
struct Tally {
    asks: u64,
    answered: u64,
    refused: Vec<AskRefusal>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk {
    /// Asks the loop for something, and waits for it; `None` when the loop is gone.
    fn request<T>(&self, request: impl FnOnce(SyncSender<T>) -> Request) -> Option<T> {
        let (reply, answer) = sync_channel(1);
        self.requests.send(request(reply)).ok()?;
        self.waker.wake().ok()?;
        answer.recv().ok()
    }

    fn is_closing(&self) -> bool {
        self.is_closing.load(Acquire)
    }

    fn refused(&self, refusal: AskRefusal) {
        lock(&self.tally).refused.push(refusal);
    }

    fn answered(&self, records: u64) {
        let mut tally = lock(&self.tally);
        tally.asks += 1;
        tally.answered += records;
    }
}

/// The loop's side.
#[derive(Debug)]
pub(crate) struct Asks {
    listener: mio::net::UnixListener,
    /// Somebody waits to be taken.
    pub(crate) is_acceptable: bool,
    can_accept: bool,
    desk: Arc<Desk>,
    requests: Receiver<Request>,
    connections_max: usize,
    next: u64,
}

impl Asks {
    pub(crate) fn new(
        listener: std::os::unix::net::UnixListener,
        store: Arc<dyn Store>,
        config: &Config,
        waker: Arc<Waker>,
        power_cut: Option<PowerCut>,
    ) -> std::io::Result<Asks> {
        listener.set_nonblocking(true)?;
        let (sender, requests) = sync_channel(REQUESTS_MAX);
        let desk = Desk {
            store,
            permits: Permits::new(config.readers),
            requests: sender,
            waker,
            is_closing: AtomicBool::new(false),
            log_holders: AtomicU64::new(0),
            log_bytes: AtomicU64::new(0),
            power_cut,
            client_timeout: config.client_timeout.duration(),
            idle_timeout: config.idle_timeout.duration(),
            tally: Mutex::default(),
            streams: Mutex::default(),
            gone: Condvar::new(),
        };
        Ok(Asks {
            listener: mio::net::UnixListener::from_std(listener),
            is_acceptable: true,
            can_accept: true,
            desk: Arc::new(desk),
            requests,
            connections_max: config.connections_max as usize,
            next: 0,
        })
    }

    pub(crate) fn listener(&mut self) -> &mut mio::net::UnixListener {
        &mut self.listener
    }

    pub(crate) fn desk(&self) -> &Desk {
        &self.desk
    }

    /// Once a second.
    pub(crate) fn tick(&mut self) {
        if !self.can_accept {
            self.is_acceptable = true;
        }
    }

    pub(crate) fn next_request(&self) -> Option<Request> {
        self.requests.try_recv().ok()
    }

    /// Has the loop look for requests once more.
    pub(crate) fn wake(&self) {
        if let Err(error) = self.desk.waker.wake() {
            tracing::error!(%error, "the loop cannot be woken");
        }
    }

    pub(crate) fn is_log_held(&self) -> bool {
        self.desk.log_holders.load(Acquire) > 0
    }

    /// Takes who waits.
    pub(crate) fn accept(&mut self, counters: &mut Counters) {
        if !self.is_acceptable {
            return;
        }
        for _ in 0..ACCEPTED_A_TURN {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    counters.connected += 1;
                    self.can_accept = true;
                    if let Err(error) = self.take(stream.into(), counters) {
                        counters.accept_failed += 1;
                        tracing::error!(%error, "a client cannot be served");
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_acceptable = false;
                    return;
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                Err(error) => {
                    // Tried again with the next tick.
                    self.is_acceptable = false;
                    counters.accept_failed += 1;
                    if std::mem::take(&mut self.can_accept) {
                        tracing::error!(%error, "no further client can be taken");
                    }
                    return;
                }
            }
        }
    }

    fn take(&mut self, stream: UnixStream, counters: &mut Counters) -> std::io::Result<()> {
        if lock(&self.desk.streams).len() >= self.connections_max {
            counters.asks_refused.add(AskRefusal::Connections);
            let mut out = Vec::new();
            let why = "there are `connections_max` clients (storage.toml); try again";
            frame::write_with(&mut out, |out| Status::Failed(why).write(out));
            frame::write(&mut out, b"");
            // It fits into the socket's buffer, or the client does not care.
            let _ = (&mut &stream).write(&out);
            return Ok(());
        }
        stream.set_nonblocking(false)?;
        self.next += 1;
        let place = self.next;
        lock(&self.desk.streams).insert(place, stream.try_clone()?);
        let desk = self.desk.clone();
        let thread = Builder::new().name("client".to_owned()).spawn(move || {
            client::serve(&desk, &stream);
            drop(stream);
            lock(&desk.streams).remove(&place);
            desk.gone.notify_all();
        });
        if thread.is_err() {
            lock(&self.desk.streams).remove(&place);
        }
        thread.map(|_| ())
    }

    /// Takes what was counted into the books.
    pub(crate) fn book(&self, counters: &mut Counters) {
        let Tally { asks, answered, refused } = std::mem::take(&mut *lock(&self.desk.tally));
        counters.asks += asks;
        counters.answered += answered;
        for refusal in refused {
            counters.asks_refused.add(refusal);
        }
        counters.connections = lock(&self.desk.streams).len() as u64;
    }

    /// The end: nobody asks any more, and who reads has so long to take the rest.
    pub(crate) fn close(&self, timeout: Duration) {
        self.desk.is_closing.store(true, Release);
        let deadline = Instant::now() + timeout;
        let mut streams = lock(&self.desk.streams);
        for stream in streams.values() {
            // It is closed otherwise.
            let _ = stream.shutdown(Shutdown::Read);
        }
        while !streams.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.desk.gone.wait_timeout(streams, left);
            streams = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        for stream in streams.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let left = streams.len();
        if left > 0 {
            tracing::info!(clients = left, "cut off at the stop");
        }
    }
}
