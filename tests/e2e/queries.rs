//! A metric that comes in by UDP is queried live, and what is wrong with a query or a client costs only itself.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use common::text::write_time;
use common::time::Time;
use sockets::frame;
use tests::{Process, Sandbox, alone, numbered, wait_until};

struct Asked {
    sandbox: Sandbox,
    client: std::net::UdpSocket,
    _processes: [Process; 3],
}

/// udp, timeline and dmproc, which is a peer of the timeline.
fn asked(dmproc: &str) -> Asked {
    let mut sandbox = Sandbox::new();
    let timeline = sandbox.start_timeline("");
    let dmproc = sandbox.start_held("dmproc", dmproc);
    let udp = sandbox.start_udp("");
    let databus = sandbox.run().dmproc_databus();
    wait_until("dmproc is a peer", || sandbox.peers("timeline").iter().any(|(peer, _)| peer.path == databus));
    let client = sandbox.client(sandbox.listen());
    Asked { sandbox, client, _processes: [timeline, dmproc, udp] }
}

fn send(asked: &Asked, key: &str, values: &[f64]) {
    for value in values {
        asked.client.send(format!("gauge {}|{key} {value};", key.len()).as_bytes()).expect("loopback");
    }
}

#[test]
fn pipelines_answer_as_events_come() {
    let asked = asked("");
    let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let procs = [
        ("id", vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        ("window 2 (sum)", vec![3.0, 7.0, 11.0]),
        ("sma 3", vec![2.25, 3.125, 4.0625, 5.03125]),
        ("ewma 0.5", vec![1.5, 2.25, 3.125, 4.0625, 5.03125]),
        ("mean", vec![1.0, 1.5, 2.0, 2.5, 3.0, 3.5]),
        ("window 3 (median)", vec![2.0, 5.0]),
        ("sample 1/3", vec![1.0, 4.0]),
        ("(- 1) | abs | (* 100)", vec![0.0, 100.0, 200.0, 300.0, 400.0, 500.0]),
        ("[> 2] | [/= 4]", vec![3.0, 5.0, 6.0]),
        ("[3 /=] | (12 /)", vec![12.0, 6.0, 3.0, 2.4, 2.0]),
        ("(/ 2) | round", vec![0.0, 1.0, 2.0, 2.0, 2.0, 3.0]),
        ("maximum", values.to_vec()),
    ];
    let open = procs.map(|(pipeline, want)| {
        let proc = asked.sandbox.proc(&format!("proc match 6|^web\\. {pipeline};"));
        (pipeline, proc.unwrap_or_else(|error| panic!("{pipeline}: {error}")), want)
    });
    let all = asked.sandbox.proc("proc match 1|. sum;").expect("it is right");
    for value in values {
        send(&asked, "web.hits", &[value]);
        if value == 1.0 {
            // A turn has so much time for new series, and what it leaves is matched later: each has a turn of its own.
            wait_until("the first is matched", || asked.sandbox.books("dmproc").counter("received") == 1);
        }
        send(&asked, "db.hits", &[value]);
    }
    for (pipeline, proc, want) in open {
        assert_eq!(proc.wait_values(want.len()), want, "{pipeline}");
        assert!(proc.close().kept.iter().all(|event| event.key == "web.hits"), "{pipeline}");
    }
    // Each series has a state of its own.
    let sums = all.wait_values(12);
    assert_eq!(sums.iter().filter(|sum| **sum == 21.0).count(), 2, "{sums:?}");
    let books = asked.sandbox.books("dmproc");
    assert_eq!((books.counter("received"), books.counter("accepted")), (12, 12));
}

#[test]
fn a_wrong_proc_is_told_what_is_wrong() {
    let asked = asked("");
    for wrong in [
        "proc match 1|. ;",
        "proc match 1|. window 5 ();",
        "proc match 2|( id;",
        "proc match 1|. id;proc match 1|. id;",
        "proc match 1|. ewma;",
        "close;",
        "hello",
        "",
    ] {
        assert_eq!(asked.sandbox.proc(wrong).map(|_| ()), Err("status 1;".to_owned()), "{wrong:?}");
        let told = asked.sandbox.proc(&format!("with reason;{wrong}")).map(|_| ()).expect_err("it is wrong");
        assert!(told.starts_with("status 1;reason "), "{wrong:?}: {told}");
    }
    let books = || asked.sandbox.books("dmproc");
    wait_until("they are booked", || books().counter("procs_refused.query") == 16);
    // Nobody else was harmed.
    let proc = asked.sandbox.proc("proc match 3|foo id;").expect("it is right");
    send(&asked, "foo", &[1.0]);
    assert_eq!(proc.wait_values(1), [1.0]);
}

#[test]
fn a_frame_may_come_byte_by_byte() {
    let asked = asked("");
    let mut stream = UnixStream::connect(asked.sandbox.run().dmproc_proc()).unwrap();
    let mut bytes = Vec::new();
    frame::write(&mut bytes, b"proc match 3|foo id;");
    for byte in bytes {
        stream.write_all(&[byte]).unwrap();
    }
    let mut answer = [0; 11];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"\x00\x09status 0;");
    let now = Time::now();
    let mut text = b"gauge 3|foo 1.5 ".to_vec();
    write_time(&mut text, now);
    text.push(b';');
    asked.client.send(&text).unwrap();
    let want = format!("event 3|foo 1.5 {now};");
    let mut event = vec![0; want.len() + 2];
    stream.read_exact(&mut event).unwrap();
    assert_eq!(event[2..], *want.as_bytes());
    // Any second frame ends it.
    let mut bytes = Vec::new();
    frame::write(&mut bytes, b"close;");
    stream.write_all(&bytes).unwrap();
    assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0, "the server has closed");
}

