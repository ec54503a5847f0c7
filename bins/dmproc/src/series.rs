//! The table of series: what was seen of each, and the runs of the queries that select it.

use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use common::metric::Event;
use common::query::run::Run;
use common::table::arena::Arena;
use common::table::index::{Index, NONE};
use common::table::slab::Slab;
use foldhash::quality::RandomState;

/// Events looked up at a time: their waits for memory overlap.
pub(crate) const BATCH: usize = 32;

/// A moment on the monotonic clock, in tenths of a second since the process began; 13 years fit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Moment(u32);

impl Moment {
    const A_SECOND: u32 = 10;
    const A_MINUTE: u32 = 60 * Moment::A_SECOND;
    /// A rate over less than 5 s says nothing of a minute.
    const SHORTEST: u32 = 50;

    pub(crate) fn of(since_start: Duration) -> Moment {
        Moment((since_start.as_millis() / 100) as u32)
    }

    /// Tenths of a second since `earlier`.
    fn since(self, earlier: Moment) -> u32 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Above so many events, over more than two minutes, the older half of them is forgotten.
const COUNTED_MAX: u32 = 64;

/// What is known of one series.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series {
    /// Where the key stands in the arena.
    at: u32,
    /// Bytes of the key; 0 in a place that nobody has.
    len: u16,
    /// When the last event came.
    seen: Moment,
    /// Since when events are counted, and how many came.
    since: Moment,
    events: u32,
    /// The number of the newest query it was matched against.
    pub(crate) matched: u64,
    /// The queries that select it.
    pub(crate) links: Vec<Link>,
}

/// A query at work on a series.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// The query's place.
    pub(crate) query: u32,
    /// Its state for this series.
    pub(crate) run: Run,
}

impl Series {
    /// Notes an event.
    #[inline]
    pub(crate) fn note(&mut self, moment: Moment) {
        self.seen = moment;
        self.events = self.events.saturating_add(1);
        if self.events >= COUNTED_MAX {
            let over = moment.since(self.since);
            if over >= 2 * Moment::A_MINUTE {
                self.events /= 2;
                self.since.0 += over / 2;
            }
        }
    }

    /// Events a minute, of late.
    pub(crate) fn per_minute(&self, moment: Moment) -> f64 {
        // One that was silent for a minute is as slow as its silence says.
        let is_silent = moment.since(self.seen) > Moment::A_MINUTE;
        let over = if is_silent { moment } else { self.seen }.since(self.since);
        match self.events {
            1 if !is_silent => 1.0,
            events => {
                f64::from(events - 1) * f64::from(Moment::A_MINUTE) / f64::from(over.max(Moment::SHORTEST))
            }
        }
    }

    pub(crate) fn is_idle(&self, moment: Moment, ttl: Duration) -> bool {
        Duration::from_millis(u64::from(moment.since(self.seen)) * 100) >= ttl
    }

    /// Adds a link; vectors of their own accord would make room for four.
    pub(crate) fn link(&mut self, link: Link) {
        if self.links.len() == self.links.capacity() {
            self.links.reserve_exact((self.links.len() / 2).max(1));
        }
        self.links.push(link);
    }
}

/// Series by their keys. A series' number stays while it lives.
#[derive(Debug)]
pub(crate) struct Table {
    hasher: RandomState,
    index: Index,
    series: Slab<Series>,
    arena: Arena,
    count: u32,
}

impl Table {
    pub(crate) fn new() -> Table {
        let (index, series, arena) = (Index::new(), Slab::new(), Arena::new());
        Table { hasher: RandomState::default(), index, series, arena, count: 0 }
    }

    /// Series that are there.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// All numbers are below this.
    pub(crate) fn end(&self) -> u32 {
        self.series.end()
    }

    /// The series and its key; None in a place that nobody has.
    pub(crate) fn get(&self, id: u32) -> Option<(&Series, &[u8])> {
        let series = self.series.get(id).filter(|series| series.len > 0)?;
        Some((series, self.arena.get(series.at, usize::from(series.len))))
    }

