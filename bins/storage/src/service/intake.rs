//! What comes: from the databus and from clients that import. Logged, then given to the store, then booked. It has no
//! thread and reads no clock.

use std::io;
use std::ops::Range;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use anyhow::Context;
use common::ask::report::PowerCut;
use common::books::{Books, Label, Refusal};
use common::key;
use common::time::Time;
use common::wire::{Content, Events, Header, Notes, States};
use hop::{Input, Received, Refusal as DatagramRefusal};
use sockets::net::Bound;
use sockets::pace::Pace;
use sockets::planted;

use super::replay::{self, TakenIn};
use super::trouble::Trouble;
use crate::asks::Imported;
use crate::counters::{Counters, Lost, Reason};
use crate::files::SharedFiles;
use crate::log::{Log, LogError, Mark, Position, Syncing};
use crate::store::{Store, Written};

/// The databus's queue is counted in datagrams, not in bytes: there is always room for a pause.
const QUEUE_BYTES: u64 = 1 << 30;
/// Datagrams, and bytes of them, that are logged with one write.
const DATAGRAMS_A_TURN: usize = 64;
const BYTES_A_TURN: usize = 1 << 20;
/// The fewest bytes of a record: what a header says of its count is believed up to here.
const RECORD_BYTES_MIN: usize = 2 + 8 + 2;

/// What is received, and where it goes: the log, the store, the books.
#[derive(Debug)]
pub struct Intake<S = UnixDatagram> {
    pub(super) store: Arc<dyn Store>,
    pub(super) log: Log,
    pub(super) books: Books<Counters>,
    pub(super) input: Input<S>,
    pub(super) trouble: Trouble,
    pace: Pace,
    /// Datagrams may be there to read.
    pub readable: bool,
    /// Something is counted that is not committed.
    pub(super) is_uncommitted: bool,
    can_cut: bool,
    staged: Staged,
}

/// What is staged in the log, and not yet given to the store.
#[derive(Debug, Default)]
struct Staged {
    bytes: Vec<u8>,
    items: Vec<Item>,
    /// The last event that was logged.
    last: Mark,
}

#[derive(Debug)]
struct Item {
    header: Header,
    /// Its records, in `bytes`.
    records: Range<usize>,
    position: Position,
    /// Who imported it.
    reply: Option<SyncSender<Imported>>,
}

impl Staged {
    fn is_full(&self) -> bool {
        self.items.len() >= DATAGRAMS_A_TURN || self.bytes.len() >= BYTES_A_TURN
    }

    fn push(
        &mut self,
        header: Header,
        records: &[u8],
        position: Position,
        reply: Option<SyncSender<Imported>>,
    ) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(records);
        self.items.push(Item { header, records: start..self.bytes.len(), position, reply });
    }

    /// Notes the last numbered event of what was logged.
    fn note_last(&mut self) {
        let is_numbered = |item: &&Item| item.header.content == Content::Events && item.header.source != 0;
        let Some(item) = self.items.iter().rev().find(is_numbered) else { return };
        let events = Events::new(&self.bytes[item.records.clone()], item.header.count);
        let Some(event) = events.flatten().last() else { return };
        let number = item.header.first.saturating_add(u64::from(item.header.count)).saturating_sub(1);
        self.last = Mark { number, time: event.time };
    }
}

impl<S: Bound> Intake<S> {
    /// Opens the log in `directory` and takes in what it holds; `None` when `stop` says so before that is done, which
    /// loses nothing. `stop` is called every now and then, and waits until the moment that it is given.
    pub fn open(
        files: SharedFiles,
        store: Arc<dyn Store>,
        directory: &Path,
        input: Input<S>,
        mut books: Books<Counters>,
        now: Instant,
        stop: &mut dyn FnMut(Instant) -> anyhow::Result<bool>,
    ) -> anyhow::Result<Option<(Intake<S>, Option<PowerCut>)>> {
        let (mut log, replay) =
            Log::open(files, directory, store.acknowledged()).context("opening the log")?;
        let power_cut = match replay::take_in(replay, &mut log, &*store, &mut books, stop)? {
            TakenIn::All(power_cut) => power_cut,
            TakenIn::Stopped => return Ok(None),
        };
        // A predecessor that was killed had not made its last second durable.
        log.sync_old().context("making durable what a predecessor logged")?;
        let intake = Intake {
            store,
            log,
            books,
            input,
            trouble: Trouble::default(),
            pace: Pace::new(QUEUE_BYTES, now),
            readable: true,
            is_uncommitted: true,
            can_cut: true,
            staged: Staged::default(),
        };
        Ok(Some((intake, power_cut)))
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.books.counters
    }

