//! statsd_footprint: leela-statsd and leela-timeline at 100,000 single metrics a second: memory, processor time, and how
//! long leela-statsd takes to start.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::single::gauges;
use crate::Scale;
use crate::child::{Process, build, scratch};
use crate::clock::monotonic_ns;
use crate::core::{Core, Finished};
use crate::cores::Cores;
use crate::figure::{Figure, Unit, median};
use crate::memory::pss_mib;

const RATE: f64 = 1e5;
const RECEIVE_BUFFER_MIB: usize = 8;
const STARTS: usize = 5;

pub(crate) fn run(scale: Scale) -> anyhow::Result<Vec<Figure>> {
    build(&["leela-statsd", "leela-timeline"])?;
    let seconds = scale.pick(5.0, 0.05);
    let cores = Cores::without_first()?;
    let core = Core::statsd(RECEIVE_BUFFER_MIB, &["--pace"])?;
    cores.generate()?;
    let (before, start) = (core.cpu()?, monotonic_ns());
    let sent = gauges(core.address, RATE, seconds)?;
    let took_ns = (monotonic_ns() - start) as f64;
    let sizes: Vec<f64> = core.pids().iter().map(|pid| pss_mib(*pid)).collect::<anyhow::Result<_>>()?;
    let Finished { cpu: after, report, kernel_drops } = core.finish(sent.records)?;
    ensure!(kernel_drops == 0, "the kernel dropped {kernel_drops} datagrams");
    report.sums.equal(sent)?;
    let cpu = (after[0] - before[0] + (after[1] - before[1])).as_nanos() as f64;
    let starts: Vec<f64> = (0..scale.pick(STARTS, 1))
        .map(|_| Ok(start_of()?.as_secs_f64() * 1e3))
        .collect::<anyhow::Result<_>>()?;
    Ok(vec![
        Figure::new("statsd_footprint, memory", Unit::Mebibytes, sizes.iter().sum())
            .bounds(12.0, 8.0)
            .note(format!("PSS after {seconds:.0} s; statsd {:.1}, timeline {:.1}", sizes[0], sizes[1])),
        Figure::new("statsd_footprint, cpu", Unit::Percent, cpu / took_ns * 100.0)
            .bounds(20.0, 14.0)
            .note("of a core, both"),
        Figure::new("statsd_footprint, start", Unit::Milliseconds, median(&starts))
            .bounds(20.0, 20.0)
            .note("of leela-statsd, until it says that it is ready"),
    ])
}

/// How long leela-statsd takes to start.
fn start_of() -> anyhow::Result<Duration> {
    let (dir, run) = scratch()?;
    let begun = Instant::now();
    let process = Process::start("statsd", &dir, &run, "listen = [\"127.0.0.1:0\"]\n", Vec::new())?;
    let took = begun.elapsed();
    process.stop()?;
    Ok(took)
}
