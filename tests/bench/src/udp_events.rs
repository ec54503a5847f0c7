//! udp_events: Leela's text over UDP becomes events at a peer; the processor time of all of it.

use std::net::SocketAddr;

use anyhow::ensure;
use common::time::Time;

use crate::Scale;
use crate::child::{Receiving, build};
use crate::clock::monotonic_ns;
use crate::core::{Core, Finished};
use crate::figure::{Figure, Unit, median};
use crate::load::{GAUGES, SERIES, texts};
use crate::sums::Sums;
use crate::udp_load::Load;

/// Datagrams under way at most: what every receive buffer holds.
const AHEAD_MAX: u64 = 512;
/// Datagrams between two looks at how far the input is.
const BURST: usize = 125;

pub(crate) fn run(scale: Scale) -> anyhow::Result<Vec<Figure>> {
    build(&["leela-udp", "leela-timeline"])?;
    let passes = scale.pick(600, 5);
    let (mut rates, mut seconds, mut raw) = (Vec::new(), Vec::new(), Vec::new());
    let mut shares = [const { Vec::new() }; 3];
    for _ in 0..scale.pick(5, 1) {
        let (rate, a_second, ns) = round(passes)?;
        rates.push(rate);
        seconds.push(a_second);
        for (share, ns) in shares.iter_mut().zip(ns) {
            share.push(ns);
        }
        raw.push(raw_round(passes)?);
    }
    let [udp, timeline, peer] = shares.map(|share| median(&share));
    let note = format!(
        "{:.2} M events/s; of an event's cpu udp {udp:.0} ns, timeline {timeline:.0} ns, peer {peer:.0} ns",
        median(&seconds) / 1e6
    );
    let figure = Figure::new("udp_events", Unit::EventsPerCpuSecond, median(&rates))
        .bounds(3e6, 8e6)
        .baseline("receiving the same datagrams, unread", median(&raw))
        .note(note);
    Ok(vec![figure])
}

/// Events a cpu-second, events a second, and each process's nanoseconds an event.
fn round(passes: usize) -> anyhow::Result<(f64, f64, [f64; 3])> {
    let core = Core::with_peer(64, &[])?;
    let (load, books) = (Load::to(core.address)?, core.books("udp"));
    let texts = texts(Time::now());
    let datagram_bytes = texts[0].0.len();
    let bytes: Vec<u8> = texts.iter().flat_map(|(text, _)| text).copied().collect();
    let mut sent = Sums::default();
    let before = core.cpu()?;
    let start = monotonic_ns();
    let mut datagrams = 0;
    for _ in 0..passes {
        for burst in bytes.chunks(BURST * datagram_bytes) {
            load.send(burst, datagram_bytes)?;
            datagrams += (burst.len() / datagram_bytes) as u64;
            books.wait("datagrams", datagrams.saturating_sub(AHEAD_MAX))?;
        }
        texts.iter().for_each(|(_, sums)| sent.join(*sums));
        core.keep_close(sent.records)?;
    }
    let Finished { cpu: after, report, kernel_drops } = core.finish(datagrams)?;
    ensure!(kernel_drops == 0, "the kernel dropped {kernel_drops} datagrams");
    report.sums.equal(sent)?;
    let events = sent.records as f64;
    let ns: [f64; 3] = std::array::from_fn(|place| (after[place] - before[place]).as_nanos() as f64 / events);
    let seconds = (report.last_ns - start) as f64 / 1e9;
    Ok((1e9 / ns.iter().sum::<f64>(), events / seconds, ns))
}

/// Gauges a cpu-second of a process that receives the same datagrams and looks at none.
fn raw_round(passes: usize) -> anyhow::Result<f64> {
    let datagrams = passes * SERIES / GAUGES;
    let count = datagrams.to_string();
    let mut receiver = Receiving::start("raw-udp", &["--datagrams".as_ref(), count.as_ref()])?;
    let address: SocketAddr = receiver.line()?.parse()?;
    let load = Load::to(address)?;
    let texts = texts(Time::now());
    let datagram_bytes = texts[0].0.len();
    let bytes: Vec<u8> = texts.iter().flat_map(|(text, _)| text).copied().collect();
    let mut sent: u64 = 0;
    for burst in bytes.chunks(BURST * datagram_bytes).cycle() {
        if sent == datagrams as u64 {
            break;
        }
        load.send(burst, datagram_bytes)?;
        sent += BURST as u64;
        // It says so after each burst: never more than two are under way.
        receiver.line()?;
    }
    let report = receiver.report()?;
    ensure!(report.sums.records == sent, "raw datagrams differ");
    Ok((sent * GAUGES as u64) as f64 / (report.cpu_ns as f64 / 1e9))
}
