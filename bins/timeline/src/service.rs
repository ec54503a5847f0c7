//! The timeline among its sockets: the databus it reads, the multicast where peers register, the ring it fills.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::books::{Books, Refusal};
use common::growth::{self, GrowthFile};
use common::key;
use common::metric::{Event, Kind, Metric, Note, State};
use common::process;
use common::text;
use common::time::Time;
use common::value::Value;
use common::wire::{Content, Metrics, Notes, RecordError};
use hop::{Input, Output, Received, Refusal as DatagramRefusal, Turn, Turns};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use sockets::net::{Bound, Kernel, Net};
use sockets::pace::Pace;
use sockets::planted;
use sockets::registration::{self, REGISTRATION_BYTES_MAX, RegistrationError};

use crate::booked::{Base, Booked, PeerRefusal};
use crate::counters::Reason;
use crate::peers::wants;
use crate::snapshot::{self, Restored, TakenUp};
use crate::timeline::{self, Timeline};
use crate::uptime::Uptime;

/// The first token of the output.
pub const OUTPUT: usize = 2;
/// The token of the databus.
pub const DATABUS: Token = Token(0);
/// The token of the multicast socket.
pub const MULTICAST: Token = Token(1);

/// Datagrams that are applied before they are committed together, at most.
const DATAGRAMS_A_COMMIT: usize = 16;
/// Commits before signals, registrations and the sender have their turn, and bytes of datagrams: what is made of
/// more than these does not fit the queues of peers, and would wait for the next turn while they are idle.
const COMMITS_A_TURN: usize = 4;
const BYTES_A_TURN: u64 = 128 * 1024;
/// Registrations that are read in one turn.
const REGISTRATIONS_A_TURN: usize = 128;
/// Refused records of one commit that are kept for show.
const REFUSALS_A_COMMIT: usize = 16;
/// Records decoded before they are applied together.
const RECORDS: usize = 32;
/// How often the timeline closes windows and looks for idle series.
const TICK: Duration = Duration::from_millis(100);
/// A window is not emitted further while so much of the ring waits for a peer that is there.
const FILLING_MAX: f64 = 0.5;
/// How long a flush then waits.
const PACE: Duration = Duration::from_millis(2);
/// The databus's queue is counted in datagrams, not in bytes: there is always room for a pause.
const QUEUE_BYTES: u64 = 1 << 30;

/// leela-timeline, opened.
#[derive(Debug)]
pub struct Service<N: Net = Kernel, S = UnixDatagram> {
    timeline: Timeline,
    base: Base,
    input: Input<S>,
    multicast: S,
    directory: PathBuf,
    state: PathBuf,
    books: Books<Booked>,
    output: Output<N>,
    pace: Pace,
    /// Datagrams and bytes since the databus was last found empty.
    drained: (u64, u64),
    start: Instant,
    /// When windows close and idle series are looked for, and when a window is emitted further.
    tick_at: Instant,
    flush_at: Instant,
    readable: bool,
    /// Registrations may be there to read.
    has_registrations: bool,
    refused: Vec<Refused>,
    /// Where it is told from where new series come; none when the file cannot be made.
    growth: Option<GrowthFile>,
    /// The stamp of the newest window that a successor is told of.
    told_window: Option<Time>,
    drain_timeout: Duration,
    uptime: fn() -> Option<Uptime>,
}

/// A refused record, as Leela's text, until the books have it.
#[derive(Debug)]
struct Refused {
    reason: Reason,
    text: Vec<u8>,
}

/// Where the sockets and files of the service are.
#[derive(Debug)]
pub struct Ends<S = UnixDatagram> {
    /// The databus, bound.
    pub databus: S,
    /// The multicast socket, bound.
    pub multicast: S,
    /// The runtime directory, in which peers must be.
    pub directory: PathBuf,
    /// The file of the saved state.
    pub state: PathBuf,
}

