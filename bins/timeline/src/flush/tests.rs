use std::collections::{HashMap, HashSet};
use std::time::Duration;

use common::metric::{Kind, Metric, State as Published, Weight};
use common::sketch::{Members, Samples, members};
use common::value::Value;
use proptest::prelude::*;

use super::*;
use crate::counters::Reason;
use crate::emitted::{Emitted, Pattern};
use crate::limits::Limits;
use crate::rules::Rules;
use crate::snapshot;

/// A window's start; times in tests are seconds from here.
const NOW: i64 = 1_780_000_000;

/// Events as (key, seconds from [`NOW`], value), states, and refusals.
#[derive(Default)]
struct Seen {
    events: Vec<(String, f64, f64)>,
    states: Vec<(String, f64, u8, Vec<u8>)>,
    refused: Vec<Reason>,
}

impl Output for Seen {
    fn event(&mut self, event: Event<'_>) {
        assert!(event.value.is_finite());
        self.events.push((text(event.key), seconds(event.time), event.value));
    }

    fn state(&mut self, state: Published<'_>) {
        assert_eq!(state.window_ns, 10_000_000_000);
        self.states.push((text(state.key), seconds(state.time), state.kind, state.bytes.to_vec()));
    }

    fn wants_states(&self) -> bool {
        true
    }

    fn refused(&mut self, _: &Metric<'_>, reason: Reason) {
        self.refused.push(reason);
    }
}

fn text(key: &[u8]) -> String {
    String::from_utf8(key.to_vec()).expect("keys are UTF-8")
}

fn seconds(time: Time) -> f64 {
    time.since_ns(Time::from_secs(NOW)) as f64 / 1e9
}

fn at(seconds: f64) -> Time {
    Time::from_secs(NOW).plus_ns((seconds * 1e9).round() as i64)
}

/// A timeline whose clocks the test turns: the wall clock says `clock`, the monotonic one how far it was turned.
struct Turned {
    timeline: Timeline,
    clock: f64,
    mono: f64,
    seen: Seen,
}

impl Turned {
    fn new(rules: Rules) -> Turned {
        rules.check().expect("the rules hold together");
        Turned { timeline: Timeline::new(rules), clock: 0.0, mono: 0.0, seen: Seen::default() }
    }

    fn apply(&mut self, metric: &Metric<'_>) {
        let (now, mono) = (at(self.clock), Duration::from_secs_f64(self.mono));
        self.timeline.apply(std::slice::from_ref(metric), 1, now, mono, &mut self.seen);
        assert!(self.timeline.counters.balanced(), "{:?}", self.timeline.counters);
    }

    fn send(&mut self, kind: Kind, key: &str, value: f64, time: f64) {
        self.apply(&Metric::new(key.as_bytes(), at(time), kind, Value::F64(value)));
    }

    fn member(&mut self, key: &str, member: &str) {
        self.apply(&Metric::of_member(key.as_bytes(), at(self.clock), member.as_bytes()));
    }

    /// Turns the clocks by so much, in tenths of a second.
    fn run(&mut self, seconds: f64) {
        let end = self.mono + seconds;
        while self.mono < end {
            let step = (end - self.mono).min(0.1);
            self.mono += step;
            self.clock += step;
            self.turn();
        }
    }

    fn turn(&mut self) {
        let (now, mono) = (at(self.clock), Duration::from_secs_f64(self.mono));
        self.timeline.tick(now, mono, &mut self.seen);
        while self.timeline.flush(now, &mut self.seen) {
            assert!(self.timeline.counters.balanced(), "{:?}", self.timeline.counters);
        }
        assert!(self.timeline.counters.balanced(), "{:?}", self.timeline.counters);
    }

    /// Saves the state and goes on with a successor.
    fn restart(&mut self) {
        let mut saved = Vec::new();
        let (now, mono) = (at(self.clock), Duration::from_secs_f64(self.mono));
        let open = self.timeline.counters.aggregated_open;
        snapshot::write(&self.timeline, &mut saved, now, mono, None).expect("it can be saved");
        self.timeline = Timeline::new(self.timeline.rules().clone());
        let report = snapshot::read(&mut self.timeline, &mut &*saved, now, mono, None);
        let report = report.expect("what was saved is taken up");
        assert_eq!((report.aggregated_records, self.timeline.counters.aggregated_open), (open, open));
        assert!(self.timeline.counters.balanced());
    }

    fn events(&mut self) -> Vec<(String, f64, f64)> {
        std::mem::take(&mut self.seen.events)
    }

    fn refused(&mut self) -> Vec<Reason> {
        std::mem::take(&mut self.seen.refused)
    }
}

