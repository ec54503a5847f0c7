//! store_write, store_rss: gauges of many series into leela-storage, until all of it is sealed; what it costs, what it
//! takes on the disk and in memory.

use std::time::{Duration, Instant};

use anyhow::ensure;
use common::time::Time;
use common::wire::Content;

use crate::Scale;
use crate::child::{Receiving, build, scratch};
use crate::figure::{Figure, Unit, median};
use crate::load::{KEY_BYTES, key};
use crate::points::{Gauge, INTERVAL_MS, Point, first_ms};
use crate::storage::{STILL, Storage, all_time, matching};
use crate::sums::Sums;
use crate::writer::Writer;

/// Series, and points of each.
pub(crate) const SERIES: usize = 100_000;
pub(crate) const POINTS: usize = 100;

const RECORD_BYTES: usize = KEY_BYTES + 18;
/// How long nothing happens before memory is read.
const IDLE: Duration = Duration::from_secs(5);

/// What one round found.
struct Round {
    rate: f64,
    bytes: f64,
    highest_mib: f64,
    idle_mib: f64,
    seconds: f64,
    until_sealed: f64,
}

pub(crate) fn write(scale: Scale) -> anyhow::Result<Vec<Figure>> {
    let rounds = rounds(scale, 3)?;
    let plain = (0..scale.pick(3, 1)).map(|_| plain_round(scale)).collect::<anyhow::Result<Vec<_>>>()?;
    let of = |what: fn(&Round) -> f64| median(&rounds.iter().map(what).collect::<Vec<_>>());
    Ok(vec![
        Figure::new("store_write", Unit::PointsPerCpuSecond, of(|round| round.rate))
            .bounds(4e6, 10e6)
            .baseline("a peer that decodes and sums the same datagrams", median(&plain))
            .note(format!(
                "all was taken after {:.1} s and sealed and merged after {:.1} s",
                of(|round| round.seconds),
                of(|round| round.until_sealed)
            )),
        Figure::new("store_write, disk", Unit::BytesPerPoint, of(|round| round.bytes))
            .bounds(1.3, 0.95)
            .note("blocks, index and log"),
    ])
}

pub(crate) fn rss(scale: Scale) -> anyhow::Result<Vec<Figure>> {
    let rounds = rounds(scale, 1)?;
    let of = |what: fn(&Round) -> f64| median(&rounds.iter().map(what).collect::<Vec<_>>());
    Ok(vec![
        Figure::new("store_rss, highest", Unit::Mebibytes, of(|round| round.highest_mib))
            .bounds(600.0, 300.0),
        Figure::new("store_rss, idle", Unit::Mebibytes, of(|round| round.idle_mib))
            .bounds(150.0, 80.0)
            .note(format!("{} s after all was sealed and merged", IDLE.as_secs())),
    ])
}

fn rounds(scale: Scale, rounds: usize) -> anyhow::Result<Vec<Round>> {
    build(&["leela-storage"])?;
    (0..scale.pick(rounds, 1)).map(|_| round(scale)).collect()
}

/// Every point of every series in the order of time.
fn each_point(scale: Scale, mut put: impl FnMut(&[u8], Point) -> anyhow::Result<()>) -> anyhow::Result<Sums> {
    let (series, points) = (scale.pick(SERIES, 100), scale.pick(POINTS, 10));
    let mut gauges: Vec<(Box<[u8]>, Gauge)> =
        (0..series).map(|number| (Box::from(key(number)), Gauge::of(number))).collect();
    let first_ms = first_ms(Time::now(), points);
    let mut sent = Sums::default();
    for point in 0..points {
        for (key, gauge) in &mut gauges {
            let point = gauge.next(first_ms + point as i64 * INTERVAL_MS);
            put(key, point)?;
            sent.add(key, point.mark());
        }
    }
    Ok(sent)
}

fn round(scale: Scale) -> anyhow::Result<Round> {
    let mut storage = Storage::start(RECORD_BYTES)?;
    let (begun, cpu) = (Instant::now(), storage.cpu()?);
    let sent = each_point(scale, |key, point| storage.write(key, point))?;
    storage.finish()?;
    let seconds = begun.elapsed().as_secs_f64();
    storage.wait_sealed()?;
    let until_sealed = (begun.elapsed() - STILL).as_secs_f64();
    let cpu = storage.cpu()? - cpu;
    let (bytes, highest_mib) = (storage.disk_bytes()?, storage.memory_mib("VmHWM")?);
    std::thread::sleep(scale.pick(IDLE, Duration::ZERO));
    let idle_mib = storage.memory_mib("VmRSS")?;
    let points = sent.records as f64;
    let answered = storage.ask(&all_time(matching(".")?))?;
    answered.sums.equal(sent)?;
    storage.stop()?;
    Ok(Round {
        rate: points / cpu.as_secs_f64(),
        bytes: bytes as f64 / points,
        highest_mib,
        idle_mib,
        seconds,
        until_sealed,
    })
}

/// Points a cpu-second of a process that decodes and sums the same datagrams.
fn plain_round(scale: Scale) -> anyhow::Result<f64> {
    let (_dir, run) = scratch()?;
    let path = run.storage_databus();
    let receiver = Receiving::sum(&run, &path, &["--pace"])?;
    let mut writer = Writer::to_peers(&run, 1 << Content::Events as u8, &[&path])?;
    let mut waiting = 0;
    let sent = each_point(scale, |key, point| {
        writer.event(&common::metric::Event { key, time: point.time(), value: point.hundredths as f64 });
        waiting += 1;
        if waiting == 16 * 711 {
            writer.commit(std::mem::take(&mut waiting));
            writer.keep_close(RECORD_BYTES, None)?;
        }
        Ok(())
    })?;
    writer.commit(waiting);
    writer.finish(None)?;
    let report = receiver.stop()?;
    ensure!(report.sums.records == sent.records && report.sums.keys == sent.keys, "sums differ");
    Ok(sent.records as f64 / (report.cpu_ns as f64 / 1e9))
}
