//! How many descriptors the process may have.

use anyhow::{Context, bail};
use common::exit::{Exit, OrExit};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors beside those of clients: sockets, books, the log, room to refuse one client more.
const OTHERS: u64 = 64;

/// Raises the limit on descriptors so that `connections` clients fit. Where the system allows fewer the process
/// ends with 78: half of the promised clients would be turned away at the worst time.
pub fn allow(connections: u32) -> anyhow::Result<()> {
    let wanted = u64::from(connections) + OTHERS;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("asking for the limit on descriptors")?;
    if soft >= wanted {
        return Ok(());
    }
    if hard < wanted {
        return refuse(wanted, hard).exit(Exit::Config);
    }
    setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).context("raising the limit on descriptors")
}

fn refuse(wanted: u64, hard: u64) -> anyhow::Result<()> {
    bail!(
        "connections_max takes {wanted} descriptors and the system allows {hard}: lower it, or raise LimitNOFILE= of \
         the unit (ulimit -n)"
    )
}
