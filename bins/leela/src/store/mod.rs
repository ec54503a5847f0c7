//! `leela store`: what leela-storage has, and what an operator does with it; one module a verb.

pub(crate) mod client;
mod delete;
mod export;
mod import;
pub(crate) mod line;
mod progress;
mod snapshot;
mod stats;
mod verify;
pub(crate) mod when;

use clap::{Args, Subcommand};

use crate::instance::Instance;

/// See, check, copy and clear what leela-storage keeps.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, disable_help_subcommand = true)]
pub struct Store {
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  leela store stats
  leela store verify && echo 'all checksums are right'
  leela store snapshot /var/lib/leela/storage/monday
  leela store export '^web' --from 1d > web.txt
  leela store import web.txt
  leela store delete '^old\\.' --dry-run

Exit status: 0, 1 damaged, or nothing found, 65 a pattern or an input is wrong,
69 leela-storage is not running, 75 not now";

/// What to do.
#[derive(Subcommand, Debug)]
enum Verb {
    /// Say how much there is, and for how long the disk will do
    Stats(stats::Stats),
    /// Compare every checksum, and say what is damaged
    Verify(verify::Verify),
    /// Make a copy in a directory, while it runs
    Snapshot(snapshot::Snapshot),
    /// Print records, as Leela's text or as JSON lines
    Export(export::Export),
    /// Put records in, as export prints them
    Import(import::Import),
    /// Take series away
    Delete(delete::Delete),
}

/// Does what the verb says.
pub fn run(store: &Store, instance: &Instance) -> anyhow::Result<()> {
    match &store.verb {
        Verb::Stats(stats) => stats::run(stats, instance),
        Verb::Verify(verify) => verify::run(verify, instance),
        Verb::Snapshot(snapshot) => snapshot::run(snapshot, instance),
        Verb::Export(export) => export::run(export, instance),
        Verb::Import(import) => import::run(import, instance),
        Verb::Delete(delete) => delete::run(delete, instance),
    }
}
