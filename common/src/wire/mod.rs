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
//! a count or a sample that does not stand for one: the tag's highest bit is set
//! ┌──────────┬─────────┬──────────┬──────────┬────────────┬──────────┐  weight: billionths, 1 to 2^63 - 1
//! │ length   │ tag     │ time_ns  │ value    │ weight     │ key      │
//! │ u16      │ u8      │ i64      │ 64 bits  │ u64        │ the rest │
//! └──────────┴─────────┴──────────┴──────────┴────────────┴──────────┘
//! a member: the tag is 0x48
//! ┌──────────┬─────────┬──────────┬────────────┬──────────┬──────────┐
//! │ length   │ tag     │ time_ns  │ key_length │ key      │ member   │
//! │ u16      │ u8      │ i64      │ u16        │          │ the rest │
//! └──────────┴─────────┴──────────┴────────────┴──────────┴──────────┘
//! content 2, events                            content 4, notes
//! ┌──────────┬──────────┬──────────┬─────────┐ ┌──────────┬──────────┬────────────┬──────────┬──────┐
//! │ length   │ time_ns  │ value    │ key     │ │ length   │ time_ns  │ key_length │ key      │ json │
//! │ u16      │ i64      │ f64      │ rest    │ │ u16      │ i64      │ u16        │          │ rest │
//! └──────────┴──────────┴──────────┴─────────┘ └──────────┴──────────┴────────────┴──────────┴──────┘
//! content 3, states
//! ┌──────────┬──────────┬───────────┬─────────┬────────────┬──────────┬─────────┐  kind, bytes: of whoever publishes
//! │ length   │ time_ns  │ window_ns │ kind    │ key_length │ key      │ bytes   │  the state; the others pass them on
//! │ u16      │ i64      │ u64       │ u8      │ u16        │          │ rest    │
//! └──────────┴──────────┴───────────┴─────────┴────────────┴──────────┴─────────┘
//! content 5, runs: points of one series
//! ┌──────────┬────────────┬──────────┬──────────┬─────────────────┬─────────────────┐
//! │ length   │ key_length │ count    │ key      │ count x time_ns │ count x value   │
//! │ u16      │ u16        │ u16      │          │ i64             │ f64             │
//! └──────────┴────────────┴──────────┴──────────┴─────────────────┴─────────────────┘
//! content 6, series                                       content 7, words: tags or their values
//! ┌──────────┬──────────┬──────────┬──────────┬─────────┐ ┌──────────┬──────────┬─────────┐
//! │ length   │ first_ns │ last_ns  │ points   │ key     │ │ length   │ series   │ word    │
//! │ u16      │ i64      │ i64      │ u64      │ rest    │ │ u16      │ u64      │ rest    │
//! └──────────┴──────────┴──────────┴──────────┴─────────┘ └──────────┴──────────┴─────────┘
//! ```
//! `length` counts the bytes behind it. `source` is drawn once by each sender and kept in its books; 0 is an
//! unnumbered one-off. `first` is the number of the first record in the source's stream of that content, so
//! that a receiver sees by subtraction what it did not get. Contents 1 to 4 travel from process to process
//! ([`Content::TRAVELLING`]); 5 to 7 are answers of a query socket ([`crate::ask`]), from source 0. A tag
//! that a reader does not know costs its record alone, so that kinds join without another version: 6 to 8 did. Readers
//! take every version of [`VERSIONS`].

mod batch;
mod found;
mod records;

pub use batch::{Batch, Full};
pub use found::{Extent, Run, Word};
pub use records::{Events, Metrics, Notes, RecordError, Runs, Series, States, Words};

use mapped::Versions;
use thiserror::Error;

/// The largest datagram: 64 KiB ones fit only four deep into a default send buffer.
pub const DATAGRAM_BYTES_MAX: usize = 32 * 1024;

/// The versions that there are.
pub const VERSIONS: Versions = Versions::new(1, 1, 1);

/// The version that is written.
pub const VERSION: u8 = VERSIONS.written() as u8;

/// Bytes before the first record.
pub const HEADER_BYTES: usize = 24;

const MAGIC: [u8; 2] = *b"Le";

/// The bit of a metric's tag that says a weight follows the value.
const WEIGHTED: u8 = 0x80;

/// What the records of a datagram are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Content {
    /// [`crate::metric::Metric`]s.
    Metrics = 1,
    /// [`crate::metric::Event`]s.
    Events = 2,
    /// [`crate::metric::State`]s.
    States = 3,
    /// [`crate::metric::Note`]s.
    Notes = 4,
    /// [`Run`]s.
    Runs = 5,
    /// [`Extent`]s.
    Series = 6,
    /// [`Word`]s.
    Words = 7,
}

impl Content {
    /// Every content, in the order of its codes.
    pub const ALL: [Content; 7] = [
        Content::Metrics,
        Content::Events,
        Content::States,
        Content::Notes,
        Content::Runs,
        Content::Series,
        Content::Words,
    ];

    /// What processes send each other over databuses, numbered.
    pub const TRAVELLING: [Content; 4] = [Content::Metrics, Content::Events, Content::States, Content::Notes];

    /// The content of a wire code.
    pub const fn from_code(code: u8) -> Option<Content> {
        match code {
            1 => Some(Content::Metrics),
            2 => Some(Content::Events),
            3 => Some(Content::States),
            4 => Some(Content::Notes),
            5 => Some(Content::Runs),
            6 => Some(Content::Series),
            7 => Some(Content::Words),
            _ => None,
        }
    }

    /// The word for it: `metrics`, `events`, `states`, `notes`, `runs`, `series`, `words`.
    pub const fn word(self) -> &'static str {
        match self {
            Content::Metrics => "metrics",
            Content::Events => "events",
            Content::States => "states",
            Content::Notes => "notes",
            Content::Runs => "runs",
            Content::Series => "series",
            Content::Words => "words",
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
    /// Not one that is read.
    #[error("the datagram has version {0}, which this process does not read")]
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
        if !VERSIONS.reads(u32::from(head[2])) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_content_has_its_code_and_its_word() {
        for (content, code) in Content::ALL.into_iter().zip(1..) {
            assert_eq!((content as u8, Content::from_code(code)), (code, Some(content)));
            let same = Content::ALL.into_iter().filter(|other| other.word() == content.word());
            assert_eq!(same.count(), 1, "{content:?}");
        }
        assert_eq!((Content::from_code(0), Content::from_code(8)), (None, None));
        assert_eq!(Content::TRAVELLING, Content::ALL[..4]);
    }
}
