//! Live queries as a person or a program asks them, with what goes wrong on the way.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::net::UdpSocket;

use common::query::answer::{Answer, Answers};
use common::time::{SECOND_NS, Time};
use tests::{Process, Sandbox, wait_until};

/// udp, timeline and dmproc, which is a peer of the timeline.
struct Asked {
    dmproc: Option<Process>,
    client: UdpSocket,
    sandbox: Sandbox,
    _processes: [Process; 2],
}

fn asked(timeline: &str, dmproc: &str) -> Asked {
    let mut sandbox = Sandbox::new();
    let timeline = sandbox.start_held("timeline", timeline);
    let dmproc = Some(sandbox.start_held("dmproc", dmproc));
    let udp = sandbox.start_udp("");
    sandbox.wait_peer(&sandbox.run().dmproc_databus());
    let client = sandbox.client(sandbox.listen());
    Asked { dmproc, client, sandbox, _processes: [timeline, udp] }
}

impl Asked {
    fn send(&self, text: &str) {
        self.client.send(text.as_bytes()).expect("loopback");
    }

    fn procs(&self, count: u64) {
        wait_until("it has asked", || self.sandbox.books("dmproc").counter("procs") == count);
    }
}

/// The sessions that the original's documentation shows, to the byte, and procs that it said it had.
#[test]
fn the_original_s_sessions_are_the_same() {
    // Their events are of 1970.
    let asked = asked("backfill_max = \"30000d\"", "");
    for (proc, inputs, want) in [
        ("proc match 1|. id;", vec!["gauge 6|foobar 1 0.0;"], vec!["event 6|foobar 1 0.0;"]),
        (
            "proc match 6|foobar id;",
            vec!["gauge 6|foobaz 2 0.0;gauge 6|foobar 1 0.0;"],
            vec!["event 6|foobar 1 0.0;"],
        ),
        (
            "proc match 1|. window 5 (mean);",
            vec![
                "gauge 6|foobar 1 0.1;",
                "gauge 6|foobar 2 0.2;",
                "gauge 6|foobar 3 0.3;gauge 6|foobar 4 0.4;gauge 6|foobar 5 0.5;",
            ],
            vec!["event 6|foobar 3 0.5;"],
        ),
        (
            "proc match 1|. median;",
            vec!["gauge 1|a 1 0.1;gauge 1|a 9 0.2;gauge 1|a 2 0.3;"],
            vec!["event 1|a 1 0.1;", "event 1|a 5 0.2;", "event 1|a 2 0.3;"],
        ),
        (
            "proc match 1|. [/= 3];",
            vec!["gauge 1|a 2 0.1;gauge 1|a 3 0.2;gauge 1|a 4 0.3;"],
            vec!["event 1|a 2 0.1;", "event 1|a 4 0.3;"],
        ),
        (
            "proc match 1|. [3 /=];",
            vec!["gauge 1|a 2 0.1;gauge 1|a 3 0.2;gauge 1|a 4 0.3;"],
            vec!["event 1|a 2 0.1;", "event 1|a 4 0.3;"],
        ),
    ] {
        let mut client = asked.sandbox.by_frames(proc);
        assert_eq!(client.frame().as_deref(), Some("status 0;"), "{proc}");
        inputs.iter().for_each(|input| asked.send(input));
        assert_eq!(client.frames(want.len()), want, "{proc}");
        client.say("close;");
        assert_eq!(client.frame(), None, "{proc}: nothing more, and the server closes");
    }
}

#[test]
fn a_wrong_query_gets_a_caret_and_65() {
    let asked = asked("", "");
    for (arguments, want) in [
        (
            &["SELECT meen FROM ^web"][..],
            "SELECT meen FROM ^web\n       ^^^^\nthere is no function `meen`; did you mean `mean`?\n",
        ),
        (&["window 0 (mean)", "^web"], "'window 0 (mean)' '^web'\n        ^\n"),
        (&["SELECT id FROM ^we(b"], "SELECT id FROM ^we(b\n                  ^\n"),
        (&["SELECT id"], "SELECT id\n         ^\n`FROM` is missing"),
        (&["SELECT id FROM ^web SINCE 1h"], "SELECT id FROM ^web SINCE 1h\n                    ^^^^^^^^\n"),
    ] {
        let output = asked.sandbox.leela(&[&["query"], arguments].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(65), "{arguments:?}: {said}");
        assert!(said.contains(want), "{want}\n{said}");
        assert!(output.stdout.is_empty());
    }
    assert_eq!(asked.sandbox.books("dmproc").counter("connected"), 0, "dmproc was not asked");
}

