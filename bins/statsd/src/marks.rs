//! Where the marks of tags stand: `,` and `:`, found in many bytes at once, together with whatever needs more care.

/// Bytes of a block: a bit of a word for each.
pub(crate) const BLOCK_BYTES: usize = 64;

/// The marks of a block; the lowest bit is the first byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Marks {
    pub(crate) commas: u64,
    pub(crate) colons: u64,
    /// Something is not printable ASCII, or is `;`, `=` or `|`.
    pub(crate) has_others: bool,
}

impl Marks {
    /// Looks at up to [`BLOCK_BYTES`] bytes.
    #[inline(always)]
    pub(crate) fn of(block: &[u8]) -> Marks {
        debug_assert!(block.len() <= BLOCK_BYTES);
        let mut all = Marks::default();
        let (lanes, rest) = block.as_chunks::<LANE_BYTES>();
        for (number, lane) in lanes.iter().enumerate() {
            all.add(look(lane), number * LANE_BYTES);
        }
        match block.last_chunk() {
            _ if rest.is_empty() => {}
            // Some are looked at once more, together with those that are left.
            Some(last) => all.add(look(last), block.len() - LANE_BYTES),
            None => {
                let mut lane = [b' '; LANE_BYTES];
                lane.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                all.add(look(&lane), 0);
            }
        }
        all
    }

    #[inline(always)]
    fn add(&mut self, lane: Marks, at: usize) {
        self.commas |= lane.commas << at;
        self.colons |= lane.colons << at;
        self.has_others |= lane.has_others;
    }
}

/// Where the first `|` is: near the front, so that a call for it would take longer.
#[inline(always)]
pub(crate) fn first_bar(line: &[u8]) -> Option<usize> {
    let (lanes, rest) = line.as_chunks::<LANE_BYTES>();
    for (number, lane) in lanes.iter().enumerate() {
        let found = bits(lane.map(|byte| u8::from(byte == b'|')));
        if found != 0 {
            return Some(number * LANE_BYTES + found.trailing_zeros() as usize);
        }
    }
    let at = rest.iter().position(|byte| *byte == b'|')?;
    Some(line.len() - rest.len() + at)
}

/// Bytes that are looked at together: as many as a vector has, for compilers make vectors of this.
const LANE_BYTES: usize = 16;

#[inline(always)]
fn look(lane: &[u8; LANE_BYTES]) -> Marks {
    let [mut commas, mut colons, mut others] = [[0; LANE_BYTES]; 3];
    for (at, &byte) in lane.iter().enumerate() {
        commas[at] = u8::from(byte == b',');
        colons[at] = u8::from(byte == b':');
        // Without a branch, which a vector cannot take.
        let is_unprintable = !(b' '..=b'~').contains(&byte);
        others[at] = u8::from(is_unprintable | (byte == b';') | (byte == b'=') | (byte == b'|'));
    }
    Marks { commas: bits(commas), colons: bits(colons), has_others: others != [0; LANE_BYTES] }
}

/// Ones and zeros, side by side.
#[inline(always)]
fn bits(ones: [u8; LANE_BYTES]) -> u64 {
    let (words, _) = ones.as_chunks::<8>();
    let bits = |word: [u8; 8]| u64::from_le_bytes(word).wrapping_mul(0x0102_0408_1020_4080) >> 56;
    bits(words[0]) | bits(words[1]) << 8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As the documents say, byte by byte.
    fn told(block: &[u8]) -> Marks {
        let bits = |is: &dyn Fn(u8) -> bool| {
            block.iter().enumerate().map(|(at, &byte)| u64::from(is(byte)) << at).sum::<u64>()
        };
        Marks {
            commas: bits(&|byte| byte == b','),
            colons: bits(&|byte| byte == b':'),
            has_others: block.iter().any(|byte| !(0x20..0x7f).contains(byte) || b";=|".contains(byte)),
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
        fn the_first_bar_is_found(line in "[a|]{0,3}[a-c]{0,50}[a|]{0,20}") {
            prop_assert_eq!(first_bar(line.as_bytes()), line.find('|'));
        }

        #[test]
        fn every_mark_is_found(block in prop::collection::vec(any::<u8>(), 0..=BLOCK_BYTES)) {
            prop_assert_eq!(Marks::of(&block), told(&block));
        }
    }
}
