//! dmproc among its sockets: the databus it reads, the timeline it registers with, the clients of the proc socket.

mod events;
mod sessions;
mod told;

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use common::books::Books;
use common::process;
use common::wire::VERSION;
use hop::{Input, Turns};
use mio::{Interest, Registry, Token};
use sockets::pace::Pace;
use sockets::registration;
use told::Told;

use crate::clients::{Clients, FIRST_TOKEN};
use crate::config::Config;
use crate::counters::{Counters, Lost, ProcRefusal, Reason};
use crate::engine::{Bounds, Engine};
use crate::scan::Scan;
use crate::series::Moment;

const DATABUS: Token = Token(0);
const PROC: Token = Token(1);

/// Series that are looked at in one turn for `rate`, and for queries that have ended.
const LOOKS_A_TURN: u32 = 2048;
/// How often idle series are looked for.
const SWEEP: Duration = Duration::from_millis(100);
/// Under load a round of writes waits for the one before, so long for each client that was written to; and so long
/// at most. A thousand writes a datagram would cost more than all else.
const WRITE_GAP: Duration = Duration::from_micros(20);
const WRITE_GAP_MAX: Duration = Duration::from_millis(5);
/// The poll's clock counts milliseconds: what is due sooner than this is done at once.
const POLL_GRAIN: Duration = Duration::from_micros(500);
/// The databus's queue is counted in datagrams, not in bytes: there is always room for a pause.
const QUEUE_BYTES: u64 = 1 << 30;

/// Where the sockets of the service are.
#[derive(Debug)]
pub struct Ends {
    /// The databus, bound.
    pub databus: UnixDatagram,
    /// The proc socket, listening.
    pub listener: UnixListener,
    /// The multicast socket of the timeline.
    pub producer: PathBuf,
    /// Where the queries that run are told ([`common::queries`]).
    pub queries: PathBuf,
}

/// leela-dmproc, opened.
#[derive(Debug)]
pub struct Service {
    engine: Engine,
    clients: Clients,
    input: Input,
    listener: mio::net::UnixListener,
    /// The path of the databus, as it was bound.
    path: PathBuf,
    producer: PathBuf,
    /// Whether the timeline took the last registration; None before the first.
    is_registered: Option<bool>,
    books: Books<Counters>,
    /// Where the queries that run are told.
    told: Told,
    config: Config,
    pace: Pace,
    start: Instant,
    readable: bool,
    acceptable: bool,
    can_accept: bool,
    /// Clients whose proc is to be read.
    asking: VecDeque<u32>,
    scans: VecDeque<Scan>,
    /// When the next round of writes may begin.
    write_at: Instant,
    sweep_at: Instant,
    /// Something is counted that is not committed.
    is_uncommitted: bool,
    refused: Vec<(Reason, Vec<u8>)>,
    buffer: Box<[u8]>,
}

impl Service {
    /// Registers the sockets, and books what waited when a predecessor was killed.
    pub fn open(
        config: &Config,
        ends: Ends,
        mut books: Books<Counters>,
        registry: &Registry,
    ) -> anyhow::Result<Service> {
        let start = Instant::now();
        let lost = std::mem::take(&mut books.counters.frames.waiting);
        if lost > 0 {
            tracing::warn!(frames = lost, "the last leela-dmproc was killed while these waited for clients");
            books.counters.frames.lost.add_many(Lost::Crash, lost);
        }
        let address = ends.databus.local_addr().context("asking for the address of the databus")?;
        let path = address.as_pathname().context("the databus has no path")?.to_owned();
        let mut input = Input::new(ends.databus)?;
        registry.register(input.databus(), DATABUS, Interest::READABLE)?;
        ends.listener.set_nonblocking(true)?;
        let mut listener = mio::net::UnixListener::from_std(ends.listener);
        registry.register(&mut listener, PROC, Interest::READABLE)?;
        let engine = Engine::new(Bounds {
            series_max: config.series_max,
            series_ttl: config.series_ttl.duration(),
            query_state_max: config.client_state.bytes(),
            state_max: config.state.bytes(),
        });
        Ok(Service {
            engine,
            clients: Clients::new(registry)?,
            input,
            listener,
            path,
            producer: ends.producer,
            is_registered: None,
            books,
            told: Told::at(ends.queries),
            config: config.clone(),
            pace: Pace::new(QUEUE_BYTES, start),
            start,
            readable: true,
            acceptable: true,
            can_accept: true,
            asking: VecDeque::new(),
            scans: VecDeque::new(),
            write_at: start,
            sweep_at: start,
            is_uncommitted: true,
            refused: Vec::new(),
            buffer: Clients::read_buffer(),
        })
    }

