//! Sums of counts: fixed point, so that they are exact in whatever order they are made.
//!
//! ```text
//! a state of kind 1
//! ┌─────────┬─────────────────────┐
//! │ version │ billionths          │
//! │ u8      │ i128, little-endian │
//! └─────────┴─────────────────────┘
//! ```

use super::{Fields, StateError, VERSION};
use crate::metric::Weight;
use crate::value::Value;

/// Billionths of a count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Amount(i128);

const UNITS: i128 = Weight::UNITS as i128;

impl Amount {
    /// So many billionths.
    pub const fn of_billionths(billionths: i128) -> Amount {
        Amount(billionths)
    }

    /// A value as often as its weight says: exact for integers, else to the nearest billionth. None for a float that
    /// is not finite, or beyond what an amount can be.
    #[inline]
    pub fn of(value: Value, weight: Weight) -> Option<Amount> {
        match value {
            // At most (2^64 - 1)(2^63 - 1), which is within.
            Value::U64(value) => Some(Amount(i128::from(value) * i128::from(weight.billionths()))),
            Value::I64(value) => Some(Amount(i128::from(value) * i128::from(weight.billionths()))),
            Value::F64(value) => of_float(value, weight),
        }
    }

    /// Billionths.
    pub const fn billionths(self) -> i128 {
        self.0
    }

    /// The sum; at the end of the range it stays there.
    pub const fn plus(self, other: Amount) -> Amount {
        Amount(self.0.saturating_add(other.0))
    }

    /// The nearest float, or one next to it; integers are exact to 2^53.
    pub fn as_f64(self) -> f64 {
        match i64::try_from(self.0) {
            Ok(small) => (small / UNITS as i64) as f64 + (small % UNITS as i64) as f64 / UNITS as f64,
            Err(_) => (self.0 / UNITS) as f64 + (self.0 % UNITS) as f64 / UNITS as f64,
        }
    }

    /// Appends its state.
    pub fn encode(self, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.extend_from_slice(&self.0.to_le_bytes());
    }

    /// Reads a state.
    pub fn decode(bytes: &[u8]) -> Result<Amount, StateError> {
        let mut fields = Fields::of(bytes)?;
        let billionths = i128::from_le_bytes(fields.array()?);
        fields.end()?;
        Ok(Amount(billionths))
    }
}

/// The float as it is, times the weight, rounded once.
fn of_float(value: f64, weight: Weight) -> Option<Amount> {
    if !value.is_finite() {
        return None;
    }
    let bits = value.to_bits();
    let (exponent, fraction) = ((bits >> 52 & 0x7ff) as i32, bits & ((1 << 52) - 1));
    let mantissa = if exponent == 0 { fraction } else { fraction | 1 << 52 };
    // 53 bits and 63 bits: it fits.
    let product = i128::from(mantissa) * i128::from(weight.billionths());
    let places = exponent.max(1) - 1075;
    let magnitude = if places >= 0 {
        product.checked_mul(1_i128.checked_shl(places as u32).filter(|power| *power > 0)?)?
    } else {
        match places.unsigned_abs() {
            // Half, away from 0.
            places @ ..=126 => (product + (1 << (places - 1))) >> places,
            _ => 0,
        }
    };
    Some(Amount(if value < 0.0 { -magnitude } else { magnitude }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_value_is_counted_as_often_as_its_weight_says() {
        let third = Weight::of_rate(0.3).unwrap();
        for (value, weight, want) in [
            (Value::U64(1), Weight::ONE, Some(1_000_000_000)),
            (Value::I64(-3), Weight::ONE, Some(-3_000_000_000)),
            (Value::F64(0.4), Weight::ONE, Some(400_000_000)),
            (Value::F64(-0.1), Weight::of_rate(0.1).unwrap(), Some(-1_000_000_000)),
            (Value::U64(1), third, Some(3_333_333_333)),
            (Value::U64(3), third, Some(9_999_999_999)),
            (Value::F64(1e-10), Weight::ONE, Some(0)),
            (Value::F64(6e-10), Weight::ONE, Some(1)),
            (Value::F64(5e-324), Weight::ONE, Some(0)),
            (Value::F64(1e20), Weight::ONE, Some(100_000_000_000_000_000_000_000_000_000)),
            (Value::F64(1e300), Weight::ONE, None),
            (Value::F64(f64::NAN), Weight::ONE, None),
            (Value::U64(u64::MAX), Weight::ONE, Some(18_446_744_073_709_551_615_000_000_000)),
        ] {
            assert_eq!(Amount::of(value, weight).map(Amount::billionths), want, "{value} x {weight}");
        }
        let most = Weight::of_billionths(i64::MAX as u64).unwrap();
        assert!(Amount::of(Value::U64(u64::MAX), most).is_some());
    }

    #[test]
    fn ten_tenths_are_one() {
        let tenth = Amount::of(Value::F64(0.1), Weight::ONE).unwrap();
        let sum = (0..10).fold(Amount::default(), |sum, _| sum.plus(tenth));
        assert_eq!(sum.as_f64(), 1.0);
    }

    proptest! {
        #[test]
        fn an_integer_comes_out_as_it_went_in(value in -(1_i64 << 53)..(1 << 53)) {
            prop_assert_eq!(Amount::of(Value::I64(value), Weight::ONE).unwrap().as_f64(), value as f64);
        }

        #[test]
        fn a_float_is_rounded_once(value in -1e9..1e9_f64) {
            let amount = Amount::of(Value::F64(value), Weight::ONE).unwrap();
            prop_assert!((amount.as_f64() - value).abs() <= 5e-10 + value.abs() * f64::EPSILON);
        }

        #[test]
        fn decode_undoes_encode(billionths: i128) {
            let mut bytes = Vec::new();
            Amount(billionths).encode(&mut bytes);
            prop_assert_eq!(Amount::decode(&bytes), Ok(Amount(billionths)));
        }
    }
}
