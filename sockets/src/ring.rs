//! The ring: numbered datagrams in a shared mapping, each kept until every peer has it or room is needed.
//!
//! ```text
//! rings/<process>: header (8 words), 64 places for peers, body
//! ┌──────────┬──────────┬────────────┬──────────┬─────────────┐
//! │ magic    │ version  │ body bytes │ source   │ 4 spare     │   header, in 64-bit words
//! └──────────┴──────────┴────────────┴──────────┴─────────────┘
//! ┌──────────┬──────────┬──────────┬──────────┬──────────────────────────┐
//! │ length   │ count    │ content  │ spare    │ datagram, padded to 8    │   an entry of the body
//! │ u32      │ u32      │ u32      │ u32      │ length bytes             │   length 2^32-1: go on at the front
//! └──────────┴──────────┴──────────┴──────────┴──────────────────────────┘
//! ```
//! Positions grow for ever; the place in the body is the position modulo its length. Head and numbers are not
//! kept here: the process commits them in its books together with its counters ([`Ring::seal`]), and nothing
//! is sent before that. So a number is never given out twice, and a datagram and its counters are one.

mod file;
mod image;

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, Release};

use mapped::{Mapping, Versions, stream};
use thiserror::Error;

pub use file::RingFile;
use image::Image;

use crate::peer::{CONTENTS, PATH_BYTES_MAX, PEERS_MAX, PLACE_WORDS, Peer, Standing, Wants};

/// Words that the process commits for its ring: head, a number for each content, the batch in hand.
pub const CARRIED_WORDS: usize = 16;

/// At most so many peers are durable.
pub const DURABLE_MAX: usize = 8;

const MAGIC: u64 = u64::from_le_bytes(*b"LeelaRng");
const VERSIONS: Versions = Versions::new(1, 1, 1);
const HEADER_WORDS: usize = 8;
const WORDS: usize = HEADER_WORDS + PEERS_MAX * PLACE_WORDS;
const ENTRY_BYTES: u64 = 16;
const WRAP: u32 = u32::MAX;
/// Room on the device is taken so much at a time.
const ROOM_BYTES: u64 = 256 * 1024;
/// An empty ring goes back to its front from here on, so that a quiet process touches few pages.
const FRONT_BYTES: u64 = 256 * 1024;
/// An empty ring keeps half as much again as it needed lately, at least so much, and gives back what is a quarter more: the
/// less it keeps, the less of it is touched one day and then stays.
const KEPT_BYTES: u64 = 2 * FRONT_BYTES;
/// What was needed is forgotten by this part with every time that it goes back.
const FORGOTTEN: u64 = 64;
/// From so far behind on, a peer makes the ring walk through memory that is in no cache: see [`image`].
const FAR_BYTES: u64 = 4 * 1024 * 1024;

/// Why a ring cannot be used.
#[derive(Debug, Error)]
pub enum RingError {
    /// The file cannot be opened, made or mapped.
    #[error("ring {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Fewer bytes than [`BYTES_MIN`].
    #[error("a ring of {0} bytes is too small: at least 256KiB")]
    Small(u64),
}

/// The smallest ring: a few datagrams of full size.
pub const BYTES_MIN: u64 = 256 * 1024;

/// Why a peer gets no place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum PeerError {
    /// All places are taken.
    #[error("there are {PEERS_MAX} peers already")]
    Full,
    /// Too many durable ones.
    #[error("there are {DURABLE_MAX} durable peers already")]
    DurableFull,
    /// Over [`PATH_BYTES_MAX`].
    #[error("the path is over {PATH_BYTES_MAX} bytes")]
    Path,
}

/// An entry, as a peer gets it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The content's code.
    pub content: u8,
    /// Records in it.
    pub count: u32,
    /// The position behind it.
    pub next: u64,
    /// The place of its datagram in the body.
    bytes: Range<usize>,
}

/// The ring of this process, open to write.
#[derive(Debug)]
pub struct Ring {
    mapping: Mapping,
    bytes: u64,
    head: u64,
    sealed: u64,
    numbers: [u64; CONTENTS],
    peers: Vec<Peer>,
    /// Bytes of the body that have room on the device.
    room: u64,
    /// How far it went lately before it was empty again.
    lately: u64,
    image: Image,
    #[cfg(test)]
    room_max: u64,
}