/// The clocks at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// The one that nobody sets.
    pub now: Instant,
    /// The wall clock.
    pub time: Time,
    /// Since when the machine is up, asked again whenever the state is saved.
    pub uptime: fn() -> Option<Uptime>,
}

impl Service {
    /// Takes up the saved state and registers the sockets.
    pub fn open(
        timeline: Timeline,
        ends: Ends,
        books: Books<Booked>,
        output: Output,
        registry: &Registry,
        drain_timeout: Duration,
    ) -> anyhow::Result<Service> {
        ends.databus.set_nonblocking(true)?;
        ends.multicast.set_nonblocking(true)?;
        registry.register(&mut SourceFd(&ends.databus.as_raw_fd()), DATABUS, Interest::READABLE)?;
        registry.register(&mut SourceFd(&ends.multicast.as_raw_fd()), MULTICAST, Interest::READABLE)?;
        let clocks = Clocks { now: Instant::now(), time: Time::now(), uptime: Uptime::now };
        Ok(Service::over(timeline, ends, books, output, drain_timeout, clocks))
    }

    /// Makes events of metrics until it is told to stop; then saves its state.
    pub fn serve(mut self, turns: &mut Turns) -> anyhow::Result<()> {
        tracing::info!(series = self.timeline.counters().series, "ready");
        loop {
            let turn = turns.next_turn(Some(self.due().unwrap_or_else(Instant::now)))?;
            if let Some(signal) = turn.stop {
                tracing::info!(signal, "stopping");
                break;
            }
            if let Some(pause) = self.turn(&turn, turns.tokens())? {
                std::thread::sleep(pause);
            }
        }
        process::stopping();
        let now = Instant::now();
        self.save(now, Time::now());
        self.output.close(self.books, turns.poll(), now + self.drain_timeout, |_| {})?;
        Ok(())
    }
}

impl<N: Net, S: Bound> Service<N, S> {
    /// As [`Service::open`], over any network, by these clocks.
    pub fn over(
        mut timeline: Timeline,
        ends: Ends<S>,
        mut books: Books<Booked>,
        output: Output<N>,
        drain_timeout: Duration,
        clocks: Clocks,
    ) -> Service<N, S> {
        let Clocks { now, time, uptime } = clocks;
        let taken_up = take_up(&mut timeline, &ends, time, uptime());
        let lost_before = books.counters.absolute_lost + books.counters.aggregated_lost;
        let base = Base::new(&mut books.counters, &taken_up);
        let lost = base.lost(lost_before);
        if lost > 0 {
            tracing::warn!(records = lost, "windows of the last leela-timeline are lost");
        }
        Service {
            timeline,
            base,
            input: Input::over(ends.databus),
            multicast: ends.multicast,
            growth: growth_file(&ends.directory),
            told_window: None,
            directory: ends.directory,
            state: ends.state,
            books,
            output,
            pace: Pace::new(QUEUE_BYTES, now),
            drained: (0, 0),
            start: now,
            tick_at: now,
            flush_at: now,
            readable: true,
            has_registrations: true,
            refused: Vec::new(),
            drain_timeout,
            uptime,
        }
    }

    /// When the next turn is due though nothing becomes ready; None where that is now.
    pub fn due(&self) -> Option<Instant> {
        if self.readable || self.has_registrations {
            return None;
        }
        let due = self.tick_at.min(self.flush_at);
        Some(self.output.next_try().map_or(due, |at| at.min(due)))
    }

