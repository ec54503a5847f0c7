use proptest::prelude::*;

use super::*;
use crate::limits::Limits;
use common::value::Value;

/// 2026 or so; times in tests are seconds from here.
const NOW: i64 = 1_780_000_000;

/// Events as (key, seconds from [`NOW`], value), and refusals.
#[derive(Default)]
struct Seen {
    events: Vec<(String, f64, f64)>,
    refused: Vec<(String, Reason)>,
}

impl Output for Seen {
    fn event(&mut self, event: Event<'_>) {
        assert!(event.value.is_finite());
        let at = event.time.since_ns(Time::from_secs(NOW)) as f64 / 1e9;
        self.events.push((String::from_utf8(event.key.to_vec()).unwrap(), at, event.value));
    }

    fn refused(&mut self, metric: &Metric<'_>, reason: Reason) {
        self.refused.push((String::from_utf8_lossy(metric.key).into_owned(), reason));
    }
}

/// A timeline whose clocks the test turns: both read `clock` seconds.
struct Turned {
    timeline: Timeline,
    clock: f64,
    seen: Seen,
}

impl Turned {
    fn new(rules: Rules) -> Turned {
        rules.check().unwrap();
        Turned { timeline: Timeline::new(rules), clock: 0.0, seen: Seen::default() }
    }

    fn now(&self) -> Time {
        Time::from_secs(NOW).plus_ns((self.clock * 1e9) as i64)
    }

    fn mono(&self) -> Duration {
        Duration::from_secs_f64(self.clock)
    }

    /// One record of source 1, at `at` seconds.
    fn send(&mut self, kind: Kind, key: &str, value: Value, at: f64) {
        self.send_from(1, kind, key, value, at);
    }

    fn send_from(&mut self, source: u64, kind: Kind, key: &str, value: Value, at: f64) {
        let time = Time::from_secs(NOW).plus_ns((at * 1e9) as i64);
        let records = [Metric::new(key.as_bytes(), time, kind, value)];
        let (now, mono) = (self.now(), self.mono());
        self.timeline.apply(&records, source, now, mono, &mut self.seen);
        assert!(self.timeline.counters.balanced(), "{:?}", self.timeline.counters);
    }

    /// A gauge of now.
    fn gauge(&mut self, key: &str) {
        self.send(Kind::Gauge, key, Value::U64(1), self.clock);
    }

    /// Turns the clocks by tenths of a second, with a tick at each.
    fn run(&mut self, seconds: f64) {
        let end = self.clock + seconds;
        while self.clock < end {
            self.clock = (self.clock + 0.1).min(end);
            let (now, mono) = (self.now(), self.mono());
            self.timeline.tick(now, mono, &mut self.seen);
        }
        assert!(self.timeline.counters.balanced(), "{:?}", self.timeline.counters);
    }

    fn events(&mut self) -> Vec<(String, f64, f64)> {
        std::mem::take(&mut self.seen.events)
    }

    fn refused(&mut self) -> Vec<(String, Reason)> {
        std::mem::take(&mut self.seen.refused)
    }
}

fn event(key: &str, at: f64, value: f64) -> (String, f64, f64) {
    (key.to_owned(), at, value)
}

fn refusal(key: &str, reason: Reason) -> (String, Reason) {
    (key.to_owned(), reason)
}

#[test]
fn each_kind_gives_its_events() {
    let mut turned = Turned::new(Rules::default());
    for (kind, value, at, want) in [
        (Kind::Gauge, 1.5, 0.0, Some(1.5)),
        (Kind::Adjust, 0.5, 1.0, Some(2.0)),
        (Kind::Counter, 0.0, 0.0, None),
        (Kind::Counter, 60.0, 60.0, Some(1.0)),
        (Kind::Derive, 61.0, 0.0, None),
        (Kind::Derive, 1.0, 60.0, Some(-1.0)),
        (Kind::Absolute, 60.0, 0.0, None),
        (Kind::Absolute, 0.0, 60.0, Some(1.0)),
    ] {
        let key = if kind == Kind::Adjust { "gauge" } else { kind.word() };
        turned.send(kind, key, Value::F64(value), at);
        let want: Vec<_> = want.map(|value| event(key, at, value)).into_iter().collect();
        assert_eq!(turned.events(), want, "{kind:?} {value} at {at}");
    }
    let counters = *turned.timeline.counters();
    assert_eq!((counters.received, counters.passed, counters.merged, counters.series), (8, 5, 3, 4));
}

