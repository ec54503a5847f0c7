//! The binary form of datagrams on the databus. All numbers are little-endian.
//!
//! ```text
//! datagram: header, then `count` records; at most 32 KiB, each datagram by itself
//! ┌──────────┬─────────┬─────────┬──────────┬──────────┬──────────┬───────────┐
//! │ magic    │ version │ content │ count    │ source   │ first    │ records   │
//! │ "Le"     │ u8 = 1  │ u8      │ u32      │ u64      │ u64      │ ...       │
//! └──────────┴─────────┴─────────┴──────────┴──────────┴──────────┴───────────┘
//! content 1, metrics
//! ┌──────────┬─────────┬──────────┬──────────┬─────────────────┐
//! │ length   │ tag     │ time_ns  │ value    │ key             │  tag: kind in the low half byte, in the
//! │ u16      │ u8      │ i64      │ 64 bits  │ the rest        │  high one 1 u64, 2 i64, 3 f64
//! └──────────┴─────────┴──────────┴──────────┴─────────────────┘
//! content 2, events                            content 4, notes
//! ┌──────────┬──────────┬──────────┬─────────┐ ┌──────────┬──────────┬────────────┬──────────┬──────┐
//! │ length   │ time_ns  │ value    │ key     │ │ length   │ time_ns  │ key_length │ key      │ json │
//! │ u16      │ i64      │ f64      │ rest    │ │ u16      │ i64      │ u16        │          │ rest │
//! └──────────┴──────────┴──────────┴─────────┘ └──────────┴──────────┴────────────┴──────────┴──────┘
//! ```
//! `length` counts the bytes behind it. `source` is drawn once by each sender and kept in its books; 0 is an
//! unnumbered one-off. `first` is the number of the first record in the source's stream of that content, so
//! that a receiver sees by subtraction what it did not get. Contents 3 (states) and 5 (runs), and metric kinds
//! 6 to 8, are kept free. Readers take version [`VERSION`] and the one before it; the first version has none.

mod batch;
mod records;

pub use batch::{Batch, Full};
pub use records::{Events, Metrics, Notes, RecordError};

use thiserror::Error;

/// The largest datagram: 64 KiB ones fit only four deep into a default send buffer.
pub const DATAGRAM_BYTES_MAX: usize = 32 * 1024;

/// The version that is written.
pub const VERSION: u8 = 1;

/// Bytes before the first record.
pub const HEADER_BYTES: usize = 24;

const MAGIC: [u8; 2] = *b"Le";

/// What the records of a datagram are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Content {
    /// [`crate::metric::Metric`]s.
    Metrics = 1,
    /// [`crate::metric::Event`]s.
    Events = 2,
    /// [`crate::metric::Note`]s.
    Notes = 4,
}

impl Content {
    /// Every content, in the order of its codes.
    pub const ALL: [Content; 3] = [Content::Metrics, Content::Events, Content::Notes];

    /// The content of a wire code.
    pub const fn from_code(code: u8) -> Option<Content> {
        match code {
            1 => Some(Content::Metrics),
            2 => Some(Content::Events),
            4 => Some(Content::Notes),
            _ => None,
        }
    }

    /// The word for it: `metrics`, `events`, `notes`.
    pub const fn word(self) -> &'static str {
        match self {
            Content::Metrics => "metrics",
            Content::Events => "events",
            Content::Notes => "notes",
        }
    }
}

/// What a datagram says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// What its records are.
    pub content: Content,
    /// How many records follow.
    pub count: u32,
    /// Who sent it; 0 is an unnumbered one-off.
    pub source: u64,
    /// Number of the first record in the source's stream of this content.
    pub first: u64,
}

/// Why a datagram as a whole cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum HeaderError {
    /// Under [`HEADER_BYTES`].
    #[error("the datagram is shorter than its header")]
    Short,
    /// Another sender's form.
    #[error("the datagram is not in Leela's binary form")]
    Magic,
    /// Neither this version nor the one before.
    #[error("the datagram has version {0}; this process reads version {VERSION}")]
    Version(u8),
    /// A content that this version does not know.
    #[error("the datagram has content {0}, which this process does not know")]
    Content(u8),
}

impl Header {
    /// Reads the header; the second half is the records, for [`Metrics::new`] and its like.
    pub fn read(datagram: &[u8]) -> Result<(Header, &[u8]), HeaderError> {
        let (head, records) = datagram.split_first_chunk::<HEADER_BYTES>().ok_or(HeaderError::Short)?;
        let word = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("8 bytes"));
        if head[..2] != MAGIC {
            return Err(HeaderError::Magic);
        }
        if head[2] != VERSION {
            return Err(HeaderError::Version(head[2]));
        }
        let content = Content::from_code(head[3]).ok_or(HeaderError::Content(head[3]))?;
        let count = u32::from_le_bytes(head[4..8].try_into().expect("4 bytes"));
        Ok((Header { content, count, source: word(8), first: word(16) }, records))
    }

    fn write(&self, head: &mut [u8; HEADER_BYTES]) {
        head[..2].copy_from_slice(&MAGIC);
        head[2] = VERSION;
        head[3] = self.content as u8;
        head[4..8].copy_from_slice(&self.count.to_le_bytes());
        head[8..16].copy_from_slice(&self.source.to_le_bytes());
        head[16..24].copy_from_slice(&self.first.to_le_bytes());
    }
}
