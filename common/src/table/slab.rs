//! Records of one size under numbers that stay: grown chunk by chunk, so that growth never moves one.

use super::room::{Open, Room};

/// Records a chunk.
const CHUNK: usize = 1024;

/// Places for `T`; a place nobody has holds `T::default()`.
#[derive(Debug)]
pub struct Slab<T> {
    /// None is a chunk whose memory was given back.
    chunks: Vec<Option<Box<[T; CHUNK]>>>,
    rooms: Vec<Room>,
    open: Open,
    gone: Vec<u32>,
}

impl<T: Default + Clone> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab::new()
    }
}

impl<T: Default + Clone> Slab<T> {
    /// A slab without a record.
    pub fn new() -> Slab<T> {
        Slab { chunks: Vec::new(), rooms: Vec::new(), open: Open::default(), gone: Vec::new() }
    }

    /// All numbers are below this.
    pub fn end(&self) -> u32 {
        (self.chunks.len() * CHUNK) as u32
    }

    /// The record, or the default in a place nobody has; None where there is no memory.
    pub fn get(&self, id: u32) -> Option<&T> {
        Some(&self.chunks.get(id as usize / CHUNK)?.as_ref()?[id as usize % CHUNK])
    }

    /// As [`Slab::get`], to change it.
    pub fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        Some(&mut self.chunks.get_mut(id as usize / CHUNK)?.as_mut()?[id as usize % CHUNK])
    }

    /// Puts a record in; gives its number, which stays until it is removed.
    pub fn insert(&mut self, record: T) -> u32 {
        let number = self.open.last().unwrap_or_else(|| self.grow());
        let room = &mut self.rooms[number as usize];
        let place = room.take();
        if room.is_full() {
            self.open.drop_last();
        }
        let id = number * CHUNK as u32 + u32::from(place);
        *self.get_mut(id).expect("an open chunk has its memory") = record;
        id
    }

    /// Takes the record out; its number may be given to another.
    pub fn remove(&mut self, id: u32) -> T {
        let record = self.get_mut(id).map(std::mem::take).expect("a record that is there is removed once");
        let number = id / CHUNK as u32;
        let room = &mut self.rooms[number as usize];
        if room.is_full() {
            self.open.add(number);
        }
        room.give_back((id as usize % CHUNK) as u16);
        if room.is_empty() && self.open.strike(number) {
            self.chunks[number as usize] = None;
            self.gone.push(number);
        }
        record
    }

    fn grow(&mut self) -> u32 {
        let chunk: Box<[T]> = vec![T::default(); CHUNK].into_boxed_slice();
        let chunk = Some(chunk.try_into().unwrap_or_else(|_| unreachable!("it was made with CHUNK records")));
        let room = Room::new(CHUNK as u16);
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
        self.open.add(number);
        number
    }

    /// Chunks that have memory.
    pub fn chunks(&self) -> usize {
        self.chunks.iter().flatten().count()
    }
}
