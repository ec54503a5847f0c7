//! One round: readings become metrics of one time, and what cannot be read is counted and told once.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Display;

use common::books::{Books, Label, Refusal};
use common::key;
use common::metric::{Kind, Metric};
use common::time::Time;
use common::value::Value;

use crate::counters::{Area, Counters, Reason};

/// What could not be read in the round before, so that a fault is told when it begins and when it ends.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    before: BTreeSet<String>,
    now: BTreeSet<String>,
}

/// A round in the making.
pub(crate) struct Round<'a> {
    time: Time,
    books: &'a mut Books<Counters>,
    faults: &'a mut Faults,
    take: &'a mut dyn FnMut(&Metric<'_>),
    key: String,
}

impl<'a> Round<'a> {
    /// Begins; `take` gets each metric.
    pub(crate) fn new(
        time: Time,
        books: &'a mut Books<Counters>,
        faults: &'a mut Faults,
        take: &'a mut dyn FnMut(&Metric<'_>),
    ) -> Round<'a> {
        Round { time, books, faults, take, key: String::new() }
    }

    /// Passes a value of now on.
    pub(crate) fn gauge(&mut self, name: &str, tag: Option<(&str, &str)>, value: f64) {
        self.metric(name, tag, Kind::Gauge, Value::F64(value));
    }

    /// Passes an integer of now on.
    pub(crate) fn level(&mut self, name: &str, tag: Option<(&str, &str)>, value: u64) {
        self.metric(name, tag, Kind::Gauge, Value::U64(value));
    }

    /// Passes a count that only grows on.
    pub(crate) fn count(&mut self, name: &str, tag: Option<(&str, &str)>, value: u64) {
        self.metric(name, tag, Kind::Counter, Value::U64(value));
    }

    fn metric(&mut self, name: &str, tag: Option<(&str, &str)>, kind: Kind, value: Value) {
        self.books.counters.received += 1;
        self.key.clear();
        self.key.push_str(&clean(name, &mut self.books.counters.replaced));
        if let Some((tag, label)) = tag {
            let label = clean(label, &mut self.books.counters.replaced);
            self.key.extend([";", tag, "=", &label]);
        }
        let reason = match key::parse(self.key.as_bytes()) {
            Ok(_) if !value.is_finite() => Reason::NotFinite,
            Ok(key) => {
                self.books.counters.accepted += 1;
                self.books.counters.passed += 1;
                (self.take)(&Metric::new(key.as_bytes(), self.time, kind, value));
                return;
            }
            Err(_) => Reason::BadKey,
        };
        self.books.counters.refused.add(reason);
        let text = self.key.as_bytes();
        self.books.refuse(&Refusal { time: self.time, peer: "host", reason: reason.name(), text, offset: 0 });
    }

    /// Books that `what` could not be read; logs it in the first of the rounds in which it cannot.
    pub(crate) fn unread(&mut self, area: Area, what: impl Display, error: impl Display) {
        self.books.counters.unread.add(area);
        let what = what.to_string();
        if !self.faults.before.contains(&what) && !self.faults.now.contains(&what) {
            tracing::warn!(what, %error, "cannot be read, it is left out");
        }
        self.faults.now.insert(what);
    }

    /// The result's value; what it could not be read for is booked.
    pub(crate) fn read<T, E: Display>(
        &mut self,
        area: Area,
        what: impl Display,
        result: Result<T, E>,
    ) -> Option<T> {
        result.map_err(|error| self.unread(area, what, error)).ok()
    }

    /// Ends: tells which faults are over.
    pub(crate) fn end(self) {
        for what in self.faults.before.difference(&self.faults.now) {
            tracing::info!(what, "is read again, or gone");
        }
        self.faults.before = std::mem::take(&mut self.faults.now);
    }
}

/// A name as it may stand in a key: `;`, control characters and what was no UTF-8 become `_`.
fn clean<'n>(name: &'n str, replaced: &mut u64) -> Cow<'n, str> {
    let is_odd = |c: char| c == ';' || c.is_control() || c == char::REPLACEMENT_CHARACTER;
    if !name.contains(is_odd) {
        return Cow::Borrowed(name);
    }
    *replaced += 1;
    Cow::Owned(name.replace(is_odd, "_"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What one round passes on, as Leela's text without times, in order; and what it booked.
    pub(crate) fn round_of(read: impl FnOnce(&mut Round<'_>)) -> (Vec<String>, Counters) {
        let dir = tempfile::tempdir().unwrap();
        let mut books = Books::<Counters>::open(&dir.path().join("host"), "host", 0).unwrap();
        let mut faults = Faults::default();
        let mut metrics = Vec::new();
        let mut take = |metric: &Metric<'_>| {
            assert_eq!(metric.time, Time::from_secs(7));
            let key = std::str::from_utf8(metric.key).unwrap();
            metrics.push(format!("{} {key} {}", metric.kind.word(), metric.value));
        };
        let mut round = Round::new(Time::from_secs(7), &mut books, &mut faults, &mut take);
        read(&mut round);
        round.end();
        let counters = &books.counters;
        assert_eq!(counters.received, counters.accepted + counters.refused.total());
        assert_eq!(counters.accepted, counters.passed);
        assert_eq!(counters.passed, metrics.len() as u64);
        (metrics, books.counters.clone())
    }

    #[test]
    fn an_odd_name_costs_its_odd_characters_and_a_bad_key_itself() {
        let (metrics, counters) = round_of(|round| {
            round.level("host.disk.used", Some(("mount", "/a;b=c\nd\u{fffd}")), 1);
            round.level("host.disk.used", Some(("mount", "/mnt/my disk")), 2);
            round.count("host.disk.used", Some(("mount", &"x".repeat(1100))), 3);
            round.gauge("host.load.1m", None, f64::NAN);
            round.gauge("host.load.1m", None, 0.25);
            round.count("leela.udp.bytes", None, u64::MAX);
        });
        assert_eq!(
            metrics,
            [
                "gauge host.disk.used;mount=/a_b=c_d_ 1",
                "gauge host.disk.used;mount=/mnt/my disk 2",
                "gauge host.load.1m 0.25",
                "counter leela.udp.bytes 18446744073709551615",
            ]
        );
        assert_eq!(counters.replaced, 1);
        assert_eq!((counters.refused.get(Reason::BadKey), counters.refused.get(Reason::NotFinite)), (1, 1));
    }

    #[test]
    fn what_cannot_be_read_is_counted_each_round() {
        let (_, counters) = round_of(|round| {
            assert_eq!(round.read(Area::Load, "/proc/loadavg", Ok::<_, &str>(5)), Some(5));
            assert_eq!(round.read(Area::Load, "/proc/loadavg", Err::<u8, _>("gone")), None);
            round.unread(Area::Load, "/proc/loadavg", "gone");
        });
        assert_eq!(counters.unread.get(Area::Load), 2);
    }
}
