//! The embedded store against a simple map: random writes, restarts, power cuts, failures of the disk, deletes,
//! retention, merging and reads; and the same with a bug planted, which has to be found; and flipped bytes.
//!
//! A case is known by its number alone: `LEELA_CASE=17 cargo test -p leela-storage --test model random` runs that one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "model/case.rs"]
mod case;
#[path = "model/expected.rs"]
mod expected;
#[path = "model/flips.rs"]
mod flips;
#[path = "model/random.rs"]
mod random;
#[path = "model/stray.rs"]
mod stray;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use leela_storage::store::fault::Fault;

/// Cases of [`random_operations_leave_what_a_map_holds`], of at least [`case::OPERATIONS`] operations each.
const CASES: u64 = 2000;
/// A planted bug is found in so many cases, or it is not found.
const PLANTED_CASES: u64 = 400;

/// Runs cases on two threads; the first that fails, with what is wrong.
fn run(cases: std::ops::Range<u64>, fault: Option<Fault>) -> Option<(u64, String)> {
    let next = AtomicU64::new(cases.start);
    let is_found = AtomicBool::new(false);
    let found: Mutex<Option<(u64, String)>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_found.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= cases.end {
                        break;
                    }
                    if let Err(what) = case::Case::new(number, fault).run() {
                        is_found.store(true, Ordering::Relaxed);
                        let mut found = found.lock().unwrap();
                        if found.as_ref().is_none_or(|(other, _)| number < *other) {
                            *found = Some((number, what));
                        }
                    }
                }
            });
        }
    });
    found.into_inner().unwrap()
}

#[test]
fn random_operations_leave_what_a_map_holds() {
    let cases = match std::env::var("LEELA_CASE") {
        Ok(number) => {
            let number = number.parse().expect("LEELA_CASE is a number");
            number..number + 1
        }
        Err(_) => 0..CASES,
    };
    if let Some((number, what)) = run(cases, None) {
        panic!("LEELA_CASE={number}: {what}");
    }
}

#[test]
fn every_planted_bug_is_found() {
    let mut missed = Vec::new();
    for fault in Fault::ALL {
        match run(0..PLANTED_CASES, Some(fault)) {
            Some((number, what)) => {
                println!("{fault:?}: in case {number}: {}", what.lines().next().unwrap_or(""));
            }
            None => missed.push(fault),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
