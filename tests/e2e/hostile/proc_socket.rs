//! leela-dmproc's proc socket: frames and procs of strangers.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use tests::{Sandbox, wait_until};

use super::{MIB, bounded, regexes};

fn frame(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    sockets::frame::write(&mut bytes, payload);
    bytes
}

/// Sends bytes, and gives all that comes until the end; who hangs up first has said why.
fn told(path: &std::path::Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(tests::DEADLINE)).unwrap();
    let _ = stream.write_all(bytes);
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    String::from_utf8_lossy(&said).into_owned()
}

#[test]
fn whatever_is_asked_costs_only_who_asks() {
    let mut sandbox = Sandbox::new();
    let dmproc = sandbox.start_held("dmproc", "connections_max = 200\nhandshake_timeout = \"2s\"\n");
    let path = sandbox.run().dmproc_proc();
    let honest = || drop(sandbox.proc("proc match 2|^a window 5 (mean);").expect("it is taken"));
    bounded(&dmproc, 96 * MIB, honest, || {
        let mut refused = sandbox.books("dmproc").counter("procs_refused.query");
        let long = |text: &str| text.repeat(65_000 / text.len());
        let pipelines = [
            long("id | "),
            long("("),
            format!("{}id{}", "(".repeat(20_000), ")".repeat(20_000)),
            long("window 5 ("),
            "window 99999999999999999999 (mean)".to_owned(),
            "window 1000000000 (mean)".to_owned(),
            "window 99999999999999d (p99)".to_owned(),
            format!("window 60s (p{})", long("9")),
            format!("id + {}", long("9")),
            long("\0"),
        ];
        let asks = regexes().into_iter().map(|regex| format!("proc match {}|{regex} id;", regex.len()));
        let asks = asks.chain(pipelines.into_iter().map(|pipeline| format!("proc match 1|. {pipeline};")));
        let odd = [
            "",
            ";",
            "proc",
            "proc match",
            "proc match 4294967296|a id;",
            "proc match 18446744073709551616|a id;",
            "proc match -1|a id;",
            "proc match 60000|a id;",
            "with",
            "with reason,reason,reason;",
            "only 1|a",
        ];
        for ask in asks.chain(odd.map(str::to_owned)).filter(|ask| ask.len() < 65_536) {
            let mut stream = UnixStream::connect(&path).unwrap();
            stream.set_read_timeout(Some(tests::DEADLINE)).unwrap();
            stream.write_all(&frame(format!("with reason;{ask}").as_bytes())).unwrap();
            let mut answer = [0; 11];
            stream.read_exact(&mut answer).unwrap();
            // Some are right, and need no more than they may.
            let is_refused = &answer[2..] == b"status 1;";
            assert!(is_refused || &answer[2..] == b"status 0;", "{ask:.40}");
            refused += u64::from(is_refused);
        }
        wait_until("each is counted", || sandbox.books("dmproc").counter("procs_refused.query") == refused);
        // No frames at all, empty ones, and one after the other.
        for bytes in [vec![0xff; 200_000], vec![0; 200_000], frame(b"close;").repeat(10_000)] {
            let said = told(&path, &bytes);
            assert!(said.contains("status 1;"), "{said:?}");
        }
        // Many that begin and say no more: they have their time, and one too many is told.
        let before = sandbox.books("dmproc").counter("procs_refused.timeout");
        let silent = (0..150).map(|place| {
            let mut stream = UnixStream::connect(&path).unwrap();
            stream.write_all([&b""[..], b"\0", b"\xff\xff", b"\0\x12proc mat"][place % 4]).unwrap();
            stream
        });
        let _silent: Vec<UnixStream> = silent.collect();
        wait_until("they have had their time", || {
            sandbox.books("dmproc").counter("procs_refused.timeout") == before + 150
        });
    });
    // One more than there may be is told, and the others are served: who asked something stays.
    let connections = |count: u64| sandbox.books("dmproc").counter("connections") == count;
    wait_until("those before are gone", || connections(0));
    let held: Vec<_> = (0..200).map(|_| sandbox.proc("proc match 1|a id;").expect("it is taken")).collect();
    for _ in 0..20 {
        let said = told(&path, &[]);
        assert!(said.contains("status 1;"), "{said:?}");
    }
    wait_until("each is counted", || sandbox.books("dmproc").counter("procs_refused.connections") == 20);
    assert!(connections(200), "{} are held", held.len());
    drop(held);
    wait_until("there is room again", || connections(0));
    honest();
}
