//! Sealed files: blocks of many series, immutable, each with its checksum, and the directory of whose they are. A
//! flipped byte costs the block that it is in, or nothing; it is found when that is read, and reported.
//!
//! ```text
//! file: head, then for some hundred blocks at a time the blocks and the page that tells of them; after every 64
//! pages, and at the end, their parity pages; then index and footer. Numbers are little-endian
//! ┌──────┬────────┬──────┬────────┬──────┬─────┬─────────────┬────────┬─────┬───────┬────────┐
//! │ head │ blocks │ page │ blocks │ page │ ... │ 1 to 4      │ blocks │ ... │ index │ footer │
//! │      │        │ 0    │        │ 1    │     │ parity page │        │     │       │        │
//! └──────┴────────┴──────┴────────┴──────┴─────┴─────────────┴────────┴─────┴───────┴────────┘
//! head                                block: as `crate::block` codes it, without its first ten bytes where the
//! ┌────────────┬─────────┬─────┐      directory says the same
//! │ magic      │ version │ crc │      ┌─────┬───────┐  crc: over key, content, first_ms, count and bytes
//! │ "LeelaSld" │ u32 = 1 │ u32 │      │ crc │ bytes │
//! └────────────┴─────────┴─────┘      │ u32 │       │
//!                                     └─────┴───────┘
//! page                                                                parity page: the exclusive or of pages
//! ┌────────┬─────┬────────┬───────┬─────────┬──────────────┬─────────┐ ┌────────┬─────┬────────┬───────┬──────┐
//! │ magic  │ crc │ number │ bytes │ entries │ blocks_bytes │ entries │ │ magic  │ crc │ number │ bytes │ body │
//! │ "LePg" │ u32 │ u32    │ u16   │ u16     │ u32          │ ...     │ │ "LePx" │ u32 │ u32    │ u32   │      │
//! └────────┴─────┴────────┴───────┴─────────┴──────────────┴─────────┘ └────────┴─────┴────────┴───────┴──────┘
//! entry; v: a varint, d: a zigzag varint, the difference from the entry before, which for the first one is zeros
//! ┌───────┬──────────────────┬──────────┬─────────┬───────┬──────────┬────────┐
//! │ flags │ trimmed, suffix  │ first_ms │ span_ms │ count │ sequence │ length │
//! │ u8    │ 1 byte or 3, key │ d        │ d       │ v     │ d        │ v      │
//! └───────┴──────────────────┴──────────┴─────────┴───────┴──────────┴────────┘
//! flags: in bits 0 and 1 the content, 0 events, 1 states, 2 notes; bit 2: the key is that of the entry before and
//! is left out; bit 3: the same count, left out; bit 4: the same sequence, left out; bit 5: the block's first ten
//! bytes are left out. trimmed: how many bytes to take off the end of the key before, suffix: how many new ones
//! follow; both below 15 are a byte's two halves, else ff is followed by two v. length: with the block's crc
//! index                                                                       footer
//! ┌────────┬─────┬────────────────┬──────────────┬────────────────┬─────────┐ ┌────────┬─────────┬───────┬─────┐
//! │ magic  │ crc │ summary        │ pages        │ each: offset,  │ parity  │ │ index  │ version │ magic │ crc │
//! │ "LeIx" │ u32 │ 7 v: series,   │ v, how many  │ v; bytes, v;   │ pages,  │ │ u64    │ u32     │ "Leela│ u32 │
//! │        │     │ blocks, points,│              │ least key: as  │ the     │ │ offset │ = 1     │ End"  │     │
//! │        │     │ first, last, ..│              │ in an entry    │ same    │ └────────┴─────────┴───────┴─────┘
//! └────────┴─────┴────────────────┴──────────────┴────────────────┴─────────┘
//! ```
//! Checksums are CRC-32 (IEEE); those of pages, parity pages and index are over their offset in the file, then all
//! of them but the sum. A block's is over what the directory says of it too, so that it is never taken for
//! another's. Blocks are in the order of their keys, then contents, then first times; a page closes at 1 KiB.
//!
//! **What a flipped byte costs.** In a block: that block. In a page: nothing, because of the pages with the same
//! number modulo 4 among each 64 there is the parity page: with the other 15 of them it gives the page back. That
//! costs a sixteenth of the directory, where a second copy would cost all of it again, and the directory is a tenth
//! of a file of short blocks. Neighbours belong to different parity pages, so a lost sector costs no page either, if it
//! does not hold a page right before its parity page. In a parity page, head, or footer: nothing. In the index, or
//! where the file's end is
//! torn off: the pages are looked for by their magic from the front, which takes as long as reading the file; a
//! page follows its blocks, so that of a torn file all but the end is there. Keys are not in the blocks themselves:
//! with blocks of a hundred points they would take a quarter of the file.
//!
//! In memory an open file is its index, some 30 bytes for a hundred blocks; a look-up reads one page, which lies
//! beside the blocks. Readers take every version of [`VERSIONS`].

