//! Pipelines at work: one value for each of 100,000 series in turn.

use std::hint::black_box;

use common::query::pipeline::Pipeline;
use common::query::proc;
use common::query::run::Run;
use common::query::selector::Selector;
use divan::Bencher;
use divan::counter::ItemsCount;

const SERIES: usize = 100_000;

#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

/// A state for each series, in the order of the keys, as a table that grew would have it.
fn runs(pipeline: &str) -> Vec<Run> {
    let pipeline = Pipeline::parse(pipeline).expect(pipeline);
    (0..SERIES).map(|_| pipeline.start()).collect()
}

#[divan::bench(args = [
    "id",
    "mean",
    "window 60 (mean)",
    "sma 30 | sample 1/5",
    "mean | (* 100) | [> 50]",
    "window 60 (median)",
])]
fn feed(bencher: Bencher<'_, '_>, pipeline: &str) {
    let mut runs = runs(pipeline);
    let mut value = 0.0;
    bencher.counter(ItemsCount::new(SERIES)).bench_local(|| {
        let mut sum = 0.0;
        for run in black_box(&mut runs) {
            value += 0.5;
            sum += run.feed(value).unwrap_or(0.0);
        }
        sum
    });
}

#[divan::bench]
fn median_of_the_latest(bencher: Bencher<'_, '_>) {
    let mut run = Pipeline::parse("median").expect("median").start();
    let mut value = 0_u64;
    bencher.counter(ItemsCount::new(SERIES)).bench_local(|| {
        let mut sum = 0.0;
        for _ in 0..SERIES {
            // Values in no order.
            value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            sum += run.feed((value >> 40) as f64).unwrap_or(0.0);
        }
        sum
    });
}

#[divan::bench(args = [".", r"^web-\d+\.http\.", "latency", r"^web-(0|1)(0|2)\d+\..*\.mean$"])]
fn select(bencher: Bencher<'_, '_>, regex: &str) {
    let selector = Selector::parse(regex).expect(regex);
    let keys: Vec<String> = (0..SERIES).map(|n| format!("web-{n:05}.http.latency.mean")).collect();
    bencher
        .counter(ItemsCount::new(SERIES))
        .bench_local(|| black_box(&keys).iter().filter(|key| selector.matches(key.as_bytes())).count());
}

#[divan::bench]
fn parse_proc() {
    black_box(proc::parse(black_box(b"proc match 21|^web-\\d+\\.http\\.latenc window 60 (mean | (* 100));")))
        .ok();
}
