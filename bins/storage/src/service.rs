//! leela-storage among its sockets: the databus it reads, the timeline it registers with, the query socket.
//!
//! One loop receives, logs and writes; it alone has the log and the books. A datagram is admitted in the books and
//! staged in the log; one write takes what a turn has staged; then the store is given the records, and then the books
//! are committed. So what the books count as received is in the log at any moment, and what the log holds beyond that
//! is counted by the successor. Threads beside it: one waits for the disk once a second, one seals and merges, and
//! each connection of the query socket has its own.

mod intake;
mod keeper;
mod replay;
mod syncer;
mod trouble;

use std::io::ErrorKind;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::Context;
use common::books::Books;
use common::exit::{Exit, OrExit};
use common::process;
use common::runtime_dir::StateDir;
use common::time::Time;
use common::wire::VERSION;
use hop::{Input, Turns};
use mio::{Interest, Token, Waker};
use sockets::registration;

use crate::asks::{Asks, Request};
use crate::config::Config;
use crate::counters::Counters;
use crate::files::SharedFiles;
use crate::store::Store;
use crate::store::embedded::Embedded;
pub use intake::Intake;
pub(crate) use intake::is_kept;
use keeper::Keeper;
use syncer::Syncer;

const DATABUS: Token = Token(0);
const QUERY: Token = Token(1);
const WAKE: Token = Token(2);
/// Requests of clients that are served in one turn.
const REQUESTS_A_TURN: usize = 64;

/// Where the sockets of the service are.
#[derive(Debug)]
pub struct Ends {
    /// The databus, bound.
    pub databus: UnixDatagram,
    /// The query socket, listening.
    pub listener: UnixListener,
    /// The multicast socket of the timeline.
    pub producer: PathBuf,
}

/// leela-storage, opened.
#[derive(Debug)]
pub struct Service {
    intake: Intake,
    keeper: Keeper,
    syncer: Syncer,
    asks: Asks,
    /// The path of the databus, as it was bound.
    path: PathBuf,
    producer: PathBuf,
    /// Whether the timeline took the last registration; None before the first.
    is_registered: Option<bool>,
    config: Config,
    /// Held while the process lives: nobody else opens these files.
    _lock: std::fs::File,
}

impl Service {
    /// Opens the store over `files`, takes in what the log holds and registers the sockets; `None` when it is told to stop before
    /// that is done, which loses nothing.
    pub fn open(
        files: SharedFiles,
        config: &Config,
        ends: Ends,
        books: Books<Counters>,
        state: &StateDir,
        turns: &mut Turns,
    ) -> anyhow::Result<Option<Service>> {
        let lock = hold(state)?;
        let options = config.options(state.file("store")).map_err(|wrong| Exit::Config.error(wrong))?;
        let store: Arc<dyn Store> =
            Arc::new(Embedded::open(files.clone(), options).context("opening the store")?);
        let waker = Arc::new(Waker::new(turns.registry(), WAKE)?);
        let mut keeper = Keeper::start(store.clone())?;
        let address = ends.databus.local_addr().context("asking for the address of the databus")?;
        let path = address.as_pathname().context("the databus has no path")?.to_owned();
        let input = Input::new(ends.databus)?;
        let mut stop = |until| Ok(turns.next_turn(Some(until))?.stop.is_some());
        let now = Instant::now();
        let opened = Intake::open(files, store.clone(), &state.file("log"), input, books, now, &mut stop)?;
        let Some((mut intake, power_cut)) = opened else {
            keeper.stop(&*store);
            return Ok(None);
        };
        turns.registry().register(intake.input.databus(), DATABUS, Interest::READABLE)?;
        let syncer = Syncer::start(waker.clone(), intake.log.end())?;
        let mut asks = Asks::new(ends.listener, store, config, waker, power_cut)?;
        turns.registry().register(asks.listener(), QUERY, Interest::READABLE)?;
        Ok(Some(Service {
            intake,
            keeper,
            syncer,
            asks,
            path,
            producer: ends.producer,
            is_registered: None,
            config: config.clone(),
            _lock: lock,
        }))
    }

