use std::collections::BTreeMap;
use std::time::Instant;

use common::query::answer::Answer;
use common::query::proc::{Instruction, parse};
use common::query::selector::Selector;
use common::time::Time;
use proptest::prelude::*;

use super::*;

const BOUNDS: Bounds = Bounds {
    series_max: 1000,
    series_ttl: Duration::from_secs(60),
    query_state_max: u64::MAX,
    state_max: u64::MAX,
};

/// What came out, for each client.
#[derive(Default, Debug, PartialEq)]
struct Values {
    of: BTreeMap<u32, Vec<(String, f64)>>,
    refused: Vec<(String, Reason)>,
}

impl Outlet for Values {
    fn value(&mut self, client: u32, event: &Event<'_>) {
        let key = String::from_utf8_lossy(event.key).into_owned();
        self.of.entry(client).or_default().push((key, event.value));
    }

    fn refused(&mut self, event: &Event<'_>, reason: Reason) {
        self.refused.push((String::from_utf8_lossy(event.key).into_owned(), reason));
    }
}

struct Bed {
    engine: Engine,
    counters: Counters,
    values: Values,
    moment: Moment,
}

impl Bed {
    fn new(bounds: Bounds) -> Bed {
        let (counters, values) = (Counters::default(), Values::default());
        Bed { engine: Engine::new(bounds), counters, values, moment: Moment::default() }
    }

    fn query(&mut self, client: u32, regex: &str, pipeline: &str) -> u32 {
        let text = format!("proc match {}|{regex} {pipeline};", regex.len());
        let Ok(Instruction::Proc(proc)) = parse(text.as_bytes()) else { panic!("{text}") };
        self.engine.begin(proc, client)
    }

    fn events(&mut self, events: &[(&str, f64)]) {
        let events: Vec<Event<'_>> = events
            .iter()
            .map(|&(key, value)| Event { key: key.as_bytes(), value, time: Time::from_secs(0) })
            .collect();
        for batch in events.chunks(BATCH) {
            self.engine.apply(batch, self.moment, &mut self.counters, &mut self.values);
        }
    }

    fn at(&mut self, seconds: u64) {
        self.moment = Moment::of(Duration::from_secs(seconds));
    }

    fn sweep(&mut self) {
        self.engine.sweep(u32::MAX, self.moment, &mut self.counters);
        self.engine.book(&mut self.counters);
    }

    fn take(&mut self, client: u32) -> Vec<(String, f64)> {
        self.values.of.remove(&client).unwrap_or_default()
    }
}

fn pairs(pairs: &[(&str, f64)]) -> Vec<(String, f64)> {
    pairs.iter().map(|&(key, value)| (key.to_owned(), value)).collect()
}

#[test]
fn each_client_has_its_own_state_for_each_series() {
    let mut bed = Bed::new(BOUNDS);
    bed.query(0, "^a", "sum");
    bed.events(&[("a", 1.0), ("a", 2.0), ("b", 9.0)]);
    bed.query(1, ".", "window 2 (sum)");
    bed.events(&[("a", 3.0), ("aa", 4.0), ("a", 5.0), ("b", 6.0), ("b", 7.0)]);
    assert_eq!(bed.take(0), pairs(&[("a", 1.0), ("a", 3.0), ("a", 6.0), ("aa", 4.0), ("a", 11.0)]));
    assert_eq!(bed.take(1), pairs(&[("a", 8.0), ("b", 13.0)]));
    let Counters { received, accepted, passed, merged, unmatched, frames, .. } = &bed.counters;
    assert_eq!((*received, *accepted, *passed, *merged, *unmatched), (8, 8, 7 - 1, 2, 1));
    assert_eq!(frames.produced, 7);
}

#[test]
fn a_query_that_ended_gets_nothing_and_its_place_is_used_again() {
    let mut bed = Bed::new(BOUNDS);
    let first = bed.query(0, ".", "id");
    bed.events(&[("a", 1.0), ("b", 1.0)]);
    bed.engine.end(first);
    assert!(bed.engine.has_stale());
    bed.events(&[("a", 2.0)]);
    assert_eq!(bed.take(0), pairs(&[("a", 1.0), ("b", 1.0)]));
    assert!(bed.engine.has_stale(), "b does not know it yet");
    bed.sweep();
    assert!(!bed.engine.has_stale());
    assert_eq!((bed.counters.state_bytes, bed.counters.procs), (0, 0));
    assert_eq!(bed.query(3, ".", "id"), first);
    bed.events(&[("a", 3.0)]);
    assert_eq!((bed.take(0), bed.take(3)), (vec![], pairs(&[("a", 3.0)])));
}

#[test]
fn over_the_limit_known_series_flow_and_new_ones_are_refused() {
    let mut bed = Bed::new(Bounds { series_max: 2, ..BOUNDS });
    bed.query(0, ".", "id");
    bed.events(&[("a", 1.0), ("b", 1.0), ("c", 1.0), ("a", 2.0)]);
    assert_eq!(bed.take(0), pairs(&[("a", 1.0), ("b", 1.0), ("a", 2.0)]));
    assert_eq!(bed.values.refused, [("c".to_owned(), Reason::SeriesLimit)]);
    assert_eq!((bed.counters.accepted, bed.counters.refused.get(Reason::SeriesLimit)), (3, 1));
}