    /// The series of a number that was found or entered, and is not removed.
    #[inline]
    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut Series> {
        self.series.get_mut(id).filter(|series| series.len > 0)
    }

    fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        hasher.finish()
    }

    /// The series of each event, or [`NONE`] where that takes [`Table::find`]: in steps, each of which waits for
    /// the memory of all of them at once.
    #[inline]
    pub(crate) fn locate(&self, batch: &[Event<'_>], ids: &mut [u32; BATCH]) {
        debug_assert!(batch.len() <= BATCH);
        let mut hashes = [0; BATCH];
        for (event, hash) in batch.iter().zip(&mut hashes) {
            *hash = self.hash(event.key);
        }
        self.index.candidates(&hashes[..batch.len()], ids);
        let mut texts = [(0, 0); BATCH];
        for (&id, text) in ids[..batch.len()].iter().zip(&mut texts) {
            *text = self.series.get(id).map_or((0, 0), |series| (series.at, series.len));
        }
        for ((event, &(at, len)), id) in batch.iter().zip(&texts).zip(ids) {
            if self.arena.get(at, usize::from(len)) != event.key {
                *id = NONE;
            }
        }
    }

    /// The series of a key.
    pub(crate) fn find(&self, key: &[u8]) -> Option<u32> {
        self.index.find(self.hash(key), |id| self.get(id).is_some_and(|(_, text)| text == key))
    }

    /// Enters a series, which must not be there.
    pub(crate) fn insert(&mut self, key: &[u8], moment: Moment) -> u32 {
        let series = Series {
            at: self.arena.insert(key, b""),
            len: u16::try_from(key.len()).expect("keys are at most 1,024 bytes"),
            since: moment,
            ..Series::default()
        };
        let id = self.series.insert(series);
        self.index.insert(self.hash(key), id);
        self.count += 1;
        id
    }

    /// Takes a series out; its number may be given to another.
    pub(crate) fn remove(&mut self, id: u32) -> Series {
        let series = self.series.remove(id);
        let (at, len) = (series.at, usize::from(series.len));
        self.index.remove(self.hash(self.arena.get(at, len)), id);
        self.arena.remove(at, len);
        self.count -= 1;
        series
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::time::Time;

    #[test]
    fn series_are_found_and_forgotten() {
        let mut table = Table::new();
        let keys: Vec<String> = (0..3000).map(|number| format!("series.{number}")).collect();
        let ids: Vec<u32> = keys.iter().map(|key| table.insert(key.as_bytes(), Moment::default())).collect();
        let events: Vec<Event<'_>> = keys
            .iter()
            .map(|key| Event { key: key.as_bytes(), time: Time::from_secs(0), value: 0.0 })
            .collect();
        let mut located = [NONE; BATCH];
        table.locate(&events[..BATCH], &mut located);
        assert!(located.iter().zip(&ids).all(|(&found, &id)| found == NONE || found == id));
        for (key, &id) in keys.iter().zip(&ids) {
            assert_eq!(table.find(key.as_bytes()), Some(id), "{key}");
        }
        for &id in &ids[..2000] {
            table.remove(id);
        }
        assert_eq!(
            (table.find(b"series.1999"), table.find(b"series.2000"), table.count()),
            (None, Some(2000), 1000)
        );
        assert!(table.get(1999).is_none());
    }

    #[test]
    fn the_rate_of_a_series_is_that_of_late() {
        let at = |seconds: u64| Moment::of(Duration::from_secs(seconds));
        for (label, events, every, now, want) in [
            ("one event", 1, 1, 0, 1.0),
            ("two at once", 2, 0, 0, 12.0),
            ("each second", 10, 1, 9, 60.0),
            ("each ten", 7, 10, 65, 6.0),
            ("for an hour", 3600, 1, 3600, 60.0),
            ("silent for an hour", 61, 1, 3660, 0.98),
        ] {
            let mut series = Series { since: at(0), ..Series::default() };
            (0..events).for_each(|number| series.note(at(number * every)));
            let rate = series.per_minute(at(now));
            assert!((rate - want).abs() < want / 10.0, "{label}: {rate}");
        }
    }
}
