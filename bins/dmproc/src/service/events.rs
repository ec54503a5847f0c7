//! The databus: events into the engine, what comes out into the clients' outboxes.

use std::io;
use std::time::{Duration, Instant};

use anyhow::Context;
use common::books::{Label, Refusal};
use common::metric::Event;
use common::query::error::Spot;
use common::text;
use common::time::Time;
use common::wire::{Content, Events, RecordError};
use hop::{Received, Refusal as DatagramRefusal};

use super::Service;
use crate::clients::Clients;
use crate::counters::{Lost, ProcRefusal, Reason};
use crate::engine::Outlet;
use crate::series::{BATCH, Moment};

/// Datagrams, and bytes of them, that are applied before others have their turn.
const DATAGRAMS_A_TURN: u64 = 128;
const BYTES_A_TURN: u64 = 256 * 1024;
/// Series are matched against new procs for so long in one turn; the events of those that have to wait reach the
/// procs they were matched against before.
const MATCHING_A_TURN: Duration = Duration::from_millis(5);
/// Refused events of one datagram that are kept for show.
const REFUSALS_A_DATAGRAM: usize = 16;

impl Service {
    /// Applies what is there; gives a pause when that saves wake-ups.
    pub(super) fn drain(&mut self, now: Instant) -> anyhow::Result<Option<Duration>> {
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
                Err(RecordError::Length | RecordError::Weight) => {
                    counters.unreadable.add(DatagramRefusal::Record);
                }
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
            let reason = reason.name();
            let refusal = Refusal { time, peer: "dmproc.databus", reason, text: &text, offset: 0 };
            self.books.refuse(&refusal);
        }
        Ok(length)
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
