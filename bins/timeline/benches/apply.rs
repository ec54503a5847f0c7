//! What a core does with gauges: `cargo bench -p leela-timeline`.
//!
//! Records come as from datagrams: keys one behind the other, every series once a round, in no order. The
//! baseline is one map of owned keys, looked up one at a time.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Duration;

use common::metric::{Event, Kind, Metric};
use common::time::Time;
use common::value::Value;
use divan::Bencher;
use divan::counter::ItemsCount;
use leela_timeline::counters::Counters;
use leela_timeline::limits::Limits;
use leela_timeline::rules::Rules;
use leela_timeline::snapshot::{Restored, TakenUp, save, take_up};
use leela_timeline::timeline::Timeline;
use nix::time::ClockId;

const KEY_BYTES: usize = 27;
const SERIES: [usize; 3] = [10_000, 100_000, 1_000_000];

fn main() {
    longest_calls();
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
        numbers.iter().flat_map(|n| format!("shop.web{:02}.latency.{n:08}", n % 100).into_bytes()).collect();
    assert_eq!(keys.len(), series * KEY_BYTES);
    keys
}

fn timeline() -> Timeline {
    let limits =
        Limits { series_per_input_max: u32::MAX, series_per_part_max: u32::MAX, ..Limits::default() };
    Timeline::new(Rules { limits, ..Rules::default() })
}

/// Every series once; the sum of the events.
fn round(timeline: &mut Timeline, keys: &[u8], now: Time, value: u64) -> f64 {
    let mut total = 0.0;
    for batch in keys.chunks(32 * KEY_BYTES) {
        let mut records = [Metric::new(b"", now, Kind::Gauge, Value::U64(value)); 32];
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
    let mut timeline = timeline();
    round(&mut timeline, &keys, now, 0);
    let mut value = 0;
    bencher.counter(ItemsCount::new(series)).bench_local(|| {
        value += 1;
        assert_eq!(round(&mut timeline, &keys, now, value), (value * series as u64) as f64);
    });
}

/// Series that were never seen, and then what no limit lets in: what an explosion costs. `front` stands before each
/// number: names of four parts, or tags.
#[divan::bench(args = ["shop.web01.latency.", "shop.web01.latency;dc=ams;host=web01;id="], sample_count = 10)]
fn new_series(bencher: Bencher<'_, '_>, front: &str) {
    explode(bencher, front, 1_000_000);
}

/// As `new_series`, when there is room for none.
#[divan::bench(args = ["shop.web01.latency.", "shop.web01.latency;dc=ams;host=web01;id="], sample_count = 10)]
fn turned_away(bencher: Bencher<'_, '_>, front: &str) {
    explode(bencher, front, 0);
}

fn explode(bencher: Bencher<'_, '_>, front: &str, series_max: u32) {
    const COUNT: usize = 200_000;
    let keys: Vec<String> = (0..COUNT).map(|number| format!("{front}{number}")).collect();
    let now = Time::from_secs(1_700_000_000);
    let limits = Limits {
        series_max,
        series_reserve: 0,
        series_per_input_max: u32::MAX,
        series_per_part_max: u32::MAX,
    };
    let timeline = || Timeline::new(Rules { limits, ..Rules::default() });
    bencher.counter(ItemsCount::new(COUNT)).with_inputs(timeline).bench_local_refs(|timeline| {
        for batch in keys.chunks(32) {
            let records =
                batch.iter().map(|key| Metric::new(key.as_bytes(), now, Kind::Gauge, Value::U64(1)));
            let records: Vec<Metric<'_>> = records.collect();
            timeline.apply(&records, 1, now, Duration::ZERO, &mut |event: Event<'_>| {
                black_box(event.value);
            });
        }
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

/// How long one call takes at most: what a new series, a window that is due, or a series that is idle can stall.
/// The memory and the state file of a million series, beside it.
fn longest_calls() {
    const SERIES: usize = 1_000_000;
    let keys = keys(SERIES);
    let now = Time::from_secs(1_700_000_000);
    let before = resident_bytes();
    let mut timeline = timeline();
    let calls = keys.chunks(32 * KEY_BYTES).map(|batch| {
        timed(|| {
            round(&mut timeline, batch, now, 1);
        })
    });
    print_longest("new series, 32 a call", calls.collect());
    assert_eq!(timeline.counters().series, SERIES as u64);
    println!("{} bytes a series", (resident_bytes() - before) / SERIES as u64);

    let path = std::env::temp_dir().join(format!("leela-timeline-bench-{}.state", std::process::id()));
    let saving = timed(|| {
        assert_eq!(save(&timeline, &path, now, Duration::ZERO, None).expect("it is saved"), 1_000_000);
    });
    let bytes = std::fs::metadata(&path).expect("it was saved").len();
    let mut taken_up = None;
    let mut next = self::timeline();
    let taking_up = timed(|| taken_up = Some(take_up(&mut next, &path, now, Duration::ZERO, None)));
    assert!(matches!(taken_up, Some(TakenUp::Restored(Restored { series: 1_000_000, .. }))), "{taken_up:?}");
    println!("{SERIES} series saved in {saving:.0?}, {bytes} bytes, taken up in {taking_up:.0?}");
    drop(next);

    tick_until(&mut timeline, "idle series, a tick", |counters| counters.expired == SERIES as u64);
    let mut timeline = self::timeline();
    for key in keys.chunks(KEY_BYTES) {
        let record = Metric::new(key, now, Kind::Absolute, Value::U64(1));
        timeline.apply(&[record], 1, now, Duration::ZERO, &mut |_: Event<'_>| {});
    }
    tick_until(&mut timeline, "windows, a tick", |counters| counters.timer_events == SERIES as u64);
}

/// Ticks ten times a second, from two hours on.
fn tick_until(timeline: &mut Timeline, label: &str, done: impl Fn(&Counters) -> bool) {
    let mut mono = Duration::from_secs(7200);
    let mut calls = Vec::new();
    while !done(timeline.counters()) {
        mono += Duration::from_millis(100);
        let now = Time::from_secs(1_700_007_200);
        calls.push(timed(|| {
            timeline.tick(now, mono, &mut |event: Event<'_>| {
                black_box(event.value);
            });
        }));
    }
    print_longest(label, calls);
}

/// The thread's own time: what other processes take of the core is not the call's.
fn timed(work: impl FnOnce()) -> Duration {
    let read = || Duration::from(ClockId::CLOCK_THREAD_CPUTIME_ID.now().expect("a thread has a clock"));
    let start = read();
    work();
    read() - start
}

fn print_longest(label: &str, mut calls: Vec<Duration>) {
    calls.sort_unstable();
    let all: Duration = calls.iter().sum();
    let longest: Vec<&Duration> = calls.iter().rev().take(4).collect();
    println!("{label}: {} calls in {all:.0?}, the longest {longest:.0?}", calls.len());
}

/// The process's memory, from /proc/self/statm, in pages of 4 KiB.
fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("/proc is mounted");
    4096 * pages
        .split(' ')
        .nth(1)
        .and_then(|field| field.parse::<u64>().ok())
        .expect("the second field is resident")
}