    /// One turn: what became ready, and what is due. Gives a pause when that saves wake-ups.
    pub fn turn(
        &mut self,
        turn: &Turn,
        ready: impl Iterator<Item = Token>,
    ) -> anyhow::Result<Option<Duration>> {
        let Turn { now, time, tick, .. } = *turn;
        for token in ready {
            match token {
                DATABUS => self.readable = true,
                MULTICAST => self.has_registrations = true,
                token => {
                    self.output.resume(token, now);
                }
            }
        }
        self.output.send(now);
        if self.has_registrations {
            self.has_registrations = self.register(now)?;
        }
        let pause = self.drain(now, time)?;
        if now >= self.tick_at {
            let more = self.tick(now, time);
            self.tick_at = if more { now } else { now + TICK };
        }
        if now >= self.flush_at {
            self.flush_at = now + self.flush(now, time);
        }
        if tick {
            self.expire_peers(now, time);
            if let Some(file) = &mut self.growth {
                file.write(&self.timeline.growth(time, now - self.start));
            }
        }
        Ok(pause)
    }

    /// Before the end: commits, and saves what is in memory.
    pub fn save(&mut self, now: Instant, time: Time) {
        self.commit(now, time);
        if planted!(SavedTooEarly) {
            let _ = snapshot::save(&self.timeline, &self.state, time, now - self.start, (self.uptime)());
            let _ = self.receive(time, now);
            return self.commit(now, time);
        }
        match snapshot::save(&self.timeline, &self.state, time, now - self.start, (self.uptime)()) {
            Ok(series) => tracing::info!(series, path = %self.state.display(), "state saved"),
            Err(error) => {
                tracing::error!(%error, path = %self.state.display(), "the state is lost: it could not be saved");
            }
        }
        self.book();
    }

    /// The end where nobody is waited for: the books are closed, what the ring holds is the successor's.
    pub fn end(self) {
        self.output.end(self.books, |_| {});
    }

    /// Reads registrations: before the databus, so that a new peer gets what comes next. True when there may be more.
    fn register(&mut self, now: Instant) -> io::Result<bool> {
        let mut buffer = [0; REGISTRATION_BYTES_MAX];
        for _ in 0..REGISTRATIONS_A_TURN {
            let Some(registration) = registration::receive(&self.multicast, &self.directory, &mut buffer)?
            else {
                return Ok(false);
            };
            let joined = registration
                .map_err(|error| match error {
                    RegistrationError::Form => PeerRefusal::Form,
                    RegistrationError::Sender => PeerRefusal::Sender,
                    RegistrationError::Outside => PeerRefusal::Outside,
                })
                .and_then(|registration| {
                    let wants = wants(registration.words).ok_or(PeerRefusal::Form)?;
                    let joined = self.output.sender().join(registration.path, wants, now);
                    joined.map(|new| (registration, new)).map_err(|_| PeerRefusal::Full)
                });
            let counters = &mut self.books.counters;
            match joined {
                Ok((registration, new)) => {
                    counters.registrations += 1;
                    if new {
                        let peer = registration.path.display();
                        tracing::info!(%peer, words = registration.words, "a peer has joined");
                    }
                }
                Err(refusal) => counters.registrations_refused.add(refusal),
            }
        }
        Ok(true)
    }

    fn expire_peers(&mut self, now: Instant, time: Time) {
        for peer in self.output.sender().expire(now) {
            tracing::info!(peer = %peer.path.display(), sent = peer.sent, dropped = peer.dropped, "a peer has left");
        }
        let sender = self.output.sender();
        let active = sender.peers().iter().filter(|peer| peer.standing == sockets::peer::Standing::Active);
        self.books.counters.peers = active.count() as u64;
        self.books.counters.peer_unwritable += std::mem::take(&mut sender.unwritable);
        self.commit(now, time);
    }

    /// Applies what is there, for one turn; gives a pause when that saves wake-ups.
    fn drain(&mut self, now: Instant, time: Time) -> anyhow::Result<Option<Duration>> {
        let before = self.books.counters.datagrams;
        let mut bytes = 0;
        for _ in 0..COMMITS_A_TURN {
            let mut left = DATAGRAMS_A_COMMIT;
            while self.readable && left > 0 && bytes < BYTES_A_TURN {
                bytes += self.receive(time, now)?;
                left -= 1;
            }
            if left < DATAGRAMS_A_COMMIT {
                self.commit(now, time);
            }
            if !self.readable || bytes >= BYTES_A_TURN {
                break;
            }
        }
        self.drained.0 += self.books.counters.datagrams - before;
        self.drained.1 += bytes;
        let (datagrams, bytes) = self.drained;
        if datagrams == 0 || self.readable {
            return Ok(None);
        }
        self.drained = (0, 0);
        Ok(self.pace.drained(datagrams, bytes, now))
    }

