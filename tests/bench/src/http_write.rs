//! http_write: leela-http takes a thousand points a request over eight connections, in each form that `/v2/write` knows.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use common::time::Time;
use serde_json::Value;

use crate::Scale;
use crate::child::{Process, Receiving, build, scratch};
use crate::figure::{Figure, Unit, median};
use crate::http::{Connection, free_address, request};
use crate::load::{SERIES, key};
use crate::points::Gauge;
use crate::sums::Sums;

const CONNECTIONS: usize = 8;
const POINTS: usize = 1000;

/// A form of a body: its name, its media type, and how a point is written.
type Form = (&'static str, &'static str, fn(&mut Vec<u8>, &Written<'_>));

const FORMS: [Form; 3] = [
    ("Leela's text", "text/plain", |out, point| {
        let Written { key, value, seconds } = point;
        let _ = write!(out, "gauge {}|{key} {value} {seconds}.0;", key.len());
    }),
    ("NDJSON", "application/x-ndjson", |out, point| {
        let Written { key, value, seconds } = point;
        let _ = writeln!(out, r#"{{"key":"{key}","type":"gauge","value":{value},"timestamp":{seconds}}}"#);
    }),
    ("JSON", "application/json", |out, point| {
        let Written { key, value, seconds } = point;
        out.push(if out.is_empty() { b'[' } else { b',' });
        let _ = write!(out, r#"{{"key":"{key}","type":"gauge","value":{value},"timestamp":{seconds}}}"#);
    }),
];

/// A point as it is written.
struct Written<'a> {
    key: &'a str,
    value: f64,
    seconds: i64,
}

pub(crate) fn run(scale: Scale) -> anyhow::Result<Vec<Figure>> {
    build(&["leela-http"])?;
    let mut figures = Vec::new();
    for form in FORMS {
        let (mut rates, mut raw, mut seconds) = (Vec::new(), Vec::new(), Vec::new());
        let requests = requests(form);
        for _ in 0..scale.pick(3, 1) {
            let (rate, a_second) = round(&requests, scale.pick(20, 1))?;
            rates.push(rate);
            seconds.push(a_second);
            raw.push(raw_round(&requests, scale.pick(20, 1))?);
        }
        let figure = Figure::new(format!("http_write, {}", form.0), Unit::PointsPerCpuSecond, median(&rates))
            .bounds(1e6, 3e6)
            .baseline("reading the same requests, unread", median(&raw))
            .note(format!("{:.2} M points/s", median(&seconds) / 1e6));
        figures.push(figure);
    }
    Ok(figures)
}

/// Requests that go round ten points of every series, and what each adds to the sums.
fn requests((_, media_type, write): Form) -> Vec<(Vec<u8>, Sums)> {
    let seconds = Time::now().ns() / 1_000_000_000;
    let mut gauges: Vec<Gauge> = (0..SERIES).map(Gauge::of).collect();
    let each = |number: usize| {
        let (mut body, mut sums) = (Vec::new(), Sums::default());
        for place in number * POINTS..(number + 1) * POINTS {
            let (series, round) = (place % SERIES, place / SERIES);
            let key = key(series);
            let value = gauges[series].next(0).value();
            sums.add(&key, value as u64);
            let key = std::str::from_utf8(&key).expect("keys are text");
            write(&mut body, &Written { key, value, seconds: seconds - 100 + round as i64 });
        }
        if media_type == "application/json" {
            body.push(b']');
        }
        let headers = format!("Content-Type: {media_type}\r\n");
        (request("POST", "/v2/write", &headers, &body), sums)
    };
    (0..10 * SERIES / POINTS).map(each).collect()
}

/// Points a second of leela-http's processor time, and points a second.
fn round(requests: &[(Vec<u8>, Sums)], passes: usize) -> anyhow::Result<(f64, f64)> {
    let (dir, run) = scratch()?;
    let points = passes * requests.len() * POINTS;
    let receiver =
        Receiving::sum(&run, &run.timeline_databus(), &["--pace", "--records", &points.to_string()])?;
    let address = free_address()?;
    let config = format!("listen = [\"{address}\"]\n");
    let http = Process::start("http", &dir, &run, &config, Vec::new())?;
    let mut clients = Clients::open(address)?;
    let (begun, before) = (Instant::now(), http.cpu()?);
    let mut sent = Sums::default();
    for _ in 0..passes {
        clients.pass(requests, |answer| {
            let answer: Value = serde_json::from_slice(answer).context("an answer is JSON")?;
            ensure!(answer["accepted"] == POINTS, "{answer}");
            Ok(())
        })?;
        requests.iter().for_each(|(_, sums)| sent.join(*sums));
    }
    // It has handed on what it took.
    let report = receiver.report()?;
    let (cpu, seconds) = (http.cpu()? - before, begun.elapsed().as_secs_f64());
    report.sums.equal(sent)?;
    http.stop()?;
    Ok((points as f64 / cpu.as_secs_f64(), points as f64 / seconds))
}

/// Points a cpu-second of a server that reads the same requests and looks at none.
fn raw_round(requests: &[(Vec<u8>, Sums)], passes: usize) -> anyhow::Result<f64> {
    let mut server = Receiving::start("raw-http", &["--answer-bytes".as_ref(), "20".as_ref()])?;
    let address: SocketAddr = server.line()?.parse()?;
    let mut clients = Clients::open(address)?;
    for _ in 0..passes {
        clients.pass(requests, |_| Ok(()))?;
    }
    let cpu_ns = server.stop()?.cpu_ns;
    Ok((passes * requests.len() * POINTS) as f64 / (cpu_ns as f64 / 1e9))
}

/// The connections, which are used in turn.
struct Clients(Vec<Connection>);

impl Clients {
    fn open(address: SocketAddr) -> anyhow::Result<Clients> {
        Ok(Clients((0..CONNECTIONS).map(|_| Connection::open(address)).collect::<anyhow::Result<_>>()?))
    }

    /// Sends each request once, and waits for all answers. What is answered 503 is sent again.
    fn pass(
        &mut self,
        requests: &[(Vec<u8>, Sums)],
        mut each: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for requests in requests.chunks(CONNECTIONS) {
            for (connection, (request, _)) in self.0.iter_mut().zip(requests) {
                connection.send(request)?;
            }
            for (connection, (request, _)) in self.0.iter_mut().zip(requests) {
                let mut answer = connection.answer()?;
                let end = Instant::now() + Duration::from_secs(10);
                while answer.status == 503 && Instant::now() < end {
                    std::thread::sleep(Duration::from_millis(5));
                    connection.send(request)?;
                    answer = connection.answer()?;
                }
                let text = || String::from_utf8_lossy(&answer.body);
                ensure!((200..300).contains(&answer.status), "status {}: {}", answer.status, text());
                each(&answer.body)?;
            }
        }
        Ok(())
    }
}
