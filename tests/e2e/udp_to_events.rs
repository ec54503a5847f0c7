//! Text comes in by UDP and goes out as events: every form, and what is wrong costs only itself.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use common::books::State;
use common::metric::Kind;
use common::time::Time;
use common::value::Value;
use tests::{Load, Record, Sandbox, wait_until};

fn record(kind: Kind, key: &str, value: Value, time: Time) -> Record {
    Record { kind, key: key.to_owned(), value, time }
}

#[test]
fn every_form_of_the_text_is_a_metric() {
    use Kind::{Absolute, Adjust, Counter, Derive, Gauge};
    use Value::{F64, I64, U64};
    let mut sandbox = Sandbox::new();
    let timeline = sandbox.reader("timeline.databus");
    let udp = sandbox.start_udp("");
    let client = sandbox.client(sandbox.listen());
    let at = Time::from_ns;
    let mut count = 0;
    for (text, want) in [
        (
            "gauge 3|foo 0.5 1350332001.0;",
            vec![record(Gauge, "foo", F64(0.5), at(1_350_332_001_000_000_000))],
        ),
        ("gauge 3|foo 3 1350332001;", vec![record(Gauge, "foo", U64(3), at(1_350_332_001_000_000_000))]),
        (
            "gauge 3|foo -3 1350332001.25;\n",
            vec![record(Gauge, "foo", I64(-3), at(1_350_332_001_250_000_000))],
        ),
        (
            "counter 3|c.x 18446744073709551615 12.5;derive 1|d -1 12.000000001;absolute 1|a 7 1;adjust 1|g -2 1;",
            vec![
                record(Counter, "c.x", U64(u64::MAX), at(12_500_000_000)),
                record(Derive, "d", I64(-1), at(12_000_000_001)),
                record(Absolute, "a", U64(7), at(1_000_000_000)),
                record(Adjust, "g", I64(-2), at(1_000_000_000)),
            ],
        ),
        ("gauge 11|m;dc=b;dc=a 1 1;", vec![record(Gauge, "m;dc=a", U64(1), at(1_000_000_000))]),
        (
            "gauge 5|a;b=c 1 1;gauge 3|a;b 2 1;",
            vec![
                record(Gauge, "a;b=c", U64(1), at(1_000_000_000)),
                record(Gauge, "a;b", U64(2), at(1_000_000_000)),
            ],
        ),
        // The older form, a gauge a line, its name lower-cased.
        (
            "Room.Temp: 21.5 1350332001",
            vec![record(Gauge, "room.temp", F64(21.5), at(1_350_332_001_000_000_000))],
        ),
        (
            "a: 1 1\nb: 2 2\r\n\nc: 1e3 3\n",
            vec![
                record(Gauge, "a", U64(1), at(1_000_000_000)),
                record(Gauge, "b", U64(2), at(2_000_000_000)),
                record(Gauge, "c", F64(1000.0), at(3_000_000_000)),
            ],
        ),
    ] {
        client.send(text.as_bytes()).unwrap();
        assert_eq!(timeline.metrics(want.len()), want, "{text:?}");
        count += want.len() as u64;
    }
    let books = sandbox.books("udp");
    assert_eq!((books.state, books.total("refused")), (State::Running, 0));
    assert_eq!((books.counter("accepted"), books.counter("passed")), (count, count));
    assert!(udp.terminate().success());
    assert_eq!(sandbox.books("udp").state, State::Ended);
}

#[test]
fn a_missing_time_is_the_receivers_clock() {
    let mut sandbox = Sandbox::new();
    let timeline = sandbox.reader("timeline.databus");
    let _udp = sandbox.start_udp("");
    let client = sandbox.client(sandbox.listen());
    for text in ["gauge 3|foo 1;", "derive 3|foo 1;\n", "foo: 1"] {
        let before = Time::now();
        client.send(text.as_bytes()).unwrap();
        let time = timeline.metrics(1)[0].time;
        assert!((before..=Time::now()).contains(&time), "{text}: {time}");
    }
}

