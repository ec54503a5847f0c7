//! dmproc among its sockets: the databus it reads, the timeline it registers with, the clients of the proc socket.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use common::books::{Books, Refusal};
use common::metric::Event;
use common::process;
use common::query::answer::Answer;
use common::query::error::Spot;
use common::query::proc::{self, Instruction, Proc};
use common::text;
use common::time::Time;
use common::wire::{Content, Events, RecordError, VERSION};
use hop::{Input, Received, Refusal as DatagramRefusal, Turns};
use mio::net::UnixStream;
use mio::{Interest, Registry, Token};
use sockets::pace::Pace;
use sockets::registration;

use crate::clients::{Clients, FIRST_TOKEN, Heard, Stage, farewell};
use crate::config::Config;
use crate::counters::{Counters, Lost, ProcRefusal, Reason};
use crate::engine::{Bounds, Engine, Outlet};
use crate::outbox::Outbox;
use crate::scan::Scan;
use crate::series::{BATCH, Moment};

const DATABUS: Token = Token(0);
const PROC: Token = Token(1);

/// Datagrams, and bytes of them, that are applied before others have their turn.
const DATAGRAMS_A_TURN: u64 = 128;
const BYTES_A_TURN: u64 = 256 * 1024;
/// Clients that are taken in one turn.
const ACCEPTED_A_TURN: usize = 64;
/// Procs are read and checked for so long in one turn, and one at least: the dearest regex takes 30 ms.
const ASKING_A_TURN: Duration = Duration::from_millis(2);
/// Series that are looked at in one turn for `rate`, and for queries that have ended.
const LOOKS_A_TURN: u32 = 2048;
/// Series are matched against new procs for so long in one turn; the events of those that have to wait reach the
/// procs they were matched against before.
const MATCHING_A_TURN: Duration = Duration::from_millis(5);
/// How often idle series are looked for.
const SWEEP: Duration = Duration::from_millis(100);
/// Under load a round of writes waits for the one before, so long for each client that was written to; and so long
/// at most. A thousand writes a datagram would cost more than all else.
const WRITE_GAP: Duration = Duration::from_micros(20);
const WRITE_GAP_MAX: Duration = Duration::from_millis(5);
/// The poll's clock counts milliseconds: what is due sooner than this is done at once.
const POLL_GRAIN: Duration = Duration::from_micros(500);
/// Refused events of one datagram that are kept for show.
const REFUSALS_A_DATAGRAM: usize = 16;
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

    fn accept(&mut self, now: Instant) {
        for _ in 0..ACCEPTED_A_TURN {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    self.can_accept = true;
                    self.take(stream, now);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.acceptable = false;
                    return;
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                Err(error) => {
                    // Tried again with the next tick.
                    self.acceptable = false;
                    self.books.counters.accept_failed += 1;
                    if std::mem::take(&mut self.can_accept) {
                        tracing::error!(%error, clients = self.clients.count(), "no further client can be taken");
                    }
                    return;
                }
            }
        }
    }

    fn take(&mut self, mut stream: UnixStream, now: Instant) {
        self.is_uncommitted = true;
        self.books.counters.connected += 1;
        if self.clients.count() >= self.config.connections_max {
            self.books.counters.procs_refused.add(ProcRefusal::Connections);
            let mut out = Outbox::new(0);
            out.answer(&Answer::Status(false));
            farewell(&mut stream, &mut out, &mut self.buffer);
            return;
        }
        let due = now + self.config.handshake_timeout.duration();
        match self.clients.insert(stream, due, self.config.client_buffer.len()) {
            Ok(place) => self.hear(place, now),
            Err(error) => {
                self.books.counters.accept_failed += 1;
                tracing::error!(%error, "a client cannot be watched");
            }
        }
    }

    /// Goes on with a client whose socket became ready.
    fn resume(&mut self, place: u32, now: Instant) {
        if self.clients.get_mut(place).is_some_and(|client| client.is_blocked) {
            self.write(place);
        }
        self.hear(place, now);
    }

    fn hear(&mut self, place: u32, now: Instant) {
        let timeout = self.config.handshake_timeout.duration();
        let Some(client) = self.clients.get_mut(place) else { return };
        match client.hear(&mut self.buffer, now, timeout) {
            Heard::Nothing => {}
            Heard::Proc => self.asking.push_back(place),
            Heard::End => self.end(place, Lost::HungUp),
        }
    }

    /// Reads and checks the procs that came.
    fn ask(&mut self, now: Instant) {
        let until = now + ASKING_A_TURN;
        while let Some(place) = self.asking.pop_front() {
            self.ask_one(place, now);
            if !self.asking.is_empty() && Instant::now() >= until {
                return;
            }
        }
    }

    fn ask_one(&mut self, place: u32, now: Instant) {
        let Some(client) = self.clients.get_mut(place) else { return };
        let Stage::Asking(payload) = std::mem::replace(&mut client.stage, Stage::Silent) else { return };
        match proc::parse(&payload) {
            Ok(Instruction::Proc(proc)) => self.begin(place, proc, now),
            Ok(Instruction::Close) => {
                let text = "no proc runs that could be closed; write `proc match LEN|REGEX PIPELINE;`";
                self.refuse(place, ProcRefusal::Query, Some((&payload, Spot::new(0, 5), text)));
            }
            Err(refused) => {
                client.tells_reason = refused.with.reason;
                let (at, text) = (refused.error.at, refused.error.to_string());
                self.refuse(place, ProcRefusal::Query, Some((&payload, at, &text)));
            }
        }
    }

    fn begin(&mut self, place: u32, proc: Box<Proc>, now: Instant) {
        let Some(client) = self.clients.get_mut(place) else { return };
        let with = proc.with;
        (client.out.tells_lost, client.tells_reason) = (with.lost, with.reason);
        let query = self.engine.begin(proc, place);
        client.stage = Stage::Running(query);
        client.out.answer(&Answer::Status(true));
        self.books.counters.procs_taken += 1;
        self.is_uncommitted = true;
        if with.rate {
            self.scans.push_back(Scan::new(place, query, now));
        }
        self.write(place);
        // What came behind the proc.
        self.hear(place, now);
    }

    /// Tells a client that its proc does not run, or runs no more; `why` is its payload, the spot and the reason.
    fn refuse(&mut self, place: u32, refusal: ProcRefusal, why: Option<(&[u8], Spot, &str)>) {
        let Some(client) = self.clients.get_mut(place) else { return };
        self.books.counters.procs_refused.add(refusal);
        client.out.answer(&Answer::Status(false));
        if let Some((payload, at, text)) = why {
            if client.tells_reason {
                client.out.answer(&Answer::Reason { at, text });
            }
            let peer = client.peer();
            tracing::debug!(peer, reason = text, "a proc is refused");
            let (time, reason) = (Time::now(), common::books::Label::name(refusal));
            self.books.refuse(&Refusal { time, peer: &peer, reason, text: payload, offset: at.offset });
        }
        self.write(place);
        let lost = match refusal {
            ProcRefusal::State => Lost::State,
            _ => Lost::HungUp,
        };
        self.end(place, lost);
    }

    /// Lets a client go; what waited for it is lost.
    fn end(&mut self, place: u32, lost: Lost) {
        let Some(mut client) = self.clients.remove(place) else { return };
        if let Stage::Running(query) = client.stage {
            self.engine.end(query);
            self.scans.retain(|scan| scan.client != place);
        }
        self.books.counters.frames.lost.add_many(lost, client.out.waiting());
        self.is_uncommitted = true;
        farewell(&mut client.stream, &mut Outbox::new(0), &mut self.buffer);
    }

    /// Gives a client what its socket takes.
    fn write(&mut self, place: u32) {
        let Some(client) = self.clients.get_mut(place) else { return };
        client.out.is_touched = false;
        if client.out.len() == 0 && !client.is_blocked {
            return;
        }
        self.is_uncommitted = true;
        let wrote = client.out.write(&mut client.stream).and_then(|wrote| {
            self.books.counters.frames.delivered += wrote.delivered;
            self.clients.watch_room(place, wrote.is_blocked)
        });
        if wrote.is_err() {
            self.end(place, Lost::HungUp);
        }
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

    /// Applies what is there; gives a pause when that saves wake-ups.
    fn drain(&mut self, now: Instant) -> anyhow::Result<Option<Duration>> {
        if !self.readable {
            return Ok(None);
        }
        let (time, moment) = (Time::now(), self.moment(now));
        self.engine.allow_matching(MATCHING_A_TURN);
        let (before, mut bytes) = (self.books.counters.datagrams, 0);
        let mut datagrams = 0;
        while self.readable && datagrams < DATAGRAMS_A_TURN && bytes < BYTES_A_TURN {
            bytes += self.receive(time, moment).context("reading the databus")?;
            while let Some(place) = self.engine.take_exhausted() {
                let text = "the state of this proc takes more memory than `client_state` or `state` of dmproc.toml \
                            allows; select fewer series, or use smaller windows";
                self.refuse(place, ProcRefusal::State, Some((b"", Spot::default(), text)));
            }
            if self.clients.has_heavy() {
                self.commit();
                while let Some(place) = self.clients.take_heavy() {
                    self.write(place);
                }
            }
            datagrams = self.books.counters.datagrams - before;
        }
        if datagrams == 0 {
            return Ok(None);
        }
        // Nothing is written before the books hold it.
        self.commit();
        Ok(self.pace.drained(datagrams, bytes, now))
    }

    /// Applies the next datagram; gives its length.
    fn receive(&mut self, time: Time, moment: Moment) -> io::Result<u64> {
        let Service { engine, clients, input, books, refused, .. } = self;
        let Some(received) = input.receive(books)? else {
            self.readable = false;
            return Ok(0);
        };
        let counters = &mut books.counters;
        counters.datagrams += 1;
        let (header, records, datagram) = match received {
            Received::Records { header, records, datagram, missing } => {
                counters.missing += missing;
                (header, records, datagram)
            }
            Received::Repeated(records) => {
                counters.repeated += records;
                return Ok(0);
            }
            Received::Refused(refusal, datagram) => {
                counters.unreadable.add(refusal);
                return Ok(datagram.len() as u64);
            }
        };
        let length = datagram.len() as u64;
        if header.content != Content::Events {
            counters.unreadable.add(DatagramRefusal::Content);
            return Ok(length);
        }
        clients.forget_frame();
        let mut out = Out { clients, refused, lost: 0 };
        let mut batch = [NOTHING; BATCH];
        let mut filled = 0;
        for record in Events::new(records, header.count) {
            match record {
                Ok(event) => {
                    batch[filled] = event;
                    filled += 1;
                }
                Err(RecordError::Length) => counters.unreadable.add(DatagramRefusal::Record),
                Err(RecordError::Tag(_)) => counters.unreadable.add(DatagramRefusal::UnknownKind),
            }
            if filled == BATCH {
                engine.apply(&batch, moment, counters, &mut out);
                filled = 0;
            }
        }
        engine.apply(&batch[..filled], moment, counters, &mut out);
        counters.frames.lost.add_many(Lost::SlowClient, out.lost);
        for (reason, text) in self.refused.drain(..) {
            let reason = common::books::Label::name(reason);
            let refusal = Refusal { time, peer: "dmproc.databus", reason, text: &text, offset: 0 };
            self.books.refuse(&refusal);
        }
        Ok(length)
    }

    /// Tells clients that asked how much they selected.
    fn scan(&mut self, now: Instant) {
        let moment = self.moment(now);
        let mut is_spent = false;
        for _ in 0..self.scans.len() {
            let Some(mut scan) = self.scans.pop_front() else { return };
            let is_done = !is_spent && self.engine.scan(&mut scan, LOOKS_A_TURN, moment);
            is_spent = true;
            if !is_done && now < scan.due {
                // The next turn goes on with another one.
                self.scans.push_back(scan);
                continue;
            }
            if let Some(client) = self.clients.get_mut(scan.client) {
                client.out.answer(&scan.answer(is_done));
                self.write(scan.client);
            }
        }
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
        self.commit();
        let carried = self.books.carried();
        self.books.close(carried);
        Ok(())
    }
}

/// Fills the places of a batch that no record has taken.
const NOTHING: Event<'static> = Event { key: b"", time: Time::from_ns(0), value: 0.0 };

/// What the engine's output does: values into outboxes, refused events kept for show.
struct Out<'a> {
    clients: &'a mut Clients,
    refused: &'a mut Vec<(Reason, Vec<u8>)>,
    lost: u64,
}

impl Outlet for Out<'_> {
    #[inline]
    fn value(&mut self, client: u32, event: &Event<'_>) {
        self.lost += u64::from(!self.clients.value(client, event));
    }

    fn refused(&mut self, event: &Event<'_>, reason: Reason) {
        if self.refused.len() < REFUSALS_A_DATAGRAM {
            let mut text = Vec::with_capacity(64);
            text::write_event(&mut text, event);
            self.refused.push((reason, text));
        }
    }
}
