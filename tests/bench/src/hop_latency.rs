//! hop_latency: how long one record is under way, at a low and at a high rate.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use common::metric::{Kind, Metric};
use common::time::Time;
use common::value::Value;
use sockets::pace::Pace;

use crate::Scale;
use crate::child::{Receiving, scratch};
use crate::clock::monotonic_ns;
use crate::figure::{Figure, Unit, median};
use crate::load::keys;
use crate::receiver::Latency;
use crate::sums::Sums;
use crate::writer::Writer;

pub(crate) fn run(scale: Scale) -> anyhow::Result<Vec<Figure>> {
    let rounds = scale.pick(3, 1);
    let seconds = scale.pick(2.0, 0.05);
    let each =
        |rate: f64| -> anyhow::Result<Vec<Latency>> { (0..rounds).map(|_| round(rate, seconds)).collect() };
    let (slow, fast) = (each(5e3)?, each(1e6)?);
    let raw = (0..rounds).map(|_| raw_round(5e3, seconds)).collect::<anyhow::Result<Vec<_>>>()?;
    let p99 = |all: &[Latency]| median(&all.iter().map(|one| one.p99_ns as f64 / 1e3).collect::<Vec<_>>());
    let seen = |all: &[Latency]| {
        let p50 = median(&all.iter().map(|one| one.p50_ns as f64 / 1e3).collect::<Vec<_>>());
        let max = all.iter().map(|one| one.max_ns / 1000).max().unwrap_or(0);
        format!("p50 {p50:.0} us, longest of all rounds {max} us")
    };
    let baseline = "p99 of a raw datagram at 5 k/s";
    Ok(vec![
        Figure::new("hop_latency at 5 k/s", Unit::Microseconds, p99(&slow))
            .bounds(150.0, 60.0)
            .baseline(baseline, p99(&raw))
            .note(seen(&slow)),
        Figure::new("hop_latency at 1 M/s", Unit::Microseconds, p99(&fast))
            .bounds(1000.0, 500.0)
            .baseline(baseline, p99(&raw))
            .note(seen(&fast)),
    ])
}

/// One record each `1 / rate`. While the writer pauses as an input does, a record's stamp is the moment it would
/// have come in: the pause is part of its way. Otherwise it is the moment before it is encoded.
fn round(rate: f64, seconds: f64) -> anyhow::Result<Latency> {
    let (_dir, run) = scratch()?;
    let records = (rate * seconds) as u64;
    let count = records.to_string();
    let receiver =
        Receiving::sum(&run, &run.timeline_databus(), &["--pace", "--stamps", "--records", &count])?;
    let mut writer = Writer::to_timeline(&run)?;
    let keys = keys();
    let mut series = keys.iter().cycle();
    let mut sent = Sums::default();
    let mut pace = Pace::new(1 << 30, Instant::now());
    let mut paused = false;
    let start = monotonic_ns();
    let due_ns = |record: u64| start + (record as f64 / rate * 1e9) as u64;
    while sent.records < records {
        let (now_ns, time) = (monotonic_ns(), Time::now());
        let before = sent.records;
        while sent.records < records && due_ns(sent.records) <= now_ns {
            let key = series.next().expect("it goes round");
            let stamp = if paused { due_ns(sent.records) } else { now_ns };
            writer.metric(&Metric::new(key, time, Kind::Gauge, Value::U64(stamp)));
            sent.add(key, stamp);
        }
        let came = sent.records - before;
        writer.commit(came);
        writer.turn(Duration::ZERO)?;
        let pause = pace.drained(came, came * 64, Instant::now());
        paused = pause.is_some();
        let next = due_ns(sent.records).saturating_sub(monotonic_ns());
        std::thread::sleep(pause.unwrap_or(Duration::from_nanos(next)));
    }
    writer.finish(None)?;
    let report = receiver.report()?;
    report.sums.equal(sent)?;
    Ok(report.latency.unwrap_or_default())
}

/// A datagram of the size of one record, without encoding, decoding, ring or books.
fn raw_round(rate: f64, seconds: f64) -> anyhow::Result<Latency> {
    let (dir, _run) = scratch()?;
    let path = dir.path().join("raw");
    let datagrams = (rate * seconds) as u64;
    let bytes = (datagrams * 70).to_string();
    let receiver = Receiving::start("raw", &[path.as_ref(), bytes.as_ref(), "--stamps".as_ref()])?;
    let socket = UnixDatagram::unbound()?;
    socket.connect(&path)?;
    let mut datagram = [0; 70];
    let start = monotonic_ns();
    for sent in 0..datagrams {
        let due_ns = start + (sent as f64 / rate * 1e9) as u64;
        std::thread::sleep(Duration::from_nanos(due_ns.saturating_sub(monotonic_ns())));
        datagram[..8].copy_from_slice(&monotonic_ns().to_le_bytes());
        socket.send(&datagram)?;
    }
    Ok(receiver.report()?.latency.unwrap_or_default())
}
