//! batching: single metrics at rates from low to high; what they cost and how long they are under way.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::ensure;

use crate::Scale;
use crate::child::build;
use crate::clock::monotonic_ns;
use crate::core::{Core, Finished};
use crate::cores::Cores;
use crate::figure::{Figure, Unit, median};
use crate::receiver::Latency;
use crate::singles::{one_by_one, singles};
use crate::sums::Sums;

const RECEIVE_BUFFER_MIB: usize = 8;
/// Up to here the events go through leela-dmproc to a client of the proc socket; above, to a peer that sums.
const PROC_RATE_MAX: f64 = 1e5;
/// How long leela-udp pauses at 100,000 datagrams a second.
const PAUSE: Duration = Duration::from_micros(400);

pub(crate) fn run(scale: Scale) -> anyhow::Result<Vec<Figure>> {
    build(&["leela-udp", "leela-timeline", "leela-dmproc"])?;
    let mut figures = Vec::new();
    for (rate, word) in [(1e3, "1 k/s"), (1e4, "10 k/s"), (1e5, "100 k/s"), (5e5, "500 k/s")] {
        let seconds = scale.pick(2.0, 0.1);
        let rounds: Vec<Round> =
            (0..scale.pick(3, 1)).map(|_| round(rate, seconds)).collect::<anyhow::Result<_>>()?;
        let raw = raw_round(rate, seconds)?;
        let of = |what: fn(&Round) -> f64| median(&rounds.iter().map(what).collect::<Vec<_>>());
        let drops: u64 = rounds.iter().map(|round| round.drops).sum();
        let cpu = Figure::new(format!("batching at {word}"), Unit::Percent, of(|round| round.percent))
            .baseline("one blocking receive a datagram", raw)
            .note(format!("of a core, udp and timeline; {drops} kernel drops"));
        let p99 =
            Figure::new(format!("batching at {word}, p99"), Unit::Microseconds, of(|round| round.p99_us))
                .note(format!("to {}; p50 {:.0} us", to(rate), of(|round| round.p50_us)));
        match rate {
            1e5 => {
                let alone = pause_round(rate, seconds)?;
                let p99 = p99.baseline("waiting for a process that only pauses", alone);
                figures.extend([cpu.bounds(20.0, 14.0), p99.bounds(1000.0, 1000.0)]);
            }
            _ => figures.extend([cpu, p99]),
        }
    }
    Ok(figures)
}

fn to(rate: f64) -> &'static str {
    if rate > PROC_RATE_MAX { "a peer" } else { "a client of the proc socket" }
}

struct Round {
    percent: f64,
    p50_us: f64,
    p99_us: f64,
    drops: u64,
}

fn round(rate: f64, seconds: f64) -> anyhow::Result<Round> {
    let cores = Cores::without_first()?;
    let core = match rate > PROC_RATE_MAX {
        true => Core::with_peer(RECEIVE_BUFFER_MIB, &["--stamps", "--pace"])?,
        false => Core::with_proc(RECEIVE_BUFFER_MIB)?,
    };
    cores.generate()?;
    let before = core.cpu()?;
    let start = monotonic_ns();
    let sent = send(core.address, rate, seconds)?;
    let took_ns = monotonic_ns() - start;
    let Finished { cpu: after, report, kernel_drops: drops } = core.finish(sent.records)?;
    ensure!(
        report.sums.records + drops == sent.records && (drops > 0 || report.sums == sent),
        "sums differ at {rate}/s: sent {sent:?}, came {:?}, the kernel dropped {drops}",
        report.sums
    );
    let cpu = (after[0] - before[0] + (after[1] - before[1])).as_nanos() as f64;
    let latency = report.latency.unwrap_or_default();
    let (p50_us, p99_us) = (latency.p50_ns as f64 / 1e3, latency.p99_ns as f64 / 1e3);
    Ok(Round { percent: cpu / took_ns as f64 * 100.0, p50_us, p99_us, drops })
}

/// Sends single gauges at `rate`; each one's value is its stamp.
fn send(address: SocketAddr, rate: f64, seconds: f64) -> anyhow::Result<Sums> {
    singles(address, rate, seconds, |bytes, key, now_ns| {
        bytes.extend_from_slice(b"gauge 27|");
        bytes.extend_from_slice(key);
        Ok(write!(bytes, " {now_ns};")?)
    })
}

/// The share of a core, in percent, of a process that receives the same datagrams one by one, unread.
fn raw_round(rate: f64, seconds: f64) -> anyhow::Result<f64> {
    one_by_one(|address| send(address, rate, seconds))
}

/// The 99th percentile, in us, of how long metrics at `rate` wait for a process that does nothing but pause as
/// leela-udp does, beside a core that is busy: what the machine itself adds.
fn pause_round(rate: f64, seconds: f64) -> anyhow::Result<f64> {
    let cores = Cores::without_first()?;
    let sleeper = std::thread::spawn(move || {
        let mut waits_ns = Vec::new();
        let mut paused = monotonic_ns();
        let end = paused + (seconds * 1e9) as u64;
        while paused < end {
            std::thread::sleep(PAUSE);
            let woken = monotonic_ns();
            waits_ns.extend((paused..woken).step_by((1e9 / rate) as usize).map(|due| woken - due));
            paused = woken;
        }
        Latency::of(&mut waits_ns)
    });
    cores.generate()?;
    while !sleeper.is_finished() {
        std::hint::spin_loop();
    }
    let latency = sleeper.join().map_err(|_| anyhow::anyhow!("the thread that pauses panicked"))?;
    Ok(latency.p99_ns as f64 / 1e3)
}