#[test]
fn idle_series_go_with_what_is_known_of_them() {
    let mut bed = Bed::new(BOUNDS);
    bed.query(0, ".", "sum");
    bed.events(&[("a", 1.0), ("b", 1.0)]);
    bed.at(59);
    bed.events(&[("b", 1.0)]);
    bed.at(60);
    bed.sweep();
    assert_eq!((bed.counters.series, bed.counters.expired), (1, 1));
    bed.events(&[("a", 1.0), ("b", 1.0)]);
    assert_eq!(bed.take(0)[3..], pairs(&[("a", 1.0), ("b", 3.0)]));
    bed.at(1000);
    bed.sweep();
    assert_eq!((bed.counters.series, bed.counters.state_bytes), (0, 0));
}

#[test]
fn a_key_that_is_none_is_refused() {
    let mut bed = Bed::new(BOUNDS);
    let long = "x".repeat(1025);
    for key in ["", ";a=b", "a\nb", "a;b=2;a=1", &long] {
        bed.events(&[(key, 1.0)]);
        assert_eq!(bed.values.refused.pop(), Some((key.to_owned(), Reason::BadKey)), "{key:?}");
    }
    assert_eq!(bed.counters.refused.get(Reason::BadKey), 5);
}

#[test]
fn a_query_that_needs_too_much_state_ends_alone() {
    let mut bed = Bed::new(Bounds { query_state_max: 1000, ..BOUNDS });
    bed.query(0, ".", "window 1000 (median)");
    bed.query(1, ".", "id");
    bed.events(&[("a", 1.0), ("b", 1.0)]);
    assert_eq!((bed.engine.take_exhausted(), bed.engine.take_exhausted()), (Some(0), None));
    assert_eq!(bed.take(1), pairs(&[("a", 1.0), ("b", 1.0)]));
}

#[test]
fn events_flow_while_there_is_no_time_to_match() {
    let mut bed = Bed::new(BOUNDS);
    bed.query(0, ".", "id");
    bed.events(&[("a", 1.0)]);
    bed.query(1, ".", "id");
    bed.engine.allow_matching(Duration::ZERO);
    bed.events(&[("a", 2.0)]);
    bed.engine.allow_matching(Duration::from_millis(1));
    bed.events(&[("a", 3.0)]);
    assert_eq!(bed.take(0), pairs(&[("a", 1.0), ("a", 2.0), ("a", 3.0)]));
    assert_eq!((bed.take(1), bed.counters.deferred), (pairs(&[("a", 3.0)]), 1));
}

#[test]
fn a_scan_counts_what_a_query_selects() {
    let mut bed = Bed::new(BOUNDS);
    for second in 0..10 {
        bed.at(second);
        bed.events(&[("web.a", 1.0), ("web.b", 1.0), ("db", 1.0)]);
    }
    let query = bed.query(0, "^web", "id");
    let mut scan = Scan::new(0, query, Instant::now());
    assert!(!bed.engine.scan(&mut scan, 1, bed.moment));
    while !bed.engine.scan(&mut scan, 1, bed.moment) {}
    let want = Answer::Rate { at_least: false, series: 2, per_minute: 120 };
    assert_eq!(scan.answer(true), want);
    bed.engine.end(query);
    assert!(bed.engine.scan(&mut Scan::new(0, query, Instant::now()), 1, bed.moment));
}

/// A query's place, what it selects, and the sums it has given.
type Summing<'a> = (u32, Selector, BTreeMap<&'a str, f64>);

proptest! {
    /// Whatever comes and goes, a client gets just what its own query makes of the series it selects.
    #[test]
    fn queries_do_not_disturb_each_other(steps in prop::collection::vec((0_u8..10, 0_u8..6, 0_u8..4), 1..200)) {
        const KEYS: [&str; 6] = ["a", "ab", "abc", "b", "bc", "c;t=1"];
        const REGEXES: [&str; 4] = ["^a", "^ab", "b", "."];
        let mut bed = Bed::new(BOUNDS);
        let mut queries: Vec<Option<Summing<'_>>> = Vec::new();
        let mut want: BTreeMap<u32, Vec<(String, f64)>> = BTreeMap::new();
        for (action, key, regex) in steps {
            match action {
                0 => {
                    let regex = REGEXES[usize::from(regex)];
                    let client = queries.len() as u32;
                    let place = bed.query(client, regex, "sum");
                    let selector = Selector::parse(regex).unwrap();
                    queries.push(Some((place, selector, BTreeMap::new())));
                }
                1 if !queries.is_empty() => {
                    let client = usize::from(key) * 7 % queries.len();
                    if let Some((place, _, _)) = queries[client].take() {
                        bed.engine.end(place);
                    }
                }
                2 => bed.sweep(),
                _ => {
                    let key = KEYS[usize::from(key)];
                    bed.events(&[(key, 1.0)]);
                    for (client, query) in queries.iter_mut().enumerate() {
                        if let Some((_, selector, sums)) = query
                            && selector.matches(key.as_bytes())
                        {
                            let sum = sums.entry(key).or_default();
                            *sum += 1.0;
                            want.entry(client as u32).or_default().push((key.to_owned(), *sum));
                        }
                    }
                }
            }
        }
        prop_assert_eq!(&bed.values.of, &want);
        bed.at(1000);
        bed.sweep();
        prop_assert_eq!((bed.counters.series, bed.counters.state_bytes, bed.engine.has_stale()), (0, 0, false));
    }
}
