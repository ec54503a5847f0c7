//! From hashes to numbers, in 256 small tables, so that none of them grows for long.
//!
//! A table of a million keys that doubles at once takes tens of milliseconds; here a 256th of it grows by a half. An
//! entry is 8 bytes: 32 bits of the hash, which decide nearly always, and the number of the record whose text decides.
//! Eight entries are a line of the processor's cache, and nearly all stand in the line that their hash leads to: a
//! lookup waits for memory once.

/// Tables, by the highest bits of a hash.
const SHARDS: usize = 256;

/// Entries of a line.
const WIDTH: usize = 8;

/// A table grows when its lines have more entries than this on average.
const FILL_MAX: usize = 6;

/// No record has this number.
pub const NONE: u32 = u32::MAX;

/// The entries whose hashes lead here, and those that found the lines before it full. They stand in front; behind them
/// every number is [`NONE`].
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Line {
    prints: [u32; WIDTH],
    ids: [u32; WIDTH],
}

const _: () = assert!(size_of::<Line>() == 64);

impl Line {
    const EMPTY: Line = Line { prints: [0; WIDTH], ids: [NONE; WIDTH] };

    fn is_full(&self) -> bool {
        self.ids[WIDTH - 1] != NONE
    }

    fn len(&self) -> usize {
        self.ids.iter().take_while(|id| **id != NONE).count()
    }

    /// Puts an entry behind the others; false when there is no room.
    fn push(&mut self, print: u32, id: u32) -> bool {
        let place = self.len();
        if place < WIDTH {
            (self.prints[place], self.ids[place]) = (print, id);
        }
        place < WIDTH
    }

    /// Takes an entry out: the last one fills its place.
    fn take(&mut self, place: usize) -> (u32, u32) {
        let last = self.len() - 1;
        let taken = (self.prints[place], self.ids[place]);
        (self.prints[place], self.ids[place]) = (self.prints[last], self.ids[last]);
        (self.prints[last], self.ids[last]) = (0, NONE);
        taken
    }
}

/// A 256th of the hashes.
#[derive(Debug, Default)]
struct Shard {
    /// None before the first entry; never full.
    lines: Vec<Line>,
    len: usize,
}

impl Shard {
    fn new(lines: usize) -> Shard {
        Shard { lines: vec![Line::EMPTY; lines], len: 0 }
    }

    /// The line that a print leads to: all numbers of lines will do.
    #[inline]
    fn home(&self, print: u32) -> usize {
        ((u64::from(print) * self.lines.len() as u64) >> 32) as usize
    }

    fn behind(&self, line: usize) -> usize {
        if line + 1 < self.lines.len() { line + 1 } else { 0 }
    }

    /// Lines from one to another, going round.
    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.lines.len() - from }
    }

    /// Where the first entry of this print stands whose number `is` says yes to.
    fn find(&self, print: u32, mut is: impl FnMut(u32) -> bool) -> Option<(usize, usize)> {
        let mut at = self.home(print);
        loop {
            let line = self.lines.get(at)?;
            for (place, (&have, &id)) in line.prints.iter().zip(&line.ids).enumerate() {
                if have == print && id != NONE && is(id) {
                    return Some((at, place));
                }
            }
            if !line.is_full() {
                return None;
            }
            at = self.behind(at);
        }
    }

    fn insert(&mut self, print: u32, id: u32) {
        if self.len == self.lines.len() * FILL_MAX {
            self.resize(self.lines.len() + self.lines.len().div_ceil(2).max(1));
        }
        let mut at = self.home(print);
        while !self.lines[at].push(print, id) {
            at = self.behind(at);
        }
        self.len += 1;
    }

    fn remove(&mut self, print: u32, id: u32) {
        let Some((line, place)) = self.find(print, |have| have == id) else { return };
        let was_full = self.lines[line].is_full();
        self.lines[line].take(place);
        self.len -= 1;
        if was_full {
            self.close_up(line);
        }
        if self.lines.len() > WIDTH && self.len < self.lines.len() {
            self.resize(self.lines.len() / 2);
        }
    }

    /// Brings back what had passed by a line that is not full any more: a search ends there now.
    fn close_up(&mut self, mut hole: usize) {
        let mut at = self.behind(hole);
        while at != hole {
            let was_full = self.lines[at].is_full();
            let passed = |print: &u32| self.distance(self.home(*print), at) >= self.distance(hole, at);
            match self.lines[at].prints[..self.lines[at].len()].iter().position(passed) {
                Some(place) => {
                    let (print, id) = self.lines[at].take(place);
                    self.lines[hole].push(print, id);
                    hole = at;
                    if !was_full {
                        return;
                    }
                }
                None if !was_full => return,
                None => {}
            }
            at = self.behind(at);
        }
    }

    fn resize(&mut self, lines: usize) {
        let before = std::mem::replace(self, Shard::new(lines));
        for line in &before.lines {
            for (&print, &id) in line.prints.iter().zip(&line.ids).take_while(|(_, id)| **id != NONE) {
                self.insert(print, id);
            }
        }
    }
}

/// Hashes of texts and the numbers of the records that hold them. A number may stand under several hashes.
#[derive(Debug)]
pub struct Index {
    shards: Box<[Shard; SHARDS]>,
}

impl Default for Index {
    fn default() -> Index {
        Index::new()
    }
}

impl Index {
    /// An index without an entry.
    pub fn new() -> Index {
        Index { shards: Box::new(std::array::from_fn(|_| Shard::default())) }
    }

