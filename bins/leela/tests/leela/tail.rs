//! `leela tail`: a peer of the timeline, as long as it runs.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use common::metric::Event;
use common::time::Time;
use common::wire::{Batch, Content};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sockets::registration::{REGISTRATION_BYTES_MAX, Registration, receive};

use crate::sandbox::{Sandbox, said, uninterrupted};

/// Stands in for the timeline.
struct Timeline {
    multicast: UnixDatagram,
    next: u64,
}

impl Timeline {
    fn new(sandbox: &Sandbox) -> Timeline {
        let multicast = UnixDatagram::bind(sandbox.run.timeline_multicast()).unwrap();
        multicast.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Timeline { multicast, next: 0 }
    }

    /// Waits for a registration.
    fn peer(&self, sandbox: &Sandbox) -> PathBuf {
        let mut buffer = [0; REGISTRATION_BYTES_MAX];
        let registration = receive(&self.multicast, sandbox.run.path(), &mut buffer).unwrap().unwrap();
        let Registration { path, words } = registration.unwrap();
        assert_eq!(words, "", "a bare path gets events");
        path.to_owned()
    }

    /// Sends events of these keys and values, after `lost` that never come.
    fn send(&mut self, peer: &PathBuf, lost: u64, events: &[(&str, f64)]) {
        let mut batch = Batch::new(Content::Events);
        for (key, value) in events {
            let time = Time::from_ns(1_350_332_001_500_000_000);
            batch.event(&Event { key: key.as_bytes(), value: *value, time }).unwrap();
        }
        self.next += lost;
        let datagram = batch.seal(77, self.next);
        UnixDatagram::unbound().unwrap().send_to(datagram, peer).unwrap();
        self.next += events.len() as u64;
    }
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
}

#[test]
fn events_that_match_are_printed() {
    for (arguments, want) in [
        (
            &["tail", "^room", "--count", "2"][..],
            "event 9|room.temp 21.5 1350332001.5;\nevent 10|room.x;a=1 3 1350332001.5;\n",
        ),
        (
            &["tail", "--count", "3", "-o", "csv"],
            "time,key,value\n1350332001.5,room.temp,21.5\n1350332001.5,web.hits,7\n1350332001.5,room.x;a=1,3\n",
        ),
        (
            &["tail", ";a=1", "--count", "1", "-o", "json"],
            "{\"time\":1350332001.5,\"key\":\"room.x;a=1\",\"value\":3}\n",
        ),
        (
            &["tail", "web", "--count", "1", "-o", "table"],
            "2012-10-15T20:13:21.500Z  web.hits                  7\n",
        ),
    ] {
        let sandbox = Sandbox::new();
        let mut timeline = Timeline::new(&sandbox);
        let child = sandbox.command(arguments).spawn().unwrap();
        let peer = timeline.peer(&sandbox);
        assert_eq!(peer, sandbox.run.peers().join(format!("leela-tail.{}", child.id())));
        assert_eq!(peer.metadata().unwrap().permissions().mode() & 0o777, 0o660);
        // What is no datagram of ours, or no events, costs nothing.
        UnixDatagram::unbound().unwrap().send_to(b"nonsense", &peer).unwrap();
        let mut notes = Batch::new(Content::Notes);
        UnixDatagram::unbound().unwrap().send_to(notes.seal(77, 0), &peer).unwrap();
        // No case has all it waits for before the last datagram: its socket would be gone.
        timeline.send(&peer, 0, &[("room.temp", 21.5)]);
        timeline.send(&peer, 0, &[("web.hits", 7.0), ("room.x;a=1", 3.0)]);
        let said = said(child, b"");
        assert_eq!((said.status, said.out.as_str(), said.err.as_str()), (0, want, ""), "{arguments:?}");
        assert!(!peer.exists(), "it takes its socket away");
    }
}

#[test]
fn a_gap_in_the_numbers_is_told() {
    let sandbox = Sandbox::new();
    let mut timeline = Timeline::new(&sandbox);
    let child = sandbox.command(&["tail", "--count", "3"]).spawn().unwrap();
    let peer = timeline.peer(&sandbox);
    timeline.next = 1000;
    timeline.send(&peer, 0, &[("a", 1.0)]);
    timeline.send(&peer, 40, &[("b", 2.0)]);
    timeline.send(&peer, 2, &[("c", 3.0)]);
    let said = said(child, b"");
    assert_eq!(said.out.lines().count(), 3);
    assert!(said.err.contains("42 events were lost on the way"), "{}", said.err);
}

