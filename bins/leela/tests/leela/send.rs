//! `leela send`: what reaches the databus, and what is told when it does not.

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use common::text;
use common::wire::{Content, DATAGRAM_BYTES_MAX, Header, Metrics, Notes};

use crate::sandbox::{Sandbox, said, uninterrupted};

/// The timeline's databus; nothing is awaited longer than a test may hang.
fn databus(sandbox: &Sandbox) -> UnixDatagram {
    let databus = UnixDatagram::bind(sandbox.run.timeline_databus()).unwrap();
    databus.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    databus
}

/// The next datagram's records, as text.
fn next(databus: &UnixDatagram) -> Vec<String> {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX + 1];
    let length = uninterrupted(|| databus.recv(&mut buffer)).unwrap();
    let (header, records) = Header::read(&buffer[..length]).unwrap();
    assert_eq!((header.source, header.first), (0, 0), "a one-off has no numbers");
    let mut out = Vec::new();
    match header.content {
        Content::Metrics => Metrics::new(records, header.count).for_each(|metric| {
            text::write_metric(&mut out, &metric.unwrap());
            out.push(b'\n');
        }),
        Content::Notes => Notes::new(records, header.count).for_each(|note| {
            text::write_note(&mut out, &note.unwrap());
            out.push(b'\n');
        }),
        other => panic!("the timeline takes no {}", other.word()),
    }
    String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
}

fn nothing_more(databus: &UnixDatagram) {
    databus.set_nonblocking(true).unwrap();
    assert_eq!(databus.recv(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    databus.set_nonblocking(false).unwrap();
}

#[test]
fn one_metric_is_one_datagram() {
    let sandbox = Sandbox::new();
    let databus = databus(&sandbox);
    for (arguments, want) in [
        (
            &["gauge", "room.temp", "21.5", "--time", "1350332001.5"][..],
            "gauge 9|room.temp 21.5 1350332001.5;",
        ),
        (&["--time", "7", "adjust", "a", "-1"], "adjust 1|a -1 7.0;"),
        (&["derive", "a", "-1.5e3", "--time", "7.0"], "derive 1|a -1500 7.0;"),
        (
            &["counter", "io;b=2;a=1", "18446744073709551615", "--time", "7.25"],
            "counter 10|io;a=1;b=2 18446744073709551615 7.25;",
        ),
        (&["count", "a", "-0.4", "--time", "7"], "count 1|a -0.4 7.0;"),
        (&["sample", "lat", "5", "@2.5", "--time", "7"], "sample 3|lat 5 @2.5 7.0;"),
        (&["member", "users", "bob b", "--time", "7"], "member 5|users 5|bob b 7.0;"),
    ] {
        let said = sandbox.run(&[&["send"], arguments].concat());
        assert_eq!((said.status, said.out.as_str(), said.err.as_str()), (0, "", ""), "{arguments:?}");
        assert_eq!(next(&databus), [want]);
    }
    nothing_more(&databus);
}

#[test]
fn a_wrong_metric_is_shown_with_a_caret() {
    let sandbox = Sandbox::new();
    let databus = databus(&sandbox);
    for (arguments, want) in [
        (
            &["guage", "room.temp", "1"][..],
            "guage room.temp 1\n^\na kind is gauge, counter, derive, absolute, adjust, count, sample or member\n",
        ),
        (&["gauge", "", "1"], "gauge  1\n      ^\na key is"),
        (&["gauge", "room.temp", "warm"], "gauge room.temp warm\n                ^\na value is"),
        (
            &["gauge", "room.temp", "nan"],
            "gauge room.temp nan\n                ^\na metric is a finite number",
        ),
        (&["gauge", "a", "1", "@2"], "gauge a 1 @2\n          ^\na count or a sample may stand"),
        (&["sample", "a", "1", "2"], "sample a 1 2\n           ^\na count or a sample may stand"),
        (&["count", "a", "1", "@0"], "count a 1 @0\n          ^\na count or a sample may stand"),
        (&["member", "a", ""], "member a \n         ^\nan element of a set has"),
    ] {
        let said = sandbox.run(&[&["send"], arguments].concat());
        assert_eq!(said.status, 65, "{arguments:?}");
        assert!(said.err.contains(&format!(": the metric is wrong\n{want}")), "{}", said.err);
    }
    nothing_more(&databus);
}

#[test]
fn a_full_databus_exits_75() {
    let sandbox = Sandbox::new();
    let databus = databus(&sandbox);
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    while filler.send_to(b"x", sandbox.run.timeline_databus()).is_ok() {}
    for arguments in [&["send", "gauge", "a", "1"][..], &["send", "gauge", "a", "1", "--timeout", "10ms"]] {
        let said = sandbox.run(arguments);
        assert_eq!(said.status, 75, "{}", said.err);
        assert!(said.err.contains("timeline.databus is full"), "{}", said.err);
    }
    let said = sandbox.run_with(&["send", "-", "--timeout", "10ms"], b"a: 1\n");
    assert_eq!(said.status, 75, "{}", said.err);
    assert!(said.err.ends_with("\n0 metrics before it were sent\n"), "{}", said.err);
    // With room again it goes on, as long as it may wait.
    let waiting =
        sandbox.command(&["send", "gauge", "a", "1", "--time", "7", "--timeout", "20s"]).spawn().unwrap();
    let mut buffer = [0; 8];
    uninterrupted(|| databus.recv(&mut buffer)).unwrap();
    assert_eq!(said_and_drained(waiting, &databus), "gauge 1|a 1 7.0;");
}

fn said_and_drained(child: std::process::Child, databus: &UnixDatagram) -> String {
    assert_eq!(said(child, b"").status, 0);
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let length = uninterrupted(|| databus.recv(&mut buffer)).unwrap();
        if let Ok((header, records)) = Header::read(&buffer[..length]) {
            let mut out = Vec::new();
            text::write_metric(&mut out, &Metrics::new(records, header.count).next().unwrap().unwrap());
            return String::from_utf8(out).unwrap();
        }
    }
}

#[test]
fn lines_are_sent_as_they_come() {
    let sandbox = Sandbox::new();
    let databus = databus(&sandbox);
    let mut child = sandbox.command(&["send", "-"]).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    for (line, want) in [
        ("gauge 1|a 1 7;derive 1|b 2 7;\n", &["gauge 1|a 1 7.0;", "derive 1|b 2 7.0;"][..]),
        ("Room.Temp: 21.5 7\n", &["gauge 9|room.temp 21.5 7.0;"]),
        ("event 1|a 0.5 7.5;\r\n", &["gauge 1|a 0.5 7.5;"]),
        ("\n  \ndata 1|a 2|{} 7.0;\n", &["data 1|a 2|{} 7.0;"]),
    ] {
        // In pieces: a line is whole before anything of it goes.
        let (first, second) = line.split_at(3);
        input.write_all(first.as_bytes()).unwrap();
        input.write_all(second.as_bytes()).unwrap();
        assert_eq!(next(&databus), want, "{line:?}");
    }
    input.write_all(b"last 1 7").unwrap();
    drop(input);
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(65));
}

