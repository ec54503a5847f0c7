//! Inputs, the timeline, its peers and the store in one thread each seed: the real code, with a clock, a network and a
//! disk that the seed decides. Processes are killed at any of their calls, told to stop, and started again; the clock
//! is set; the disk fills and fails; the power is cut; sockets are bound anew. In the end all comes to rest, and what
//! went in has come out, or has a name, by the simulation's own counts.
//!
//! A failure prints its seed: `make simulate SEED=17` runs that one, and tells what happens.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod disk;
mod hop;
mod input;
mod ledger;
mod network;
mod operations;
mod peer;
mod process;
mod random;
mod rest;
mod store;
mod world;

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::Builder;
use std::time::{Duration, Instant};

use leela_storage::store::fault::Fault as StoreFault;
use sockets::planted::{self, Fault};

use operations::OPERATIONS;
use world::World;

/// Seeds are run for so long where `SIMULATE_SECONDS` does not say.
const SECONDS: u64 = 10;
/// A planted bug is found within so many seeds, or it is not found.
const PLANTED_SEEDS: u64 = 60;

/// What may be planted.
#[derive(Clone, Copy, Debug)]
enum Bug {
    None,
    /// In the sender, the timeline, the intake of the store.
    Own(Fault),
    /// In the store.
    Store(StoreFault),
}

/// Runs a seed; what is wrong, if anything is.
fn run_seed(seed: u64, bug: Bug, is_told: bool) -> Result<(), String> {
    planted::plant(if let Bug::Own(fault) = bug { Some(fault) } else { None });
    let run = AssertUnwindSafe(|| {
        let mut world = World::new(seed, is_told)?;
        if let Bug::Store(fault) = bug {
            world.storage.options.fault = Some(fault);
        }
        let operations = OPERATIONS + world.random.below(500);
        for operation in 0..operations {
            let done = match operation == operations / 2 && world.faults == 0 {
                true => world.fault(),
                false => world.operate(),
            };
            done.map_err(|what| format!("operation {operation}: {what}"))?;
        }
        world.rest().map_err(|what| format!("at rest: {what}"))
    });
    catch_unwind(run).unwrap_or_else(|_| Err(process::said()))
}

/// Runs seeds on two threads, from the first on, until `stop` says so; the first that fails, with what is wrong, and how
/// many were run.
fn run(first: u64, bug: Bug, stop: impl Fn(u64) -> bool + Sync) -> (Option<(u64, String)>, u64) {
    process::listen();
    let next = AtomicU64::new(first);
    let found: Mutex<Option<(u64, String)>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let work = || {
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if stop(seed) || found.lock().unwrap().is_some() {
                        break;
                    }
                    if let Err(what) = run_seed(seed, bug, false) {
                        let mut found = found.lock().unwrap();
                        if found.as_ref().is_none_or(|(other, _)| seed < *other) {
                            *found = Some((seed, what));
                        }
                    }
                }
            };
            Builder::new().name("seeds".to_owned()).spawn_scoped(scope, work).unwrap();
        }
    });
    (found.into_inner().unwrap(), next.into_inner() - first)
}

#[test]
fn what_went_in_came_out_or_has_a_name() {
    if let Ok(seed) = env::var("SEED") {
        let seed = seed.parse().expect("SEED is a number");
        process::listen();
        let told = move || run_seed(seed, Bug::None, true);
        let done = Builder::new().name("seeds".to_owned()).spawn(told).unwrap().join().unwrap();
        done.unwrap_or_else(|what| panic!("SEED={seed}: {what}"));
        return;
    }
    let seconds = env::var("SIMULATE_SECONDS").map_or(SECONDS, |text| text.parse().expect("it is a number"));
    let first = env::var("SIMULATE_FROM").map_or(1, |text| text.parse().expect("it is a number"));
    let (begun, time) = (Instant::now(), Duration::from_secs(seconds));
    let (found, seeds) = run(first, Bug::None, |_| begun.elapsed() >= time);
    if let Some((seed, what)) = found {
        panic!("after {seeds} seeds: {what}\nmake simulate SEED={seed}");
    }
    println!("{seeds} seeds of at least {OPERATIONS} operations in {seconds} s");
}

#[test]
fn every_planted_bug_is_found() {
    let own = Fault::ALL.into_iter().map(Bug::Own);
    let mut missed = Vec::new();
    for bug in own.chain([Bug::Store(StoreFault::AcknowledgedEarly)]) {
        match run(1, bug, |seed| seed > PLANTED_SEEDS) {
            (Some((seed, what)), _) => {
                println!("{bug:?}: seed {seed}: {}", what.lines().next().unwrap_or(""));
            }
            (None, _) => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