fn event(key: &str, at: f64, value: f64) -> (String, f64, f64) {
    (key.to_owned(), at, value)
}

#[test]
fn a_count_is_a_rate_and_a_total() {
    let mut turned = Turned::new(Rules::default());
    for value in [1.0, 2.0, 0.25, -0.25] {
        turned.send(Kind::Count, "hits;dc=ams", value, 3.0);
    }
    let tenth = Weight::of_rate(0.1).unwrap();
    turned.apply(&Metric::new(b"few", at(3.0), Kind::Count, Value::U64(3)).weighted(tenth));
    turned.run(10.9);
    assert_eq!(turned.events(), []);
    turned.run(0.2);
    let want = [
        event("hits;dc=ams", 10.0, 0.3),
        event("hits.total;dc=ams", 10.0, 3.0),
        event("few", 10.0, 3.0),
        event("few.total", 10.0, 30.0),
    ];
    assert_eq!(turned.events(), want);
    // One 0, then nothing.
    turned.run(10.0);
    let zeros: Vec<_> = want.iter().map(|(key, ..)| event(key, 20.0, 0.0)).collect();
    assert_eq!(turned.events(), zeros);
    turned.run(60.0);
    assert_eq!(turned.events(), []);
    assert_eq!(turned.timeline.counters().aggregated_emitted, 5);
    assert_eq!(turned.seen.states, []);
}

#[test]
fn a_count_that_is_idle_gives_zeros_for_as_long_as_it_is_told() {
    let mut turned = Turned::new(Rules { idle_zeros: Duration::from_secs(25), ..Rules::default() });
    turned.send(Kind::Count, "a", 1.0, 0.0);
    turned.run(35.0);
    // A successor remembers how many there were.
    turned.restart();
    turned.run(60.0);
    let totals = turned.events().into_iter().filter(|(key, ..)| key == "a.total");
    let got: Vec<(f64, f64)> = totals.map(|(_, at, value)| (at, value)).collect();
    assert_eq!(got, [(10.0, 1.0), (20.0, 0.0), (30.0, 0.0), (40.0, 0.0), (50.0, 0.0)]);
}

#[test]
fn samples_give_their_numbers_and_their_state() {
    let mut turned = Turned::new(Rules::default());
    for value in [1.0, 2.0, 7.0, 8.0, 100.0] {
        turned.send(Kind::Sample, "lat;dc=ams", value, 1.0);
    }
    turned.run(11.5);
    let want = [
        ("count", 5.0),
        ("sum", 118.0),
        ("min", 1.0),
        ("max", 100.0),
        ("mean", 23.6),
        ("p50", 7.0),
        ("p90", 100.0),
        ("p99", 100.0),
    ];
    let want: Vec<_> =
        want.iter().map(|(word, value)| event(&format!("lat.{word};dc=ams"), 10.0, *value)).collect();
    assert_eq!(turned.events(), want);
    let (key, time, kind, bytes) = turned.seen.states.remove(0);
    assert_eq!((key.as_str(), time, kind), ("lat;dc=ams", 10.0, SAMPLES));
    assert_eq!(Samples::decode(&bytes).unwrap().sum(), 118.0);
    // Nothing of an empty window.
    turned.run(30.0);
    assert_eq!((turned.events(), turned.seen.states.len()), (vec![], 0));
    assert_eq!(turned.timeline.pools.samples.chunks(), 1);
}

#[test]
fn what_is_emitted_of_samples_is_configuration() {
    let parts = ["p99_9", "stddev", "hmean"].map(|word| word.parse().unwrap());
    let samples = vec![(Pattern::parse("^web").unwrap(), Profile::new(&parts, &[1.0, 5.5]).unwrap())];
    let sample = Profile::new(&["max".parse().unwrap()], &[]).unwrap();
    let emitted = Emitted { samples, sample, ..Emitted::default() };
    let mut turned = Turned::new(Rules { emitted, ..Rules::default() });
    for value in [1.0, 2.0, 6.0] {
        turned.send(Kind::Sample, "web;dc=ams;z=1", value, 1.0);
    }
    turned.send(Kind::Sample, "db", 3.0, 1.0);
    turned.send(Kind::Sample, "web.zero", 0.0, 1.0);
    // Its own tag of that name wins, and there is no room for bounds.
    turned.send(Kind::Sample, "web;le=1", 3.0, 1.0);
    turned.run(11.5);
    let stddev = (41.0 / 3.0 - 9.0_f64).sqrt();
    let got = turned.events();
    assert_eq!(
        got[..5],
        [
            event("web.p99_9;dc=ams;z=1", 10.0, 6.0),
            event("web.stddev;dc=ams;z=1", 10.0, stddev),
            event("web.hmean;dc=ams;z=1", 10.0, 3.0 / (1.0 + 0.5 + 1.0 / 6.0)),
            event("web.bucket;dc=ams;le=1;z=1", 10.0, 1.0),
            event("web.bucket;dc=ams;le=5.5;z=1", 10.0, 2.0),
        ]
    );
    assert_eq!(got[5], event("db.max", 10.0, 3.0));
    let keys: Vec<&str> = got[6..].iter().map(|(key, ..)| key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "web.zero.p99_9",
            "web.zero.stddev",
            "web.zero.bucket;le=1",
            "web.zero.bucket;le=5.5",
            "web.p99_9;le=1",
            "web.stddev;le=1",
            "web.hmean;le=1"
        ]
    );
}

