use common::metric::{Event, Kind, Metric};
use common::value::Value;
use proptest::prelude::*;

use super::*;
use crate::rules::Rules;
use crate::series::Class;

const NOW: Time = Time::from_secs(1_780_000_000);
const UP: Duration = Duration::from_secs(5000);

fn apply(timeline: &mut Timeline, kind: Kind, key: &str, value: Value, at: i64) -> Vec<(i64, f64)> {
    let mut events = Vec::new();
    let record = Metric::new(key.as_bytes(), NOW.plus_ns(at * 1_000_000_000), kind, value);
    let now = NOW.plus_ns(at * 1_000_000_000);
    let mut out = |event: Event<'_>| events.push((event.time.since_ns(NOW) / 1_000_000_000, event.value));
    let mono = Duration::from_secs(u64::try_from(5000 + at).unwrap());
    timeline.apply(&[record], 7, now, mono, &mut out);
    events
}

/// Saved at [`NOW`], taken up `away` seconds later by a process that has just begun.
fn restart(timeline: &Timeline, away: i64) -> (Timeline, Restored) {
    let mut bytes = Vec::new();
    write(timeline, &mut bytes, NOW, UP, None).unwrap();
    let mut next = Timeline::new(timeline.rules().clone());
    let now = NOW.plus_ns(away * 1_000_000_000);
    let report = read(&mut next, &mut &*bytes, now, Duration::ZERO, None).unwrap();
    assert!(next.counters().balanced());
    (next, report)
}

#[test]
fn a_restart_keeps_bases_values_and_sums() {
    let mut timeline = Timeline::new(Rules::default());
    apply(&mut timeline, Kind::Counter, "counter", Value::U64(u64::MAX - 200), -10);
    apply(&mut timeline, Kind::Counter, "counter", Value::U64(u64::MAX - 100), 0);
    apply(&mut timeline, Kind::Derive, "derive", Value::I64(-5), 0);
    apply(&mut timeline, Kind::Gauge, "gauge", Value::F64(1.5), 0);
    apply(&mut timeline, Kind::Absolute, "absolute", Value::U64(60), -10);
    apply(&mut timeline, Kind::Absolute, "absolute", Value::U64(60), 0);
    apply(&mut timeline, Kind::Absolute, "alone", Value::U64(600), 0);
    let (mut next, report) = restart(&timeline, 50);
    assert_eq!(
        report,
        Restored { series: 5, absolute_records: 2, downtime: Duration::from_secs(50), ..report }
    );

    // The wrap is known by the highest rate seen.
    let mut apply = |kind, key, value| {
        let mut events = Vec::new();
        let now = NOW.plus_ns(60_000_000_000);
        let record = Metric::new(key, now, kind, value);
        let mut out = |event: Event<'_>| events.push((event.time.since_ns(NOW) / 1_000_000_000, event.value));
        next.apply(&[record], 7, now, Duration::from_secs(9), &mut out);
        events
    };
    assert_eq!(apply(Kind::Counter, b"counter", Value::U64(499)), [(60, 10.0)]);
    assert_eq!(apply(Kind::Derive, b"derive", Value::U64(55)), [(60, 1.0)]);
    assert_eq!(apply(Kind::Adjust, b"gauge", Value::F64(0.25)), [(60, 1.75)]);
    assert_eq!(apply(Kind::Absolute, b"absolute", Value::U64(1)), [(60, 1.0)]);

    // The timer had 60 s, of which 50 passed between the two runs.
    let mut events = Vec::new();
    let mut out = |event: Event<'_>| events.push((event.time.since_ns(NOW) / 1_000_000_000, event.value));
    let now = NOW.plus_ns(61_000_000_000);
    next.tick(now, Duration::from_secs(11), &mut out);
    assert_eq!(events, [(60, 10.0)]);
    assert!(next.counters().balanced());
}

