//! A core for the load generator, and the others for what is measured.
//!
//! A generator that spins on the core of a process that just woke up keeps it waiting for a whole time slice: the
//! latencies would be the scheduler's. In the field the load comes from elsewhere.

use anyhow::Context;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

const SELF: Pid = Pid::from_raw(0);

/// The cores that this process had, until it is dropped.
#[derive(Debug)]
pub(crate) struct Cores {
    all: CpuSet,
    first: usize,
}

impl Cores {
    /// What is started from here on does not run on the first core, unless there is only one.
    pub(crate) fn without_first() -> anyhow::Result<Cores> {
        let all = sched_getaffinity(SELF).context("asking for the cores")?;
        let cores =
            |set: &CpuSet| (0..CpuSet::count()).filter(|core| set.is_set(*core) == Ok(true)).collect();
        let mine: Vec<usize> = cores(&all);
        let first = *mine.first().context("a process has a core")?;
        if mine.len() > 1 {
            let mut rest = all;
            rest.unset(first)?;
            sched_setaffinity(SELF, &rest).context("leaving the first core")?;
        }
        Ok(Cores { all, first })
    }

    /// This thread, the generator, goes on on the first core alone.
    pub(crate) fn generate(&self) -> anyhow::Result<()> {
        let mut first = CpuSet::new();
        first.set(self.first)?;
        sched_setaffinity(SELF, &first).context("going to the first core")
    }
}

impl Drop for Cores {
    fn drop(&mut self) {
        // They were its own before; what comes next would only be slower without.
        let _ = sched_setaffinity(SELF, &self.all);
    }
}
