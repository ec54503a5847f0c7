//! Bins whose width grows with their values: 35 to each doubling, in the same ratio.
//!
//! A bin's number is 35 times the float's exponent (biased, as in its bits) and the place of its fraction among the
//! 36 bounds 2^(n/35). All of it is integer arithmetic over one table, so that every host finds the same bin. Whoever
//! names the middle of a bin, 2ab/(a + b), is at most (2^(1/35) - 1)/(2^(1/35) + 1) = 0.991 % off.

use super::{Fields, StateError, blocks};

/// Bins to a doubling.
const BINS: u32 = 35;

/// Bins that one sign has at most, from the highest one down: 40 doublings, 12 decades. What is lower is counted in the
/// lowest of them.
pub(super) const BINS_MAX: usize = 1400;

/// Numbers are below this.
const END: u32 = 2047 * BINS;

/// The fractions of 2^(n/35), in the 52 bits of a float, each the least one that is not below.
const BOUNDS: [u64; BINS as usize + 1] = [
    0x00000000000000,
    0x0051ed35254d7b,
    0x00a57de9c16bc8,
    0x00faba81d4e5e0,
    0x0151ab8c56eea3,
    0x01aa59c4115e7e,
    0x0204ce10811782,
    0x02611186bae675,
    0x02bf2d6a54f7db,
    0x031f2b2e54f85d,
    0x0381147622f887,
    0x03e4f316812c30,
    0x044ad116889e7c,
    0x04b2b8b0aaf3c8,
    0x051cb453b9536d,
    0x0588cea3f093be,
    0x05f7127c0ac32a,
    0x06678aee5629f8,
    0x06da4345d1e0ae,
    0x074f47075017a0,
    0x07c6a1f29e2ce7,
    0x08406003b2ae5d,
    0x08bc8d73e16610,
    0x093b36bb158fff,
    0x09bc68911258c0,
    0x0a402feeb9c533,
    0x0ac69a0f5a241d,
    0x0b4fb472022b1b,
    0x0bdb8cdadbe121,
    0x0c6a31548e794e,
    0x0cfbb031a741a5,
    0x0d90180e09c9e4,
    0x0e2777d0676771,
    0x0ec1deabbe3c15,
    0x0f5f5c20dfe5f3,
    0x10000000000000,
];

/// The middle of a bin by its lower bound: 2 / (1 + 2^(-1/35)), which is 2ab/(a + b) by a.
const MIDDLE: f64 = 1.0099017789530031;

/// The bin in which each 128th of a doubling begins. There is no more than one bound in any of them.
const STARTS: [u8; 128] = {
    let mut starts = [0; 128];
    let (mut place, mut bin) = (0, 0);
    while place < 128 {
        while BOUNDS[bin + 1] <= (place as u64) << 45 {
            bin += 1;
        }
        starts[place] = bin as u8;
        place += 1;
    }
    starts
};

/// The bin of a positive float that is not subnormal.
#[inline]
pub(super) fn bin_of(value: f64) -> u32 {
    let bits = value.to_bits();
    let (exponent, fraction) = ((bits >> 52) as u32, bits & ((1 << 52) - 1));
    let start = STARTS[(fraction >> 45) as usize];
    let beyond = fraction >= BOUNDS[usize::from(start) + 1];
    exponent * BINS + u32::from(start) + u32::from(beyond)
}

/// The value a bin stands for.
pub(super) fn middle(bin: u32) -> f64 {
    f64::from_bits((u64::from(bin / BINS) << 52) + BOUNDS[(bin % BINS) as usize]) * MIDDLE
}

/// The bins of one sign, each with its weight.
#[derive(Clone, Debug, Default)]
pub(super) struct Side {
    /// The number of the first one.
    first: u32,
    /// The highest number that was ever counted.
    top: u32,
    /// Weights in billionths; some at both ends may be 0, which is room to grow.
    weights: Vec<u64>,
    /// Something was lower than the lowest bin there is.
    collapsed: bool,
}

/// Bins that are made beyond the one that is needed.
const ROOM: u32 = 24;

impl Side {
    /// True when something was counted in a higher bin than its own.
    pub(super) fn is_collapsed(&self) -> bool {
        self.collapsed
    }

    /// The bytes of memory it takes, beside itself.
    pub(super) fn memory(&self) -> usize {
        self.weights.capacity() * size_of::<u64>()
    }

    /// Reads the weight of a bin.
    #[inline]
    pub(super) fn look(&self, bin: u32) -> u64 {
        self.weights.get(bin.wrapping_sub(self.first) as usize).copied().unwrap_or(0)
    }

    #[inline]
    pub(super) fn add(&mut self, bin: u32, weight: u64) {
        let place = bin.wrapping_sub(self.first) as usize;
        // What is above the top may have to push the lowest ones together.
        if bin <= self.top
            && let Some(have) = self.weights.get_mut(place)
        {
            *have = have.saturating_add(weight);
        } else {
            self.add_outside(bin, weight);
        }
    }

    #[inline(never)]
    fn add_outside(&mut self, bin: u32, weight: u64) {
        if self.weights.is_empty() {
            (self.first, self.top) = (bin.saturating_sub(ROOM), bin);
            self.weights.resize((bin + ROOM - self.first) as usize, 0);
        }
        if bin > self.top {
            self.top = bin;
            self.collapse();
        }
        let floor = self.floor();
        self.collapsed |= bin < floor;
        let bin = bin.max(floor);
        if bin < self.first {
            let first = bin.saturating_sub(ROOM).max(floor);
            let more = (self.first - first) as usize;
            self.weights.splice(..0, std::iter::repeat_n(0, more));
            self.first = first;
        }
        let place = (bin - self.first) as usize;
        if place >= self.weights.len() {
            self.weights.resize(place + ROOM as usize, 0);
        }
        self.weights[place] = self.weights[place].saturating_add(weight);
    }

