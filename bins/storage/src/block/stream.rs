//! A stream of integers that lie near each other, in the coding in which they take the fewest bits.
//!
//! ```text
//! same     all are `offset`              ┌────────┐
//!                                        │ offset │
//!                                        └────────┘
//! range    `offset` and a number below   ┌────────┬───────┐  bits: groups of numbers, see `bits::Group`
//!          `range`                       │ offset │ range │
//!                                        └────────┴───────┘
//! width    `offset` and `width` bits     ┌────────┬───────┐  bits: `width` each
//!                                        │ offset │ width │
//!                                        └────────┴───────┘
//! shape    `offset`, a symbol of `shape` ┌────────┬───────┐  shape, u16: in the low 6 bits the shape's number, in
//!          shifted by `low`, `low` bits  │ offset │ shape │  the next 6 `low`, in the high 4 how many bytes the
//!                                        └────────┴───────┘  symbols' final state has; bits: `low` each
//! ```
//! `offset` is a zigzag varint, `range` a varint, `width` a byte.

use super::BlockError;
use super::ans;
use super::bits::{Group, RANGE_MAX, Reader, Writer};
use super::shapes::{self, ANOTHER, REACH, SHAPES, SYMBOLS, Shape};
use crate::varint;

/// How the integers of a stream are told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Coding {
    Same,
    Range(Group, u32),
    Width(u32),
    Shape { number: u8, low: u32 },
}

/// A stream's coding and offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stream {
    pub(super) offset: i64,
    pub(super) coding: Coding,
}

/// The middle one of nine that are spread over all.
pub(super) fn middle(numbers: &[i64]) -> i64 {
    let last = numbers.len() - 1;
    let mut few: [i64; 9] = std::array::from_fn(|place| numbers[place * last / 8]);
    let mut order = |pairs: [(usize, usize); 3]| {
        for (low, high) in pairs {
            (few[low], few[high]) = (few[low].min(few[high]), few[low].max(few[high]));
        }
    };
    // In steps without a branch, of which random numbers would take each half of the time. Source: Devillard, "Fast
    // median search: an ANSI C implementation", 1998.
    order([(1, 2), (4, 5), (7, 8)]);
    order([(0, 1), (3, 4), (6, 7)]);
    order([(1, 2), (4, 5), (7, 8)]);
    order([(0, 3), (5, 8), (4, 7)]);
    order([(3, 6), (1, 4), (2, 5)]);
    order([(4, 7), (4, 2), (6, 4)]);
    few[4].min(few[2])
}

/// A distance that can be summed up for a whole block.
#[inline]
pub(super) fn small(number: i64) -> u64 {
    number.unsigned_abs().min(1 << 48)
}

/// The offset around which numbers lie, and how many low bits of the distances from there are like noise. The sums are
/// those of the distances from `middle`, with their signs and without, `span` is from the least to the most.
fn center(numbers: &[i64], middle: i64, sums: (i64, u64), span: u64) -> (i64, u32) {
    let count = numbers.len() as u64;
    let mut mean = sums.1 / count;
    let mut sums = sums;
    let mut is_mostly_middle = false;
    // A mean that a few far ones drag along says nothing: they count as far as the others mostly are.
    if span / 16 > mean + 1 {
        let near = |mean: u64| {
            let limit = (8 * mean).clamp(8, 1 << 46) as i64;
            numbers
                .iter()
                .map(|number| number.wrapping_sub(middle).clamp(-limit, limit))
                .fold((0_i64, 0_u64), |sum, at| (sum.0 + at, sum.1 + at.unsigned_abs()))
        };
        sums = near(mean);
        while sums.1 / count < mean / 2 {
            mean = sums.1 / count;
            sums = near(mean);
        }
        is_mostly_middle = is_often(numbers, middle, 3);
    }
    let mean = sums.1 as f32 / count as f32;
    // The widest shape has a mean of 3.8.
    let low = (mean / 3.8).log2().ceil().max(0.0) as u32;
    let off = if is_mostly_middle { 0 } else { (sums.0 as f32 / count as f32).round() as i64 };
    (middle.wrapping_add(off), low.min(63))
}

/// Whether more than one of so many numbers is this one.
fn is_often(numbers: &[i64], number: i64, of: usize) -> bool {
    numbers.iter().filter(|one| **one == number).count() * of > numbers.len()
}

/// Bytes of a varint.
fn varint_bytes(number: u64) -> u32 {
    (u64::BITS - (number | 1).leading_zeros()).div_ceil(7)
}

/// What is gathered about a stream while its coding is chosen.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    /// The symbol of each number, if the coding is a shape.
    pub(super) symbols: Vec<u8>,
    /// Those of the last attempt.
    attempt: Vec<u8>,
}

