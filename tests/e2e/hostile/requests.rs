//! leela-http: requests in shapes that a proxy and a server may read differently, bodies that are bombs, and clients that
//! take their time.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Mutex;

use tests::{Sandbox, Web, wait_for, wait_until};

use super::{MIB, bounded, regexes};

const CONFIG: &str = "body_max = \"2MiB\"\ninflated_max = \"4MiB\"\nbodies_max = \"16MiB\"\nring = \"1MiB\"\n\
    header_timeout = \"2s\"\nbody_timeout = \"2s\"\nconnections_max = 200\nlive_max = 16\n";

/// What a request that was smuggled would get.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

/// The statuses of all answers on a connection that `bytes` were sent on, up to its end.
fn statuses(address: SocketAddr, bytes: &[u8]) -> Vec<u16> {
    let mut web = Web::open(address);
    web.send(bytes);
    let _ = web.stream().shutdown(std::net::Shutdown::Write);
    let statuses = std::iter::from_fn(|| Some(web.reply("POST").status).filter(|status| *status != 0));
    statuses.take(5).collect()
}

#[test]
fn a_request_of_two_readings_ends_its_connection() {
    let mut sandbox = Sandbox::new();
    let http = sandbox.start_held("http", CONFIG);
    let address = sandbox.listens("http")[0];
    let post = "POST /v2/write HTTP/1.1\r\nHost: 127.0.0.1\r\n";
    let honest = || assert_eq!(Web::ask(address, "GET", "/health", "", b"").status, 200);
    bounded(&http, 32 * MIB, honest, || {
        for (label, head, body, want) in [
            ("two lengths", "Content-Length: 0\r\nContent-Length: 40\r\n", "", &[400][..]),
            ("a list of lengths", "Content-Length: 0, 40\r\n", "", &[400]),
            ("a length with a sign", "Content-Length: +0\r\n", "", &[400]),
            ("a length below 0", "Content-Length: -1\r\n", "", &[400]),
            ("a length that overflows", "Content-Length: 18446744073709551616\r\n", "", &[400]),
            (
                "a length that is nearly too much",
                "Content-Length: 18446744073709551615\r\n",
                "",
                &[431, 413, 400],
            ),
            ("a blank in front of a colon", "Content-Length : 40\r\n", "", &[400]),
            ("a folded line", "X-A: b\r\n Content-Length: 40\r\n", "", &[400]),
            ("a NUL", "X-A: \0\r\n", "", &[400]),
            ("a lone carriage return", "X-A: b\rContent-Length: 40\r\n", "", &[400]),
            ("no name", ": b\r\n", "", &[400]),
            // Chunks hold, and nothing behind them is a request.
            (
                "length, then chunks",
                "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
                "0\r\n\r\n",
                &[200],
            ),
            (
                "chunks, then length",
                "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
                "0\r\n\r\n",
                &[200],
            ),
            (
                "chunks twice",
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                "0\r\n\r\n",
                &[400, 200],
            ),
            ("chunks and something", "Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n", &[400]),
            ("hidden chunks", "Transfer-Encoding: xchunked\r\n", "0\r\n\r\n", &[400]),
            ("chunks with a tab", "Transfer-Encoding:\tchunked\r\n", "0\r\n\r\n", &[200]),
            ("a chunk that overflows", "Transfer-Encoding: chunked\r\n", "ffffffffffffffff1\r\n", &[400]),
            (
                "a chunk that is nearly too much",
                "Transfer-Encoding: chunked\r\n",
                "fffffffffffffffe\r\n",
                &[400, 413],
            ),
            ("a chunk below 0", "Transfer-Encoding: chunked\r\n", "-1\r\n", &[400]),
            ("a chunk by 0x", "Transfer-Encoding: chunked\r\n", "0x0\r\n\r\n", &[400]),
            ("a chunk with a lone line feed", "Transfer-Encoding: chunked\r\n", "0\n\n", &[400]),
            (
                "a chunk with a long extension",
                "Transfer-Encoding: chunked\r\n",
                &format!("0;{}\r\n", "a".repeat(40_000)),
                &[400],
            ),
            ("a chunk without its end", "Transfer-Encoding: chunked\r\n", "1\r\nab\r\n", &[400]),
        ] {
            let bytes = format!("{post}{head}\r\n{body}{SMUGGLED}");
            let got = statuses(address, bytes.as_bytes());
            assert!(got.len() <= 1, "{label}: {got:?}");
            assert!(got.iter().all(|status| want.contains(status)), "{label}: {got:?}");
        }
        for (label, bytes) in [
            ("no version", &b"GET /health\r\n\r\n"[..]),
            ("another version", b"GET /health HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n"),
            ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
            ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
            ("a NUL in the target", b"GET /\0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
            ("a blank in the target", b"GET /a b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
            ("noise", &[0xfe; 5000]),
        ] {
            let got = statuses(address, bytes);
            assert!(
                got.iter().all(|status| (400..600).contains(status)) && got.len() <= 1,
                "{label}: {got:?}"
            );
        }
        // A bare line feed may end a line: then it does so for all of the head, and what is behind is another request.
        let got = statuses(
            address,
            b"GET /health HTTP/1.1\nHost: 127.0.0.1\n\nGET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        );
        let is_well = got == [400] || !got.is_empty() && got.iter().all(|status| *status == 200);
        assert!(is_well, "{got:?}");
        // Many at once are answered one after the other.
        let many = "GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".repeat(300);
        let mut web = Web::open(address);
        web.send(many.as_bytes());
        assert!((0..300).all(|_| web.reply("GET").status == 200));
    });
    let books = sandbox.books("http");
    assert!(books.counter("turned_away.head") >= 10, "{}", books.counter("turned_away.head"));
    assert_eq!(
        (books.counter("received"), books.counter("requests.wrong.other")),
        (0, 0),
        "one was smuggled"
    );
}

#[test]
fn a_bomb_is_refused_and_costs_its_share() {
    let mut sandbox = Sandbox::new();
    // A body's time is not what this is about, and 16 of a mebibyte take theirs on a machine that does more.
    let http = sandbox.start_held("http", &CONFIG.replace("body_timeout = \"2s\"", "body_timeout = \"1m\""));
    let address = sandbox.listens("http")[0];
    let gzip = |piece: &[u8], times: usize| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        (0..times).for_each(|_| packed.write_all(piece).unwrap());
        packed.finish().unwrap()
    };
    let blanks = gzip(&[b' '; 65_536], 1_600);
    assert!(blanks.len() < 128 << 10, "100 MiB in {} bytes", blanks.len());
    let of_bombs = gzip(&blanks, 1);
    // A frame that says it needs terabytes, and blocks that each repeat a byte.
    let window = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff, 0, 0, 0].to_vec();
    let mut repeated = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];
    (0..2_000).for_each(|_| repeated.extend([0x02, 0x00, 0x10, b' ']));
    let deep = "[".repeat(1_000_000);
    let deep_objects = "{\"a\":".repeat(300_000);
    let zeros = format!("[{}0]", "0,".repeat(1_000_000));
    let nested = format!("{{\"type\":\"gauge\",\"value\":1,\"x\":[{}0]}}", "0,".repeat(900_000));
    let many = format!("[{}{{}}]", "{},".repeat(600_000));
    let fields: String = (0..120_000).map(|n| format!("\"f{n}\":0,")).collect();
    let fields = format!("{{{fields}\"type\":\"gauge\"}}");
    let honest = || {
        let reply = Web::ask(address, "POST", "/v1/honest", "", b"[]");
        assert!(matches!(reply.status, 201 | 503), "{} {}", reply.status, reply.text());
    };
    let answers = Mutex::new(BTreeMap::new());
    let answered = |target: &'static str, status: u16| {
        *answers.lock().unwrap().entry((target, status / 100)).or_insert(0) += 1;
    };
    // The memory for bodies, once more for what is read and what is answered, and the ring.
    bounded(&http, 96 * MIB, honest, || {
        for (label, target, coding, body, want) in [
            ("gzip", "/v2/write", "gzip", &blanks[..], &[413][..]),
            ("gzip", "/v1/a", "gzip", &blanks, &[413]),
            ("gzip in gzip", "/v2/write", "gzip, gzip", &of_bombs, &[415]),
            ("gzip in gzip", "/v2/write", "gzip", &of_bombs, &[200, 400]),
            ("half a gzip", "/v2/write", "gzip", &blanks[..1000], &[400]),
            ("gzip that is none", "/v2/write", "gzip", deep.as_bytes(), &[400]),
            ("zstd of terabytes", "/v2/write", "zstd", &window, &[413]),
            ("zstd", "/v2/write", "zstd", &repeated, &[413, 400]),
            ("zstd that is none", "/v1/a", "zstd", b"gauge", &[400]),
            ("another coding", "/v2/write", "br", b"x", &[415]),
            ("deep arrays", "/v2/write", "identity", deep.as_bytes(), &[400]),
            ("deep arrays", "/v1/a", "identity", deep.as_bytes(), &[400]),
            ("deep arrays", "/v1/data/a", "identity", deep.as_bytes(), &[400]),
            ("deep objects", "/v2/write", "identity", deep_objects.as_bytes(), &[400]),
            ("deep objects", "/v1/data/a", "identity", deep_objects.as_bytes(), &[400]),
            ("a million zeros", "/v2/write", "identity", zeros.as_bytes(), &[400]),
            ("a million zeros", "/v1/a", "identity", zeros.as_bytes(), &[400]),
            ("a million zeros", "/v1/data/a", "gzip", &gzip(zeros.as_bytes(), 1), &[400]),
            ("zeros in a field", "/v1/a", "identity", nested.as_bytes(), &[201, 503]),
            ("many fields", "/v1/a", "identity", fields.as_bytes(), &[400]),
            ("many empty objects", "/v1/a", "identity", many.as_bytes(), &[400]),
            ("many empty objects", "/v2/write", "identity", many.as_bytes(), &[400]),
        ] {
            let extra = format!("Content-Encoding: {coding}\r\n");
            let reply = Web::ask(address, "POST", target, &extra, body);
            assert!(
                want.contains(&reply.status),
                "{label}, {target}: {} {:.200}",
                reply.status,
                reply.text()
            );
            answered(target, reply.status);
        }
        // All of it at once, from many.
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for (target, coding, body) in [
                        ("/v2/write", "gzip", &blanks[..]),
                        ("/v1/a", "identity", zeros.as_bytes()),
                        ("/v1/a", "identity", many.as_bytes()),
                    ] {
                        let extra = format!("Content-Encoding: {coding}\r\n");
                        let status = Web::ask(address, "POST", target, &extra, body).status;
                        assert!(matches!(status, 400 | 413 | 503), "{target}: {status}");
                        answered(target, status);
                    }
                });
            }
        });
    });
    // Each is in the books, by what it was answered: how many of those at once found no memory is theirs to say.
    for ((target, class), count) in answers.into_inner().unwrap() {
        let route = match target {
            "/v2/write" => "write",
            "/v1/a" => "v1_write",
            _ => "v1_data_write",
        };
        let counter = match class {
            4 => format!("requests.wrong.{route}"),
            // What the honest were answered is among these.
            5 if route == "v1_write" => continue,
            5 => format!("requests.failed.{route}"),
            _ => continue,
        };
        wait_until(&counter, || sandbox.books("http").counter(&counter) == count);
    }
    // An answer that is much longer than what asked for it takes of the same memory.
    let name = "x".repeat(1_000);
    let items =
        format!("[{}{{\"type\":\"gauge\",\"value\":1}}]", "{\"type\":\"gauge\",\"value\":1},".repeat(20_000));
    bounded(&http, 64 * MIB, honest, || {
        let reply = Web::ask(address, "POST", &format!("/v1/{name}"), "", items.as_bytes());
        assert!(matches!(reply.status, 413 | 503), "{}", reply.status);
    });
}

