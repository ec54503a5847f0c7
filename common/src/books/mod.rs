//! The books: what a process did with everything it was given, in a file that outlives it.
//!
//! ```text
//! books/<process>, in 64-bit words of the host's byte order
//! ┌──────────────────────────────────────────────────────────────┬───────────────┬─────────────┬──────────────┐
//! │ header, 64 words                                             │ banks         │ names       │ refused      │
//! │ magic, version, pid, start, since_ns, source, boot id (2),   │ turn, bank 0, │ 64 bytes a  │ 256 entries  │
//! │ slots, source rows, state, refusals, process (4), version (4)│ bank 1        │ slot        │ of 512 bytes │
//! └──────────────────────────────────────────────────────────────┴───────────────┴─────────────┴──────────────┘
//! a bank: the slots' values, 16 words carried for the sender's ring, 6 words for each source row
//! ```
//! All counters are cumulative, over restarts too. One [`Books::commit`] makes counters, ring and sources hold
//! together: after kill -9 the successor finds the state of a moment, and what was in hand is what lies between.
//! They balance: `received = accepted + refused`, `accepted = passed + merged + dropped + waiting`.

mod counters;
mod refusals;
mod snapshot;
mod sources;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::{Relaxed, Release};

use mapped::{Mapping, Versions, banks};
use thiserror::Error;

pub use counters::{Family, Label, Slots};
pub use refusals::{REFUSALS_KEPT, Refusal, RefusalText};
pub use snapshot::{Snapshot, State};
pub use sources::{Admission, SourceRow, Sources};

use crate::time::Time;
use crate::wire::Header;

/// Words of each commit that belong to the sender's ring; opaque here.
pub const CARRIED_WORDS: usize = 16;

const MAGIC: u64 = u64::from_le_bytes(*b"LeelaBks");
const VERSIONS: Versions = Versions::new(1, 1, 1);
const HEADER_WORDS: usize = 64;
const NAME_BYTES: usize = 64;

/// Places of the header, in words.
mod at {
    pub(super) const MAGIC: usize = 0;
    pub(super) const VERSION: usize = 1;
    pub(super) const PID: usize = 2;
    pub(super) const START: usize = 3;
    pub(super) const SINCE: usize = 4;
    pub(super) const SOURCE: usize = 5;
    pub(super) const BOOT: usize = 6;
    pub(super) const SLOTS: usize = 8;
    pub(super) const ROWS: usize = 9;
    pub(super) const STATE: usize = 10;
    pub(super) const REFUSALS: usize = 11;
    pub(super) const PROCESS: usize = 12;
    pub(super) const RELEASE: usize = 16;
}

/// Why books cannot be kept or read.
#[derive(Debug, Error)]
pub enum BooksError {
    /// Another instance of the process runs in this runtime directory.
    #[error("{path} is kept by process {pid}: stop it first, or choose another --runtime-dir")]
    Busy {
        /// The file.
        path: PathBuf,
        /// Who holds it, as far as the file says.
        pid: u64,
    },
    /// The file cannot be opened, made or mapped.
    #[error("books {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Not a file of books, or of another version.
    #[error("{path} holds no books that this version reads: {what}")]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// The books of this process, open to write.
#[derive(Debug)]
pub struct Books<C> {
    /// The counters; they hold once committed.
    pub counters: C,
    /// What came from whom; holds once committed.
    pub sources: Sources,
    mapping: Mapping,
    layout: Layout,
    source: u64,
    carried: [u64; CARRIED_WORDS],
    crashed: bool,
    scratch: Vec<u64>,
    refusals: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Layout {
    slots: usize,
    rows: usize,
}

impl Layout {
    fn bank(self) -> usize {
        self.slots + CARRIED_WORDS + self.rows * sources::ROW_WORDS
    }

    fn words(self) -> usize {
        HEADER_WORDS + banks::words(self.bank())
    }

