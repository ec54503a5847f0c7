//! The command line, as leela(1) has it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use common::span::Span;

use crate::check::Check;
use crate::completion::Completion;
use crate::doctor::Doctor;
use crate::query::Query;
use crate::refused::Refused;
use crate::send::Send;
use crate::series::Series;
use crate::status::Status;
use crate::store::Store;
use crate::tail::Tail;
use crate::top::Top;
use crate::up::Up;

/// Feed, watch and ask an instance of Leela
#[derive(Parser, Debug)]
#[command(name = "leela", version, about, max_term_width = 110, after_help = EXAMPLES, disable_help_subcommand = true)]
pub struct Cli {
    /// The instance's runtime directory [default: $LEELA_RUNTIME_DIR, ./.leela/run if there, /run/leela]
    #[arg(long, value_name = "DIR", global = true)]
    pub runtime_dir: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  leela up
      run all processes here, in the foreground
  leela send gauge room.temp 21.5
  leela tail '^room'
  leela query 'SELECT window 5 (mean) FROM ^room'
  leela status

Exit status: 0, 1 no or not in time, 64 usage, 65 input or query wrong,
69 not running, 70 fault, 74 input/output, 75 try again, 77 permission,
78 configuration
Manual: leela(1)";

const UP_EXAMPLES: &str = "\
Examples:
  leela up
  leela up --config-dir ./etc
  leela --runtime-dir /tmp/leela up

Exit status: 0, 75 another `leela up` runs this instance, 78 a configuration is wrong";

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run all processes here, in the foreground
    #[command(after_help = UP_EXAMPLES)]
    Up(Up),
    /// Send metrics
    Send(Send),
    /// Print events as they happen
    Tail(Tail),
    /// Run a query and print what it answers, as it happens
    Query(Query),
    /// List the series that are kept
    Series(Series),
    /// See, check, copy and clear what is kept
    Store(Store),
    /// Say what came in, where it went, and whether the books balance
    Status(Status),
    /// Show the last refused inputs, and what is wrong with them
    Refused(Refused),
    /// Watch processes, series, queries, and where new series come from
    Top(Top),
    /// Say what is wrong with this instance and its host, and the way out
    Doctor(Doctor),
    /// Check all configuration files
    Check(Check),
    /// Print the completion of commands and options for a shell
    Completion(Completion),
}

/// When a command that prints events ends.
#[derive(Args, Clone, Copy, Debug)]
pub struct Limits {
    /// End after N events
    #[arg(long, value_name = "N", value_parser = count)]
    pub count: Option<u64>,
    /// End after this long (500ms, 30s, 5m); with 1 when fewer than N events came, or none
    #[arg(long, value_name = "SPAN")]
    pub timeout: Option<Span>,
}

/// A whole number, 1 or more.
pub(crate) fn count(text: &str) -> Result<u64, &'static str> {
    text.parse().ok().filter(|count| *count > 0).ok_or("it is a whole number, 1 or more")
}
