//! Clients that are slow, endless, many or strangers: each costs itself, has its counter, and nothing stalls.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tests::{Process, Reader, Sandbox, wait_until};

use super::tls::{Certificates, Client};
use super::{assert_balanced, frame, taken, wait_counted};

/// A leela-statsd on TCP, with the test as its timeline.
struct Streams {
    sandbox: Sandbox,
    timeline: Reader,
    statsd: Process,
    address: SocketAddr,
}

impl Streams {
    fn new(config: &str) -> Streams {
        Streams::by("tcp", Sandbox::new(), config)
    }

    fn by(key: &str, mut sandbox: Sandbox, config: &str) -> Streams {
        let timeline = sandbox.reader("timeline.databus");
        sandbox.hold_tcp("statsd", &[(Ipv4Addr::LOCALHOST, 0).into()]);
        let address = sandbox.listens("statsd")[0];
        let path = sandbox.path().join("stream");
        let config = format!("listen = []\n{key} = [\"{address}\"]\nunix_stream = [{path:?}]\n{config}");
        let statsd = sandbox.start("statsd", &config);
        Streams { sandbox, timeline, statsd, address }
    }

    fn client(&self) -> TcpStream {
        let client = TcpStream::connect(self.address).expect("it listens");
        client.set_read_timeout(Some(tests::DEADLINE)).expect("a time");
        client.set_nodelay(true).expect("TCP");
        client
    }

    fn unix(&self) -> UnixStream {
        UnixStream::connect(self.sandbox.path().join("stream")).expect("it listens")
    }

    fn counter(&self, name: &str) -> u64 {
        self.sandbox.books("statsd").counter(name)
    }

    /// Another client is served, now.
    #[track_caller]
    fn assert_serves(&self) {
        self.client().write_all(b"other:1|c\n").expect("it reads");
        assert_eq!(taken(&self.timeline, 1), ["count other 1"]);
    }
}

#[test]
fn a_client_of_a_byte_at_a_time_is_understood_and_holds_nobody_up() {
    let streams = Streams::new("");
    let (mut tcp, mut unix) = (streams.client(), streams.unix());
    let (line, packet) = (b"slow.of.tcp:1|c\n", frame(b"slow.of.unix:1|c"));
    for place in 0..line.len().max(packet.len()) {
        let before = streams.counter("bytes");
        let mut sent = 0;
        for (client, bytes) in [(&mut tcp as &mut dyn std::io::Write, &line[..]), (&mut unix, &packet[..])] {
            if let Some(byte) = bytes.get(place) {
                client.write_all(&[*byte]).unwrap();
                sent += 1;
            }
        }
        // Each byte is read by itself.
        wait_until("it is read", || streams.counter("bytes") == before + sent);
        if place == 5 {
            streams.assert_serves();
        }
    }
    let mut got = taken(&streams.timeline, 2);
    got.sort();
    assert_eq!(got, ["count slow.of.tcp 1", "count slow.of.unix 1"]);
    assert_balanced(&streams.sandbox);
}

#[test]
fn a_line_without_end_is_refused_once_and_costs_no_memory() {
    let streams = Streams::new("line_max = \"1KiB\"");
    let before = memory(&streams.statsd);
    let (mut tcp, mut unix) = (streams.client(), streams.unix());
    let piece = vec![b'a'; 1 << 20];
    for _ in 0..64 {
        tcp.write_all(&piece).unwrap();
    }
    tcp.write_all(b"\nafter:1|c\n").unwrap();
    assert_eq!(taken(&streams.timeline, 1), ["count after 1"]);
    assert_eq!((streams.counter("refused.too_long"), streams.counter("lines")), (1, 2));
    unix.write_all(&frame(&piece[..5_000])).unwrap();
    unix.write_all(&frame(b"after:2|c")).unwrap();
    assert_eq!(taken(&streams.timeline, 1), ["count after 2"]);
    assert_eq!(streams.counter("refused.too_long"), 2);
    // A thousand lines that are too long, in one piece.
    tcp.write_all(&[&piece[..2_000], b"\n"].concat().repeat(1_000)).unwrap();
    wait_counted(&streams.sandbox, "refused.too_long", 1_002);
    streams.assert_serves();
    let grown = memory(&streams.statsd).saturating_sub(before);
    assert!(grown < 4 << 20, "{grown} bytes");
    assert_balanced(&streams.sandbox);
}

