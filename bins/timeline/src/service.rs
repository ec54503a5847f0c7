//! The timeline among its sockets: the databus it reads, the multicast where peers register, the ring it fills.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use common::books::{Books, Refusal};
use common::key;
use common::metric::{Event, Kind, Metric, Note, State};
use common::process;
use common::text;
use common::time::Time;
use common::value::Value;
use common::wire::{Content, Metrics, Notes, RecordError};
use hop::{Input, Output, Received, Refusal as DatagramRefusal, Turns};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use sockets::pace::Pace;
use sockets::registration::{self, REGISTRATION_BYTES_MAX, RegistrationError};

use crate::booked::{Base, Booked, PeerRefusal};
use crate::counters::Reason;
use crate::peers::wants;
use crate::snapshot::{self, Restored, TakenUp};
use crate::timeline::{self, Timeline};

/// The first token of the output.
pub const OUTPUT: usize = 2;
const DATABUS: Token = Token(0);
const MULTICAST: Token = Token(1);

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
pub struct Service {
    timeline: Timeline,
    base: Base,
    input: Input,
    multicast: UnixDatagram,
    directory: PathBuf,
    state: PathBuf,
    books: Books<Booked>,
    output: Output,
    pace: Pace,
    /// Datagrams and bytes since the databus was last found empty.
    drained: (u64, u64),
    start: Instant,
    readable: bool,
    /// Registrations may be there to read.
    has_registrations: bool,
    refused: Vec<Refused>,
    drain_timeout: Duration,
}

/// A refused record, as Leela's text, until the books have it.
#[derive(Debug)]
struct Refused {
    reason: Reason,
    text: Vec<u8>,
}

/// Where the sockets and files of the service are.
#[derive(Debug)]
pub struct Ends {
    /// The databus, bound.
    pub databus: UnixDatagram,
    /// The multicast socket, bound.
    pub multicast: UnixDatagram,
    /// The runtime directory, in which peers must be.
    pub directory: PathBuf,
    /// The file of the saved state.
    pub state: PathBuf,
}

impl Service {
    /// Takes up the saved state and registers the sockets.
    pub fn open(
        mut timeline: Timeline,
        ends: Ends,
        mut books: Books<Booked>,
        output: Output,
        registry: &Registry,
        drain_timeout: Duration,
    ) -> anyhow::Result<Service> {
        let start = Instant::now();
        let taken_up = take_up(&mut timeline, &ends.state);
        let lost_before = books.counters.absolute_lost + books.counters.aggregated_lost;
        let base = Base::new(&mut books.counters, &taken_up);
        let lost = base.lost(lost_before);
        if lost > 0 {
            tracing::warn!(records = lost, "windows of the last leela-timeline are lost");
        }
        let mut input = Input::new(ends.databus)?;
        ends.multicast.set_nonblocking(true)?;
        registry.register(input.databus(), DATABUS, Interest::READABLE)?;
        registry.register(&mut SourceFd(&ends.multicast.as_raw_fd()), MULTICAST, Interest::READABLE)?;
        Ok(Service {
            timeline,
            base,
            input,
            multicast: ends.multicast,
            directory: ends.directory,
            state: ends.state,
            books,
            output,
            pace: Pace::new(QUEUE_BYTES, start),
            drained: (0, 0),
            start,
            readable: true,
            has_registrations: true,
            refused: Vec::new(),
            drain_timeout,
        })
    }

