//! How many series there may be: in all, by input, and by the first part of the name.
//!
//! A series that is known keeps flowing, whatever the limits. Another spelling of a series counts as one, as it
//! takes as much memory.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

use foldhash::quality::RandomState;

use crate::arena::Arena;
use crate::index::{Index, NONE};
use crate::slab::Slab;

/// Names that start with this may use the reserve: the books of Leela's own processes.
const RESERVED: &[u8] = b"leela.";

/// First parts that may have an overflow series of their own.
pub const OVERFLOW_PARTS_MAX: u32 = 1000;

/// Limits on series.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Series in all. 2,000,000; each takes about 120 bytes.
    pub series_max: u32,
    /// Of these, the last so many are for names that start with `leela.`. 10,000.
    pub series_reserve: u32,
    /// Series that one input may open. 1,000,000.
    pub series_per_input_max: u32,
    /// Series whose names have the first part in common, up to the first `.`. 500,000.
    pub series_per_part_max: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            series_max: 2_000_000,
            series_reserve: 10_000,
            series_per_input_max: 1_000_000,
            series_per_part_max: 500_000,
        }
    }
}

/// The first part of a name: up to the first `.`, or all of it.
pub(crate) fn first_part(key: &[u8]) -> &[u8] {
    let end = key.iter().position(|&byte| byte == b'.' || byte == b';').unwrap_or(key.len());
    &key[..end]
}

/// The census of series: who opened them, and their names' first parts.
#[derive(Debug)]
pub(crate) struct Census {
    limits: Limits,
    hasher: RandomState,
    all: u32,
    overflow: u32,
    parts: Slab<Count>,
    names: Index,
    texts: Arena,
    sources: Slab<Count>,
    numbers: HashMap<u64, u32, RandomState>,
}

/// Series that have something in common: a first part, whose text is at `at`, or an input.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    series: u32,
    at: u32,
    len: u16,
    source: u64,
}

/// What a series was counted under.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) part: u32,
    pub(crate) source: u32,
}

impl Census {
    pub(crate) fn new(limits: Limits) -> Census {
        Census {
            limits,
            hasher: RandomState::default(),
            all: 0,
            overflow: 0,
            parts: Slab::new(),
            names: Index::new(),
            texts: Arena::new(),
            sources: Slab::new(),
            numbers: HashMap::default(),
        }
    }

    /// Counts a new series; None when a limit is reached.
    pub(crate) fn enter(&mut self, key: &[u8], source: u64) -> Option<Place> {
        let Limits { series_max, series_reserve, series_per_input_max, series_per_part_max } = self.limits;
        let max =
            if key.starts_with(RESERVED) { series_max } else { series_max.saturating_sub(series_reserve) };
        let has = |slab: &Slab<Count>, id: Option<u32>| {
            id.and_then(|id| slab.get(id)).map_or(0, |count| count.series)
        };
        let part = self.find(first_part(key));
        if self.all >= max
            || has(&self.sources, self.numbers.get(&source).copied()) >= series_per_input_max
            || has(&self.parts, part) >= series_per_part_max
        {
            return None;
        }
        Some(self.count(key, part, source))
    }

    /// Counts a series without asking the limits: it was known to the process before this one.
    pub(crate) fn enter_known(&mut self, key: &[u8], source: u64) -> Place {
        let part = self.find(first_part(key));
        self.count(key, part, source)
    }

    /// Counts a series of this part, or of a new one.
    fn count(&mut self, key: &[u8], part: Option<u32>, source: u64) -> Place {
        self.all += 1;
        let part = match part {
            Some(id) => id,
            None => {
                let part = first_part(key);
                let at = self.texts.insert(part, b"");
                let len = u16::try_from(part.len()).expect("keys are at most 1,024 bytes");
                let id = self.parts.insert(Count { at, len, ..Count::default() });
                self.names.insert(self.hash(part), id);
                id
            }
        };
        let sources = &mut self.sources;
        let source = *self
            .numbers
            .entry(source)
            .or_insert_with(|| sources.insert(Count { source, ..Count::default() }));
        for (slab, id) in [(&mut self.parts, part), (&mut self.sources, source)] {
            slab.get_mut(id).expect("it was found or entered").series += 1;
        }
        Place { part, source }
    }

