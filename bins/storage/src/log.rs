//! The write-ahead log: received datagrams, verbatim.

use std::io;
use std::path::{Path, PathBuf};

use common::time::Time;
use thiserror::Error;

use crate::files::SharedFiles;

/// The longest datagram that can be logged, in bytes.
pub const DATAGRAM_BYTES_MAX: usize = 1 << 16;

/// A place in the log, in bytes since the log was begun; it only grows, also over restarts, and no place is used
/// twice. That of a datagram is where it ends, so all datagrams up to and with it are "before it".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Position(pub u64);

/// What was last taken when a sync began; it is what is known after a power cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mark {
    /// The number of the last event in its source's stream.
    pub number: u64,
    /// Its time.
    pub time: Time,
}

/// Why the log cannot go on.
#[derive(Debug, Error)]
pub enum LogError {
    /// A file or directory.
    #[error("{what} {path}")]
    File {
        /// What was being done.
        what: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The log, as its one writer has it.
#[derive(Debug)]
pub struct Log {}

impl Log {
    /// Opens the log in `directory`, which is made if need be. What is before `acknowledged` is not replayed, and
    /// no position before it is handed out. Nothing is read but the names and heads of the segments; the replay
    /// may go on while the log is written.
    pub fn open(
        files: SharedFiles,
        directory: &Path,
        acknowledged: Position,
    ) -> Result<(Log, Replay), LogError> {
        let (_, _, _) = (files, directory, acknowledged);
        Ok((Log {}, Replay {}))
    }

    /// Adds a datagram of at most [`DATAGRAM_BYTES_MAX`] to the next [`Log::commit`]; the position after it.
    pub fn stage(&mut self, datagram: &[u8]) -> Position {
        let _ = datagram;
        Position(0)
    }

    /// Writes what was staged, with one write: after it, kill -9 loses nothing of it. After an error nothing of
    /// it is in the log, and its positions will be used for others.
    pub fn commit(&mut self) -> Result<Position, LogError> {
        Ok(Position(0))
    }

    /// [`Log::stage`] and [`Log::commit`] of one datagram.
    pub fn append(&mut self, datagram: &[u8]) -> Result<Position, LogError> {
        self.stage(datagram);
        self.commit()
    }

    /// Makes all that is committed durable; returns its end.
    pub fn sync(&mut self, last: Mark) -> Result<Position, LogError> {
        self.begin_sync(last)?.finish()
    }

    /// The first half of [`Log::sync`], which does not wait for the disk: the second may be done by another
    /// thread, while this one goes on.
    pub fn begin_sync(&mut self, last: Mark) -> Result<Syncing, LogError> {
        let _ = last;
        Ok(Syncing {})
    }

    /// Removes the segments that end before `acknowledged`.
    pub fn cut(&mut self, acknowledged: Position) -> Result<(), LogError> {
        let _ = acknowledged;
        Ok(())
    }

    /// Behind all that is committed.
    pub fn end(&self) -> Position {
        Position(0)
    }

    /// Bytes on the disk.
    pub fn bytes(&self) -> u64 {
        0
    }
}

/// A sync that was begun.
#[must_use = "nothing is durable before it is finished"]
#[derive(Debug)]
pub struct Syncing {}

impl Syncing {
    /// Waits for the disk; returns the end of what is durable now.
    pub fn finish(self) -> Result<Position, LogError> {
        Ok(Position(0))
    }
}

/// A datagram out of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry<'a> {
    /// Behind it.
    pub position: Position,
    /// As it was received.
    pub datagram: &'a [u8],
}

/// Where bytes of the log could not be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// In which segment.
    pub path: PathBuf,
    /// From which byte of the file on.
    pub offset: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// What a replay found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Datagrams handed out.
    pub entries: u64,
    /// The machine was started anew since the log was last written: what was not synced may be missing.
    pub boot_changed: bool,
    /// What had been taken at the last sync, and where.
    pub last_sync: Option<(Position, Mark)>,
    /// The end was torn off: where, and how many bytes of it were passed over.
    pub torn: Option<Damage>,
    /// Damage before what is known to have been synced or before the end; the first [`Report::DAMAGES_MAX`].
    pub damages: Vec<Damage>,
    /// Bytes of all damages.
    pub damaged_bytes: u64,
}

impl Report {
    /// More damages are only summed up.
    pub const DAMAGES_MAX: usize = 64;
}

/// What the log held when it was opened, in order.
#[derive(Debug)]
pub struct Replay {}

impl Replay {
    /// The next datagram; `None` at the end.
    pub fn next_entry(&mut self) -> Option<Entry<'_>> {
        None
    }

    /// What was found; complete after [`Replay::next_entry`] gave `None`.
    pub fn report(&self) -> Report {
        Report::default()
    }
}