    /// Answers until it is told to stop.
    pub fn serve(mut self, turns: &mut Turns) -> anyhow::Result<()> {
        tracing::info!(databus = %self.path.display(), "ready");
        loop {
            let turn = turns.next_turn(Some(self.due()))?;
            let now = turn.now;
            if let Some(signal) = turn.stop {
                tracing::info!(signal, "stopping");
                break;
            }
            for token in turns.tokens() {
                match token {
                    DATABUS => self.readable = true,
                    PROC => self.acceptable = true,
                    Token(number) => self.resume((number - FIRST_TOKEN) as u32, now),
                }
            }
            if turn.tick {
                self.tick(now);
            }
            if self.acceptable {
                self.accept(now);
            }
            self.ask(now);
            let pause = self.drain(now)?;
            self.write_round(now);
            self.scan(now);
            self.sweep(now);
            if self.is_uncommitted {
                self.commit();
            }
            if let Some(pause) = pause {
                std::thread::sleep(pause);
            }
        }
        process::stopping();
        self.stop(turns)
    }

    /// When the next turn is due though nothing becomes ready.
    fn due(&self) -> Instant {
        let more = self.readable
            || self.acceptable
            || !self.asking.is_empty()
            || !self.scans.is_empty()
            || self.engine.has_stale();
        match more {
            true => Instant::now(),
            false if self.clients.touched() > 0 => self.write_at.min(self.sweep_at),
            false => self.sweep_at,
        }
    }

    fn tick(&mut self, now: Instant) {
        self.register();
        for place in 0..self.clients.end() {
            let Some(client) = self.clients.get_mut(place) else { continue };
            client.out.trim();
            if client.due.is_some_and(|due| now >= due) {
                self.refuse(place, ProcRefusal::Timeout, None);
            }
        }
        if !self.can_accept {
            self.acceptable = true;
        }
        self.tell_queries();
        self.is_uncommitted = true;
    }

    /// Says to the timeline where events are wanted.
    fn register(&mut self) {
        let words = format!("events durable v{VERSION}");
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

    /// Writes to each client that something waits for, unless a round was just made.
    fn write_round(&mut self, now: Instant) {
        let grain = if self.readable { Duration::ZERO } else { POLL_GRAIN };
        if self.clients.touched() == 0 || now + grain < self.write_at {
            return;
        }
        let touched = self.clients.take_touched();
        for &place in &touched {
            if self.clients.get_mut(place).is_some_and(|client| !client.is_blocked) {
                self.write(place);
            }
        }
        let gap = WRITE_GAP * touched.len() as u32;
        // From the end of the round on: else, where a round takes longer than the gap, there would be none.
        self.write_at = Instant::now() + gap.min(WRITE_GAP_MAX);
        self.clients.recycle(touched);
    }

    fn sweep(&mut self, now: Instant) {
        let looks = if now >= self.sweep_at {
            self.sweep_at = now + SWEEP;
            self.engine.looks(SWEEP)
        } else {
            0
        };
        let looks = if self.engine.has_stale() { looks.max(LOOKS_A_TURN) } else { looks };
        if looks > 0 {
            self.engine.sweep(looks, self.moment(now), &mut self.books.counters);
        }
    }

    fn moment(&self, now: Instant) -> Moment {
        Moment::of(now - self.start)
    }

    fn commit(&mut self) {
        self.is_uncommitted = false;
        let counters = &mut self.books.counters;
        self.engine.book(counters);
        counters.connections = u64::from(self.clients.count());
        let frames = &mut counters.frames;
        frames.waiting = frames.produced - frames.delivered - frames.lost.total();
        self.books.commit_carried();
    }

    /// The end: nothing more is read, and clients get what waits for them as long as they take it.
    fn stop(mut self, turns: &mut Turns) -> anyhow::Result<()> {
        let deadline = Instant::now() + self.config.drain_timeout.duration();
        self.commit();
        let mut events = mio::Events::with_capacity(256);
        loop {
            let mut is_waiting = false;
            for place in 0..self.clients.end() {
                self.write(place);
                is_waiting |= self.clients.get_mut(place).is_some_and(|client| client.out.len() > 0);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if !is_waiting || left.is_zero() {
                break;
            }
            match turns.poll().poll(&mut events, Some(left)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
                _ => {}
            }
        }
        for place in 0..self.clients.end() {
            self.end(place, Lost::Stopped);
        }
        self.tell_queries();
        self.commit();
        let carried = self.books.carried();
        self.books.close(carried);
        Ok(())
    }
}