    /// Logs and writes what is there; gives a pause when that saves wake-ups.
    pub fn drain(&mut self, now: Instant, time: Time) -> anyhow::Result<Option<Duration>> {
        if !self.readable {
            return Ok(None);
        }
        let lost = self.trouble.now(self.store.full(), now);
        let (mut datagrams, mut bytes) = (0, 0);
        while self.readable && !self.staged.is_full() && datagrams < DATAGRAMS_A_TURN as u64 {
            let Some(length) = self.receive(lost).context("reading the databus")? else { break };
            datagrams += 1;
            bytes += length;
        }
        self.books.counters.datagrams += datagrams;
        // What clients import may be staged, though nothing came.
        self.write(now, time);
        if datagrams == 0 {
            return Ok(None);
        }
        self.commit();
        Ok(self.pace.drained(datagrams, bytes, now))
    }

    /// Stages the next datagram, or books why not; gives its length.
    fn receive(&mut self, lost: Option<Lost>) -> io::Result<Option<u64>> {
        let Intake { staged, input, books, log, trouble, .. } = self;
        let Some(received) = input.receive(books)? else {
            self.readable = false;
            return Ok(None);
        };
        let counters = &mut books.counters;
        let (header, records, datagram) = match received {
            Received::Records { header, records, datagram, missing } => {
                counters.missing = counters.missing.saturating_add(missing);
                (header, records, datagram)
            }
            Received::Repeated(records) => {
                counters.repeated += records;
                return Ok(Some(0));
            }
            Received::Refused(refusal, datagram) => {
                counters.unreadable.add(refusal);
                return Ok(Some(datagram.len() as u64));
            }
        };
        let length = datagram.len() as u64;
        if !is_kept(header.content) {
            counters.unreadable.add(DatagramRefusal::Content);
        } else if let Some(lost) = lost {
            let dropped = book_lost(counters, lost, &header, records.len());
            trouble.dropped(dropped);
        } else {
            let position = log.stage(datagram);
            staged.push(header, records, position, None);
        }
        Ok(Some(length))
    }

    /// Takes a datagram that a client imports.
    pub(super) fn import(&mut self, datagram: &[u8], reply: SyncSender<Imported>, now: Instant, time: Time) {
        let Ok((header, records)) = Header::read(datagram) else { return };
        match self.trouble.now(self.store.full(), now) {
            Some(lost) => {
                // Nothing is dropped: the client has it still.
                let _ = reply.send(Imported::Failed(lost));
            }
            None => {
                let position = self.log.stage(datagram);
                self.staged.push(header, records, position, Some(reply));
                if self.staged.is_full() || !self.readable {
                    self.write(now, time);
                }
            }
        }
    }