#[test]
fn a_bad_line_costs_itself_and_those_behind_it() {
    let sandbox = Sandbox::new();
    let databus = databus(&sandbox);
    let said =
        sandbox.run_with(&["send", "-"], b"a: 1 7\ngauge 1|b 2 7;\ngauge 1|c 3 7;gauge 1|d x 7;\ne: 5 7\n");
    assert_eq!(said.status, 65);
    let want = "line 3: value: a value is a number like 3, -0.5 or 1.5e-7, with digits on both sides of the point\n\
                gauge 1|c 3 7;gauge 1|d x 7;\n\
                \x20                       ^\n\
                2 metrics before it were sent\n";
    assert!(said.err.ends_with(want), "{}", said.err);
    assert_eq!(next(&databus), ["gauge 1|a 1 7.0;", "gauge 1|b 2 7.0;"]);
    nothing_more(&databus);
}

#[test]
fn a_large_input_is_sent_whole() {
    let sandbox = Sandbox::new();
    let databus = databus(&sandbox);
    let lines: String = (0..20_000).map(|n| format!("gauge 8|key{n:05} {n} 7.0;\n")).collect();
    let child = sandbox.command(&["send", "-"]).spawn().unwrap();
    let want: Vec<String> = lines.lines().map(str::to_owned).collect();
    let writer = std::thread::spawn({
        let lines = lines.clone();
        move || said(child, lines.as_bytes())
    });
    let mut got = Vec::new();
    while got.len() < want.len() {
        got.extend(next(&databus));
    }
    assert_eq!(writer.join().unwrap().status, 0);
    assert_eq!(got, want);
    nothing_more(&databus);
}

#[test]
fn a_line_without_end_is_refused() {
    let sandbox = Sandbox::new();
    let databus = databus(&sandbox);
    let said = sandbox.run_with(&["send", "-"], &vec![b'x'; (1 << 20) + 1]);
    assert_eq!(said.status, 65);
    assert!(said.err.contains("line 1: a line has at most 1 MiB"), "{}", said.err);
    nothing_more(&databus);
}

#[test]
fn lines_go_on_to_the_next_timeline() {
    let sandbox = Sandbox::new();
    let first = databus(&sandbox);
    let mut child = sandbox.command(&["send", "-"]).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"a: 1 7\n").unwrap();
    assert_eq!(next(&first), ["gauge 1|a 1 7.0;"]);
    drop(first);
    std::fs::remove_file(sandbox.run.timeline_databus()).unwrap();
    // Away for a while: the line waits for it.
    input.write_all(b"b: 2 7\n").unwrap();
    let second = databus(&sandbox);
    assert_eq!(next(&second), ["gauge 1|b 2 7.0;"]);
    drop(input);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