#[test]
fn records_are_refused_by_name() {
    let mut turned = Turned::new(Rules::default());
    turned.send(Kind::Derive, "owned", Value::U64(1), 0.0);
    for (label, kind, key, value, at, want) in [
        ("NaN", Kind::Gauge, "a", f64::NAN, 0.0, Reason::NotFinite),
        ("infinity", Kind::Absolute, "a", f64::INFINITY, 0.0, Reason::NotFinite),
        ("the year 2100", Kind::Gauge, "a", 1.0, 2_330_000_000.0, Reason::Future),
        ("over ten minutes ahead", Kind::Derive, "a", 1.0, 600.5, Reason::Future),
        ("over 400 days ago", Kind::Gauge, "a", 1.0, -400.0 * 86_400.0 - 1.0, Reason::TooOld),
        ("no newer", Kind::Derive, "owned", 1.0, 0.0, Reason::Stale),
        ("no name", Kind::Gauge, ";x=1", 1.0, 0.0, Reason::BadKey),
        ("no key", Kind::Gauge, "", 1.0, 0.0, Reason::BadKey),
        ("a control character", Kind::Gauge, "a\n", 1.0, 0.0, Reason::BadKey),
        ("a gauge on a derive's name", Kind::Gauge, "owned", 1.0, 0.0, Reason::KindConflict),
        ("a counter on a derive's name", Kind::Counter, "owned", 1.0, 0.0, Reason::KindConflict),
    ] {
        turned.send(kind, key, Value::F64(value), at);
        assert_eq!(turned.refused(), [refusal(key, want)], "{label}");
        assert_eq!(turned.timeline.counters().series, 1, "{label}");
    }
    turned.send(Kind::Gauge, "a", Value::U64(1), 600.0);
    assert_eq!(turned.events(), [event("a", 600.0, 1.0)], "the next good one passes");
}

#[test]
fn a_name_is_free_when_its_owner_is_idle_for_a_ttl() {
    let mut turned = Turned::new(Rules::default());
    turned.send(Kind::Derive, "x", Value::U64(1), 0.0);
    turned.clock = 3599.0;
    turned.send(Kind::Gauge, "x", Value::U64(2), 3599.0);
    assert_eq!(turned.refused(), [refusal("x", Reason::KindConflict)]);
    turned.clock = 3600.0;
    turned.send(Kind::Gauge, "x", Value::U64(2), 3600.0);
    assert_eq!(turned.events(), [event("x", 3600.0, 2.0)]);
    assert_eq!((turned.timeline.counters().expired, turned.timeline.counters().series), (1, 1));
}

#[test]
fn tags_are_joined_and_a_tag_in_the_key_wins() {
    let tags = vec![("host".to_owned(), "web01".to_owned())];
    let mut turned = Turned::new(Rules { tags, ..Rules::default() });
    for (key, want) in [
        ("a", "a;host=web01"),
        ("a", "a;host=web01"),
        ("a;host=other", "a;host=other"),
        ("a;x=1", "a;host=web01;x=1"),
    ] {
        turned.gauge(key);
        assert_eq!(turned.events(), [event(want, 0.0, 1.0)], "{key}");
    }
    let long = "k".repeat(1020);
    turned.gauge(&long);
    assert_eq!(turned.refused(), [refusal(&long, Reason::BadKey)], "too long with the tag");
}

#[test]
fn all_spellings_of_a_key_are_one_series() {
    let tags = vec![("host".to_owned(), "web01".to_owned())];
    let mut turned = Turned::new(Rules { tags, ..Rules::default() });
    for round in 0..3 {
        for key in ["a;y=2;x=1", "a;x=1;y=2", "a;host=web01;x=1;y=2", "a;x=0;y=2;x=1"] {
            turned.send(Kind::Adjust, key, Value::U64(1), 0.0);
        }
        let got = turned.events();
        for (n, got) in got.into_iter().enumerate() {
            let want = f64::from(4 * round + n as u32 + 1);
            assert_eq!(got, event("a;host=web01;x=1;y=2", 0.0, want));
        }
    }
    turned.send(Kind::Counter, "a;x=0;y=2;x=1", Value::U64(1), 0.0);
    assert_eq!(turned.refused(), [refusal("a;x=0;y=2;x=1", Reason::KindConflict)]);
    assert_eq!(turned.timeline.counters().series, 1);

    // The series goes with all its spellings, and comes back by any of them.
    turned.run(4500.0);
    assert_eq!((turned.timeline.counters().series, turned.timeline.counters().expired), (0, 1));
    turned.send(Kind::Adjust, "a;x=0;y=2;x=1", Value::U64(1), 4500.0);
    turned.send(Kind::Adjust, "a;y=2;x=1", Value::U64(1), 4500.0);
    let key = "a;host=web01;x=1;y=2";
    assert_eq!(turned.events(), [event(key, 4500.0, 1.0), event(key, 4500.0, 2.0)]);
}

