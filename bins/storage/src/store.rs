//! What a store of history is asked to do, whichever it is: the embedded one ([`embedded`]), and room for others.
//!
//! Whoever writes asks [`Store::full`], puts a datagram into the log, then here, and may cut the log up to
//! [`Store::acknowledged`]. At a start what the log holds behind that is written here again, in order, before
//! anything new: writing again what a store already holds changes nothing.

/// Whether the store is planted with a bug; never in a store that is shipped.
macro_rules! planted {
    ($options:expr, $fault:ident) => {{
        #[cfg(feature = "faults")]
        let is_planted = $options.fault == Some($crate::store::fault::Fault::$fault);
        #[cfg(not(feature = "faults"))]
        let is_planted = {
            let _ = &$options;
            false
        };
        is_planted
    }};
}

pub mod embedded;
#[cfg(feature = "faults")]
pub mod fault;
pub mod options;
#[doc(hidden)]
pub mod small;

mod ahead;
mod bell;
mod clean;
mod generation;
mod index;
mod merge;
mod names;
mod read;
mod seal;
mod snapshot;
mod state;
mod sweep;
mod table;
mod tombstone;
mod upkeep;
mod view;
mod volume;

use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::ask::TagTest;
use common::metric::{Note, State};
use common::query::selector::Selector;
use common::time::Time;
use common::wire::Header;
use thiserror::Error;

use crate::log::Position;
use crate::sealed::SealedError;

/// What is kept of a series; each kind has its own points under the same key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// A value a millisecond.
    Events,
    /// Bytes under key, window, kind and millisecond.
    States,
    /// JSON a millisecond.
    Notes,
}

impl Kind {
    /// Every kind, in the order that files have them.
    pub const ALL: [Kind; 3] = [Kind::Events, Kind::States, Kind::Notes];

    /// The word for it: `events`, `states`, `notes`.
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Events => "events",
            Kind::States => "states",
            Kind::Notes => "notes",
        }
    }
}

/// Which series a request is about.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// The one of this key, as [`common::key::parse`] leaves it.
    Key(&'a [u8]),
    /// All that the selector and each of the tests say yes to.
    Match(&'a Selector, &'a [TagTest]),
}

/// A request for records of a time.
#[derive(Clone, Copy, Debug)]
pub struct Range<'a> {
    /// Of which series.
    pub which: Which<'a>,
    /// Of which kind.
    pub kind: Kind,
    /// The first time, inclusive.
    pub from: Time,
    /// The last time, inclusive.
    pub to: Time,
    /// At most so many records in all.
    pub limit: Option<u64>,
}

/// Part of an answer: series after series in the order of their keys, each in the order of time.
#[derive(Clone, Copy, Debug)]
pub enum Found<'a> {
    /// Some points of a series; those that follow may be of the same one.
    Points {
        /// Whose they are.
        key: &'a [u8],
        /// Milliseconds since 1970, ascending.
        times_ms: &'a [i64],
        /// As many values.
        values: &'a [f64],
    },
    /// A note.
    Note(Note<'a>),
    /// A state.
    State(State<'a>),
}

/// How far a series reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent<'a> {
    /// Its key.
    pub key: &'a [u8],
    /// The first time there is a point of.
    pub first: Time,
    /// The last.
    pub last: Time,
    /// Records of all kinds. One that was written twice may be counted twice until files are merged.
    pub points: u64,
}

/// A tag or a value of a tag.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Word {
    /// Series that have it.
    pub series: u64,
    /// The tag, or the value.
    pub word: Vec<u8>,
}

/// What became of the records of a datagram.
#[must_use = "what was refused has to be counted"]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Written {
    /// Kept; they can be read from now on.
    pub stored: u64,
    /// Written before a delete that selects them: they come from the log, which is read again.
    pub deleted: u64,
    /// Their key is none.
    pub bad_key: u64,
    /// They cannot be read: a length that does not fit, or a content that a store does not keep.
    pub unreadable: u64,
}

/// How an answer ended.
#[must_use = "damage has to be reported"]
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ended {
    /// Records that were handed over.
    pub records: u64,
    /// The limit ended it, or the receiver did.
    pub is_cut: bool,
    /// What was passed over because it is damaged; empty mostly.
    pub damage: Vec<Damage>,
}

