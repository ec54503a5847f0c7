//! leela-collectd(8): packets of collectd's binary network protocol in, metrics and notes out. It knows the
//! protocol and no metric's meaning.

pub mod config;
pub mod counters;

pub mod packet;
pub mod part;
pub mod reason;

pub mod names;
pub mod note;
pub mod types_db;

pub mod security;
pub mod users;

pub mod file;
pub mod tables;

pub mod group;

use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use common::books::{Books, Refusal};
use common::exit::{Exit, OrExit};
use common::process;
use common::time::Time;
use hop::{Output, Turns};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use sockets::meminfo::meminfo;
use sockets::pace::Pace;
use sockets::udp::{Receiver, SLOTS, address};

use packet::Reader;
use reason::Reason;
use tables::Tables;

pub use config::Config;
pub use counters::Counters;

/// The first token of the output; those below it are sockets.
pub const OUTPUT: usize = 1 << 16;

/// Rounds of [`SLOTS`] datagrams that one socket gets before others, signals and the sender have their turn.
const ROUNDS_MAX: usize = 64;

const _: () = assert!(Reason::COUNT <= u32::BITS as usize, "a bit for each reason");

/// leela-collectd, opened.
#[derive(Debug)]
pub struct Collectd {
    sockets: Vec<UdpSocket>,
    readable: Vec<bool>,
    receiver: Receiver,
    reader: Reader,
    tables: Tables,
    books: Books<Counters>,
    output: Output,
    pace: Pace,
    config: Config,
}

impl Collectd {
    /// Joins the groups, registers the sockets, and books what a predecessor that was killed had in its hand.
    pub fn open(
        config: Config,
        tables: Tables,
        sockets: Vec<UdpSocket>,
        hand: &Path,
        mut books: Books<Counters>,
        output: Output,
        registry: &Registry,
    ) -> anyhow::Result<Collectd> {
        let (receiver, lost) =
            Receiver::open(hand, &books.carried()).with_context(|| format!("opening {}", hand.display()))?;
        if lost > 0 {
            tracing::warn!(datagrams = lost, "the last leela-collectd was killed with datagrams in hand");
            books.counters.lost_in_crash += lost;
        }
        group::join(&sockets, &config.join).exit(Exit::Config)?;
        let mut granted = u64::MAX;
        for (place, socket) in sockets.iter().enumerate() {
            granted = granted.min(u64::from(meminfo(socket)?.receive_buffer));
            registry.register(&mut SourceFd(&socket.as_raw_fd()), Token(place), Interest::READABLE)?;
        }
        let readable = vec![true; sockets.len()];
        let pace = Pace::new(granted, Instant::now());
        let reader = Reader::default();
        Ok(Collectd { sockets, readable, receiver, reader, tables, books, output, pace, config })
    }

    /// Receives until it is told to stop.
    pub fn serve(mut self, turns: &mut Turns) -> anyhow::Result<()> {
        let addresses = self.sockets.iter().map(UdpSocket::local_addr).collect::<Result<Vec<_>, _>>()?;
        tracing::info!(listen = ?addresses, "ready");
        loop {
            let more = self.readable.contains(&true);
            let until = if more { Some(Instant::now()) } else { self.output.next_try() };
            let turn = turns.next_turn(until)?;
            if let Some(signal) = turn.stop {
                tracing::info!(signal, "stopping");
                break;
            }
            for token in turns.tokens() {
                if !self.output.resume(token, turn.now) {
                    self.readable[token.0] = true;
                }
            }
            self.output.send(turn.now);
            let time = Time::now();
            if turn.tick {
                self.tables.refresh(time);
            }
            self.drain(turn.now, time)?;
            if turn.tick {
                self.books.counters.kernel_drops += self.receiver.kernel_drops(&self.sockets)?;
                self.commit(turn.now);
            }
        }
        process::stopping();
        self.books.counters.kernel_drops += self.receiver.kernel_drops(&self.sockets)?;
        let deadline = Instant::now() + self.config.drain_timeout.duration();
        let receiver = self.receiver;
        self.output.close(self.books, turns.poll(), deadline, |carried| receiver.seal(carried))?;
        Ok(())
    }

    /// Reads what is there and hands it on; pauses afterwards when that saves wake-ups.
    fn drain(&mut self, now: Instant, time: Time) -> anyhow::Result<()> {
        let (datagrams, bytes) = (self.books.counters.datagrams, self.books.counters.bytes);
        for place in 0..self.sockets.len() {
            let mut rounds = 0;
            while self.readable[place] && rounds < ROUNDS_MAX {
                self.readable[place] = self.receive(place, time)? == SLOTS;
                // What is in hand is committed before the hand is filled again.
                self.commit(now);
                rounds += 1;
            }
        }
        let datagrams = self.books.counters.datagrams - datagrams;
        if datagrams > 0
            && let Some(pause) = self.pace.drained(datagrams, self.books.counters.bytes - bytes, now)
        {
            std::thread::sleep(pause);
        }
        Ok(())
    }

    fn receive(&mut self, place: usize, now: Time) -> anyhow::Result<usize> {
        let Collectd { sockets, receiver, reader, tables, books, output, config, .. } = self;
        let rules = tables.rules(config);
        let count = receiver.receive(&sockets[place], |datagram, from| {
            books.counters.datagrams += 1;
            books.counters.bytes += datagram.len() as u64;
            // One packet can hold thousands of faults; the first of each reason says what is wrong.
            let mut shown = 0_u32;
            let remarks = reader.read(datagram, now, &rules, |found| match found {
                Ok(found) => {
                    books.counters.received += 1;
                    books.counters.accepted += 1;
                    books.counters.passed += 1;
                    match found {
                        packet::Output::Metric(metric) => output.metric(&metric),
                        packet::Output::Note(note) => {
                            books.counters.notes += 1;
                            output.note(&note);
                        }
                    }
                }
                Err(refused) => {
                    let bit = 1 << refused.reason as u32;
                    books.counters.received += refused.values;
                    books.counters.refused.add_many(refused.reason, refused.values);
                    if !refused.reason.is_fault() || shown & bit != 0 {
                        return;
                    }
                    shown |= bit;
                    let peer = address(from).map_or_else(String::new, |peer| peer.to_string());
                    tracing::debug!(peer, reason = refused.reason.name(), "refused");
                    books.refuse(&Refusal {
                        time: now,
                        peer: &peer,
                        reason: refused.reason.name(),
                        text: datagram,
                        offset: refused.offset,
                    });
                }
            });
            let packet::Remarks { unknown_parts, rewritten, untyped, unverified } = remarks;
            books.counters.unknown_parts += unknown_parts;
            books.counters.rewritten += rewritten;
            books.counters.untyped += untyped;
            books.counters.unverified += unverified;
        });
        count.context("receiving")
    }

    fn commit(&mut self, now: Instant) {
        let receiver = &self.receiver;
        self.output.commit(&mut self.books, now, |carried| receiver.seal(carried));
    }
}
