//! The sending side of a hop, as an input has it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use common::books::Books;
use common::metric::{Event, Metric};
use common::runtime_dir::RuntimeDir;
use common::size::Size;
use hop::Output;
use mio::{Events, Poll};
use sockets::peer::{CONTENTS, Peer, Standing, Wants};
use tests::DEADLINE;

/// What a writer puts into its ring before it waits for the peers it minds.
const BEHIND_BYTES: f64 = 2.0 * 1024.0 * 1024.0;
const RING: Size = Size::from_mib(64);

/// An output with its books and its poll.
#[derive(Debug)]
pub(crate) struct Writer {
    poll: Poll,
    events: Events,
    books: Books<leela_udp::Counters>,
    output: Output,
}

impl Writer {
    /// To the timeline's databus alone, as an input.
    pub(crate) fn to_timeline(run: &RuntimeDir) -> anyhow::Result<Writer> {
        let poll = Poll::new()?;
        let books = Books::open(&run.books("udp"), "udp", 0)?;
        let output = Output::to_timeline(run, "udp", RING, &books, poll.registry(), 0)?;
        Ok(Writer { poll, events: Events::with_capacity(64), books, output })
    }

    /// To peers that want `contents`, as the timeline.
    pub(crate) fn to_peers(run: &RuntimeDir, contents: u8, paths: &[&Path]) -> anyhow::Result<Writer> {
        let poll = Poll::new()?;
        let books = Books::open(&run.books("timeline"), "timeline", 0)?;
        let mut output = Output::open(run, "timeline", RING, &books, poll.registry(), 0)?;
        let wants = Wants { contents, text: false, durable: false, fixed: false };
        for path in paths {
            output.sender().join(path, wants, Instant::now()).context("joining a peer")?;
        }
        Ok(Writer { poll, events: Events::with_capacity(64), books, output })
    }

    #[inline]
    pub(crate) fn metric(&mut self, metric: &Metric<'_>) {
        self.output.metric(metric);
    }

    #[inline]
    pub(crate) fn event(&mut self, event: &Event<'_>) {
        self.output.event(event);
    }

    /// Into the ring, into the books, out.
    pub(crate) fn commit(&mut self, records: u64) {
        self.books.counters.received += records;
        self.books.counters.accepted += records;
        self.books.counters.passed += records;
        self.output.commit(&mut self.books, Instant::now(), |_| {});
    }

    /// Goes on with peers that became writable, waiting for that at most `wait`.
    pub(crate) fn turn(&mut self, wait: Duration) -> anyhow::Result<()> {
        self.poll.poll(&mut self.events, Some(wait))?;
        let now = Instant::now();
        for event in &self.events {
            self.output.resume(event.token(), now);
        }
        if self.output.next_try().is_some_and(|at| at <= now) {
            self.output.send(now);
        }
        Ok(())
    }

    /// Waits until every peer that is not `stopped` is close behind the writer: nothing falls off the ring.
    pub(crate) fn keep_close(&mut self, record_bytes: usize, stopped: Option<&Path>) -> anyhow::Result<()> {
        self.turn(Duration::ZERO)?;
        let behind_max = (BEHIND_BYTES / record_bytes as f64) as u64;
        while self.waiting(stopped) > behind_max {
            self.turn(Duration::from_millis(10))?;
        }
        Ok(())
    }

    /// Sends until every peer that is not `stopped` has everything.
    pub(crate) fn finish(&mut self, stopped: Option<&Path>) -> anyhow::Result<()> {
        let end = Instant::now() + DEADLINE;
        while self.waiting(stopped) > 0 && Instant::now() < end {
            self.turn(Duration::from_millis(10))?;
        }
        Ok(())
    }

    /// The peer of a path.
    pub(crate) fn peer(&mut self, path: &Path) -> Option<Peer> {
        self.output.sender().peers().iter().find(|peer| peer.path == path).cloned()
    }

    fn waiting(&mut self, stopped: Option<&Path>) -> u64 {
        let sender = self.output.sender();
        let numbers: [u64; CONTENTS] = std::array::from_fn(|code| sender.next_number(code as u8));
        let minded = sender.peers().iter().filter(|peer| peer.standing == Standing::Active);
        let minded = minded.filter(|peer| Some(peer.path.as_path()) != stopped);
        minded.map(|peer| peer.waiting(&numbers)).max().unwrap_or(0)
    }
}