/// What a process has in memory of its own, in bytes.
fn memory(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("it has memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("kB") * 1024
}

#[test]
fn a_thousand_connections_are_served_and_one_more_is_closed() {
    const CONNECTIONS: usize = 1_000;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(8_192), hard).unwrap();
    let streams = Streams::new(&format!("connections_max = {CONNECTIONS}"));
    let mut clients: Vec<TcpStream> = (0..CONNECTIONS).map(|_| streams.client()).collect();
    for round in 0..3 {
        for (number, client) in clients.iter_mut().enumerate() {
            client.write_all(format!("c{number}:{round}|c\n").as_bytes()).unwrap();
        }
        let mut got = taken(&streams.timeline, CONNECTIONS);
        got.sort();
        let mut want: Vec<String> =
            (0..CONNECTIONS).map(|number| format!("count c{number} {round}")).collect();
        want.sort();
        assert_eq!(got, want);
    }
    assert_eq!(streams.counter("connections"), CONNECTIONS as u64);
    for number in 1..=3 {
        let mut one_more = streams.client();
        // It is closed: the end, or a reset.
        assert!(matches!(one_more.read(&mut [0]), Ok(0) | Err(_)));
        wait_counted(&streams.sandbox, "turned_away.connections", number);
    }
    // When one goes, another has room.
    drop(clients.pop());
    wait_counted(&streams.sandbox, "connections", CONNECTIONS as u64 - 1);
    streams.assert_serves();
    drop(clients);
    wait_counted(&streams.sandbox, "connections", 0);
    assert_balanced(&streams.sandbox);
}

#[test]
fn who_is_silent_for_too_long_is_closed() {
    let streams = Streams::new("idle_timeout = \"5s\"");
    let mut client = streams.client();
    client.write_all(b"a:1|c\nbegun").unwrap();
    assert_eq!(taken(&streams.timeline, 1), ["count a 1"]);
    assert!(matches!(client.read(&mut [0]), Ok(0) | Err(_)));
    wait_counted(&streams.sandbox, "closed.idle", 1);
    assert_eq!((streams.counter("refused.unfinished"), streams.counter("connections")), (1, 0));
    assert_balanced(&streams.sandbox);
}

#[test]
fn a_frame_that_is_too_long_ends_its_connection_and_is_shown() {
    let streams = Streams::new("frame_max = \"1KiB\"");
    // Lines without frames, as a client sends them that takes the socket for another one.
    let mut client = streams.unix();
    client.write_all(&[&frame(b"a:1|c")[..], b"web.hits:1|c\n"].concat()).unwrap();
    assert_eq!(taken(&streams.timeline, 1), ["count a 1"]);
    assert!(matches!(client.read(&mut [0]), Ok(0) | Err(_)));
    wait_counted(&streams.sandbox, "closed.frame", 1);
    let refused = streams.sandbox.leela(&["refused", "--process", "statsd", "-o", "text"]);
    let refused = String::from_utf8(refused.stdout).unwrap();
    assert!(refused.trim_end().ends_with("frame 0 4 web."), "{refused}");
    // One that ends in the middle of a frame.
    let mut client = streams.unix();
    client.write_all(&frame(b"a:2|c\nb:3|c")[..12]).unwrap();
    assert_eq!(taken(&streams.timeline, 1), ["count a 2"]);
    drop(client);
    wait_counted(&streams.sandbox, "refused.unfinished", 1);
    assert_balanced(&streams.sandbox);
}

#[test]
fn only_who_shows_a_certificate_is_taken_and_strangers_hold_nobody_up() {
    let sandbox = Sandbox::new();
    let certificates = Certificates::new(&sandbox);
    let at = sandbox.path().display();
    let config = format!(
        "tls_certificate = \"{at}/server.pem\"\ntls_key = \"{at}/server.key\"\ntls_client_ca = \"{at}/ca.pem\"\n\
         handshake_timeout = \"5s\""
    );
    let streams = Streams::by("tls", sandbox, &config);
    let serves = || {
        let mut client = Client::connect(streams.address, &certificates, Some("client"));
        client.write_all(b"known:1|c\n").unwrap();
        assert_eq!(taken(&streams.timeline, 1), ["count known 1"]);
        client
    };
    let mut known = serves();
    let mut closed = 0;
    for name in [None, Some("stranger")] {
        let mut client = Client::connect(streams.address, &certificates, name);
        // Whether the first write already fails is a matter of time.
        let _ = client.write(b"stranger:1|c\n");
        closed += 1;
        wait_counted(&streams.sandbox, "closed.tls", closed);
    }
    for hello in [&b"plain:1|c\n"[..], b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\n\r\n"] {
        let mut client = streams.client();
        client.write_all(hello).unwrap();
        if hello[0] == 0x16 {
            // A handshake that does not go on.
            wait_counted(&streams.sandbox, "closed.handshake", 1);
        } else {
            closed += 1;
            wait_counted(&streams.sandbox, "closed.tls", closed);
        }
        let _served = serves();
    }
    // One that goes before it has begun.
    drop(streams.client());
    wait_counted(&streams.sandbox, "closed.tls", closed + 1);
    known.write_all(b"known:2|c\n").unwrap();
    assert_eq!(taken(&streams.timeline, 1), ["count known 2"]);
    assert!(known.ends_well());
    assert_eq!(streams.sandbox.books("statsd").total("refused"), 0);
    assert_balanced(&streams.sandbox);
}
