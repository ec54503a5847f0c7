//! Numbers in as few bytes as they need: seven bits a byte, the lowest first, the eighth says that more follow.

/// Appends a number: one to ten bytes.
pub(crate) fn write(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Takes a number off the front of `bytes`; `None` when they end in it, or it has more than 64 bits.
pub(crate) fn read(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// A signed number as an unsigned one that is small when it is near zero: 0, -1, 1, -2, ...
pub(crate) const fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

/// Undoes [`zigzag`].
pub(crate) const fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// Appends the difference of two numbers, wrapping.
pub(crate) fn write_difference(number: i64, from: i64, out: &mut Vec<u8>) {
    write(zigzag(number.wrapping_sub(from)), out);
}

/// Takes a difference off the front of `bytes`, and adds it to `from`.
pub(crate) fn read_difference(from: i64, bytes: &mut &[u8]) -> Option<i64> {
    Some(from.wrapping_add(unzigzag(read(bytes)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_takes_as_many_bytes_as_it_needs() {
        for (number, bytes) in [(0, 1), (127, 1), (128, 2), (1 << 14, 3), (u64::MAX >> 1, 9), (u64::MAX, 10)]
        {
            let mut out = Vec::new();
            write(number, &mut out);
            assert_eq!(out.len(), bytes, "{number}");
            assert_eq!(read(&mut &out[..]), Some(number));
            assert_eq!(read(&mut &out[..bytes - 1]), None, "{number}");
        }
        assert_eq!(read(&mut &[0xff; 12][..]), None);
        assert_eq!(read(&mut &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2][..]), None);
    }

    #[test]
    fn a_difference_comes_back_over_the_whole_range() {
        for (number, from) in [(0, 0), (5, 7), (i64::MIN, i64::MAX), (i64::MAX, i64::MIN), (-1, 1)] {
            let mut out = Vec::new();
            write_difference(number, from, &mut out);
            assert_eq!(read_difference(from, &mut &out[..]), Some(number));
        }
        assert_eq!([0, -1, 1, -2].map(zigzag), [0, 1, 2, 3]);
    }
}
