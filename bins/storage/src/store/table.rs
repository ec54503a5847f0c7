//! The table of series that are written to: from keys to numbers.

use std::hash::{BuildHasher, Hasher};

use common::table::arena::Arena;
use common::table::index::Index;
use common::table::slab::Slab;
use foldhash::quality::RandomState;

pub(super) use common::table::index::NONE;

/// Keys looked up at a time: their waits for memory overlap.
pub(super) const BATCH: usize = 32;

/// What is known of one series.
#[derive(Clone, Debug, Default)]
pub(super) struct Series {
    /// Where the key stands in the arena.
    at: u32,
    /// Bytes of the key; 0 in a place that nobody has.
    len: u16,
    /// The index it is in: its epoch, or [`Series::FRESH`].
    pub(super) known: u32,
    /// The generation it was last written to.
    pub(super) seen: u32,
    /// The series that followed it last: most senders go through their series in the same order every time.
    next: u32,
}

impl Series {
    /// It waits to be entered into the index.
    pub(super) const FRESH: u32 = u32::MAX;
}

/// Series by their keys. A series' number stays while it lives.
#[derive(Debug, Default)]
pub(super) struct Table {
    hasher: RandomState,
    index: Index,
    series: Slab<Series>,
    arena: Arena,
    count: u32,
    /// The series that were sealed last, in the order that their keys had then.
    pub(super) order: Vec<u32>,
}

impl Table {
    /// All numbers are below this.
    pub(super) fn end(&self) -> u32 {
        self.series.end()
    }

    /// About the memory it takes, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        const CHUNK: u64 = 1024 * size_of::<Series>() as u64;
        (self.arena.chunks() as u64) * (1 << 16)
            + self.series.chunks() as u64 * CHUNK
            + u64::from(self.count) * 16
            + self.order.len() as u64 * 4
    }

    /// The key of a series; empty in a place that nobody has.
    #[inline]
    pub(super) fn key(&self, id: u32) -> &[u8] {
        self.series.get(id).map_or(&[], |series| self.arena.get(series.at, usize::from(series.len)))
    }

    /// The series of a number; None in a place that nobody has.
    #[inline]
    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut Series> {
        self.series.get_mut(id).filter(|series| series.len > 0)
    }

    fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        hasher.finish()
    }

    /// The series of each key, or [`NONE`] where that takes [`Table::find`]. `before` is the series in front of
    /// the first.
    #[inline]
    pub(super) fn locate(&self, before: u32, keys: &[&[u8]], ids: &mut [u32; BATCH]) {
        debug_assert!(keys.len() <= BATCH);
        let (mut id, mut followed) = (before, 0);
        for (key, slot) in keys.iter().zip(&mut *ids) {
            id = self.series.get(id).map_or(NONE, |series| series.next);
            let is_next = self.series.get(id).is_some_and(|series| {
                !key.is_empty()
                    && usize::from(series.len) == key.len()
                    && self.arena.get(series.at, key.len()) == *key
            });
            if !is_next {
                break;
            }
            *slot = id;
            followed += 1;
        }
        if followed < keys.len() {
            self.look_up(&keys[followed..], &mut ids[followed..]);
        }
    }

    /// Remembers which series follow each other.
    #[inline]
    pub(super) fn follow(&mut self, before: u32, ids: &[u32]) {
        let mut before = before;
        for &id in ids {
            if let Some(series) = self.series.get_mut(before).filter(|series| series.next != id) {
                series.next = id;
            }
            before = id;
        }
    }

    /// In steps, each of which waits for the memory of all of them at once.
    fn look_up(&self, keys: &[&[u8]], ids: &mut [u32]) {
        let mut hashes = [0; BATCH];
        for (key, hash) in keys.iter().zip(&mut hashes) {
            *hash = self.hash(key);
        }
        self.index.candidates(&hashes[..keys.len()], ids);
        let mut texts = [(0, 0); BATCH];
        for (&id, text) in ids[..keys.len()].iter().zip(&mut texts) {
            *text = self.series.get(id).map_or((0, 0), |series| (series.at, series.len));
        }
        for ((key, &(at, len)), id) in keys.iter().zip(&texts).zip(ids) {
            if self.arena.get(at, usize::from(len)) != *key {
                *id = NONE;
            }
        }
    }

    /// The series of a key.
    pub(super) fn find(&self, key: &[u8]) -> Option<u32> {
        self.index.find(self.hash(key), |id| !key.is_empty() && self.key(id) == key)
    }

    /// Enters a series, which must not be there.
    pub(super) fn insert(&mut self, key: &[u8]) -> u32 {
        let at = self.arena.insert(key, b"");
        let len = u16::try_from(key.len()).expect("keys are at most 1,024 bytes");
        let id = self.series.insert(Series { at, len, known: 0, seen: 0, next: NONE });
        self.index.insert(self.hash(key), id);
        self.count += 1;
        id
    }

    /// Takes a series out; its number may be given to another.
    pub(super) fn remove(&mut self, id: u32) {
        let series = self.series.remove(id);
        let (at, len) = (series.at, usize::from(series.len));
        self.index.remove(self.hash(self.arena.get(at, len)), id);
        self.arena.remove(at, len);
        self.count -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_found_and_forgotten() {
        let mut table = Table::default();
        let keys: Vec<String> = (0..3000).map(|number| format!("series.{number}")).collect();
        let ids: Vec<u32> = keys.iter().map(|key| table.insert(key.as_bytes())).collect();
        let first: Vec<&[u8]> = keys[..BATCH].iter().map(String::as_bytes).collect();
        let mut located = [NONE; BATCH];
        for before in [NONE, NONE, ids[0]] {
            table.locate(before, &first, &mut located);
            assert!(located.iter().zip(&ids).all(|(&found, &id)| found == NONE || found == id));
            table.follow(NONE, &located);
        }
        located = [NONE; BATCH];
        table.locate(ids[0], &first[1..], &mut located);
        assert_eq!(located[..BATCH - 1], ids[1..BATCH]);
        for (key, &id) in keys.iter().zip(&ids) {
            assert_eq!((table.find(key.as_bytes()), table.key(id)), (Some(id), key.as_bytes()));
        }
        ids[..2000].iter().for_each(|&id| table.remove(id));
        assert_eq!((table.find(b"series.1999"), table.find(b"series.2000")), (None, Some(2000)));
        assert_eq!((table.count, table.key(ids[0]), table.find(b"")), (1000, &b""[..], None));
    }
}
