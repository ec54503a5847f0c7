//! The process at the other end: receives, decodes, sums, and says what it has.

use std::io::{self, Write as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use common::books::Books;
use common::counters;
use common::runtime_dir::RuntimeDir;
use common::time::Time;
use common::value::Value;
use common::wire::{Content, Events, Metrics};
use hop::{Input, Received};
use mio::unix::SourceFd;
use mio::{Interest, Poll, Token};
use serde::{Deserialize, Serialize};
use sockets::inherited::Inherited;
use sockets::pace::Pace;
use sockets::registration;

use crate::clock::{cpu_of_self, monotonic_ns};
use crate::sums::Sums;

/// What a receiver says at its end.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// What came.
    pub(crate) sums: Sums,
    /// Records that never came, by their numbers.
    pub(crate) missing: u64,
    /// When the last record was summed.
    pub(crate) last_ns: u64,
    /// The stream that is summed apart.
    #[serde(default)]
    pub(crate) stream: Sums,
    /// How long after its time an event that was summed came, at most.
    #[serde(default)]
    pub(crate) late_ns: u64,
    /// The longest time without a datagram (or without one that has something of the stream), between the first
    /// and the last.
    pub(crate) gap_ns: u64,
    /// Time from a record's stamp to its sum, where values are stamps.
    pub(crate) latency: Option<Latency>,
    /// Processor time since it was ready.
    pub(crate) cpu_ns: u64,
}

/// A distribution of times, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50_ns: u64,
    pub(crate) p99_ns: u64,
    pub(crate) max_ns: u64,
}

impl Latency {
    /// Of times in nanoseconds; none gives zeros.
    pub(crate) fn of(times_ns: &mut [u64]) -> Latency {
        times_ns.sort_unstable();
        let rank = |share: f64| {
            let place = (times_ns.len() as f64 * share).ceil() as usize;
            times_ns.get(place.saturating_sub(1)).copied().unwrap_or(0)
        };
        Latency { p50_ns: rank(0.5), p99_ns: rank(0.99), max_ns: rank(1.0) }
    }
}

/// How a receiver works.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// The runtime directory.
    #[arg(long)]
    pub(crate) runtime_dir: PathBuf,
    /// The name of its books.
    #[arg(long)]
    pub(crate) name: String,
    /// The socket it binds.
    #[arg(long)]
    pub(crate) socket: PathBuf,
    /// Registers with the timeline.
    #[arg(long)]
    pub(crate) register: bool,
    /// Ends when it has so many records.
    #[arg(long)]
    pub(crate) records: Option<u64>,
    /// Values are stamps of the monotonic clock.
    #[arg(long)]
    pub(crate) stamps: bool,
    /// Pauses between reads as the timeline does.
    #[arg(long)]
    pub(crate) pace: bool,
    /// Only events whose names, without tags, end so are summed.
    #[arg(long)]
    pub(crate) suffix: Option<String>,
    /// Events that have this in their names are a stream that is summed apart; gap and latency are its.
    #[arg(long)]
    pub(crate) stream: Option<String>,
    /// Without a datagram for so many seconds it ends: the sender is gone or has lost something.
    #[arg(long, default_value_t = 10)]
    pub(crate) patience: u64,
}

impl Options {
    fn is_of_stream(&self, key: &[u8]) -> bool {
        self.stream
            .as_ref()
            .is_some_and(|word| key.windows(word.len().max(1)).any(|part| part == word.as_bytes()))
    }

    fn is_wanted(&self, key: &[u8]) -> bool {
        let name = key.split(|byte| *byte == b';').next().unwrap_or(key);
        self.suffix.as_ref().is_none_or(|suffix| name.ends_with(suffix.as_bytes()))
    }
}

counters! {
    /// What a receiver books; its sources as well.
    struct Counters {
        /// Records that came.
        received: u64,
    }
}

const DATABUS: Token = Token(0);
const STDIN: Token = Token(1);
/// Datagrams summed before they are committed together, as the timeline does.
const DATAGRAMS_A_COMMIT: usize = 16;
/// The same of what receives without books.
const IDLE_MAX: Duration = Duration::from_secs(10);

struct Receiver {
    options: Options,
    input: Input,
    books: Books<Counters>,
    report: Report,
    times_ns: Vec<u64>,
    heard_ns: u64,
    /// So many datagrams and bytes came in this turn, for the pace.
    turn: (u64, u64),
}

