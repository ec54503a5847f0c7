//! The system's clock: what keeps it right, and what it has done since a process began.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

pub use mapped::discipline::{Discipline, discipline};

use crate::books::Snapshot;
use crate::time::Time;

/// How far the wall clock has moved against the time that has passed, in seconds, since the process of these books
/// began: more than zero when it was set forward. None for a process that is no more, or of another boot. It is exact
/// to about a second: a process begins a little before its books.
pub fn moved_since(books: &Snapshot, now: Time) -> Option<f64> {
    let ticks = books.start_ticks()?;
    let a_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()?? as f64;
    let uptime = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?).as_secs_f64();
    let passed = uptime - ticks as f64 / a_second;
    let told = now.as_secs_f64() - books.since.as_secs_f64();
    Some(told - passed)
}
