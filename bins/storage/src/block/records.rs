//! Records: notes and states, whose bytes are theirs.

use super::{BlockError, Head};
use crate::varint;

/// Appends records behind the head.
pub(super) fn encode(times: &[i64], records: &[&[u8]], out: &mut Vec<u8>) {
    let (mut before, mut step) = (times[0], 0);
    for (time, record) in times.iter().zip(records) {
        let difference = time.wrapping_sub(before);
        varint::write_difference(difference, step, out);
        varint::write(record.len() as u64, out);
        out.extend_from_slice(record);
        (before, step) = (*time, difference);
    }
}

/// Appends the records behind a head.
pub(super) fn decode<'a>(
    head: Head,
    mut rest: &'a [u8],
    times: &mut Vec<i64>,
    records: &mut Vec<&'a [u8]>,
) -> Result<(), BlockError> {
    let (times_before, records_before) = (times.len(), records.len());
    let (mut time, mut step) = (head.first_ms, 0);
    let mut next = || {
        step = varint::read_difference(step, &mut rest)?;
        time = time.wrapping_add(step);
        let length = usize::try_from(varint::read(&mut rest)?).ok()?;
        let (record, behind) = rest.split_at_checked(length)?;
        rest = behind;
        Some((time, record))
    };
    for _ in 0..head.count {
        let Some((time, record)) = next() else {
            times.truncate(times_before);
            records.truncate(records_before);
            return Err(BlockError::Cut);
        };
        times.push(time);
        records.push(record);
    }
    if !rest.is_empty() {
        times.truncate(times_before);
        records.truncate(records_before);
        return Err(BlockError::Damaged("end"));
    }
    Ok(())
}
