//! The table of series: by the key as it is sent, and by the key as it is emitted.
//!
//! A record finds its series by the bytes it was sent with. The same entry is found by the key its events bear,
//! which differs where tags are joined or the text was not in its one form; so a name has one owner, however it
//! is spelled. Samples and members do not emit their key itself: they are classes of their own, so that a gauge may
//! have the same key. The other names that a kind emits are not in the table: whoever enters looks for them.
//!
//! Records in the order in which their series came find them without a hash; the whole key decides. No hash leaves the
//! process.

use std::hash::{BuildHasher, Hasher};

use common::metric::Metric;
use foldhash::quality::RandomState;

use crate::arena::Arena;
use crate::index::{Index, NONE};
use crate::series::{Class, Series, Text};
use crate::slab::Slab;

/// Records looked up at a time: their waits for memory overlap.
pub(crate) const BATCH: usize = 32;

/// Series by their texts. A series' number stays while it lives.
#[derive(Debug)]
pub(crate) struct Table {
    hasher: RandomState,
    index: Index,
    pub(crate) series: Slab<Series>,
    pub(crate) arena: Arena,
    /// Rises when a number is freed: what was looked up before may be another's.
    pub(crate) removals: u64,
    /// The number behind that of the series that was located last.
    next: u32,
    /// The last two that were located have numbers one behind the other.
    in_order: bool,
}

impl Table {
    pub(crate) fn new() -> Table {
        Table {
            hasher: RandomState::default(),
            index: Index::new(),
            series: Slab::new(),
            arena: Arena::new(),
            removals: 0,
            next: 0,
            in_order: false,
        }
    }

    #[inline]
    fn hash(&self, class: Class, text: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(text);
        // Other bits wherever the index looks.
        hasher.finish() ^ (class as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    /// The series whose looked-up text is each key, or [`NONE`] where that takes [`Table::find`].
    #[inline]
    pub(crate) fn locate(&mut self, batch: &[Metric<'_>], ids: &mut [u32; BATCH]) {
        debug_assert!(batch.len() <= BATCH);
        let followed = if self.in_order { self.follow(batch, ids) } else { 0 };
        self.locate_hashed(&batch[followed..], &mut ids[followed..]);
        if let [before @ .., last] = &ids[..batch.len()] {
            self.in_order = *last == before.last().map_or(self.next, |before| before.wrapping_add(1));
            self.next = last.wrapping_add(1);
        }
    }

    /// Many senders tell the same series in the same order each time, which is that of their numbers: as long as that is
    /// so, a key leads to its series without its hash. Gives how many it found.
    #[inline]
    fn follow(&self, batch: &[Metric<'_>], ids: &mut [u32; BATCH]) -> usize {
        for (place, (metric, id)) in batch.iter().zip(ids).enumerate() {
            let next = self.next.wrapping_add(place as u32);
            match self.series.get(next) {
                Some(series) if self.is_found_by(series, metric) => *id = next,
                _ => return place,
            }
        }
        batch.len()
    }

    fn is_found_by(&self, series: &Series, metric: &Metric<'_>) -> bool {
        let text = series.text;
        // A place that nobody has has no text.
        text.len > 0 && self.looked_up(text) == metric.key && series.state.class() == Class::of(metric.kind)
    }

    /// By hashes, in steps each of which waits for the memory of all keys at once.
    #[inline]
    fn locate_hashed(&self, batch: &[Metric<'_>], ids: &mut [u32]) {
        let mut hashes = [0; BATCH];
        for (metric, hash) in batch.iter().zip(&mut hashes) {
            *hash = self.hash(Class::of(metric.kind), metric.key);
        }
        self.index.candidates(&hashes[..batch.len()], ids);
        let mut texts = [Text::default(); BATCH];
        for (&id, text) in ids[..batch.len()].iter().zip(&mut texts) {
            *text = self.series.get(id).map_or(Text::default(), |series| series.text);
        }
        for ((metric, text), id) in batch.iter().zip(&texts).zip(ids) {
            if self.arena.get(text.at, usize::from(text.len)) != metric.key {
                *id = NONE;
            }
        }
    }

    /// The series of a class with this looked-up or emitted text.
    pub(crate) fn find(&self, class: Class, text: &[u8]) -> Option<u32> {
        self.index.find(self.hash(class, text), |id| {
            let Some(series) = self.series.get(id).filter(|series| series.state.class() == class) else {
                return false;
            };
            let has = series.text;
            self.looked_up(has) == text || (has.emitted_len > 0 && self.emitted(has) == text)
        })
    }

    /// Enters a series under its looked-up text, and under its emitted text if that is another; neither may be
    /// in the table, but for the emitted text of a [`crate::series::State::Spelling`], which is another's.
    pub(crate) fn insert(&mut self, looked_up: &[u8], emitted: &[u8], owns: bool, mut series: Series) -> u32 {
        let second = if looked_up == emitted { &[][..] } else { emitted };
        series.text = Text {
            at: self.arena.insert(looked_up, second),
            len: u16::try_from(looked_up.len()).expect("keys are at most 1,024 bytes"),
            emitted_len: u16::try_from(second.len()).expect("keys are at most 1,024 bytes"),
        };
        let class = series.state.class();
        let id = self.series.insert(series);
        self.index.insert(self.hash(class, looked_up), id);
        if owns && !second.is_empty() {
            self.index.insert(self.hash(class, second), id);
        }
        id
    }

    /// Takes a series out; its number and its memory may be given to another.
    pub(crate) fn remove(&mut self, id: u32) -> Series {
        self.removals += 1;
        let series = self.series.remove(id);
        let (text, class) = (series.text, series.state.class());
        self.index.remove(self.hash(class, self.looked_up(text)), id);
        if text.emitted_len > 0 {
            self.index.remove(self.hash(class, self.emitted(text)), id);
        }
        self.arena.remove(text.at, usize::from(text.len) + usize::from(text.emitted_len));
        series
    }

    /// The text a series is looked up by.
    pub(crate) fn looked_up(&self, text: Text) -> &[u8] {
        self.arena.get(text.at, usize::from(text.len))
    }

    /// The key a series' events bear.
    pub(crate) fn emitted(&self, text: Text) -> &[u8] {
        match text.emitted_len {
            0 => self.looked_up(text),
            _ => &self.arena.get(text.at, usize::from(text.len) + usize::from(text.emitted_len))
                [usize::from(text.len)..],
        }
    }
}

#[cfg(test)]
mod tests;