#[test]
fn it_stays_over_a_restart_of_the_timeline_and_says_so() {
    let sandbox = Sandbox::new();
    let timeline = Timeline::new(&sandbox);
    let mut child = sandbox.command(&["tail", "--count", "1"]).spawn().unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    timeline.peer(&sandbox);
    timeline.peer(&sandbox);
    drop(timeline);
    assert_eq!(told.next().unwrap().unwrap(), "leela: leela-timeline went away; waiting for it");
    std::fs::remove_file(sandbox.run.timeline_multicast()).unwrap();
    let mut timeline = Timeline::new(&sandbox);
    let peer = timeline.peer(&sandbox);
    assert_eq!(told.next().unwrap().unwrap(), "leela: leela-timeline is back");
    timeline.send(&peer, 0, &[("a", 1.0)]);
    assert_eq!(said(child, b"").status, 0);
}

#[test]
fn how_it_ends() {
    for (label, arguments, want) in [
        (
            "in time, too few",
            &["tail", "--count", "2", "--timeout", "30ms"][..],
            (1, "0 of 2 events came in time"),
        ),
        ("in time, none", &["tail", "--timeout", "30ms"], (1, "no event came in time")),
    ] {
        let sandbox = Sandbox::new();
        let _timeline = Timeline::new(&sandbox);
        let said = sandbox.run(arguments);
        assert_eq!(said.status, want.0, "{label}");
        assert!(said.err.contains(want.1), "{label}: {}", said.err);
    }
    for (signal_sent, arguments, want) in [
        (Signal::SIGINT, &["tail"][..], 0),
        (Signal::SIGTERM, &["tail"], 0),
        (Signal::SIGINT, &["tail", "--count", "9"], 1),
    ] {
        let sandbox = Sandbox::new();
        let timeline = Timeline::new(&sandbox);
        let child = sandbox.command(arguments).spawn().unwrap();
        let peer = timeline.peer(&sandbox);
        signal(&child, signal_sent);
        assert_eq!(said(child, b"").status, want, "{arguments:?} {signal_sent}");
        assert!(!peer.exists());
    }
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let sandbox = Sandbox::new();
    let mut timeline = Timeline::new(&sandbox);
    // Also where nothing is to be printed any more.
    for events in [0, 1] {
        let mut child = sandbox.command(&["tail"]).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let peer = loop {
            let peer = timeline.peer(&sandbox);
            if peer.ends_with(format!("leela-tail.{}", child.id())) {
                break peer;
            }
        };
        timeline.send(&peer, 0, &[("a", 1.0)]);
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        drop(out);
        for _ in 0..events {
            // It may be gone already.
            let datagram = Batch::new(Content::Events).seal(77, timeline.next).to_vec();
            let _ = UnixDatagram::unbound().unwrap().send_to(&datagram, &peer);
        }
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert_eq!((child.wait().unwrap().code(), err.as_str()), (Some(0), ""));
        assert!(!peer.exists());
    }
}

#[test]
fn a_wrong_pattern_is_shown_with_a_caret() {
    let sandbox = Sandbox::new();
    let said = sandbox.run(&["tail", "^ro(om"]);
    assert_eq!(said.status, 65);
    assert!(said.err.contains("the pattern is wrong\n^ro(om\n   ^\n"), "{}", said.err);
}

#[test]
fn what_it_prints_into_a_pipe_can_be_sent() {
    let (from, to) = (Sandbox::new(), Sandbox::new());
    let mut timeline = Timeline::new(&from);
    let databus = UnixDatagram::bind(to.run.timeline_databus()).unwrap();
    let mut tail = from.command(&["tail", "--count", "1"]).spawn().unwrap();
    let peer = timeline.peer(&from);
    timeline.send(&peer, 0, &[("a;x=1", 0.5)]);
    let mut send: Command = to.command(&["send", "-"]);
    let send = send.stdin(tail.stdout.take().unwrap()).spawn().unwrap();
    assert_eq!(send.wait_with_output().unwrap().status.code(), Some(0));
    assert_eq!(tail.wait().unwrap().code(), Some(0));
    let mut buffer = [0; 1024];
    assert!(uninterrupted(|| databus.recv(&mut buffer)).unwrap() > 24);
}
