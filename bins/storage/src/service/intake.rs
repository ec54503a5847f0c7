//! What comes: from the databus and from clients that import. Logged, then given to the store, then booked.

use std::io;
use std::ops::Range;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use anyhow::Context;
use common::books::{Label, Refusal};
use common::key;
use common::time::Time;
use common::wire::{Content, Events, Header, Notes, States};
use hop::{Received, Refusal as DatagramRefusal};

use super::Service;
use crate::asks::{Imported, Request};
use crate::counters::{Counters, Lost, Reason};
use crate::log::{Mark, Position};
use crate::store::Written;

/// Datagrams, and bytes of them, that are logged with one write.
const DATAGRAMS_A_TURN: usize = 64;
const BYTES_A_TURN: usize = 1 << 20;
/// Requests of clients that are served in one turn.
const REQUESTS_A_TURN: usize = 64;
/// The fewest bytes of a record: what a header says of its count is believed up to here.
const RECORD_BYTES_MIN: usize = 2 + 8 + 2;

/// What is staged in the log, and not yet given to the store.
#[derive(Debug, Default)]
pub(super) struct Intake {
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

impl Intake {
    fn is_full(&self) -> bool {
        self.items.len() >= DATAGRAMS_A_TURN || self.bytes.len() >= BYTES_A_TURN
    }

    /// The last event that was logged.
    pub(super) fn mark(&self) -> Mark {
        self.last
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

impl Service {
    /// Logs and writes what is there; gives a pause when that saves wake-ups.
    pub(super) fn drain(&mut self, now: Instant) -> anyhow::Result<Option<Duration>> {
        if !self.readable {
            return Ok(None);
        }
        let lost = self.trouble.now(self.store.full(), now);
        let (mut datagrams, mut bytes) = (0, 0);
        while self.readable && !self.intake.is_full() && datagrams < DATAGRAMS_A_TURN as u64 {
            let Some(length) = self.receive(lost).context("reading the databus")? else { break };
            datagrams += 1;
            bytes += length;
        }
        self.books.counters.datagrams += datagrams;
        // What clients import may be staged, though nothing came.
        self.write(now);
        if datagrams == 0 {
            return Ok(None);
        }
        self.commit();
        Ok(self.pace.drained(datagrams, bytes, now))
    }

    /// Stages the next datagram, or books why not; gives its length.
    fn receive(&mut self, lost: Option<Lost>) -> io::Result<Option<u64>> {
        let Service { intake, input, books, log, trouble, .. } = self;
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
            intake.push(header, records, position, None);
        }
        Ok(Some(length))
    }

    /// Takes what clients ask of the loop.
    pub(super) fn serve_requests(&mut self) {
        let now = Instant::now();
        for _ in 0..REQUESTS_A_TURN {
            let Some(request) = self.asks.next_request() else { return };
            self.is_uncommitted = true;
            match request {
                Request::Import { datagram, reply } => self.import(&datagram, reply, now),
                Request::Sync { reply } => self.syncer.wait(self.log.end(), reply),
                Request::Segments { reply } => {
                    // Who asked may have gone.
                    let _ = reply.send(self.log.segments());
                }
            }
        }
        // There may be more.
        self.asks.wake();
    }

    fn import(&mut self, datagram: &[u8], reply: SyncSender<Imported>, now: Instant) {
        let Ok((header, records)) = Header::read(datagram) else { return };
        match self.trouble.now(self.store.full(), now) {
            Some(lost) => {
                // Nothing is dropped: the client has it still.
                let _ = reply.send(Imported::Failed(lost));
            }
            None => {
                let position = self.log.stage(datagram);
                self.intake.push(header, records, position, Some(reply));
                if self.intake.is_full() || !self.readable {
                    self.write(now);
                }
            }
        }
    }

    /// Writes what is staged to the log, then to the store, then books it.
    pub(super) fn write(&mut self, now: Instant) {
        if self.intake.items.is_empty() {
            return;
        }
        self.is_uncommitted = true;
        let time = Time::now();
        let committed = self.log.commit();
        if committed.is_ok() {
            self.trouble.is_over(now);
            self.intake.note_last();
        }
        let Service { intake, store, books, trouble, .. } = self;
        let failed = committed.err().map(|error| trouble.log_failed(&error, now));
        // Told once the books hold it: what a client knows of is counted.
        let mut replies = Vec::new();
        for item in intake.items.drain(..) {
            let records = &intake.bytes[item.records];
            if let Some(lost) = failed {
                match item.reply {
                    Some(reply) => replies.push((reply, Imported::Failed(lost))),
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
        intake.bytes.clear();
        if !replies.is_empty() {
            self.commit();
            for (reply, imported) in replies {
                // Who asked may have gone.
                let _ = reply.send(imported);
            }
        }
    }
}

/// Whether a store keeps records of this content.
pub(crate) fn is_kept(content: Content) -> bool {
    matches!(content, Content::Events | Content::States | Content::Notes)
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