#[test]
fn a_window_nobody_closes_is_closed_by_the_timer() {
    let mut turned = Turned::new(Rules::default());
    turned.send(Kind::Absolute, "hits", Value::U64(90), -5.0);
    turned.send(Kind::Absolute, "hits", Value::U64(30), -8.0);
    turned.run(59.9);
    assert_eq!(turned.events(), []);
    turned.run(1.2);
    assert_eq!(turned.events(), [event("hits", 55.0, 2.0)]);
    let counters = *turned.timeline.counters();
    assert_eq!((counters.timer_events, counters.merged, counters.passed), (1, 2, 0));
    assert_eq!((counters.absolute_applied, counters.absolute_emitted, counters.absolute_open), (2, 2, 0));
    turned.run(200.0);
    assert_eq!(turned.events(), [], "each window is emitted once");
}

#[test]
fn a_window_that_was_opened_again_has_its_60_s() {
    let mut turned = Turned::new(Rules::default());
    for at in [0.0, 30.0, 58.0] {
        let ahead = at - turned.clock;
        turned.run(ahead);
        turned.send(Kind::Absolute, "hits", Value::U64(60), at);
    }
    turned.events();
    turned.run(59.9);
    assert_eq!(turned.events(), []);
    turned.run(1.2);
    assert_eq!(turned.events(), [event("hits", 118.0, 1.0)]);
}

#[test]
fn a_tick_closes_a_bounded_number_of_windows_and_all_of_them_in_the_end() {
    let mut turned = Turned::new(Rules::default());
    for n in 0..5000 {
        turned.send(Kind::Absolute, &format!("hits.{n}"), Value::U64(60), 0.0);
    }
    turned.clock = 10_000.0;
    let mut closed = Vec::new();
    loop {
        let (now, mono) = (turned.now(), turned.mono());
        let more = turned.timeline.tick(now, mono, &mut turned.seen);
        closed.push(turned.events().len());
        if !more {
            break;
        }
    }
    assert!(closed.iter().all(|&closed| closed <= WINDOWS_A_TICK as usize), "{closed:?}");
    assert_eq!(closed.iter().sum::<usize>(), 5000);
}

#[test]
fn idle_series_go_in_slices() {
    let mut turned = Turned::new(Rules::default());
    for n in 0..20_000 {
        turned.gauge(&format!("idle.{n}"));
    }
    turned.clock = 3000.0;
    turned.gauge("busy");
    turned.clock = 3599.8;
    let (now, mono) = (turned.now(), turned.mono());
    turned.timeline.tick(now, mono, &mut turned.seen);
    assert_eq!(turned.timeline.counters().expired, 0);
    let mut before = 0;
    for _ in 0..10_000 {
        turned.clock += 0.1;
        let (now, mono) = (turned.now(), turned.mono());
        turned.timeline.tick(now, mono, &mut turned.seen);
        let expired = turned.timeline.counters().expired;
        assert!(expired - before <= u64::from(EXPIRED_A_TICK));
        before = expired;
    }
    assert_eq!((turned.timeline.counters().expired, turned.timeline.counters().series), (20_000, 1));
    assert!(turned.timeline.table.series.chunks() <= 2, "their memory is given back");
}

fn few() -> Rules {
    let limits = Limits { series_max: 8, series_reserve: 2, series_per_input_max: 4, series_per_part_max: 3 };
    Rules { limits, ..Rules::default() }
}

#[test]
fn over_the_limit_known_series_flow_and_sums_stay_right() {
    let mut turned = Turned::new(few());
    for key in ["web.a", "web.b", "web.c", "web.d"] {
        turned.gauge(key);
    }
    assert_eq!(turned.refused(), [refusal("web.d", Reason::SeriesLimit)]);
    turned.gauge("web.a");
    assert_eq!(turned.events().len(), 4, "known series flow");

    for (key, value) in [("web.hits.a", 60), ("web.hits.b", 120), ("web.hits.a", 180)] {
        turned.send(Kind::Absolute, key, Value::U64(value), 0.0);
    }
    turned.run(61.0);
    assert_eq!(turned.events(), [event("web.leela_overflow;kind=absolute", 60.0, 6.0)]);
    assert_eq!(turned.timeline.counters().overflowed, 3);
}

#[test]
fn the_reserve_is_for_leela() {
    let mut turned = Turned::new(few());
    for n in 0..6 {
        turned.send_from(n, Kind::Gauge, &format!("s{n}"), Value::U64(1), 0.0);
    }
    turned.send_from(9, Kind::Gauge, "s7", Value::U64(1), 0.0);
    assert_eq!(turned.refused(), [refusal("s7", Reason::SeriesLimit)]);
    for n in 0..3 {
        turned.send_from(9, Kind::Gauge, &format!("leela.udp.{n}"), Value::U64(1), 0.0);
    }
    assert_eq!(turned.refused(), [refusal("leela.udp.2", Reason::SeriesLimit)]);
    assert_eq!(turned.events().len(), 8);
}