    /// Applies the next datagram; gives its length.
    fn receive(&mut self, time: Time, now: Instant) -> anyhow::Result<u64> {
        let mono = now - self.start;
        let Service { timeline, input, books, output, refused, .. } = self;
        let Some(received) = input.receive(books)? else {
            self.readable = false;
            return Ok(0);
        };
        let counters = &mut books.counters;
        counters.datagrams += 1;
        let (header, records, datagram) = match received {
            Received::Records { header, records, datagram, missing } => {
                // One forged number is as far away as numbers go.
                counters.missing = counters.missing.saturating_add(missing);
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
        let mut outlet = Outlet { output, refused, wants_states: false };
        match header.content {
            Content::Metrics => {
                let mut batch = [NOTHING; RECORDS];
                let mut filled = 0;
                let mut metrics = Metrics::new(records, header.count);
                while let Some(read) = metrics.next_into(&mut batch[filled]) {
                    match read {
                        Ok(()) => filled += 1,
                        Err(error) => counters.unreadable.add(unreadable(error)),
                    }
                    if filled == RECORDS {
                        timeline.apply(&batch, header.source, time, mono, &mut outlet);
                        filled = 0;
                    }
                }
                timeline.apply(&batch[..filled], header.source, time, mono, &mut outlet);
            }
            Content::Notes => {
                for record in Notes::new(records, header.count) {
                    match record {
                        Ok(note) if is_sound(&note) => {
                            counters.notes += 1;
                            outlet.output.note(&note);
                        }
                        Ok(_) => counters.unreadable.add(DatagramRefusal::Record),
                        Err(error) => counters.unreadable.add(unreadable(error)),
                    }
                }
            }
            Content::Events | Content::States | Content::Runs | Content::Series | Content::Words => {
                counters.unreadable.add(DatagramRefusal::Content);
            }
        }
        Ok(datagram.len() as u64)
    }

    /// What time alone brings about; true when there is more to do at once.
    fn tick(&mut self, now: Instant, time: Time) -> bool {
        let Service { timeline, output, refused, .. } = self;
        let before = timeline.counters().timer_events;
        let mut outlet = Outlet { output, refused, wants_states: false };
        let more = timeline.tick(time, now - self.start, &mut outlet);
        if self.timeline.counters().timer_events != before {
            self.commit(now, time);
        }
        more
    }

    /// Emits a slice of the window that is due; gives how long until the next one.
    fn flush(&mut self, now: Instant, time: Time) -> Duration {
        self.tell_windows(time);
        let Service { timeline, output, refused, .. } = self;
        let sender = output.sender();
        if sender.live_filling(now) > FILLING_MAX {
            return PACE;
        }
        let wants_states = sender.wanted(Content::States as u8);
        let before = timeline.counters().timer_events;
        let more = timeline.flush(time, &mut Outlet { output, refused, wants_states });
        if self.timeline.counters().timer_events != before {
            self.commit(now, time);
        }
        if more { Duration::ZERO } else { TICK }
    }

    /// Before anything comes out of a window, a successor of this process is told that the next one was entered: should this
    /// one be killed, nothing is stamped as this one has.
    fn tell_windows(&mut self, time: Time) {
        let windows = self.timeline.windows_at(time);
        let newest = windows.ends().map(|(stamp, _)| stamp);
        if newest.is_none() || newest == self.told_window {
            return;
        }
        // One that cannot be written is tried again with the next window.
        self.told_window = newest;
        let path = windows_file(&self.directory);
        if let Err(error) = snapshot::save_windows(windows, &path, time) {
            tracing::warn!(path = %path.display(), %error, "a successor is not told which windows were entered");
        }
    }

    fn commit(&mut self, now: Instant, time: Time) {
        if !self.refused.is_empty() {
            for Refused { reason, text } in self.refused.drain(..) {
                let (reason, text) = (reason.word(), text.as_slice());
                self.books.refuse(&Refusal { time, peer: "timeline.databus", reason, text, offset: 0 });
            }
        }
        self.book();
        self.output.commit(&mut self.books, now, |_| {});
    }

    fn book(&mut self) {
        self.base.book(self.timeline.counters(), &mut self.books.counters);
        self.books.counters.no_peer += self.output.take_unwanted();
    }
}

/// What the timeline's output does: events into the ring, refused records kept for show.
struct Outlet<'a, N: Net> {
    output: &'a mut Output<N>,
    refused: &'a mut Vec<Refused>,
    wants_states: bool,
}

impl<N: Net> timeline::Output for Outlet<'_, N> {
    #[inline]
    fn event(&mut self, event: Event<'_>) {
        self.output.event(&event);
    }

