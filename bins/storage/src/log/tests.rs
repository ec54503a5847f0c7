use std::fs;
use std::path::Path;

use nix::errno::Errno;

use super::*;
use crate::files::{Disk, Files};
use crate::testing::{Fault, Loss, Op, TestFiles};

fn open(directory: &Path, acknowledged: Position) -> (Log, Replay) {
    Log::open(Disk::shared(), directory, acknowledged).unwrap()
}

/// All that a log holds, and what is said of it.
fn held(directory: &Path) -> (Vec<Vec<u8>>, Report) {
    held_after(directory, Position(0))
}

fn held_after(directory: &Path, acknowledged: Position) -> (Vec<Vec<u8>>, Report) {
    let (_, mut replay) = open(directory, acknowledged);
    let mut all = Vec::new();
    let mut last = acknowledged;
    while let Some(entry) = replay.next_entry() {
        assert!(entry.position > last, "positions only grow");
        last = entry.position;
        all.push(entry.datagram.to_vec());
    }
    (all, replay.report().clone())
}

fn mark(number: u64) -> Mark {
    Mark { number, time: Time::from_secs(number as i64) }
}

/// The only segment of a log.
fn segment_of(directory: &Path) -> PathBuf {
    let names = Disk.list(directory).unwrap();
    assert_eq!(names.len(), 1, "{names:?}");
    directory.join(&names[0])
}

#[test]
fn what_is_committed_comes_back_in_order_and_staged_is_not_committed() {
    let directory = tempfile::tempdir().unwrap();
    let (mut log, mut replay) = open(directory.path(), Position(0));
    assert_eq!(replay.next_entry(), None);
    assert_eq!(replay.report(), &Report::default());
    assert!(Disk.list(directory.path()).unwrap().is_empty(), "nothing is written before the first commit");
    let one = log.append(b"one").unwrap();
    let two = log.stage(b"two");
    let three = log.stage(b"");
    assert!(one < two && two < three && log.end() == one);
    assert_eq!(log.commit().unwrap(), three);
    log.stage(b"never");
    drop(log);
    let (all, report) = held(directory.path());
    assert_eq!(all, [&b"one"[..], b"two", b""]);
    assert_eq!(report, Report { entries: 3, ..Report::default() });
    assert_eq!(held_after(directory.path(), two).0, [b""]);
    assert!(held_after(directory.path(), three).0.is_empty());
}

