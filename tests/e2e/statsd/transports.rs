//! Every transport, all at once; and what they have in common: bad neighbours, restarts, a timeline that is away.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram, UnixStream};
use std::time::Duration;

use tests::{Process, Sandbox, wait_until};

use super::tls::{Certificates, Client};
use super::{assert_balanced, frame, taken, wait_counted};

/// A leela-statsd that listens everywhere, and where.
struct Everywhere {
    sandbox: Sandbox,
    statsd: Process,
    certificates: Certificates,
}

impl Everywhere {
    fn new(more: &str) -> Everywhere {
        let mut sandbox = Sandbox::new();
        let certificates = Certificates::new(&sandbox);
        let at = sandbox.path().display();
        let config = format!(
            "tcp = [\"127.0.0.1:0\", \"[::1]:0\"]\ntls = [\"127.0.0.1:0\"]\n\
             tls_certificate = \"{at}/server.pem\"\ntls_key = \"{at}/server.key\"\n\
             unix_datagram = [\"{at}/datagram\", \"@{at}/datagram\"]\n\
             unix_stream = [\"{at}/stream\", \"@{at}/stream\"]\n{more}"
        );
        let statsd = sandbox.start_held("statsd", &config);
        Everywhere { sandbox, statsd, certificates }
    }

    /// The addresses of a scheme, as it says them when it is ready.
    fn listens(&self, scheme: &str) -> Vec<SocketAddr> {
        let line = self.statsd.wait_log("ready");
        let words = line.split(['"', ',', ' ', '\n']).filter_map(|word| word.strip_prefix(scheme));
        words.filter_map(|address| address.parse().ok()).collect()
    }

    fn abstract_name(&self, name: &str) -> UnixAddr {
        UnixAddr::from_abstract_name(format!("{}/{name}", self.sandbox.path().display()))
            .expect("it is short")
    }
}

#[test]
fn all_at_once() {
    let all = Everywhere::new("");
    let timeline = all.sandbox.reader("timeline.databus");
    let path = all.sandbox.path();
    let udp = all.sandbox.client(all.sandbox.listens("statsd")[0]);
    udp.send(b"udp:1|c").unwrap();
    assert_eq!(taken(&timeline, 1), ["count udp 1"]);
    let tcp = all.listens("tcp://");
    assert_eq!(tcp.len(), 2);
    for address in tcp {
        let mut client = TcpStream::connect(address).unwrap();
        // The last one without its line feed: the end of the stream ends it.
        client.write_all(b"tcp:1|c\ntcp:x|c\ntcp:2|c").unwrap();
        drop(client);
        assert_eq!(taken(&timeline, 2), ["count tcp 1", "count tcp 2"]);
    }
    let mut client = Client::connect(all.listens("tls://")[0], &all.certificates, None);
    client.write_all(b"tls:1|c\ntls:2|c\n").unwrap();
    assert_eq!(taken(&timeline, 2), ["count tls 1", "count tls 2"]);
    let client = UnixDatagram::unbound().unwrap();
    client.send_to(b"datagram:1|c\ndatagram:2|c", path.join("datagram")).unwrap();
    assert_eq!(taken(&timeline, 2), ["count datagram 1", "count datagram 2"]);
    client.send_to_addr(b"named:1|c", &all.abstract_name("datagram")).unwrap();
    assert_eq!(taken(&timeline, 1), ["count named 1"]);
    for (label, mut client) in [
        ("path", UnixStream::connect(path.join("stream")).unwrap()),
        ("name", UnixStream::connect_addr(&all.abstract_name("stream")).unwrap()),
    ] {
        client
            .write_all(&[frame(b"stream:1|c\nstream:2|c"), frame(b"stream:3|x\nstream:4|c\n")].concat())
            .unwrap();
        assert_eq!(taken(&timeline, 3), ["count stream 1", "count stream 2", "count stream 4"], "{label}");
    }
    for name in ["datagram", "stream"] {
        let mode = path.join(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o666, "programs of any user reach it");
    }
    wait_until("connections that ended are gone", || all.sandbox.books("statsd").counter("connections") == 1);
    assert_balanced(&all.sandbox);
    let books = all.sandbox.books("statsd");
    assert_eq!((books.counter("connected"), books.total("closed"), books.total("turned_away")), (5, 0, 0));
    let refused = all.sandbox.leela(&["refused", "--process", "statsd", "-o", "text"]);
    let refused = String::from_utf8(refused.stdout).unwrap();
    assert!(
        refused.contains(&format!("{} type 9 10 stream:3|x", path.join("stream").display())),
        "{refused}"
    );
    assert!(all.statsd.terminate().success());
}

