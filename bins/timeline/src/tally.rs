//! Count: what was counted in one window, small enough to stand twice in every series.

use common::sketch::Amount;

/// The sum of a window, and its records. 96 bits of billionths reach to 3.9e19.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tally {
    low: u64,
    high: i32,
    /// Records in it; 0 is no window.
    pub(crate) records: u32,
}

impl Tally {
    /// A tally of a saved state; None for a sum that is beyond what it can hold.
    pub(crate) fn of(sum: Amount, records: u32) -> Option<Tally> {
        let billionths = sum.billionths();
        let high = i32::try_from(billionths >> 64).ok()?;
        Some(Tally { low: billionths as u64, high, records })
    }

    pub(crate) fn sum(&self) -> Amount {
        Amount::of_billionths(i128::from(self.high) << 64 | i128::from(self.low))
    }

    /// Adds a record; false, and nothing is changed, where the sum would be beyond what it can hold.
    #[inline]
    pub(crate) fn add(&mut self, amount: Amount) -> bool {
        match Tally::of(self.sum().plus(amount), self.records.saturating_add(1)) {
            Some(sum) => {
                *self = sum;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_sum_that_does_not_fit_is_not_added() {
        let mut tally = Tally::default();
        let most = Amount::of_billionths((1 << 95) - 1);
        assert!(tally.add(most));
        assert!(!tally.add(Amount::of_billionths(1)));
        assert_eq!((tally.sum(), tally.records), (most, 1));
        assert!(tally.add(Amount::of_billionths(-(1 << 95))));
        assert_eq!((tally.sum(), tally.records), (Amount::of_billionths(-1), 2));
        assert!(!tally.add(Amount::of_billionths(i128::MIN)));
    }

    proptest! {
        #[test]
        fn a_tally_is_the_sum_of_what_was_added(amounts in prop::collection::vec(any::<i64>(), 0..40)) {
            let mut tally = Tally::default();
            for &amount in &amounts {
                prop_assert!(tally.add(Amount::of_billionths(i128::from(amount) << 20)));
            }
            let want: i128 = amounts.iter().map(|&amount| i128::from(amount) << 20).sum();
            prop_assert_eq!(tally.sum(), Amount::of_billionths(want));
            prop_assert_eq!(tally.records as usize, amounts.len());
        }
    }
}