#[test]
fn a_ping_is_answered() {
    let mut sandbox = Sandbox::new();
    let timeline = sandbox.reader("timeline.databus");
    let _udp = sandbox.start_udp("");
    let client = sandbox.client(sandbox.listen());
    for ping in ["ping", "ping\n"] {
        client.send(ping.as_bytes()).unwrap();
        let mut answer = [0; 16];
        let length = client.recv(&mut answer).unwrap();
        assert_eq!(&answer[..length], b"pong", "{ping:?}");
    }
    client.send(b"ping: 1 1").unwrap();
    assert_eq!(timeline.metrics(1)[0].key, "ping");
    assert_eq!(sandbox.books("udp").counter("pings"), 2);
}

#[test]
fn a_bad_neighbour_costs_only_itself() {
    let mut sandbox = Sandbox::new();
    let timeline = sandbox.reader("timeline.databus");
    let _udp = sandbox.start_udp("");
    let client = sandbox.client(sandbox.listen());
    // A datagram; the names that come through; the reasons that are booked.
    for (text, want, reasons) in [
        ("gauge 1|a 1 1;gague 1|b 1 1;gauge 1|c 1 1;", vec!["a", "c"], vec!["unknown_kind"]),
        ("gauge 1|a x 1;gauge 1|b 1 1;", vec!["b"], vec!["value"]),
        ("gauge 9|a 1 1;gauge 1|b 1 1;", vec!["b"], vec!["length"]),
        ("gauge 1|a nan 1;gauge 1|b -inf 1;gauge 1|c 1 1;", vec!["c"], vec!["not_finite", "not_finite"]),
        ("gauge 1|a 1 x;gauge 1|b 1 1;", vec!["b"], vec!["time"]),
        ("gauge 2|;a 1 1;gauge 1|b 1 1;gauge 1|c 1 1", vec!["b"], vec!["bad_key", "unfinished"]),
        ("a: 1 1\nb: x\nc: 1 2 3\nd: 1 1", vec!["a", "d"], vec!["value", "line"]),
        ("sample 1|a 1 @x 1;member 1|c 0| 1;gauge 1|b 1 1;", vec!["b"], vec!["weight", "member"]),
        ("\u{0}\u{1}\u{2}", vec![], vec!["unknown_kind"]),
    ] {
        let before = sandbox.books("udp");
        client.send(text.as_bytes()).unwrap();
        let got = timeline.metrics(want.len());
        assert_eq!(got.iter().map(|record| record.key.as_str()).collect::<Vec<_>>(), want, "{text:?}");
        let refused = before.total("refused") + reasons.len() as u64;
        wait_until(&format!("{text:?} is booked"), || sandbox.books("udp").total("refused") == refused);
        let books = sandbox.books("udp");
        assert_eq!(books.counter("received"), books.counter("accepted") + books.total("refused"), "{text:?}");
        let shown = books.refusals();
        let shown: Vec<&str> =
            shown[shown.len() - reasons.len()..].iter().map(|r| r.reason.as_str()).collect();
        assert_eq!(shown, reasons, "{text:?}");
        for reason in &reasons {
            let name = format!("refused.{reason}");
            let times = reasons.iter().filter(|r| *r == reason).count() as u64;
            assert_eq!(books.counter(&name), before.counter(&name) + times, "{text:?}: {name}");
        }
    }
    let last = sandbox.books("udp").refusals();
    let peer = client.local_addr().unwrap().to_string();
    assert!(last.iter().all(|refused| refused.peer == peer));
    timeline.assert_empty();
}

#[test]
fn any_datagram_is_survived() {
    let mut sandbox = Sandbox::new();
    let timeline = sandbox.reader("timeline.databus");
    let mut udp = sandbox.start_udp("");
    let client = sandbox.client(sandbox.listen());
    let long = [b"gauge 60000|".to_vec(), vec![b'x'; 60_000], b" 1 1;".to_vec()].concat();
    for datagram in
        [&b""[..], b"\n", b";", b";;;;", b"gauge ", b"gauge 18446744073709551616|", &[0xff; 1000], &long]
    {
        client.send(datagram).unwrap();
    }
    client.send(b"gauge 4|last 1 1;").unwrap();
    assert_eq!(timeline.metrics(1)[0].key, "last");
    assert!(udp.is_alive());
}

