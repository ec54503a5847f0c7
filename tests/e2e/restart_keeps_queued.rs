//! A restart loses nothing: what waits in sockets that are held waits for the successor, and state is kept.

use common::time::{SECOND_NS, Time};
use tests::{Load, Sandbox, alone, wait_until};

use crate::core::{Core, Losses};

const RATE: u64 = 50_000;
const RECORDS: u64 = 300_000;

#[test]
fn restarts_under_load_lose_nothing() {
    for input in ["udp", "collectd", "statsd"] {
        let _machine = alone();
        let mut core = Core::new(input);
        let load = Load { rate: RATE, records: RECORDS, packed: 1 };
        let listen = core.sandbox.listens(input)[0];
        let load = load.start_for(input, listen);
        for process in [input, "timeline", "dmproc", "host", "timeline", input, "dmproc", "timeline"] {
            let before = core.seen();
            wait_until("events flow", || core.seen() > before + RECORDS / 24);
            core.restart(process);
        }
        let (sent, losses) = core.settle(load);
        // What the kernel had no room for while nobody read is no matter of the restart, and it is booked.
        let Losses { kernel_drops, in_input, in_timeline, in_dmproc } = losses;
        let (tally, dmproc) = (core.recorder.tally(), core.sandbox.books("dmproc"));
        let lost_by_clients = dmproc.total("frames.lost") + dmproc.counter("unmatched");
        eprintln!(
            "{input}: sent {sent}, out {}, kernel_drops {kernel_drops}; clients heard {}, lost {lost_by_clients}",
            tally.numbered,
            core.heard()
        );
        assert_eq!((in_input, in_timeline, in_dmproc), (0, 0, 0), "nothing is lost");
        assert_eq!(tally.numbered + kernel_drops, sent, "out + kernel drops = in");
        assert_eq!((tally.twice, tally.gaps, tally.repeated), (0, 0, 0));
        for process in ["timeline", "dmproc"] {
            assert_eq!(core.sandbox.books(process).counter("repeated"), 0, "{process}");
        }
        wait_until("clients have what was written", || core.heard() == dmproc.counter("frames.delivered"));
    }
}

#[test]
fn datagrams_wait_for_a_process_that_is_away() {
    let mut sandbox = Sandbox::new();
    let timeline = sandbox.start_timeline("");
    let udp = sandbox.start_udp("");
    let recorder = sandbox.recorder("one");
    let client = sandbox.client(sandbox.listen());
    assert!(udp.terminate().success());
    for number in 0..1000 {
        client.send(format!("gauge 4|away {number};").as_bytes()).unwrap();
    }
    assert!(timeline.terminate().success());
    let udp = sandbox.start_udp("");
    wait_until("leela-udp has read them", || sandbox.books("udp").counter("passed") == 1000);
    // Some wait in the databus, the rest in the ring, over a stop of its own.
    assert!(udp.terminate().success());
    let _udp = sandbox.start_udp("");
    let _timeline = sandbox.start_timeline("");
    let values: Vec<f64> = recorder.wait_kept(1000).iter().map(|event| event.value).collect();
    assert_eq!(values, (0..1000).map(f64::from).collect::<Vec<_>>());
}

#[test]
fn the_state_of_the_timeline_is_taken_up() {
    let mut sandbox = Sandbox::new();
    let mut timeline = sandbox.start_timeline("");
    let _udp = sandbox.start_udp("");
    let recorder = sandbox.recorder("one");
    let client = sandbox.client(sandbox.listen());
    let start = Time::now().plus_ns(-600 * SECOND_NS);
    let mut applied = 0;
    for round in 0..4_i64 {
        let time = start.plus_ns(round * 10 * SECOND_NS);
        let (count, sum) = (1000 * round, 30);
        client
            .send(
                format!(
                    "counter 1|c {count} {time};derive 1|d -{count} {time};absolute 1|a {sum} {time};adjust 1|g 5 {time};"
                )
                .as_bytes(),
            )
            .unwrap();
        applied += 4;
        wait_until("the round is applied", || sandbox.books("timeline").counter("received") == applied);
        assert!(timeline.terminate().success());
        timeline = sandbox.start_timeline("");
        timeline.wait_log("state taken up");
    }
    let kept = recorder.wait_kept(3 * 3 + 4);
    let of =
        |key: &str| -> Vec<f64> { kept.iter().filter(|e| e.key == key).map(|event| event.value).collect() };
    assert_eq!(of("c"), [100.0; 3]);
    assert_eq!(of("d"), [-100.0; 3]);
    assert_eq!(of("a"), [3.0; 3]);
    assert_eq!(of("g"), [5.0, 10.0, 15.0, 20.0]);
    let books = sandbox.books("timeline");
    assert_eq!((books.counter("absolute_open"), books.counter("absolute_lost")), (1, 0));
    assert_eq!(books.counter("absolute_applied"), 4);
}
