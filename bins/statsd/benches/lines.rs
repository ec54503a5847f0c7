//! Lines, read: datagrams of 50 lines of 27 bytes over 10,000 series, and lines with three tags.

use std::hint::black_box;

use common::time::Time;
use common::wire::{Batch, Content, Full};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use leela_statsd::Config;
use leela_statsd::dialect::lines;
use leela_statsd::reader::{self, Found, Reader};

/// Distinct series.
const SERIES: usize = 10_000;
const LINES_A_DATAGRAM: usize = 50;
const SECONDS: i64 = 1_350_332_001;

#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

fn datagrams(line: &dyn Fn(usize) -> String) -> Vec<Vec<u8>> {
    let lines: Vec<String> = (0..SERIES).map(line).collect();
    lines.chunks(LINES_A_DATAGRAM).map(|lines| lines.join("\n").into_bytes()).collect()
}

/// Begins anew where there is no room.
fn push(batch: &mut Batch, record: impl Fn(&mut Batch) -> Result<(), Full>) {
    if record(batch).is_err() {
        batch.clear();
    }
}

/// From lines to records of the databus.
#[divan::bench(args = [
    ("count", "web-{}.http.requests:1|c"),
    ("rated", "web-{}.http.hits:1|c|@0.1"),
    ("timer", "web-{}.http.time:3.25|ms"),
    ("packed", "w-{}.t:1:2:3:4:5:6:7|ms"),
    ("sorted", "web.requests:1|c|#dc:ams,host:web-{},status:200"),
    ("unsorted", "web.requests:1|c|#status:200,host:web-{},dc:ams"),
])]
fn read(bencher: Bencher<'_, '_>, (_, form): (&str, &str)) {
    let datagrams = datagrams(&|number| form.replace("{}", &format!("{number:05}")));
    let bytes = BytesCount::new(datagrams.iter().map(Vec::len).sum::<usize>());
    let rules = Config::default().reading().expect("there are no rules");
    let (mut reader, mut batch) = (Reader::default(), Batch::new(Content::Metrics));
    let now = Time::from_secs(SECONDS);
    bencher.counter(ItemsCount::new(SERIES)).counter(bytes).bench_local(|| {
        let mut refused = 0;
        for datagram in black_box(&datagrams) {
            for line in lines(datagram) {
                // As leela-statsd takes them: each way by itself.
                if let Some(metric) = reader::plain(line, now, &rules) {
                    push(&mut batch, |batch| batch.metric(&metric));
                } else if let Some((metric, tags)) = reader.plain_tagged(line, now, &rules) {
                    push(&mut batch, |batch| {
                        batch.metric_with(&metric, tags.bytes(), |room| tags.write(room))
                    });
                } else {
                    reader.any(line, now, &rules, |found| match found {
                        Ok(Found::Metric(metric)) => push(&mut batch, |batch| batch.metric(&metric)),
                        _ => refused += 1,
                    });
                }
            }
        }
        assert_eq!(refused, 0);
    });
}
