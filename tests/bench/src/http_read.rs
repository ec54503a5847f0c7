//! http_read: the last day of a thousand series in turn, by the original's route; leela-http and leela-storage.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use common::time::Time;
use serde_json::Value;

use crate::Scale;
use crate::child::{Process, Receiving, build};
use crate::figure::{Figure, Unit, median};
use crate::http::{Connection, free_address, request};
use crate::load::{KEY_BYTES, key};
use crate::points::{Gauge, Point, first_ms};
use crate::storage::Storage;
use crate::sums::Sums;

const SERIES: usize = 1000;
/// One a minute.
const POINTS: usize = 1440;
const MINUTE_MS: i64 = 60_000;

pub(crate) fn run(scale: Scale) -> anyhow::Result<Vec<Figure>> {
    build(&["leela-storage", "leela-http"])?;
    let series = scale.pick(SERIES, 10);
    let mut storage = Storage::start(KEY_BYTES + 18)?;
    let first_ms = first_ms(Time::now(), 1) - (POINTS as i64 - 1) * MINUTE_MS;
    let mut gauges: Vec<Gauge> = (0..series).map(Gauge::of).collect();
    let mut sent = vec![Sums::default(); series];
    for minute in 0..POINTS as i64 {
        for ((number, gauge), sums) in gauges.iter_mut().enumerate().zip(&mut sent) {
            // The route gives whole seconds.
            let point = Point { time_ms: first_ms + minute * MINUTE_MS, ..gauge.next(0) };
            storage.write(&key(number), point)?;
            sums.add(&key(number), point.mark());
        }
    }
    storage.finish()?;
    storage.wait_sealed()?;
    let address = free_address()?;
    let config = format!("listen = [\"{address}\"]\n");
    let http = Process::start("http", storage.dir(), storage.run(), &config, Vec::new())?;
    let mut connection = Connection::open(address)?;
    let mut answer_bytes = 0;
    // The first pass is not counted: it brings files and names into memory.
    let mut rates = Vec::new();
    let mut shares = [Vec::new(), Vec::new()];
    for pass in 0..=scale.pick(5, 1) {
        let before = [http.cpu()?, storage.cpu()?];
        for (number, sums) in sent.iter().enumerate() {
            let body = connection.ask(&past24(number))?;
            answer_bytes = body.len();
            came(number, &body)?.equal(*sums)?;
        }
        let after = [http.cpu()?, storage.cpu()?];
        let us = [0, 1].map(|place| (after[place] - before[place]).as_secs_f64() * 1e6 / series as f64);
        if pass > 0 {
            rates.push(1e6 / (us[0] + us[1]));
            shares.iter_mut().zip(us).for_each(|(share, us)| share.push(us));
        }
    }
    drop(connection);
    http.stop()?;
    storage.stop()?;
    let raw =
        (0..scale.pick(3, 1)).map(|_| raw_round(series, answer_bytes)).collect::<anyhow::Result<Vec<_>>>()?;
    let [http_us, storage_us] = shares.map(|share| median(&share));
    let figure = Figure::new("http_read", Unit::RequestsPerCpuSecond, median(&rates))
        .bounds(1e3, 4e3)
        .baseline("answers of the same size, made before", median(&raw))
        .note(format!(
            "of a request's cpu http {http_us:.0} us, storage {storage_us:.0} us; {answer_bytes} bytes each"
        ));
    Ok(vec![figure])
}

fn past24(series: usize) -> Vec<u8> {
    let key = key(series);
    request("GET", &format!("/v1/past24/{}", String::from_utf8_lossy(&key)), "", b"")
}

/// What an answer adds up to.
fn came(series: usize, body: &[u8]) -> anyhow::Result<Sums> {
    let answer: Value = serde_json::from_slice(body).context("an answer is JSON")?;
    let key = key(series);
    let points = answer["results"][&*String::from_utf8_lossy(&key)]["series"].as_array();
    let mut sums = Sums::default();
    for point in points.context("there is no series")? {
        let (Some(seconds), Some(value)) = (point[0].as_i64(), point[1].as_f64()) else {
            anyhow::bail!("not a point: {point}");
        };
        sums.add(&key, Point::of(Time::from_secs(seconds), value).mark());
    }
    Ok(sums)
}

/// Requests a cpu-second of a server that gives as many bytes each time.
fn raw_round(series: usize, answer_bytes: usize) -> anyhow::Result<f64> {
    let bytes = answer_bytes.to_string();
    let mut server = Receiving::start("raw-http", &["--answer-bytes".as_ref(), bytes.as_ref()])?;
    let address: SocketAddr = server.line()?.parse()?;
    let mut connection = Connection::open(address)?;
    for number in 0..series {
        let body = connection.ask(&past24(number))?;
        ensure!(body.len() == answer_bytes, "raw answers differ");
    }
    drop(connection);
    Ok(series as f64 / (server.stop()?.cpu_ns as f64 / 1e9))
}