    /// Writes what is staged to the log, then to the store, then books it.
    pub(super) fn write(&mut self, now: Instant, time: Time) {
        if self.staged.items.is_empty() {
            return;
        }
        self.is_uncommitted = true;
        let committed = self.log.commit();
        if committed.is_ok() {
            self.trouble.is_over(now);
            self.staged.note_last();
        }
        let Intake { staged, store, books, trouble, .. } = self;
        let failed = committed.err().map(|error| trouble.log_failed(&error, now));
        let failed = if planted!(LogErrorIgnored) { None } else { failed };
        // Told once the books hold it: what a client knows of is counted.
        let mut replies = Vec::new();
        for item in staged.items.drain(..) {
            let records = &staged.bytes[item.records];
            if let Some(lost) = failed {
                match item.reply {
                    Some(reply) => replies.push((reply, Imported::Failed(lost))),
                    None if planted!(DropUnbooked) => {}
                    None => {
                        let dropped = book_lost(&mut books.counters, lost, &item.header, records.len());
                        trouble.dropped(dropped);
                    }
                }
                continue;
            }
            let written = store.write(&item.header, records, item.position);
            book(&mut books.counters, &written);
            if written.bad_key > 0
                && let Some(text) = bad_key(&item.header, records)
            {
                let (reason, offset) = (Reason::BadKey.name(), 0);
                books.refuse(&Refusal { time, peer: "storage.databus", reason, text, offset });
            }
            if let Some(reply) = item.reply {
                books.counters.imported += written.stored;
                replies.push((reply, Imported::Written(written)));
            }
        }
        staged.bytes.clear();
        if !replies.is_empty() {
            self.commit();
            for (reply, imported) in replies {
                // Who asked may have gone.
                let _ = reply.send(imported);
            }
        }
    }

    /// Begins to make durable what is logged. That it cannot be is trouble.
    pub fn begin_sync(&mut self, now: Instant) -> Result<Syncing, LogError> {
        self.log.begin_sync(self.staged.last).inspect_err(|error| {
            self.trouble.log_failed(error, now);
        })
    }

    /// Has the store seal what a sync that failed may have lost: it is in the store's memory still.
    pub fn seal_doubtful(&mut self) {
        if let Some(doubt) = self.log.doubt()
            && self.store.seal_up_to(doubt)
        {
            self.log.is_elsewhere(doubt);
        }
    }

    /// Takes away what the store has in files of its own.
    pub fn cut(&mut self) {
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

    /// Commits the books.
    pub fn commit(&mut self) {
        self.is_uncommitted = false;
        book_log(&mut self.books.counters, &self.log);
        self.books.commit_carried();
    }

    /// The end: seals what is in memory, so that the successor has little to take in, and closes the books.
    pub fn close(self, time: Time, book: impl FnOnce(&mut Counters)) {
        let Intake { store, log, mut books, .. } = self;
        book_log(&mut books.counters, &log);
        match store.close(time) {
            Ok(()) => match log.clear() {
                Ok(()) => books.counters.log_bytes = 0,
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
        book(&mut books.counters);
        let carried = books.carried();
        books.close(carried);
    }
}

/// Whether a store keeps records of this content.
pub(crate) fn is_kept(content: Content) -> bool {
    matches!(content, Content::Events | Content::States | Content::Notes)
}

/// Books where the log stands.
pub(super) fn book_log(counters: &mut Counters, log: &Log) {
    counters.log_bytes = log.bytes();
    counters.log_end = log.end().0;
}

/// Books what the store made of a datagram.
pub(super) fn book(counters: &mut Counters, written: &Written) {
    let Written { stored, deleted, bad_key, unreadable } = *written;
    let accepted = stored + deleted;
    counters.received += accepted + bad_key;
    counters.accepted += accepted;
    counters.passed += stored;
    counters.merged += deleted;
    counters.refused.add_many(Reason::BadKey, bad_key);
    counters.unreadable.add_many(DatagramRefusal::Record, unreadable);
}

/// Books a datagram that is neither logged nor written; gives its records.
fn book_lost(counters: &mut Counters, lost: Lost, header: &Header, records_bytes: usize) -> u64 {
    let records = u64::from(header.count).min((records_bytes / RECORD_BYTES_MIN) as u64);
    counters.received += records;
    counters.accepted += records;
    counters.dropped.add_many(lost, records);
    records
}

/// The first key of a datagram that is none.
fn bad_key<'a>(header: &Header, records: &'a [u8]) -> Option<&'a [u8]> {
    let is_bad = |key: &&[u8]| !matches!(key::parse(key), Ok(same) if same.as_bytes() == *key);
    match header.content {
        Content::States => States::new(records, header.count).flatten().map(|state| state.key).find(is_bad),
        Content::Notes => Notes::new(records, header.count).flatten().map(|note| note.key).find(is_bad),
        _ => Events::new(records, header.count).flatten().map(|event| event.key).find(is_bad),
    }
}