#[test]
fn a_mode_is_that_of_the_configuration() {
    let all = Everywhere::new("unix_mode = \"0600\"");
    for name in ["datagram", "stream"] {
        assert_eq!(all.sandbox.path().join(name).metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_unix_datagram_over_64_kib_loses_its_last_line_alone() {
    let all = Everywhere::new("");
    let timeline = all.sandbox.reader("timeline.databus");
    let client = UnixDatagram::unbound().unwrap();
    let line = "web-00001.http.requests:1|c\n";
    let whole = 65_536 / line.len();
    client.send_to(line.repeat(whole + 10).as_bytes(), all.sandbox.path().join("datagram")).unwrap();
    assert_eq!(taken(&timeline, whole).len(), whole);
    wait_counted(&all.sandbox, "refused.too_long", 1);
    assert_balanced(&all.sandbox);
}

#[test]
fn a_stream_is_read_no_faster_than_the_ring_takes_it() {
    const LINES: u64 = 100_000;
    // 4 MB of records, of which half a ring may wait: nobody reads.
    let all = Everywhere::new("ring = \"1MiB\"");
    let address = all.listens("tcp://")[0];
    let sender = std::thread::spawn(move || {
        let mut client = TcpStream::connect(address).unwrap();
        for number in 0..LINES {
            writeln!(client, "web-{number:07}.requests:1|c").unwrap();
        }
    });
    wait_counted(&all.sandbox, "held_back", 1);
    // Others are served meanwhile, as far as the ring has room; and it ends in order when it is told to.
    let udp = all.sandbox.client(all.sandbox.listens("statsd")[0]);
    udp.send(b"udp:1|c").unwrap();
    wait_counted(&all.sandbox, "datagrams", 1);
    assert!(all.sandbox.books("statsd").counter("passed") < LINES / 2);
    let timeline = all.sandbox.reader("timeline.databus");
    let mut seen = taken(&timeline, LINES as usize + 1);
    sender.join().unwrap();
    seen.retain(|text| text.starts_with("count web-"));
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len() as u64, LINES, "each line came once");
    assert_balanced(&all.sandbox);
    let hop = &all.sandbox.peers("statsd")[0].0;
    assert_eq!(hop.dropped, 0, "{hop:?}");
}

#[test]
fn what_a_client_has_sent_before_a_stop_is_taken() {
    let all = Everywhere::new("drain_timeout = \"30s\"");
    let timeline = all.sandbox.reader("timeline.databus");
    let mut tcp = TcpStream::connect(all.listens("tcp://")[0]).unwrap();
    let mut unix = UnixStream::connect(all.sandbox.path().join("stream")).unwrap();
    tcp.write_all(b"first:1|c\n").unwrap();
    unix.write_all(&frame(b"first:1|c")).unwrap();
    assert_eq!(taken(&timeline, 2), ["count first 1"; 2]);
    all.statsd.stop();
    tcp.write_all("tcp:1|c\n".repeat(1_000).as_bytes()).unwrap();
    tcp.write_all(b"begun:1").unwrap();
    unix.write_all(&frame("unix:1|c\n".repeat(1_000).as_bytes())).unwrap();
    let Everywhere { mut statsd, sandbox, .. } = all;
    // When it goes on, it finds the signal first.
    statsd.interrupt();
    statsd.cont();
    assert!(statsd.wait().success());
    assert_eq!(taken(&timeline, 2_000).len(), 2_000);
    assert_balanced(&sandbox);
    let books = sandbox.books("statsd");
    assert_eq!((books.counter("refused.unfinished"), books.counter("connections")), (1, 0));
}

#[test]
fn unix_sockets_that_are_handed_over_keep_what_came_while_it_was_away() {
    let mut sandbox = Sandbox::new();
    let timeline = sandbox.reader("timeline.databus");
    let at = sandbox.path().display().to_string();
    sandbox.hold_unix("statsd", &format!("{at}/datagram"), &format!("@{at}/stream"));
    let config =
        format!("listen = []\nunix_datagram = [\"{at}/datagram\"]\nunix_stream = [\"@{at}/stream\"]");
    let client = UnixDatagram::unbound().unwrap();
    client.set_write_timeout(Some(Duration::from_secs(60))).unwrap();
    for round in 0..3 {
        client.send_to(format!("d{round}:1|c").as_bytes(), sandbox.path().join("datagram")).unwrap();
        let name = UnixAddr::from_abstract_name(format!("{at}/stream")).unwrap();
        let mut stream = UnixStream::connect_addr(&name).unwrap();
        stream.write_all(&frame(format!("s{round}:1|c").as_bytes())).unwrap();
        let statsd = sandbox.start("statsd", &config);
        let mut got = taken(&timeline, 2);
        got.sort();
        assert_eq!(got, [format!("count d{round} 1"), format!("count s{round} 1")]);
        assert!(statsd.terminate().success());
    }
    // What was handed over and is not configured is an error.
    let output = sandbox.run_to_end("statsd", &format!("tcp = [\"{}:0\"]", Ipv4Addr::LOCALHOST), &[]);
    assert_eq!(output.status.code(), Some(78));
}
