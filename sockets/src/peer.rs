//! Who gets the datagrams of a ring: a place in its file for each, taken up by a successor.
//!
//! ```text
//! a place, in 64-bit words
//! ┌───────┬───────┬───────────────┬──────────────┬───────────────────────────────────────────────┐
//! │ state │ flags │ path          │ marks        │ banks of cursor, sent, dropped, base, away    │
//! │ 1     │ 1     │ 14: 112 bytes │ 8: a content │ 1 + 2 x 5                                     │
//! └───────┴───────┴───────────────┴──────────────┴───────────────────────────────────────────────┘
//! ```
//! All counts are records of the contents that the peer wants, cumulative as long as its place is kept:
//! `offered = sent + dropped + waiting`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use mapped::banks;

/// Peers a ring has places for.
pub const PEERS_MAX: usize = 64;

/// How many contents a ring numbers apart: their codes are below this.
pub const CONTENTS: usize = 8;

/// Words of a peer's place.
pub(crate) const PLACE_WORDS: usize = MARKS + CONTENTS + banks::words(BANK);

const STATE: usize = 0;
const FLAGS: usize = 1;
const PATH: usize = 2;
const PATH_WORDS: usize = 14;
const MARKS: usize = PATH + PATH_WORDS;
const BANK: usize = 5;

/// Counts that are read are at most this.
const COUNT_MAX: u64 = 1 << 60;

/// The longest path of a peer, in bytes; the kernel's limit is 107.
pub const PATH_BYTES_MAX: usize = PATH_WORDS * 8;

/// What a peer asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wants {
    /// A bit for each content's code.
    pub contents: u8,
    /// Rendered as text by the process that owns the ring.
    pub text: bool,
    /// Keeps its cursor when it is silent.
    pub durable: bool,
    /// Belongs to the configuration: never expires.
    pub fixed: bool,
}

impl Wants {
    /// True when it wants datagrams of this content.
    pub fn content(self, code: u8) -> bool {
        u32::from(self.contents).checked_shr(u32::from(code)).is_some_and(|bits| bits & 1 != 0)
    }

    fn to_word(self) -> u64 {
        u64::from(self.contents)
            | u64::from(self.text) << 8
            | u64::from(self.durable) << 9
            | u64::from(self.fixed) << 10
    }

    fn from_word(word: u64) -> Wants {
        let bit = |place: u32| word & (1 << place) != 0;
        Wants { contents: word as u8, text: bit(8), durable: bit(9), fixed: bit(10) }
    }
}

/// Whether a place is in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Standing {
    /// Never used.
    Free = 0,
    /// The peer gets datagrams.
    Active = 1,
    /// The peer went; its counts are kept until the place is needed.
    Left = 2,
}

/// A peer, as its place in the ring's file says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Whether it gets datagrams.
    pub standing: Standing,
    /// The socket it reads from.
    pub path: PathBuf,
    /// What it asked for.
    pub wants: Wants,
    /// The numbers of each content's stream when it joined; when it left, if it has left.
    pub marks: [u64; CONTENTS],
    /// The position in the ring of what it gets next.
    pub cursor: u64,
    /// Records that the kernel took for it.
    pub sent: u64,
    /// Records that fell off the ring before it took them, or were waiting when it left.
    pub dropped: u64,
    /// Records offered to it in former stays.
    pub base: u64,
    /// Records of the stream that passed while it was away.
    pub away: u64,
}

impl Peer {
    pub(crate) const FREE: Peer = Peer {
        standing: Standing::Free,
        path: PathBuf::new(),
        wants: Wants { contents: 0, text: false, durable: false, fixed: false },
        marks: [0; CONTENTS],
        cursor: 0,
        sent: 0,
        dropped: 0,
        base: 0,
        away: 0,
    };

    /// Records that are in the ring for it, when the streams stand at `numbers`.
    pub fn waiting(&self, numbers: &[u64; CONTENTS]) -> u64 {
        match self.standing {
            Standing::Active => {
                (self.base + self.since_marks(numbers)).saturating_sub(self.sent + self.dropped)
            }
            Standing::Free | Standing::Left => 0,
        }
    }

    /// Records of its contents between its marks and `numbers`.
    pub(crate) fn since_marks(&self, numbers: &[u64; CONTENTS]) -> u64 {
        let wanted = (0..CONTENTS).filter(|code| self.wants.content(*code as u8));
        wanted.map(|code| numbers[code].saturating_sub(self.marks[code])).sum()
    }

    pub(crate) fn join(&mut self, path: &Path, wants: Wants, head: u64, numbers: &[u64; CONTENTS]) {
        if self.standing == Standing::Left && self.path == path {
            self.away += self.since_marks(numbers);
            self.base = self.sent + self.dropped;
        } else {
            *self = Peer::FREE;
        }
        self.path = path.to_owned();
        (self.standing, self.wants, self.cursor, self.marks) = (Standing::Active, wants, head, *numbers);
    }

