//! hop: from an input's writer to a receiver that decodes and sums, between two processes.

use std::os::unix::net::UnixDatagram;

use common::metric::{Kind, Metric};
use common::time::Time;
use common::value::Value;
use socket2::SockRef;

use crate::Scale;
use crate::child::{Receiving, scratch};
use crate::clock::{cpu_of_self, monotonic_ns};
use crate::figure::{Figure, Unit, median};
use crate::load::{KEY_BYTES, keys};
use crate::sums::Sums;
use crate::writer::Writer;

/// Bytes of a metric's record with such a key.
const RECORD_BYTES: usize = KEY_BYTES + 19;
/// Records an input takes before it commits: a hand of 32 datagrams with 40 gauges each.
const RECORDS_A_COMMIT: u64 = 32 * 40;
/// A full datagram: its header and as many records as fit.
const DATAGRAM_BYTES: usize = 24 + 711 * RECORD_BYTES;

pub(crate) fn run(scale: Scale) -> anyhow::Result<Vec<Figure>> {
    let records = scale.pick(20_000_000, 50_000);
    let rounds = scale.pick(5, 1);
    let (mut rates, mut writing, mut reading, mut raw) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let [rate, writing_ns, reading_ns] = round(records)?;
        rates.push(rate);
        writing.push(writing_ns);
        reading.push(reading_ns);
        raw.push(raw_round(records)?);
    }
    let note =
        format!("{:.0} ns of cpu to write a record, {:.0} ns to read it", median(&writing), median(&reading));
    let figure = Figure::new("hop", Unit::RecordsPerSecond, median(&rates))
        .bounds(12e6, 40e6)
        .baseline("raw send and recv of the same bytes", median(&raw))
        .note(note);
    Ok(vec![figure])
}

/// Records a second, and the processor time of each side a record, in nanoseconds.
fn round(records: u64) -> anyhow::Result<[f64; 3]> {
    let (_dir, run) = scratch()?;
    let count = records.to_string();
    let receiver = Receiving::sum(&run, &run.timeline_databus(), &["--pace", "--records", &count])?;
    let mut writer = Writer::to_timeline(&run)?;
    let keys = keys();
    let mut sent = Sums::default();
    let (start, cpu) = (monotonic_ns(), cpu_of_self());
    let mut series = keys.iter().cycle();
    while sent.records < records {
        let time = Time::now();
        let before = sent.records;
        while sent.records < records && sent.records - before < RECORDS_A_COMMIT {
            let key = series.next().expect("it goes round");
            let value = sent.records;
            writer.metric(&Metric::new(key, time, Kind::Gauge, Value::U64(value)));
            sent.add(key, value);
        }
        writer.commit(sent.records - before);
        writer.keep_close(RECORD_BYTES, None)?;
    }
    writer.finish(None)?;
    let cpu = cpu_of_self() - cpu;
    let report = receiver.report()?;
    report.sums.equal(sent)?;
    let a_record = |ns: u64| ns as f64 / records as f64;
    let seconds = (report.last_ns - start) as f64 / 1e9;
    Ok([records as f64 / seconds, a_record(cpu.as_nanos() as u64), a_record(report.cpu_ns)])
}

/// As many bytes in as large datagrams, neither encoded nor decoded.
fn raw_round(records: u64) -> anyhow::Result<f64> {
    let (dir, _run) = scratch()?;
    let path = dir.path().join("raw");
    let datagrams = (records * RECORD_BYTES as u64).div_ceil(DATAGRAM_BYTES as u64);
    let bytes = (datagrams * DATAGRAM_BYTES as u64).to_string();
    let receiver = Receiving::start("raw", &[path.as_ref(), bytes.as_ref()])?;
    let socket = UnixDatagram::unbound()?;
    SockRef::from(&socket).set_send_buffer_size(1 << 20)?;
    socket.connect(&path)?;
    let datagram = vec![b'x'; DATAGRAM_BYTES];
    let start = monotonic_ns();
    for _ in 0..datagrams {
        socket.send(&datagram)?;
    }
    let report = receiver.report()?;
    anyhow::ensure!(report.sums.values == datagrams * DATAGRAM_BYTES as u64, "raw bytes differ");
    Ok(records as f64 / ((report.last_ns - start) as f64 / 1e9))
}