    /// Makes events of metrics until it is told to stop; then saves its state.
    pub fn serve(mut self, turns: &mut Turns) -> anyhow::Result<()> {
        tracing::info!(series = self.timeline.counters().series, "ready");
        let (mut tick_at, mut flush_at) = (self.start, self.start);
        loop {
            let next_try = self.output.next_try();
            let more = self.readable || self.has_registrations;
            let due = tick_at.min(flush_at);
            let until = if more { Instant::now() } else { next_try.map_or(due, |at| at.min(due)) };
            let turn = turns.next_turn(Some(until))?;
            if let Some(signal) = turn.stop {
                tracing::info!(signal, "stopping");
                break;
            }
            for token in turns.tokens() {
                match token {
                    DATABUS => self.readable = true,
                    MULTICAST => self.has_registrations = true,
                    token => {
                        self.output.resume(token, turn.now);
                    }
                }
            }
            self.output.send(turn.now);
            if self.has_registrations {
                self.has_registrations = self.register(turn.now)?;
            }
            self.drain(turn.now)?;
            if turn.now >= tick_at {
                let more = self.tick(turn.now, Time::now());
                tick_at = if more { turn.now } else { turn.now + TICK };
            }
            if turn.now >= flush_at {
                flush_at = turn.now + self.flush(turn.now, Time::now());
            }
            if turn.tick {
                self.expire_peers(turn.now);
            }
        }
        process::stopping();
        self.stop(turns)
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

    fn expire_peers(&mut self, now: Instant) {
        for peer in self.output.sender().expire(now) {
            tracing::info!(peer = %peer.path.display(), sent = peer.sent, dropped = peer.dropped, "a peer has left");
        }
        let sender = self.output.sender();
        let active = sender.peers().iter().filter(|peer| peer.standing == sockets::peer::Standing::Active);
        self.books.counters.peers = active.count() as u64;
        self.books.counters.peer_unwritable += std::mem::take(&mut sender.unwritable);
        self.commit(now);
    }

    /// Applies what is there, for one turn; pauses afterwards when that saves wake-ups.
    fn drain(&mut self, now: Instant) -> anyhow::Result<()> {
        let (before, time) = (self.books.counters.datagrams, Time::now());
        let mut bytes = 0;
        for _ in 0..COMMITS_A_TURN {
            let mut left = DATAGRAMS_A_COMMIT;
            while self.readable && left > 0 && bytes < BYTES_A_TURN {
                bytes += self.receive(time, now)?;
                left -= 1;
            }
            if left < DATAGRAMS_A_COMMIT {
                self.commit(now);
            }
            if !self.readable || bytes >= BYTES_A_TURN {
                break;
            }
        }
        self.drained.0 += self.books.counters.datagrams - before;
        self.drained.1 += bytes;
        let (datagrams, bytes) = self.drained;
        if datagrams == 0 || self.readable {
            return Ok(());
        }
        self.drained = (0, 0);
        if let Some(pause) = self.pace.drained(datagrams, bytes, now) {
            std::thread::sleep(pause);
        }
        Ok(())
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
                for record in Metrics::new(records, header.count) {
                    match record {
                        Ok(metric) => {
                            batch[filled] = metric;
                            filled += 1;
                        }
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
            self.commit(now);
        }
        more
    }

    /// Emits a slice of the window that is due; gives how long until the next one.
    fn flush(&mut self, now: Instant, time: Time) -> Duration {
        let Service { timeline, output, refused, .. } = self;
        let sender = output.sender();
        if sender.live_filling(now) > FILLING_MAX {
            return PACE;
        }
        let wants_states = sender.wanted(Content::States as u8);
        let before = timeline.counters().timer_events;
        let more = timeline.flush(time, &mut Outlet { output, refused, wants_states });
        if self.timeline.counters().timer_events != before {
            self.commit(now);
        }
        if more { Duration::ZERO } else { TICK }
    }

    fn commit(&mut self, now: Instant) {
        if !self.refused.is_empty() {
            let time = Time::now();
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

    fn stop(mut self, turns: &mut Turns) -> anyhow::Result<()> {
        let now = Instant::now();
        self.commit(now);
        match snapshot::save(&self.timeline, &self.state, Time::now(), now - self.start) {
            Ok(series) => tracing::info!(series, path = %self.state.display(), "state saved"),
            Err(error) => {
                tracing::error!(%error, path = %self.state.display(), "the state is lost: it could not be saved");
            }
        }
        self.book();
        self.output.close(self.books, turns.poll(), now + self.drain_timeout, |_| {})?;
        Ok(())
    }
}

/// What the timeline's output does: events into the ring, refused records kept for show.
struct Outlet<'a> {
    output: &'a mut Output,
    refused: &'a mut Vec<Refused>,
    wants_states: bool,
}

impl timeline::Output for Outlet<'_> {
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

/// Takes up the state that the predecessor saved; gives what was in it.
fn take_up(timeline: &mut Timeline, path: &std::path::Path) -> Restored {
    match snapshot::take_up(timeline, path, Time::now(), Duration::ZERO) {
        TakenUp::Nothing => Restored::default(),
        TakenUp::Restored(restored) => {
            tracing::info!(series = restored.series, away = ?restored.downtime, "state taken up");
            restored
        }
        TakenUp::Refused { error, aside } => {
            let aside = aside.map(|path| path.display().to_string());
            tracing::error!(path = %path.display(), %error, ?aside, "the saved state is not taken up");
            Restored::default()
        }
    }
}