#[test]
fn overflow_series_are_bounded_too() {
    let mut turned = Turned::new(few());
    for n in 0..8 {
        turned.send_from(n, Kind::Gauge, &format!("s{n}"), Value::U64(1), 0.0);
    }
    turned.events();
    for n in 0..1200 {
        turned.send(Kind::Absolute, &format!("part{n}.hits"), Value::U64(60), 0.0);
    }
    turned.run(62.0);
    let events = turned.events();
    assert_eq!(events.len(), 1001);
    let rest: Vec<_> = events.iter().filter(|(key, ..)| key == "leela.overflow;kind=absolute").collect();
    assert_eq!(rest, [&event("leela.overflow;kind=absolute", 60.0, 200.0)]);
    assert_eq!(turned.timeline.counters().overflowed, 1200);
}

#[test]
fn a_reading_every_10_s_with_jitter_gives_359_rates_of_360() {
    let mut turned = Turned::new(Rules::default());
    for n in 0..360_u32 {
        let jitter = (f64::from(n * 7 % 11) - 5.0) / 1000.0;
        turned.clock = f64::from(n) * 10.0 + 1.0;
        turned.send(Kind::Derive, "net", Value::U64(u64::from(n) * 1000), f64::from(n) * 10.0 + jitter);
    }
    assert_eq!(turned.events().len(), 359);
}

proptest! {
    /// Whatever comes in: the identities hold, nothing that is no number comes out, and the sums of absolute
    /// records are those of their events.
    #[test]
    fn records_are_conserved(
        steps in prop::collection::vec(
            (0..5_usize, "[ab](\\.[ab])?(;[xy]=[12]){0,2}", -100..100_i64, -30..30_i64, 0..20_u32, 0..3_u64),
            1..120,
        ),
        tagged: bool,
        ttl in 30..200_u64,
    ) {
        let tags = if tagged { vec![("x".to_owned(), "1".to_owned())] } else { Vec::new() };
        let mut turned = Turned::new(Rules { tags, ttl: Duration::from_secs(ttl), ..few() });
        let mut offset = 0.0;
        for (kind, key, value, at, turn, source) in steps {
            offset += f64::from(turn) / 4.0;
            let ahead = offset - turned.clock;
            turned.run(ahead);
            let at = turned.clock + at as f64;
            turned.send_from(source, Kind::ALL[kind], &key, Value::I64(value), at);
            let counters = turned.timeline.counters();
            prop_assert_eq!(counters.passed + counters.timer_events, turned.seen.events.len() as u64);
            prop_assert_eq!(counters.refused_all(), turned.seen.refused.len() as u64);
        }
        turned.run(62.0);
        prop_assert_eq!(turned.timeline.counters().absolute_open, 0);
        turned.run(ttl as f64 * 1.5);
        let counters = *turned.timeline.counters();
        prop_assert!(counters.balanced());
        prop_assert_eq!(counters.series, 0);
        prop_assert_eq!((0..turned.timeline.table.series.end())
            .filter_map(|id| turned.timeline.table.series.get(id))
            .filter(|series| series.state != State::Free)
            .count(), 0);
    }

    /// A batch is its records, one after the other.
    #[test]
    fn a_batch_is_its_records(
        records in prop::collection::vec((0..5_usize, "[a-c](;[xy]=[12]){0,2}", 0..100_u64, -20..20_i64), 0..100),
        idle: bool,
    ) {
        let metrics: Vec<Metric<'_>> = records
            .iter()
            .map(|(kind, key, value, at)| {
                let time = Time::from_secs(NOW + at);
                Metric::new(key.as_bytes(), time, Kind::ALL[*kind], Value::U64(*value))
            })
            .collect();
        let mut whole = Turned::new(few());
        let mut single = Turned::new(few());
        for turned in [&mut whole, &mut single] {
            turned.gauge("a");
            turned.send(Kind::Adjust, "b;y=1;x=1", Value::U64(1), 0.0);
            turned.clock = if idle { 3600.0 } else { 10.0 };
        }
        let (now, mono) = (whole.now(), whole.mono());
        whole.timeline.apply(&metrics, 1, now, mono, &mut whole.seen);
        for metric in &metrics {
            single.timeline.apply(std::slice::from_ref(metric), 1, now, mono, &mut single.seen);
        }
        prop_assert_eq!(whole.seen.events, single.seen.events);
        prop_assert_eq!(whole.seen.refused, single.seen.refused);
        prop_assert_eq!(whole.timeline.counters, single.timeline.counters);
    }
}
