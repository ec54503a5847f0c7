//! `leela status`: what came in, where it went, and whether the books balance.

mod show;

use std::io;
use std::time::{Duration, Instant};

use clap::Args;
use common::exit::Exit;
use hop::account::{Reading, ReadingError, Report};

use crate::instance::{Instance, forbidden};
use crate::output::Output;
use crate::wait::{Wait, Woke};

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

/// Reads until nothing is in flight or a second has passed, and prints what it saw last.
pub fn run(status: &Status, instance: &Instance) -> anyhow::Result<()> {
    let mut wait = Wait::new(None)?;
    let end = Instant::now() + PATIENCE;
    let report = loop {
        let reading = Reading::of(&instance.runtime_dir).map_err(|error| unread(error, instance))?;
        let report = Report::of(&instance.runtime_dir, &reading);
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

/// What it means to its user that an instance cannot be read. Exits 69 where there is none.
pub(crate) fn unread(error: ReadingError, instance: &Instance) -> anyhow::Error {
    match error {
        ReadingError::Io { path, source } if source.kind() == io::ErrorKind::PermissionDenied => {
            forbidden(format_args!("reading {}: {source}", path.display()))
        }
        ReadingError::Nobody => instance.absent("there are no books: no process ever ran here"),
        error => error.into(),
    }
}