#[test]
fn clients_that_take_their_time_hold_nobody_up() {
    let mut sandbox = Sandbox::new();
    let http = sandbox.start_held("http", CONFIG);
    let address = sandbox.listens("http")[0];
    let honest = || assert_eq!(Web::ask(address, "GET", "/health", "", b"").status, 200);
    bounded(&http, 32 * MIB, honest, || {
        // Half a head, half a body, half a chunk, and nothing at all, from 30 each.
        let mut halves = Vec::new();
        for half in [
            &b"GET /health HTTP/1.1\r\nHost: 12"[..],
            b"POST /v2/write HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\ngauge",
            b"POST /v2/write HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nga",
            b"",
        ] {
            halves.extend((0..30).map(|_| {
                let mut web = Web::open(address);
                web.send(half);
                web
            }));
        }
        let end = |web: &Web| {
            let mut end = Vec::new();
            // A reset is an end, too.
            let _ = web.stream().read_to_end(&mut end);
            String::from_utf8_lossy(&end).into_owned()
        };
        let is_late = |said: &str| said.is_empty() || said.starts_with("HTTP/1.1 408 ");
        // A byte at a time is a request as well; one who takes too long, as on a busy machine, comes again.
        let said = wait_for("a request of single bytes has its answer", || {
            let mut web = Web::open(address);
            for byte in b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n" {
                web.send(&[*byte]);
            }
            Some(end(&web)).filter(|said| !is_late(said))
        });
        assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
        // Each of the halves has its end.
        for (place, web) in halves.iter().enumerate().take(90) {
            let said = end(web);
            assert!(is_late(&said), "{place}: {said}");
        }
        // Who asks and does not read, again and again.
        for _ in 0..30 {
            let mut web = Web::open(address);
            web.send("GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".repeat(50).as_bytes());
            drop(web);
        }
    });
    wait_until("they are counted", || sandbox.books("http").counter("turned_away.head") >= 30);
}

#[test]
fn a_regex_of_a_stranger_has_its_limit() {
    let mut sandbox = Sandbox::new();
    let http = sandbox.start_held("http", &format!("header_max = \"128KiB\"\n{CONFIG}"));
    let address = sandbox.listens("http")[0];
    let honest = || assert_eq!(Web::ask(address, "GET", "/health", "", b"").status, 200);
    bounded(&http, 64 * MIB, honest, || {
        for regex in regexes() {
            let escaped: String = regex.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
            for route in ["/v2/range", "/v2/series", "/v2/live"] {
                let reply = Web::ask(address, "GET", &format!("{route}?match={escaped}"), "", b"");
                // Right ones find nobody there who could answer.
                let is_told = matches!(reply.status, 400 | 414 | 431 | 502 | 503 | 504);
                assert!(is_told, "{route}, {regex:.30}: {} {:.200}", reply.status, reply.text());
            }
        }
    });
}
