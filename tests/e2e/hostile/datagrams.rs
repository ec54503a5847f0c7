//! Inputs by UDP: datagrams of strangers.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tests::{Sandbox, wait_until};

use super::{MIB, bounded};

/// The longest datagram there is by IPv4.
const LONGEST: usize = 65_507;

/// A text again and again, to the longest datagram.
fn long(text: &[u8]) -> Vec<u8> {
    text.iter().copied().cycle().take(LONGEST).collect()
}

/// Sends each datagram again and again; what the kernel dropped is sent once more.
fn flood(sandbox: &Sandbox, process: &str, client: &UdpSocket, datagrams: &[Vec<u8>]) {
    for datagram in datagrams {
        for _ in 0..20 {
            let before = sandbox.books(process).counter("datagrams");
            client.send(datagram).unwrap();
            wait_until("it is read", || sandbox.books(process).counter("datagrams") > before);
        }
    }
}

#[test]
fn leela_udp_survives_any() {
    let mut sandbox = Sandbox::new();
    let _timeline = sandbox.start_timeline("ring = \"1MiB\"\n");
    let udp = sandbox.start_udp("ring = \"1MiB\"\n");
    let at = sandbox.listen();
    let honest = || {
        let client = sandbox.client(at);
        client.send(b"ping").unwrap();
        let mut answer = [0; 16];
        let length = client.recv(&mut answer).unwrap();
        assert_eq!(&answer[..length], b"pong");
    };
    bounded(&udp, 24 * MIB, honest, || {
        let client = sandbox.client(at);
        let note = format!("note 1|a {};", "[".repeat(60_000));
        let datagrams = [
            long(b";"),
            long(b"\n"),
            long(b"\0"),
            long(b"\xff"),
            long(b"a"),
            long(b"gauge 1|a 1;"),
            long(b"gauge 1|a x;"),
            long(b"gauge 0| 1;"),
            long(b"gauge 18446744073709551616|a 1;"),
            long(b"gauge 60000|a 1;"),
            long(b"gauge 1|"),
            long(b"a: 1 1\n"),
            long(b": "),
            [&b"gauge 1|a "[..], &[b'9'; 60_000], b";"].concat(),
            [&b"gauge 1|a 1e"[..], &[b'9'; 60_000], b";"].concat(),
            [&b"gauge 1|a 1 "[..], &[b'1'; 60_000], b";"].concat(),
            [&b"gauge 60000|"[..], &[b'k'; 60_000], b" 1;"].concat(),
            [&b"gauge 60000|a"[..], &[b';'; 59_999], b" 1;"].concat(),
            note.into_bytes(),
            Vec::new(),
        ];
        flood(&sandbox, "udp", &client, &datagrams);
    });
    let books = sandbox.books("udp");
    assert_eq!(books.counter("received"), books.counter("accepted") + books.total("refused"));
    for reason in ["length", "unknown_kind", "unfinished", "bad_key", "value"] {
        assert!(books.counter(&format!("refused.{reason}")) > 0, "none is refused as {reason}");
    }
}

#[test]
fn leela_statsd_survives_any() {
    let mut sandbox = Sandbox::new();
    let _timeline = sandbox.start_timeline("ring = \"1MiB\"\ninterval = \"1s\"\n");
    let recorder = sandbox.recorder("one");
    let statsd = sandbox.start_held("statsd", "ring = \"1MiB\"\ntagged_names = [\"graphite\", \"influx\"]\n");
    let at = sandbox.listens("statsd")[0];
    let sent = AtomicU64::new(0);
    // Its answer is that it is counted.
    let honest = || {
        let number = sent.fetch_add(1, Relaxed) as f64 + 1.0;
        let client = sandbox.client(at);
        wait_until("it comes out", || {
            // A ring that others fill drops this one as well.
            client.send(format!("honest:{number}|g").as_bytes()).unwrap();
            recorder.look(|tally| {
                tally.kept.iter().rev().any(|kept| kept.key == "honest" && kept.value == number)
            })
        });
    };
    bounded(&statsd, 24 * MIB, honest, || {
        let client = sandbox.client(at);
        let with = |front: &str, many: &str, behind: &str| {
            let room = LONGEST - front.len() - behind.len();
            format!("{front}{}{behind}", many.repeat(room / many.len())).into_bytes()
        };
        let datagrams = [
            long(b"\n"),
            long(b"a"),
            long(b":"),
            long(b"|"),
            long(b"\xff"),
            long(b"a:1|c\n"),
            long(b"a:|c\n"),
            with("a:", "1:", "1|c"),
            with("a:", "x:", "x|ms"),
            with("a:", "9", "|c"),
            with("a:1e", "9", "|c"),
            with("a:1|c|#", "a,", "a"),
            with("a:1|c|#", "a:b,", "a"),
            with("a:1|c|#", ",", ""),
            with("a:1|c", "|@1", ""),
            with("a:1|c", "|x:y", ""),
            with("a:1|c|@0.", "0", "1"),
            with("a:1|c|T", "9", ""),
            with("a;", "a=b;", "c=d:1|c"),
            with("a,", "a=b,", "c=d:1|c"),
            with("", "a", ":1|c"),
            with("a:", "m", "|s"),
            with("_e{1,65000}:a|", "x", ""),
            b"_e{4294967295,4294967295}:a|b".to_vec(),
            b"_e{18446744073709551616,1}:a|b".to_vec(),
            b"_e{-1,-1}:a|b".to_vec(),
            b"_e{0,0}:|".to_vec(),
            b"a:1|c|x".to_vec(),
            with("_e{", "1", ",1}:a|b"),
            with("_sc|a|0|m:", "\\n", ""),
            with("_sc|", "a", "|0"),
            Vec::new(),
        ];
        flood(&sandbox, "statsd", &client, &datagrams);
    });
    let books = sandbox.books("statsd");
    assert_eq!(books.counter("received"), books.counter("accepted") + books.total("refused"));
    for reason in ["type", "no_value", "value", "not_finite", "section", "bad_key", "event", "member"] {
        assert!(books.counter(&format!("refused.{reason}")) > 0, "none is refused as {reason}");
    }
}

