//! What went in, and what has to come out of it: the simulation's own counts.

use std::collections::{BTreeMap, HashMap};

use common::time::Time;

/// A record that was given to an input.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Record {
    /// A gauge whose value is a number that is there once.
    Gauge(u64, Time),
    /// A count of 1, a sample or a member that is there once: each is 1 of what comes out of its window.
    Gathered(Time),
    /// A counter, a derive or an absolute value: it comes out as a rate.
    Rate(Time),
    /// One that is refused whatever the clock says.
    Bad,
    /// A note, by its number.
    Note(u64),
}

/// How far ahead of the clock a record may be.
const FUTURE_MAX_NS: i64 = 600_000_000_000;

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// What the timeline took in, in order: the gauges and notes that have to come out as they are.
    pub(crate) gauges: Vec<u64>,
    pub(crate) notes: Vec<u64>,
    /// Records that were applied to windows.
    pub(crate) gathered: u64,
    /// Records the timeline was given, and those of them that it has to refuse.
    pub(crate) received: u64,
    pub(crate) refused: u64,
    /// What came out, at the peer that misses nothing.
    pub(crate) out: Out,
}

/// What came out.
#[derive(Debug, Default)]
pub(crate) struct Out {
    pub(crate) gauges: Vec<u64>,
    pub(crate) notes: Vec<u64>,
    /// What is in the windows that were emitted.
    pub(crate) gathered: f64,
    /// Windows that were emitted, by key and time.
    windows: HashMap<(Vec<u8>, Time), f64>,
    /// Each event, by its number.
    pub(crate) events: BTreeMap<u64, (Vec<u8>, Time, f64)>,
}

impl Ledger {
    /// The timeline applied a record at this time.
    pub(crate) fn apply(&mut self, record: Record, now: Time) {
        let is_future = |time: Time| time.since_ns(now) > FUTURE_MAX_NS;
        self.received += 1;
        match record {
            Record::Note(number) => self.notes.push(number),
            Record::Gauge(_, time) | Record::Gathered(time) | Record::Rate(time) if is_future(time) => {
                self.refused += 1;
            }
            Record::Gauge(number, _) => self.gauges.push(number),
            Record::Gathered(_) => self.gathered += 1,
            Record::Rate(_) => {}
            Record::Bad => self.refused += 1,
        }
    }
}

impl Out {
    /// An event came out; its number is the next one.
    pub(crate) fn event(&mut self, number: u64, key: &[u8], time: Time, value: f64) -> Result<(), String> {
        if key.starts_with(b"g.") {
            self.gauges.push(value as u64);
        }
        let is_window = [b"c.".as_slice(), b"s.", b"m."].iter().any(|front| key.starts_with(front));
        if is_window {
            if let Some(before) = self.windows.insert((key.to_vec(), time), value) {
                let key = String::from_utf8_lossy(key);
                return Err(format!("{key} at {time} came out as {before}, and again as {value}"));
            }
            let has_records =
                [b".total".as_slice(), b".count", b".unique"].iter().any(|end| key.ends_with(end));
            self.gathered += if has_records { value } else { 0.0 };
        }
        self.events.insert(number, (key.to_vec(), time, value));
        Ok(())
    }
}
