//! The block coder: how fast points are coded and read back, and how many bytes they take. The bytes of each input are
//! printed first.

use std::hint::black_box;

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher};
use leela_storage::block;

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

fn main() {
    for input in Input::ALL {
        let blocks = input.blocks();
        let (mut points, mut out) = (0, Vec::new());
        for (times, values) in &blocks {
            points += times.len();
            block::encode(times, values, &mut out);
        }
        let heads = blocks.len() * block::HEAD_BYTES;
        let bytes = |bytes: usize| bytes as f64 / points as f64;
        let (all, without) = (bytes(out.len()), bytes(out.len() - heads));
        println!("{input:<24} {all:6.3} bytes a point, {without:6.3} without its head");
    }
    divan::main();
}

/// What is measured: blocks of series of different kinds, with times every 10 s, a millisecond early or late.
#[derive(Clone, Copy, Debug)]
enum Input {
    /// Two decimals, steps with a normal distribution, 3.3 hundredths wide: with the times 0.67 bytes of entropy.
    Wandering,
    /// The same in blocks of 1,000 points.
    WanderingLong,
    /// Two decimals, each step one of five.
    Stepping,
    /// Two decimals, anywhere from 40.00 to 60.00: with the times 1.57 bytes of entropy.
    Ranging,
    /// Always the same, at exact times.
    Constant,
    /// A count that grows by about 500 each time.
    Counter,
    /// Rates that are no decimals.
    Rates,
}

impl Input {
    const ALL: [Input; 7] = [
        Input::Wandering,
        Input::WanderingLong,
        Input::Stepping,
        Input::Ranging,
        Input::Constant,
        Input::Counter,
        Input::Rates,
    ];

    fn blocks(self) -> Vec<(Vec<i64>, Vec<f64>)> {
        let mut state = 7_u64;
        // SplitMix64. Source: <https://prng.di.unimi.it/splitmix64.c>.
        let mut draw = move || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        };
        let count = if matches!(self, Input::WanderingLong) { 1000 } else { 100 };
        let mut level = 5_000_i64;
        let mut block = |number: usize| {
            let begin = 1_700_000_000_000 + (number * 37 % 10_000) as i64;
            let (mut times, mut values) = (Vec::with_capacity(count), Vec::with_capacity(count));
            for at in 0..count as i64 {
                let drawn = draw();
                let jitter = if matches!(self, Input::Constant) { 0 } else { (drawn >> 44) as i64 % 3 - 1 };
                times.push(begin + at * 10_000 + jitter);
                let low = drawn & ((1 << 44) - 1);
                values.push(match self {
                    Input::Wandering | Input::WanderingLong => {
                        level += i64::from(low.count_ones()) - 22;
                        level as f64 / 100.0
                    }
                    Input::Stepping => {
                        level += (low % 5) as i64 - 2;
                        level as f64 / 100.0
                    }
                    Input::Ranging => (4_000 + low % 2_001) as f64 / 100.0,
                    Input::Constant => 42.5,
                    Input::Counter => {
                        level += 400 + (low % 200) as i64;
                        level as f64
                    }
                    Input::Rates => (1_000 + low % 500) as f64 / (10.0 + jitter as f64 / 1000.0),
                });
            }
            (times, values)
        };
        (0..100_000 / count).map(&mut block).collect()
    }
}

impl std::fmt::Display for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("{self:?}"))
    }
}

fn points(blocks: &[(Vec<i64>, Vec<f64>)]) -> ItemsCount {
    ItemsCount::new(blocks.iter().map(|(times, _)| times.len()).sum::<usize>())
}

#[divan::bench(args = Input::ALL)]
fn encode(bencher: Bencher<'_, '_>, input: Input) {
    let blocks = input.blocks();
    let mut out = Vec::new();
    bencher.counter(points(&blocks)).bench_local(|| {
        for (times, values) in &blocks {
            out.clear();
            block::encode(black_box(times), black_box(values), &mut out);
            black_box(&out);
        }
    });
}

#[divan::bench(args = Input::ALL)]
fn decode(bencher: Bencher<'_, '_>, input: Input) {
    let blocks = input.blocks();
    let coded: Vec<Vec<u8>> = blocks
        .iter()
        .map(|(times, values)| {
            let mut out = Vec::new();
            block::encode(times, values, &mut out);
            out
        })
        .collect();
    let (mut times, mut values) = (Vec::new(), Vec::new());
    bencher.counter(points(&blocks)).bench_local(|| {
        for block in &coded {
            times.clear();
            values.clear();
            block::decode(black_box(block), &mut times, &mut values).expect("it was just written");
            black_box((&times, &values));
        }
    });
}