#[test]
fn the_log_of_a_later_release_is_not_opened() {
    let directory = tempfile::tempdir().unwrap();
    let (mut log, _) = open(directory.path(), Position(0));
    log.append(b"kept").unwrap();
    drop(log);
    let path = directory.path().join(&Disk.list(directory.path()).unwrap()[0]);
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 9;
    let sum = crc32fast::hash(&[&bytes[..12], &bytes[16..HEAD_BYTES]].concat());
    bytes[12..16].copy_from_slice(&sum.to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    let error = Log::open(Disk::shared(), directory.path(), Position(0)).unwrap_err();
    assert!(common::Ahead::is_why(&error.source), "{error}");
}

#[test]
fn each_opening_goes_on_behind_all_positions_and_the_replay_goes_over_all_segments() {
    let directory = tempfile::tempdir().unwrap();
    let mut last = Position(5 << 36);
    for number in 0..5_u64 {
        let (mut log, _) = open(directory.path(), if number == 0 { last } else { Position(0) });
        let first = log.append(&number.to_le_bytes()).unwrap();
        assert!(first > last);
        last = log.append(b"and").unwrap();
        assert_eq!(log.sync(mark(number)).unwrap(), log.end());
    }
    let (all, report) = held(directory.path());
    assert_eq!(all.len(), 10);
    assert_eq!(all[8], 4_u64.to_le_bytes());
    let (position, synced) = report.last_sync.unwrap();
    assert!(position > last);
    assert_eq!(synced, mark(4));
    assert!(!report.boot_changed && report.damages.is_empty() && report.missing_segments == 0);
    let names = Disk.list(directory.path()).unwrap();
    fs::remove_file(directory.path().join(&names[2])).unwrap();
    let (all, report) = held(directory.path());
    assert_eq!((all.len(), report.missing_segments), (8, 1));
}

#[test]
fn full_segments_are_followed_by_others_and_cut_when_all_in_them_is_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let (mut log, _) = open(directory.path(), Position(0));
    let datagram = vec![7; 32 << 10];
    let positions: Vec<Position> = (0..1100).map(|_| log.append(&datagram).unwrap()).collect();
    assert_eq!(Disk.list(directory.path()).unwrap().len(), 3);
    assert_eq!(log.bytes(), 1100 * ((32 << 10) + 12) + 3 * 48);
    let all = held(directory.path()).0;
    assert_eq!((all.len(), &all[1099]), (1100, &datagram));
    log.cut(positions[600]).unwrap();
    assert_eq!(Disk.list(directory.path()).unwrap().len(), 3, "nothing is durable");
    let _ = log.sync(mark(0)).unwrap();
    log.cut(positions[100]).unwrap();
    assert_eq!(Disk.list(directory.path()).unwrap().len(), 3);
    log.cut(positions[600]).unwrap();
    assert_eq!(Disk.list(directory.path()).unwrap().len(), 2);
    let syncing = log.begin_sync(mark(1)).unwrap();
    log.append(b"after").unwrap();
    assert!(syncing.finish().unwrap() < log.end());
    let end = log.end();
    log.cut(end).unwrap();
    assert_eq!(Disk.list(directory.path()).unwrap().len(), 1, "the current one stays");
    assert_eq!(held_after(directory.path(), positions[1098]).0, [&datagram[..], b"after"]);
    // All was acknowledged: the next process begins behind it, and still knows what was durable.
    drop(log);
    let (mut log, mut replay) = open(directory.path(), end);
    assert_eq!(replay.next_entry(), None);
    assert_eq!(replay.report().last_sync.map(|(_, mark)| mark), Some(mark(0)));
    log.sync_old().unwrap();
    log.cut(end).unwrap();
    assert_eq!(Disk.list(directory.path()).unwrap().len(), 1);
    assert!(log.append(b"next").unwrap() > end);
    let end = log.end();
    log.cut(end).unwrap();
    assert_eq!(Disk.list(directory.path()).unwrap().len(), 2, "the new one may be gone after a power cut");
    let _ = log.sync(mark(2)).unwrap();
    log.cut(end).unwrap();
    assert_eq!(Disk.list(directory.path()).unwrap().len(), 1);
    log.clear().unwrap();
    assert_eq!(Disk.list(directory.path()).unwrap(), [""; 0]);
}

#[test]
fn what_is_acknowledged_leaves_a_mark_alone_while_nothing_comes() {
    let directory = tempfile::tempdir().unwrap();
    let (live, copy) = (directory.path().join("live"), directory.path().join("copy"));
    let files = TestFiles::default();
    let (mut log, _) = Log::open(files.shared(), &live, Position(0)).unwrap();
    let mut last = Position(0);
    for _ in 0..10 {
        last = log.append(&[7; 32 << 10]).unwrap();
    }
    log.cut(last).unwrap();
    assert_eq!(log.segments().len(), 1, "nothing is durable");
    log.sync(mark(9)).unwrap();
    log.cut(Position(last.0 - 1)).unwrap();
    assert_eq!(log.segments().len(), 1, "there is one that is not acknowledged");
    log.cut(last).unwrap();
    assert_eq!(log.segments().len(), 2);
    for number in 0..2 {
        files.power_cut(&live, &copy, Loss::All).unwrap();
        let (all, report) = held_after(&copy, last);
        assert_eq!((all.len(), report.last_sync.map(|(_, mark)| mark)), (0, Some(mark(9))), "{number}");
        fs::remove_dir_all(&copy).unwrap();
        log.sync(mark(9)).unwrap();
        log.cut(last).unwrap();
        assert_eq!((log.segments().len(), log.bytes()), (1, 48 + 28), "{number}");
    }
    log.append(b"next").unwrap();
    log.sync(mark(10)).unwrap();
    let (all, report) = held_after(&live, last);
    assert_eq!((all, report.last_sync.map(|(_, mark)| mark)), (vec![b"next".to_vec()], Some(mark(10))));
}

