//! statsd_packed, statsd_tagged, statsd_timers: StatsD's lines over UDP become windows at a peer; the processor time of
//! all of it, and the memory.

mod flush;
mod footprint;
mod lines;
mod peers;
mod single;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::Scale;
use crate::child::{Receiving, build};
use crate::core::{Core, Finished};
use crate::figure::{Figure, Unit, median};
use crate::memory::pss_mib;
use crate::udp_load::Load;
use lines::Lines;

pub(crate) use flush::run as flush;
pub(crate) use footprint::run as footprint;
pub(crate) use peers::run as peers;
pub(crate) use single::run as single;

/// Datagrams under way at most: what every receive buffer holds.
const AHEAD_MAX: u64 = 512;
/// Datagrams between two looks at how far the input is.
const BURST: usize = 125;
const RECEIVE_BUFFER_MIB: usize = 64;
/// Memory is looked at so often.
const LOOK: Duration = Duration::from_millis(200);

pub(crate) fn packed(scale: Scale) -> anyhow::Result<Vec<Figure>> {
    let lines = Lines::counts(scale.pick(10_000, 100));
    let found = rounds(&vec![&lines; scale.pick(1_500, 2)], scale.pick(3, 1))?;
    let figure = Figure::new("statsd_packed", Unit::LinesPerCpuSecond, found.rate)
        .bounds(5e6, 8e6)
        .baseline("receiving the same datagrams, unread", raw(&lines, scale.pick(1_500, 2))?)
        .note(found.shares());
    Ok(vec![figure])
}

pub(crate) fn tagged(scale: Scale) -> anyhow::Result<Vec<Figure>> {
    let series = scale.pick(1_000_000, 1_000);
    let (lines, mixed) = (Lines::tagged(series), Lines::tagged_mixed(series));
    let (passes, times) = (scale.pick(10, 2), scale.pick(3, 1));
    let found = rounds(&vec![&lines; passes], times)?;
    let bytes = found.pss_mib.iter().sum::<f64>() * f64::from(1 << 20) / series as f64;
    let [statsd, timeline] = found.pss_mib;
    let unlike = rounds(&[&[&lines][..], &vec![&mixed; passes - 1]].concat(), times)?;
    Ok(vec![
        Figure::new("statsd_tagged", Unit::LinesPerCpuSecond, found.rate)
            .bounds(2e6, 4e6)
            .note(found.shares()),
        Figure::new("statsd_tagged, memory", Unit::BytesPerSeries, bytes).bounds(220.0, 128.0).note(format!(
            "of PSS at its highest, their rings of up to 64 MiB each with it: statsd {statsd:.0} MiB, timeline \
             {timeline:.0} MiB"
        )),
        Figure::new("statsd_tagged, in another order", Unit::LinesPerCpuSecond, unlike.rate)
            .note(format!("than that in which the series came first; {}", unlike.shares())),
    ])
}

pub(crate) fn timers(scale: Scale) -> anyhow::Result<Vec<Figure>> {
    let lines = Lines::timers(scale.pick(10_000, 100));
    let found = rounds(&vec![&lines; scale.pick(1_000, 2)], scale.pick(3, 1))?;
    let figure = Figure::new("statsd_timers", Unit::LinesPerCpuSecond, found.rate)
        .bounds(3e6, 6e6)
        .note(found.shares());
    Ok(vec![figure])
}

/// What the rounds of a row found.
struct Found {
    /// Lines a second of all processes' time.
    rate: f64,
    /// Nanoseconds a line of each process.
    ns: [f64; 3],
    /// Of leela-statsd and leela-timeline, at its highest.
    pss_mib: [f64; 2],
}

impl Found {
    fn shares(&self) -> String {
        let [statsd, timeline, peer] = self.ns;
        format!("of a line's cpu statsd {statsd:.0} ns, timeline {timeline:.0} ns, peer {peer:.0} ns")
    }
}