/// Serves until it has what it waits for, its standard input ends, or nothing comes any more; then reports.
pub(crate) fn serve(options: Options) -> anyhow::Result<()> {
    let run = RuntimeDir::at(&options.runtime_dir)?;
    let socket = Inherited::default().databus(&options.socket)?;
    let registering = socket.try_clone()?;
    let mut poll = Poll::new()?;
    let mut input = Input::new(socket)?;
    poll.registry().register(input.databus(), DATABUS, Interest::READABLE)?;
    poll.registry().register(&mut SourceFd(&0), STDIN, Interest::READABLE)?;
    let books = Books::open(&run.books(&options.name), &options.name, 64)?;
    let mut pace = Pace::new(1 << 30, Instant::now());
    let times_ns = Vec::with_capacity(if options.stamps { 4 << 20 } else { 0 });
    let (report, heard_ns, turn) = (Report::default(), monotonic_ns(), (0, 0));
    let mut receiver = Receiver { options, input, books, report, times_ns, heard_ns, turn };
    let mut events = mio::Events::with_capacity(4);
    receiver.register(&registering, &run);
    let mut register_at = Instant::now() + registration::INTERVAL;
    let cpu = cpu_of_self();
    say("ready")?;
    let mut stopping = false;
    loop {
        match poll.poll(&mut events, Some(registration::INTERVAL)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        stopping |= events.iter().any(|event| event.token() == STDIN);
        let pause = receiver.drain(&mut pace)?;
        let now = Instant::now();
        if now >= register_at {
            receiver.register(&registering, &run);
            register_at = now + registration::INTERVAL;
        }
        let idle = (monotonic_ns() - receiver.heard_ns) / 1_000_000_000 >= receiver.options.patience;
        if stopping || idle || receiver.is_done() {
            break;
        }
        if let Some(pause) = pause {
            std::thread::sleep(pause);
        }
    }
    let Receiver { mut report, mut times_ns, options, .. } = receiver;
    report.cpu_ns = (cpu_of_self() - cpu).as_nanos() as u64;
    report.latency = options.stamps.then(|| Latency::of(&mut times_ns));
    say(&serde_json::to_string(&report)?)
}

impl Receiver {
    fn is_done(&self) -> bool {
        self.options.records.is_some_and(|records| self.report.sums.records >= records)
    }

    fn register(&self, socket: &UnixDatagram, run: &RuntimeDir) {
        if self.options.register {
            // A timeline that has ended is no error: what it sent is here.
            let _ = registration::register(socket, &self.options.socket, "", &run.timeline_multicast());
        }
    }

    /// Sums what is there, and says how long to pause.
    fn drain(&mut self, pace: &mut Pace) -> anyhow::Result<Option<Duration>> {
        self.turn = (0, 0);
        while self.sum_some()? {
            self.books.counters.received = self.report.sums.records;
            self.books.commit_carried();
        }
        let (datagrams, bytes) = self.turn;
        if datagrams == 0 || !self.options.pace {
            return Ok(None);
        }
        Ok(pace.drained(datagrams, bytes, Instant::now()))
    }

    /// True as long as there is more.
    fn sum_some(&mut self) -> anyhow::Result<bool> {
        for _ in 0..DATAGRAMS_A_COMMIT {
            let Receiver { input, books, report, times_ns, options, .. } = self;
            let Some(received) = input.receive(books)? else { return Ok(false) };
            let Received::Records { header, records, datagram, missing } = received else {
                anyhow::bail!("not a datagram to sum: {received:?}");
            };
            self.turn.0 += 1;
            self.turn.1 += datagram.len() as u64;
            let now_ns = monotonic_ns();
            let Report { sums, stream, late_ns, .. } = report;
            let before = stream.records;
            let mut add = |key: &[u8], value: u64| {
                sums.add(key, value);
                if options.stamps {
                    times_ns.push(now_ns.saturating_sub(value));
                }
            };
            match header.content {
                Content::Metrics => {
                    for metric in Metrics::new(records, header.count) {
                        let metric = metric?;
                        add(metric.key, integer(metric.value));
                    }
                }
                Content::Events if options.suffix.is_none() => {
                    for event in Events::new(records, header.count) {
                        let event = event?;
                        add(event.key, event.value as u64);
                    }
                }
                Content::Events => {
                    let now = Time::now();
                    for event in Events::new(records, header.count) {
                        let event = event?;
                        if options.is_of_stream(event.key) {
                            stream.add(event.key, event.value as u64);
                        } else if options.is_wanted(event.key) {
                            sums.add(event.key, event.value as u64);
                            *late_ns = (*late_ns).max(now.since_ns(event.time).unsigned_abs());
                        }
                    }
                }
                _ => {}
            }
            report.missing += missing;
            self.heard_ns = now_ns;
            if options.stream.is_some() && report.stream.records == before {
                continue;
            }
            if report.last_ns > 0 {
                report.gap_ns = report.gap_ns.max(now_ns - report.last_ns);
            }
            report.last_ns = now_ns;
        }
        Ok(true)
    }
}

fn integer(value: Value) -> u64 {
    match value {
        Value::U64(value) => value,
        Value::I64(value) => value as u64,
        Value::F64(value) => value as u64,
    }
}

/// Prints a line to the parent.
pub(crate) fn say(line: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).context("telling the parent")
}

/// The baseline of rows over unix sockets: receives `bytes` in all without looking at them; with `stamps` the
/// first 8 bytes of each datagram are one.
pub(crate) fn serve_raw(socket: &Path, bytes: u64, stamps: bool) -> anyhow::Result<()> {
    let socket = UnixDatagram::bind(socket)?;
    socket.set_read_timeout(Some(IDLE_MAX))?;
    let mut buffer = vec![0; 64 * 1024];
    let (mut got, mut report, mut times_ns) = (0, Report::default(), Vec::new());
    let cpu = cpu_of_self();
    say("ready")?;
    while got < bytes {
        let length = match socket.recv(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            other => other?,
        };
        got += length as u64;
        if let (true, Some(stamp)) = (stamps, buffer.first_chunk()) {
            times_ns.push(monotonic_ns().saturating_sub(u64::from_le_bytes(*stamp)));
        }
    }
    report.last_ns = monotonic_ns();
    report.sums.values = got;
    report.cpu_ns = (cpu_of_self() - cpu).as_nanos() as u64;
    report.latency = stamps.then(|| Latency::of(&mut times_ns));
    say(&serde_json::to_string(&report)?)
}
