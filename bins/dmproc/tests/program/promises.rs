//! The promises of the real program: nothing is lost unseen, and nobody waits for anybody.

use common::books::Snapshot;
use nix::sys::signal::Signal;
use sockets::registration::REGISTRATION_BYTES_MAX;

use crate::bed::Bed;

/// What has to hold at rest.
fn balanced(books: &Snapshot) {
    let counter = |name: &str| books.counter(name);
    assert_eq!(counter("received"), counter("accepted") + books.total("refused"), "{books:?}");
    assert_eq!(counter("accepted"), counter("passed") + counter("merged"), "{books:?}");
    let lost = books.total("frames.lost");
    let told = counter("frames.delivered") + lost + counter("frames.waiting");
    assert_eq!(counter("frames.produced"), told, "{books:?}");
}

#[test]
fn it_registers_its_databus_with_the_timeline() {
    let bed = Bed::new();
    let _dmproc = bed.start("");
    let mut buffer = [0; REGISTRATION_BYTES_MAX];
    for _ in 0..2 {
        let registration = loop {
            let run = std::fs::canonicalize(bed.path("")).unwrap();
            if let Some(got) = sockets::registration::receive(&bed.multicast, &run, &mut buffer).unwrap() {
                break got.unwrap();
            }
        };
        assert_eq!(registration.words, "events durable v1");
        assert_eq!(registration.path.file_name().unwrap(), "dmproc.databus");
    }
}

#[test]
fn a_client_that_does_not_read_loses_its_own_events_and_costs_nobody_any() {
    const EVENTS: u64 = 60_000;
    let mut bed = Bed::new();
    let dmproc = bed.start("");
    let mut told = bed.proc("with lost;proc match 1|. id;");
    let mut untold = bed.proc("proc match 1|. id;");
    let mut reader = bed.proc("proc match 1|. id;");
    let key = "a.series.with.a.name.of.usual.length";
    for first in (0..EVENTS).step_by(500) {
        let events: Vec<_> = (first..first + 500).map(|number| (key, number as f64, 0)).collect();
        bed.events(&events);
        // At the pace of the one that reads.
        let want: Vec<_> = events.iter().map(|&(_, value, _)| (key.to_owned(), value)).collect();
        assert_eq!(reader.events(500), (want, 0));
    }
    let (got, lost) = told.events(EVENTS);
    assert!(lost > 0 && got.windows(2).all(|pair| pair[0].1 < pair[1].1), "{lost} lost");
    assert_eq!(got.len() as u64 + lost, EVENTS);
    // There is room again, and events flow again.
    bed.events(&[("last", 1.0, 0)]);
    assert_eq!(told.events(1), (vec![("last".to_owned(), 1.0)], 0));
    reader.events(1);
    let (mut got, _) = untold.events(1);
    assert!(dmproc.end(Signal::SIGTERM).success());
    while let Some(payload) = untold.payload() {
        assert!(payload.starts_with(b"event "));
        got.push((String::new(), 0.0));
    }
    let books = bed.books();
    balanced(&books);
    assert_eq!(books.counter("frames.produced"), 3 * (EVENTS + 1));
    let untold_lost = EVENTS + 1 - got.len() as u64;
    let stopped = books.counter("frames.lost.stopped");
    assert_eq!(books.counter("frames.lost.slow_client") + stopped, lost + untold_lost);
}

#[test]
fn a_stop_writes_what_waits_and_books_what_nobody_took() {
    let mut bed = Bed::new();
    let dmproc = bed.start("drain_timeout = \"100ms\"\n");
    let mut client = bed.proc("proc match 1|. id;");
    let mut reader = bed.proc("proc match 4|last id;");
    for _ in 0..100 {
        let events: Vec<_> =
            (0..100).map(|number| ("a.series.of.usual.length", f64::from(number), 0)).collect();
        bed.events(&events);
    }
    bed.events(&[("last", 1.0, 0)]);
    reader.events(1);
    assert!(dmproc.end(Signal::SIGTERM).success());
    assert!(reader.is_closed());
    let mut got = 0;
    while let Some(payload) = client.payload() {
        assert!(payload.starts_with(b"event "));
        got += 1;
    }
    let books = bed.books();
    balanced(&books);
    assert_eq!(books.counter("frames.delivered"), got + 1);
    assert_eq!(got + books.counter("frames.lost.stopped"), 10_001);
    assert_eq!(books.counter("frames.waiting"), 0);
}

