//! leela-statsd(8): StatsD and DogStatsD in, metrics and notes out. It knows the dialect and no metric's meaning.

pub mod config;
pub mod counters;

pub mod dialect;
pub mod key;
mod marks;
pub mod note;
mod plain_tags;
pub mod reader;
pub mod rules;
mod tagged;

pub mod sources;
pub mod streams;

pub mod explain;

use std::time::Instant;

use common::books::{Books, Refusal};
use common::time::Time;
use hop::{Counted, Datagram, Output, Progress, Protocol, Turn};
use mio::Token;
use sockets::pace::Patience;

use counters::Dropped;
use dialect::{Fault, Reason, lines};
use reader::{Found, Reader, Remarks, Rules};
use streams::Streams;

pub use config::Config;
pub use counters::Counters;

/// The first token of the output; those below it are sockets.
pub const OUTPUT: usize = 1 << 16;

/// Refused lines of one datagram that `leela refused` is to show: no client shall fill all of its room.
const REFUSALS_A_DATAGRAM: usize = 16;

/// Lines, and what is needed to read them.
#[derive(Debug)]
pub struct Lines {
    reader: Reader,
    rules: Rules,
    line_max: usize,
}

impl Lines {
    /// Reads lines as `rules` say, of at most `line_max` bytes.
    pub fn new(rules: Rules, line_max: usize) -> Lines {
        Lines { reader: Reader::default(), rules, line_max }
    }

    /// The longest line, in bytes.
    pub fn line_max(&self) -> usize {
        self.line_max
    }

    /// Refuses what is no line to be read: it counts as one.
    pub fn refuse(
        &self,
        text: &[u8],
        reason: Reason,
        offset: usize,
        time: Time,
        peer: &str,
        books: &mut Books<Counters>,
    ) {
        books.counters.lines += 1;
        books.counters.received += 1;
        refuse(text, Fault { reason, offset }, time, &|| peer.to_owned(), &mut 0, books);
    }

    /// Takes the lines of a datagram or of a frame. `peer` says who sent it.
    pub fn take(
        &mut self,
        bytes: &[u8],
        time: Time,
        peer: impl Fn() -> String,
        books: &mut Books<Counters>,
        output: &mut Output,
    ) {
        let mut shown = 0;
        for line in lines(bytes) {
            self.line(line, time, &peer, &mut shown, books, output);
        }
        let Remarks { rewritten, scope_tags, unknown_sections } = std::mem::take(&mut self.reader.remarks);
        books.counters.rewritten += rewritten;
        books.counters.scope_tags += scope_tags;
        books.counters.unknown_sections += unknown_sections;
    }

    #[inline]
    fn line(
        &mut self,
        line: &[u8],
        time: Time,
        peer: &impl Fn() -> String,
        shown: &mut usize,
        books: &mut Books<Counters>,
        output: &mut Output,
    ) {
        if line.len() > self.line_max {
            return self.refuse(line, Reason::TooLong, self.line_max, time, &peer(), books);
        }
        // What most lines are, each way by itself: by value, a metric stays in registers.
        if let Some(metric) = reader::plain(line, time, &self.rules) {
            count_plain(books);
            return output.metric(&metric);
        }
        if let Some((metric, tags)) = self.reader.plain_tagged(line, time, &self.rules) {
            count_plain(books);
            return output.metric_with(&metric, tags.bytes(), |room| tags.write(room));
        }
        let (mut accepted, mut refused) = (0, 0);
        self.reader.any(line, time, &self.rules, |found| match found {
            Ok(found) => {
                accepted += 1;
                pass(&found, books, output);
            }
            Err(fault) => {
                refused += 1;
                refuse(line, fault, time, peer, shown, books);
            }
        });
        let counters = &mut books.counters;
        counters.lines += 1;
        match accepted + refused {
            0 => counters.empty += 1,
            found => {
                counters.packed += found - 1;
                counters.received += found;
                counters.accepted += accepted;
            }
        }
    }
}

/// One line, one metric, passed on.
#[inline(always)]
fn count_plain(books: &mut Books<Counters>) {
    let counters = &mut books.counters;
    counters.lines += 1;
    counters.received += 1;
    counters.accepted += 1;
    counters.passed += 1;
}

#[inline]
fn pass(found: &Found<'_>, books: &mut Books<Counters>, output: &mut Output) {
    match found {
        Found::Metric(metric) => output.metric(metric),
        Found::Note(note) => {
            books.counters.notes += 1;
            output.note(note);
        }
        Found::Dropped => return books.counters.dropped.add(Dropped::Rule),
    }
    books.counters.passed += 1;
}

#[cold]
fn refuse(
    line: &[u8],
    fault: Fault,
    time: Time,
    peer: &impl Fn() -> String,
    shown: &mut usize,
    books: &mut Books<Counters>,
) {
    books.counters.refused.add(fault.reason);
    *shown += 1;
    if *shown <= REFUSALS_A_DATAGRAM {
        let (peer, reason) = (peer(), fault.reason.name());
        tracing::debug!(peer, reason, "refused");
        books.refuse(&Refusal { time, peer: &peer, reason, text: line, offset: fault.offset });
    }
}

/// All that leela-statsd reads from.
#[derive(Debug)]
pub struct Statsd {
    lines: Lines,
    streams: Streams,
}

impl Statsd {
    /// Reads lines, from datagrams and from streams.
    pub fn new(lines: Lines, streams: Streams) -> Statsd {
        Statsd { lines, streams }
    }
}

impl Protocol for Statsd {
    type Counters = Counters;

    /// Nearly all that StatsD's clients send is gathered for a window.
    const PATIENCE: Patience = Patience::WINDOWS;

    fn counted(counters: &mut Counters) -> Counted<'_> {
        let Counters { datagrams, bytes, kernel_drops, lost_in_crash, .. } = counters;
        Counted { datagrams, bytes, kernel_drops, lost_in_crash }
    }

    fn take(&mut self, datagram: Datagram<'_>, books: &mut Books<Counters>, output: &mut Output) {
        let Datagram { bytes, time, is_cut, .. } = datagram;
        let peer = || datagram.peer();
        if !is_cut {
            return self.lines.take(bytes, time, peer, books, output);
        }
        // Its last line is not all there.
        let whole = memchr::memrchr(b'\n', bytes).map_or(0, |end| end + 1);
        self.lines.take(&bytes[..whole], time, peer, books, output);
        let rest = &bytes[whole..];
        self.lines.refuse(rest, Reason::TooLong, rest.len(), time, &peer(), books);
    }

    fn listens(&self) -> Vec<String> {
        self.streams.listens()
    }

    fn ready(&mut self, token: Token) {
        self.streams.ready(token);
    }

    fn turn(&mut self, turn: &Turn, books: &mut Books<Counters>, output: &mut Output) -> Progress {
        self.streams.turn(turn, &mut self.lines, books, output)
    }

    fn finish(&mut self, deadline: Instant, books: &mut Books<Counters>, output: &mut Output) {
        self.streams.finish(deadline, &mut self.lines, books, output);
    }
}