#[test]
fn members_are_counted_once_a_window() {
    let mut turned = Turned::new(Rules::default());
    for member in ["bob", "eve", "bob"] {
        turned.member("users", member);
    }
    turned.run(10.5);
    turned.member("users", "bob");
    turned.run(11.0);
    assert_eq!(turned.events(), [event("users.unique", 10.0, 2.0), event("users.unique", 20.0, 1.0)]);
    let (key, _, kind, bytes) = &turned.seen.states[0];
    assert_eq!((key.as_str(), *kind), ("users", MEMBERS));
    let mut set = Members::decode(bytes).unwrap();
    set.add(members::hash(b"eve"));
    set.add(members::hash(b"mallory"));
    assert_eq!(set.unique(), 3.0);
    assert_eq!(turned.timeline.counters().states, 2);
}

#[test]
fn gauges_that_are_kept_come_again() {
    let keep_gauges = vec![Pattern::parse("^kept").unwrap()];
    let mut turned =
        Turned::new(Rules { emitted: Emitted { keep_gauges, ..Emitted::default() }, ..Rules::default() });
    turned.send(Kind::Gauge, "kept", 7.0, 3.0);
    turned.send(Kind::Gauge, "other", 7.0, 3.0);
    turned.run(15.0);
    turned.restart();
    turned.run(10.0);
    turned.send(Kind::Adjust, "kept", 1.0, 25.0);
    turned.run(25.0);
    assert_eq!(
        turned.events(),
        [
            event("kept", 3.0, 7.0),
            event("other", 3.0, 7.0),
            event("kept", 20.0, 7.0),
            event("kept", 25.0, 8.0),
            event("kept", 40.0, 8.0),
        ]
    );
    // Not beyond its ttl.
    turned.run(3700.0);
    let last = turned.events().pop().map(|(_, at, _)| at);
    assert!(last.is_some_and(|at| (3600.0..4200.0).contains(&at)), "{last:?}");
}

#[test]
fn two_kinds_of_one_name_never_mix() {
    for (first, then, want) in [
        ((Kind::Gauge, "a"), (Kind::Count, "a"), true),
        ((Kind::Count, "a"), (Kind::Gauge, "a"), true),
        ((Kind::Count, "a"), (Kind::Gauge, "a.total"), true),
        ((Kind::Gauge, "a.total;x=1"), (Kind::Count, "a;x=1"), true),
        ((Kind::Gauge, "a.total;x=1"), (Kind::Count, "a;x=2"), false),
        ((Kind::Count, "a"), (Kind::Count, "a.total"), true),
        ((Kind::Count, "a.total"), (Kind::Count, "a"), true),
        ((Kind::Sample, "a"), (Kind::Gauge, "a"), false),
        ((Kind::Gauge, "a"), (Kind::Sample, "a"), false),
        ((Kind::Sample, "a"), (Kind::Count, "a"), false),
        ((Kind::Sample, "a"), (Kind::Gauge, "a.p99"), true),
        ((Kind::Sample, "a"), (Kind::Gauge, "a.p98"), false),
        ((Kind::Derive, "a.count"), (Kind::Sample, "a"), true),
        ((Kind::Sample, "a"), (Kind::Count, "a.sum"), true),
        ((Kind::Sample, "a"), (Kind::Sample, "a.sum"), false),
        ((Kind::Gauge, "a"), (Kind::Gauge, "a.total"), false),
        ((Kind::Count, "a.b"), (Kind::Gauge, "a.b.total"), true),
    ] {
        let mut turned = Turned::new(Rules::default());
        turned.send(first.0, first.1, 1.0, 0.0);
        assert_eq!(turned.refused(), [], "{first:?}");
        turned.send(then.0, then.1, 1.0, 1.0);
        let wanted = if want { &[Reason::KindConflict][..] } else { &[] };
        assert_eq!(turned.refused(), wanted, "{then:?} after {first:?}");
    }
    let mut turned = Turned::new(Rules::default());
    turned.member("u", "bob");
    turned.send(Kind::Gauge, "u.unique", 1.0, 0.0);
    assert_eq!(turned.refused(), [Reason::KindConflict]);
    // The name is free when its owner is gone.
    turned.run(3700.0);
    turned.send(Kind::Gauge, "u.unique", 1.0, 3700.0);
    assert_eq!(turned.refused(), []);
    // And taken again by whoever comes first.
    let mut turned = Turned::new(Rules::default());
    for round in 0..3 {
        let at = f64::from(round) * 7500.0;
        turned.send(Kind::Gauge, "a.total", 1.0, at);
        turned.send(Kind::Count, "a", 1.0, at);
        assert_eq!(turned.refused(), [Reason::KindConflict], "round {round}");
        turned.run(at + 3700.0);
        turned.send(Kind::Count, "a", 1.0, at + 3700.0);
        turned.send(Kind::Gauge, "a.total", 1.0, at + 3700.0);
        assert_eq!(turned.refused(), [Reason::KindConflict], "round {round}");
        turned.run(at + 7500.0);
    }
}

