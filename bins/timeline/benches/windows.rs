//! What a core does with counts and samples, and how long a flush takes: `cargo bench -p leela-timeline --bench windows`.
//!
//! Records come as from datagrams, in no order. Times are the thread's own.

use std::hint::black_box;
use std::time::Duration;

use common::metric::{Event, Kind, Metric, State};
use common::time::Time;
use common::value::Value;
use leela_timeline::limits::Limits;
use leela_timeline::rules::Rules;
use leela_timeline::timeline::{Output, Timeline};
use nix::time::ClockId;

/// A name and three tags: 48 bytes.
const KEY_BYTES: usize = 48;
const START: i64 = 1_700_000_000;

fn main() {
    counts(10_000, 300);
    counts(1_000_000, 3);
    samples(10_000, 1_000);
    flushed_samples(1_000_000, 10);
}

/// What comes out, of which states are wanted.
#[derive(Default)]
struct Out {
    events: u64,
    sum: f64,
    state_bytes: u64,
}

impl Output for Out {
    fn event(&mut self, event: Event<'_>) {
        self.events += 1;
        self.sum += black_box(event.value);
    }

    fn wants_states(&self) -> bool {
        true
    }

    fn state(&mut self, state: State<'_>) {
        self.state_bytes += state.bytes.len() as u64;
    }
}

/// Increments of every series, one behind the other, `rounds` times; and the window of all of them.
fn counts(series: usize, rounds: usize) {
    let keys = keys(series);
    let before = resident_bytes();
    let mut timeline = timeline();
    let mut out = Out::default();
    let opened = timed(|| round(&mut timeline, &keys, Kind::Count, 1, &mut out));
    let bytes = (resident_bytes() - before) / series as u64;
    let took = timed(|| {
        for _ in 0..rounds {
            round(&mut timeline, &keys, Kind::Count, 1, &mut out);
        }
    });
    println!(
        "{series} counts: {:.1} M/s once they are known, {:.1} M/s new, {bytes} bytes a series",
        rate(series * rounds, took),
        rate(series, opened),
    );
    flush(&mut timeline, &mut out, "flush of counts");
    // A rate of a tenth beside each total.
    assert!((out.sum - (series * (1 + rounds)) as f64 * 1.1).abs() < 1.0, "{}", out.sum);
}

/// Values of every series, a thousand each, between 1 and 1,000.
fn samples(series: usize, values: usize) {
    let keys = keys(series);
    let before = resident_bytes();
    let mut timeline = timeline();
    let mut out = Out::default();
    let took = timed(|| {
        for number in 0..values {
            round(&mut timeline, &keys, Kind::Sample, 1 + (number * 7919 % 1000) as u64, &mut out);
        }
    });
    let bytes = (resident_bytes() - before) / series as u64;
    println!("{series} samples of {values}: {:.1} M/s, {bytes} bytes a series", rate(series * values, took));
    flush(&mut timeline, &mut out, "flush of samples");
}

fn flushed_samples(series: usize, values: usize) {
    let keys = keys(series);
    let before = resident_bytes();
    let mut timeline = timeline();
    let mut out = Out::default();
    let took = timed(|| {
        for number in 0..values {
            round(&mut timeline, &keys, Kind::Sample, 1 + (number * 7919 % 1000) as u64, &mut out);
        }
    });
    let bytes = (resident_bytes() - before) / series as u64;
    println!("{series} samples of {values}: {:.1} M/s, {bytes} bytes a series", rate(series * values, took));
    flush(&mut timeline, &mut out, "flush of samples");
}

fn flush(timeline: &mut Timeline, out: &mut Out, label: &str) {
    let now = Time::from_secs(START + 11);
    let mut calls = Vec::new();
    loop {
        let mut more = false;
        calls.push(timed(|| more = timeline.flush(now, out)));
        if !more {
            break;
        }
    }
    calls.sort_unstable();
    let all: Duration = calls.iter().sum();
    let longest: Vec<&Duration> = calls.iter().rev().take(4).collect();
    println!(
        "{label}: {} events and {} bytes of states in {all:.0?}, {} slices, the longest {longest:.0?}",
        out.events,
        out.state_bytes,
        calls.len()
    );
    assert_eq!(timeline.counters().aggregated_open, 0);
}

/// Every series once.
fn round(timeline: &mut Timeline, keys: &[u8], kind: Kind, value: u64, out: &mut Out) {
    let now = Time::from_secs(START + 1);
    for batch in keys.chunks(32 * KEY_BYTES) {
        let mut records = [Metric::new(b"", now, kind, Value::U64(value)); 32];
        let mut count = 0;
        for (record, key) in records.iter_mut().zip(batch.chunks_exact(KEY_BYTES)) {
            record.key = key;
            count += 1;
        }
        timeline.apply(&records[..count], 1, now, Duration::ZERO, out);
    }
}

/// The keys of `series`, shuffled.
fn keys(series: usize) -> Vec<u8> {
    let mut numbers: Vec<usize> = (0..series).collect();
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    for last in (1..series).rev() {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        numbers.swap(last, (seed % (last as u64 + 1)) as usize);
    }
    let key = |n: &usize| {
        format!("web.request.{n:07};dc=ams;host=web{:05};route={}", n % 99_999, n % 10).into_bytes()
    };
    let keys: Vec<u8> = numbers.iter().flat_map(key).collect();
    assert_eq!(keys.len(), series * KEY_BYTES);
    keys
}

fn timeline() -> Timeline {
    let limits =
        Limits { series_per_input_max: u32::MAX, series_per_part_max: u32::MAX, ..Limits::default() };
    Timeline::new(Rules { limits, ..Rules::default() })
}

fn rate(records: usize, took: Duration) -> f64 {
    records as f64 / took.as_secs_f64() / 1e6
}

/// The thread's own time: what other processes take of the core is not the call's.
fn timed(work: impl FnOnce()) -> Duration {
    let read = || Duration::from(ClockId::CLOCK_THREAD_CPUTIME_ID.now().expect("a thread has a clock"));
    let start = read();
    work();
    read() - start
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
