//! How small numbers are distributed: the shapes that a block can name instead of telling its own.
//!
//! A shape gives each number from -32 to 31, and "another one", its share of 4,096. They are part of the format: they
//! are made by multiplication and rounding only, which IEEE 754 defines to the last bit, and a test holds them.

use std::sync::OnceLock;

/// Shares add up to two to this.
pub(super) const SHARE_BITS: u32 = 12;
const SHARES: u32 = 1 << SHARE_BITS;

/// Numbers from minus this on, and below it, have symbols.
pub(super) const REACH: i64 = 32;

/// The symbol of all other numbers.
pub(super) const ANOTHER: u8 = 2 * REACH as u8;

/// Different symbols.
pub(super) const SYMBOLS: usize = ANOTHER as usize + 1;

const SCALES: usize = 16;

/// Normal distributions, exp(-1/(2 s s)) of each, with s from 0.35 to 4.76 in quarters of an octave.
const NORMAL: [f64; SCALES] = [
    0.018316, 0.059106, 0.135335, 0.243117, 0.367879, 0.493069, 0.606531, 0.702189, 0.778801, 0.837967,
    0.882497, 0.915405, 0.939413, 0.956768, 0.969233, 0.978145,
];

/// Geometric ones to both sides with the same means.
const GEOMETRIC: [f64; SCALES] = [
    0.017663, 0.052731, 0.105781, 0.163045, 0.217592, 0.271001, 0.325296, 0.380800, 0.436947, 0.492773,
    0.547189, 0.599169, 0.647880, 0.692748, 0.733457, 0.769924,
];

/// The mean distance from zero of both.
const MEANS: [f32; SCALES] = [
    0.0353, 0.1058, 0.2140, 0.3350, 0.4568, 0.5850, 0.7276, 0.8908, 1.0801, 1.3016, 1.5621, 1.8695, 2.2331,
    2.6639, 3.1749, 3.7814,
];

/// Mostly zero, else anything.
const SPARSE: [f64; 7] = [0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.995];

/// Shapes there are.
pub(super) const SHAPES: usize = 2 * SCALES + SPARSE.len();

/// One of them, made ready.
#[derive(Debug)]
pub(super) struct Shape {
    /// Of each symbol what the coder needs.
    pub(super) symbols: [Symbol; SYMBOLS],
    /// Of each of the 4,096 shares the symbol that it is of.
    pub(super) slots: Box<[u8; SHARES as usize]>,
    /// Of each symbol its bits, in units of [`BIT`]; of one without a share those of [`ANOTHER`].
    bits: [u32; SYMBOLS],
    /// The lowest and the highest symbol, but for [`ANOTHER`], that have shares; so have all between them.
    pub(super) ends: (u8, u8),
}

/// What a bit is in sums of them.
pub(super) const BIT: u32 = 1 << 8;

/// A symbol's shares.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Symbol {
    /// 0 where it has to be told as [`ANOTHER`].
    pub(super) share: u16,
    /// The shares of the symbols below it.
    pub(super) before: u16,
    /// With this and `shift` a number below 2^31 is divided by the share. Source: Alverson, "Integer division using
    /// reciprocals", 1991.
    pub(super) reciprocal: u64,
    pub(super) shift: u32,
}

impl Symbol {
    fn new(share: u16, before: u16) -> Symbol {
        if share < 2 {
            return Symbol { share, before, reciprocal: 1 << 32, shift: 0 };
        }
        let shift = u16::BITS - (share - 1).leading_zeros();
        let reciprocal = (1_u64 << (shift + 31)).div_ceil(share.into());
        Symbol { share, before, reciprocal, shift: shift - 1 }
    }
}

impl Shape {
    /// The shape of a number below [`SHAPES`].
    pub(super) fn of(number: usize) -> &'static Shape {
        static ALL: [OnceLock<Shape>; SHAPES] = [const { OnceLock::new() }; SHAPES];
        ALL[number].get_or_init(|| Shape::new(&weights(number)))
    }

    fn new(weights: &[f64; SYMBOLS]) -> Shape {
        let total: f64 = weights.iter().sum();
        let mut shares = weights.map(|weight| (weight / total * f64::from(SHARES)).round() as u16);
        // Whatever comes can be told.
        shares[usize::from(ANOTHER)] = shares[usize::from(ANOTHER)].max(1);
        // Zero is never the rarest, so it takes what the rounding left over.
        let sum: u32 = shares.iter().map(|share| u32::from(*share)).sum();
        let zero = &mut shares[REACH as usize];
        *zero = (u32::from(*zero) + SHARES - sum) as u16;
        let (mut symbols, mut slots, mut sum) = ([Symbol::default(); SYMBOLS], Vec::new(), 0);
        for (symbol, share) in shares.into_iter().enumerate() {
            symbols[symbol] = Symbol::new(share, sum);
            sum += share;
            slots.resize(usize::from(sum), symbol as u8);
        }
        let another = shares[usize::from(ANOTHER)];
        let bits = shares.map(|share| {
            let share = if share > 0 { share } else { another };
            ((SHARE_BITS as f32 - f32::from(share).log2()) * BIT as f32) as u32
        });
        let end = |mut symbols: std::ops::RangeInclusive<i64>, step: i64| {
            let last = symbols.find(|at| shares[(REACH + at * step) as usize] == 0).unwrap_or(REACH);
            (REACH + (last - 1) * step) as u8
        };
        let ends = (end(0..=REACH, -1), end(0..=REACH - 1, 1));
        Shape { symbols, slots: slots.try_into().expect("shares add up"), bits, ends }
    }
}