#[test]
fn after_kill_9_the_successor_goes_on_with_the_same_books() {
    let mut bed = Bed::new();
    let dmproc = bed.start("");
    let mut client = bed.proc("proc match 1|. id;");
    let mut stuck = bed.proc("proc match 1|. id;");
    for _ in 0..100 {
        let events: Vec<_> =
            (0..100).map(|number| ("a.series.of.usual.length", f64::from(number), 0)).collect();
        bed.events(&events);
        client.events(100);
    }
    dmproc.end(Signal::SIGKILL);
    assert!(client.is_closed());
    let mut got = 0;
    while stuck.payload().is_some() {
        got += 1;
    }
    let before = bed.books();
    balanced(&before);
    assert_eq!((before.counter("received"), before.counter("missing")), (10_000, 0));
    assert!(before.counter("frames.delivered") <= 10_000 + got + 1);

    let dmproc = bed.start("");
    let mut client = bed.proc("proc match 1|. id;");
    // One datagram comes again, one never comes.
    bed.next -= 100;
    let events: Vec<_> = (0..100).map(|number| ("a", f64::from(number), 0)).collect();
    bed.events(&events);
    bed.next += 7;
    bed.events(&[("a", 5.0, 0)]);
    assert_eq!(client.events(1).0, [("a".to_owned(), 5.0)]);
    assert!(dmproc.end(Signal::SIGTERM).success());
    let books = bed.books();
    balanced(&books);
    let counters = ["received", "missing", "repeated", "frames.waiting"].map(|name| books.counter(name));
    assert_eq!(counters, [10_001, 7, 100, 0]);
    assert_eq!(books.counter("frames.lost.crash"), before.counter("frames.waiting"));
}

#[test]
fn a_datagram_that_cannot_be_read_costs_only_itself() {
    let mut bed = Bed::new();
    let dmproc = bed.start("");
    let mut client = bed.proc("proc match 1|. id;");
    let stranger = std::os::unix::net::UnixDatagram::unbound().unwrap();
    for datagram in [&b""[..], b"gauge 1|a 1 0.0;", &[0; 40_000]] {
        stranger.send_to(datagram, bed.path("dmproc.databus")).unwrap();
    }
    bed.events(&[("a", 1.0, 0), ("b\n", 2.0, 0), ("c", 3.0, 0)]);
    assert_eq!(client.events(2).0, [("a".to_owned(), 1.0), ("c".to_owned(), 3.0)]);
    assert!(dmproc.end(Signal::SIGTERM).success());
    let books = bed.books();
    balanced(&books);
    let counters = ["unreadable.form", "unreadable.too_long", "refused.bad_key", "accepted"];
    assert_eq!(counters.map(|name| books.counter(name)), [2, 1, 1, 2]);
}

#[test]
fn series_over_the_limit_are_refused_by_name() {
    let mut bed = Bed::new();
    let dmproc = bed.start("series_max = 2\n");
    let mut client = bed.proc("proc match 1|. id;");
    bed.events(&[("a", 1.0, 0), ("b", 1.0, 0), ("c", 1.0, 0), ("a", 2.0, 0)]);
    client.events(3);
    assert!(dmproc.end(Signal::SIGTERM).success());
    let books = bed.books();
    balanced(&books);
    assert_eq!((books.counter("refused.series_limit"), books.counter("series")), (1, 2));
    assert_eq!(books.refusals()[0].text, b"event 1|c 1 0.0;");
}