mod index;
mod page;
mod parity;
mod reader;
mod scan;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::io;
use std::path::PathBuf;

use common::Versions;
use common::wire::Content;
use thiserror::Error;

pub use reader::{Entries, Sealed};
pub use writer::SealedWriter;

/// The versions that there are.
pub const VERSIONS: Versions = Versions::new(1, 1, 1);

/// Bytes of a block's checksum.
const SUM_BYTES: usize = 4;

/// Bytes of the file before the first block.
const HEAD_BYTES: usize = 16;

/// Bytes of the file behind the index.
const FOOTER_BYTES: usize = 24;

const HEAD_MAGIC: &[u8; 8] = b"LeelaSld";
const FOOTER_MAGIC: &[u8; 8] = b"LeelaEnd";

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
    /// Its bytes in the file, with its checksum.
    pub length: u32,
    /// Its first bytes are in the directory only.
    is_headless: bool,
}

/// Why a file cannot be written or read.
#[derive(Debug, Error)]
pub enum SealedError {
    /// What the system said.
    #[error("{what} {path}")]
    File {
        /// What was being done.
        what: &'static str,
        /// To which file.
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
    /// A checksum does not hold, and nothing stands in for what is damaged.
    #[error("{path} is damaged: {damage}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What of it.
        damage: Damage,
    },
    /// Blocks have to come by key, then by content and first time.
    #[error("{path} is written in the order of keys, contents and times")]
    Order {
        /// The file.
        path: PathBuf,
    },
}

/// The parts of a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Part {
    /// The first bytes.
    Head,
    /// A block.
    Block,
    /// A page of the directory.
    Page,
    /// What gives a page back.
    Parity,
    /// The index of the pages.
    Index,
    /// The last bytes.
    Footer,
    /// All behind the last page that was found.
    End,
}

impl Part {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Part::Head => "head",
            Part::Block => "block",
            Part::Page => "page",
            Part::Parity => "parity page",
            Part::Index => "index",
            Part::Footer => "footer",
            Part::End => "end",
        }
    }
}

/// Where a file is damaged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// What is damaged.
    pub part: Part,
    /// Where that begins in the file.
    pub offset: u64,
    /// How many bytes it has; 0 when not even that is known.
    pub bytes: u64,
    /// Whose it is, if it is a block.
    pub key: Option<String>,
    /// Points, records or blocks are lost by it; else something stands in for it.
    pub is_lost: bool,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.part.word(), self.offset)?;
        if let Some(key) = &self.key {
            write!(f, " of {key}")?;
        }
        f.write_str(if self.is_lost { ", lost" } else { ", nothing is lost" })
    }
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
    /// The earliest time; 0 when there are no blocks.
    pub first_ms: i64,
    /// The latest time; 0 when there are no blocks.
    pub last_ms: i64,
    /// The highest sequence.
    pub sequence: u64,
    /// Bytes of the whole file.
    pub bytes: u64,
}

impl Summary {
    fn add(&mut self, block: &Block, is_new_key: bool) {
        if self.blocks == 0 {
            (self.first_ms, self.last_ms) = (block.first_ms, block.last_ms);
        }
        self.series += u64::from(is_new_key);
        self.blocks += 1;
        self.points += u64::from(block.count);
        self.first_ms = self.first_ms.min(block.first_ms);
        self.last_ms = self.last_ms.max(block.last_ms);
        self.sequence = self.sequence.max(block.sequence);
    }
}

/// The checksum of a block: over what the directory says of it, and its bytes in the file.
fn block_sum(key: &[u8], block: &Block, bytes: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    let mut head = [0; 17];
    head[0] = block.content as u8;
    head[1..9].copy_from_slice(&block.first_ms.to_le_bytes());
    head[9..13].copy_from_slice(&block.count.to_le_bytes());
    // With its length the key's end is sure.
    head[13..].copy_from_slice(&(key.len() as u32).to_le_bytes());
    crc.update(&head);
    crc.update(key);
    crc.update(bytes);
    crc.finalize()
}

/// The first bytes of a file.
fn head() -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..8].copy_from_slice(HEAD_MAGIC);
    head[8..12].copy_from_slice(&VERSIONS.written().to_le_bytes());
    let sum = crc32fast::hash(&head[..12]);
    head[12..].copy_from_slice(&sum.to_le_bytes());
    head
}

/// The last bytes of a file whose index begins at `index`.
fn footer(index: u64) -> [u8; FOOTER_BYTES] {
    let mut footer = [0; FOOTER_BYTES];
    footer[..8].copy_from_slice(&index.to_le_bytes());
    footer[8..12].copy_from_slice(&VERSIONS.written().to_le_bytes());
    footer[12..20].copy_from_slice(FOOTER_MAGIC);
    let sum = crc32fast::hash(&footer[..20]);
    footer[20..].copy_from_slice(&sum.to_le_bytes());
    footer
}