#[test]
fn a_tail_cut_anywhere_costs_only_the_entry_that_was_cut() {
    let directory = tempfile::tempdir().unwrap();
    let (mut log, _) = open(directory.path(), Position(0));
    let mut ends = vec![segment::HEAD_BYTES as u64];
    for datagram in [&b"first"[..], b"second, a little longer", b"", b"\xa7Lg\x01\x02\0\0\0"] {
        log.append(datagram).unwrap();
        ends.push(log.bytes());
    }
    let path = segment_of(directory.path());
    let whole = fs::read(&path).unwrap();
    for cut in 0..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let (all, report) = held(directory.path());
        let want = ends.iter().filter(|end| **end <= cut as u64).count().saturating_sub(1);
        assert_eq!(all.len(), want, "{cut}");
        let is_clean = ends.contains(&(cut as u64)) || cut < segment::HEAD_BYTES;
        assert_eq!(report.damages.is_empty(), is_clean, "{cut}");
        assert!(report.damages.iter().all(|damage| damage.is_torn_end), "{cut}");
    }
}

#[test]
fn any_flipped_byte_is_found_and_costs_only_its_entry() {
    let directory = tempfile::tempdir().unwrap();
    let (mut log, _) = open(directory.path(), Position(0));
    let datagrams = [&b"first"[..], b"second \xa7Lg\x01\x02\0\0\0", b"", b"the last one"];
    let mut ends = vec![segment::HEAD_BYTES as u64];
    for datagram in datagrams {
        log.append(datagram).unwrap();
        ends.push(log.bytes());
    }
    log.sync(mark(9)).unwrap();
    let path = segment_of(directory.path());
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        for flip in [1, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            fs::write(&path, &bytes).unwrap();
            let (all, report) = held(directory.path());
            let hit = ends.iter().filter(|end| **end <= at as u64).count();
            let want = datagrams.iter().enumerate().filter(|(number, _)| number + 1 != hit);
            assert_eq!(all, want.map(|(_, datagram)| datagram.to_vec()).collect::<Vec<_>>(), "{at} {flip}");
            assert_eq!(report.damages.len(), 1, "{at} {flip}");
            assert_eq!(report.last_sync, None, "{at} {flip}: a mark says that all before it was found");
            let damage = &report.damages[0];
            assert!((damage.offset..damage.offset + damage.bytes).contains(&(at as u64)), "{at} {flip}");
        }
    }
}

#[test]
fn a_segment_of_another_version_or_place_is_not_taken() {
    let directory = tempfile::tempdir().unwrap();
    let (mut log, _) = open(directory.path(), Position(0));
    log.append(b"one").unwrap();
    log.append(b"two").unwrap();
    let path = segment_of(directory.path());
    fs::copy(&path, directory.path().join(segment::name(77 << 36))).unwrap();
    for name in ["77.log", "foo", "0000000000000001.log.new", "000000000000000A.log"] {
        fs::write(directory.path().join(name), b"another's").unwrap();
    }
    let (all, report) = held(directory.path());
    assert_eq!(all, [b"one", b"two"]);
    assert_eq!(report.damages.len(), 2, "its head, and all behind it: {report:?}");
}

