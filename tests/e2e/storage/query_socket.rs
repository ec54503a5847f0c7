//! The query socket: its asks, who is refused, who is cut off.

use common::metric::Event;
use common::time::Time;
use common::wire::{Batch, Content};
use tests::{Sandbox, wait_until};

use super::{ALWAYS, FOR_EVER, Kept, which};

/// Puts points in by the socket, `count` of a series.
fn import(sandbox: &Sandbox, keys: &[&str], count: u64) {
    let mut store = sandbox.store();
    store.say(b"import;");
    for key in keys {
        let mut batch = Batch::new(Content::Events);
        for number in 0..count {
            let time = Time::from_secs(1_700_000_000 + number as i64);
            let event = Event { key: key.as_bytes(), time, value: number as f64 };
            if batch.event(&event).is_err() {
                store.say(batch.seal(0, 0));
                batch.clear();
                let answer = String::from_utf8(store.payload().expect("it goes on")).unwrap();
                assert!(answer.starts_with("status 0 accepted "), "{answer}");
                batch.event(&event).unwrap();
            }
        }
        store.say(batch.seal(0, 0));
        assert!(store.payload().expect("it goes on").starts_with(b"status 0 accepted "));
    }
    store.say(b"");
    let answered = store.answer();
    assert!(answered.is_whole && answered.status == "status 0;", "{answered:?}");
}

#[test]
fn a_connection_asks_again_and_every_ask_is_answered() {
    let kept = Kept::new(FOR_EVER);
    import(&kept.sandbox, &["web;dc=ams", "web;dc=fra", "db"], 3);
    let mut store = kept.sandbox.store();
    let mut ask = |ask: String| {
        store.say(ask.as_bytes());
        let answered = store.answer();
        assert!(answered.is_whole, "{ask}: {answered:?}");
        answered
    };
    let keys = |answered: &tests::Answered| {
        let mut keys: Vec<String> = answered.points.iter().map(|point| point.0.clone()).collect();
        keys.dedup();
        keys
    };
    for (asked, want) in [
        (format!("range {} {ALWAYS};", which("match", "^web")), &["web;dc=ams", "web;dc=fra"][..]),
        (format!("range {} {ALWAYS} where dc=ams;", which("match", "^web")), &["web;dc=ams"]),
        (format!("range {} {ALWAYS} where dc!=ams;", which("match", ".")), &["db", "web;dc=fra"]),
        (format!("range {} {ALWAYS} limit 4;", which("match", ".")), &["db", "web;dc=ams"]),
        (format!("range {} {ALWAYS} where dc=ams;", which("key", "db")), &[]),
        (format!("range {} 1700000001 1700000001;", which("key", "db")), &["db"]),
        (format!("range {} 1700000003 1700000009;", which("match", ".")), &[]),
        (format!("range {} {ALWAYS} notes;", which("match", ".")), &[]),
    ] {
        let answered = ask(asked.clone());
        assert_eq!(
            (keys(&answered), answered.status.as_str()),
            (want.iter().map(|key| (*key).to_owned()).collect(), "status 0;"),
            "{asked}"
        );
    }
    let series = ask(format!("series {} limit 2;", which("match", ".")));
    assert_eq!(series.series, [("db".to_owned(), 3), ("web;dc=ams".to_owned(), 3)]);
    let names = ask(format!("names {} where dc=fra;", which("match", ".")));
    assert_eq!(names.words, [("web;dc=fra".to_owned(), 1)]);
    assert_eq!(ask("tags;".into()).words, [("dc".to_owned(), 2)]);
    assert_eq!(ask("tags 2|dc;".into()).words, [("ams".to_owned(), 1), ("fra".to_owned(), 1)]);
    for (asked, want) in [
        ("rang match 1|. 1 2;", "did you mean `range`?"),
        ("range match 1|( 1 2;", "unclosed group"),
        ("series key 0|;", "the name is empty"),
    ] {
        let refused = ask(asked.into());
        assert!(
            refused.status.starts_with("status 1 ") && refused.status.contains(want),
            "{asked}: {refused:?}"
        );
    }
    assert_eq!(
        ask(format!("delete {} dry-run;", which("match", "^web"))).object,
        r#"{"series":2,"points":6,"is_dry":true}"#
    );
    assert_eq!(
        ask(format!("delete {};", which("match", "^web"))).object,
        r#"{"series":2,"points":6,"is_dry":false}"#
    );
    assert_eq!(keys(&ask(format!("range {} {ALWAYS};", which("match", ".")))), ["db"]);
    // A series that is gone is counted until it is cleaned out of files and index.
    wait_until("only one series is counted", || ask("stats;".into()).object.contains("\"series\":1,"));
    wait_until("the asks are booked", || {
        let books = kept.sandbox.books("storage");
        books.counter("asks_refused.wrong") == 3 && books.counter("asks") >= 16
    });
}

