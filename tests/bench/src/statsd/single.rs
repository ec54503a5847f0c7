//! statsd_single: one line a datagram, 300,000 a second; the processor time of leela-statsd alone.

use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::ensure;

use crate::Scale;
use crate::child::build;
use crate::clock::{cpu_of, monotonic_ns};
use crate::core::{Core, Finished};
use crate::cores::Cores;
use crate::figure::{Figure, Unit, median};
use crate::singles::{one_by_one, singles};
use crate::sums::Sums;

const RATE: f64 = 3e5;
const RECEIVE_BUFFER_MIB: usize = 64;

pub(crate) fn run(scale: Scale) -> anyhow::Result<Vec<Figure>> {
    build(&["leela-statsd", "leela-timeline"])?;
    let seconds = scale.pick(2.0, 0.05);
    let (mut shares, mut raw) = (Vec::new(), Vec::new());
    for _ in 0..scale.pick(3, 1) {
        shares.push(round(seconds)?);
        raw.push(one_by_one(|address| send(address, seconds))?);
    }
    // A share of what the baseline takes: 140 % of it is to be reached, 110 % aimed at.
    let (share, raw) = (median(&shares), median(&raw));
    let figure = Figure::new("statsd_single", Unit::Percent, share)
        .bounds(raw * 1.4, raw * 1.1)
        .baseline("one blocking receive a datagram", raw)
        .note("of a core, leela-statsd alone; nothing was dropped");
    Ok(vec![figure])
}

/// Gauges, so that each comes out as it went in.
fn send(address: SocketAddr, seconds: f64) -> anyhow::Result<Sums> {
    gauges(address, RATE, seconds)
}

/// Gauges one by one; each one's value is its stamp.
pub(super) fn gauges(address: SocketAddr, rate: f64, seconds: f64) -> anyhow::Result<Sums> {
    singles(address, rate, seconds, |bytes, key, now_ns| {
        bytes.extend_from_slice(key);
        Ok(write!(bytes, ":{now_ns}|g")?)
    })
}

fn round(seconds: f64) -> anyhow::Result<f64> {
    let cores = Cores::without_first()?;
    let core = Core::statsd(RECEIVE_BUFFER_MIB, &["--pace"])?;
    cores.generate()?;
    let [statsd, _] = core.pids();
    let (before, start) = (cpu_of(statsd)?, monotonic_ns());
    let sent = send(core.address, seconds)?;
    let took_ns = monotonic_ns() - start;
    let Finished { cpu: [after, ..], report, kernel_drops } = core.finish(sent.records)?;
    ensure!(kernel_drops == 0, "the kernel dropped {kernel_drops} datagrams");
    report.sums.equal(sent)?;
    Ok((after - before).as_nanos() as f64 / took_ns as f64 * 100.0)
}
