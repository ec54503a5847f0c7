//! Metrics at a stated rate, each with a number of its own as its value: so sums and identities prove what
//! became of them. A load is bounded in count, and says what it really sent.

use std::io::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use common::metric::{Kind, Metric};
use common::time::Time;
use common::value::Value;
use common::wire::{Batch, Content};

use crate::collectd::Packet;

/// What the keys of a load begin with.
pub(crate) const PREFIX: &[u8] = b"load.";

/// Different keys of a load.
const KEYS: u64 = 1000;
/// The load is cut into slices of this length.
const SLICE: Duration = Duration::from_millis(2);

/// Gauges as text by UDP.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Gauges a second, as far as the machine can.
    pub rate: u64,
    /// Gauges in all, a multiple of `packed`.
    pub records: u64,
    /// Gauges in a datagram.
    pub packed: u64,
}

/// The numbers of a load that were seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers(Vec<u64>);

impl Numbers {
    /// Notes the number that is an event's value; false when it was seen before.
    pub(crate) fn insert(&mut self, value: f64) -> bool {
        let (word, bit) = (value as usize / 64, 1 << (value as usize % 64));
        if word >= self.0.len() {
            self.0.resize((word + 1).next_power_of_two(), 0);
        }
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }
}

/// A load under way, in a thread of its own.
#[derive(Debug)]
pub struct Running {
    sent: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
    held: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// The text of the `number`th gauge of a load.
pub fn numbered(out: &mut Vec<u8>, number: u64) {
    write!(out, "gauge 13|load.k{:07} {number};", number % KEYS).expect("a Vec takes all");
}

impl Load {
    /// Begins to send to `address`.
    pub fn start(self, address: SocketAddr) -> Running {
        let socket = match address {
            SocketAddr::V4(_) => UdpSocket::bind("127.0.0.1:0"),
            SocketAddr::V6(_) => UdpSocket::bind("[::1]:0"),
        };
        let socket = socket.expect("a port is free");
        socket.connect(address).expect("loopback");
        let mut text = Vec::new();
        Running::start(self.rate, self.records, self.packed, move |first, count| {
            text.clear();
            (first..first + count).for_each(|number| numbered(&mut text, number));
            socket.send(&text).expect("the sandbox holds the socket at the other end");
        })
    }
}

impl Load {
    /// Begins to send to `address` what the input of this name reads.
    pub fn start_for(self, input: &str, address: SocketAddr) -> Running {
        match input {
            "collectd" => self.start_packets(address),
            "statsd" => self.start_lines(address),
            _ => self.start(address),
        }
    }

    /// Begins to send StatsD's lines to `address`.
    fn start_lines(self, address: SocketAddr) -> Running {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        socket.connect(address).expect("loopback");
        let mut text = Vec::new();
        Running::start(self.rate, self.records, self.packed, move |first, count| {
            text.clear();
            for number in first..first + count {
                writeln!(text, "load.k{:07}:{number}|g", number % KEYS).expect("a Vec takes all");
            }
            socket.send(&text).expect("the sandbox holds the socket at the other end");
        })
    }

    /// Begins to send packets of collectd's to `address`, a gauge each.
    pub fn start_packets(self, address: SocketAddr) -> Running {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        socket.connect(address).expect("loopback");
        Running::start(self.rate, self.records, 1, move |number, _| {
            let plugin = format!("k{:07}", number % KEYS);
            let bits = (number as f64).to_bits();
            let packet = Packet::of(["load", &plugin, "gauge", "x"], Kind::Gauge, bits, Time::now());
            socket.send(packet.bytes()).expect("the sandbox holds the socket at the other end");
        })
    }
}

/// Gauges in the binary form, in datagrams of full size, to a databus. It waits for room there, so that nothing
/// falls off.
#[derive(Clone, Copy, Debug)]
pub struct Databus {
    /// Gauges a second, as far as the machine can.
    pub rate: u64,
    /// Gauges in all.
    pub records: u64,
    /// Gauges in a datagram: as many as fit, at most.
    pub packed: u64,
}

impl Databus {
    /// Begins to send to the databus at `path`, as a source of its own.
    pub fn start(self, path: &Path) -> Running {
        self.start_at(path, |_| Time::now())
    }

    /// As [`Databus::start`], with a millisecond from `begin` on that each gauge of a key has for itself: so a store
    /// keeps every one.
    pub fn start_spaced(self, path: &Path, begin: Time) -> Running {
        self.start_at(path, move |number| begin.plus_ns((number / KEYS) as i64 * 1_000_000))
    }

    fn start_at(self, path: &Path, time_of: impl Fn(u64) -> Time + Send + 'static) -> Running {
        let socket = UnixDatagram::unbound().expect("descriptors are left");
        socket.connect(path).unwrap_or_else(|error| panic!("connecting to {}: {error}", path.display()));
        let mut batch = Batch::new(Content::Metrics);
        let source = u64::from(std::process::id()) << 32 | 1;
        Running::start(self.rate, self.records, self.packed, move |first, count| {
            for number in first..first + count {
                let (time, key) = (time_of(number), format!("load.k{:07}", number % KEYS));
                let metric = Metric::new(key.as_bytes(), time, Kind::Gauge, Value::U64(number));
                batch.metric(&metric).expect("so many fit");
            }
            socket.send(batch.seal(source, first)).expect("the sandbox holds the socket at the other end");
            batch.clear();
        })
    }
}

impl Running {
    /// Begins to call `send` with the number of the first of the next `packed` records, and how many they are, at this
    /// rate of records a second, as far as the machine can, until there were so many.
    pub fn start(
        rate: u64,
        records: u64,
        packed: u64,
        mut send: impl FnMut(u64, u64) + Send + 'static,
    ) -> Running {
        let sent = Arc::new(AtomicU64::new(0));
        let (ended, held) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (count, stop, hold) = (sent.clone(), ended.clone(), held.clone());
        let work = move || {
            let (mut begun, mut begun_with, mut next) = (Instant::now(), 0, 0);
            while next < records && !stop.load(Relaxed) {
                if hold.load(Relaxed) {
                    (begun, begun_with) = (Instant::now(), next);
                }
                let due = begun_with + (begun.elapsed().as_nanos() * u128::from(rate) / 1_000_000_000) as u64;
                while next < due.min(records) && !stop.load(Relaxed) {
                    let more = packed.min(records - next);
                    send(next, more);
                    next += more;
                    count.store(next, Relaxed);
                }
                thread::sleep(SLICE);
            }
        };
        Running { sent, ended, held, thread: Some(thread::spawn(work)) }
    }

    /// Sends nothing more until it is let go on: for a machine that cannot do so much.
    pub fn hold(&self, held: bool) {
        self.held.store(held, Relaxed);
    }

    /// Gauges sent until now; their values are the numbers below.
    pub fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Waits for the end of the load; gives the gauges that were sent.
    pub fn finish(mut self) -> u64 {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the load could send");
        }
        self.sent()
    }

    /// Ends the load before its time; gives the gauges that were sent.
    pub fn halt(self) -> u64 {
        self.ended.store(true, Relaxed);
        self.finish()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.ended.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