/// A place whose checksum is wrong, or that cannot be read.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Damage {
    /// The file's name.
    pub file: String,
    /// Where in it.
    pub offset: u64,
    /// The series it holds points of, when that is known.
    pub series: Option<Vec<u8>>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.file, self.offset)?;
        if let Some(series) = &self.series {
            write!(f, " ({})", String::from_utf8_lossy(series))?;
        }
        write!(f, ": {}", self.what)
    }
}

/// What a delete took, or would take.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Deleted {
    /// Series.
    pub series: u64,
    /// Records of all kinds, as in [`Extent::points`].
    pub points: u64,
}

/// What checking everything found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Verified {
    /// Files that were read.
    pub files: u64,
    /// Blocks whose checksums were compared.
    pub blocks: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// What is wrong.
    pub damage: Vec<Damage>,
}

/// How a store is.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Stats {
    /// Series that have a point.
    pub series: u64,
    /// Records of all kinds, as in [`Extent::points`].
    pub points: u64,
    /// Records that are in memory and in the log only.
    pub points_in_memory: u64,
    /// The first and the last time there is a point of.
    pub reach: Option<(Time, Time)>,
    /// Sealed files.
    pub files: u64,
    /// Bytes of sealed files.
    pub file_bytes: u64,
    /// Bytes of the index.
    pub index_bytes: u64,
    /// Bytes of memory for records.
    pub memory_bytes: u64,
    /// Bytes of sealed files and index by sealed records; None without one.
    pub bytes_a_point: Option<f64>,
    /// Bytes that sealed files grew by a day, of late; None until it is known.
    pub bytes_a_day: Option<f64>,
    /// What is free in the file system, down to `min_free` or up to `disk_max`.
    pub room_bytes: u64,
    /// When the room is used up, as things go; None when they do not.
    pub full_in: Option<Duration>,
    /// Why nothing is written, while that is so.
    pub full: Option<Full>,
    /// What was found damaged since the start.
    pub damage: Vec<Damage>,
    /// What sealing or merging failed with last, and since when it does.
    pub failing: Option<(String, Time)>,
    /// Deletes whose space is not given back yet.
    pub deletes_open: u64,
    /// Times the index was made anew since the start.
    pub index_rebuilt: u64,
}

/// Why a store takes nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Full {
    /// The file system has less than `min_free`.
    MinFree,
    /// The store has reached `disk_max`, and retention has nothing more to drop.
    DiskMax,
    /// Memory is used up while sealing fails.
    Memory,
}

impl Full {
    /// The word of it, as the configuration has it.
    pub const fn word(self) -> &'static str {
        match self {
            Full::MinFree => "min_free",
            Full::DiskMax => "disk_max",
            Full::Memory => "head_max",
        }
    }
}

/// What a turn of maintenance did.
#[must_use = "more may be due"]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Maintained {
    /// Something, and more may be due at once.
    Busy,
    /// Nothing is due before so long.
    Idle(Duration),
}

