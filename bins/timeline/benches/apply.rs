//! What a core does with gauges: `cargo bench -p leela-timeline`.
//!
//! Records come as from datagrams: keys one behind the other, every series once a round, in no order. The
//! baseline is one map of owned keys, looked up one at a time.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use common::metric::{Event, Kind, Metric};
use common::time::Time;
use common::value::Value;
use divan::Bencher;
use divan::counter::ItemsCount;
use leela_timeline::rules::Rules;
use leela_timeline::timeline::Timeline;

const KEY_BYTES: usize = 27;
const SERIES: [usize; 3] = [10_000, 100_000, 1_000_000];

fn main() {
    longest_call();
    divan::main();
}

/// The keys of `series` gauges, 27 bytes each, shuffled.
fn keys(series: usize) -> Vec<u8> {
    let mut numbers: Vec<usize> = (0..series).collect();
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    for last in (1..series).rev() {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        numbers.swap(last, (seed % (last as u64 + 1)) as usize);
    }
    let keys: Vec<u8> =
        numbers.iter().flat_map(|n| format!("shop.web{:02}.latency.{n:09}", n % 100).into_bytes()).collect();
    assert_eq!(keys.len(), series * KEY_BYTES);
    keys
}

/// Every series once; the sum of the events.
fn round(timeline: &mut Timeline, keys: &[u8], now: Time, value: u64) -> f64 {
    let mut total = 0.0;
    for batch in keys.chunks(32 * KEY_BYTES) {
        let mut records =
            [Metric { key: b"", time: now, kind: Kind::Gauge, value: Value::U64(value) }; 32];
        let mut count = 0;
        for (record, key) in records.iter_mut().zip(batch.chunks_exact(KEY_BYTES)) {
            record.key = key;
            count += 1;
        }
        let mut sum = |event: Event<'_>| total += event.value + f64::from(event.key[0] == b'?');
        timeline.apply(&records[..count], 1, now, Duration::ZERO, &mut sum);
    }
    total
}

#[divan::bench(args = SERIES, sample_count = 20)]
fn gauges(bencher: Bencher<'_, '_>, series: usize) {
    let keys = keys(series);
    let now = Time::from_secs(1_700_000_000);
    let mut timeline = Timeline::new(Rules::default());
    round(&mut timeline, &keys, now, 0);
    let mut value = 0;
    bencher.counter(ItemsCount::new(series)).bench_local(|| {
        value += 1;
        assert_eq!(round(&mut timeline, &keys, now, value), (value * series as u64) as f64);
    });
}

#[divan::bench(args = SERIES, sample_count = 20)]
fn baseline_one_map(bencher: Bencher<'_, '_>, series: usize) {
    let keys = keys(series);
    let mut map: HashMap<Vec<u8>, f64> = keys.chunks(KEY_BYTES).map(|key| (key.to_vec(), 0.0)).collect();
    bencher.counter(ItemsCount::new(series)).bench_local(|| {
        for key in keys.chunks(KEY_BYTES) {
            *map.get_mut(key).expect("it was entered") += 1.0;
        }
        black_box(&map);
    });
}

/// How long one call takes at most while the table grows: the stall a new series can cause.
fn longest_call() {
    for series in [1_000_000, 1_900_000] {
        let keys = keys(series);
        let limits = leela_timeline::limits::Limits {
            series_per_input_max: u32::MAX,
            series_per_part_max: u32::MAX,
            ..Default::default()
        };
        let mut timeline = Timeline::new(Rules { limits, ..Rules::default() });
        let start = Instant::now();
        let mut calls: Vec<Duration> = keys
            .chunks(32 * KEY_BYTES)
            .map(|batch| {
                let start = Instant::now();
                round(&mut timeline, batch, Time::from_secs(1_700_000_000), 1);
                start.elapsed()
            })
            .collect();
        let all = start.elapsed();
        calls.sort_unstable();
        assert_eq!(timeline.counters().series, series as u64);
        println!(
            "{series} new series in {all:?}; the longest calls of 32 records: {:?}",
            calls.iter().rev().take(4).collect::<Vec<_>>()
        );
    }
}
