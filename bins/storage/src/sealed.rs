//! Sealed files: immutable, checksummed, a directory of keys in them.

use std::io;
use std::path::{Path, PathBuf};

use common::wire::Content;
use thiserror::Error;

use crate::files::SharedFiles;

/// What a file's directory says of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block {
    /// What its records are: events, states or notes.
    pub content: Content,
    /// The time of its first point or record, in ms since 1970.
    pub first_ms: i64,
    /// The time of its last one.
    pub last_ms: i64,
    /// How many there are.
    pub count: u32,
    /// Of two points of one time the one of the higher sequence holds.
    pub sequence: u64,
}

/// A block, and where it lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placed {
    /// What the directory says of it.
    pub block: Block,
    /// Its first byte in the file.
    pub offset: u64,
    /// Its bytes in the file.
    pub length: u32,
}

/// Why a file cannot be written or read.
#[derive(Debug, Error)]
pub enum SealedError {
    /// What the system said.
    #[error("{path}")]
    File {
        /// Of which file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Not a sealed file, or one of another version.
    #[error("{path} is no sealed file of a version that this process reads")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A checksum does not hold.
    #[error("{path} is damaged in its {what} at byte {offset}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// A part of it.
        what: &'static str,
        /// Where that begins.
        offset: u64,
    },
    /// Blocks have to come by key, then by content and first time.
    #[error("blocks are written in the order of their keys")]
    Order,
}

/// What is in a file, all in all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Different keys.
    pub series: u64,
    /// Blocks.
    pub blocks: u64,
    /// Points and records.
    pub points: u64,
    /// The earliest time; later than `last_ms` when there are no blocks.
    pub first_ms: i64,
    /// The latest time.
    pub last_ms: i64,
    /// The highest sequence.
    pub sequence: u64,
    /// Bytes of the whole file.
    pub bytes: u64,
}

/// Writes one file; it has its name only when it is complete and durable.
#[derive(Debug)]
pub struct SealedWriter {}

impl SealedWriter {
    /// Begins the file `path`; until it is finished its name has `.new` behind it.
    pub fn create(files: SharedFiles, path: &Path) -> Result<SealedWriter, SealedError> {
        let (_, _) = (files, path);
        Ok(SealedWriter {})
    }

    /// Adds a block: `bytes` as [`crate::block`] codes them. Blocks come by key, then content's code, then first
    /// time.
    pub fn block(&mut self, key: &[u8], block: &Block, bytes: &[u8]) -> Result<(), SealedError> {
        let (_, _, _) = (key, block, bytes);
        Ok(())
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        0
    }

    /// Completes the file, makes it durable and gives it its name.
    pub fn finish(self) -> Result<Summary, SealedError> {
        Ok(Summary::default())
    }
}

/// An open file: a small index of its directory is in memory, all else is read when it is asked for.
#[derive(Debug)]
pub struct Sealed {}

impl Sealed {
    /// Opens a file. One whose index is damaged is read through, and [`Sealed::damages`] says so.
    pub fn open(files: &SharedFiles, path: &Path) -> Result<Sealed, SealedError> {
        let (_, _) = (files, path);
        Ok(Sealed {})
    }

    /// What is in it.
    pub fn summary(&self) -> Summary {
        Summary::default()
    }

    /// What was found damaged when it was opened; empty for a sound file.
    pub fn damages(&self) -> &[String] {
        &[]
    }

    /// Appends the blocks of a key, by content, then first time. A key that is not there has none.
    pub fn find(&self, key: &[u8], blocks: &mut Vec<Placed>) -> Result<(), SealedError> {
        let (_, _) = (key, blocks);
        Ok(())
    }

    /// Appends a block's bytes, as they were given to the writer, after their checksum was seen to hold.
    pub fn read(&self, key: &[u8], placed: &Placed, bytes: &mut Vec<u8>) -> Result<(), SealedError> {
        let (_, _, _) = (key, placed, bytes);
        Ok(())
    }

    /// All blocks in order.
    pub fn entries(&self) -> Entries<'_> {
        Entries { sealed: self }
    }
}

/// All blocks of a file with their keys, in order.
#[derive(Debug)]
pub struct Entries<'a> {
    sealed: &'a Sealed,
}

impl Entries<'_> {
    /// The next one; `None` at the end. After an error the walk goes on behind what is damaged.
    pub fn next_entry(&mut self) -> Result<Option<(&[u8], Placed)>, SealedError> {
        let _ = self.sealed;
        Ok(None)
    }
}
