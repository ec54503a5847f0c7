//! A block: some points of one series, coded.

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
    for time in &times_ms[1..] {
        out.extend_from_slice(&time.to_le_bytes());
    }
    for value in values {
        out.extend_from_slice(&value.to_bits().to_le_bytes());
    }
}

/// Appends the points of a block; after an error nothing was appended.
pub fn decode(bytes: &[u8], times_ms: &mut Vec<i64>, values: &mut Vec<f64>) -> Result<(), BlockError> {
    let (head, rest) = Head::read(bytes)?;
    if rest.len() != head.count * 16 - 8 {
        return Err(BlockError::Cut);
    }
    let (times, rest) = rest.split_at(head.count * 8 - 8);
    times_ms.push(head.first_ms);
    times_ms.extend(times.as_chunks::<8>().0.iter().map(|word| i64::from_le_bytes(*word)));
    values.extend(rest.as_chunks::<8>().0.iter().map(|word| f64::from_bits(u64::from_le_bytes(*word))));
    Ok(())
}

/// Appends the block of these records, notes or states: as [`encode`], with bytes for a value.
pub fn encode_records(times_ms: &[i64], records: &[&[u8]], out: &mut Vec<u8>) {
    assert_eq!(times_ms.len(), records.len(), "a record has a time");
    Head::write(times_ms, out);
    for time in &times_ms[1..] {
        out.extend_from_slice(&time.to_le_bytes());
    }
    for record in records {
        out.extend_from_slice(&(record.len() as u32).to_le_bytes());
        out.extend_from_slice(record);
    }
}

/// Appends the records of a block; after an error nothing was appended.
pub fn decode_records<'a>(
    bytes: &'a [u8],
    times_ms: &mut Vec<i64>,
    records: &mut Vec<&'a [u8]>,
) -> Result<(), BlockError> {
    let (head, rest) = Head::read(bytes)?;
    let (times, mut rest) = rest.split_at_checked(head.count * 8 - 8).ok_or(BlockError::Cut)?;
    let before = records.len();
    for _ in 0..head.count {
        let read = rest
            .split_first_chunk::<4>()
            .and_then(|(length, behind)| behind.split_at_checked(u32::from_le_bytes(*length) as usize));
        let Some((record, behind)) = read else {
            records.truncate(before);
            return Err(BlockError::Cut);
        };
        records.push(record);
        rest = behind;
    }
    times_ms.push(head.first_ms);
    times_ms.extend(times.as_chunks::<8>().0.iter().map(|word| i64::from_le_bytes(*word)));
    Ok(())
}
