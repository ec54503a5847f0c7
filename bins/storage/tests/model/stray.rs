//! A merge fails when its file has its name already: the file is not the store's, and must not come back.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use common::metric::Event;
use common::query::selector::Selector;
use common::time::Time;
use common::wire::{Batch, Content, Header};
use leela_storage::log::Position;
use leela_storage::store::embedded::Embedded;
use leela_storage::store::options::Options;
use leela_storage::store::{Kind, Maintained, Range, Store, Which};
use leela_storage::testing::{Fault, Op, TestFiles};
use nix::errno::Errno;

fn open(files: &TestFiles, directory: &Path) -> Embedded {
    let settle = Duration::from_secs(86_400);
    let options = Options { min_free: 0, settle, ..Options::at(directory) };
    Embedded::open(files.shared(), options).unwrap()
}

fn write(store: &Embedded, position: u64, time: Time) {
    let mut events = Batch::new(Content::Events);
    events.event(&Event { key: b"web01.cpu", time, value: 1.5 }).unwrap();
    let datagram = events.seal(1, 1);
    let (header, records) = Header::read(datagram).unwrap();
    assert_eq!(store.write(&header, records, Position(position)).stored, 1);
}

fn sealed(directory: &Path) -> usize {
    let names = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().ends_with(".sealed")).count()
}

fn records(store: &Embedded, now: Time) -> u64 {
    let all = Selector::parse("").unwrap();
    let (from, to) = (Time::from_ns(i64::MIN), Time::from_ns(i64::MAX));
    let range = Range { which: Which::Match(&all, &[]), kind: Kind::Events, from, to, limit: None };
    store.range(&range, now, &mut |_| ControlFlow::Continue(())).unwrap().records
}

#[test]
fn what_a_failed_merge_left_does_not_bring_back_what_was_deleted() {
    let room = tempfile::tempdir().unwrap();
    let directory = room.path().join("store");
    let files = TestFiles::default();
    let store = open(&files, &directory);
    let mut now = Time::from_secs(1_800_000_000);
    let later = |now: &mut Time| *now = now.plus_ns(700_000_000_000);
    for position in 1..5 {
        write(&store, position, now);
        while store.maintain(now) == Maintained::Busy {}
        later(&mut now);
        // The fourth file is the one with which they are merged: up to there, one slice after the other.
        while store.stats(now).points_in_memory > 0 {
            assert_eq!(store.maintain(now), Maintained::Busy, "it is old enough to be sealed");
        }
    }
    assert_eq!(sealed(&directory), 4);
    // The merge fails, and then the removal of its file.
    files.fail(Fault { ops: &[Op::SyncDir, Op::Remove], skip: 0, times: 2, errno: Errno::EIO });
    while store.maintain(now) == Maintained::Busy {}
    let failing = store.stats(now).failing.map(|(what, _)| what).unwrap_or_default();
    assert!(failing.starts_with("cleaning"), "{failing}");
    assert_eq!(sealed(&directory), 5, "what was merged, beside what it was merged from");

    // What is merged now begins where that began, and ends elsewhere.
    write(&store, 5, now);
    for _ in 0..2 {
        while store.maintain(now) == Maintained::Busy {}
        later(&mut now);
    }
    assert_eq!((sealed(&directory), records(&store, now)), (1, 5));

    let all = Selector::parse("").unwrap();
    store.delete(Which::Match(&all, &[]), false, now).unwrap();
    while store.maintain(now) == Maintained::Busy {}
    assert_eq!(sealed(&directory), 0, "the space is given back");
    drop(store);
    assert_eq!(records(&open(&files, &directory), now), 0);
}