/// How often each symbol comes, in any unit.
fn weights(number: usize) -> [f64; SYMBOLS] {
    let mut weights = [0.0; SYMBOLS];
    let mut both = |distance: i64, weight: f64| {
        weights[(REACH - distance) as usize] = weight;
        if distance < REACH {
            weights[(REACH + distance) as usize] = weight;
        }
    };
    if number < SCALES {
        // Of each step the factor is smaller by that square: r to the distance's square.
        let (mut weight, mut factor) = (1.0, NORMAL[number]);
        let square = factor * factor;
        for distance in 0..=REACH {
            both(distance, weight);
            weight *= factor;
            factor *= square;
        }
    } else if let Some(factor) = GEOMETRIC.get(number - SCALES) {
        let mut weight = 1.0;
        for distance in 0..=REACH {
            both(distance, weight);
            weight *= factor;
        }
        weights[usize::from(ANOTHER)] = 2.0 * weight / (1.0 - factor);
    } else {
        let zero = SPARSE[number - 2 * SCALES];
        both(0, zero);
        let mut weight = (1.0 - zero) * 0.1;
        for distance in 1..=REACH {
            both(distance, weight);
            weight *= 0.75;
        }
        weights[usize::from(ANOTHER)] = (1.0 - zero) * 0.2;
    }
    weights
}

/// Bits that so many numbers take in about any shape, by the sum of their distances from the middle one: what shapes gain
/// has its bound in how far the numbers are spread. Of a block of few points none is tried that cannot pay.
pub(super) fn least_bits(distances: u64, numbers: usize) -> u64 {
    let mean = distances as f32 / numbers as f32;
    // Nearer to the middle shapes differ more. The bits of both kinds of shapes are those of 5.1 times the mean.
    if mean < 1.5 { 0 } else { ((mean * 5.1).log2() * numbers as f32) as u64 }
}

/// The shape in which the symbols that are counted here take the fewest bits, and how many that is, in units of
/// [`BIT`]. Only symbols from the first to the second of `ends` are counted, and [`ANOTHER`].
pub(super) fn choose(counts: &[u32; SYMBOLS], ends: (u8, u8)) -> (u8, u32) {
    let range = usize::from(ends.0)..usize::from(ends.1) + 1;
    let counted = &counts[range.clone()];
    let another = counts[usize::from(ANOTHER)];
    let (mut all, mut distances) = (another, another * REACH as u32);
    for (count, symbol) in counted.iter().zip(i32::from(ends.0)..) {
        all += count;
        distances += count * (symbol - REACH as i32).unsigned_abs();
    }
    let mean = distances as f32 / all.max(1) as f32;
    let near = MEANS.partition_point(|of| *of < mean).min(SCALES - 1);
    let before = near.saturating_sub(1);
    let near = if MEANS[near] - mean > mean - MEANS[before] { before } else { near };
    let mut best = (0, u32::MAX);
    let mut consider = |number: usize| {
        let shape = Shape::of(number);
        let bits = shape.bits[range.clone()].iter().zip(counted).map(|(bits, count)| bits * count);
        let bits = bits.sum::<u32>() + shape.bits[usize::from(ANOTHER)] * another;
        if bits < best.1 {
            best = (number as u8, bits);
        }
    };
    consider(near);
    consider(SCALES + near);
    let zeros = counts[REACH as usize] as f32 / all.max(1) as f32;
    if zeros > 0.3 {
        let sparse = SPARSE.partition_point(|of| (*of as f32) < zeros).min(SPARSE.len() - 1);
        consider(2 * SCALES + sparse.saturating_sub(1));
        consider(2 * SCALES + sparse);
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shapes_are_those_of_the_format() {
        let mut crc = crc32fast::Hasher::new();
        for number in 0..SHAPES {
            let shape = Shape::of(number);
            assert_eq!(shape.slots.len(), SHARES as usize, "{number}");
            for Symbol { share, .. } in shape.symbols {
                crc.update(&share.to_le_bytes());
            }
        }
        assert_eq!(crc.finalize(), 0x6f2f_876c, "blocks that were written before cannot be read any more");
    }

    #[test]
    fn any_state_is_divided_by_any_share() {
        for share in 1..=SHARES as u16 {
            let Symbol { reciprocal, shift, .. } = Symbol::new(share, 0);
            let number = u32::from(share);
            let last = (1 << 31) - 1;
            for state in
                [0, 1, number, number - 1, number * 7777 - 1, number * 7777, last, last - last % number - 1]
            {
                let quotient = ((u64::from(state) * reciprocal) >> 32) as u32 >> shift;
                assert_eq!(quotient, state / number, "{state} / {share}");
            }
        }
    }
}
