//! The proc socket of the real program: what it promises to its clients.

use std::io::Write;

use nix::sys::signal::Signal;

use crate::bed::Bed;

#[test]
fn the_session_of_the_original_byte_for_byte() {
    let mut bed = Bed::new();
    let _dmproc = bed.start("");
    let mut client = bed.client();
    client.stream.write_all(b"\x00\x12proc match 1|. id;").unwrap();
    assert_eq!(client.bytes(11), b"\x00\x09status 0;");
    bed.events(&[("foobar", 1.0, 0)]);
    assert_eq!(client.bytes(23), b"\x00\x15event 6|foobar 1 0.0;");
    client.stream.write_all(b"\x00\x06close;").unwrap();
    assert!(client.is_closed());

    let mut client = bed.proc("proc match 6|foobar id;");
    bed.events(&[("foobaz", 2.0, 0), ("foobar", 1.0, 0)]);
    assert_eq!(client.text(), "event 6|foobar 1 0.0;");

    let mut client = bed.proc("proc match 1|. window 5 (mean);");
    let events: Vec<_> = (1..=5).map(|n| ("foobar", n as f64, n * 100_000_000)).collect();
    bed.events(&events);
    assert_eq!(client.text(), "event 6|foobar 3 0.5;");
}

#[test]
fn a_frame_may_come_byte_by_byte_and_several_at_once() {
    let mut bed = Bed::new();
    let _dmproc = bed.start("");
    let mut slow = bed.client();
    for byte in b"\x00\x12proc match 1|. id;" {
        slow.stream.write_all(&[*byte]).unwrap();
        let mut other = bed.client();
        other.frame("close;");
        assert_eq!(other.text(), "status 1;");
    }
    assert_eq!(slow.text(), "status 0;");
    bed.events(&[("a", 1.0, 0)]);
    assert_eq!(slow.text(), "event 1|a 1 0.0;");
    let mut both = bed.client();
    both.stream.write_all(b"\x00\x12proc match 1|. id;\x00\x06close;").unwrap();
    assert_eq!(both.text(), "status 0;");
    assert!(both.is_closed());
}

#[test]
fn any_second_frame_and_hanging_up_end_a_proc() {
    let mut bed = Bed::new();
    let dmproc = bed.start("");
    for frame in ["close;", "", "proc match 1|. id;", "nonsense"] {
        let mut client = bed.proc("proc match 1|. id;");
        client.frame(frame);
        assert!(client.is_closed(), "{frame:?}");
    }
    drop(bed.proc("proc match 1|. id;"));
    let mut client = bed.proc("proc match 1|. id;");
    bed.events(&[("a", 1.0, 0)]);
    assert_eq!(client.text(), "event 1|a 1 0.0;");
    client.frame("close;");
    assert!(client.is_closed());
    assert!(dmproc.end(Signal::SIGTERM).success());
    let books = bed.books();
    let counters = ["procs_taken", "connected", "procs", "connections"].map(|name| books.counter(name));
    assert_eq!(counters, [6, 6, 0, 0]);
}

#[test]
fn a_bad_proc_is_refused_and_says_why_to_who_asked() {
    let bed = Bed::new();
    let dmproc = bed.start("");
    let bad = [
        ("", "reason 12 0 "),
        ("close;", "reason 12 5 "),
        ("event 6|foobar 1 0.0;", "reason 12 5 "),
        ("proc match 1|( id;", "reason 25 1 "),
        ("proc match 1|. meen;", "reason 27 4 "),
        ("proc match 1|. ;", "reason 27 0 "),
        ("proc match 1|. window 5 ();", "reason 36 2 "),
        ("proc match 1|. id;proc match 1|. id;", "reason 30 18 "),
        ("nonsense", "reason 12 8 "),
    ];
    for (payload, reason) in bad {
        let mut client = bed.client();
        client.frame(payload);
        assert_eq!(client.text(), "status 1;", "{payload:?}");
        assert!(client.is_closed(), "{payload:?}");

        let mut client = bed.client();
        client.frame(&format!("with reason;{payload}"));
        assert_eq!(client.text(), "status 1;", "{payload:?}");
        let told = client.text();
        assert!(told.starts_with(reason), "{payload:?}: {told}");
        assert!(client.is_closed(), "{payload:?}");
    }
    let mut large = bed.client();
    large.stream.write_all(&[0xff; 65_537]).unwrap();
    assert_eq!(large.text(), "status 1;");
    assert!(dmproc.end(Signal::SIGTERM).success());
    let books = bed.books();
    assert_eq!(books.counter("procs_refused.query"), 2 * bad.len() as u64 + 1);
    let refusal = books.refusals().swap_remove(9);
    assert_eq!(
        (refusal.text.as_slice(), refusal.offset),
        (b"with reason;proc match 1|. meen;".as_slice(), 27)
    );
    assert!(refusal.peer.starts_with("uid "), "{}", refusal.peer);
}