    /// Counts a new overflow series, which no limit but their own holds back. None when there are as many as
    /// there may be; `last` is the one that is always had.
    pub(crate) fn enter_overflow(&mut self, last: bool) -> Option<Place> {
        if self.overflow >= OVERFLOW_PARTS_MAX && !last {
            return None;
        }
        self.overflow += 1;
        Some(Place { part: NONE, source: NONE })
    }

    /// A series went.
    pub(crate) fn leave(&mut self, place: Place) {
        if place.part == NONE {
            self.overflow -= 1;
            return;
        }
        self.all -= 1;
        if let Some(gone) = leave(&mut self.parts, place.part) {
            self.names.remove(self.hash(self.texts.get(gone.at, usize::from(gone.len))), place.part);
            self.texts.remove(gone.at, usize::from(gone.len));
        }
        if let Some(gone) = leave(&mut self.sources, place.source) {
            self.numbers.remove(&gone.source);
        }
    }

    /// The input a series was opened by; 0 for an overflow series.
    pub(crate) fn source(&self, number: u32) -> u64 {
        self.sources.get(number).map_or(0, |count| count.source)
    }

    fn find(&self, part: &[u8]) -> Option<u32> {
        self.names.find(self.hash(part), |id| {
            self.parts.get(id).is_some_and(|count| self.texts.get(count.at, usize::from(count.len)) == part)
        })
    }

    fn hash(&self, part: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(part);
        hasher.finish()
    }
}

/// One series less; the count, when that was the last.
fn leave(slab: &mut Slab<Count>, id: u32) -> Option<Count> {
    let count = slab.get_mut(id).expect("a series that is counted leaves once");
    count.series -= 1;
    (count.series == 0).then(|| slab.remove(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { series_max: 10, series_reserve: 3, series_per_input_max: 5, series_per_part_max: 4 };

    #[test]
    fn each_limit_holds_alone() {
        // Keys with their sources, and which are let in.
        for (label, entries, want) in [
            ("a first part", vec![("a.1", 1), ("a.2", 1), ("a;x=1", 2), ("a", 2), ("a.5", 3), ("b.1", 3)], 5),
            (
                "an input",
                vec![("a.1", 1), ("b.1", 1), ("c.1", 1), ("d.1", 1), ("e.1", 1), ("f.1", 1), ("f.1", 2)],
                6,
            ),
            (
                "all, with the reserve for leela.",
                vec![
                    ("a", 1),
                    ("b", 1),
                    ("c", 1),
                    ("d", 1),
                    ("e", 2),
                    ("f", 2),
                    ("g", 2),
                    ("h", 2),
                    ("leelah", 2),
                    ("leela.udp.received", 3),
                    ("leela.udp.refused", 3),
                    ("leela.udp.passed", 3),
                    ("leela.udp.merged", 3),
                ],
                10,
            ),
        ] {
            let mut census = Census::new(LIMITS);
            let places: Vec<Place> =
                entries.iter().filter_map(|&(key, source)| census.enter(key.as_bytes(), source)).collect();
            assert_eq!(places.len(), want, "{label}");
            for place in places {
                census.leave(place);
            }
            for (key, source) in entries.iter().take(4) {
                assert!(census.enter(key.as_bytes(), *source).is_some(), "{label}: {key} after all went");
            }
        }
    }

    #[test]
    fn the_first_part_ends_at_a_dot_or_the_tags() {
        for (key, want) in [("a.b.c", "a"), ("a", "a"), ("a;x=1.5", "a"), (".a", "")] {
            assert_eq!(first_part(key.as_bytes()), want.as_bytes(), "{key}");
        }
    }
}
