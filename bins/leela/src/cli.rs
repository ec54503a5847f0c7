//! The command line, as leela(1) has it.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::up::Up;

/// Feed, watch and ask an instance of Leela.
#[derive(Parser, Debug)]
#[command(name = "leela", version, about)]
pub struct Cli {
    /// The instance's directory [default: $LEELA_RUNTIME_DIR, ./.leela/run if there, /run/leela]
    #[arg(long, value_name = "DIR", global = true)]
    pub runtime_dir: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run all processes here, in the foreground
    Up(Up),
}