    fn body(self) -> usize {
        self.slots * NAME_BYTES + refusals::BYTES
    }
}

impl<C: Slots + Default> Books<C> {
    /// Opens the books of `process`, or begins them. What a predecessor kept is taken up by name, also where
    /// this version has other slots. `rows` is how many sources it keeps apart.
    pub fn open(path: &Path, process: &str, rows: usize) -> Result<Books<C>, BooksError> {
        let io = |source| BooksError::Io { path: path.to_owned(), source };
        let mut names = Vec::new();
        C::names("", &mut names);
        let layout = Layout { slots: names.len(), rows };
        // Read under the lock: what was read before it, a predecessor may still have gone on from.
        let held = hold(path)?;
        let before = match Snapshot::read(path) {
            Ok(before) => Some(before),
            Err(_) if held.metadata().map_err(io)?.len() == 0 => None,
            Err(BooksError::Form { what, .. }) => {
                tracing::warn!(path = %path.display(), what, "books begun anew, the old ones are unreadable");
                None
            }
            Err(error) => return Err(error),
        };
        let next = path.with_extension("new");
        match fs::remove_file(&next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        let mapping = Mapping::open(&next, layout.words(), layout.body()).map_err(io)?;
        mapping.reserve(0..layout.body()).map_err(io)?;
        let mut books = Books {
            counters: C::default(),
            sources: Sources::new(rows),
            mapping,
            layout,
            source: 0,
            carried: [0; CARRIED_WORDS],
            crashed: false,
            scratch: vec![0; layout.bank()],
            refusals: 0,
        };
        if let Some(before) = &before {
            books.take_up(before, &names);
        }
        if books.source == 0 {
            books.source = draw_source();
        }
        books.write_header(process, &names);
        books.commit_carried();
        fs::rename(&next, path).map_err(io)?;
        Ok(books)
    }

    /// True when the predecessor ended without [`Books::close`]: what it had in hand is lost.
    pub fn crashed(&self) -> bool {
        self.crashed
    }

    /// The source of this instance's datagrams; never 0.
    pub fn source(&self) -> u64 {
        self.source
    }

    /// The words the ring asked to carry at the last commit; zeros in new books.
    pub fn carried(&self) -> [u64; CARRIED_WORDS] {
        self.carried
    }

    /// Says whether a datagram's records are to be applied, and books what is missing before it.
    pub fn admit(&mut self, header: &Header) -> Admission {
        self.sources.admit(header)
    }

    /// Makes counters, sources and `carried` hold together.
    pub fn commit(&mut self, carried: [u64; CARRIED_WORDS]) {
        self.carried = carried;
        self.commit_carried();
    }

    /// As [`Books::commit`], with what the ring carried before: for a process whose ring did not move.
    pub fn commit_carried(&mut self) {
        let (slots, rest) = self.scratch.split_at_mut(self.layout.slots);
        let (carried, rows) = rest.split_at_mut(CARRIED_WORDS);
        self.counters.store(&mut slots.iter_mut());
        carried.copy_from_slice(&self.carried);
        self.sources.store(rows);
        banks::commit(&self.mapping.words()[HEADER_WORDS..], &self.scratch);
    }

    /// Keeps a refused input for `leela refused`; the counter is the caller's.
    pub fn refuse(&mut self, refusal: &Refusal<'_>) {
        let at = self.layout.slots * NAME_BYTES;
        refusals::write(&mut self.mapping.body_mut()[at..], self.refusals, refusal);
        self.refusals += 1;
        self.mapping.words()[at::REFUSALS].store(self.refusals, Release);
    }

    /// The last commit of a process that ends in order.
    pub fn close(mut self, carried: [u64; CARRIED_WORDS]) {
        self.commit(carried);
        self.mapping.words()[at::STATE].store(State::Ended as u64, Release);
    }

    fn take_up(&mut self, before: &Snapshot, names: &[String]) {
        let mut old: std::collections::HashMap<&str, u64> =
            before.counters.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let slots: Vec<u64> = names.iter().map(|name| old.remove(name.as_str()).unwrap_or(0)).collect();
        self.counters.load(&mut slots.iter().copied());
        for (name, value) in old {
            if value != 0 {
                tracing::info!(name, value, "a counter of the former version is not carried on");
            }
        }
        self.sources.take_up(&before.sources);
        self.carried = before.carried;
        if before.state == State::Ended || before.is_of_this_boot {
            self.source = before.source;
        } else {
            // The disk may have an earlier moment of these books: their numbers were given out already.
            tracing::warn!(
                "the machine went down while this process ran, its numbers begin under a new source"
            );
        }
        self.crashed = before.state != State::Ended;
        if self.crashed {
            tracing::warn!(
                pid = before.pid,
                "the last instance did not end in order, its books are taken up"
            );
        }
        let at = self.layout.slots * NAME_BYTES;
        self.mapping.body_mut()[at..][..before.refusal_bytes.len()].copy_from_slice(&before.refusal_bytes);
        self.refusals = before.refusals;
    }

    fn write_header(&mut self, process: &str, names: &[String]) {
        let body = self.mapping.body_mut();
        for (name, room) in names.iter().zip(body.chunks_exact_mut(NAME_BYTES)) {
            put_text(name.as_bytes(), room);
        }
        let (boot, start) = (snapshot::boot_id(), snapshot::start_of(std::process::id()).unwrap_or(0));
        let words = self.mapping.words();
        let header = [
            (at::MAGIC, MAGIC),
            (at::VERSION, u64::from(VERSIONS.written())),
            (at::PID, u64::from(std::process::id())),
            (at::START, start),
            (at::SINCE, Time::now().ns() as u64),
            (at::SOURCE, self.source),
            (at::BOOT, boot[0]),
            (at::BOOT + 1, boot[1]),
            (at::SLOTS, self.layout.slots as u64),
            (at::ROWS, self.layout.rows as u64),
            (at::STATE, State::Running as u64),
            (at::REFUSALS, self.refusals),
        ];
        for (place, value) in header {
            words[place].store(value, Relaxed);
        }
        for (place, text) in [(at::PROCESS, process), (at::RELEASE, env!("CARGO_PKG_VERSION"))] {
            let mut room = [0; 32];
            put_text(text.as_bytes(), &mut room);
            for (word, bytes) in words[place..].iter().zip(room.chunks_exact(8)) {
                word.store(u64::from_ne_bytes(bytes.try_into().expect("8 bytes")), Relaxed);
            }
        }
    }
}

/// Locks the predecessor's file, or an empty one where there is none, so that of two instances only one begins.
fn hold(path: &Path) -> Result<fs::File, BooksError> {
    let io = |source| BooksError::Io { path: path.to_owned(), source };
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o640);
    let file = options.open(path).map_err(io)?;
    let is_locked = match file.try_lock() {
        Ok(()) => true,
        Err(fs::TryLockError::WouldBlock) => false,
        Err(fs::TryLockError::Error(source)) => return Err(io(source)),
    };
    let number = |file: fs::Metadata| (file.dev(), file.ino());
    // Since it was opened, another instance may have put its own books in this file's place.
    if is_locked && fs::metadata(path).ok().map(number) == Some(number(file.metadata().map_err(io)?)) {
        return Ok(file);
    }
    Err(BooksError::Busy { path: path.to_owned(), pid: Snapshot::read(path).map_or(0, |books| books.pid) })
}

/// A random number that is not 0.
fn draw_source() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    // RandomState's keys come from the system's random numbers.
    std::hash::RandomState::new().build_hasher().finish().max(1)
}

/// As much of `text` as fits, then zeros.
fn put_text(text: &[u8], room: &mut [u8]) {
    let length = text.len().min(room.len());
    room[..length].copy_from_slice(&text[..length]);
    room[length..].fill(0);
}
