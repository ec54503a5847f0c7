//! leela-timeline's sockets: records that are none, and registrations of strangers. Who may write there is of its group.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use common::metric::{Kind, Metric};
use common::time::Time;
use common::value::Value;
use common::wire::{Batch, Content, HEADER_BYTES};
use tests::{Sandbox, wait_until};

use super::{MIB, bounded};

#[test]
fn records_and_registrations_of_strangers_cost_only_themselves() {
    let mut sandbox = Sandbox::new();
    let timeline = sandbox.start_timeline("ring = \"1MiB\"\n");
    let recorder = sandbox.recorder("one");
    let (databus, multicast) = (sandbox.run().timeline_databus(), sandbox.run().timeline_multicast());
    let sent = AtomicU64::new(0);
    let honest = || {
        let number = sent.fetch_add(1, Relaxed) as f64 + 1.0;
        let mut batch = Batch::new(Content::Metrics);
        batch.metric(&Metric::new(b"honest", Time::now(), Kind::Gauge, Value::F64(number))).unwrap();
        UnixDatagram::unbound().unwrap().send_to(batch.seal(0, 0), &databus).unwrap();
        wait_until("it comes out", || {
            recorder.look(|tally| tally.kept.iter().any(|kept| kept.value == number))
        });
    };
    bounded(&timeline, 48 * MIB, honest, || {
        let stranger = UnixDatagram::unbound().unwrap();
        let mut good = Batch::new(Content::Metrics);
        for number in 0..200_u32 {
            let key = format!("stranger.{number}");
            good.metric(&Metric::new(key.as_bytes(), Time::now(), Kind::Count, Value::U64(1))).unwrap();
        }
        let good = good.seal(0, 0).to_vec();
        let unreadable = |sandbox: &Sandbox| {
            let books = sandbox.books("timeline");
            books.total("unreadable") + books.counter("received") + books.total("repeated")
        };
        let flipped = (0..HEADER_BYTES + 60).flat_map(|at| {
            [0x00, 0x7f, 0xff].map(|byte| {
                let mut bytes = good.clone();
                bytes[at] = byte;
                bytes
            })
        });
        let cut = (0..good.len()).step_by(37).map(|end| good[..end].to_vec());
        let noise = [vec![0xff; 32 << 10], vec![0; 32 << 10], vec![b'['; 40 << 10], vec![1]];
        for datagram in flipped.chain(cut).chain(noise) {
            let before = unreadable(&sandbox);
            stranger.send_to(&datagram, &databus).unwrap();
            // One that has no record is no loss.
            let is_empty = datagram.is_empty();
            wait_until("it is counted", || is_empty || unreadable(&sandbox) > before);
        }
        let own = sandbox.run().peers().join("stranger");
        let stranger = UnixDatagram::bind(&own).unwrap();
        let path = own.as_os_str().as_bytes();
        let words = |words: &str| [path, b"\0", words.as_bytes()].concat();
        for payload in [
            words(&"events ".repeat(8_000)),
            words(&"x".repeat(60_000)),
            words("events everything"),
            [path, &b"\0".repeat(50_000)].concat(),
            [path, &b"/".repeat(50_000)].concat(),
            b"/".repeat(60_000),
            b"\0".repeat(60_000),
            vec![0xff; 60_000],
            Vec::new(),
        ] {
            for _ in 0..50 {
                let refused = sandbox.books("timeline").total("registrations_refused");
                stranger.send_to(&payload, &multicast).unwrap();
                wait_until("it is refused", || {
                    sandbox.books("timeline").total("registrations_refused") > refused
                });
            }
        }
    });
    let books = sandbox.books("timeline");
    for reason in ["unreadable.too_long", "registrations_refused.form"] {
        assert!(books.counter(reason) > 0, "none is counted as {reason}");
    }
}
