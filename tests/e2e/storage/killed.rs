//! storage is killed again and again while events come: what the books count as received is there, once.

use std::time::{Duration, Instant};

use common::time::Time;
use tests::{Databus, Sandbox, alone, wait_until};

use super::{ALWAYS, which};

const RATE: u64 = 100_000;
const EVERY: Duration = Duration::from_secs(2);
const KILLS: u32 = 30;
/// In a datagram: few, so that many datagrams are under way.
const PACKED: u64 = 100;

#[test]
fn storage_is_killed_every_2_seconds_under_100_000_events_a_second() {
    let _machine = alone();
    let mut sandbox = Sandbox::new();
    let _timeline = sandbox.start_timeline("");
    // Sealing has its share of the kills.
    let config = "head_max = \"4MiB\"\nseal_after = \"3s\"\nmin_free = \"0B\"\n";
    let mut storage = sandbox.start_held("storage", config);
    sandbox.wait_peer(&sandbox.run().storage_databus());
    let records = RATE * (u64::from(KILLS) * EVERY.as_secs() + 2);
    let begin = Time::now().plus_ns(-3_600_000_000_000);
    let load = Databus { rate: RATE, records, packed: PACKED };
    let load = load.start_spaced(&sandbox.run().timeline_databus(), begin);
    let begun = Instant::now();
    let mut slowest = Duration::ZERO;
    for kill in 1..=KILLS {
        wait_until("it is time for the next kill", || begun.elapsed() >= EVERY * kill);
        storage.kill9();
        let down = Instant::now();
        storage = sandbox.start_held("storage", config);
        slowest = slowest.max(down.elapsed());
    }
    let sent = load.finish();
    let books = || sandbox.books("storage");
    let peer = || {
        let peers = sandbox.peers("timeline");
        let databus = sandbox.run().storage_databus();
        peers.into_iter().find(|(peer, _)| peer.path == databus).expect("it is a peer")
    };
    wait_until("the timeline has all of it", || sandbox.books("timeline").counter("received") == sent);
    // What was in the last hand is not missed before a later number comes.
    assert!(sandbox.leela(&["send", "gauge", "last", "1"]).status.success());
    wait_until("all that was sent is accounted for", || {
        let (peer, waiting) = peer();
        let books = books();
        waiting == 0
            && peer.sent + peer.dropped == sent + 1
            && books.counter("received") + books.counter("missing") == sent + 1
    });
    let (received, missing) = (books().counter("received") - 1, books().counter("missing"));
    let answered = sandbox.ask(&format!("range {} {ALWAYS};", which("match", "^load")));
    assert!(answered.is_whole && answered.status == "status 0;", "{}", answered.status);
    let mut numbers: Vec<u64> = answered.points.iter().map(|(_, _, value)| *value as u64).collect();
    let read = numbers.len() as u64;
    numbers.sort_unstable();
    numbers.dedup();
    eprintln!(
        "killed {KILLS} times: sent {sent}, received {received}, missing {missing} ({} of them fell off the ring), read \
         {read}; the slowest start took {slowest:?}",
        peer().0.dropped
    );
    assert_eq!(numbers.len() as u64, read, "no event is there twice");
    assert_eq!(read, received, "every event that was counted received can be read");
    assert_eq!(received + missing, sent);
    assert!(answered.points.is_sorted_by(|a, b| (&a.0, a.1) < (&b.0, b.1)), "in the order of keys and times");
    let status = sandbox.leela(&["status"]);
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
    let verified = sandbox.leela(&["store", "verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}