/// Each round sends all of `passes`, one after the other.
fn rounds(passes: &[&Lines], rounds: usize) -> anyhow::Result<Found> {
    build(&["leela-statsd", "leela-timeline"])?;
    let mut all = Vec::new();
    for _ in 0..rounds {
        all.push(round(passes)?);
    }
    let of = |what: &dyn Fn(&Found) -> f64| median(&all.iter().map(what).collect::<Vec<_>>());
    Ok(Found {
        rate: of(&|found| found.rate),
        ns: std::array::from_fn(|place| of(&|found| found.ns[place])),
        pss_mib: std::array::from_fn(|place| of(&|found| found.pss_mib[place])),
    })
}

fn round(passes: &[&Lines]) -> anyhow::Result<Found> {
    let suffix = passes[0].suffix;
    let core = Core::statsd(RECEIVE_BUFFER_MIB, &["--suffix", suffix])?;
    let is_over = AtomicBool::new(false);
    let before = core.cpu()?;
    let sent = passes.iter().map(|lines| lines.count as u64).sum();
    let highest = std::thread::scope(|scope| {
        let watching = scope.spawn(|| highest(core.pids(), &is_over));
        let work = || -> anyhow::Result<()> {
            let datagrams = send(&core, passes)?;
            core.wait_windows(datagrams, sent)
        };
        let worked = work();
        is_over.store(true, Ordering::Relaxed);
        let highest = watching.join().map_err(|_| anyhow::anyhow!("the thread that looks panicked"));
        worked.and(highest?)
    })?;
    let Finished { cpu: after, report, kernel_drops } = core.finish(0)?;
    ensure!(kernel_drops == 0, "the kernel dropped {kernel_drops} datagrams");
    let want = passes.iter().map(|lines| lines.sum).sum::<u64>();
    let came = report.sums.values;
    ensure!(came == want, "the {suffix} add up to {want} as sent, to {came} as they came");
    let ns: [f64; 3] =
        std::array::from_fn(|place| (after[place] - before[place]).as_nanos() as f64 / sent as f64);
    Ok(Found { rate: 1e9 / ns.iter().sum::<f64>(), ns, pss_mib: highest })
}

/// Sends all lines, no faster than they are taken; gives the datagrams.
fn send(core: &Core, passes: &[&Lines]) -> anyhow::Result<u64> {
    let (load, books) = (Load::to(core.address)?, core.books("statsd"));
    let (mut datagrams, mut lines_sent) = (0, 0);
    for lines in passes {
        for burst in lines.bytes.chunks(BURST * lines.datagram_bytes) {
            load.send(burst, lines.datagram_bytes)?;
            datagrams += (burst.len() / lines.datagram_bytes) as u64;
            lines_sent += (burst.len() / lines.datagram_bytes * lines.a_datagram) as u64;
            books.wait("datagrams", datagrams.saturating_sub(AHEAD_MAX))?;
            core.keep_close(lines_sent)?;
        }
    }
    Ok(datagrams)
}

/// The highest PSS of processes until told to stop.
fn highest<const N: usize>(pids: [u32; N], is_over: &AtomicBool) -> anyhow::Result<[f64; N]> {
    let mut highest = [0.0; N];
    while !is_over.load(Ordering::Relaxed) {
        for (highest, pid) in highest.iter_mut().zip(pids) {
            *highest = pss_mib(pid)?.max(*highest);
        }
        std::thread::sleep(LOOK);
    }
    Ok(highest)
}

/// Lines a cpu-second of a process that receives the same datagrams and looks at none.
fn raw(lines: &Lines, passes: usize) -> anyhow::Result<f64> {
    let a_pass = lines.count / lines.a_datagram;
    // It says so after each burst.
    let datagrams = a_pass * passes / BURST * BURST;
    let count = datagrams.to_string();
    let mut receiver = Receiving::start("raw-udp", &["--datagrams".as_ref(), count.as_ref()])?;
    let load = Load::to(receiver.line()?.parse().context("an address")?)?;
    let burst: Vec<u8> =
        lines.bytes.chunks(lines.datagram_bytes).cycle().take(BURST).flatten().copied().collect();
    for _ in 0..datagrams / BURST {
        load.send(&burst, lines.datagram_bytes)?;
        receiver.line()?;
    }
    let report = receiver.report()?;
    ensure!(report.sums.records == datagrams as u64, "raw datagrams differ");
    Ok((datagrams * lines.a_datagram) as f64 / (report.cpu_ns as f64 / 1e9))
}
