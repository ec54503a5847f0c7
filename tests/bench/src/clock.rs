//! Clocks that several processes share.

use std::time::Duration;

use anyhow::Context;
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// Nanoseconds of CLOCK_MONOTONIC, the same in every process.
pub(crate) fn monotonic_ns() -> u64 {
    let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every Linux has this clock"));
    now.as_nanos() as u64
}

/// Processor time of a process and all its threads so far, in user and kernel mode; to the nanosecond.
pub(crate) fn cpu_of(pid: u32) -> anyhow::Result<Duration> {
    let clock = clock_getcpuclockid(Pid::from_raw(pid as i32)).with_context(|| format!("process {pid}"))?;
    Ok(clock_gettime(clock).with_context(|| format!("processor time of process {pid}"))?.into())
}

/// Processor time of this process so far.
pub(crate) fn cpu_of_self() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("every Linux has this clock").into()
}