impl Stream {
    /// The coding with the fewest bits.
    pub(super) fn choose(numbers: &[i64], symbols: &mut Symbols) -> Stream {
        symbols.symbols.clear();
        let Some(&first) = numbers.first() else { return Stream { offset: 0, coding: Coding::Same } };
        let middle = middle(numbers);
        let (mut least, mut most, mut sum, mut distances) = (first, first, 0_i64, 0_u64);
        for &number in numbers {
            least = least.min(number);
            most = most.max(number);
            let distance = number.wrapping_sub(middle);
            sum = sum.wrapping_add(distance);
            distances += small(distance);
        }
        let span = most.wrapping_sub(least) as u64;
        if span == 0 {
            return Stream { offset: first, coding: Coding::Same };
        }
        let (coding, bits) = if span < u64::from(RANGE_MAX) {
            let range = span as u32 + 1;
            let group = Group::of(range);
            (Coding::Range(group, range), group.bits(numbers.len()))
        } else {
            let width = u64::BITS - span.leading_zeros();
            (Coding::Width(width), width as usize * numbers.len())
        };
        let plain = Stream { offset: least, coding };
        // A shape does not pay for few numbers, nor for two or three that come about as often.
        if numbers.len() < 8 || span < 3 && !is_often(numbers, middle, 2) {
            return plain;
        }
        // The state takes half a byte more than its bits, the shape one more than range or width.
        let mut least_bits = bits.saturating_sub(12) as u64;
        if least_bits <= shapes::least_bits(distances, numbers.len()) {
            return plain;
        }
        let mut best = plain;
        let mut attempt = |offset: i64, low: u32, symbols: &mut Symbols| {
            let Some((shaped, bits)) = Stream::shaped(numbers, offset, low, &mut symbols.attempt) else {
                return;
            };
            if bits < least_bits {
                (best, least_bits) = (shaped, bits);
                std::mem::swap(&mut symbols.symbols, &mut symbols.attempt);
            }
        };
        let (offset, low) = center(numbers, middle, (sum, distances), span);
        attempt(offset, low, symbols);
        // Mostly the same, and else far from it: not worth its low bits each time.
        if low > 0 && is_often(numbers, middle, 3) {
            attempt(middle, 0, symbols);
        }
        if !best.is_shaped() {
            symbols.symbols.clear();
        }
        best
    }

    /// The best shape around `offset`, and the bits it takes; `attempt` are the symbols.
    fn shaped(numbers: &[i64], offset: i64, low: u32, attempt: &mut Vec<u8>) -> Option<(Stream, u64)> {
        let (mut counts, mut other_bytes) = ([0; SYMBOLS], 0);
        attempt.clear();
        attempt.extend(numbers.iter().map(|number| {
            let high = number.wrapping_sub(offset) >> low;
            let place = high.wrapping_add(REACH) as u64;
            let symbol = if place < u64::from(ANOTHER) {
                place as u8
            } else {
                other_bytes += u64::from(varint_bytes(varint::zigzag(high)));
                ANOTHER
            };
            counts[usize::from(symbol)] += 1;
            symbol
        }));
        let mut counted = (0..ANOTHER).filter(|symbol| counts[usize::from(*symbol)] > 0);
        let first = counted.next()?;
        let ends = (first, counted.next_back().unwrap_or(first));
        let (number, bits) = shapes::choose(&counts, ends);
        let shape = Shape::of(number.into());
        // What has no share is told as another one.
        for symbol in attempt.iter_mut().filter(|_| ends.0 < shape.ends.0 || ends.1 > shape.ends.1) {
            if *symbol < ANOTHER && !(shape.ends.0..=shape.ends.1).contains(symbol) {
                *symbol = ANOTHER;
                other_bytes += 1;
            }
        }
        let bits = u64::from(bits / shapes::BIT) + u64::from(low) * numbers.len() as u64 + 8 * other_bytes;
        Some((Stream { offset, coding: Coding::Shape { number, low } }, bits))
    }

    /// The coding's code, two bits of a section's first byte.
    pub(super) fn code(&self) -> u8 {
        match self.coding {
            Coding::Same => 0,
            Coding::Range(..) => 1,
            Coding::Width(_) => 2,
            Coding::Shape { .. } => 3,
        }
    }

    pub(super) fn is_shaped(&self) -> bool {
        matches!(self.coding, Coding::Shape { .. })
    }

    /// A range that fits into five bits, less one; 0 when there is none.
    pub(super) fn small_range(&self) -> u8 {
        match self.coding {
            Coding::Range(_, range @ 2..=32) => (range - 1) as u8,
            _ => 0,
        }
    }

    /// Writes what the reader has to know first; the range too, unless it `is_range_told`.
    pub(super) fn write(&self, state_bytes: u8, is_range_told: bool, out: &mut Vec<u8>) {
        varint::write(varint::zigzag(self.offset), out);
        match self.coding {
            Coding::Same => {}
            Coding::Range(..) if is_range_told => {}
            Coding::Range(_, range) => varint::write(range.into(), out),
            Coding::Width(width) => out.push(width as u8),
            Coding::Shape { number, low } => {
                let shape = u16::from(number) | (low as u16) << 6 | u16::from(state_bytes) << 12;
                out.extend_from_slice(&shape.to_le_bytes());
            }
        }
    }