    /// For each hash a record that may have its text, or [`NONE`]; no record is read. Of two entries of one print it may
    /// give neither: [`Index::find`] has them.
    #[inline]
    pub fn candidates(&self, hashes: &[u64], ids: &mut [u32]) {
        // All lines first: nothing depends on what is read here, and so the waits for memory are one.
        let seen = hashes.iter().fold(0, |seen, &hash| {
            let shard = &self.shards[shard(hash)];
            seen ^ shard.lines.get(shard.home(print(hash))).map_or(0, |line| line.prints[0])
        });
        std::hint::black_box(seen);
        for (&hash, id) in hashes.iter().zip(ids) {
            *id = self.candidate(hash);
        }
    }

    /// It branches only for the few entries that are not where their hash leads to.
    #[inline]
    fn candidate(&self, hash: u64) -> u32 {
        let (shard, print) = (&self.shards[shard(hash)], print(hash));
        let mut at = shard.home(print);
        loop {
            let Some(line) = shard.lines.get(at) else { return NONE };
            // A branch on each place would be guessed wrong, and what is behind it begun anew once the line has come. Of
            // a free place, which has a print too, nothing is left.
            let mut found = !NONE;
            for (&have, &id) in line.prints.iter().zip(&line.ids) {
                let mask = u32::from(have == print).wrapping_neg();
                found |= mask & !id;
            }
            if !found != NONE || !line.is_full() {
                return !found;
            }
            at = shard.behind(at);
        }
    }

    /// The record of this hash that `is` says yes to.
    pub fn find(&self, hash: u64, is: impl FnMut(u32) -> bool) -> Option<u32> {
        let shard = &self.shards[shard(hash)];
        shard.find(print(hash), is).map(|(line, place)| shard.lines[line].ids[place])
    }

    /// Enters a record under a hash.
    pub fn insert(&mut self, hash: u64, id: u32) {
        self.shards[shard(hash)].insert(print(hash), id);
    }

    /// Takes the entry out; nothing happens when there is none.
    pub fn remove(&mut self, hash: u64, id: u32) {
        self.shards[shard(hash)].remove(print(hash), id);
    }
}

fn shard(hash: u64) -> usize {
    (hash >> 56) as usize
}

fn print(hash: u64) -> u32 {
    hash as u32
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    impl Shard {
        /// The entries; each is in the line it leads to, or all lines from there to it are full.
        fn entries(&self) -> BTreeSet<(u32, u32)> {
            let mut all = BTreeSet::new();
            for (at, line) in self.lines.iter().enumerate() {
                assert!(line.ids[line.len()..].iter().all(|id| *id == NONE), "holes are behind the entries");
                for (&print, &id) in line.prints.iter().zip(&line.ids).take(line.len()) {
                    let mut passed = self.home(print);
                    while passed != at {
                        assert!(self.lines[passed].is_full(), "{print} has passed a line with room");
                        passed = self.behind(passed);
                    }
                    assert!(all.insert((print, id)), "{id} stands there twice");
                }
            }
            assert_eq!(all.len(), self.len);
            all
        }
    }

    proptest! {
        #[test]
        fn it_holds_what_was_put_in_and_not_taken_out(
            // Few hashes of few lines, so that lines overflow, also the last into the first.
            actions in prop::collection::vec((any::<bool>(), 0..64_u64, 0..6_u32), 0..2_000),
            spread in prop::sample::select(vec![1_u64 << 26, 1 << 20, (1 << 26) + (1 << 56)]),
        ) {
            let (mut index, mut want) = (Index::new(), BTreeSet::new());
            for (is_in, hash, id) in actions {
                let hash = hash.wrapping_mul(spread);
                if is_in {
                    if want.insert((hash, id)) {
                        index.insert(hash, id);
                    }
                } else {
                    want.remove(&(hash, id));
                    index.remove(hash, id);
                }
                let has = |id: u32| index.find(hash, |have| have == id) == Some(id);
                for id in 0..6 {
                    prop_assert_eq!(has(id), want.contains(&(hash, id)));
                }
                let candidate = index.candidate(hash);
                match *want.range((hash, 0)..(hash + 1, 0)).collect::<Vec<_>>() {
                    [] => prop_assert_eq!(candidate, NONE),
                    [&(_, id)] => prop_assert_eq!(candidate, id),
                    // Who is told of one that has another text looks for it with `find`.
                    _ => prop_assert_ne!(candidate, NONE),
                }
            }
            let all: usize = index.shards.iter().map(|shard| shard.entries().len()).sum();
            prop_assert_eq!(all, want.len());
        }
    }

    #[test]
    fn memory_follows_what_is_in_it() {
        let hash = |number: u32| u64::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let lines = |index: &Index| index.shards.iter().map(|shard| shard.lines.len()).sum::<usize>();
        let mut index = Index::new();
        for number in 0..100_000 {
            index.insert(hash(number), number);
        }
        let most = lines(&index);
        assert!((100_000 / FILL_MAX..100_000 / 3).contains(&most), "{most} lines");
        assert!((0..100_000).all(|number| index.find(hash(number), |id| id == number) == Some(number)));
        for number in 1_000..100_000 {
            index.remove(hash(number), number);
        }
        assert!(lines(&index) <= SHARDS * WIDTH, "{} lines", lines(&index));
        assert!((0..1_000).all(|number| index.candidate(hash(number)) == number));
    }
}
