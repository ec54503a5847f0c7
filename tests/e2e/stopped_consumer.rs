//! A consumer that is stopped costs the others nothing, and what falls off the ring for it is booked.

use std::path::PathBuf;

use sockets::peer::Standing;
use tests::{Databus, Load, Running, Sandbox, alone, wait_until};

/// 20 s of 300 k gauges/s, longer where the machine is slower.
const RATE: u64 = 300_000;
const RECORDS: u64 = 20 * RATE;
/// The load waits while a recorder is this far behind: the ring holds more, so that a slow machine drops nothing.
const BEHIND_MAX: u64 = 500_000;

/// Runs a load past two recorders, dmproc and storage, a durable peer that is stopped by SIGSTOP from the second quarter
/// of the load to its last: where the machine keeps up, from second 5 to 15.
/// `reached` gives what the timeline was sent, when the load is over.
fn run(
    sandbox: &mut Sandbox,
    load: impl FnOnce(&Sandbox) -> Running,
    reached: impl Fn(&Sandbox, u64) -> u64,
) {
    let recorders = [sandbox.recorder("one"), sandbox.recorder("two")];
    let durable = sandbox.start_held("storage", "");
    let dmproc = sandbox.start_held("dmproc", "");
    let place = |databus: PathBuf| {
        let peers = sandbox.peers("timeline");
        peers.into_iter().find(|(peer, _)| peer.path == databus)
    };
    let live = || place(sandbox.run().dmproc_databus());
    let kept = || place(sandbox.run().storage_databus());
    wait_until("dmproc and storage are peers", || live().is_some() && kept().is_some());
    let proc = sandbox.proc("proc match 5|^load window 100 (sum);").expect("it is right");
    let load = load(sandbox);
    let paced = |until: u64| {
        let seen = recorders.iter().map(|recorder| recorder.look(|tally| tally.events)).min();
        load.hold(load.sent() > seen.unwrap_or_default() + BEHIND_MAX);
        load.sent() >= until
    };
    // In steps: it is a standstill that has a deadline, not a machine that is slow.
    let reach = |what: &str, until: u64| {
        let from = load.sent();
        for step in 1..=20 {
            wait_until(what, || paced(from + until.saturating_sub(from) * step / 20));
        }
    };
    reach("a quarter is sent", RECORDS / 4);
    durable.stop();
    reach("three quarters are sent", RECORDS / 4 * 3);
    let behind = kept().expect("a durable peer keeps its place");
    durable.cont();
    reach("all is sent", RECORDS);
    let sent = load.finish();
    assert_eq!(sent, RECORDS);

    wait_until("every record reached the recorders", || {
        let reached = reached(sandbox, sent);
        recorders.iter().all(|recorder| recorder.look(|tally| tally.events) == reached)
    });
    let reached = reached(sandbox, sent);
    wait_until("storage has all there is for it", || {
        let ((peer, waiting), books) = (kept().expect("it has a place"), sandbox.books("storage"));
        waiting == 0 && books.counter("received") == peer.sent && books.counter("missing") == peer.dropped
    });
    let (peer, _) = kept().expect("it has a place");
    let tallies = recorders.each_ref().map(|recorder| recorder.tally());
    eprintln!(
        "sent {sent}, reached the timeline {reached}, longest gaps {:?} {:?} (behind {} and {} events); storage got {} and missed {} \
         of {} that waited when it went on",
        tallies[0].gap_max,
        tallies[1].gap_max,
        tallies[0].gap_max_at,
        tallies[1].gap_max_at,
        peer.sent,
        peer.dropped,
        behind.1,
    );
    for tally in &tallies {
        assert_eq!((tally.numbered, tally.gaps, tally.repeated, tally.twice), (reached, 0, 0, 0));
    }
    assert_eq!(peer.standing, Standing::Active);
    assert_eq!(peer.sent + peer.dropped, reached, "received + booked drops = sent");
    let stopped = sandbox.books("storage");
    assert_eq!(
        stopped.counter("received"),
        stopped.counter("passed") + stopped.total("dropped"),
        "all of it is booked"
    );
    assert!(peer.dropped > 0, "the ring does not hold ten seconds of this");
    wait_until("dmproc has all there is for it", || {
        let (live, waiting) = live().expect("it has a place");
        let books = sandbox.books("dmproc");
        let (received, missing) = (books.counter("received"), books.counter("missing"));
        waiting == 0 && received == live.sent && missing == live.dropped && received + missing == reached
    });
    let frames = sandbox.books("dmproc");
    wait_until("its client has what was written", || {
        proc.look(|heard| heard.events) == sandbox.books("dmproc").counter("frames.delivered")
    });
    eprintln!("dmproc missed {}, its client lost {}", frames.counter("missing"), frames.total("frames.lost"));
    assert!(durable.terminate().success());
    assert!(dmproc.terminate().success());
    let books = sandbox.books("timeline");
    assert_eq!((books.counter("missing"), books.counter("no_peer")), (0, 0));
    for name in ["one", "two"] {
        assert_eq!(sandbox.peer(name).map(|(peer, waiting)| (peer.dropped, waiting)), Some((0, 0)), "{name}");
    }
    // Growth is bounded by the ring and by what the kernel queues.
    let grown = resident_bytes(books.pid);
    assert!(grown < 96 << 20, "the timeline has {grown} bytes in memory");
}

