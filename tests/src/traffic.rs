//! Everything that comes in at once, into the services of a booted systemd; and the account of what came out.

use std::io::Write as _;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use common::metric::{Kind, Metric};
use common::time::Time;
use common::value::Value;
use common::wire::{Batch, Content};

use crate::booted::Booted;
use crate::load::{Running, numbered};
use crate::recorder::Recorder;
use crate::wait::{wait_for, wait_until};

/// Numbers of a load of gauges are these apart from the next one's, so that each gauge of all of them is known by its value.
const APART: u64 = 1 << 26;
/// Keys of counts begin so.
const COUNTS: &str = "hits.";
/// Different keys of counts.
const COUNT_KEYS: u64 = 10;
/// The services of `leela.target`.
pub const SERVICES: [&str; 8] =
    ["udp", "statsd", "collectd", "host", "timeline", "dmproc", "storage", "http"];
/// Gauges that come out between two restarts, at least.
const FLOW: u64 = 2_000;
/// Consumers of the timeline among them.
const CONSUMERS: [&str; 2] = ["dmproc", "storage"];

/// How much comes in a second, by each way.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Gauges to leela-udp, [`Rates::PACKED`] a datagram.
    pub packed: u64,
    /// Gauges in the binary form to the timeline's databus, by a sender that waits for room there.
    pub waiting: u64,
    /// Gauges as text to `leela send -`.
    pub said: u64,
    /// Counts to leela-statsd, one a datagram.
    pub singles: u64,
}

impl Rates {
    /// Gauges in a datagram.
    pub const PACKED: u64 = 50;
}

/// Loads under way, and a durable consumer that counts what comes out.
#[derive(Debug)]
pub struct Traffic<'a> {
    booted: &'a Booted,
    recorder: Recorder,
    gauges: [Running; 3],
    counts: Running,
    sender: Sender,
    /// The host's numbers before there was a consumer.
    no_peer: u64,
}

/// What was sent, what came out, and what the books say of the rest.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Account {
    /// Gauges that were sent.
    pub gauges: u64,
    /// The sum of their values.
    pub gauges_sum: f64,
    /// Different gauges that came out, each once.
    pub gauges_out: u64,
    /// The sum of what came out.
    pub gauges_sum_out: f64,
    /// Counts that were sent.
    pub counts: u64,
    /// The sum of what came out of them.
    pub counts_out: f64,
    /// Gauges that came out once more.
    pub twice: u64,
    /// Every counter of a loss that is not 0, as `<process>.<counter>`.
    pub losses: Vec<(String, u64)>,
    /// What `leela status` says against it.
    pub findings: String,
}

impl Account {
    /// True when all that went in came out, once, and nothing else is said.
    pub fn holds(&self) -> bool {
        let Account { gauges, gauges_sum, gauges_out, gauges_sum_out, counts, counts_out, .. } = self;
        gauges == gauges_out
            && gauges_sum == gauges_sum_out
            && *counts as f64 == *counts_out
            && self.twice == 0
            && self.losses.is_empty()
            && self.findings.is_empty()
    }
}

