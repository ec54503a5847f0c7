//! What is frequent in a stream, in bounded memory.
//!
//! Source: Metwally, Agrawal, El Abbadi, "Efficient Computation of Frequent and Top-k Elements in Data Streams", 2005
//! (Space-Saving). Of n things that were counted in a table of m places, every one that came more than n/m times is in
//! it, and no count is too high by more than its `error`.
//!
//! Things are told apart by their hashes alone, which the caller draws with a seed of its own: nobody outside can make
//! two of them meet.

/// The longest text that is kept of a thing, in bytes; of a longer one its beginning.
pub const TEXT_BYTES_MAX: usize = 128;

/// A table of what came most often, each with something of its own.
#[derive(Clone, Debug)]
pub struct Heavy<T> {
    /// The low halves of hashes, apart from the rest: looking one up reads few lines of memory, four halves at a time.
    /// Places that are taken come first.
    halves: Vec<u32>,
    hashes: Vec<u64>,
    counts: Vec<u64>,
    places: Vec<Place<T>>,
    capacity: usize,
    total: u64,
    /// No count is less, and from this place on the next one that is not more is looked for: what churns at the bottom
    /// goes round, and each step of the hand is paid by one replacement.
    least: u64,
    hand: usize,
}

/// One thing.
#[derive(Clone, Debug)]
struct Place<T> {
    error: u64,
    length: u8,
    text: [u8; TEXT_BYTES_MAX],
    own: T,
}

/// One thing, as it is read.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a, T> {
    /// Its hash.
    pub hash: u64,
    /// Its text, or the beginning of it.
    pub text: &'a [u8],
    /// How often it came, at most.
    pub count: u64,
    /// By how much `count` may be too high: it came `count - error` times at least.
    pub error: u64,
    /// What was kept with it since it has its place.
    pub own: &'a T,
}

impl<T: Default> Heavy<T> {
    /// A table of so many places, 1 at least.
    pub fn new(capacity: usize) -> Heavy<T> {
        let capacity = capacity.max(1);
        Heavy {
            halves: Vec::with_capacity(capacity),
            hashes: Vec::with_capacity(capacity),
            counts: Vec::with_capacity(capacity),
            places: Vec::with_capacity(capacity),
            capacity,
            total: 0,
            least: 0,
            hand: 0,
        }
    }

    /// Counts a thing, and gives what is kept with it: a fresh one when it has just got its place.
    #[inline]
    pub fn add(&mut self, hash: u64, text: &[u8]) -> &mut T {
        self.total += 1;
        let at = match self.find(hash) {
            Some(at) => at,
            None => self.take_place(hash, text),
        };
        self.counts[at] += 1;
        &mut self.places[at].own
    }

    #[inline]
    fn find(&self, hash: u64) -> Option<usize> {
        const LANES: usize = 16;
        let half = hash as u32;
        let (chunks, rest) = self.halves.as_chunks::<LANES>();
        for (number, chunk) in chunks.iter().enumerate() {
            // Without a way out in the midst it is a few instructions for all of them.
            if chunk.iter().fold(false, |found, have| found | (*have == half)) {
                let start = number * LANES;
                let found = (start..start + LANES).find(|at| self.hashes[*at] == hash);
                if found.is_some() {
                    return found;
                }
            }
        }
        let start = chunks.len() * LANES;
        (0..rest.len()).map(|at| start + at).find(|at| self.hashes[*at] == hash)
    }

    fn take_place(&mut self, hash: u64, text: &[u8]) -> usize {
        let length = text.len().min(TEXT_BYTES_MAX);
        if self.hashes.len() < self.capacity {
            let mut place =
                Place { error: 0, length: length as u8, text: [0; TEXT_BYTES_MAX], own: T::default() };
            place.text[..length].copy_from_slice(&text[..length]);
            self.halves.push(hash as u32);
            self.hashes.push(hash);
            self.counts.push(0);
            self.places.push(place);
            return self.hashes.len() - 1;
        }
        // The rarest one makes room; the new one may have come as often before.
        let at = self.rarest();
        let place = &mut self.places[at];
        place.error = self.counts[at];
        place.length = length as u8;
        place.text[..length].copy_from_slice(&text[..length]);
        place.own = T::default();
        self.halves[at] = hash as u32;
        self.hashes[at] = hash;
        at
    }

    /// A place whose count is the least; there is one, the table is full.
    fn rarest(&mut self) -> usize {
        loop {
            for _ in 0..self.capacity {
                let at = self.hand;
                self.hand = if at + 1 < self.capacity { at + 1 } else { 0 };
                if self.counts[at] <= self.least {
                    return at;
                }
            }
            self.least = self.counts.iter().copied().min().unwrap_or(0);
        }
    }

    /// How many were counted, of all things.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// What is in the table, in no order.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_, T>> {
        let each = self.hashes.iter().zip(&self.counts).zip(&self.places);
        each.map(|((hash, count), place)| Entry {
            hash: *hash,
            text: &place.text[..usize::from(place.length)],
            count: *count,
            error: place.error,
            own: &place.own,
        })
    }

    /// Forgets everything, and keeps the memory.
    pub fn clear(&mut self) {
        self.halves.clear();
        self.hashes.clear();
        self.counts.clear();
        self.places.clear();
        (self.total, self.least, self.hand) = (0, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn hash(thing: u8) -> u64 {
        u64::from(thing).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1
    }

    proptest! {
        #[test]
        fn counts_are_within_their_errors(things in prop::collection::vec(0u8..40, 0..600), places in 1usize..30) {
            let mut heavy: Heavy<()> = Heavy::new(places);
            let mut exact: HashMap<u8, u64> = HashMap::new();
            for thing in &things {
                heavy.add(hash(*thing), &[*thing]);
                *exact.entry(*thing).or_default() += 1;
            }
            prop_assert_eq!(heavy.total(), things.len() as u64);
            let mut seen = Vec::new();
            for entry in heavy.entries() {
                let real = exact[&entry.text[0]];
                prop_assert!(entry.count >= real && entry.count - entry.error <= real, "{entry:?} {real}");
                seen.push(entry.text[0]);
            }
            prop_assert!(seen.len() <= places);
            for (thing, count) in exact {
                let is_frequent = count * places as u64 > things.len() as u64;
                prop_assert!(!is_frequent || seen.contains(&thing), "{thing} came {count} times");
            }
        }
    }

    #[test]
    fn what_is_kept_with_a_thing_begins_anew_with_its_place() {
        let mut heavy: Heavy<u64> = Heavy::new(1);
        *heavy.add(1, b"a") += 5;
        *heavy.add(1, b"a") += 5;
        assert_eq!(*heavy.add(2, b"b"), 0);
        let entry = heavy.entries().next().unwrap();
        assert_eq!((entry.text, entry.count, entry.error), (&b"b"[..], 3, 2));
        heavy.clear();
        assert_eq!((heavy.total(), heavy.entries().count()), (0, 0));
        let long = [b'x'; 2 * TEXT_BYTES_MAX];
        heavy.add(3, &long);
        assert_eq!(heavy.entries().next().unwrap().text, &long[..TEXT_BYTES_MAX]);
    }
}
