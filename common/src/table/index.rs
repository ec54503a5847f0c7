//! From hashes to numbers, in 256 small tables, so that none of them grows for long.
//!
//! A table of a million keys that doubles at once takes tens of milliseconds; here a 256th of it does. An entry
//! is 8 bytes: 32 bits of the hash, which decide nearly always, and the number of the record whose text
//! decides.

use hashbrown::HashTable;

const SHARDS: usize = 256;

/// No record has this number.
pub const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Entry {
    print: u32,
    id: u32,
}

/// Hashes of texts and the numbers of the records that hold them. A number may stand under several hashes.
#[derive(Debug)]
pub struct Index {
    shards: Box<[HashTable<Entry>; SHARDS]>,
}

impl Default for Index {
    fn default() -> Index {
        Index::new()
    }
}

impl Index {
    /// An index without an entry.
    pub fn new() -> Index {
        Index { shards: Box::new(std::array::from_fn(|_| HashTable::new())) }
    }

    /// The first record that may have the text of this hash, or [`NONE`]. It reads no record, so that many
    /// lookups wait for memory at the same time.
    #[inline]
    pub fn candidate(&self, hash: u64) -> u32 {
        let print = print(hash);
        self.shards[shard(hash)]
            .find(spread(print), |entry| entry.print == print)
            .map_or(NONE, |entry| entry.id)
    }

    /// The record of this hash that `is` says yes to.
    pub fn find(&self, hash: u64, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let print = print(hash);
        self.shards[shard(hash)]
            .find(spread(print), |entry| entry.print == print && is(entry.id))
            .map(|entry| entry.id)
    }

    /// Enters a record under a hash.
    pub fn insert(&mut self, hash: u64, id: u32) {
        let print = print(hash);
        self.shards[shard(hash)]
            .insert_unique(spread(print), Entry { print, id }, |entry| spread(entry.print));
    }

    /// Takes the entry out; nothing happens when there is none.
    pub fn remove(&mut self, hash: u64, id: u32) {
        let print = print(hash);
        let table = &mut self.shards[shard(hash)];
        if let Ok(entry) = table.find_entry(spread(print), |entry| entry.print == print && entry.id == id) {
            entry.remove();
        }
        if table.capacity() > 64 && table.len() < table.capacity() / 8 {
            table.shrink_to(table.len() * 2, |entry| spread(entry.print));
        }
    }
}

fn shard(hash: u64) -> usize {
    (hash >> 56) as usize
}

fn print(hash: u64) -> u32 {
    hash as u32
}

/// A shard's own hash: the table takes its low bits for the place and its high bits for the tag.
fn spread(print: u32) -> u64 {
    u64::from(print) << 32 | u64::from(print)
}
