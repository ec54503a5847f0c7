//! An input: what it takes goes through the real hand-over into its ring.

use std::time::Instant;

use common::books::{Books, Snapshot};
use common::counters;
use common::metric::{Kind, Metric, Note};
use common::runtime_dir::RuntimeDir;
use common::size::Size;
use common::time::Time;
use common::value::Value;
use common::wire::Content;
use hop::Output;
use sockets::ring::RingFile;

use crate::ledger::Record;
use crate::network::{Network, Sent};
use crate::process::{Process, guard};

counters! {
    /// Of an input.
    pub(crate) struct Counters {
        /// Records that came.
        received: u64,
        /// Of those, accepted.
        accepted: u64,
        /// Of those, handed on.
        passed: u64,
    }
}

/// A record as it is given to the input.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) record: Record,
    pub(crate) key: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) time: Time,
    pub(crate) value: Value,
}

pub(crate) struct Live {
    books: Books<Counters>,
    output: Output<Sent>,
}

pub(crate) struct Input {
    pub(crate) name: &'static str,
    pub(crate) process: Process<Live>,
    owner: u64,
    pub(crate) source: u64,
    /// What has which number, by content: metrics, notes.
    pub(crate) streams: [Vec<Record>; 2],
}

/// The place of a content in [`Input::streams`].
pub(crate) fn stream_of(content: Content) -> usize {
    usize::from(content == Content::Notes)
}

impl Input {
    pub(crate) fn new(name: &'static str) -> Input {
        Input { name, process: Process::new(), owner: 0, source: 0, streams: Default::default() }
    }

    pub(crate) fn start(
        &mut self,
        run: &RuntimeDir,
        network: &Network,
        owner: u64,
        now: Instant,
    ) -> Result<(), String> {
        let books = Books::open(&run.books(self.name), self.name, 0).map_err(|err| err.to_string())?;
        let net = network.of(owner, &self.process.fuse);
        let ring = Size::from_kib(256);
        let mut output =
            Output::over(net, run, self.name, ring, &books, 0, now).map_err(|err| err.to_string())?;
        output.only_timeline(run, now).map_err(|err| err.to_string())?;
        (self.owner, self.source) = (owner, books.source());
        self.process.live = Some(Live { books, output });
        Ok(())
    }

    /// Takes records, as a datagram of a client has them. True when it was killed meanwhile.
    pub(crate) fn take(&mut self, given: &[Given], run: &RuntimeDir, now: Instant) -> Result<bool, String> {
        let Some(mut live) = self.process.live.take() else { return Ok(false) };
        for one in given {
            self.streams[usize::from(matches!(one.record, Record::Note(_)))].push(one.record);
        }
        let taken = guard(move || {
            let Live { books, output } = &mut live;
            for Given { record, key, kind, time, value } in given {
                books.counters.received += 1;
                books.counters.accepted += 1;
                books.counters.passed += 1;
                match record {
                    Record::Note(number) => {
                        let json = format!("{{\"n\":{number}}}");
                        output.note(&Note { key, time: *time, json: json.as_bytes() });
                    }
                    _ if *kind == Kind::Member => {
                        // Each is there once.
                        let member = format!("{value:?}");
                        output.metric(&Metric::of_member(key, *time, member.as_bytes()));
                    }
                    _ => output.metric(&Metric::new(key, *time, *kind, *value)),
                }
            }
            output.commit(books, now, |_| {});
            live
        })?;
        self.process.live = taken;
        self.reconcile(run)
    }

    /// A turn: what waits is sent on. True when it was killed.
    pub(crate) fn turn(&mut self, network: &Network, run: &RuntimeDir, now: Instant) -> Result<bool, String> {
        let Some(mut live) = self.process.live.take() else { return Ok(false) };
        let ready = network.take_ready(self.owner);
        self.process.live = guard(move || {
            for token in ready {
                live.output.resume(token, now);
            }
            live.output.send(now);
            live
        })?;
        self.reconcile(run)
    }

    /// It ends in order.
    pub(crate) fn end(&mut self) {
        if let Some(Live { books, output }) = self.process.live.take() {
            output.end(books, |_| {});
        }
    }

    /// After a kill: what the books do not have was in its hand.
    pub(crate) fn reconcile(&mut self, run: &RuntimeDir) -> Result<bool, String> {
        if self.process.live.is_some() {
            return Ok(false);
        }
        let books = Snapshot::read(&run.books(self.name)).map_err(|err| err.to_string())?;
        let numbers = RingFile::numbers(&books.carried);
        for content in [Content::Metrics, Content::Notes] {
            let stream = &mut self.streams[stream_of(content)];
            let committed = numbers[content as usize] as usize;
            if stream.len() < committed {
                return Err(format!("{} has {committed} records, and was given {}", self.name, stream.len()));
            }
            // What is behind was in its hand.
            stream.truncate(committed);
        }
        Ok(true)
    }
}
