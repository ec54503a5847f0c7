//! A process that is killed costs what it had in hand, and no more; and the books say how much that was.
//!
//! What was sent and what came out are the test's own counts: every gauge has a number as its value, is one
//! datagram by itself, and is seen at most once.

use common::wire::DATAGRAM_BYTES_MAX;
use sockets::udp::SLOTS;
use tests::{Load, Sandbox, alone, wait_until};

use crate::core::{Core, Losses};

const RATE: u64 = 50_000;
const RECORDS: u64 = 250_000;
const KILLS: u64 = 8;

/// Datagrams that an input has in hand at most: what one system call receives.
const HAND: u64 = SLOTS as u64;
/// Datagrams that leela-timeline applies before it commits, and what one of them holds of these gauges at most.
const APPLIED: u64 = 16;
const RECORDS_A_DATAGRAM: u64 = (DATAGRAM_BYTES_MAX / (2 + 17 + 13)) as u64;

/// Kills `victim` again and again while a load comes in by `input`, and checks that in and out agree.
fn kill_under_load(input: &'static str, victim: &'static str) {
    let _machine = alone();
    let mut core = Core::new(input);
    let load = Load { rate: RATE, records: RECORDS, packed: 1 };
    let listen = core.sandbox.listens(input)[0];
    let load = load.start_for(input, listen);
    let others = core.pids_but(victim);
    for _ in 0..KILLS {
        let before = core.seen();
        wait_until("events flow", || core.seen() > before + RECORDS / (2 * KILLS) || load.sent() == RECORDS);
        core.kill(victim);
    }
    let before = core.seen();
    wait_until("events flow again", || core.seen() > before || load.sent() == RECORDS);
    assert!(core.all_alive());
    assert_eq!(core.pids_but(victim), others, "the others went on");
    let (sent, losses) = core.settle(load);
    let Losses { kernel_drops, in_input, in_timeline, in_dmproc } = losses;
    let tally = core.recorder.tally();
    eprintln!(
        "{victim} killed {KILLS} times: sent {sent}, out {}; kernel_drops {kernel_drops}, lost in {input} {in_input}, \
         in timeline {in_timeline}, in dmproc {in_dmproc}; repeated {} at the recorder; a client heard {}",
        tally.numbered,
        tally.repeated,
        core.heard(),
    );
    assert_eq!((tally.twice, tally.gaps), (0, 0), "no gauge comes out twice");
    let missing_of_load = sent - kernel_drops - in_input - tally.numbered;
    if victim == "timeline" {
        // Among what it had in hand may be numbers of the host.
        assert!(missing_of_load <= in_timeline, "{missing_of_load} of {in_timeline}");
        assert!(in_timeline <= KILLS * APPLIED * RECORDS_A_DATAGRAM, "{in_timeline}");
    } else {
        assert_eq!((missing_of_load, in_timeline), (0, 0), "out + losses = in");
    }
    if victim == input {
        assert!(in_input <= KILLS * HAND, "{in_input}");
    } else {
        assert_eq!(in_input, 0);
    }
    let dmproc = core.sandbox.books("dmproc");
    let [produced, delivered] = ["frames.produced", "frames.delivered"].map(|name| dmproc.counter(name));
    assert_eq!(produced, delivered + dmproc.total("frames.lost"));
    if victim == "dmproc" {
        // A killed process may have written frames that it had not booked yet, never the other way round.
        wait_until("the client has what was delivered", || core.heard() >= delivered);
        assert!(
            core.heard() + in_dmproc + dmproc.counter("unmatched") + dmproc.total("frames.lost")
                >= tally.numbered
        );
        assert!(in_dmproc <= KILLS * APPLIED * RECORDS_A_DATAGRAM, "{in_dmproc}");
    } else {
        wait_until("the client has all", || core.heard() == delivered);
        assert_eq!((in_dmproc, delivered + dmproc.total("frames.lost")), (0, tally.numbered));
    }
}

#[test]
fn udp_is_killed() {
    kill_under_load("udp", "udp");
}

#[test]
fn collectd_is_killed() {
    kill_under_load("collectd", "collectd");
}

#[test]
fn statsd_is_killed() {
    kill_under_load("statsd", "statsd");
}

#[test]
fn timeline_is_killed() {
    kill_under_load("udp", "timeline");
}

#[test]
fn dmproc_is_killed() {
    kill_under_load("udp", "dmproc");
}

#[test]
fn host_is_killed() {
    kill_under_load("udp", "host");
}

#[test]
fn open_windows_of_the_timeline_are_booked_as_lost() {
    let mut sandbox = Sandbox::new();
    let timeline = sandbox.start_timeline("");
    let _udp = sandbox.start_udp("");
    let client = sandbox.client(sandbox.listen());
    client.send(b"absolute 1|a 1;absolute 1|a 2;absolute 1|b 3;").unwrap();
    wait_until("the windows are open", || sandbox.books("timeline").counter("absolute_open") == 3);
    timeline.kill9();
    let _timeline = sandbox.start_timeline("");
    wait_until("they are booked as lost", || sandbox.books("timeline").counter("absolute_lost") == 3);
    let books = sandbox.books("timeline");
    assert_eq!((books.counter("absolute_open"), books.counter("absolute_applied")), (0, 3));
}

#[test]
fn books_are_readable_of_the_dead_and_the_stopped() {
    use common::books::State;
    let mut sandbox = Sandbox::new();
    let timeline = sandbox.start_timeline("");
    let udp = sandbox.start_udp("");
    sandbox.client(sandbox.listen()).send(b"gauge 3|foo 1;").unwrap();
    wait_until("it came through", || sandbox.books("timeline").counter("received") == 1);
    timeline.stop();
    assert_eq!(sandbox.books("timeline").state, State::Stopped);
    timeline.cont();
    wait_until("it runs again", || sandbox.books("timeline").state == State::Running);
    udp.kill9();
    let books = sandbox.books("udp");
    assert_eq!((books.state, books.counter("passed")), (State::Dead, 1));
}