#[test]
fn functions_that_did_not_work_work() {
    let mut bed = Bed::new();
    let _dmproc = bed.start("");
    let mut median = bed.proc("proc match 1|. median;");
    let mut unequal = bed.proc("proc match 1|. [/= 3];");
    bed.events(&[("a", 3.0, 0), ("a", 1.0, 0), ("a", 2.0, 0)]);
    assert_eq!(median.events(3).0.last(), Some(&("a".to_owned(), 2.0)));
    assert_eq!(unequal.events(2).0, [("a".to_owned(), 1.0), ("a".to_owned(), 2.0)]);
}

#[test]
fn half_a_frame_is_waited_for_only_so_long() {
    let mut bed = Bed::new();
    let dmproc = bed.start("handshake_timeout = \"3s\"\n");
    let mut running = bed.proc("proc match 1|. id;");
    let mut second = bed.proc("proc match 1|. id;");
    second.stream.write_all(b"\x00").unwrap();
    let (mut silent, mut half) = (bed.client(), bed.client());
    half.stream.write_all(b"\x00\x12proc").unwrap();
    for client in [&mut silent, &mut half, &mut second] {
        assert_eq!(client.text(), "status 1;");
        assert!(client.is_closed());
    }
    bed.events(&[("a", 1.0, 0)]);
    assert_eq!(running.text(), "event 1|a 1 0.0;");
    assert!(dmproc.end(Signal::SIGTERM).success());
    assert_eq!(bed.books().counter("procs_refused.timeout"), 3);
}

#[test]
fn a_client_that_asked_learns_how_much_it_selects() {
    let mut bed = Bed::new();
    let _dmproc = bed.start("");
    let mut all = bed.proc("proc match 1|. id;");
    bed.events(&[("web.a", 1.0, 0), ("web.b", 1.0, 0), ("db.a", 1.0, 0)]);
    all.events(3);
    let mut client = bed.proc("with rate;proc match 4|^web id;");
    assert_eq!(client.text(), "rate 2 2;");
    let mut client = bed.proc("with rate,only 2|a$;proc match 4|^web id;");
    assert_eq!(client.text(), "rate 1 1;");
    bed.events(&[("web.b", 1.0, 0), ("web.a", 2.0, 0)]);
    assert_eq!(client.text(), "event 5|web.a 2 0.0;");
}

#[test]
fn a_proc_that_needs_too_much_memory_is_ended_and_told() {
    let mut bed = Bed::new();
    let dmproc = bed.start("client_state = \"64KiB\"\n");
    let mut modest = bed.proc("proc match 1|. id;");
    let mut greedy = bed.proc("with reason;proc match 1|. window 100000 (median);");
    let mut mute = bed.proc("proc match 1|. window 100000 (median);");
    bed.events(&[("a", 1.0, 0)]);
    assert_eq!(greedy.text(), "status 1;");
    assert!(greedy.text().contains("`client_state`") && greedy.is_closed());
    assert_eq!(mute.text(), "status 1;");
    assert!(mute.is_closed());
    assert_eq!(modest.text(), "event 1|a 1 0.0;");
    assert!(dmproc.end(Signal::SIGTERM).success());
    assert_eq!(bed.books().counter("procs_refused.state"), 2);
}

#[test]
fn a_thousand_clients_at_once_and_one_more_than_allowed() {
    hop::allow_descriptors(1_200).unwrap();
    let mut bed = Bed::new();
    let dmproc = bed.start("");
    let mut clients: Vec<_> =
        (0..1_024).map(|number| bed.proc(&format!("proc match 8|^s{number:04}\\. id;"))).collect();
    let mut refused = bed.client();
    assert_eq!(refused.text(), "status 1;");
    assert!(refused.is_closed());
    let keys: Vec<String> = (0..1_024).map(|number| format!("s{number:04}.a")).collect();
    for round in 0..3 {
        let events: Vec<_> = keys.iter().map(|key| (key.as_str(), f64::from(round), 0)).collect();
        bed.events(&events);
    }
    for (client, key) in clients.iter_mut().zip(&keys) {
        let want: Vec<_> = (0..3).map(|round| (key.clone(), f64::from(round))).collect();
        assert_eq!(client.events(3).0, want, "{key}");
    }
    clients.truncate(1_000);
    assert!(dmproc.end(Signal::SIGTERM).success());
    let books = bed.books();
    assert_eq!(books.counter("procs_refused.connections"), 1);
    assert_eq!(books.counter("frames.delivered"), 3 * 1_024);
}