#[test]
fn after_a_power_cut_all_that_was_synced_is_there_and_what_follows_is_a_beginning_of_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    for seed in 0..300_u64 {
        let live = directory.path().join(format!("live{seed}"));
        let copy = directory.path().join(format!("copy{seed}"));
        let files = TestFiles::default();
        let (mut log, _) = Log::open(files.shared(), &live, Position(0)).unwrap();
        let datagram = |number: u64| number.to_le_bytes().repeat(1 + number as usize % 40);
        let synced = seed % 7 * 5;
        for number in 0..synced {
            log.append(&datagram(number)).unwrap();
            if number % 5 == 4 {
                log.sync(mark(number)).unwrap();
            }
        }
        for number in synced..synced + seed % 11 {
            log.append(&datagram(number)).unwrap();
        }
        // Half of the time a sync is on its way.
        let syncing = (seed % 2 == 0).then(|| log.begin_sync(mark(999)).unwrap());
        files.power_cut(&live, &copy, if seed % 3 == 0 { Loss::All } else { Loss::Some(seed) }).unwrap();
        drop((log, syncing));
        files.boot();
        let (mut log, mut replay) = Log::open(files.shared(), &copy, Position(0)).unwrap();
        let mut all = Vec::new();
        let mut last = Position(0);
        while let Some(entry) = replay.next_entry() {
            all.push(entry.datagram.to_vec());
            last = entry.position;
        }
        let report = replay.report();
        assert!(all.len() as u64 >= synced, "{seed}: {} of {synced}, {report:?}", all.len());
        // A disk may have written a later one and not an earlier one; what is there is whole and in order.
        let mut numbers = all.iter().map(|bytes| u64::from_le_bytes(*bytes.first_chunk().unwrap()));
        assert!(numbers.by_ref().take(synced as usize).eq(0..synced), "{seed}");
        let rest: Vec<u64> = numbers.collect();
        assert!(rest.is_sorted_by(|one, next| one < next), "{seed}: {rest:?}");
        for bytes in &all {
            assert_eq!(*bytes, datagram(u64::from_le_bytes(*bytes.first_chunk().unwrap())), "{seed}");
        }
        if synced > 0 {
            assert!(report.boot_changed, "{seed}");
            let (position, last_sync) = report.last_sync.unwrap();
            assert!(position <= last || last_sync.number + 1 == all.len() as u64 || last_sync.number == 999);
            assert!(last_sync.number + 1 == synced || last_sync.number == 999, "{seed}: {report:?}");
        }
        assert!(log.append(b"next").unwrap() > last);
    }
}

#[test]
fn what_could_not_be_written_is_not_there_and_the_log_goes_on_when_it_can() {
    for errno in [Errno::ENOSPC, Errno::EIO, Errno::EROFS] {
        for skip in 0..12 {
            let directory = tempfile::tempdir().unwrap();
            let files = TestFiles::default();
            let (mut log, _) = Log::open(files.shared(), directory.path(), Position(0)).unwrap();
            // One that hits writes, one that hits whatever is done about them.
            let ops = if skip % 2 == 0 { Op::OF_READ_ONLY } else { Op::OF_FULL_DISK };
            files.fail(Fault { ops, skip: skip / 2, times: 1 + skip % 3, errno });
            let mut written = Vec::new();
            let mut refused = 0;
            for number in 0..12_u64 {
                match log.append(&number.to_le_bytes()) {
                    Ok(_) => written.push(number.to_le_bytes().to_vec()),
                    Err(_) => refused += 1,
                }
                if number % 3 == 2 && log.sync(mark(number)).is_err() {
                    refused += 1;
                }
            }
            assert!(refused > 0, "{errno} {skip}");
            assert!(written.len() >= 9, "{errno} {skip}");
            let end = log.end();
            files.heal();
            log.sync(mark(12)).unwrap();
            drop(log);
            let (all, report) = held(directory.path());
            assert_eq!(all, written, "{errno} {skip} {end:?}");
            assert_eq!(report.damages, [], "{errno} {skip}");
        }
    }
}

#[test]
fn after_a_failed_sync_the_log_goes_on_in_another_segment() {
    let directory = tempfile::tempdir().unwrap();
    let (live, copy) = (directory.path().join("live"), directory.path().join("copy"));
    let files = TestFiles::default();
    let (mut log, _) = Log::open(files.shared(), &live, Position(0)).unwrap();
    log.append(b"one").unwrap();
    files.fail(Fault { ops: &[Op::Sync], skip: 0, times: 1, errno: Errno::EIO });
    assert!(log.sync(mark(1)).is_err());
    log.append(b"two").unwrap();
    log.sync(mark(2)).unwrap();
    assert_eq!(held(&live).0, [b"one", b"two"]);
    files.power_cut(&live, &copy, Loss::All).unwrap();
    assert_eq!(held(&copy).0, [b"two"], "the disk lost what it could not write");
    // So nothing is said to be durable until what was lost is known to be elsewhere.
    let doubt = log.doubt().unwrap();
    let three = log.append(b"three").unwrap();
    assert!(log.sync(mark(3)).unwrap() < doubt);
    assert_eq!(held(&live).1.last_sync.map(|(_, mark)| mark), Some(mark(1)), "no mark since");
    log.is_elsewhere(doubt);
    assert_eq!(log.doubt(), None);
    assert!(log.sync(mark(3)).unwrap() >= three);
    assert_eq!(held(&live).1.last_sync.map(|(_, mark)| mark), Some(mark(3)));
}