    /// Keeps and answers until it is told to stop.
    pub fn serve(mut self, turns: &mut Turns) -> anyhow::Result<()> {
        tracing::info!(databus = %self.path.display(), "ready");
        loop {
            let turn = turns.next_turn(Some(self.due()))?;
            if let Some(signal) = turn.stop {
                tracing::info!(signal, "stopping");
                break;
            }
            for token in turns.tokens() {
                match token {
                    DATABUS => self.intake.readable = true,
                    QUERY => self.asks.is_acceptable = true,
                    _ => self.intake.is_uncommitted = true,
                }
            }
            if turn.tick {
                self.tick();
            }
            self.asks.accept(&mut self.intake.books.counters);
            self.serve_requests(turn.now, turn.time);
            let pause = self.intake.drain(turn.now, turn.time)?;
            self.sync(turn.now);
            if self.intake.is_uncommitted {
                self.commit();
            }
            if let Some(pause) = pause {
                std::thread::sleep(pause);
            }
        }
        process::stopping();
        self.stop()
    }

    /// When the next turn is due though nothing becomes ready.
    fn due(&self) -> Instant {
        let now = Instant::now();
        if self.intake.readable || self.asks.is_acceptable {
            return now;
        }
        self.syncer
            .due(self.intake.log.end(), self.config.sync_every.duration())
            .unwrap_or(now + Duration::from_secs(1))
    }

    fn tick(&mut self) {
        self.register();
        self.asks.tick();
        self.intake.seal_doubtful();
        if !self.asks.is_log_held() {
            self.intake.cut();
        }
        self.intake.is_uncommitted = true;
    }

    /// Takes what clients ask of the loop.
    fn serve_requests(&mut self, now: Instant, time: Time) {
        for _ in 0..REQUESTS_A_TURN {
            let Some(request) = self.asks.next_request() else { return };
            self.intake.is_uncommitted = true;
            match request {
                Request::Import { datagram, reply } => self.intake.import(&datagram, reply, now, time),
                Request::Sync { reply } => self.syncer.wait(self.intake.log.end(), reply),
                Request::Segments { reply } => {
                    // Who asked may have gone.
                    let _ = reply.send(self.intake.log.segments());
                }
            }
        }
        // There may be more.
        self.asks.wake();
    }

    /// Says to the timeline where records are wanted.
    fn register(&mut self) {
        let words = format!("events states notes durable v{VERSION}");
        let registered =
            registration::register(self.intake.input.databus().socket(), &self.path, &words, &self.producer);
        let is_registered = match registered {
            Ok(()) => true,
            // It is there, and behind: a durable peer is kept for minutes.
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => {
                if self.is_registered != Some(false) {
                    tracing::warn!(timeline = %self.producer.display(), %error, "no timeline, waiting for it");
                }
                false
            }
        };
        if is_registered && self.is_registered != Some(true) {
            tracing::info!(timeline = %self.producer.display(), "registered");
        }
        self.is_registered = Some(is_registered);
    }

    /// Begins to make durable what is not, once a second at most; notes what a sync that ended came to.
    fn sync(&mut self, now: Instant) {
        self.syncer.reap(&mut self.intake.books.counters, now);
        if self.syncer.is_due(self.intake.log.end(), now, self.config.sync_every.duration()) {
            match self.intake.begin_sync(now) {
                Ok(syncing) => self.syncer.begin(syncing, now),
                Err(_) => self.syncer.put_off(now),
            }
        }
    }

    fn commit(&mut self) {
        let counters = &mut self.intake.books.counters;
        self.asks.book(counters);
        self.keeper.book(counters);
        self.intake.commit();
        self.asks.desk().log_bytes.store(self.intake.log.bytes(), Relaxed);
    }

    /// The end: nothing more is read, clients get the rest of their answers as long as they take it, and what is in
    /// memory is sealed, so that the successor has little to take in.
    fn stop(mut self) -> anyhow::Result<()> {
        self.asks.close(self.config.drain_timeout.duration());
        let (now, time) = (Instant::now(), Time::now());
        // Threads that ended may have asked for something.
        self.serve_requests(now, time);
        self.intake.write(now, time);
        self.keeper.stop(&*self.intake.store);
        let synced = self.intake.begin_sync(now).and_then(|syncing| self.syncer.finish(syncing));
        if let Err(error) = synced {
            let error = anyhow::Error::new(error);
            tracing::error!(error = %format!("{error:#}"), "the last second may not be durable");
        }
        self.commit();
        let keeper = self.keeper;
        self.intake.close(Time::now(), |counters| keeper.book(counters));
        Ok(())
    }
}

/// Makes sure that nobody else has the store open: another instance may have another runtime directory.
fn hold(state: &StateDir) -> anyhow::Result<std::fs::File> {
    let path = state.file("lock");
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .with_context(|| format!("opening {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            let what =
                format!("{state} is another leela-storage's: stop it first, or choose another --state-dir");
            Err(anyhow::anyhow!(what)).exit(Exit::TempFail)
        }
        Err(std::fs::TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("locking {}", path.display()))
        }
    }
}
