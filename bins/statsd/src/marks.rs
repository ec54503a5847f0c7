//! Where the marks of a line stand: `,`, `:` and `|`, found in many bytes at once, together with whatever needs more care.

use wide::i8x16;

/// Bytes of a block: a bit of a word for each.
pub(crate) const BLOCK_BYTES: usize = 64;

/// Bytes that are looked at together: as many as a vector has.
const LANE_BYTES: usize = 16;

/// The marks of a block; the lowest bit is the first byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Marks {
    pub(crate) commas: u64,
    pub(crate) colons: u64,
    pub(crate) bars: u64,
    /// Something is not printable ASCII, or is `;` or `=`.
    pub(crate) has_others: bool,
}

impl Marks {
    /// Looks at up to [`BLOCK_BYTES`] bytes.
    #[inline(always)]
    fn of(block: &[u8]) -> Marks {
        debug_assert!(block.len() <= BLOCK_BYTES);
        let (mut all, mut others) = (Marks::default(), i8x16::ZERO);
        let (lanes, rest) = block.as_chunks::<LANE_BYTES>();
        for (number, lane) in lanes.iter().enumerate() {
            all.look(lane, number * LANE_BYTES, &mut others);
        }
        match block.last_chunk() {
            _ if rest.is_empty() => {}
            // Some are looked at once more, together with those that are left.
            Some(last) => all.look(last, block.len() - LANE_BYTES, &mut others),
            None => {
                let mut lane = [b' '; LANE_BYTES];
                lane.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                all.look(&lane, 0, &mut others);
            }
        }
        all.has_others = others.to_bitmask() != 0;
        all
    }

    #[inline(always)]
    fn look(&mut self, lane: &[u8; LANE_BYTES], at: usize, others: &mut i8x16) {
        let lane = i8x16::new(lane.map(u8::cast_signed));
        let all = |byte: u8| i8x16::splat(byte.cast_signed());
        let bits = |byte: u8| u64::from(lane.simd_eq(all(byte)).to_bitmask()) << at;
        self.commas |= bits(b',');
        self.colons |= bits(b':');
        self.bars |= bits(b'|');
        // What is no ASCII is below zero.
        *others |= lane.simd_lt(all(b' ')) | lane.simd_eq(all(0x7f));
        *others |= lane.simd_eq(all(b';')) | lane.simd_eq(all(b'='));
    }
}

/// A block of a line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block<'a> {
    pub(crate) line: &'a [u8],
    /// Where in the line it begins.
    pub(crate) start: usize,
    pub(crate) marks: Marks,
}

impl<'a> Block<'a> {
    /// The first one.
    #[inline(always)]
    pub(crate) fn first(line: &'a [u8]) -> Block<'a> {
        let marks = Marks::of(&line[..line.len().min(BLOCK_BYTES)]);
        Block { line, start: 0, marks }
    }

    /// Goes to the next one; false where this was the last: the one with the end of the line, which may be all it has.
    #[inline(always)]
    pub(crate) fn go_on(&mut self) -> bool {
        let start = self.start + BLOCK_BYTES;
        let Some(rest) = self.line.get(start..) else { return false };
        (self.start, self.marks) = (start, Marks::of(&rest[..rest.len().min(BLOCK_BYTES)]));
        true
    }

    /// The end of the line, as a mark.
    #[inline(always)]
    pub(crate) fn end(&self) -> u64 {
        let ahead = self.line.len() - self.start;
        if ahead < BLOCK_BYTES { 1 << ahead } else { 0 }
    }

    /// Every place of this block from here on.
    #[inline(always)]
    pub(crate) fn from(&self, at: usize) -> u64 {
        let ahead = at.saturating_sub(self.start);
        if ahead < BLOCK_BYTES { u64::MAX << ahead } else { 0 }
    }

    /// Where in the line the first of these marks is.
    #[inline(always)]
    pub(crate) fn place(&self, marks: u64) -> Option<usize> {
        (marks != 0).then(|| self.start + marks.trailing_zeros() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As the documents say, byte by byte.
    fn told(block: &[u8]) -> Marks {
        let bits =
            |mark: u8| block.iter().enumerate().map(|(at, &byte)| u64::from(byte == mark) << at).sum::<u64>();
        Marks {
            commas: bits(b','),
            colons: bits(b':'),
            bars: bits(b'|'),
            has_others: block.iter().any(|byte| !(0x20..0x7f).contains(byte) || b";=".contains(byte)),
        }
    }

    #[test]
    fn every_byte_is_known() {
        for byte in 0..=u8::MAX {
            for length in [1, 8, 15, 16, 17, 63, BLOCK_BYTES] {
                let block = vec![byte; length];
                assert_eq!(Marks::of(&block), told(&block), "{byte:#x} {length} times");
            }
        }
    }

    proptest! {
        #[test]
        fn every_mark_is_found(line in prop::collection::vec(any::<u8>(), 0..=3 * BLOCK_BYTES), at in 0..200_usize) {
            let mut block = Block::first(&line);
            let mut starts = (0..=line.len()).step_by(BLOCK_BYTES);
            loop {
                let start = starts.next().unwrap();
                let bytes = &line[start..line.len().min(start + BLOCK_BYTES)];
                prop_assert_eq!((block.start, block.marks), (start, told(bytes)));
                prop_assert_eq!(block.place(block.end()), (bytes.len() < BLOCK_BYTES).then_some(line.len()));
                let behind = bytes.iter().enumerate().skip(at.saturating_sub(start));
                let place = behind.clone().find(|(_, byte)| **byte == b':').map(|(place, _)| start + place);
                prop_assert_eq!(block.place(block.marks.colons & block.from(at)), place);
                if !block.go_on() {
                    break;
                }
            }
            prop_assert_eq!(starts.next(), None);
        }
    }
}
