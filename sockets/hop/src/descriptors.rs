//! How many descriptors the process may have.

use anyhow::Context;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors beside those of clients: sockets, books, the log, room to refuse one client more.
const OTHERS: u64 = 64;

/// Raises the limit on descriptors so that `connections` clients fit, as far as the system allows; gives how many
/// fit then.
pub fn allow_descriptors(connections: u32) -> anyhow::Result<u32> {
    let wanted = u64::from(connections) + OTHERS;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("asking for the limit on descriptors")?;
    if soft >= wanted {
        return Ok(connections);
    }
    let granted = wanted.min(hard);
    setrlimit(Resource::RLIMIT_NOFILE, granted, hard).context("raising the limit on descriptors")?;
    let fitting = u32::try_from(granted.saturating_sub(OTHERS)).unwrap_or(connections).min(connections);
    if fitting < connections {
        tracing::warn!(
            wanted = connections,
            connections = fitting,
            "fewer clients fit than connections_max says: raise LimitNOFILE= of the unit (ulimit -Hn)"
        );
    }
    Ok(fitting)
}
