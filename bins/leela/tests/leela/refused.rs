//! `leela refused`: what was refused, by whom, and what to do about it.

use std::io::Read as _;

use common::books::{Books, Refusal};
use common::time::Time;

use crate::planted::{Receiver, Sender, books};
use crate::sandbox::Sandbox;

fn planted(sandbox: &Sandbox) -> (Sender, Books<Receiver>) {
    let mut udp = Sender::udp(sandbox, "timeline.databus");
    udp.refuse(&Refusal {
        time: Time::from_secs(1_350_332_001),
        peer: "127.0.0.1:5",
        reason: "value",
        text: b"gauge 3|f\tx warm;",
        offset: 12,
    });
    udp.refuse(&Refusal {
        time: Time::from_secs(1_350_332_003),
        peer: "127.0.0.1:6",
        reason: "line",
        text: &[b'x'; 1000],
        offset: 999,
    });
    let mut collectd = books::<Receiver>(sandbox, "collectd");
    collectd.refuse(&Refusal {
        time: Time::from_secs(1_350_332_002),
        peer: "",
        reason: "bad_mac",
        text: b"\x02\x00\xffweb,1",
        offset: 2,
    });
    (udp, collectd)
}

#[test]
fn the_spot_is_shown_and_the_way_out() {
    let sandbox = Sandbox::new();
    let _planted = planted(&sandbox);
    let said = sandbox.run(&["refused", "-o", "table", "--count", "3"]);
    assert_eq!((said.status, said.err.as_str()), (0, ""));
    let want = "\
2012-10-15T20:13:21.000Z  udp from 127.0.0.1:5: value
    gauge 3|f\\tx warm;
                 ^
    a value is a number like 3, -0.5 or 1.5e-7, with digits on both sides of the point
2012-10-15T20:13:22.000Z  collectd: bad_mac
    \\u{2}\\u{0}\\xffweb,1
              ^^^^
    see refused.bad_mac in leela-collectd(8)
2012-10-15T20:13:23.000Z  udp from 127.0.0.1:6: line
";
    assert!(said.out.starts_with(want), "{}", said.out);
    assert!(
        said.out.contains("    (392 of 1000 bytes are kept; the fault is at byte 999)\n"),
        "{}",
        said.out
    );
}

#[test]
fn the_forms_say_the_same() {
    let sandbox = Sandbox::new();
    let _planted = planted(&sandbox);
    for (arguments, want) in [
        (
            &["refused", "--process", "collectd"][..],
            "1350332002.0 collectd - bad_mac 2 8 \\u{2}\\u{0}\\xffweb,1\n",
        ),
        (
            &["refused", "--process", "collectd", "-o", "json"],
            "{\"time\":1350332002.0,\"process\":\"collectd\",\"peer\":\"\",\"reason\":\"bad_mac\",\"offset\":2,\"length\":8,\
             \"text\":\"\\\\u{2}\\\\u{0}\\\\xffweb,1\",\"way_out\":\"see refused.bad_mac in leela-collectd(8)\"}\n",
        ),
        (
            &["refused", "--process", "collectd", "-o", "csv"],
            "time,process,peer,reason,offset,length,text,way_out\n1350332002.0,collectd,,bad_mac,2,8,\
             \"\\u{2}\\u{0}\\xffweb,1\",see refused.bad_mac in leela-collectd(8)\n",
        ),
    ] {
        let said = sandbox.run(arguments);
        assert_eq!((said.status, said.out.as_str()), (0, want), "{arguments:?}: {}", said.err);
    }
    assert_eq!(sandbox.run(&["refused", "--count", "1"]).out.lines().count(), 1);
    let unknown = sandbox.run(&["refused", "--process", "udq"]);
    assert_eq!(unknown.status, 64);
    assert!(
        unknown.err.contains("no process udq has books here; there are collectd, udp"),
        "{}",
        unknown.err
    );
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let sandbox = Sandbox::new();
    let _planted = planted(&sandbox);
    for arguments in [&["refused"][..], &["status"], &["completion", "bash"], &["--help"]] {
        let mut child = sandbox.command(arguments).spawn().unwrap();
        drop(child.stdout.take());
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert_eq!((child.wait().unwrap().code(), err.as_str()), (Some(0), ""), "{arguments:?}");
    }
}