/// Why a store cannot do what it is asked for.
#[derive(Debug, Error)]
pub enum StoreError {
    /// A call to the disk failed.
    #[error("{action} {path}")]
    Io {
        /// `reading`, `writing`.
        action: &'static str,
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A sealed file cannot be used.
    #[error(transparent)]
    Sealed(SealedError),
    /// The index failed; it is made anew at the next start.
    #[error("the index failed: {0}")]
    Index(String),
    /// Somebody else's file is where a snapshot is to be.
    #[error("{0} is there already; a snapshot takes a directory that is not, or is empty")]
    NotEmpty(String),
    /// The time is over; what was asked for can be asked for again.
    #[error("the store is closing")]
    Closing,
}

impl StoreError {
    fn io(action: &'static str, path: &Path, source: io::Error) -> StoreError {
        StoreError::Io { action, path: path.display().to_string(), source }
    }
}

impl From<SealedError> for StoreError {
    fn from(error: SealedError) -> StoreError {
        match error {
            SealedError::File { what, path, source } => {
                StoreError::Io { action: what, path: path.display().to_string(), source }
            }
            other => StoreError::Sealed(other),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A store. All of it may be called from several threads at once, but for [`Store::write`] and
/// [`Store::maintain`], which have a thread each.
pub trait Store: fmt::Debug + Send + Sync {
    /// Keeps the records of a datagram that is in the log, `position` being behind it; positions ascend. It
    /// waits for no disk and takes the records also while the store is full: they are in the log by now.
    fn write(&self, header: &Header, records: &[u8], position: Position) -> Written;

    /// All that is before this position is durable in the store's own files; the log may be cut there, and is
    /// replayed from there.
    fn acknowledged(&self) -> Position;

    /// Why nothing more may be logged now, or replayed; reads go on. The store finds out by itself, in
    /// [`Store::maintain`], when it is over. It costs a look at one word.
    fn full(&self) -> Option<Full>;

    /// One slice of what is due: sealing, merging, retention, the index. It is called again at once while it is
    /// [`Maintained::Busy`]. A failure is kept in [`Stats::failing`] and tried again with a growing pause.
    fn maintain(&self, now: Time) -> Maintained;

    /// Has [`Store::maintain`] seal what was written up to `position`, whatever its age; true when nothing of that is in
    /// memory alone any more.
    fn seal_up_to(&self, position: Position) -> bool;

    /// Waits until something is due for [`Store::maintain`] before its time, or [`Store::stop`] is called; no
    /// longer than `at_most`.
    fn wait(&self, at_most: Duration);

    /// Makes [`Store::maintain`] and [`Store::verify`] return soon, in the middle of what they do.
    fn stop(&self);

    /// Seals what is in memory, whatever its age, so that the next start has nothing to replay.
    ///
    /// # Errors
    /// When it could not be written; it is all in the log still.
    fn close(&self, now: Time) -> Result<(), StoreError>;

    /// Hands over what was asked for, until the receiver breaks. Writes go on meanwhile.
    ///
    /// # Errors
    /// When the index fails; a damaged block is none, but [`Ended::damage`].
    fn range(
        &self,
        range: &Range<'_>,
        now: Time,
        found: &mut dyn FnMut(Found<'_>) -> ControlFlow<()>,
    ) -> Result<Ended, StoreError>;

    /// Hands over the series that are selected, in the order of their keys.
    ///
    /// # Errors
    /// As [`Store::range`].
    fn series(
        &self,
        which: Which<'_>,
        limit: Option<u64>,
        now: Time,
        found: &mut dyn FnMut(Extent<'_>) -> ControlFlow<()>,
    ) -> Result<Ended, StoreError>;

    /// Hands over the keys that are selected, in order. It reads no sealed file, so a series whose last point
    /// retention took may be among them for a while.
    ///
    /// # Errors
    /// As [`Store::range`].
    fn names(
        &self,
        which: Which<'_>,
        limit: Option<u64>,
        found: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<Ended, StoreError>;

    /// The tags there are, or the values of one, in order.
    ///
    /// # Errors
    /// As [`Store::range`].
    fn tags(&self, tag: Option<&[u8]>) -> Result<Vec<Word>, StoreError>;

    /// How it is.
    fn stats(&self, now: Time) -> Stats;

    /// Deletes what is written until now of the series that are selected; or, with `is_dry`, says what that would
    /// be. The log must be synced before. It holds at once and over restarts; the space comes back by merging.
    ///
    /// # Errors
    /// When it could not be made durable; nothing is deleted then.
    fn delete(&self, which: Which<'_>, is_dry: bool, now: Time) -> Result<Deleted, StoreError>;

    /// Compares every checksum. `go_on` is asked between slices; false ends it.
    ///
    /// # Errors
    /// [`StoreError::Closing`] when it was ended.
    fn verify(&self, go_on: &mut dyn FnMut() -> bool) -> Result<Verified, StoreError>;

    /// Puts a copy into a directory that is not there or is empty: its files as of now, to which the caller adds
    /// the log as it is afterwards.
    ///
    /// # Errors
    /// When it could not be written; what is there of it is left for the caller to remove.
    fn snapshot(&self, directory: &Path) -> Result<(), StoreError>;
}
