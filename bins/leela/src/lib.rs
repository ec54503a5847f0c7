//! leela(1): the operator's command.

pub mod cli;
pub mod instance;
pub mod up;

use clap::Parser as _;

use cli::{Cli, Command};
use instance::Instance;

/// Parses the command line and does what it says.
pub fn run() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let instance = Instance::choose(cli.runtime_dir.as_deref())?;
    match &cli.command {
        Command::Up(up) => up::run(up, &instance),
    }
}
