//! store_read: what a reader waits for while nothing of the store is in memory: one series of a day, a hundred, and
//! series by a tag among a million.

use std::fs::File;
use std::io::Read as _;
use std::time::{Duration, Instant};

use anyhow::ensure;
use common::ask::{Ask, Selection, TagTest};
use common::time::Time;

use crate::Scale;
use crate::child::build;
use crate::disk::{Disk, drop_caches};
use crate::figure::{Figure, Unit, median};
use crate::points::{DAY_POINTS, Gauge, INTERVAL_MS, first_ms};
use crate::storage::{Answered, Storage, all_time, matching, one};
use crate::sums::Sums;

/// Series with points of a whole day.
pub(crate) const SERIES_OF_A_DAY: usize = 100;
/// Series with tags, of a point each: so many names on each of so many hosts.
const NAMES: usize = 100;
const HOSTS: usize = 10_000;

const RECORD_BYTES: usize = 45 + 18;

fn day_key(series: usize) -> String {
    format!("day.nginx.requests.{series:03}")
}

fn tagged_key(name: usize, host: usize) -> String {
    format!("app.metric{name:02};dc=dc{:02};host=web{host:05}", host % 20)
}

pub(crate) fn run(scale: Scale) -> anyhow::Result<Vec<Figure>> {
    build(&["leela-storage"])?;
    let points = scale.pick(DAY_POINTS, 100);
    let hosts = scale.pick(HOSTS, 10);
    let mut storage = Storage::start(RECORD_BYTES)?;
    let sent = fill(&mut storage, points, hosts)?;
    let (mut times, mut raw) = ([const { Vec::new() }; 4], [const { Vec::new() }; 2]);
    let mut starts = Vec::new();
    for round in 0..scale.pick(3, 1) {
        let series = (round * 37 + 11) % SERIES_OF_A_DAY;
        let host = (round * 3_701 + 1_234) % hosts;
        let tests = vec![TagTest { tag: "host".to_owned(), value: format!("web{host:05}"), is_not: false }];
        let tagged = Selection { tests, ..matching(".")? };
        let asks = [
            all_time(one(day_key(series).as_bytes())),
            all_time(matching(r"^day\.")?),
            Ask::Series(tagged.clone(), None),
            Ask::Names(tagged, None),
        ];
        let mut want_series = Sums::default();
        (0..NAMES).for_each(|name| want_series.add(tagged_key(name, host).as_bytes(), 1));
        let mut all = Sums::default();
        sent.iter().for_each(|sums| all.join(*sums));
        for (place, (ask, want)) in
            asks.iter().zip([Some(sent[series]), Some(all), Some(want_series), None]).enumerate()
        {
            starts.push(storage.start_cold()?.as_secs_f64());
            let Answered { sums, took } = storage.ask(ask)?;
            match want {
                Some(want) => sums.equal(want)?,
                // Keys without a count of points.
                None => ensure!(
                    (sums.records, sums.keys) == (want_series.records, want_series.keys),
                    "keys differ"
                ),
            }
            times[place].push(took.as_secs_f64() * 1e3);
        }
        for (times, series) in raw.iter_mut().zip([1, SERIES_OF_A_DAY]) {
            times.push(raw_round(series * points * 16)?.as_secs_f64() * 1e3);
        }
    }
    storage.stop()?;
    let [day, days, series, names] = times.map(|times| median(&times));
    let [raw_day, raw_days] = raw.map(|times| median(&times));
    let millions = (NAMES * hosts) as f64 / 1e6;
    let baseline = "reading as many points of 16 bytes from a cold file";
    let start = format!("fresh process, ready {:.2} s after it was started", median(&starts));
    Ok(vec![
        Figure::new("store_read, a day", Unit::Milliseconds, day)
            .bounds(5.0, 1.0)
            .baseline(baseline, raw_day)
            .note(start),
        Figure::new("store_read, 100 series of a day", Unit::Milliseconds, days)
            .bounds(100.0, 20.0)
            .baseline(baseline, raw_days),
        Figure::new("store_read, series by tag", Unit::Milliseconds, series)
            .bounds(50.0, 10.0)
            .note(format!("{NAMES} of {millions:.1} M, with their reach; their keys alone {names:.2} ms")),
    ])
}

/// A day of every series of [`SERIES_OF_A_DAY`], in the order of time, and a point of each of the tagged ones. Gives
/// what was sent of the first.
fn fill(storage: &mut Storage, points: usize, hosts: usize) -> anyhow::Result<Vec<Sums>> {
    let first_ms = first_ms(Time::now(), points);
    let mut gauges: Vec<(String, Gauge)> =
        (0..SERIES_OF_A_DAY).map(|series| (day_key(series), Gauge::of(series))).collect();
    let mut sent = vec![Sums::default(); SERIES_OF_A_DAY];
    for point in 0..points {
        for ((key, gauge), sums) in gauges.iter_mut().zip(&mut sent) {
            let point = gauge.next(first_ms + point as i64 * INTERVAL_MS);
            storage.write(key.as_bytes(), point)?;
            sums.add(key.as_bytes(), point.mark());
        }
    }
    let last_ms = first_ms + (points as i64 - 1) * INTERVAL_MS;
    for host in 0..hosts {
        for name in 0..NAMES {
            storage.write(tagged_key(name, host).as_bytes(), Gauge::of(host).next(last_ms))?;
        }
    }
    storage.finish()?;
    Ok(sent)
}

/// How long it takes to read so many bytes of a file of which nothing is in memory.
fn raw_round(bytes: usize) -> anyhow::Result<Duration> {
    let disk = Disk::new()?;
    let path = disk.path().join("raw");
    std::fs::write(&path, vec![0x5a; bytes])?;
    drop_caches(disk.path())?;
    let mut buffer = vec![0; 256 * 1024];
    let begun = Instant::now();
    let mut file = File::open(&path)?;
    while file.read(&mut buffer)? > 0 {}
    Ok(begun.elapsed())
}
