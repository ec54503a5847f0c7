//! What cases send, by the protocols of users. Every load counts what it sent by itself.

use std::io::Write as _;
use std::net::{SocketAddr, UdpSocket};

use common::time::Time;
use tests::Running;

/// Different keys of a load.
pub(crate) const KEYS: u64 = 1000;

/// How much, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pour {
    /// Records a second, as far as the machine can.
    pub(crate) rate: u64,
    /// Seconds.
    pub(crate) seconds: u64,
    /// Records in a datagram.
    pub(crate) packed: u64,
}

impl Pour {
    /// For a load that is halted when its case is done: a slow machine gets late to the end of it.
    pub(crate) fn as_long_as_it_takes(self) -> Pour {
        Pour { seconds: self.seconds * 10, ..self }
    }

    /// Records in all.
    pub(crate) fn records(self) -> u64 {
        (self.rate * self.seconds).next_multiple_of(self.packed)
    }

    /// Gauges as Leela's text, `load.k<0 to 999>`, whose values are their numbers. Each of a key has a millisecond for
    /// itself, from `begin` on, so that a store keeps every one.
    pub(crate) fn gauges(self, listen: SocketAddr, begin: Time) -> Running {
        let mut text = Vec::new();
        let send = sender(listen);
        Running::start(self.rate, self.records(), self.packed, move |first, count| {
            text.clear();
            for number in first..first + count {
                let time = begin.plus_ns((number / KEYS) as i64 * 1_000_000);
                write!(text, "gauge 12|load.k{:06} {number} {time};", number % KEYS)
                    .expect("a Vec takes all");
            }
            send(&text);
        })
    }

    /// As [`Pour::gauges`], at the time at which the input gets them.
    pub(crate) fn gauges_of_now(self, listen: SocketAddr) -> Running {
        let mut text = Vec::new();
        let send = sender(listen);
        Running::start(self.rate, self.records(), self.packed, move |first, count| {
            text.clear();
            (first..first + count).for_each(|number| tests::numbered(&mut text, number));
            send(&text);
        })
    }

    /// Counts of one as StatsD's lines, `<name>.k<0 to 999>`.
    pub(crate) fn counts(self, listen: SocketAddr, name: &'static str) -> Running {
        let mut text = Vec::new();
        let send = sender(listen);
        Running::start(self.rate, self.records(), self.packed, move |first, count| {
            text.clear();
            for number in first..first + count {
                writeln!(text, "{name}.k{:06}:1|c", number % KEYS).expect("a Vec takes all");
            }
            send(&text);
        })
    }

    /// As a table says it.
    pub(crate) fn says(self, what: &str) -> String {
        let rate = match self.rate % 1000 {
            0 => format!("{} k", self.rate / 1000),
            _ => self.rate.to_string(),
        };
        let time = match self.seconds % 60 {
            0 => format!("{} min", self.seconds / 60),
            _ => format!("{} s", self.seconds),
        };
        format!("{rate} {what}/s, {} a datagram, {time}", self.packed)
    }
}

/// Sends datagrams to an input.
pub(crate) fn sender(listen: SocketAddr) -> impl Fn(&[u8]) + Send + 'static {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    socket.connect(listen).expect("loopback");
    move |datagram| {
        socket.send(datagram).expect("the sandbox holds the socket at the other end");
    }
}
