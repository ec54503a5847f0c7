//! `leela up`: all processes of one instance, as an ordinary user, in the foreground.
//!
//! It binds all sockets and hands them over, so that their queues outlive each process; starts all at once; starts
//! again what dies; and drains in order: inputs, timeline, consumers. One thread, one loop.

mod backoff;
mod child;
mod doors;
mod drain;
mod handover;
mod holder;
mod leftovers;
mod place;
mod say;
mod services;
mod settings;
mod summary;
mod supervisor;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use crate::instance::Instance;

/// Run all processes here, in the foreground
///
/// Data is kept in ./.leela. A port that is taken is replaced by a free one; a process that dies is started
/// again. Ctrl-C ends it within 2 s, or later where a process has a longer drain_timeout; a second Ctrl-C ends it at
/// once.
#[derive(Args, Debug)]
pub struct Up {
    /// Read <process>.toml and <process>.d/*.toml of this directory [default: ./.leela/etc if there, else defaults]
    #[arg(long, value_name = "DIR")]
    config_dir: Option<PathBuf>,
    /// The `leela up` that starts this process, for itself.
    #[arg(long, hide = true, requires = "child")]
    parent: Option<u32>,
    /// What it starts.
    #[arg(last = true, hide = true, requires = "parent")]
    child: Vec<OsString>,
}

/// Runs the instance until it is told to stop.
pub fn run(up: &Up, instance: &Instance) -> anyhow::Result<()> {
    match up.parent {
        Some(parent) => child::become_process(parent, &up.child),
        None => supervisor::run(up.config_dir.as_deref(), instance.given.as_deref()),
    }
}