impl<'a> Traffic<'a> {
    /// Begins, when the timeline has every consumer.
    pub fn start(booted: &'a Booted, rates: Rates) -> Traffic<'a> {
        let recorder = booted.recorder("one", "events durable");
        for consumer in CONSUMERS {
            let path = PathBuf::from(format!("/run/leela/{consumer}.databus"));
            wait_until(&format!("{consumer} is a peer"), || {
                booted.peers("timeline").iter().any(|(peer, _)| peer.path == path)
            });
        }
        let (gauges, counts, sender) = booted.inside(|| {
            let (said, sender) = said(rates.said);
            ([packed(rates.packed), waiting(rates.waiting), said], singles(rates.singles), sender)
        });
        let no_peer = booted.books("timeline").counter("no_peer");
        Traffic { booted, recorder, gauges, counts, sender, no_peer }
    }

    /// Gauges that have come out until now.
    pub fn seen(&self) -> u64 {
        self.recorder.look(|tally| tally.numbered)
    }

    /// Waits until so many gauges more have come out.
    #[track_caller]
    pub fn wait_flow(&self, gauges: u64) {
        let before = self.seen();
        wait_until("events flow", || self.seen() >= before + gauges);
    }

    /// Waits until so many gauges more have been sent by UDP.
    #[track_caller]
    pub fn wait_sent(&self, gauges: u64) {
        let before = self.gauges[0].sent();
        wait_until("gauges are sent", || self.gauges[0].sent() >= before + gauges);
    }

    /// Restarts each service so many times, then the target, while events flow.
    pub fn restart_all(&self, times: usize) {
        for service in SERVICES.into_iter().chain(["target"]) {
            let unit =
                if service == "target" { "leela.target" } else { &*format!("leela-{service}.service") };
            for _ in 0..times {
                self.wait_flow(FLOW);
                self.booted.ok(&format!("systemctl restart {unit}"));
            }
        }
        self.wait_flow(FLOW);
    }

    /// Puts other builds of all programs in the place of those that run, and restarts one service after the other, as a
    /// package does.
    pub fn upgrade(&self, programs: &[PathBuf]) {
        self.booted.install_built(programs);
        for service in SERVICES {
            self.wait_flow(FLOW);
            self.booted.ok(&format!("systemctl restart leela-{service}.service"));
        }
        self.wait_flow(FLOW);
    }

    /// Ends the loads, waits until all of it is accounted for, and gives the account.
    pub fn settle(self) -> Account {
        let Traffic { booted, recorder, gauges, counts, mut sender, no_peer } = self;
        let mut account = Account { counts: counts.halt(), ..Account::default() };
        let [packed, waiting, said] = gauges.map(Running::halt);
        let said_all =
            wait_for("leela send ends by itself", || sender.0.try_wait().expect("the child is ours"));
        assert!(said_all.success(), "leela send: {said_all}");
        for (gauges, nth) in [packed, waiting, said].into_iter().zip(0..) {
            account.gauges += gauges;
            account.gauges_sum +=
                (nth * APART..nth * APART + gauges).map(|number| number as f64).sum::<f64>();
        }
        for (input, sent) in [("udp", packed / Rates::PACKED), ("statsd", account.counts)] {
            wait_until(&format!("leela-{input} has read all of it"), || {
                let books = booted.books(input);
                books.counter("datagrams") + books.counter("kernel_drops") >= sent
                    && booted.peers(input).iter().all(|(_, waiting)| *waiting == 0)
            });
        }
        wait_until("all counts are out", || booted.books("timeline").counter("aggregated_open") == 0);
        // What is lost at the end of a stream is seen by the number of what comes next: the host goes on.
        wait_until("it is where it goes", || {
            let peers = booted.peers("timeline");
            let one = peers.iter().find(|(peer, _)| peer.path.ends_with("peers/one")).expect("it is durable");
            peers.iter().all(|(_, waiting)| *waiting == 0)
                && recorder.look(|tally| tally.events) == one.0.sent
        });
        let counted: &[&str] = &["kernel_drops", "lost_in_crash", "missing", "repeated"];
        let families = ["refused", "dropped", "unreadable"];
        for process in SERVICES {
            let books = booted.books(process);
            let named = |name: &str| {
                let family = name.split_once('.').map(|(family, _)| family);
                counted.contains(&name) || family.is_some_and(|family| families.contains(&family))
            };
            let lost = books.counters.iter().filter(|(name, value)| *value > 0 && named(name));
            account.losses.extend(lost.map(|(name, value)| (format!("{process}.{name}"), *value)));
            let dropped: u64 = booted.peers(process).iter().map(|(peer, _)| peer.dropped).sum();
            if dropped > 0 {
                account.losses.push((format!("{process}'s ring"), dropped));
            }
        }
        let no_peer = booted.books("timeline").counter("no_peer") - no_peer;
        if no_peer > 0 {
            account.losses.push(("timeline.no_peer".to_owned(), no_peer));
        }
        let status = booted.run("leela status");
        if !status.status.success() {
            account.findings = String::from_utf8_lossy(&status.stdout).into_owned();
        }
        let tally = recorder.tally();
        account.gauges_out = tally.numbered;
        account.twice = tally.twice + tally.repeated;
        account.gauges_sum_out = tally.numbered_sum;
        let counts =
            tally.kept.iter().filter(|kept| kept.key.starts_with(COUNTS) && kept.key.ends_with(".total"));
        account.counts_out = counts.map(|kept| kept.value).sum();
        account
    }
}

/// Gauges as text by UDP.
fn packed(rate: u64) -> Running {
    let socket = client("127.0.0.1:6968");
    let mut text = Vec::new();
    Running::start(rate, APART, Rates::PACKED, move |first, count| {
        text.clear();
        (first..first + count).for_each(|number| numbered(&mut text, number));
        socket.send(&text).expect("a socket unit listens");
    })
}

/// Gauges in the binary form, by a socket that waits.
fn waiting(rate: u64) -> Running {
    let socket = UnixDatagram::unbound().expect("descriptors are left");
    socket.connect("/run/leela/timeline.databus").expect("a socket unit listens");
    let mut batch = Batch::new(Content::Metrics);
    let source = u64::from(std::process::id()) << 32 | 1;
    Running::start(rate, APART, Rates::PACKED, move |first, count| {
        for number in first..first + count {
            let (key, value) = (format!("load.w{:07}", number % 1000), Value::U64(APART + number));
            batch.metric(&Metric::new(key.as_bytes(), Time::now(), Kind::Gauge, value)).expect("so many fit");
        }
        socket.send(batch.seal(source, first)).expect("a socket unit listens");
        batch.clear();
    })
}

/// Gauges as text, told to `leela send -`, which ends with the load.
fn said(rate: u64) -> (Running, Sender) {
    let mut sender = Command::new("/usr/bin/leela");
    sender.args(["--runtime-dir", "/run/leela", "send", "--timeout", "1h", "-"]).stdin(Stdio::piped());
    let mut sender = sender.spawn().expect("it is installed");
    let mut lines = sender.stdin.take().expect("it is piped");
    let mut text = Vec::new();
    let running = Running::start(rate, APART, 10, move |first, count| {
        text.clear();
        for number in first..first + count {
            numbered(&mut text, 2 * APART + number);
            text.push(b'\n');
        }
        lines.write_all(&text).expect("leela send reads");
    });
    (running, Sender(sender))
}

/// Counts as StatsD's lines by UDP, one a datagram.
fn singles(rate: u64) -> Running {
    let socket = client("127.0.0.1:8125");
    Running::start(rate, APART, 1, move |number, _| {
        let line = format!("{COUNTS}k{}:1|c", number % COUNT_KEYS);
        socket.send(line.as_bytes()).expect("a socket unit listens");
    })
}

fn client(listen: &str) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    socket.connect(listen).expect("loopback");
    socket
}

/// `leela send -`, killed when the test fails first.
#[derive(Debug)]
struct Sender(Child);

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