#[test]
fn a_thousand_clients_are_served() {
    let _machine = alone();
    let asked = asked("");
    let procs: Vec<_> = (0..1000)
        .map(|number| {
            let regex = format!(r"^web\.{number}$");
            let proc = asked.sandbox.proc(&format!("proc match {}|{regex} id;", regex.len()));
            proc.unwrap_or_else(|error| panic!("client {number}: {error}"))
        })
        .collect();
    wait_until("they are booked", || asked.sandbox.books("dmproc").counter("procs_taken") == 1000);
    for number in 0..1000 {
        send(&asked, &format!("web.{number}"), &[f64::from(number)]);
    }
    for (number, proc) in procs.iter().enumerate() {
        assert_eq!(proc.wait_values(1), [number as f64]);
    }
    // One more than there is room for.
    let more = 1024 - 1000;
    let _rest: Vec<_> =
        (0..more).map(|_| asked.sandbox.proc("proc match 3|foo id;").expect("there is room")).collect();
    assert_eq!(asked.sandbox.proc("proc match 3|foo id;").map(|_| ()), Err("status 1;".to_owned()));
}

#[test]
fn a_client_that_does_not_read_loses_its_own_events_alone() {
    const RECORDS: u64 = 200_000;
    const PACKED: u64 = 40;
    /// What comes of them, some 50 bytes each, is well under `client_buffer`.
    const STEP: u64 = 1_000;
    let _machine = alone();
    let asked = asked("");
    let reader = asked.sandbox.proc("proc match 5|^load id;").expect("it is right");
    // This one asks and never reads.
    let mut silent = UnixStream::connect(asked.sandbox.run().dmproc_proc()).unwrap();
    let mut bytes = Vec::new();
    frame::write(&mut bytes, b"with lost;proc match 5|^load id;");
    silent.write_all(&bytes).unwrap();
    wait_until("both are there", || asked.sandbox.books("dmproc").counter("procs") == 2);
    let books = || asked.sandbox.books("dmproc");
    let arrived = |sent| sent - PACKED * asked.sandbox.books("udp").counter("kernel_drops");
    let mut text = Vec::new();
    for first in (0..RECORDS).step_by(PACKED as usize) {
        text.clear();
        (first..first + PACKED).for_each(|number| numbered(&mut text, number));
        asked.client.send(&text).unwrap();
        // No faster than it reads, whatever else this machine does: else its own buffer runs over, too.
        if (first + PACKED).is_multiple_of(STEP) {
            wait_until("the reader has all", || {
                reader.look(|heard| heard.numbered) == arrived(first + PACKED)
            });
        }
    }
    let arrived = arrived(RECORDS);
    wait_until("the other's are accounted for", || {
        let books = books();
        let lost = books.counter("frames.lost.slow_client");
        lost > 0
            && books.counter("frames.produced") == 2 * arrived
            && books.counter("frames.produced")
                == books.counter("frames.delivered")
                    + books.total("frames.lost")
                    + books.counter("frames.waiting")
    });
    assert_eq!((reader.look(|heard| heard.twice), books().counter("missing")), (0, 0));
    let lost = books().counter("frames.lost.slow_client");
    eprintln!("sent {RECORDS}, the silent client lost {lost}");
    drop(silent);
    wait_until("what waited is lost with it", || {
        let books = books();
        books.counter("frames.waiting") == 0 && books.counter("procs") == 1
    });
}
