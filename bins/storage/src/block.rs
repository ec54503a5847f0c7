//! A block: points of one series, or notes or states, coded together.
//!
//! ```text
//! block: head, then of points the two sections, of notes and states the records. Numbers are little-endian; v: a
//! varint, z: a zigzag varint
//! ┌──────────┬───────┐
//! │ first_ms │ count │  `count` is from 1 to 16,384
//! │ i64      │ u16   │
//! └──────────┴───────┘
//! points
//! ┌───────┬──────┬────────┬───────┬───────┬────────┬───────┬──────┬─────────┬────────────┬──────┬─────────┐
//! │ times │ step │ stream │ values│ scale │ stream │ given │ unit │ others  │ exceptions │ bits │ symbols │
//! │ u8    │ v    │        │ u8    │ u8    │        │ z ... │ v    │ v bytes │ v ...      │      │         │
//! └───────┴──────┴────────┴───────┴───────┴────────┴───────┴──────┴─────────┴────────────┴──────┴─────────┘
//! records, one behind the other
//! ┌───────┬────────┬───────┐  times: what the time is more than the one before, less what that one was more
//! │ times │ length │ bytes │
//! │ z     │ v      │       │
//! └───────┴────────┴───────┘
//! ```
//! Both sections of points are made of integers, and those, less their forecast, are a stream: its coding is in the low
//! two bits of the section's first byte, what it has to say of itself is drawn in `stream`. *times*, bit 2: they are
//! distances from the line that begins at `first_ms` and rises by `step` at each point; else they are differences
//! from the time before, less `step`. So a millisecond early or late costs 1.6 bits, and nothing at the next point.
//! Bits 3 to 7: of the coding *range* the range less one, if it is from 2 to 32; then the stream leaves it out.
//!
//! *values*: a value is an integer over 10^`scale`, the nearest number to what text with so many decimals means, or,
//! with bit 4, it is its own bits in the order of numbers, and `scale` is left out. Bits 2 and 3 say what an integer
//! is foretold as: 0 nothing, 1 the one before, 2 a line through the two before; the first 0, 1 or 2 are `given` by
//! themselves. Bit 6: all differences are multiples of `unit`, and are divided by it. Bit 5: there are values that are no
//! such integers, NaN among a gauge's points; `exceptions` is their number, then for each how many places it is
//! behind the one before (v) and its 8 bytes. Bit 7: there are `others`, integers too far off for a symbol (z each),
//! first their length in bytes. Then the bits of both streams without a gap, filled up to a byte, and to the end
//! the symbols of both, as `ans` writes them.
//!
//! All comes back bit for bit: NaN's payloads, minus zero, subnormals. There is no checksum in a block: the sealed
//! file has it. Any bytes can be decoded without a panic, and no block takes more room than [`POINTS_MAX`] points.

mod ans;
mod bits;
mod decimal;
mod points;
mod records;
mod shapes;
mod stream;
#[cfg(test)]
mod tests;

use thiserror::Error;

/// The most points of a block.
pub const POINTS_MAX: usize = 16_384;

/// Bytes of the head: `first_ms` (i64) and `count` (u16), little-endian.
pub const HEAD_BYTES: usize = 10;

/// Why bytes are no block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum BlockError {
    /// The bytes end too early.
    #[error("the block is cut off")]
    Cut,
    /// What cannot be in a block.
    #[error("the block is damaged in its {0}")]
    Damaged(&'static str),
    /// Written by a later version.
    #[error("the block has coding {0}, which this version does not know")]
    Coding(u8),
}

/// What every block says first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// The time of the first point, in ms since 1970.
    pub first_ms: i64,
    /// How many points there are: 1 to [`POINTS_MAX`].
    pub count: usize,
}

impl Head {
    /// Reads it.
    pub fn read(bytes: &[u8]) -> Result<(Head, &[u8]), BlockError> {
        let (first, rest) = bytes.split_first_chunk::<8>().ok_or(BlockError::Cut)?;
        let (count, rest) = rest.split_first_chunk::<2>().ok_or(BlockError::Cut)?;
        let count = usize::from(u16::from_le_bytes(*count));
        if count == 0 || count > POINTS_MAX {
            return Err(BlockError::Damaged("count"));
        }
        Ok((Head { first_ms: i64::from_le_bytes(*first), count }, rest))
    }

    fn write(times_ms: &[i64], out: &mut Vec<u8>) {
        assert!((1..=POINTS_MAX).contains(&times_ms.len()), "a block has 1 to {POINTS_MAX} points");
        out.extend_from_slice(&times_ms[0].to_le_bytes());
        out.extend_from_slice(&(times_ms.len() as u16).to_le_bytes());
    }
}

/// Appends the block of these points to `out`: 1 to [`POINTS_MAX`], times ascending (equal ones are kept), one
/// value each. Any value comes back bit for bit.
pub fn encode(times_ms: &[i64], values: &[f64], out: &mut Vec<u8>) {
    assert_eq!(times_ms.len(), values.len(), "a point has a time and a value");
    Head::write(times_ms, out);
    points::encode(times_ms, values, out);
}

/// Appends the points of a block; after an error nothing was appended.
pub fn decode(bytes: &[u8], times_ms: &mut Vec<i64>, values: &mut Vec<f64>) -> Result<(), BlockError> {
    let (head, rest) = Head::read(bytes)?;
    points::decode(head, rest, times_ms, values)
}

/// Appends the block of these records, notes or states: as [`encode`], with bytes for a value.
pub fn encode_records(times_ms: &[i64], records: &[&[u8]], out: &mut Vec<u8>) {
    assert_eq!(times_ms.len(), records.len(), "a record has a time");
    Head::write(times_ms, out);
    records::encode(times_ms, records, out);
}

/// Appends the records of a block; after an error nothing was appended.
pub fn decode_records<'a>(
    bytes: &'a [u8],
    times_ms: &mut Vec<i64>,
    records: &mut Vec<&'a [u8]>,
) -> Result<(), BlockError> {
    let (head, rest) = Head::read(bytes)?;
    records::decode(head, rest, times_ms, records)
}