#[test]
fn a_client_that_does_not_read_is_cut_off_and_nobody_else_waits() {
    let kept = Kept::new("client_timeout = \"1s\"\nreaders = 1\nretention = \"0s\"\n");
    let keys: Vec<String> = (0..20).map(|number| format!("many.k{number}")).collect();
    import(&kept.sandbox, &keys.iter().map(String::as_str).collect::<Vec<_>>(), 20_000);
    let mut slow = kept.sandbox.store();
    slow.say(format!("range {} {ALWAYS};", which("match", "^many")).as_bytes());
    // It has begun to answer, and the one reader there is is not held by it.
    let first = slow.payload().expect("it answers");
    assert!(first.starts_with(b"Le"));
    for _ in 0..10 {
        let answered = kept.sandbox.ask(&format!("range {} {ALWAYS} limit 10;", which("key", "many.k0")));
        assert!(answered.is_whole && answered.points.len() == 10, "{answered:?}");
    }
    wait_until("it is cut off", || kept.sandbox.books("storage").counter("asks_refused.slow_client") == 1);
    assert!(!slow.answer().is_whole, "what it got is seen to be incomplete");
    // Half a frame is no better.
    let mut half = kept.sandbox.store();
    half.say_bytes(&[0, 200, b'r']);
    wait_until("it is let go", || kept.sandbox.books("storage").counter("asks_refused.timeout") == 1);
    assert_eq!(half.payload(), None);
}

#[test]
fn there_are_so_many_connections_and_one_more_is_told() {
    let kept = Kept::new("connections_max = 2\n");
    let (mut one, mut two) = (kept.sandbox.store(), kept.sandbox.store());
    for store in [&mut one, &mut two] {
        store.say(b"stats;");
        assert!(store.answer().is_whole);
    }
    let refused = kept.sandbox.store().answer();
    assert!(refused.is_whole && refused.status.contains("connections_max"), "{refused:?}");
    wait_until("both are booked", || kept.sandbox.books("storage").counter("connections") == 2);
    drop(one);
    wait_until("one has gone", || kept.sandbox.books("storage").counter("connections") == 1);
    assert!(kept.sandbox.ask("stats;").is_whole);
    assert_eq!(kept.sandbox.books("storage").counter("asks_refused.connections"), 1);
}

#[test]
fn an_import_that_is_wrong_is_refused_and_what_came_before_is_there() {
    let kept = Kept::new(FOR_EVER);
    import(&kept.sandbox, &["good"], 2);
    let mut store = kept.sandbox.store();
    store.say(b"import;");
    store.say(b"no datagram");
    let refused = store.answer();
    assert!(refused.is_whole && refused.status.starts_with("status 1 "), "{refused:?}");
    let mut batch = Batch::new(Content::Events);
    for key in ["fine", "not\nfine"] {
        batch.event(&Event { key: key.as_bytes(), time: Time::from_secs(5), value: 1.0 }).unwrap();
    }
    let mut store = kept.sandbox.store();
    store.say(b"import;");
    store.say(batch.seal(0, 0));
    assert_eq!(store.payload().unwrap(), b"status 0 accepted 1 refused 1;");
    let books = kept.sandbox.books("storage");
    assert_eq!((books.counter("imported"), books.counter("refused.bad_key")), (3, 1));
    let refusals = books.refusals();
    assert!(refusals.iter().any(|refusal| refusal.text == b"not\nfine"), "{refusals:?}");
}
