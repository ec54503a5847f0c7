//! leela-udp(8): Leela's text over UDP in, metrics out. It knows the text and no metric's meaning.

mod config;
mod counters;

use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use common::books::{Books, Refusal};
use common::process;
use common::text;
use common::time::Time;
use hop::{Output, Turns};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use sockets::meminfo::meminfo;
use sockets::pace::Pace;
use sockets::udp::{Receiver, SLOTS, address};

pub use config::Config;
pub use counters::Counters;

/// The first token of the output; those below it are sockets.
pub const OUTPUT: usize = 1 << 16;

/// Rounds of [`SLOTS`] datagrams that one socket gets before others, signals and the sender have their turn.
const ROUNDS_MAX: usize = 64;

/// leela-udp, opened.
#[derive(Debug)]
pub struct Udp {
    sockets: Vec<UdpSocket>,
    readable: Vec<bool>,
    receiver: Receiver,
    books: Books<Counters>,
    output: Output,
    pace: Pace,
    config: Config,
}

impl Udp {
    /// Registers the sockets, and books what a predecessor that was killed had in its hand.
    pub fn open(
        config: &Config,
        sockets: Vec<UdpSocket>,
        hand: &Path,
        mut books: Books<Counters>,
        output: Output,
        registry: &Registry,
    ) -> anyhow::Result<Udp> {
        let (receiver, lost) =
            Receiver::open(hand, &books.carried()).with_context(|| format!("opening {}", hand.display()))?;
        if lost > 0 {
            tracing::warn!(datagrams = lost, "the last leela-udp was killed with datagrams in hand");
            books.counters.lost_in_crash += lost;
        }
        let mut granted = u64::MAX;
        for (place, socket) in sockets.iter().enumerate() {
            granted = granted.min(u64::from(meminfo(socket)?.receive_buffer));
            registry.register(&mut SourceFd(&socket.as_raw_fd()), Token(place), Interest::READABLE)?;
        }
        let readable = vec![true; sockets.len()];
        let pace = Pace::new(granted, Instant::now());
        Ok(Udp { sockets, readable, receiver, books, output, pace, config: config.clone() })
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
            self.drain(turn.now)?;
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
    fn drain(&mut self, now: Instant) -> anyhow::Result<()> {
        let (datagrams, bytes) = (self.books.counters.datagrams, self.books.counters.bytes);
        let time = Time::now();
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
        let Udp { sockets, receiver, books, output, .. } = self;
        let socket = &sockets[place];
        let count = receiver.receive(socket, |datagram, from| {
            books.counters.datagrams += 1;
            books.counters.bytes += datagram.len() as u64;
            if text::is_ping(datagram) {
                books.counters.pings += 1;
                if let Some(peer) = address(from) {
                    // An answer that does not fit the send buffer is lost like any datagram.
                    let _ = socket.send_to(b"pong", peer);
                }
                return;
            }
            text::datagram(datagram, now, |message| {
                books.counters.received += 1;
                match message {
                    Ok(metric) => {
                        books.counters.accepted += 1;
                        books.counters.passed += 1;
                        output.metric(&metric);
                    }
                    Err(refused) => {
                        books.counters.refused.add(refused.reason);
                        let peer = address(from).map_or_else(String::new, |peer| peer.to_string());
                        tracing::debug!(peer, reason = refused.reason.name(), "refused");
                        books.refuse(&Refusal {
                            time: now,
                            peer: &peer,
                            reason: refused.reason.name(),
                            text: refused.text,
                            offset: refused.offset,
                        });
                    }
                }
            });
        });
        count.context("receiving")
    }

    fn commit(&mut self, now: Instant) {
        let receiver = &self.receiver;
        self.output.commit(&mut self.books, now, |carried| receiver.seal(carried));
    }
}
