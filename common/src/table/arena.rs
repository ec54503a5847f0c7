//! The texts of keys: chunks of 64 KiB, each cut into cells of one size.
//!
//! A cell is a multiple of 8 bytes. A chunk whose cells are all free gives its memory back, and any size may
//! have it next, so that series that come and go do not leak, whatever the lengths of their keys.

use super::room::{Open, Room};

const CHUNK_BYTES: usize = 1 << 16;
const UNIT_BYTES: usize = 8;
const CHUNK_UNITS: u32 = (CHUNK_BYTES / UNIT_BYTES) as u32;

/// The longest text: a key as it is looked up, and the key as it is emitted behind it.
pub const TEXT_BYTES_MAX: usize = 2 * crate::key::KEY_BYTES_MAX;

const SIZES: usize = TEXT_BYTES_MAX / UNIT_BYTES;

/// Texts of at most [`TEXT_BYTES_MAX`] bytes; who stores one keeps its length.
#[derive(Debug)]
pub struct Arena {
    /// None is a chunk whose memory was given back.
    chunks: Vec<Option<Box<[u8; CHUNK_BYTES]>>>,
    rooms: Vec<Room>,
    open: Vec<Open>,
    gone: Vec<u32>,
}

impl Default for Arena {
    fn default() -> Arena {
        Arena::new()
    }
}

impl Arena {
    /// An arena without a text.
    pub fn new() -> Arena {
        let open = (0..SIZES).map(|_| Open::default()).collect();
        Arena { chunks: Vec::new(), rooms: Vec::new(), open, gone: Vec::new() }
    }

    /// The text of `len` bytes at `at`.
    #[inline]
    pub fn get(&self, at: u32, len: usize) -> &[u8] {
        match self.chunks.get((at / CHUNK_UNITS) as usize) {
            Some(Some(chunk)) => {
                let start = (at % CHUNK_UNITS) as usize * UNIT_BYTES;
                &chunk[start..start + len]
            }
            _ => &[],
        }
    }

    /// Stores `first` and `second`, one behind the other.
    pub fn insert(&mut self, first: &[u8], second: &[u8]) -> u32 {
        let units = units(first.len() + second.len());
        let number = self.open[units - 1].last().unwrap_or_else(|| self.grow(units));
        let room = &mut self.rooms[number as usize];
        let cell = room.take();
        if room.is_full() {
            self.open[units - 1].drop_last();
        }
        let unit = usize::from(cell) * units;
        let start = unit * UNIT_BYTES;
        let chunk = self.chunks[number as usize].as_mut().expect("an open chunk has its memory");
        chunk[start..start + first.len()].copy_from_slice(first);
        chunk[start + first.len()..start + first.len() + second.len()].copy_from_slice(second);
        number * CHUNK_UNITS + unit as u32
    }

    /// Frees the text of `len` bytes at `at`.
    pub fn remove(&mut self, at: u32, len: usize) {
        let units = units(len);
        let number = at / CHUNK_UNITS;
        let room = &mut self.rooms[number as usize];
        if room.is_full() {
            self.open[units - 1].add(number);
        }
        room.give_back(((at % CHUNK_UNITS) as usize / units) as u16);
        if room.is_empty() && self.open[units - 1].strike(number) {
            self.chunks[number as usize] = None;
            self.gone.push(number);
        }
    }

    fn grow(&mut self, units: usize) -> u32 {
        let chunk: Box<[u8]> = vec![0; CHUNK_BYTES].into_boxed_slice();
        let chunk = Some(chunk.try_into().unwrap_or_else(|_| unreachable!("it was made with CHUNK_BYTES")));
        let room = Room::new((CHUNK_UNITS as usize / units) as u16);
        let number = match self.gone.pop() {
            Some(number) => {
                self.chunks[number as usize] = chunk;
                self.rooms[number as usize] = room;
                number
            }
            None => {
                self.chunks.push(chunk);
                self.rooms.push(room);
                self.chunks.len() as u32 - 1
            }
        };
        self.open[units - 1].add(number);
        number
    }

    /// Chunks that have memory.
    pub fn chunks(&self) -> usize {
        self.chunks.iter().flatten().count()
    }
}

fn units(len: usize) -> usize {
    debug_assert!(len <= TEXT_BYTES_MAX);
    len.div_ceil(UNIT_BYTES).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_all_lengths_stay_apart() {
        let mut arena = Arena::new();
        let texts: Vec<Vec<u8>> = (0..=TEXT_BYTES_MAX).map(|len| vec![len as u8; len]).collect();
        let at: Vec<u32> =
            texts.iter().map(|text| arena.insert(&text[..text.len() / 2], &text[text.len() / 2..])).collect();
        for (text, &at) in texts.iter().zip(&at) {
            assert_eq!(arena.get(at, text.len()), text, "{}", text.len());
        }
    }

    #[test]
    fn keys_of_other_lengths_get_the_memory_of_keys_that_went() {
        let mut arena = Arena::new();
        let mut most = 0;
        for round in 0..20 {
            let len = 20 + 16 * round;
            let text = vec![b'x'; len];
            let at: Vec<u32> = (0..200_000 / len).map(|_| arena.insert(&text, b"")).collect();
            most = most.max(arena.chunks());
            for at in at {
                arena.remove(at, len);
            }
        }
        // 200 KB a round: four or five chunks, and one that every length keeps.
        assert!(most <= 5 + 20, "{most} chunks");
        assert!(arena.chunks() <= 20);
    }
}
