//! Series: the most active ones, by a subscription to all events.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Instant;

use common::heavy::Heavy;
use common::metric::Event;

use super::sheet::{Cell, Column, Sheet, Unit};
use crate::instance::Instance;
use crate::tail::Consumer;

pub(super) const COLUMNS: &[Column] = &[
    Column { name: "events/s", unit: Unit::Count },
    Column { name: "value", unit: Unit::Value },
    Column { name: "series", unit: Unit::Text },
];

/// Series that are counted one by one; of those beyond only what is frequent.
const SERIES_MAX: usize = 65_536;
const FREQUENT: usize = 512;
/// Rates are of about the last so many seconds: a series that gives a value every ten is as active as it is.
const MEMORY_SECS: f64 = 10.0;
/// A series this slow has gone.
const GONE: f64 = 0.001;
/// Datagrams that are read before keys and the clock have their turn.
const DATAGRAMS_MAX: usize = 256;

/// What is known of a series.
#[derive(Clone, Debug)]
struct Seen {
    key: Box<[u8]>,
    count: u64,
    rate: f64,
    value: f64,
}

/// The series since the subscription.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) consumer: Consumer,
    hasher: RandomState,
    seen: HashMap<u64, Seen>,
    more: Heavy<f64>,
    lost: u64,
    begun: Instant,
    at: Instant,
}

impl Series {
    /// Subscribes.
    pub(super) fn open(instance: &Instance, now: Instant) -> anyhow::Result<Series> {
        let consumer = Consumer::bind(instance, "leela-top")?;
        consumer.register().map_err(|error| {
            instance.unreached(&instance.runtime_dir.timeline_multicast(), "timeline", &error)
        })?;
        Ok(Series {
            consumer,
            hasher: RandomState::new(),
            seen: HashMap::new(),
            more: Heavy::new(FREQUENT),
            lost: 0,
            begun: now,
            at: now,
        })
    }

    /// Reads what is there; true when there may be more.
    pub(super) fn read(&mut self) -> anyhow::Result<bool> {
        for _ in 0..DATAGRAMS_MAX {
            let Series { consumer, hasher, seen, more, lost, .. } = self;
            let Some((events, missing)) = consumer.receive()? else { return Ok(false) };
            *lost += missing;
            // What cannot be read is of another version: `leela doctor` says so.
            for event in events.map_while(Result::ok) {
                count(hasher, seen, more, &event);
            }
        }
        Ok(true)
    }

    /// The most active ones.
    pub(super) fn sheet(&mut self, now: Instant) -> Sheet {
        let elapsed = (now - self.at).as_secs_f64().max(1e-3);
        self.at = now;
        let weight = 1.0 - (-elapsed / MEMORY_SECS).exp();
        // What there is to remember is less while the subscription is young.
        let known = 1.0 - (-(now - self.begun).as_secs_f64() / MEMORY_SECS).exp();
        let mut rows = Vec::new();
        let mut events = 0.0;
        self.seen.retain(|_, seen| {
            seen.rate += (seen.count as f64 / elapsed - seen.rate) * weight;
            seen.count = 0;
            let rate = seen.rate / known.max(weight);
            events += rate;
            let key = String::from_utf8_lossy(&seen.key).into_owned();
            rows.push(vec![Cell::Number(rate), Cell::Number(seen.value), Cell::Text(key)]);
            rate >= GONE
        });
        let beyond = self.more.total() as f64 / elapsed;
        for entry in self.more.entries() {
            let rate = (entry.count - entry.error) as f64 / elapsed;
            let key = String::from_utf8_lossy(entry.text).into_owned();
            rows.push(vec![Cell::Number(rate), Cell::Number(*entry.own), Cell::Text(key)]);
        }
        self.more.clear();
        let mut summary = format!("{:.0} events/s of {} series", events + beyond, rows.len());
        if beyond > 0.0 {
            summary.push_str(&format!(
                "; {beyond:.0} of them of series beyond {SERIES_MAX}: their rates are at least"
            ));
        }
        if self.lost > 0 {
            summary.push_str(&format!("; {} were lost on the way: this reader is behind", self.lost));
        }
        Sheet { summary, columns: COLUMNS, rows }
    }
}

fn count(hasher: &RandomState, seen: &mut HashMap<u64, Seen>, more: &mut Heavy<f64>, event: &Event<'_>) {
    let mut state = hasher.build_hasher();
    state.write(event.key);
    let hash = state.finish();
    let is_full = seen.len() >= SERIES_MAX;
    match seen.get_mut(&hash) {
        Some(seen) => {
            seen.count += 1;
            seen.value = event.value;
        }
        None if is_full => *more.add(hash, event.key) = event.value,
        None => {
            seen.insert(hash, Seen { key: event.key.into(), count: 1, rate: 0.0, value: event.value });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::time::Time;

    #[test]
    fn series_beyond_the_bound_are_counted_where_they_are_frequent() {
        let (hasher, mut seen, mut more) = (RandomState::new(), HashMap::new(), Heavy::new(FREQUENT));
        for round in 0..3 {
            for number in 0..SERIES_MAX + 1000 {
                let key = format!("a.{number}");
                let event = Event { key: key.as_bytes(), time: Time::from_secs(1), value: f64::from(round) };
                count(&hasher, &mut seen, &mut more, &event);
            }
            for _ in 0..1000 {
                let event = Event { key: b"hot", time: Time::from_secs(1), value: 7.0 };
                count(&hasher, &mut seen, &mut more, &event);
            }
        }
        assert_eq!((seen.len(), more.total()), (SERIES_MAX, 3 * 2000));
        let hot = more.entries().find(|entry| entry.text == b"hot").unwrap();
        assert!(hot.count >= 3000 && hot.count - hot.error <= 3000 && *hot.own == 7.0, "{hot:?}");
    }
}