#[test]
fn it_costs_the_others_nothing() {
    const PACKED: u64 = 40;
    let _machine = alone();
    let mut sandbox = Sandbox::new();
    let _timeline = sandbox.start_timeline("");
    let _udp = sandbox.start_udp("");
    run(
        &mut sandbox,
        |sandbox| Load { rate: RATE, records: RECORDS, packed: PACKED }.start(sandbox.listen()),
        |sandbox, sent| {
            let books = sandbox.books("udp");
            let dropped = sandbox.peers("udp")[0].0.dropped;
            assert_eq!(books.total("refused"), 0);
            sent - PACKED * books.counter("kernel_drops") - dropped
        },
    );
}

#[test]
fn it_costs_the_others_nothing_in_full_datagrams() {
    // 17 bytes of a record and its length, and 13 of its key.
    const PACKED: u64 = (common::wire::DATAGRAM_BYTES_MAX as u64 - 24) / (2 + 17 + 13);
    let _machine = alone();
    let mut sandbox = Sandbox::new();
    let _timeline = sandbox.start_timeline("");
    run(
        &mut sandbox,
        |sandbox| {
            Databus { rate: RATE, records: RECORDS, packed: PACKED }.start(&sandbox.run().timeline_databus())
        },
        |_, sent| sent,
    );
}

#[test]
fn a_stopped_timeline_stops_no_input() {
    let mut sandbox = Sandbox::new();
    let timeline = sandbox.start_timeline("");
    let mut udp = sandbox.start_udp("ring = \"1MiB\"");
    let recorder = sandbox.recorder("one");
    timeline.stop();
    // More than the databus and the ring hold: the oldest go, and the newest come.
    let sent = Load { rate: 50_000, records: 100_000, packed: 1 }.start(sandbox.listen()).finish();
    let books = || sandbox.books("udp");
    wait_until("leela-udp has read all", || {
        books().counter("datagrams") + books().counter("kernel_drops") == sent
    });
    let passed = books().counter("passed");
    let (input, waiting) = sandbox.peers("udp").remove(0);
    assert!(waiting > 0 && input.dropped > 0, "{waiting} wait, {} dropped", input.dropped);
    assert_eq!(input.sent + input.dropped + waiting, passed);
    assert!(udp.is_alive());
    timeline.cont();
    wait_until("what waited comes out", || {
        let (input, waiting) = sandbox.peers("udp").remove(0);
        waiting == 0 && recorder.look(|tally| tally.events) == passed - input.dropped
    });
    let (input, _) = sandbox.peers("udp").remove(0);
    assert_eq!(sandbox.books("timeline").counter("missing"), input.dropped);
    assert_eq!(recorder.look(|tally| (tally.twice, tally.gaps)), (0, 0));
}

/// Private memory of a process: its rings and books are shared mappings.
fn resident_bytes(pid: u64) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("Linux 4.5 says so");
    let kilobytes = anonymous.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of kB");
    kilobytes << 10
}