    fn state(&mut self, state: State<'_>) {
        self.output.state(&state);
    }

    fn wants_states(&self) -> bool {
        self.wants_states
    }

    fn refused(&mut self, metric: &Metric<'_>, reason: Reason) {
        if self.refused.len() < REFUSALS_A_COMMIT {
            let mut text = Vec::with_capacity(64);
            text::write_metric(&mut text, metric);
            self.refused.push(Refused { reason, text });
        }
    }
}

/// Fills the places of a batch that no record has taken.
const NOTHING: Metric<'static> = Metric::new(b"", Time::from_ns(0), Kind::Gauge, Value::U64(0));

fn unreadable(error: RecordError) -> DatagramRefusal {
    match error {
        RecordError::Length | RecordError::Weight => DatagramRefusal::Record,
        RecordError::Tag(_) => DatagramRefusal::UnknownKind,
    }
}

fn is_sound(note: &Note<'_>) -> bool {
    key::parse(note.key).is_ok()
        && note.json.len() <= Note::JSON_BYTES_MAX
        && std::str::from_utf8(note.json).is_ok()
}

/// The file for `leela top --growth`. Without it all else goes on.
fn growth_file(directory: &Path) -> Option<GrowthFile> {
    let path = directory.join("books").join(growth::FILE);
    match GrowthFile::open(&path) {
        Ok(file) => Some(file),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "where new series come from is not told");
            None
        }
    }
}

/// Where one that is killed leaves which windows it has entered.
fn windows_file(directory: &Path) -> PathBuf {
    directory.join("books").join(snapshot::WINDOWS_FILE)
}

/// Takes up the state that the predecessor saved, or else its windows; gives what was in the state.
fn take_up<S>(timeline: &mut Timeline, ends: &Ends<S>, time: Time, uptime: Option<Uptime>) -> Restored {
    let path = &ends.state;
    match snapshot::take_up(timeline, path, time, Duration::ZERO, uptime) {
        TakenUp::Nothing => {}
        TakenUp::Restored(restored) => {
            tracing::info!(series = restored.series, away = ?restored.downtime, "state taken up");
            return restored;
        }
        TakenUp::Refused { error, aside } => {
            let aside = aside.map(|path| path.display().to_string());
            tracing::error!(path = %path.display(), %error, ?aside, "the saved state is not taken up");
        }
    }
    let path = windows_file(&ends.directory);
    match snapshot::take_up_windows(timeline, &path, time) {
        Ok(true) => tracing::info!("goes on with the windows of one that was killed"),
        Ok(false) => {}
        Err(error) => {
            tracing::error!(path = %path.display(), %error, "what windows were entered is not known");
        }
    }
    Restored::default()
}