#[test]
fn records_that_no_window_can_take_are_refused_by_name() {
    let mut turned = Turned::new(Rules::default());
    let most = Weight::of_billionths(i64::MAX as u64).unwrap();
    for (metric, want) in [
        (Metric::new(b"a", at(0.0), Kind::Count, Value::F64(f64::NAN)), Some(Reason::NotFinite)),
        (Metric::new(b"a", at(0.0), Kind::Count, Value::F64(1e20)), Some(Reason::OutOfRange)),
        (Metric::new(b"a", at(0.0), Kind::Count, Value::F64(1e300)), Some(Reason::OutOfRange)),
        (Metric::new(b"a", at(0.0), Kind::Count, Value::U64(u64::MAX)), None),
        (Metric::new(b"a", at(0.0), Kind::Count, Value::U64(u64::MAX)), None),
        (Metric::new(b"a", at(0.0), Kind::Count, Value::U64(u64::MAX)), Some(Reason::OutOfRange)),
        (Metric::new(b"s", at(0.0), Kind::Sample, Value::U64(1)).weighted(most), None),
        (Metric::new(b"s", at(0.0), Kind::Sample, Value::U64(1)).weighted(most), None),
        (Metric::new(b"s", at(0.0), Kind::Sample, Value::U64(1)).weighted(most), Some(Reason::OutOfRange)),
        (Metric::of_member(b"m", at(0.0), b""), Some(Reason::Member)),
        (Metric::of_member(b"m", at(0.0), &[b'x'; 1025]), Some(Reason::Member)),
        (Metric::of_member(b"m", at(0.0), &[b'x'; 1024]), None),
        (Metric::new(b"a", at(601.0), Kind::Count, Value::U64(1)), Some(Reason::Future)),
        (Metric::new(&[b'k'; 1020], at(0.0), Kind::Count, Value::U64(1)), Some(Reason::BadKey)),
    ] {
        turned.apply(&metric);
        assert_eq!(turned.refused(), Vec::from_iter(want), "{metric:?}");
    }
}

#[test]
fn over_the_limit_counts_samples_and_members_fold() {
    let limits = Limits { series_max: 4, series_reserve: 0, ..Limits::default() };
    let mut turned = Turned::new(Rules { limits, ..Rules::default() });
    for key in ["a.1", "a.2", "a.3", "a.4", "a.5", "a.6"] {
        turned.send(Kind::Count, key, 1.0, 1.0);
    }
    turned.send(Kind::Sample, "b.1", 5.0, 1.0);
    turned.member("c.1", "bob");
    turned.send(Kind::Gauge, "d.1", 5.0, 1.0);
    assert_eq!(turned.refused(), [Reason::SeriesLimit]);
    turned.run(12.0);
    let events: HashMap<String, f64> =
        turned.events().into_iter().map(|(key, _, value)| (key, value)).collect();
    for (key, want) in [
        ("a.leela_overflow.total;kind=count", 2.0),
        ("b.leela_overflow.p50;kind=sample", 5.0),
        ("c.leela_overflow.unique;kind=member", 1.0),
    ] {
        assert_eq!(events.get(key), Some(&want), "{key}");
    }
    assert_eq!(turned.timeline.counters().overflowed, 4);
}

