//! Many small integers in few bytes: blocks of eight, each of as many bits a number as its largest one takes.
//!
//! ```text
//! ┌───────┬──────────────────────────────────────────────────────────────┐
//! │ width │ eight numbers of `width` bits each, the first one lowest     │  width: 0 to 64
//! │ u8    │ `width` bytes                                                │
//! └───────┴──────────────────────────────────────────────────────────────┘
//! ```
//! The last block is filled with zeros.

use super::{Fields, StateError};

const BLOCK: usize = 8;

/// Appends the numbers.
pub(super) fn write(out: &mut Vec<u8>, numbers: impl Iterator<Item = u64>) {
    let mut block = [0; BLOCK];
    let mut filled = 0;
    for number in numbers {
        block[filled] = number;
        filled += 1;
        if filled == BLOCK {
            write_block(out, &block);
            (block, filled) = ([0; BLOCK], 0);
        }
    }
    if filled > 0 {
        write_block(out, &block);
    }
}

fn write_block(out: &mut Vec<u8>, block: &[u64; BLOCK]) {
    let width = 64 - block.iter().fold(0, |all, number| all | number).leading_zeros();
    out.push(width as u8);
    let (mut bits, mut held) = (0_u128, 0);
    for &number in block {
        bits |= u128::from(number) << held;
        held += width;
        while held >= 8 {
            out.push(bits as u8);
            bits >>= 8;
            held -= 8;
        }
    }
}

/// Reads so many numbers, each of which goes to `each`.
pub(super) fn read(
    fields: &mut Fields<'_>,
    count: usize,
    mut each: impl FnMut(u64) -> Result<(), StateError>,
) -> Result<(), StateError> {
    let mut left = count;
    while left > 0 {
        let width = u32::from(fields.byte()?);
        if width > 64 {
            return Err(StateError::Content);
        }
        let mut bytes = fields.slice(width as usize)?.iter();
        let mask = if width == 64 { u64::MAX } else { (1 << width) - 1 };
        let (mut bits, mut held) = (0_u128, 0);
        for place in 0..BLOCK {
            while held < width {
                bits |= u128::from(*bytes.next().ok_or(StateError::Length)?) << held;
                held += 8;
            }
            let number = bits as u64 & mask;
            bits >>= width;
            held -= width;
            if place < left {
                each(number)?;
            } else if number != 0 {
                return Err(StateError::Content);
            }
        }
        left = left.saturating_sub(BLOCK);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn read_undoes_write(numbers in prop::collection::vec(any::<u64>(), 0..40), shifts in prop::collection::vec(0..64_u32, 40)) {
            let numbers: Vec<u64> = numbers.iter().zip(shifts).map(|(number, shift)| number >> shift).collect();
            let mut bytes = Vec::new();
            write(&mut bytes, numbers.iter().copied());
            let mut fields = Fields(&bytes);
            let mut again = Vec::new();
            let read = read(&mut fields, numbers.len(), |number| {
                again.push(number);
                Ok(())
            });
            prop_assert_eq!((read, fields.end(), again), (Ok(()), Ok(()), numbers));
        }
    }
}
