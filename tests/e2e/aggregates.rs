//! Counts, samples and members: windows of the wall clock, through the real processes, by text over UDP.

use std::collections::{HashMap, HashSet};

use common::sketch::Sketch;
use common::time::{SECOND_NS, Time};
use tests::{Kept, Recorder, Sandbox, wait_until};

/// Windows that a test can wait for.
const SECONDS: &str = "interval = \"1s\"\n";

/// The first event of each name that has come.
fn firsts(recorder: &Recorder) -> HashMap<String, Kept> {
    let mut firsts = HashMap::new();
    for kept in recorder.tally().kept {
        firsts.entry(kept.key.clone()).or_insert(kept);
    }
    firsts
}

/// The sum of a count's totals. No event came twice.
fn total(recorder: &Recorder, name: &str) -> f64 {
    let tally = recorder.tally();
    let mut seen = HashSet::new();
    assert!(tally.kept.iter().all(|kept| seen.insert((&kept.key, kept.time))), "an event came twice");
    tally.kept.iter().filter(|kept| kept.key == name).map(|kept| kept.value).sum()
}

#[test]
fn what_is_sent_as_text_comes_out_at_the_end_of_the_window() {
    let mut sandbox = Sandbox::new();
    let _timeline = sandbox.start_timeline(SECONDS);
    let _udp = sandbox.start_udp("");
    let recorder = sandbox.recorder_that("one", "events states");
    let client = sandbox.client(sandbox.listen());
    let text = "count 13|hits;site=ams 3;count 13|hits;site=ams 1 @2.5;\
                sample 3|lat 5;sample 3|lat 1 @3;sample 3|lat 100;\
                member 5|users 3|bob;member 5|users 3|eve;member 5|users 3|bob;";
    client.send(text.as_bytes()).unwrap();
    wait_until("the window came out", || recorder.look(|tally| tally.states.len() == 2));
    let events = firsts(&recorder);
    for (key, want) in [
        ("hits;site=ams", 5.5),
        ("hits.total;site=ams", 5.5),
        ("lat.count", 5.0),
        ("lat.sum", 108.0),
        ("lat.min", 1.0),
        ("lat.max", 100.0),
        ("lat.mean", 21.6),
        ("lat.p50", 1.0),
        ("lat.p90", 100.0),
        ("lat.p99", 100.0),
        ("users.unique", 2.0),
    ] {
        assert_eq!(events.get(key).map(|kept| kept.value), Some(want), "{key}");
    }
    let time = events["lat.p50"].time;
    assert_eq!(time.ns() % SECOND_NS, 0, "{time}");
    let late_ns = Time::now().since_ns(time);
    assert!((SECOND_NS..20 * SECOND_NS).contains(&late_ns), "it comes a second after the end: {late_ns}");
    let states: HashMap<String, Sketch> = recorder.tally().states.into_iter().collect();
    assert!(matches!(&states["lat"], Sketch::Samples(samples) if samples.sum() == 108.0));
    assert!(matches!(&states["users"], Sketch::Members(members) if members.unique() == 2.0));
    // One zero of the count, and no more of anything.
    wait_until("the count is idle", || recorder.look(|tally| tally.kept.len() == 13));
    let books = sandbox.books("timeline");
    assert_eq!((books.counter("aggregated_applied"), books.counter("aggregated_emitted")), (8, 8));
    assert_eq!(books.counter("states"), 2);
}

#[test]
fn sums_are_conserved_over_restarts() {
    let mut sandbox = Sandbox::new();
    let mut timeline = sandbox.start_timeline(SECONDS);
    let _udp = sandbox.start_udp("");
    let recorder = sandbox.recorder("one");
    let client = sandbox.client(sandbox.listen());
    let mut sent = 0;
    for round in 0..6 {
        for late in 0..100 {
            // Some of now, and some of up to a minute and a half ago.
            let time = Time::now().plus_ns(-i64::from(late % 10) * 10 * SECOND_NS);
            client.send(format!("count 4|hits 0.25 @2 {time};").as_bytes()).unwrap();
            sent += 1;
        }
        // It is stopped with what is in its window, and while a window comes out.
        wait_until("they are applied", || sandbox.books("timeline").counter("aggregated_applied") == sent);
        if round < 5 {
            assert!(timeline.terminate().success());
            timeline = sandbox.start_timeline(SECONDS);
        }
    }
    wait_until("all came out", || sandbox.books("timeline").counter("aggregated_open") == 0);
    wait_until("it is here", || total(&recorder, "hits.total") == sent as f64 / 2.0);
    let books = sandbox.books("timeline");
    assert_eq!((books.counter("aggregated_emitted"), books.counter("aggregated_lost")), (sent, 0));
    assert!(books.counter("late") >= sent / 2, "{}", books.counter("late"));
}

#[test]
fn what_a_kill_costs_is_booked() {
    let mut sandbox = Sandbox::new();
    let timeline = sandbox.start_timeline("interval = \"1h\"\n");
    let _udp = sandbox.start_udp("");
    let client = sandbox.client(sandbox.listen());
    client.send(b"count 1|a 1;count 1|a 2;sample 1|b 3;member 1|c 1|d;").unwrap();
    wait_until("the windows are open", || sandbox.books("timeline").counter("aggregated_open") == 4);
    timeline.kill9();
    let _timeline = sandbox.start_timeline("");
    wait_until("they are booked as lost", || sandbox.books("timeline").counter("aggregated_lost") == 4);
    let books = sandbox.books("timeline");
    assert_eq!((books.counter("aggregated_open"), books.counter("aggregated_applied")), (0, 4));
    let said = sandbox.leela(&["status"]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
}