    pub(crate) fn leave(&mut self, numbers: &[u64; CONTENTS]) {
        self.dropped += self.waiting(numbers);
        (self.standing, self.marks) = (Standing::Left, *numbers);
    }

    /// Reads a place.
    pub(crate) fn load(place: &[AtomicU64]) -> Peer {
        let word = |at: usize| place[at].load(Relaxed);
        let mut bank = [0; BANK];
        banks::read(&place[MARKS + CONTENTS..], &mut bank);
        let standing = place[STATE].load(Acquire);
        Peer::from_words(standing, &std::array::from_fn(word), bank)
    }

    fn from_words(standing: u64, words: &[u64; MARKS + CONTENTS], bank: [u64; BANK]) -> Peer {
        let path: Vec<u8> = words[PATH..MARKS].iter().flat_map(|word| word.to_ne_bytes()).collect();
        let path = path.split(|byte| *byte == 0).next().unwrap_or(&[]);
        // No process counts that far: it is damage, and must not make a sum overflow.
        let [cursor, counts @ ..] = bank;
        let [sent, dropped, base, away] = counts.map(|count: u64| count.min(COUNT_MAX));
        Peer {
            standing: match standing {
                1 => Standing::Active,
                2 => Standing::Left,
                _ => Standing::Free,
            },
            path: PathBuf::from(OsStr::from_bytes(path)),
            wants: Wants::from_word(words[FLAGS]),
            marks: words[MARKS..].try_into().expect("the marks are at the end"),
            cursor,
            sent,
            dropped,
            base,
            away,
        }
    }

    /// Reads a place out of a copy of the ring's file.
    pub(crate) fn from_copy(place: &[u64]) -> Peer {
        let banks = &place[MARKS + CONTENTS..];
        let start = 1 + (banks[0] % 2) as usize * BANK;
        let bank = banks[start..start + BANK].try_into().expect("a bank's length");
        Peer::from_words(place[STATE], place[..MARKS + CONTENTS].try_into().expect("longer than that"), bank)
    }

    /// Writes the counts and the cursor: they hold together.
    pub(crate) fn store_counts(&self, place: &[AtomicU64]) {
        let bank = [self.cursor, self.sent, self.dropped, self.base, self.away];
        banks::commit(&place[MARKS + CONTENTS..], &bank);
    }

    /// Writes the whole place; nobody counts on it until its state is stored, last.
    pub(crate) fn store(&self, place: &[AtomicU64]) {
        place[STATE].store(Standing::Free as u64, Release);
        place[FLAGS].store(self.wants.to_word(), Relaxed);
        let mut path = [0; PATH_BYTES_MAX];
        let bytes = self.path.as_os_str().as_bytes();
        path[..bytes.len()].copy_from_slice(bytes);
        for (word, bytes) in place[PATH..MARKS].iter().zip(path.as_chunks::<8>().0) {
            word.store(u64::from_ne_bytes(*bytes), Relaxed);
        }
        for (word, mark) in place[MARKS..].iter().zip(self.marks) {
            word.store(mark, Relaxed);
        }
        self.store_counts(place);
        place[STATE].store(self.standing as u64, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_gives_back_its_peer() {
        let place: Vec<AtomicU64> = (0..PLACE_WORDS).map(|_| AtomicU64::new(0)).collect();
        assert_eq!(Peer::load(&place), Peer::FREE);
        let wants = Wants { contents: 0b10100, text: true, durable: true, fixed: false };
        let mut peer = Peer::FREE;
        peer.join(Path::new("/run/leela/dmproc.databus"), wants, 4096, &[7; CONTENTS]);
        (peer.sent, peer.dropped) = (5, 6);
        peer.store(&place);
        assert_eq!(Peer::load(&place), peer);
        let copy: Vec<u64> = place.iter().map(|word| word.load(Relaxed)).collect();
        assert_eq!(Peer::from_copy(&copy), peer);
    }

    #[test]
    fn what_was_offered_is_sent_dropped_or_waiting_over_several_stays() {
        let wants = Wants { contents: 0b100, text: false, durable: false, fixed: false };
        let mut peer = Peer::FREE;
        let at = |events: u64| [9, 9, events, 9, 9, 9, 9, 9];
        peer.join(Path::new("/a"), wants, 0, &at(100));
        assert_eq!(peer.waiting(&at(130)), 30);
        peer.sent = 10;
        peer.leave(&at(130));
        assert_eq!((peer.dropped, peer.waiting(&at(500))), (20, 0));
        peer.join(Path::new("/a"), wants, 0, &at(150));
        assert_eq!((peer.away, peer.waiting(&at(155))), (20, 5));
        peer.leave(&at(155));
        peer.join(Path::new("/b"), wants, 0, &at(160));
        assert_eq!((peer.sent, peer.dropped, peer.away), (0, 0, 0));
    }
}