impl Ring {
    /// Opens the ring at `path` with what the process's books carried, or makes one of `bytes`. A ring of another
    /// source is thrown away; one of another length is kept as long as something waits in it.
    pub fn open(
        path: &Path,
        bytes: u64,
        source: u64,
        carried: &[u64; CARRIED_WORDS],
    ) -> Result<Ring, RingError> {
        let io = |source| RingError::Io { path: path.to_owned(), source };
        if bytes < BYTES_MIN {
            return Err(RingError::Small(bytes));
        }
        let bytes = bytes.next_multiple_of(8);
        let mut peers = Vec::new();
        let mut body = bytes;
        if let Some(before) = RingFile::read(path).map_err(io)? {
            let numbers = numbers_of(carried);
            let waits = before.peers.iter().any(|peer| peer.waiting(&numbers) > 0);
            if before.source == source && before.bytes != bytes && waits {
                tracing::warn!(path = %path.display(), kept = before.bytes, "the ring keeps its size until it is empty");
                body = before.bytes;
            } else if before.source != source || before.bytes != bytes {
                fs::remove_file(path).map_err(io)?;
                peers = if before.source == source { before.peers } else { Vec::new() };
            }
        } else {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
                _ => {}
            }
        }
        let mapping = Mapping::open(path, WORDS, body as usize).map_err(io)?;
        let fresh = mapping.words()[0].load(Relaxed) != MAGIC;
        for (word, value) in mapping.words().iter().zip([MAGIC, VERSIONS.written().into(), body, source]) {
            word.store(value, Release);
        }
        // In a new file there is nothing behind the head: it begins at the front of the next lap.
        let head = if fresh { carried[0].next_multiple_of(body) } else { carried[0] };
        let mut ring = Ring {
            mapping,
            bytes: body,
            head,
            sealed: head,
            numbers: numbers_of(carried),
            peers: Vec::new(),
            room: 0,
            lately: 0,
            image: Image::default(),
            #[cfg(test)]
            room_max: u64::MAX,
        };
        // The least that a ring works with: its front, and where it goes on.
        let at = head % body;
        ring.take_room(FRONT_BYTES.max(at + ENTRY_BYTES)).map_err(io)?;
        for place in 0..PEERS_MAX {
            let mut peer = match peers.get(place) {
                Some(peer) => {
                    let peer = Peer { cursor: head, ..peer.clone() };
                    peer.store(ring.place(place));
                    peer
                }
                None => Peer::load(ring.place(place)),
            };
            if peer.standing == Standing::Active && fresh {
                peer.dropped += peer.waiting(&ring.numbers);
            }
            // A predecessor killed before its first commit left cursors at a head that never held.
            peer.cursor = peer.cursor.min(head);
            let waiting = peer.waiting(&ring.numbers);
            if peer.standing == Standing::Active
                && (!ring.leads_to_head(peer.cursor) || (peer.cursor == head && waiting > 0))
            {
                tracing::warn!(path = %path.display(), waiting, "the ring is damaged, what waited is dropped");
                peer.dropped += waiting;
                peer.cursor = head;
            }
            // Not the whole place: killed in the midst of that, a successor would find it free.
            peer.store_counts(ring.place(place));
            ring.peers.push(peer);
        }
        Ok(ring)
    }

    /// The number that the next record of a content gets.
    pub fn next_number(&self, content: u8) -> u64 {
        self.numbers[usize::from(content)]
    }

    /// Lets numbers pass that nobody gets.
    pub fn skip_numbers(&mut self, content: u8, count: u32) {
        let before = self.numbers;
        self.numbers[usize::from(content)] += u64::from(count);
        debug_assert!(self.peers.iter().all(|peer| peer.waiting(&before) == peer.waiting(&self.numbers)));
    }

    /// Adds a datagram of `count` records. When there is no room the oldest ones go, counted for each peer that
    /// did not have them yet.
    pub fn append(&mut self, content: u8, count: u32, datagram: &[u8]) {
        let need = ENTRY_BYTES + (datagram.len() as u64).next_multiple_of(8);
        debug_assert!(need <= self.bytes / 4, "a datagram is far smaller than the ring");
        let to_end = self.bytes - self.head % self.bytes;
        let at = self.head % self.bytes;
        let empty_far_out = at >= FRONT_BYTES && self.low() == self.head;
        // On a full device the ring is as long as the room it has; the mark that says so needs some, too.
        if to_end < need || empty_far_out || self.take_room(at + need + ENTRY_BYTES).is_err() {
            self.make_room(if planted!(WrapForgotten) { need } else { to_end + need });
            let at = (self.head % self.bytes) as usize;
            self.mapping.body_mut()[at..at + 4].copy_from_slice(&WRAP.to_ne_bytes());
            self.follow_head(self.head + to_end);
            if empty_far_out {
                self.give_room_back(at as u64);
            }
        } else {
            self.make_room(need);
        }
        let at = (self.head % self.bytes) as usize;
        let far = self.head - self.low() > FAR_BYTES;
        if far && self.sealed == self.head {
            self.image.begin(at);
        }
        let entry = &mut self.mapping.body_mut()[at..at + need as usize];
        entry[..4].copy_from_slice(&(datagram.len() as u32).to_ne_bytes());
        entry[4..8].copy_from_slice(&count.to_ne_bytes());
        entry[8..12].copy_from_slice(&u32::from(content).to_ne_bytes());
        let place = at + ENTRY_BYTES as usize;
        if far && self.image.take(place, datagram) {
            stream::copy(&mut entry[ENTRY_BYTES as usize..], datagram);
        } else {
            entry[ENTRY_BYTES as usize..][..datagram.len()].copy_from_slice(datagram);
            self.image.forget(at..at + need as usize);
        }
        self.head += need;
        self.numbers[usize::from(content)] += u64::from(count);
    }

    /// What the books have to commit before anything appended since the last time is sent.
    pub fn seal(&mut self) -> [u64; CARRIED_WORDS] {
        self.sealed = self.head;
        let mut carried = [0; CARRIED_WORDS];
        carried[0] = self.head;
        carried[1..=CONTENTS].copy_from_slice(&self.numbers);
        carried
    }

    /// How full the ring is, from 0 to 1: the way from the slowest peer to the head.
    pub fn filling(&self) -> f64 {
        (self.head - self.low()) as f64 / self.bytes as f64
    }

    /// How much of the ring waits for the peer at a place, from 0 to 1; 0 when nobody is there.
    pub fn behind(&self, place: usize) -> f64 {
        let peer = &self.peers[place];
        let bytes = if peer.standing == Standing::Active { self.head - peer.cursor } else { 0 };
        bytes as f64 / self.bytes as f64
    }

    /// The peers, by place.
    pub fn peers(&self) -> &[Peer] {
        &self.peers
    }

    /// Records that wait for the peer at a place.
    pub fn waiting(&self, place: usize) -> u64 {
        self.peers[place].waiting(&self.numbers)
    }

    /// Gives a peer a place, from now on; the place it had when it left, if that is kept.
    pub fn join(&mut self, path: &Path, wants: Wants) -> Result<usize, PeerError> {
        if path.as_os_str().len() > PATH_BYTES_MAX {
            return Err(PeerError::Path);
        }
        let active = |peer: &&Peer| peer.standing == Standing::Active;
        let durable = self.peers.iter().filter(active).filter(|peer| peer.wants.durable).count();
        if wants.durable && durable >= DURABLE_MAX {
            return Err(PeerError::DurableFull);
        }
        let find = |wanted: &dyn Fn(&Peer) -> bool| self.peers.iter().position(wanted);
        let place = find(&|peer| peer.standing == Standing::Left && peer.path == path)
            .or_else(|| find(&|peer| peer.standing == Standing::Free))
            .or_else(|| find(&|peer| peer.standing == Standing::Left))
            .ok_or(PeerError::Full)?;
        self.peers[place].join(path, wants, self.head, &self.numbers);
        self.peers[place].store(self.place(place));
        Ok(place)
    }

    /// Takes the peer out; what waits for it is booked as dropped.
    pub fn leave(&mut self, place: usize) {
        let dropped = self.peers[place].dropped;
        self.peers[place].leave(&self.numbers);
        if planted!(LeftUnbooked) {
            self.peers[place].dropped = dropped;
        }
        self.peers[place].store(self.place(place));
    }

    /// The next sealed entry that the peer wants; its cursor moves over what it does not want.
    pub fn next_entry(&mut self, place: usize) -> Option<Entry> {
        let before = self.peers[place].cursor;
        let found = loop {
            let peer = &self.peers[place];
            match self.entry(peer.cursor, self.sealed) {
                Some(entry) if !peer.wants.content(entry.content) => self.peers[place].cursor = entry.next,
                found => break found,
            }
        };
        if self.peers[place].cursor != before {
            // What is behind it may be written over: a successor must not begin there.
            self.peers[place].store_counts(self.place(place));
        }
        found
    }

    /// The datagram of an entry that [`Ring::next_entry`] gave, before anything is appended.
    pub fn datagram(&self, entry: &Entry) -> &[u8] {
        self.image.get(&entry.bytes).unwrap_or_else(|| &self.mapping.body()[entry.bytes.clone()])
    }

    /// Books an entry as taken by the kernel for this peer.
    pub fn sent(&mut self, place: usize, entry: &Entry) {
        let peer = &mut self.peers[place];
        peer.cursor = entry.next;
        peer.sent += u64::from(entry.count);
        self.peers[place].store_counts(self.place(place));
    }

    /// Books an entry as given up for this peer.
    pub fn dropped(&mut self, place: usize, entry: &Entry) {
        let peer = &mut self.peers[place];
        peer.cursor = entry.next;
        peer.dropped += u64::from(entry.count);
        self.peers[place].store_counts(self.place(place));
    }

    /// Sees to it that the first `bytes` of the body have room on the device.
    fn take_room(&mut self, bytes: u64) -> io::Result<()> {
        let bytes = bytes.min(self.bytes);
        if bytes <= self.room {
            return Ok(());
        }
        let bytes = bytes.next_multiple_of(ROOM_BYTES).min(self.bytes);
        #[cfg(test)]
        if bytes > self.room_max {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.mapping.reserve(self.room as usize..bytes as usize)?;
        self.room = bytes;
        Ok(())
    }

    /// A burst long ago is no reason to hold memory: an empty ring gives back what lies far behind `at`, where its last
    /// lap ended. Nothing is there that anybody needs, nor a successor that begins at a head before this one.
    fn give_room_back(&mut self, at: u64) {
        self.lately = at.max(self.lately - self.lately / FORGOTTEN);
        let kept =
            (self.lately + self.lately / 2).max(KEPT_BYTES).next_multiple_of(ROOM_BYTES).min(self.bytes);
        if self.room > kept + kept / 4 && self.mapping.release(kept as usize).is_ok() {
            self.room = kept;
        }
    }

    fn place(&self, place: usize) -> &[AtomicU64] {
        &self.mapping.words()[HEADER_WORDS + place * PLACE_WORDS..][..PLACE_WORDS]
    }

    /// The position of the oldest entry that somebody still needs.
    fn low(&self) -> u64 {
        let active = self.peers.iter().filter(|peer| peer.standing == Standing::Active);
        active.map(|peer| peer.cursor).min().unwrap_or(self.head)
    }

    /// Moves the head over bytes that hold nothing, and with it those who have everything before them: a cursor
    /// left behind would count these bytes as used. Should this head never be committed, [`Ring::open`] puts the
    /// cursors back.
    fn follow_head(&mut self, head: u64) {
        for place in 0..PEERS_MAX {
            let peer = &mut self.peers[place];
            if peer.standing == Standing::Active && peer.cursor == self.head {
                peer.cursor = head;
                self.peers[place].store_counts(self.place(place));
            }
        }
        self.head = head;
    }

    fn make_room(&mut self, need: u64) {
        loop {
            let low = self.low();
            if self.head + need - low <= self.bytes {
                return;
            }
            let Some(entry) = self.entry(low, self.head) else { return };
            let mut is_booked = false;
            for place in 0..PEERS_MAX {
                let peer = &mut self.peers[place];
                if peer.standing == Standing::Active && peer.cursor == low {
                    peer.cursor = entry.next;
                    let is_lost =
                        peer.wants.content(entry.content) && !(planted!(DroppedOfOnePeer) && is_booked);
                    peer.dropped += if is_lost { u64::from(entry.count) } else { 0 };
                    is_booked = true;
                    self.peers[place].store_counts(self.place(place));
                }
            }
        }
    }

    /// Whether entries lead from `position` to the head. They do in a ring that was only ever written here; a file
    /// that outlived a power cut may hold anything.
    fn leads_to_head(&self, mut position: u64) -> bool {
        let body = self.mapping.body();
        if !position.is_multiple_of(8) || self.head - position > self.bytes {
            return false;
        }
        while position < self.head {
            let at = position % self.bytes;
            let length = body[at as usize..].first_chunk().map_or(WRAP, |word| u32::from_ne_bytes(*word));
            let to_end = self.bytes - at;
            let step =
                if length == WRAP { to_end } else { ENTRY_BYTES + u64::from(length).next_multiple_of(8) };
            if step > to_end {
                return false;
            }
            position += step;
        }
        position == self.head
    }

    /// The entry at `position`, below `limit`.
    fn entry(&self, mut position: u64, limit: u64) -> Option<Entry> {
        let body = self.mapping.body();
        loop {
            if position >= limit {
                return None;
            }
            let at = (position % self.bytes) as usize;
            let word = |place: usize| {
                u32::from_ne_bytes(body[at + place..at + place + 4].try_into().expect("4 bytes"))
            };
            let length = word(0);
            if length == WRAP {
                position += self.bytes - at as u64;
                continue;
            }
            let start = at + ENTRY_BYTES as usize;
            let next = position + ENTRY_BYTES + u64::from(length).next_multiple_of(8);
            return Some(Entry {
                content: word(8) as u8,
                count: word(4),
                next,
                bytes: start..start + length as usize,
            });
        }
    }
}

fn numbers_of(carried: &[u64; CARRIED_WORDS]) -> [u64; CONTENTS] {
    carried[1..=CONTENTS].try_into().expect("there are more words than contents")
}

#[cfg(test)]
mod tests;
