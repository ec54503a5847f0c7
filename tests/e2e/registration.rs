//! Who gets events: peers that register from their own sockets, inside the runtime directory.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::thread;
use std::time::Duration;

use sockets::peer::{PEERS_MAX, Standing};
use sockets::registration::register;
use sockets::ring::DURABLE_MAX;
use sockets::sender::SILENCE_MAX;
use tests::{Sandbox, wait_until};

fn standing(sandbox: &Sandbox, name: &str) -> Option<Standing> {
    sandbox.peer(name).map(|(peer, _)| peer.standing)
}

#[test]
fn strangers_are_refused() {
    let mut sandbox = Sandbox::new();
    let mut timeline = sandbox.start_timeline("");
    let multicast = sandbox.run().timeline_multicast();
    let peers = sandbox.run().peers();
    let outside = sandbox.path().join("etc").join("outside");
    let own = peers.join("own");
    let below = sandbox.run().books_dir().join("below");
    let (socket, unbound) = (UnixDatagram::bind(&own).unwrap(), UnixDatagram::unbound().unwrap());
    let (stranger, deep) = (UnixDatagram::bind(&outside).unwrap(), UnixDatagram::bind(&below).unwrap());
    let dotted = peers.join("..").join("peers").join("dotted");
    let sly = UnixDatagram::bind(&dotted).unwrap();
    for (label, from, payload, reason) in [
        (
            "another's path",
            &socket,
            sandbox.run().timeline_databus().as_os_str().as_bytes().to_vec(),
            "sender",
        ),
        ("no path of its own", &unbound, own.as_os_str().as_bytes().to_vec(), "sender"),
        ("outside", &stranger, outside.as_os_str().as_bytes().to_vec(), "outside"),
        ("not in peers", &deep, below.as_os_str().as_bytes().to_vec(), "outside"),
        ("by dots", &sly, dotted.as_os_str().as_bytes().to_vec(), "outside"),
        ("nothing", &socket, Vec::new(), "form"),
        ("unknown words", &socket, [own.as_os_str().as_bytes(), b"\0events everything"].concat(), "form"),
        ("another version", &socket, [own.as_os_str().as_bytes(), b"\0v9"].concat(), "form"),
        ("no text", &socket, [own.as_os_str().as_bytes(), b"\0\xff"].concat(), "form"),
        ("too long", &socket, vec![b'x'; 2000], "form"),
    ] {
        let name = format!("registrations_refused.{reason}");
        let before = sandbox.books("timeline").counter(&name);
        from.send_to(&payload, &multicast).unwrap();
        wait_until(&format!("{label} is refused"), || sandbox.books("timeline").counter(&name) == before + 1);
    }
    assert!(sandbox.peers("timeline").iter().all(|(peer, _)| peer.standing == Standing::Free));
    assert_eq!(sandbox.books("timeline").counter("registrations"), 0);
    // After all that the right one is taken.
    register(&socket, &own, "events", &multicast).unwrap();
    wait_until("the peer is taken", || standing(&sandbox, "own") == Some(Standing::Active));
    assert!(timeline.is_alive());
}

#[test]
fn a_silent_peer_goes_and_a_durable_one_stays() {
    let mut sandbox = Sandbox::new();
    let _timeline = sandbox.start_timeline("");
    let _udp = sandbox.start_udp("");
    let (silent, durable) = (sandbox.recorder("silent"), sandbox.recorder_that("durable", "events durable"));
    let loud = sandbox.recorder("loud");
    silent.pause();
    durable.pause();
    wait_until("the silent peer has left", || standing(&sandbox, "silent") == Some(Standing::Left));
    assert_eq!(standing(&sandbox, "durable"), Some(Standing::Active));
    assert_eq!(standing(&sandbox, "loud"), Some(Standing::Active));
    sandbox.client(sandbox.listen()).send(b"gauge 3|foo 1;").unwrap();
    assert_eq!(loud.wait_kept(1).len(), 1);
    silent.resume();
    wait_until("it is back", || standing(&sandbox, "silent") == Some(Standing::Active));
    durable.resume();
    assert_eq!(durable.wait_kept(1).len(), 1, "what came while it was silent waited for it");
    let (peer, waiting) = sandbox.peer("silent").unwrap();
    assert_eq!(
        (peer.sent, peer.dropped, peer.away, waiting),
        (0, 0, 1, 0),
        "one event passed while it was away"
    );
}

#[test]
fn events_without_a_peer_are_counted() {
    let mut sandbox = Sandbox::new();
    let _timeline = sandbox.start_timeline("");
    let _udp = sandbox.start_udp("");
    sandbox.client(sandbox.listen()).send(b"gauge 1|a 1;gauge 1|b 2;").unwrap();
    wait_until("they are counted", || sandbox.books("timeline").counter("no_peer") == 2);
    assert_eq!(sandbox.books("timeline").counter("passed"), 2);
}

#[test]
fn places_are_limited() {
    let mut sandbox = Sandbox::new();
    let _timeline = sandbox.start_timeline("");
    let multicast = sandbox.run().timeline_multicast();
    let full = || sandbox.books("timeline").counter("registrations_refused.full");
    let taken = || sandbox.books("timeline").counter("registrations");
    let peers = sandbox.run().peers();
    let join = |name: &str, words: &str| -> UnixDatagram {
        let path = peers.join(name);
        let socket = UnixDatagram::bind(&path).unwrap();
        register(&socket, Path::new(&path), words, &multicast).unwrap();
        socket
    };
    // The queue of a socket is short: each is sent when the last one was taken.
    let mut sockets = Vec::new();
    for number in 0..DURABLE_MAX {
        sockets.push(join(&format!("durable-{number}"), "durable"));
    }
    wait_until("the durable ones are taken", || taken() == DURABLE_MAX as u64);
    sockets.push(join("durable-more", "durable"));
    wait_until("one more durable peer is refused", || full() == 1);
    // They go on registering: one that was silent would make room.
    let places = PEERS_MAX - DURABLE_MAX;
    let _plain: Vec<_> = (0..places).map(|number| sandbox.recorder(&format!("plain-{number}"))).collect();
    sockets.push(join("plain-more", ""));
    wait_until("one more peer is refused", || full() == 2);
    let peers = sandbox.peers("timeline");
    let active = peers.iter().filter(|(peer, _)| peer.standing == Standing::Active).count();
    assert_eq!((active, standing(&sandbox, "plain-more")), (PEERS_MAX, None));
}

#[test]
fn who_spoke_while_the_timeline_was_stopped_has_not_been_silent() {
    let mut sandbox = Sandbox::new();
    let timeline = sandbox.start_timeline("");
    let (silent, _loud) = (sandbox.recorder("silent"), sandbox.recorder("loud"));
    silent.pause();
    timeline.stop();
    // Longer than a peer may be silent, and its registrations wait meanwhile.
    thread::sleep(SILENCE_MAX + Duration::from_secs(1));
    timeline.cont();
    wait_until("the silent peer has left", || standing(&sandbox, "silent") == Some(Standing::Left));
    let log = timeline.log();
    let left: Vec<&str> = log.lines().filter(|line| line.contains("a peer has left")).collect();
    assert!(matches!(left[..], [one] if one.contains("silent")), "{left:?}");
}
