//! Numbers packed into bits, and small ones of a range that is no power of two into shared bits.

/// Writes bits, the lowest first.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    pending: u64,
    filled: u32,
}

impl<'a> Writer<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Writer<'a> {
        Writer { out, pending: 0, filled: 0 }
    }

    /// Appends the low `width` bits, at most 32, of a number that has no others.
    #[inline]
    pub(super) fn put(&mut self, number: u64, width: u32) {
        self.pending |= number << self.filled;
        self.filled += width;
        if self.filled >= 32 {
            self.out.extend_from_slice(&(self.pending as u32).to_le_bytes());
            self.pending >>= 32;
            self.filled -= 32;
        }
    }

    /// Appends up to 64 bits.
    #[inline]
    pub(super) fn put_long(&mut self, number: u64, width: u32) {
        if width <= 32 {
            self.put(number, width);
        } else {
            self.put(number & 0xffff_ffff, 32);
            self.put(number >> 32, width - 32);
        }
    }

    /// Fills the last byte with zeros.
    pub(super) fn finish(self) {
        let bytes = self.filled.div_ceil(8) as usize;
        self.out.extend_from_slice(&self.pending.to_le_bytes()[..bytes]);
    }
}

/// Reads what [`Writer`] wrote; behind the end there are zeros.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    pending: u64,
    filled: u32,
}

impl<'a> Reader<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Reader<'a> {
        Reader { rest, pending: 0, filled: 0 }
    }

    /// Takes up to 32 bits.
    #[inline]
    pub(super) fn take(&mut self, width: u32) -> u64 {
        if self.filled < width {
            if let Some((word, rest)) = self.rest.split_first_chunk::<4>() {
                self.pending |= u64::from(u32::from_le_bytes(*word)) << self.filled;
                self.rest = rest;
            } else {
                for (byte, place) in self.rest.iter().zip(0..) {
                    self.pending |= u64::from(*byte) << (self.filled + 8 * place);
                }
                self.rest = &[];
            }
            self.filled += 32;
        }
        let number = self.pending & ((1 << width) - 1);
        self.pending >>= width;
        self.filled -= width;
        number
    }

    /// Takes up to 64 bits.
    #[inline]
    pub(super) fn take_long(&mut self, width: u32) -> u64 {
        if width <= 32 {
            return self.take(width);
        }
        let low = self.take(32);
        low | self.take(width - 32) << 32
    }
}

/// How numbers below `range` share bits: `count` at a time, as the digits of one number of `width` bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Group {
    range: u32,
    count: usize,
    width: u32,
}

/// The largest range that is grouped: at least two numbers share a group's 32 bits.
pub(super) const RANGE_MAX: u32 = 1 << 16;

impl Group {
    /// The group that wastes least; `range` is from 2 to [`RANGE_MAX`].
    pub(super) fn of(range: u32) -> Group {
        let mut best = Group { range, count: 1, width: width_below(range.into()) };
        let (mut product, mut count) = (u64::from(range), 1);
        loop {
            product *= u64::from(range);
            count += 1;
            if product > 1 << 32 {
                return best;
            }
            let width = width_below(product);
            if (width as usize) * best.count < best.width as usize * count {
                best = Group { range, count, width };
            }
        }
    }

    /// Bits that so many numbers take.
    pub(super) fn bits(&self, numbers: usize) -> usize {
        let rest = numbers % self.count;
        numbers / self.count * self.width as usize + self.rest_width(rest) as usize
    }

    fn rest_width(&self, numbers: usize) -> u32 {
        width_below((0..numbers).fold(1, |product, _| product * u64::from(self.range)))
    }

    /// Writes the numbers less `offset`, which are below the range then.
    pub(super) fn write(&self, numbers: &[i64], offset: i64, out: &mut Writer<'_>) {
        let range = u64::from(self.range);
        for numbers in numbers.chunks(self.count) {
            let digits = numbers.iter().rev().map(|number| number.wrapping_sub(offset) as u64);
            let sum = digits.fold(0, |sum, digit| sum * range + digit);
            let width = if numbers.len() == self.count { self.width } else { self.rest_width(numbers.len()) };
            out.put(sum, width);
        }
    }

    /// Reads so many numbers.
    #[inline]
    pub(super) fn read(&self, numbers: usize, bits: &mut Reader<'_>, mut each: impl FnMut(u32)) {
        // Of a number below 2^32 the product's high half is the quotient. Source: Lemire, Kaser, Kurz, "Faster
        // remainder by direct computation", 2019.
        let reciprocal = u128::from(u64::MAX / u64::from(self.range) + 1);
        let mut left = numbers;
        while left > 0 {
            let count = left.min(self.count);
            let width = if count == self.count { self.width } else { self.rest_width(count) };
            let mut sum = bits.take(width);
            for _ in 0..count {
                let quotient = ((reciprocal * u128::from(sum)) >> 64) as u64;
                each((sum - quotient * u64::from(self.range)) as u32);
                sum = quotient;
            }
            left -= count;
        }
    }
}

/// Bits of the numbers below `end`, which is at least 1.
fn width_below(end: u64) -> u32 {
    u64::BITS - (end - 1).leading_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_back_in_order() {
        let numbers = [(5, 3), (0, 0), (1, 1), (u64::MAX, 64), (0xffff_ffff, 32), (1 << 40, 41), (7, 13)];
        let mut out = vec![9];
        let mut writer = Writer::new(&mut out);
        numbers.iter().for_each(|(number, width)| writer.put_long(*number, *width));
        writer.finish();
        assert_eq!(out.len(), 1 + 154_usize.div_ceil(8));
        let mut reader = Reader::new(&out[1..]);
        for (number, width) in numbers {
            assert_eq!(reader.take_long(width), number, "{width}");
        }
        assert_eq!(reader.take_long(64) >> 6, 0);
        assert_eq!(reader.take_long(64), 0);
    }

    #[test]
    fn numbers_of_any_range_share_bits() {
        for (range, numbers, bits) in [
            (2, 64, 64),
            (3, 100, 160),
            (3, 17, 27),
            (5, 100, 234),
            (10, 9, 30),
            (11, 100, 350),
            (65_536, 3, 48),
        ] {
            let group = Group::of(range);
            assert!(group.bits(numbers) <= bits, "{range}: {group:?} {}", group.bits(numbers));
            let all: Vec<i64> =
                (0..numbers as i64).map(|number| number * 77_773 % i64::from(range) - 5).collect();
            let mut out = Vec::new();
            let mut writer = Writer::new(&mut out);
            group.write(&all, -5, &mut writer);
            writer.finish();
            assert_eq!(out.len(), group.bits(numbers).div_ceil(8));
            let mut read = Vec::new();
            group.read(numbers, &mut Reader::new(&out), |number| read.push(i64::from(number) - 5));
            assert_eq!(read, all, "{range}");
        }
    }
}