#[test]
fn a_slice_is_short_and_the_window_after_it_is_its_own() {
    let mut turned = Turned::new(Rules::default());
    for number in 0..10_000 {
        turned.send(Kind::Count, &format!("a.{number}"), 1.0, 1.0);
    }
    (turned.clock, turned.mono) = (11.0, 11.0);
    let mut slices = 0;
    while turned.timeline.flush(at(11.0), &mut turned.seen) {
        slices += 1;
        // What comes while it is emitted is of the next window, whether its series was emitted or not.
        turned.send(Kind::Count, "a.1", 1.0, 5.0);
        turned.send(Kind::Count, "a.9999", 1.0, 11.0);
        if slices == 3 {
            turned.restart();
        }
        assert!(turned.events().len() <= COST_A_SLICE as usize / EVENT as usize + 20);
    }
    assert!(slices >= 10, "{slices} slices");
    turned.events();
    turned.run(10.5);
    let totals: Vec<_> = turned
        .events()
        .into_iter()
        .filter(|(key, _, value)| key.ends_with("total") && *value > 0.0)
        .collect();
    assert_eq!(totals, [event("a.1.total", 20.0, slices as f64), event("a.9999.total", 20.0, slices as f64)]);
}

/// Ten minutes of counts with late ones, restarts every three seconds, and a clock that moves.
#[test]
fn sums_are_conserved_over_late_ones_restarts_and_a_moving_clock() {
    for seed in 0..4_u64 {
        let mut turned = Turned::new(Rules::default());
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut drawn = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let mut sent: HashMap<String, i64> = HashMap::new();
        for step in 0..6000 {
            for _ in 0..drawn(4) {
                let key = format!("hits.{}", drawn(20));
                // Quarters, so that sums of floats are exact.
                let quarters = drawn(9) as i64 - 2;
                let lag = if drawn(5) == 0 { drawn(600) as f64 / 10.0 - 15.0 } else { 0.0 };
                turned.send(Kind::Count, &key, quarters as f64 / 4.0, turned.clock - lag);
                *sent.entry(key).or_default() += quarters;
            }
            turned.run(0.1);
            if step % 30 == 29 {
                turned.restart();
            }
            if drawn(400) == 0 {
                // Forward by up to 90 s, or back by as much; ten minutes are never reached.
                turned.clock += drawn(180) as f64 - 90.0;
            }
        }
        turned.run(700.0);
        let mut totals: HashMap<String, f64> = HashMap::new();
        let mut windows = HashSet::new();
        for (key, at, value) in turned.events() {
            assert!(windows.insert((key.clone(), at as i64)), "seed {seed}: {key} at {at} came twice");
            assert_eq!(at % 10.0, 0.0);
            if let Some(key) = key.strip_suffix(".total") {
                *totals.entry(key.to_owned()).or_default() += value;
            }
        }
        let sent: HashMap<String, f64> = sent.into_iter().map(|(key, sum)| (key, sum as f64 / 4.0)).collect();
        assert_eq!(totals, sent, "seed {seed}");
        assert_eq!(turned.timeline.counters().aggregated_open, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever comes, and however often it is saved and taken up, what went in comes out.
    #[test]
    fn records_in_are_records_out(
        records in prop::collection::vec((5..8_usize, "[a-c](;[xy]=[12]){0,2}", -30..700_i64, 0..120_u64, any::<bool>()), 0..120),
    ) {
        let mut turned = Turned::new(Rules::default());
        let mut weights = 0.0;
        for (kind, key, lag, tenths, restart) in records {
            let (key, time) = (key.as_bytes(), at(turned.clock - lag as f64));
            match Kind::ALL[kind] {
                Kind::Member => turned.apply(&Metric::of_member(key, time, &tenths.to_le_bytes())),
                kind => {
                    let weight = Weight::of_billionths((tenths + 1) * 250_000_000).unwrap();
                    turned.apply(&Metric::new(key, time, kind, Value::U64(tenths)).weighted(weight));
                    if kind == Kind::Sample && turned.seen.refused.is_empty() {
                        weights += weight.as_f64();
                    }
                    turned.seen.refused.clear();
                }
            }
            turned.run(tenths as f64 / 10.0);
            if restart {
                turned.restart();
            }
        }
        turned.run(30.0);
        let events = turned.events();
        let counted: f64 = events.iter().filter(|(key, ..)| key[1..].starts_with(".count")).map(|(.., value)| value).sum();
        prop_assert_eq!(counted, weights);
        prop_assert_eq!(turned.timeline.counters().aggregated_open, 0);
        let mut seen = HashSet::new();
        prop_assert!(events.iter().all(|(key, at, _)| seen.insert((key, *at as i64))));
    }
}
