//! Leela's text, read and written: datagrams of 40 gauges over 10,000 distinct keys of 27 bytes.

use std::hint::black_box;

use common::metric::{Event, Metric};
use common::text;
use common::time::Time;
use common::value::Value;
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};

/// Distinct keys, `web-00001.http.latency.mean` and so on.
const KEYS: usize = 10_000;
const GAUGES_A_DATAGRAM: usize = 40;
const SECONDS: i64 = 1_350_332_001;

#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

fn keys() -> Vec<String> {
    (0..KEYS).map(|n| format!("web-{n:05}.http.latency.mean")).collect()
}

/// The datagrams, with `rest` behind each key.
fn datagrams(rest: &str) -> Vec<Vec<u8>> {
    let keys = keys();
    assert!(keys.iter().all(|key| key.len() == 27));
    keys.chunks(GAUGES_A_DATAGRAM)
        .map(|keys| keys.iter().map(|key| format!("gauge 27|{key} {rest};")).collect::<String>().into_bytes())
        .collect()
}

fn count(datagrams: &[Vec<u8>]) -> (ItemsCount, BytesCount) {
    (ItemsCount::new(KEYS), BytesCount::new(datagrams.iter().map(Vec::len).sum::<usize>()))
}

/// What a reader has to touch: key, value and time of each.
#[divan::bench(args = ["0.75 1350332001.0", "0.75", "123456 1350332001.123456", "0.30000000000000004 1350332001.5"])]
fn read_metrics(bencher: Bencher<'_, '_>, rest: &str) {
    let datagrams = datagrams(rest);
    let (items, bytes) = count(&datagrams);
    bencher.counter(items).counter(bytes).bench(|| {
        let (mut sum, mut refused) = (0.0, 0);
        for datagram in black_box(&datagrams) {
            text::datagram(datagram, Time::from_secs(SECONDS), |metric| match metric {
                Ok(metric) => {
                    sum += metric.value.as_f64() + (metric.time.ns() & 1) as f64 + metric.key.len() as f64;
                }
                Err(_) => refused += 1,
            });
        }
        assert_eq!(refused, 0);
        sum
    });
}

#[divan::bench]
fn read_legacy(bencher: Bencher<'_, '_>) {
    let text: String = keys().iter().map(|key| format!("{key}: 0.75 1350332001\n")).collect();
    bencher.counter(ItemsCount::new(KEYS)).counter(BytesCount::new(text.len())).bench(|| {
        let mut sum = 0.0;
        text::datagram(black_box(text.as_bytes()), Time::from_secs(SECONDS), |metric| {
            sum += metric.map_or(f64::NAN, |metric| metric.value.as_f64());
        });
        assert!(!f64::is_nan(sum));
        sum
    });
}

/// Datagrams in which every second message is bad.
#[divan::bench]
fn read_half_refused(bencher: Bencher<'_, '_>) {
    let mut datagrams = datagrams("0.75 1350332001.0");
    for datagram in &mut datagrams {
        let text = String::from_utf8(std::mem::take(datagram)).expect("it is ASCII");
        let halves = text.split_inclusive(';').enumerate();
        *datagram = halves
            .map(|(n, text)| if n % 2 == 0 { text.replace("0.75", "0,75") } else { text.to_owned() })
            .collect::<String>()
            .into_bytes();
    }
    let (items, bytes) = count(&datagrams);
    bencher.counter(items).counter(bytes).bench(|| {
        let mut refused = 0;
        for datagram in black_box(&datagrams) {
            text::metrics(datagram, Time::from_secs(SECONDS), |metric| {
                refused += usize::from(metric.is_err());
            });
        }
        assert_eq!(refused, KEYS / 2);
    });
}

#[divan::bench(args = [0.75, 123_456.0, 0.1 + 0.2, 1e-9])]
fn write_events(bencher: Bencher<'_, '_>, value: f64) {
    let keys = keys();
    let mut out = Vec::with_capacity(1 << 20);
    bencher.counter(ItemsCount::new(KEYS)).bench_local(|| {
        out.clear();
        for key in black_box(&keys) {
            text::write_event(
                &mut out,
                &Event { key: key.as_bytes(), time: Time::from_secs(SECONDS), value },
            );
        }
        out.len()
    });
}

#[divan::bench]
fn write_metrics(bencher: Bencher<'_, '_>) {
    let keys = keys();
    let mut out = Vec::with_capacity(1 << 20);
    let (time, kind, value) = (Time::from_secs(SECONDS), common::metric::Kind::Gauge, Value::U64(123_456));
    bencher.counter(ItemsCount::new(KEYS)).bench_local(|| {
        out.clear();
        for key in black_box(&keys) {
            text::write_metric(&mut out, &Metric::new(key.as_bytes(), time, kind, value));
        }
        out.len()
    });
}