#[test]
fn it_comes_by_ipv4_and_ipv6() {
    let mut sandbox = Sandbox::new();
    let addresses: [SocketAddr; 2] = [(Ipv4Addr::LOCALHOST, 0).into(), (Ipv6Addr::LOCALHOST, 0).into()];
    sandbox.hold_udp("udp", &addresses, 1);
    let timeline = sandbox.reader("timeline.databus");
    let _udp = sandbox.start_udp("");
    for (number, address) in sandbox.listens("udp").iter().enumerate() {
        sandbox.client(*address).send(format!("gauge 3|foo {number} 1;").as_bytes()).unwrap();
        assert_eq!(timeline.metrics(1)[0].value, Value::U64(number as u64), "{address}");
    }
}

#[test]
fn it_binds_by_itself_what_it_is_not_handed() {
    let sandbox = Sandbox::new();
    let timeline = sandbox.reader("timeline.databus");
    for (config, sockets) in [
        ("listen = [\"127.0.0.1:0\"]", 1),
        ("listen = [\"127.0.0.1:0\", \"[::1]:0\"]", 2),
        ("listen = [\"127.0.0.1:0\"]\nreaders = 3", 3),
    ] {
        let udp = sandbox.start("udp", config);
        let log = udp.wait_log("ready");
        let (_, listen) = log.split_once("listen=").expect("it says where it listens");
        let listen = listen.trim_matches(['"', '\n']).split(", ");
        let listen: Vec<SocketAddr> = listen.filter_map(|address| address.parse().ok()).collect();
        assert_eq!(listen.len(), sockets, "{log}");
        for address in listen {
            sandbox.client(address).send(b"gauge 3|foo 1 1;").unwrap();
            assert_eq!(timeline.metrics(1).len(), 1, "{config}: {address}");
        }
        assert!(udp.terminate().success());
    }
}

#[test]
fn several_readers_share_a_port() {
    let mut sandbox = Sandbox::new();
    sandbox.hold_udp("udp", &[(Ipv4Addr::LOCALHOST, 0).into()], 4);
    let _timeline = sandbox.start_timeline("");
    let recorder = sandbox.recorder("one");
    let _udp = sandbox.start_udp("readers = 4");
    // The kernel spreads senders, not datagrams.
    let loads: Vec<_> =
        (0..8).map(|_| Load { rate: 5_000, records: 500, packed: 1 }.start(sandbox.listen())).collect();
    let sent: u64 = loads.into_iter().map(|load| load.finish()).sum();
    wait_until("all events are there", || recorder.look(|tally| tally.events) == sent);
    let want = 8.0 * (499.0 * 500.0 / 2.0);
    assert_eq!(recorder.look(|tally| tally.sum), want);
}

#[test]
fn metrics_become_events_at_every_consumer() {
    let mut sandbox = Sandbox::new();
    let _timeline = sandbox.start_timeline("");
    let recorders = ["one", "two", "three"].map(|name| sandbox.recorder(name));
    let text = sandbox.recorder_that("text", "text");
    let _udp = sandbox.start_udp("");
    let now = Time::now();
    let client = sandbox.client(sandbox.listen());
    client.send(format!("gauge 9|room.temp 21.5 {now};adjust 9|room.temp -1.5 {now};").as_bytes()).unwrap();
    for recorder in &recorders {
        let kept = recorder.wait_kept(2);
        assert!(kept.iter().all(|event| event.key == "room.temp" && event.time == now));
        assert_eq!(kept.iter().map(|event| event.value).collect::<Vec<_>>(), [21.5, 20.0]);
    }
    let want = format!("event 9|room.temp 21.5 {now};event 9|room.temp 20 {now};");
    assert_eq!(text.wait_kept(1)[0].text, want);
    let books = sandbox.books("timeline");
    assert_eq!((books.counter("received"), books.counter("passed"), books.counter("no_peer")), (2, 2, 0));
}