#[test]
fn leela_collectd_survives_any() {
    let mut sandbox = Sandbox::new();
    let _timeline = sandbox.start_timeline("ring = \"1MiB\"\n");
    let recorder = sandbox.recorder("one");
    let types = sandbox.path().join("types.db");
    std::fs::write(&types, "load value:GAUGE:0:U\n").unwrap();
    let config = format!("types_db = [{types:?}]\nring = \"1MiB\"\n");
    let collectd = sandbox.start_held("collectd", &config);
    let at = sandbox.listens("collectd")[0];
    let part = |kind: u16, content: &[u8]| {
        let length = (content.len() + 4) as u16;
        [&kind.to_be_bytes()[..], &length.to_be_bytes(), content].concat()
    };
    let text = |kind: u16, text: &str| part(kind, &[text.as_bytes(), b"\0"].concat());
    let front =
        [text(0, "host"), part(1, &1_700_000_000_u64.to_be_bytes()), text(2, "load"), text(4, "load")]
            .concat();
    let value = |value: f64| part(6, &[&1_u16.to_be_bytes()[..], &[1], &value.to_le_bytes()].concat());
    let sent = AtomicU64::new(0);
    let honest = || {
        let number = sent.fetch_add(1, Relaxed) as f64 + 1.0;
        let now = common::time::Time::now().ns() / 1_000_000_000;
        let packet = [&front[..], &part(1, &now.to_be_bytes()), &value(number)].concat();
        let client = sandbox.client(at);
        wait_until("it comes out", || {
            // A ring that others fill drops this one as well.
            client.send(&packet).unwrap();
            recorder.look(|tally| tally.kept.iter().any(|kept| kept.value == number))
        });
    };
    bounded(&collectd, 24 * MIB, honest, || {
        let client = sandbox.client(at);
        let again = |part: &[u8]| long(part);
        let mut datagrams = vec![
            long(b"\0"),
            long(b"\xff"),
            again(&[0, 0, 0, 4]),
            again(&[0, 0, 0, 3]),
            again(&[0, 0, 0, 0]),
            again(&[0xff, 0xff, 0, 4]),
            again(&text(0, "h")),
            again(&part(6, &[0xff, 0xff, 1])),
            again(&part(6, &[0, 0])),
            again(&value(f64::NAN)),
            [&front[..], &again(&value(1.0))[..60_000]].concat(),
            // Encrypted in encrypted, signed in signed, without end.
            again(&[0x02, 0x10, 0xff, 0xff]),
            again(&[0x02, 0x00, 0xff, 0xff]),
            again(&part(0x0210, &[0xff; 60])),
            again(&part(0x0200, &[0; 40])),
            part(0x0100, &[b'x'; 65_000]),
            [part(0x0101, &4_u64.to_be_bytes()), part(0x0100, &[0xff; 65_000])].concat(),
            Vec::new(),
        ];
        // A good packet that ends anywhere.
        let good = [&front[..], &value(1.0)].concat();
        datagrams.extend((1..good.len()).map(|end| good[..end].to_vec()));
        flood(&sandbox, "collectd", &client, &datagrams);
    });
    let books = sandbox.books("collectd");
    assert!(books.total("refused") > 1_000, "{}", books.total("refused"));
    assert_eq!(books.counter("received"), books.counter("accepted") + books.total("refused"));
}