    /// The lowest bin there may be.
    fn floor(&self) -> u32 {
        self.top.saturating_sub(BINS_MAX as u32 - 1)
    }

    /// Moves what is below the floor there.
    fn collapse(&mut self) {
        let floor = self.floor();
        if self.first >= floor {
            return;
        }
        let below = ((floor - self.first) as usize).min(self.weights.len());
        let weight = self.weights.drain(..below).fold(0, u64::saturating_add);
        self.first = floor;
        if self.weights.is_empty() {
            self.weights.resize(1, 0);
        }
        self.weights[0] = self.weights[0].saturating_add(weight);
        self.collapsed |= weight > 0;
    }

    pub(super) fn merge(&mut self, other: &Side) {
        other.each(|bin, weight| self.add(bin, weight));
        self.collapsed |= other.collapsed;
    }

    /// Every bin that is not empty, from the lowest on.
    pub(super) fn each(&self, mut each: impl FnMut(u32, u64)) {
        for (bin, &weight) in (self.first..).zip(&self.weights) {
            if weight > 0 {
                each(bin, weight);
            }
        }
    }

    /// The weights of all bins together.
    pub(super) fn weight(&self) -> u128 {
        self.weights.iter().map(|&weight| u128::from(weight)).sum()
    }

    /// The first bin at which `is` says yes to the weight up to there, `below` included: from the lowest on, or from
    /// the highest one down.
    pub(super) fn find(&self, mut below: u128, down: bool, is: impl Fn(u128) -> bool) -> Result<u32, u128> {
        let count = self.weights.len();
        for place in 0..count {
            let place = if down { count - 1 - place } else { place };
            let weight = self.weights[place];
            below += u128::from(weight);
            if weight > 0 && is(below) {
                return Ok(self.first + place as u32);
            }
        }
        Err(below)
    }

    /// Appends `first` (u32), how many there are (u16), and the bins from the lowest to the highest one that is not
    /// empty, in units.
    pub(super) fn encode(&self, unit: u64, out: &mut Vec<u8>) {
        let is_used = |weight: &u64| *weight > 0;
        let from = self.weights.iter().position(is_used).unwrap_or(0);
        let to = self.weights.iter().rposition(is_used).map_or(from, |last| last + 1);
        let used = &self.weights[from..to];
        let first = if used.is_empty() { 0 } else { self.first + from as u32 };
        out.extend_from_slice(&first.to_le_bytes());
        out.extend_from_slice(&(used.len() as u16).to_le_bytes());
        blocks::write(out, used.iter().map(|weight| weight / unit));
    }

    pub(super) fn decode(fields: &mut Fields<'_>, unit: u64, collapsed: bool) -> Result<Side, StateError> {
        let first = u32::from_le_bytes(fields.array()?);
        let count = usize::from(fields.u16()?);
        if count > BINS_MAX || first.checked_add(count as u32).is_none_or(|end| end > END) {
            return Err(StateError::Content);
        }
        let mut weights = Vec::with_capacity(count);
        blocks::read(fields, count, |units| {
            weights.push(units.checked_mul(unit).ok_or(StateError::Content)?);
            Ok(())
        })?;
        // Written from the first to the last one that is not empty; the lowest float that is counted has exponent 1.
        let whole = [weights.first(), weights.last()].into_iter().flatten().all(|weight| *weight > 0);
        if !whole || (count == 0 && first != 0) || (count > 0 && first < BINS) {
            return Err(StateError::Content);
        }
        Ok(Side { first, top: first + (count as u32).saturating_sub(1), weights, collapsed })
    }
}

/// What is counted is the same, whatever room there is.
impl PartialEq for Side {
    fn eq(&self, other: &Side) -> bool {
        let used = |side: &Side| {
            let mut bins = Vec::new();
            side.each(|bin, weight| bins.push((bin, weight)));
            bins
        };
        used(self) == used(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_bin_begins_at_its_bound() {
        for bin in (BINS..END).step_by(7) {
            let low = f64::from_bits((u64::from(bin / BINS) << 52) + BOUNDS[(bin % BINS) as usize]);
            assert_eq!(bin_of(low), bin, "{low}");
            assert_eq!(bin_of(f64::from_bits(low.to_bits() - 1)), bin - 1, "{low}");
        }
        assert_eq!(bin_of(f64::MAX), END - 1);
        assert!(middle(END - 1) <= f64::MAX);
    }

    proptest! {
        #[test]
        fn the_middle_of_a_bin_is_within_one_percent(bits in f64::MIN_POSITIVE.to_bits()..=f64::MAX.to_bits()) {
            let value = f64::from_bits(bits);
            let error = (middle(bin_of(value)) / value - 1.0).abs();
            prop_assert!(error < 0.00991, "{} {}", value, error);
        }

        #[test]
        fn higher_values_are_in_no_lower_bin(a in f64::MIN_POSITIVE..f64::MAX, b in 1.0..1.1) {
            prop_assert!(bin_of(a * b) >= bin_of(a));
        }
    }
}
