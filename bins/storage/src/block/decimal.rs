//! Values as integers: hundredths of what a person wrote, or the bits of any other number.

/// The most digits behind the point.
pub(super) const SCALE_MAX: usize = 15;

/// 10 to the scale; all exact.
pub(super) const POWERS: [f64; SCALE_MAX + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// Integers are below this, so that a sum with it below is exact.
const INTEGER_MAX: f64 = (1_u64 << 51) as f64;

/// Added to a number of less than 2^51, it leaves the nearest integer in the low bits.
const ROUND: f64 = 1.5 * (1_u64 << 52) as f64;

/// `value` as an integer over 10^scale, whether or not it is that.
#[inline]
fn rounded(value: f64, power: f64) -> i64 {
    ((value * power + ROUND).to_bits() as i64).wrapping_sub(ROUND.to_bits() as i64)
}

/// The value of an integer; the nearest there is to that decimal, as when it is read from text.
#[inline]
pub(super) fn value(integer: i64, power: f64) -> f64 {
    integer as f64 / power
}

/// The integer over 10^scale that is this value to the last bit.
#[inline]
fn exact(value: f64, power: f64) -> Option<i64> {
    let integer = rounded(value, power);
    let is_exact =
        (value * power).abs() < INTEGER_MAX && self::value(integer, power).to_bits() == value.to_bits();
    is_exact.then_some(integer)
}

/// The scale in which a value is an integer.
fn scale_of(value: f64, from: usize) -> Option<usize> {
    (from..=SCALE_MAX).find(|scale| exact(value, POWERS[*scale]).is_some())
}

/// A scale in which most values are integers, if there is one, as small as a few of them let it be; and whether all
/// values are.
pub(super) fn scale(values: &[f64]) -> Option<(usize, bool)> {
    // Mostly the scale of a few is that of all.
    let mut scale = 0;
    for &value in values.iter().step_by(values.len().div_ceil(4)) {
        if exact(value, POWERS[scale]).is_none() {
            scale = scale_of(value, scale + 1).unwrap_or(scale);
        }
    }
    if all_exact(values, POWERS[scale]) {
        return Some((scale, true));
    }
    let (exceptions_max, mut exceptions) = (values.len() / 8, 0);
    for &value in values {
        if exact(value, POWERS[scale]).is_some() {
            continue;
        }
        match scale_of(value, scale + 1) {
            Some(found) => scale = found,
            None => {
                exceptions += 1;
                if exceptions > exceptions_max {
                    return None;
                }
            }
        }
    }
    // One that was an integer in a smaller scale may be too large in this one.
    Some((scale, all_exact(values, POWERS[scale])))
}

/// Whether all values are integers over 10^scale. Without a branch, so that several are looked at at once.
fn all_exact(values: &[f64], power: f64) -> bool {
    values.iter().fold(true, |all, value| {
        let product = value * power;
        let back = ((product + ROUND) - ROUND) / power;
        // Minus zero is equal to zero, and is not it.
        all & (product.abs() < INTEGER_MAX) & (back.to_bits() == value.to_bits())
    })
}

/// The values' integers; for one that has none that of the value before it, and its place goes to `exceptions`.
pub(super) fn integers(
    values: &[f64],
    (scale, all_exact): (usize, bool),
    integers: &mut Vec<i64>,
    exceptions: &mut Vec<u16>,
) {
    let power = POWERS[scale];
    integers.clear();
    exceptions.clear();
    integers.extend(values.iter().map(|value| rounded(*value, power)));
    if all_exact {
        return;
    }
    let mut before = 0;
    for (place, (value, integer)) in (0..).zip(values.iter().zip(integers)) {
        match exact(*value, power) {
            Some(exact) => *integer = exact,
            None => {
                *integer = before;
                exceptions.push(place);
            }
        }
        before = *integer;
    }
}

/// The bits of a value as an integer that is in the order of the values.
#[inline]
pub(super) fn from_bits(value: f64) -> i64 {
    let bits = value.to_bits() as i64;
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}

/// Undoes [`from_bits`].
#[inline]
pub(super) fn to_bits(integer: i64) -> f64 {
    f64::from_bits((integer ^ ((integer >> 63) as u64 >> 1) as i64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_the_smallest_that_gives_every_value_back() {
        for (values, want) in [
            (&[1.0, 2.0, -3.0][..], Some(0)),
            (&[40.25, 60.0, 0.1], Some(2)),
            (&[0.1, 1e-15], Some(15)),
            (&[1e-16], None),
            (&[0.1 + 0.2], None),
            (&[1.0 / 3.0, 1.0], None),
            (&[f64::NAN, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.5], Some(1)),
            (&[f64::NAN, 1.0], None),
            (&[2_251_799_813_685_247.0], Some(0)),
            (&[9_007_199_254_740_993.0], None),
        ] {
            assert_eq!(scale(values).map(|(scale, _)| scale), want, "{values:?}");
        }
    }

    #[test]
    fn a_value_that_is_no_integer_is_an_exception() {
        let values = [1.5, -0.0, f64::NAN, 0.25, f64::INFINITY, 1e300, 5e-324, -7.5];
        let (mut got, mut exceptions) = (Vec::new(), Vec::new());
        integers(&values, (1, false), &mut got, &mut exceptions);
        assert_eq!(got, [15, 15, 15, 15, 15, 15, 15, -75]);
        assert_eq!(exceptions, [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn bits_are_in_the_order_of_values_and_come_back() {
        let values = [f64::NEG_INFINITY, -1.0, -5e-324, -0.0, 0.0, 5e-324, 1.0, f64::INFINITY];
        assert!(values.map(from_bits).is_sorted());
        for value in values.into_iter().chain([f64::NAN, -f64::NAN, f64::from_bits(0x7ff0_0000_0000_0001)]) {
            assert_eq!(to_bits(from_bits(value)).to_bits(), value.to_bits());
        }
    }
}
