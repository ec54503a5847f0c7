//! `leela status`: what came in, where it went, and whether the books balance.
//!
//! **Invariant:** it asks nobody. What it says comes from `books/` and `rings/`, so it is true of processes that are
//! stopped or dead as well.

mod finding;
mod hop;
mod process;
pub(crate) mod reading;
mod show;

use std::time::{Duration, Instant};

use clap::Args;
use common::exit::Exit;
use serde::Serialize;

use crate::instance::Instance;
use crate::output::Output;
use crate::wait::{Wait, Woke};
use hop::Hop;
use process::Process;
use reading::Reading;

/// Say what came in, where it went, and whether the books balance.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Status {
    #[command(flatten)]
    output: Output,
}

const EXAMPLES: &str = "\
Examples:
  leela status
  leela status -o json | jq '.hops[] | select(.dropped > 0)'
  watch leela status -o table

Exit status: 0, 1 a difference stays, 69 nobody ever ran here";

/// How long records may be under way before it is told that they are.
const PATIENCE: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_millis(20);

/// The state of an instance, as `-o json` prints it. Fields are only ever added.
#[derive(Serialize, Clone, PartialEq, Debug)]
struct Report {
    instance: String,
    /// False when a difference stays.
    balanced: bool,
    processes: Vec<Process>,
    hops: Vec<Hop>,
    findings: Vec<String>,
}

impl Report {
    fn of(instance: &Instance, reading: &Reading) -> Report {
        let processes: Vec<Process> = reading.books.iter().map(Process::of).collect();
        let hops = hop::hops(reading);
        let balanced = processes.iter().all(|process| process.differences().is_empty())
            && hops.iter().all(|hop| hop.difference(reading.datagrams_max) == 0);
        let findings = finding::findings(reading, &processes, &hops);
        Report { instance: instance.runtime_dir.to_string(), balanced, processes, hops, findings }
    }

    /// True when reading again would show nothing else.
    fn at_rest(&self) -> bool {
        self.balanced && self.hops.iter().all(|hop| hop.in_flight.unwrap_or(0) == 0)
    }
}

/// Reads until nothing is in flight or a second has passed, and prints what it saw last.
pub fn run(status: &Status, instance: &Instance) -> anyhow::Result<()> {
    let mut wait = Wait::new(None)?;
    let end = Instant::now() + PATIENCE;
    let report = loop {
        let report = Report::of(instance, &reading::read(instance)?);
        let now = Instant::now();
        if report.at_rest() || now >= end {
            break report;
        }
        if wait.wait(Some(now + AGAIN), "records under way")? == Woke::Stop {
            break report;
        }
    };
    show::print(&report, status.output.form())?;
    match report.balanced {
        true => Ok(()),
        false => Err(Exit::No.error("the books do not balance, and it is not what is under way")),
    }
}