#[test]
fn not_in_time_is_1_and_nobody_there_is_69() {
    let asked = asked("", "");
    // What was too short for one event, on a machine that is busy, is asked again for longer.
    let query = ["1s", "5s", "25s"].into_iter().find_map(|timeout| {
        asked.procs(0);
        let select = "SELECT id FROM ^room";
        let mut query = asked.sandbox.begin_leela(&["query", "--count", "2", "--timeout", timeout, select]);
        wait_until("it has asked, or is over", || {
            asked.sandbox.books("dmproc").counter("procs") == 1 || !query.process().is_alive()
        });
        asked.send("gauge 9|room.temp 21.5;");
        assert_eq!(query.status(), Some(1));
        (!query.out().is_empty()).then_some(query)
    });
    let query = query.expect("an event comes in time");
    assert!(query.err().contains("1 of 2 events came in time"), "{}", query.err());
    assert!(query.out().starts_with("event 9|room.temp 21.5 "), "{}", query.out());
    let output = asked.sandbox.leela(&["query", "--timeout", "50ms", "id", "^nothing"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let nobody = Sandbox::new();
    let output = nobody.leela(&["query", "id", "."]);
    assert_eq!(output.status.code(), Some(69), "{output:?}");
}

#[test]
fn a_query_goes_on_when_dmproc_comes_back() {
    for held in [true, false] {
        let mut asked = asked("", "");
        if !held {
            // It binds its own, and those go with it.
            drop(asked.dmproc.take());
            asked.sandbox.close("dmproc");
            asked.dmproc = Some(asked.sandbox.start("dmproc", ""));
        }
        let mut query =
            asked.sandbox.begin_leela(&["query", "--count", "3", "SELECT window 2 (sum) FROM ^room"]);
        asked.procs(1);
        for value in [1, 2, 10] {
            asked.send(&format!("gauge 4|room {value} {};", Time::now()));
        }
        let first = query.wait_lines(1);
        assert!(first[0].starts_with("event 4|room 3 "), "{first:?}");
        // The 10 is in its window, and dies with it; one under way would be its successor's.
        wait_until("the third has come", || asked.sandbox.books("dmproc").counter("received") == 3);
        asked.dmproc.take().expect("it runs").kill9();
        assert_eq!(query.wait_err("went away"), "leela: leela-dmproc went away; waiting for it\n");
        let pid = asked.sandbox.books("dmproc").pid;
        if held {
            // It can connect, since the socket is there; but nobody answers.
            let path = asked.sandbox.run().dmproc_proc();
            let path = path.to_str().expect("it is text");
            wait_until("it has connected", || {
                let sockets = fs::read_to_string("/proc/net/unix").expect("Linux has it");
                sockets.lines().filter(|line| line.ends_with(path)).count() == 2
            });
            assert!(!query.err().contains("is back"), "{}", query.err());
        }
        asked.dmproc = Some(asked.sandbox.start("dmproc", ""));
        assert_eq!(query.wait_err("is back"), "leela: leela-dmproc is back; windows begin anew\n");
        wait_until("it has asked again", || {
            let books = asked.sandbox.books("dmproc");
            books.pid != pid && books.counter("procs") == 1
        });
        // The 10 of before is gone with its window.
        for value in [20, 30, 40, 50] {
            asked.send(&format!("gauge 4|room {value} {};", Time::now()));
        }
        assert_eq!(query.status(), Some(0), "held {held}: {}", query.err());
        let out = query.out();
        let values: Vec<&str> = out.lines().filter_map(|line| line.split(' ').nth(2)).collect();
        assert_eq!(values, ["3", "50", "90"], "held {held}");
        assert_eq!(query.err().lines().count(), 2, "held {held}: {}", query.err());
    }
}

#[test]
fn a_client_that_does_not_read_is_told_what_it_lost_and_readers_get_all() {
    const GAUGES: u64 = 40;
    let asked = asked("", "client_buffer = \"128KiB\"");
    // The silent one comes first, so that it could be in the way.
    let mut silent = asked.sandbox.by_frames("with lost;proc match 4|^all id;");
    asked.procs(1);
    let mut readers: Vec<_> =
        (0..3).map(|_| asked.sandbox.by_frames("with lost;proc match 4|^all id;")).collect();
    for reader in &mut readers {
        assert_eq!(reader.frame().as_deref(), Some("status 0;"));
    }
    let books = || asked.sandbox.books("dmproc");
    let mut sent = 0;
    // Each datagram is sent when the readers have the last one: they lose nothing, however slow the machine is.
    while books().counter("frames.lost.slow_client") < 1000 {
        assert!(sent < 500_000, "a client may have at most {sent} events waiting");
        let text: String = (sent..sent + GAUGES).map(|number| format!("gauge 3|all {number};")).collect();
        asked.send(&text);
        for reader in &mut readers {
            for (number, frame) in (sent..sent + GAUGES).zip(reader.frames(GAUGES as usize)) {
                assert!(frame.starts_with(&format!("event 3|all {number} ")), "{frame}");
            }
        }
        sent += GAUGES;
    }
    let lost = books().counter("frames.lost.slow_client");
    // Now it reads: what waited for it, in order, and then how much it lost.
    assert_eq!(silent.frame().as_deref(), Some("status 0;"));
    let (mut next, mut told) = (0, 0);
    while next + told < sent {
        let frame = silent.frame().expect("the server goes on");
        for answer in Answers::of(frame.as_bytes()) {
            match answer.unwrap() {
                Answer::Event(event) => {
                    assert_eq!(event.value, (next + told) as f64, "{frame}");
                    next += 1;
                }
                Answer::Lost(events) => told += events,
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!((next + told, told), (sent, lost));
    eprintln!(
        "{sent} events to each of three readers; the silent one had {next} and was told of {told} lost"
    );
    // It gets events again.
    asked.send(&format!("gauge 3|all {sent};"));
    assert!(silent.frame().unwrap().starts_with(&format!("event 3|all {sent} ")));
    assert_eq!(books().counter("frames.lost.slow_client"), lost);
}

#[test]
fn tail_prints_what_recorders_see() {
    let asked = asked("", "");
    let recorder = asked.sandbox.recorder("one");
    let mut tail = asked.sandbox.begin_leela(&["tail"]);
    let mut room = asked.sandbox.begin_leela(&["tail", "--count", "20", "^room\\."]);
    let peers = asked.sandbox.run().peers();
    for pid in [tail.process().pid(), room.process().pid()] {
        asked.sandbox.wait_peer(&peers.join(format!("leela-tail.{pid}")));
    }
    let now = Time::now();
    for number in 0..20_i64 {
        let time = now.plus_ns((number - 400) * SECOND_NS + 7);
        let value = number as f64 / 3.0;
        asked.send(&format!(
            "gauge 9|room.temp {value} {time};derive 8|web.hits {} {};gauge 14|größe;dc=ams {number} {time};",
            number * number,
            now.plus_ns((number - 400) * 10 * SECOND_NS),
        ));
    }
    let kept = recorder.wait_kept(20 + 19 + 20);
    let line = |event: &tests::Kept| {
        format!("event {}|{} {} {};", event.key.len(), event.key, event.value, event.time)
    };
    let want: Vec<String> = kept.iter().map(line).collect();
    assert_eq!(tail.wait_lines(want.len()), want);
    assert_eq!(tail.interrupt(), Some(0));
    assert_eq!(room.status(), Some(0), "{}", room.err());
    let of_room: Vec<&String> = want.iter().filter(|line| line.starts_with("event 9|room.")).collect();
    assert_eq!(room.out().lines().collect::<Vec<_>>(), of_room);
    assert_eq!((tail.err(), room.err()), (String::new(), String::new()));
}
