//! The binary form: how fast records are written into a datagram, and read out of one.

use common::metric::{Event, Kind, Metric};
use common::time::Time;
use common::value::Value;
use common::wire::{Batch, Content, Events, Header, Metrics};
use divan::counter::{BytesCount, ItemsCount};
use divan::{AllocProfiler, Bencher, black_box};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

/// Records of a full datagram with keys of 27 bytes.
const RECORDS: usize = 711;

fn main() {
    divan::main();
}

fn keys() -> Vec<Box<[u8]>> {
    let key = |series| format!("web{:02}.nginx.requests.{series:06}", series % 100);
    (0..RECORDS).map(|series| key(series).into_bytes().into_boxed_slice()).collect()
}

fn metrics(keys: &[Box<[u8]>]) -> Vec<Metric<'_>> {
    let metric =
        |(number, key)| Metric::new(key, Time::from_secs(1_350_332_001), Kind::Gauge, Value::U64(number));
    (0..).zip(keys.iter().map(|key| &key[..])).map(metric).collect()
}

fn datagram(content: Content, metrics: &[Metric<'_>]) -> Vec<u8> {
    let mut batch = Batch::new(content);
    for Metric { key, time, value, .. } in metrics {
        let written = match content {
            Content::Metrics => batch.metric(&Metric::new(key, *time, Kind::Gauge, *value)),
            _ => batch.event(&Event { key, time: *time, value: value.as_f64() }),
        };
        written.expect("so many fit");
    }
    batch.seal(1, 1).to_vec()
}

#[divan::bench]
fn encode_metrics(bencher: Bencher<'_, '_>) {
    let keys = keys();
    let metrics = metrics(&keys);
    let mut batch = Batch::new(Content::Metrics);
    bencher.counter(ItemsCount::new(RECORDS)).bench_local(|| {
        batch.clear();
        for metric in black_box(&metrics) {
            batch.metric(metric).expect("so many fit");
        }
        batch.seal(1, 1).len()
    });
}

#[divan::bench]
fn decode_metrics(bencher: Bencher<'_, '_>) {
    let keys = keys();
    let datagram = datagram(Content::Metrics, &metrics(&keys));
    let counter = bencher.counter(ItemsCount::new(RECORDS)).counter(BytesCount::new(datagram.len()));
    counter.bench_local(|| {
        let (header, records) = Header::read(black_box(&datagram)).expect("it is ours");
        let metrics = Metrics::new(records, header.count).flatten();
        metrics.map(|metric| metric.key.len() as f64 + metric.value.as_f64()).sum::<f64>()
    });
}

#[divan::bench]
fn decode_events(bencher: Bencher<'_, '_>) {
    let keys = keys();
    let datagram = datagram(Content::Events, &metrics(&keys));
    let counter = bencher.counter(ItemsCount::new(RECORDS)).counter(BytesCount::new(datagram.len()));
    counter.bench_local(|| {
        let (header, records) = Header::read(black_box(&datagram)).expect("it is ours");
        let events = Events::new(records, header.count).flatten();
        events.map(|event| event.key.len() as f64 + event.value).sum::<f64>()
    });
}
