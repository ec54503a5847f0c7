use super::*;
use crate::counters;
use crate::wire::Content;

#[derive(Clone, Copy, Debug)]
enum Reason {
    Length,
    Value,
}

impl Label for Reason {
    const NAMES: &'static [&'static str] = &["length", "value"];
    fn slot(self) -> usize {
        self as usize
    }
}

counters! {
    /// Of a test.
    struct First {
        /// All.
        received: u64,
        /// Bad.
        refused: Family<Reason>,
    }
}

counters! {
    /// Of its next version.
    struct Second {
        /// New.
        accepted: u64,
        /// Bad.
        refused: Family<Reason>,
        /// All.
        received: u64,
    }
}

#[test]
fn sums_over_damaged_books_stay_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("udp");
    let mut books = Books::<First>::open(&path, "udp", 1).unwrap();
    books.counters.refused.add_many(Reason::Length, u64::MAX);
    books.counters.refused.add(Reason::Value);
    books.commit([0; CARRIED_WORDS]);
    assert_eq!(Snapshot::read(&path).unwrap().total("refused"), u64::MAX);
    let row = SourceRow { source: 1, content: 1, joined: 9, next: 3, missing: 5, repeated: 0 };
    assert_eq!(row.applied(), 0);
}

#[test]
fn a_successor_takes_up_what_was_committed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("udp");
    let mut books = Books::<First>::open(&path, "udp", 2).unwrap();
    assert!(!books.crashed());
    let source = books.source();
    books.counters.received = 10;
    books.counters.refused.add(Reason::Value);
    books.counters.refused.add(Reason::Length);
    books.counters.refused.add(Reason::Value);
    let header = Header { content: Content::Metrics, count: 5, source: 77, first: 3 };
    assert_eq!(books.admit(&header), Admission::Take { missing: 0 });
    books.commit([3; CARRIED_WORDS]);
    books.counters.received = 11; // never committed: in hand
    let at = Time::from_secs(9);
    books.refuse(&Refusal { time: at, peer: "127.0.0.1:5", reason: "value", text: b"gauge x", offset: 6 });

    let seen = Snapshot::read(&path).unwrap();
    assert_eq!(seen.process, "udp");
    assert_eq!(seen.state, State::Running);
    let counter = |name: &str| (name.to_owned(), if name == "received" { 10 } else { 0 });
    assert_eq!(seen.counters[0], counter("received"));
    assert_eq!(seen.counters[1..], [("refused.length".to_owned(), 1), ("refused.value".to_owned(), 2)]);

    drop(books); // as after kill -9
    let mut books = Books::<Second>::open(&path, "udp", 4).unwrap();
    assert!(books.crashed());
    assert_eq!(books.source(), source);
    assert_eq!((books.counters.received, books.counters.accepted), (10, 0));
    assert_eq!(books.counters.refused.get(Reason::Value), 2);
    assert_eq!(books.carried(), [3; CARRIED_WORDS]);
    assert_eq!(books.admit(&header), Admission::Repeated);
    let next = Header { first: 10, ..header };
    assert_eq!(books.admit(&next), Admission::Take { missing: 2 });
    let refusals = Snapshot::read(&path).unwrap().refusals();
    assert_eq!(refusals.len(), 1);
    assert_eq!((refusals[0].text.as_slice(), refusals[0].offset), (b"gauge x".as_slice(), 6));
    books.close([0; CARRIED_WORDS]);
    assert_eq!(Snapshot::read(&path).unwrap().state, State::Ended);
    assert!(!Books::<Second>::open(&path, "udp", 4).unwrap().crashed());
}

#[test]
fn a_second_instance_is_told_the_first_ones_pid() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("udp");
    let _first = Books::<First>::open(&path, "udp", 0).unwrap();
    let error = Books::<First>::open(&path, "udp", 0).unwrap_err();
    assert!(matches!(error, BooksError::Busy { pid, .. } if pid == u64::from(std::process::id())), "{error}");
}

#[test]
fn of_many_instances_that_start_at_once_one_keeps_the_books() {
    for round in 0..50 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("udp");
        let start = std::sync::Barrier::new(4);
        let opened: Vec<_> = std::thread::scope(|scope| {
            let instance = || {
                start.wait();
                Books::<First>::open(&path, "udp", 0)
            };
            let instances = [(); 4].map(|()| scope.spawn(instance));
            instances.into_iter().map(|instance| instance.join().unwrap()).collect()
        });
        let (kept, refused): (Vec<_>, Vec<_>) = opened.into_iter().partition(Result::is_ok);
        let busy = |error: &BooksError| matches!(error, BooksError::Busy { .. });
        assert!(refused.iter().all(|error| error.as_ref().is_err_and(busy)), "{round}: {refused:?}");
        assert_eq!(kept.len(), 1, "{round}");
        let source = kept[0].as_ref().unwrap().source();
        assert_eq!(Snapshot::read(&path).unwrap().source, source, "{round}");
    }
}

#[test]
fn numbers_that_a_power_cut_took_back_are_not_given_out_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("udp");
    for (label, ends, other_boot, is_kept) in [
        ("killed", false, false, true),
        ("ended, then booted", true, true, true),
        ("a power cut", false, true, false),
    ] {
        let books = Books::<First>::open(&path, "udp", 0).unwrap();
        let source = books.source();
        match ends {
            true => books.close([0; CARRIED_WORDS]),
            false => drop(books),
        }
        if other_boot {
            let mut file = fs::read(&path).unwrap();
            file[at::BOOT * 8..][..16].fill(7);
            fs::write(&path, &file).unwrap();
        }
        let books = Books::<First>::open(&path, "udp", 0).unwrap();
        assert_eq!(books.source() == source, is_kept, "{label}");
    }
}

#[test]
fn damaged_books_are_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("udp");
    for bytes in [&b""[..], b"short", &[7; 4096]] {
        fs::write(&path, bytes).unwrap();
        assert!(Snapshot::read(&path).is_err());
        assert_eq!(Books::<First>::open(&path, "udp", 0).unwrap().counters.received, 0);
    }
}

#[test]
fn books_of_a_later_release_stay_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("udp");
    Books::<First>::open(&path, "udp", 0).unwrap().close([0; CARRIED_WORDS]);
    let mut bytes = fs::read(&path).unwrap();
    bytes[at::VERSION * 8] = 9;
    fs::write(&path, &bytes).unwrap();
    let Err(BooksError::Io { source, .. }) = Books::<First>::open(&path, "udp", 0) else { panic!() };
    assert!(mapped::Ahead::is_why(&source), "{source}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn only_the_last_refusals_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("udp");
    let mut books = Books::<First>::open(&path, "udp", 0).unwrap();
    for offset in 0..REFUSALS_KEPT + 3 {
        let text = vec![b'x'; offset * 10];
        books.refuse(&Refusal { time: Time::from_ns(1), peer: "p", reason: "value", text: &text, offset });
    }
    let kept = Snapshot::read(&path).unwrap().refusals();
    assert_eq!(kept.len(), REFUSALS_KEPT);
    assert_eq!((kept[0].offset, kept[REFUSALS_KEPT - 1].offset), (3, REFUSALS_KEPT + 2));
    assert_eq!(kept[3].text.len(), 60);
    assert!(kept[200].text.len() < 500);
}