#[test]
fn the_time_between_makes_series_older() {
    let mut timeline = Timeline::new(Rules::default());
    apply(&mut timeline, Kind::Gauge, "idle", Value::U64(1), -1800);
    apply(&mut timeline, Kind::Gauge, "newer", Value::U64(1), -600);
    apply(&mut timeline, Kind::Absolute, "hits", Value::U64(60), -3);
    let (_, report) = restart(&timeline, 1799);
    assert_eq!((report.series, report.expired), (3, 0));
    let (_, report) = restart(&timeline, 1800);
    assert_eq!((report.series, report.expired), (2, 1));
    let (mut next, report) = restart(&timeline, 30 * 86_400);
    assert_eq!((report.series, report.expired, report.absolute_records), (1, 2, 1), "a sum is kept");
    let mut events = 0;
    next.tick(NOW, Duration::from_secs(1), &mut |_: Event<'_>| events += 1);
    assert_eq!((events, next.counters().absolute_open), (1, 0));
    let (_, report) = restart(&timeline, -1000);
    assert_eq!((report.series, report.downtime), (3, Duration::ZERO), "a clock that was set back");
}

#[test]
fn a_damaged_file_costs_only_the_state() {
    let mut timeline = Timeline::new(Rules::default());
    for n in 0..100 {
        apply(&mut timeline, Kind::Gauge, &format!("gauge.{n}"), Value::U64(n), 0);
    }
    let mut good = Vec::new();
    write(&timeline, &mut good, NOW, UP, None).unwrap();
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("timeline.state");
    for (label, bytes) in [
        ("empty", Vec::new()),
        ("another file", b"#!/bin/sh\n".repeat(10)),
        ("another version", flipped(8)),
        ("a bit of the header", flipped(12)),
        ("a bit of a length", flipped(33)),
        ("a bit of a record", flipped(200)),
        ("cut off", good[..good.len() - 1].to_vec()),
        ("cut off behind the header", good[..HEADER_BYTES].to_vec()),
        ("more behind it", [&*good, b"x"].concat()),
    ] {
        fs::write(&path, &bytes).unwrap();
        let mut next = Timeline::new(Rules::default());
        let TakenUp::Refused { error, aside: Some(aside) } = take_up(&mut next, &path, NOW, UP, None) else {
            panic!("{label}");
        };
        assert_eq!(fs::read(&aside).unwrap(), bytes, "{label}: {error}");
        assert!(!path.exists(), "{label}");
        assert_eq!(next.counters().series, 0, "{label}");
    }
}

#[test]
fn the_state_of_a_later_release_stays_where_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("timeline.state");
    check(&path).unwrap();
    assert_eq!(save(&Timeline::new(Rules::default()), &path, NOW, UP, None).unwrap(), 0);
    check(&path).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 9;
    let sum = crc32fast::hash(&bytes[..HEADER_BYTES - 4]);
    bytes[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&sum.to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    assert!(Ahead::is_why(&check(&path).unwrap_err()));
    let mut next = Timeline::new(Rules::default());
    let TakenUp::Refused { error, aside: None } = take_up(&mut next, &path, NOW, UP, None) else { panic!() };
    assert!(error.is_ahead(), "{error}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_state_is_taken_up_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("timeline.state");
    let mut timeline = Timeline::new(Rules::default());
    apply(&mut timeline, Kind::Absolute, "hits", Value::U64(60), 0);
    assert_eq!(save(&timeline, &path, NOW, UP, None).unwrap(), 1);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
    let mut next = Timeline::new(Rules::default());
    assert!(matches!(
        take_up(&mut next, &path, NOW, UP, None),
        TakenUp::Restored(Restored { series: 1, absolute_records: 1, .. })
    ));
    assert!(matches!(take_up(&mut next, &path, NOW, UP, None), TakenUp::Nothing));
}

#[test]
fn a_clock_that_was_set_meanwhile_ages_nothing() {
    let up = |boot: u8, seconds| Some(Uptime { boot: [boot; 16], since: Duration::from_secs(seconds) });
    // The uptime when it was saved and when it is taken up, an hour and ten seconds later by the wall clock; what is left.
    for (saved, now, away, series) in [
        (up(1, 100), up(1, 110), 10, 1),
        (up(1, 100), up(1, 3_710), 3_610, 0),
        (up(1, 100), up(2, 110), 3_610, 0),
        (None, up(1, 110), 3_610, 0),
        (up(1, 100), None, 3_610, 0),
    ] {
        let mut timeline = Timeline::new(Rules::default());
        apply(&mut timeline, Kind::Gauge, "gauge", Value::U64(1), 0);
        let mut bytes = Vec::new();
        write(&timeline, &mut bytes, NOW, UP, saved).unwrap();
        let mut next = Timeline::new(Rules::default());
        let later = NOW.plus_ns(3_610_000_000_000);
        let report = read(&mut next, &mut &*bytes, later, Duration::ZERO, now).unwrap();
        assert_eq!((report.downtime.as_secs(), report.series), (away, series), "{saved:?} {now:?}");
        // One that has no window yet says it, too.
        bytes.clear();
        write(&Timeline::new(Rules::default()), &mut bytes, NOW, UP, saved).unwrap();
        let report = read(&mut next, &mut &*bytes, later, Duration::ZERO, now).unwrap();
        assert_eq!(report.downtime.as_secs(), away, "{saved:?} {now:?}");
    }
}

/// Whether a run ends in order or is killed.
#[derive(Clone, Copy, Debug)]
enum End {
    InOrder,
    Killed,
}

#[test]
fn windows_are_not_stamped_twice_over_a_restart() {
    let hour = 3600;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(WINDOWS_FILE);
    // The clock goes ahead and back over the same windows, for 12 s each; the process ends after one of them, or two.
    let clocks = [5, hour, 11, hour + 5, 22, 33, hour + 22, 15, 21, hour + 33, 20, 3 * hour, 31];
    for (end, every) in [(End::InOrder, 1), (End::Killed, 1), (End::InOrder, 2), (End::Killed, 2)] {
        let mut timeline = Timeline::new(Rules::default());
        let mut stamps = Vec::new();
        let _ = fs::remove_file(&path);
        for (place, at) in clocks.into_iter().enumerate() {
            for step in 0..24 {
                let time = NOW.plus_ns(at * 1_000_000_000 + step * 500_000_000);
                let record = Metric::new(b"hits", time, Kind::Count, Value::U64(1));
                timeline.apply(&[record], 7, time, UP, &mut |_: Event<'_>| {});
                save_windows(timeline.windows_at(time), &path, time).unwrap();
                while timeline.flush(time, &mut |event: Event<'_>| {
                    if event.key.ends_with(b".total") {
                        stamps.push(event.time);
                    }
                }) {}
            }
            if place % every != 0 {
                continue;
            }
            let time = NOW.plus_ns((at + 12) * 1_000_000_000);
            let mut next = Timeline::new(Rules::default());
            match end {
                End::InOrder => {
                    let mut bytes = Vec::new();
                    write(&timeline, &mut bytes, time, UP, None).unwrap();
                    let _ = read(&mut next, &mut &*bytes, time, Duration::ZERO, None).unwrap();
                }
                End::Killed => assert!(take_up_windows(&mut next, &path, time).unwrap()),
            }
            timeline = next;
        }
        let given = stamps.len();
        assert!(given >= clocks.len(), "{end:?}: {stamps:?}");
        stamps.sort_unstable();
        stamps.dedup();
        assert_eq!(stamps.len(), given, "{end:?}: {stamps:?}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
    fs::remove_file(&path).unwrap();
    assert!(!take_up_windows(&mut Timeline::new(Rules::default()), &path, NOW).unwrap());
}

#[test]
fn tags_that_changed_are_joined_anew() {
    let tags = |value: &str| Rules { tags: vec![("host".to_owned(), value.to_owned())], ..Rules::default() };
    let mut timeline = Timeline::new(tags("old"));
    apply(&mut timeline, Kind::Gauge, "a", Value::U64(1), 0);
    let mut bytes = Vec::new();
    write(&timeline, &mut bytes, NOW, UP, None).unwrap();
    let mut next = Timeline::new(tags("new"));
    read(&mut next, &mut &*bytes, NOW, UP, None).unwrap();
    assert!(
        next.table.find(Class::Plain, b"a;host=new").is_some()
            && next.table.find(Class::Plain, b"a;host=old").is_none()
    );
}

proptest! {
    /// What was saved and taken up is saved again byte for byte, but for the order of its records.
    #[test]
    fn a_state_is_the_same_after_a_round(
        records in prop::collection::vec((0..5_usize, "[a-d]{1,8}(\\.[ab])?(;[xy]=[12]){0,2}", any::<i64>(), -30..0_i64), 0..200),
    ) {
        let mut timeline = Timeline::new(Rules::default());
        for (kind, key, value, at) in records {
            apply(&mut timeline, Kind::ALL[kind], &key, Value::I64(value), at);
        }
        let mut first = Vec::new();
        write(&timeline, &mut first, NOW, UP, None).unwrap();
        let mut next = Timeline::new(Rules::default());
        let report = read(&mut next, &mut &*first, NOW, Duration::from_secs(3), None).unwrap();
        prop_assert_eq!(report.series, timeline.counters().series);
        prop_assert_eq!(report.absolute_records, timeline.counters().absolute_open);
        prop_assert_eq!((report.expired, report.dropped), (0, 0));
        let mut second = Vec::new();
        write(&next, &mut second, NOW, Duration::from_secs(3), None).unwrap();
        prop_assert_eq!(first, second);
    }

    #[test]
    fn reading_takes_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0..400_usize) {
        let mut timeline = Timeline::new(Rules::default());
        prop_assert!(read(&mut timeline, &mut &*bytes, NOW, UP, None).is_err());
        apply(&mut timeline, Kind::Gauge, "gauge", Value::U64(1), 0);
        let mut good = Vec::new();
        write(&timeline, &mut good, NOW, UP, None).unwrap();
        if cut < good.len() {
            good[cut] ^= 1;
            prop_assert!(read(&mut Timeline::new(Rules::default()), &mut &*good, NOW, UP, None).is_err());
        }
    }
}
