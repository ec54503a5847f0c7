//! `leela up`: all processes of one instance, as an ordinary user, in the foreground.

use clap::Args;

use crate::instance::Instance;

/// Run all processes here, in the foreground.
#[derive(Args, Debug)]
pub struct Up {}

/// Runs the instance until it is told to stop.
pub fn run(_up: &Up, _instance: &Instance) -> anyhow::Result<()> {
    anyhow::bail!("not there yet")
}
