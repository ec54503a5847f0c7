//! The account of an instance: what came in, where it went, and whether the books balance.
//!
//! **Invariant:** it asks nobody. What it says comes from `books/` and `rings/`, so it is true of processes that are
//! stopped or dead as well.

mod counter;
mod finding;
mod hop;
mod process;
mod reading;

use common::runtime_dir::RuntimeDir;
use serde::Serialize;

pub use counter::Counter;
pub use hop::Hop;
pub use process::Process;
pub use reading::{Reading, ReadingError};

/// The state of an instance, as `leela status -o json` prints it. Fields are only ever added.
#[derive(Serialize, Clone, PartialEq, Debug)]
pub struct Report {
    /// The runtime directory.
    pub instance: String,
    /// False when a difference stays.
    pub balanced: bool,
    /// All that ever ran.
    pub processes: Vec<Process>,
    /// From every sender to each of its peers.
    pub hops: Vec<Hop>,
    /// What somebody should look at, in sentences with the way out.
    pub findings: Vec<String>,
}

impl Report {
    /// What was read of an instance, accounted for.
    pub fn of(instance: &RuntimeDir, reading: &Reading) -> Report {
        let processes: Vec<Process> = reading.books.iter().map(Process::of).collect();
        let hops = hop::hops(reading);
        let balanced = processes.iter().all(|process| process.differences().is_empty())
            && hops.iter().all(|hop| hop.difference(reading.datagrams_max) == 0);
        let findings = finding::findings(reading, &processes, &hops);
        Report { instance: instance.to_string(), balanced, processes, hops, findings }
    }

    /// True when reading again would show nothing else.
    pub fn at_rest(&self) -> bool {
        self.balanced && self.hops.iter().all(|hop| hop.in_flight.unwrap_or(0) == 0)
    }
}
