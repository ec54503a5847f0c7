//! statsd_flush: a million series of samples are given out while a stream of gauges goes on.

use std::time::Duration;

use anyhow::ensure;
use common::time::Time;

use super::lines::Lines;
use super::send;
use super::single::gauges;
use crate::Scale;
use crate::child::build;
use crate::core::{Core, Finished, INTERVAL, WINDOW_LATE};
use crate::figure::{Figure, Unit};

const RECEIVE_BUFFER_MIB: usize = 64;
/// Samples of each series in the window.
const SAMPLES: usize = 10;
const STREAM_RATE: f64 = 1e5;
/// The flush is over so long after the window's end, or it has failed.
const OVER: Duration = Duration::from_secs(12);

pub(crate) fn run(scale: Scale) -> anyhow::Result<Vec<Figure>> {
    build(&["leela-statsd", "leela-timeline"])?;
    let lines = Lines::timers(scale.pick(1_000_000, 1_000));
    let core = Core::statsd(RECEIVE_BUFFER_MIB, &["--suffix", lines.suffix, "--stream", ".nginx."])?;
    // All of them are of one window.
    std::thread::sleep(until_window());
    let datagrams = send(&core, &[&lines; SAMPLES])?;
    let left = until_window();
    std::thread::sleep(left.saturating_sub(Duration::from_secs(1)));
    let stream = gauges(core.address, STREAM_RATE, scale.pick(OVER, Duration::from_secs(2)).as_secs_f64())?;
    core.wait_windows(datagrams + stream.records, (lines.count * SAMPLES) as u64 + stream.records)?;
    let Finished { report, kernel_drops, .. } = core.finish(0)?;
    ensure!(kernel_drops == 0 && report.missing == 0, "{kernel_drops} datagrams, {} events", report.missing);
    report.stream.equal(stream)?;
    let (want, came) = (lines.sum * SAMPLES as u64, report.sums.values);
    ensure!(came == want, "the {} add up to {want} as sent, to {came} as they came", lines.suffix);
    let late_ms = report.late_ns as f64 / 1e6 - WINDOW_LATE.as_secs_f64() * 1e3;
    Ok(vec![
        Figure::new("statsd_flush", Unit::Milliseconds, late_ms).bounds(8000.0, 8000.0).note(format!(
            "{} series of {SAMPLES} samples; {left:.1?} were left of their window",
            lines.count
        )),
        Figure::new("statsd_flush, longest gap", Unit::Milliseconds, report.gap_ns as f64 / 1e6)
            .aim(50.0)
            .note("of a stream of 100,000 gauges a second beside it, of which nothing was lost"),
    ])
}

/// How long until a window begins.
fn until_window() -> Duration {
    let interval_ns = INTERVAL.as_nanos() as u64;
    Duration::from_nanos(interval_ns - Time::now().ns() as u64 % interval_ns)
}
