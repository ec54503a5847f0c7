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
use sockets::pace::Pace;
use sockets::registration;

use crate::asks::Asks;
use crate::config::Config;
use crate::counters::Counters;
use crate::files::SharedFiles;
use crate::log::Log;
use crate::store::Store;
use crate::store::embedded::Embedded;
use intake::Intake;
pub(crate) use intake::is_kept;
use keeper::Keeper;
use replay::TakenIn;
use syncer::Syncer;
use trouble::Trouble;

const DATABUS: Token = Token(0);
const QUERY: Token = Token(1);
const WAKE: Token = Token(2);

/// The databus's queue is counted in datagrams, not in bytes: there is always room for a pause.
const QUEUE_BYTES: u64 = 1 << 30;

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
    store: Arc<dyn Store>,
    log: Log,
    keeper: Keeper,
    syncer: Syncer,
    asks: Asks,
    intake: Intake,
    trouble: Trouble,
    input: Input,
    /// The path of the databus, as it was bound.
    path: PathBuf,
    producer: PathBuf,
    /// Whether the timeline took the last registration; None before the first.
    is_registered: Option<bool>,
    books: Books<Counters>,
    config: Config,
    pace: Pace,
    readable: bool,
    /// Something is counted that is not committed.
    is_uncommitted: bool,
    can_cut: bool,
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
        mut books: Books<Counters>,
        state: &StateDir,
        turns: &mut Turns,
    ) -> anyhow::Result<Option<Service>> {
        let lock = hold(state)?;
        let options = config.options(state.file("store")).map_err(|wrong| Exit::Config.error(wrong))?;
        let store: Arc<dyn Store> =
            Arc::new(Embedded::open(files.clone(), options).context("opening the store")?);
        let (log, replay) =
            Log::open(files.clone(), &state.file("log"), store.acknowledged()).context("opening the log")?;
        let waker = Arc::new(Waker::new(turns.registry(), WAKE)?);
        let mut keeper = Keeper::start(store.clone())?;
        let power_cut = match replay::take_in(replay, &*store, &mut books, turns)? {
            TakenIn::All(power_cut) => power_cut,
            TakenIn::Stopped => {
                keeper.stop(&*store);
                return Ok(None);
            }
        };
        // A predecessor that was killed had not made its last second durable.
        log.sync_old().context("making durable what a predecessor logged")?;
        let syncer = Syncer::start(waker.clone(), log.end())?;
        let address = ends.databus.local_addr().context("asking for the address of the databus")?;
        let path = address.as_pathname().context("the databus has no path")?.to_owned();
        let mut input = Input::new(ends.databus)?;
        turns.registry().register(input.databus(), DATABUS, Interest::READABLE)?;
        let mut asks = Asks::new(ends.listener, store.clone(), config, waker, power_cut)?;
        turns.registry().register(asks.listener(), QUERY, Interest::READABLE)?;
        Ok(Some(Service {
            store,
            log,
            keeper,
            syncer,
            asks,
            intake: Intake::default(),
            trouble: Trouble::default(),
            input,
            path,
            producer: ends.producer,
            is_registered: None,
            books,
            config: config.clone(),
            pace: Pace::new(QUEUE_BYTES, Instant::now()),
            readable: true,
            is_uncommitted: true,
            can_cut: true,
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
                    DATABUS => self.readable = true,
                    QUERY => self.asks.is_acceptable = true,
                    _ => self.is_uncommitted = true,
                }
            }
            if turn.tick {
                self.tick();
            }
            self.asks.accept(&mut self.books.counters);
            self.serve_requests();
            let pause = self.drain(turn.now)?;
            self.sync(turn.now);
            if self.is_uncommitted {
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
        if self.readable || self.asks.is_acceptable {
            return now;
        }
        self.syncer
            .due(self.log.end(), self.config.sync_every.duration())
            .unwrap_or(now + Duration::from_secs(1))
    }

    fn tick(&mut self) {
        self.register();
        self.asks.tick();
        self.cut();
        self.is_uncommitted = true;
    }

    /// Says to the timeline where records are wanted.
    fn register(&mut self) {
        let words = format!("events states notes durable v{VERSION}");
        let registered =
            registration::register(self.input.databus().socket(), &self.path, &words, &self.producer);
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
        self.syncer.reap(&mut self.books.counters, now);
        if self.syncer.is_due(self.log.end(), now, self.config.sync_every.duration()) {
            match self.log.begin_sync(self.intake.mark()) {
                Ok(syncing) => self.syncer.begin(syncing, now),
                Err(error) => {
                    self.syncer.put_off(now);
                    self.trouble.log_failed(&error, now);
                }
            }
        }
    }

    /// Takes away what the store has in files of its own.
    fn cut(&mut self) {
        if self.asks.is_log_held() {
            return;
        }
        match self.log.cut(self.store.acknowledged()) {
            Ok(()) => self.can_cut = true,
            Err(error) => {
                if std::mem::take(&mut self.can_cut) {
                    let error = anyhow::Error::new(error);
                    tracing::error!(error = %format!("{error:#}"), "the log cannot be cut, it grows");
                }
            }
        }
    }

    fn commit(&mut self) {
        self.is_uncommitted = false;
        let counters = &mut self.books.counters;
        self.asks.book(counters);
        counters.log_bytes = self.log.bytes();
        self.asks.desk().log_bytes.store(counters.log_bytes, Relaxed);
        self.keeper.book(counters);
        self.books.commit_carried();
    }

    /// The end: nothing more is read, clients get the rest of their answers as long as they take it, and what is in
    /// memory is sealed, so that the successor has little to take in.
    fn stop(mut self) -> anyhow::Result<()> {
        self.asks.close(self.config.drain_timeout.duration());
        // Threads that ended may have asked for something.
        self.serve_requests();
        self.write(Instant::now());
        self.keeper.stop(&*self.store);
        let synced = self.log.begin_sync(self.intake.mark()).and_then(|syncing| self.syncer.finish(syncing));
        if let Err(error) = synced {
            let error = anyhow::Error::new(error);
            tracing::error!(error = %format!("{error:#}"), "the last second may not be durable");
        }
        self.commit();
        match self.store.close(Time::now()) {
            Ok(()) => match self.log.clear() {
                Ok(()) => self.books.counters.log_bytes = 0,
                Err(error) => {
                    let error = anyhow::Error::new(error);
                    tracing::warn!(error = %format!("{error:#}"), "the log is not cleared at the end");
                }
            },
            Err(error) => {
                let error = anyhow::Error::new(error);
                tracing::warn!(error = %format!("{error:#}"), "not sealed at the end; the log has it all");
            }
        }
        self.keeper.book(&mut self.books.counters);
        let carried = self.books.carried();
        self.books.close(carried);
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
