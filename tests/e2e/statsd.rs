//! StatsD and DogStatsD come in by every transport; what is wrong, slow or too much costs only itself; and real clients'
//! calls arrive as they were made.

mod clients;
mod hostile;
mod lines;
mod tls;
mod transports;

use std::fmt::Write as _;

use common::metric::{Kind, Weight};
use common::wire::{Content, Header, Metrics, Notes};
use tests::{Reader, Sandbox, wait_until};

/// The next `count` records that the timeline is given, each as a text without its time: `count a;x=1 1 @10`, `member a
/// bob`, `note a {...}`. Metrics and notes have datagrams of their own: they come in order of their kind.
fn taken(timeline: &Reader, count: usize) -> Vec<String> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let datagram = timeline.bytes();
        let (header, records) = Header::read(&datagram).expect("it is Leela's");
        match header.content {
            Content::Metrics => taken.extend(Metrics::new(records, header.count).map(|metric| {
                let metric = metric.expect("records are whole");
                let key = String::from_utf8_lossy(metric.key);
                match metric.kind {
                    Kind::Member => format!("member {key} {}", metric.member.escape_ascii()),
                    kind => {
                        let mut text = format!("{} {key} {}", kind.word(), metric.value);
                        if metric.weight != Weight::ONE {
                            write!(text, " @{}", metric.weight).expect("a String takes all");
                        }
                        text
                    }
                }
            })),
            Content::Notes => taken.extend(Notes::new(records, header.count).map(|note| {
                let note = note.expect("records are whole");
                format!("note {} {}", String::from_utf8_lossy(note.key), String::from_utf8_lossy(note.json))
            })),
            content => panic!("an input sends no {content:?}"),
        }
    }
    taken
}

/// Lines as DogStatsD's libraries send them over unix streams.
fn frame(lines: &[u8]) -> Vec<u8> {
    let length = u32::try_from(lines.len()).expect("a test's frames are short");
    [&length.to_le_bytes()[..], lines].concat()
}

/// Waits until leela-statsd has counted so much.
#[track_caller]
fn wait_counted(sandbox: &Sandbox, counter: &str, count: u64) {
    wait_until(&format!("{counter} is {count}"), || sandbox.books("statsd").counter(counter) == count);
}

/// What the books say adds up.
fn assert_balanced(sandbox: &Sandbox) {
    let books = sandbox.books("statsd");
    let of = |name: &str| books.counter(name);
    assert_eq!(of("lines") + of("packed"), of("received") + of("empty"));
    assert_eq!(of("received"), of("accepted") + books.total("refused"));
    assert_eq!(of("accepted"), of("passed") + books.total("dropped"));
}