    /// Reads that; the second is the bytes of the symbols' state. `range`, less one, if it was told, else 0.
    pub(super) fn read(code: u8, range: u8, bytes: &mut &[u8]) -> Result<(Stream, u8), BlockError> {
        let offset = varint::unzigzag(varint::read(bytes).ok_or(BlockError::Cut)?);
        let mut state_bytes = 0;
        let coding = match code & 3 {
            0 => Coding::Same,
            1 => {
                let told = (range > 0).then(|| u64::from(range) + 1);
                let range = told.or_else(|| varint::read(bytes)).ok_or(BlockError::Cut)?;
                if !(2..=u64::from(RANGE_MAX)).contains(&range) {
                    return Err(BlockError::Damaged("range"));
                }
                Coding::Range(Group::of(range as u32), range as u32)
            }
            2 => {
                let (width, rest) = bytes.split_first().ok_or(BlockError::Cut)?;
                *bytes = rest;
                if !(1..=64).contains(width) {
                    return Err(BlockError::Damaged("width"));
                }
                Coding::Width((*width).into())
            }
            _ => {
                let (shape, rest) = bytes.split_first_chunk().ok_or(BlockError::Cut)?;
                *bytes = rest;
                let shape = u16::from_le_bytes(*shape);
                let (number, low) = ((shape & 63) as u8, u32::from(shape >> 6 & 63));
                if usize::from(number) >= SHAPES {
                    return Err(BlockError::Damaged("shape"));
                }
                state_bytes = (shape >> 12) as u8;
                Coding::Shape { number, low }
            }
        };
        Ok((Stream { offset, coding }, state_bytes))
    }

    /// Bits of so many numbers beside their symbols.
    pub(super) fn bits(&self, numbers: usize) -> usize {
        match self.coding {
            Coding::Same => 0,
            Coding::Range(group, _) => group.bits(numbers),
            Coding::Width(width) => numbers * width as usize,
            Coding::Shape { low, .. } => numbers * low as usize,
        }
    }

    /// Writes the numbers that are told as [`ANOTHER`].
    pub(super) fn write_others(&self, numbers: &[i64], symbols: &[u8], out: &mut Vec<u8>) {
        let Coding::Shape { low, .. } = self.coding else { return };
        for (number, _) in numbers.iter().zip(symbols).filter(|(_, symbol)| **symbol == ANOTHER) {
            varint::write(varint::zigzag(number.wrapping_sub(self.offset) >> low), out);
        }
    }

    /// Puts the symbols of these numbers where they are taken out again.
    pub(super) fn put_symbols(&self, symbols: &[u8], ans: &mut ans::Writer) {
        if let Coding::Shape { number, .. } = self.coding {
            ans.put(symbols, Shape::of(number.into()));
        }
    }

    /// Writes the bits beside the symbols.
    pub(super) fn write_bits(&self, numbers: &[i64], out: &mut Writer<'_>) {
        let distances = numbers.iter().map(|number| number.wrapping_sub(self.offset) as u64);
        match self.coding {
            Coding::Same => {}
            Coding::Range(group, _) => group.write(numbers, self.offset, out),
            Coding::Width(width) => distances.for_each(|number| out.put_long(number, width)),
            Coding::Shape { low: 0, .. } => {}
            Coding::Shape { low, .. } => {
                distances.for_each(|number| out.put_long(number & ((1 << low) - 1), low));
            }
        }
    }

    /// Reads `count` numbers, each into `each`.
    #[inline]
    pub(super) fn read_numbers(
        &self,
        count: usize,
        bits: &mut Reader<'_>,
        ans: &mut ans::Reader<'_>,
        others: &mut &[u8],
        mut each: impl FnMut(i64),
    ) -> Result<(), BlockError> {
        let offset = self.offset;
        match self.coding {
            Coding::Same => (0..count).for_each(|_| each(offset)),
            Coding::Range(group, _) => {
                group.read(count, bits, |number| each(offset.wrapping_add(number.into())));
            }
            Coding::Width(width) => {
                (0..count).for_each(|_| each(offset.wrapping_add(bits.take_long(width) as i64)));
            }
            Coding::Shape { number, low } => {
                let shape = Shape::of(number.into());
                for _ in 0..count {
                    let symbol = ans.take(shape);
                    let high = if symbol == ANOTHER {
                        varint::unzigzag(varint::read(others).ok_or(BlockError::Damaged("numbers"))?)
                    } else {
                        i64::from(symbol) - REACH
                    };
                    let number = high << low | bits.take_long(low) as i64;
                    each(offset.wrapping_add(number));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_one_of_nine_is_found_in_any_order() {
        // A network of comparisons that sorts zeros and ones sorts everything.
        for bits in 0..512_i64 {
            let nine: Vec<i64> = (0..9).map(|place| bits >> place & 1).collect();
            assert_eq!(middle(&nine), i64::from(bits.count_ones() >= 5), "{nine:?}");
        }
        assert_eq!((middle(&[7]), middle(&[i64::MAX, i64::MIN])), (7, i64::MAX));
    }
}
