//! Memory of a process.

use anyhow::Context;

use crate::child::read_proc;

/// Memory of a process, what it shares counted in part: PSS.
pub(crate) fn pss_mib(pid: u32) -> anyhow::Result<f64> {
    let text = read_proc(&format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).context("there is no Pss")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().context("Pss is a number of kB")?;
    Ok(kib / 1024.0)
}
