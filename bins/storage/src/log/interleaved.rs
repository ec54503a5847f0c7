//! The log is written, synced and cut by the loop while another thread waits for the disk: whatever the order, what a
//! sync said is durable is there after a power cut. (A disk that fails is in `tests.rs` beside.)

use std::sync::Arc;

use super::*;
use crate::sync::Mutex;
use crate::testing::{Loss, TestFiles};

/// Datagrams of a case.
const DATAGRAMS: u64 = 6;

fn replayed(files: &TestFiles, directory: &Path) -> Vec<u8> {
    let (_, mut replay) = Log::open(files.shared(), directory, Position(0)).expect("it opens");
    let mut found = Vec::new();
    while let Some(entry) = replay.next_entry() {
        found.push(entry.datagram[0]);
    }
    found
}

#[test]
fn what_a_sync_said_is_durable_outlives_the_power() {
    let run = || {
        let room = tempfile::tempdir_in("/dev/shm").expect("there is memory");
        let (from, to) = (room.path().join("log"), room.path().join("after"));
        let files = TestFiles::default();
        let (mut log, _) = Log::open(files.shared(), &from, Position(0)).expect("it opens");
        let begun = Arc::new(Mutex::new(std::collections::VecDeque::<Option<Syncing>>::new()));
        let durable = Arc::new(Mutex::new(Position(0)));
        let syncer = {
            let (begun, durable) = (Arc::clone(&begun), Arc::clone(&durable));
            shuttle::thread::spawn(move || {
                loop {
                    let next = begun.lock().expect("nobody panics").pop_front();
                    match next {
                        Some(Some(syncing)) => {
                            let end = syncing.finish().expect("the disk is well");
                            *durable.lock().expect("nobody panics") = end;
                        }
                        Some(None) => return,
                        None => shuttle::thread::yield_now(),
                    }
                }
            })
        };
        let mut ends = Vec::new();
        for number in 0..DATAGRAMS {
            let mut datagram = vec![0; 300_000 / DATAGRAMS as usize];
            datagram[0] = number as u8;
            ends.push(log.append(&datagram).expect("it is written"));
            let syncing = log.begin_sync(Mark { number, time: Time::from_secs(1) }).expect("it is written");
            begun.lock().expect("nobody panics").push_back(Some(syncing));
            // The first two are in files of the store's.
            log.cut(ends[(number as usize).min(1)]).expect("it is cut");
        }
        begun.lock().expect("nobody panics").push_back(None);
        // The power goes at any moment of that.
        let said = *durable.lock().expect("nobody panics");
        files.power_cut(&from, &to, Loss::All).expect("it is copied");
        let found = replayed(&files, &to);
        for (number, end) in ends.iter().enumerate().skip(2).filter(|(_, end)| **end <= said) {
            assert!(found.contains(&(number as u8)), "{number}, up to {end:?} of {said:?}: {found:?}");
        }
        syncer.join().expect("it ends");
    };
    shuttle::check_random(run, 2_000);
}
