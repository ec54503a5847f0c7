//! leela-collectd(8) as a process: packets of a real collectd on a socket that is handed over, the databus read by the
//! test.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use common::books::{Snapshot, State};
use common::runtime_dir::RuntimeDir;
use common::value::Value;
use common::wire::{Content, DATAGRAM_BYTES_MAX, Header, Metrics, Notes};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Nothing here takes as long; a test that waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// What types.db says of the types in the packets.
const TYPES: &str = "\
load         shortterm:GAUGE:0:5000, midterm:GAUGE:0:5000, longterm:GAUGE:0:5000
if_packets   rx:DERIVE:0:U, tx:DERIVE:0:U
if_octets    rx:DERIVE:0:U, tx:DERIVE:0:U
if_errors    rx:DERIVE:0:U, tx:DERIVE:0:U
if_dropped   rx:DERIVE:0:U, tx:DERIVE:0:U
";

struct Process {
    child: Child,
    /// Where it says how it is; read until it is ready.
    notify: UnixDatagram,
}

impl Process {
    /// Starts leela-collectd with `socket` handed over, and returns when it is ready.
    fn start(dir: &Path, socket: &UdpSocket) -> Process {
        let path = dir.join("notify");
        let _ = fs::remove_file(&path);
        let notify = UnixDatagram::bind(&path).unwrap();
        notify.set_read_timeout(Some(PATIENCE)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_leela-collectd"))
            .arg("--config")
            .arg(dir.join("collectd.toml"))
            .arg("--runtime-dir")
            .arg(dir)
            .env("NOTIFY_SOCKET", &path)
            .env("LISTEN_FDS", "1")
            .fd_mappings(vec![FdMapping { parent_fd: socket.try_clone().unwrap().into(), child_fd: 3 }])
            .unwrap()
            .spawn()
            .unwrap();
        let process = Process { child, notify };
        let mut word = [0; 64];
        let length = process.notify.recv(&mut word).expect("it says that it is ready");
        assert_eq!(word[..length].trim_ascii(), b"READY=1");
        process
    }

    fn stop(mut self, signal: Signal) -> Option<i32> {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone where a test stopped it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The next `count` records of the databus, in the words of the files beside the packets.
fn lines(databus: &UnixDatagram, count: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
    while lines.len() < count {
        let length = databus.recv(&mut datagram).unwrap_or_else(|error| panic!("{error}: {lines:#?}"));
        let (header, records) = Header::read(&datagram[..length]).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        match header.content {
            Content::Metrics => lines.extend(Metrics::new(records, header.count).map(|metric| {
                let metric = metric.unwrap();
                let value = match metric.value {
                    Value::U64(value) => value.to_string(),
                    Value::I64(value) => value.to_string(),
                    Value::F64(value) => value.to_string(),
                };
                format!("{} {} {} {value}", metric.kind.word(), text(metric.key), metric.time.ns())
            })),
            Content::Notes => lines.extend(Notes::new(records, header.count).map(|note| {
                let note = note.unwrap();
                format!("note {} {} {}", text(note.key), note.time.ns(), text(note.json))
            })),
            other => panic!("an input sends no {}", other.word()),
        }
    }
    lines
}

#[test]
fn packets_of_every_level_come_out_and_the_books_balance_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let dir = fs::canonicalize(dir.path()).unwrap();
    let run = RuntimeDir::at(&dir).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let listen = socket.local_addr().unwrap();
    let config = |level: &str| {
        let text = format!(
            "listen = [\"{listen}\"]\nsecurity_level = \"{level}\"\nauth_file = \"{0}/users\"\n\
             types_db = [\"{0}/types.db\"]\n",
            dir.display()
        );
        fs::write(dir.join("collectd.toml"), text).unwrap();
    };
    fs::write(dir.join("types.db"), TYPES).unwrap();
    fs::write(dir.join("users"), "alice: secret\n").unwrap();
    let databus = UnixDatagram::bind(run.timeline_databus()).unwrap();
    databus.set_read_timeout(Some(PATIENCE)).unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let send = |packet: &[u8]| send(&client, packet, listen);

    config("none");
    let collectd = Process::start(&dir, &socket);
    let mut values = 0;
    for (name, packet, want) in PACKETS {
        send(packet);
        let (unknown, want): (Vec<_>, Vec<_>) = want.lines().partition(|line| *line == "unknown");
        assert_eq!(lines(&databus, want.len()), want, "{name}");
        values += (unknown.len() + want.len()) as u64;
    }
    assert_eq!(collectd.stop(Signal::SIGTERM), Some(0));

    // What is sent to the socket while nobody reads it waits for the successor, which wants more.
    config("sign");
    let [plain, _, signed, ..] = PACKETS;
    for packet in [plain.1, &changed(signed.1), b"\x77\x77\0\0", signed.1] {
        send(packet);
    }
    let collectd = Process::start(&dir, &socket);
    let want: Vec<_> = signed.2.lines().filter(|line| *line != "unknown").collect();
    assert_eq!(lines(&databus, want.len()), want, "after what is refused");
    assert_eq!(collectd.stop(Signal::SIGTERM), Some(0));

    let books = Snapshot::read(&run.books("collectd")).unwrap();
    let of = |text: &str| text.lines().count() as u64;
    values += of(plain.2) + 1 + 1 + of(signed.2);
    assert_eq!(books.state, State::Ended);
    for (counter, want) in [
        ("datagrams", PACKETS.len() as u64 + 4),
        ("received", values),
        ("notes", 3),
        ("refused.unknown", 4),
        ("refused.unsigned", of(plain.2)),
        ("refused.mac", 1),
        ("refused.part_length", 1),
        ("unverified", 0),
        ("kernel_drops", 0),
        ("lost_in_crash", 0),
    ] {
        assert_eq!(books.counter(counter), want, "{counter}");
    }
    assert_eq!(books.counter("accepted") + books.total("refused"), values);
    assert_eq!(books.counter("passed"), books.counter("accepted"));
    let refusals: Vec<_> =
        books.refusals().into_iter().map(|refusal| (refusal.reason, refusal.offset)).collect();
    let names: Vec<_> = refusals.iter().map(|(reason, _)| reason.as_str()).collect();
    assert_eq!(names, ["unsigned", "mac", "part_length"], "one of each in a packet, and no unknown");
    assert!(refusals[0].1 > 0 && refusals[1].1 == 0, "{refusals:?}");
}

fn send(client: &UdpSocket, packet: &[u8], to: SocketAddr) {
    assert_eq!(client.send_to(packet, to).unwrap(), packet.len());
}

/// The packet with one bit of its last byte changed.
fn changed(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    *packet.last_mut().unwrap() ^= 1;
    packet
}

macro_rules! captured {
    ($name:literal) => {
        (
            $name,
            include_bytes!(concat!("packets/", $name, ".bin")).as_slice(),
            include_str!(concat!("packets/", $name, ".txt")),
        )
    };
}

/// A name, a packet, and what it says.
const PACKETS: [(&str, &[u8], &str); 6] = [
    captured!("plain"),
    captured!("plain-notification"),
    captured!("signed"),
    captured!("signed-notification"),
    captured!("encrypted"),
    captured!("encrypted-notification"),
];
