//! leela-host as it runs: what comes out at the timeline's end.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command};
use std::time::Duration;

use common::books::{Books, Snapshot, State};
use common::counters;
use common::metric::Kind;
use common::runtime_dir::RuntimeDir;
use common::time::Time;
use common::value::Value;
use common::wire::{Content, DATAGRAM_BYTES_MAX, Header, Metrics};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

counters! {
    /// Of a process that the test plays.
    struct Played {
        /// A count.
        received: u64,
        /// A level.
        waiting: u64,
    }
}

/// Metrics by key, as they come in at the timeline's databus.
struct Timeline {
    socket: UnixDatagram,
    latest: BTreeMap<String, (Kind, Value)>,
    times: Vec<Time>,
    records: u64,
}

impl Timeline {
    fn bind(run: &RuntimeDir) -> Timeline {
        let socket = UnixDatagram::bind(run.timeline_databus()).unwrap();
        // Only a broken leela-host gets here.
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Timeline { socket, latest: BTreeMap::new(), times: Vec::new(), records: 0 }
    }

    /// Takes datagrams until `key` has that kind and value, where they are given.
    fn wait_for(&mut self, key: &str, want: Option<(Kind, Value)>) {
        while !self.latest.get(key).is_some_and(|have| want.is_none_or(|want| *have == want)) {
            self.take().unwrap_or_else(|error| panic!("waiting for {key}: {error}, have {:#?}", self.latest));
        }
    }

    fn take(&mut self) -> std::io::Result<()> {
        let mut datagram = [0; DATAGRAM_BYTES_MAX];
        let length = self.socket.recv(&mut datagram)?;
        let (header, records) = Header::read(&datagram[..length]).unwrap();
        assert_eq!(header.content, Content::Metrics);
        if header.first < self.records {
            // It was killed between sending this one and noting that; the timeline drops it as repeated.
            return Ok(());
        }
        assert_eq!(header.first, self.records, "nothing is missing");
        self.records += u64::from(header.count);
        for metric in Metrics::new(records, header.count) {
            let metric = metric.unwrap();
            let key = String::from_utf8(metric.key.to_vec()).unwrap();
            if !self.times.contains(&metric.time) {
                self.times.push(metric.time);
            }
            self.latest.insert(key, (metric.kind, metric.value));
        }
        Ok(())
    }
}

struct Host(Child);

impl Host {
    fn start(run: &RuntimeDir) -> Host {
        let config = run.path().join("host.toml");
        std::fs::write(&config, "interval = \"1s\"\n").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_leela-host"));
        command.args([
            "--config".as_ref(),
            config.as_os_str(),
            "--runtime-dir".as_ref(),
            run.path().as_os_str(),
        ]);
        Host(command.spawn().unwrap())
    }

    fn signal(&mut self, signal: Signal) -> std::process::ExitStatus {
        kill(Pid::from_raw(self.0.id() as i32), signal).unwrap();
        self.0.wait().unwrap()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_machine_and_the_books_come_out_and_balance() {
    let dir = tempfile::tempdir().unwrap();
    let run = RuntimeDir::at(dir.path()).unwrap();
    run.prepare().unwrap();
    let mut timeline = Timeline::bind(&run);
    let mut host = Host::start(&run);
    let gauge = |value| Some((Kind::Gauge, Value::U64(value)));
    for key in ["host.load.1m", "host.memory.available", "host.uptime", "leela.host.received"] {
        timeline.wait_for(key, None);
    }
    assert_eq!(timeline.times.len(), 1, "a round has one time");
    assert!(!timeline.latest.contains_key("host.cpu.user"));
    timeline.wait_for("leela.host.up", gauge(1));
    timeline.wait_for("host.cpu.user", None);
    timeline.wait_for("leela.host.ring.waiting;to=timeline", gauge(0));

    let mut books = Books::<Played>::open(&run.books("played"), "played", 0).unwrap();
    (books.counters.received, books.counters.waiting) = (u64::MAX, 3);
    books.commit_carried();
    timeline.wait_for("leela.played.received", Some((Kind::Counter, Value::U64(u64::MAX))));
    assert_eq!(timeline.latest["leela.played.waiting"], (Kind::Gauge, Value::U64(3)));
    assert_eq!(timeline.latest["leela.played.up"], (Kind::Gauge, Value::U64(1)));
    books.close([0; 16]);
    timeline.wait_for("leela.played.up", gauge(0));

    // The successor goes on with the numbers, which `take` checks, also after a kill.
    assert_eq!(host.signal(Signal::SIGKILL).code(), None);
    let sent = Snapshot::read(&run.books("host")).unwrap().counter("passed");
    while timeline.records < sent {
        timeline.take().unwrap();
    }
    timeline.latest.clear();
    let mut host = Host::start(&run);
    timeline.wait_for("host.cpu.user", None);

    assert!(host.signal(Signal::SIGTERM).success());
    let seen = Snapshot::read(&run.books("host")).unwrap();
    while timeline.records < seen.counter("passed") {
        timeline.take().unwrap();
    }
    assert_eq!((seen.state, seen.total("refused")), (State::Ended, 0));
    assert_eq!(seen.counter("received"), seen.counter("accepted"));
    assert_eq!((seen.counter("accepted"), seen.counter("passed")), (timeline.records, timeline.records));
    assert_eq!(seen.counter("rounds"), timeline.times.len() as u64);
    let seconds: Vec<i64> = timeline.times.iter().map(|time| time.ns().div_euclid(1_000_000_000)).collect();
    assert!(seconds.is_sorted_by(|a, b| a < b), "once an interval, over restarts too: {seconds:?}");
}
