//! Lines by UDP: what is understood, what is refused, and what of it is shown.

use std::net::{Ipv4Addr, Ipv6Addr};

use common::exit::Exit;
use tests::Sandbox;

use super::{assert_balanced, taken, wait_counted};

#[test]
fn every_type_is_a_metric_or_a_note() {
    let mut sandbox = Sandbox::new();
    let timeline = sandbox.reader("timeline.databus");
    let statsd = sandbox.start_held("statsd", "");
    let client = sandbox.client(sandbox.listens("statsd")[0]);
    for (datagram, want) in [
        ("a:1|c", &["count a 1"][..]),
        ("a:1|c\n", &["count a 1"]),
        (
            "web.hits:3|c|@0.1|#dc:ams,a:1\nweb.time:320:17.5|ms\r\n\nload:0.5|g\nload:-1|g\nusers:bob|s",
            &[
                "count web.hits;a=1;dc=ams 3 @10",
                "sample web.time 320",
                "sample web.time 17.5",
                "gauge load 0.5",
                "adjust load -1",
                "member users bob",
            ],
        ),
        ("_e{1,3}:a|b|c|#x:y", &["note dogstatsd.event;x=y {\"title\":\"a\",\"text\":\"b|c\"}"]),
        (
            "_sc|db|1|#dc:ams|m:slow",
            &["gauge db.status;dc=ams 1", "note db;dc=ams {\"status\":\"warning\",\"message\":\"slow\"}"],
        ),
    ] {
        client.send(datagram.as_bytes()).unwrap();
        assert_eq!(taken(&timeline, want.len()), want, "{datagram:?}");
    }
    assert_balanced(&sandbox);
    let books = sandbox.books("statsd");
    assert_eq!(
        ["datagrams", "lines", "empty", "packed", "passed", "notes"].map(|name| books.counter(name)),
        [5, 10, 1, 2, 11, 2]
    );
    assert!(statsd.terminate().success());
}

#[test]
fn a_bad_neighbour_costs_only_itself_and_is_shown() {
    let mut sandbox = Sandbox::new();
    let timeline = sandbox.reader("timeline.databus");
    let _statsd = sandbox.start_held("statsd", "");
    let client = sandbox.client(sandbox.listens("statsd")[0]);
    let datagram = "a:1|c\nb:1|x\nc:1|c\nd|c\ne:1:x:3|ms\nf:1|c|@2\n_sc|g|7\n:1|c\n_e{9,9}:h|h\ni:1|c";
    client.send(datagram.as_bytes()).unwrap();
    assert_eq!(taken(&timeline, 5), ["count a 1", "count c 1", "sample e 1", "sample e 3", "count i 1"]);
    wait_counted(&sandbox, "lines", 10);
    assert_balanced(&sandbox);
    let books = sandbox.books("statsd");
    for reason in ["type", "no_value", "value", "rate", "status", "bad_key", "event"] {
        assert_eq!(books.counter(&format!("refused.{reason}")), 1, "{reason}");
    }
    let shown = sandbox.leela(&["refused", "--process", "statsd", "-o", "table"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains(": rate\n    f:1|c|@2\n           ^\n    see refused.rate in leela-statsd(8)"),
        "{shown}"
    );
    assert!(
        shown
            .contains(&format!("statsd from {}: type\n    b:1|x\n        ^\n", client.local_addr().unwrap())),
        "{shown}"
    );
    // A flood of one client does not fill all the room there is.
    client.send("x\n".repeat(1000).as_bytes()).unwrap();
    wait_counted(&sandbox, "lines", 1010);
    assert_eq!(sandbox.books("statsd").counter("refused.no_value"), 1001);
    assert!(sandbox.books("statsd").refusals().len() < 64);
}

#[test]
fn every_reader_of_every_address_takes_lines() {
    let mut sandbox = Sandbox::new();
    let timeline = sandbox.reader("timeline.databus");
    sandbox.hold_udp("statsd", &[(Ipv4Addr::LOCALHOST, 0).into(), (Ipv6Addr::LOCALHOST, 0).into()], 3);
    let _statsd = sandbox.start_held("statsd", "readers = 3");
    let mut want = Vec::new();
    for address in sandbox.listens("statsd").to_vec() {
        for number in 0..20 {
            // Each client has a port of its own: the kernel spreads them.
            sandbox.client(address).send(format!("a{number}:1|c").as_bytes()).unwrap();
            want.push(format!("count a{number} 1"));
        }
    }
    let mut got = taken(&timeline, want.len());
    got.sort();
    want.sort();
    assert_eq!(got, want);
}

#[test]
fn a_datagram_of_64_kib_is_taken_whole() {
    let mut sandbox = Sandbox::new();
    let timeline = sandbox.reader("timeline.databus");
    let _statsd = sandbox.start_held("statsd", "");
    let client = sandbox.client(sandbox.listens("statsd")[0]);
    let line = "web-00001.http.requests:1|c\n";
    let lines = 65_507 / line.len();
    client.send(line.repeat(lines).as_bytes()).unwrap();
    assert_eq!(taken(&timeline, lines), vec!["count web-00001.http.requests 1"; lines]);
    // One line without an end.
    client.send(&vec![b'a'; 65_507]).unwrap();
    wait_counted(&sandbox, "refused.no_value", 1);
    // A pack of 30,000 values, one of them bad.
    client.send(format!("a{}:x|ms", ":1".repeat(30_000)).as_bytes()).unwrap();
    assert_eq!(taken(&timeline, 30_000).len(), 30_000);
    wait_counted(&sandbox, "refused.value", 1);
    assert_balanced(&sandbox);
}

#[test]
fn rules_are_applied_and_what_they_drop_is_counted() {
    let mut sandbox = Sandbox::new();
    let timeline = sandbox.reader("timeline.databus");
    let config = "gauges = \"absolute\"\n[[rules]]\nname = '^debug'\ndrop = true\n[[rules]]\ntag = '^env:'\nadd = { dc = 'ams' }";
    let _statsd = sandbox.start_held("statsd", config);
    let client = sandbox.client(sandbox.listens("statsd")[0]);
    client.send(b"debug.x:1:2|c\na:-5|g|#env:prod\na:1|c|#x").unwrap();
    assert_eq!(taken(&timeline, 2), ["gauge a;dc=ams;env=prod -5", "count a;x 1"]);
    wait_counted(&sandbox, "dropped.rule", 2);
    assert_balanced(&sandbox);
}

#[test]
fn what_is_explained_is_what_is_done() {
    let sandbox = Sandbox::new();
    for (input, want, status) in [
        ("", "", Exit::Ok),
        ("a:1|c|@0.5\n", "a:1|c|@0.5\n    count a 1, for 2 of them\n", Exit::Ok),
        (
            "a:1|c\nb:1|c|@2",
            "a:1|c\n    count a 1\nb:1|c|@2\n       ^\n    rate: a rate is a number over 0 and up to 1, as in @0.1: one of ten was sent\n",
            Exit::Data,
        ),
    ] {
        let output = sandbox.run_fed("statsd", "", &["--explain"], input);
        assert_eq!(String::from_utf8_lossy(&output.stdout), want);
        assert_eq!(output.status.code(), Some(status.status().into()));
    }
    assert!(!sandbox.run().books("statsd").exists(), "it opens nothing");
}
