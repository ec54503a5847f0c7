//! Numbers in text: values that stay exact, and times with a decimal fraction.
//!
//! ```text
//! val    = "nan" / "inf" / "-" val / number
//! number = ["+"/"-"] 1*DIGIT ["." 1*DIGIT] [("e"/"E") ["+"/"-"] 1*DIGIT]
//! time   = ["-"] 1*DIGIT ["." 1*DIGIT]
//! weight = 1*DIGIT ["." 1*DIGIT]                        ; over 0
//! ```
//!
//! `.5` and `5.` are no numbers. The words are taken in any case, and `infinity` beside `inf`.

use crate::metric::Weight;
use crate::time::{SECOND_NS, Time};
use crate::value::Value;

/// Powers of ten that are exact as f64.
const EXACT_TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];
/// Up to here every integer is exact as f64.
const EXACT_INTEGER_MAX: u64 = 1 << 53;
/// Nanoseconds of the last of so many digits of a fraction.
const NS: [u64; 10] = [1_000_000_000, 100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];
/// As many decimal digits always fit a u64.
pub(super) const U64_DIGITS: usize = 19;

/// The value `text` begins with, and how many bytes it takes; `None` when it begins with none.
///
/// Integer text in the range of u64 or i64 stays exact, all else is f64: also `-0`, as no integer has its
/// sign. Text over the range of f64 (`1e999`) is infinite.
#[inline]
pub fn value(text: &[u8]) -> Option<(Value, usize)> {
    match text.first()? {
        b'0'..=b'9' => number(text, 0, false),
        _ => signed(text),
    }
}

/// The time `text` begins with, in decimal seconds since 1970, and how many bytes it takes; `None` when it
/// begins with none or with one outside of what [`Time`] holds. Digits past the ninth of the fraction are cut.
#[inline]
pub fn time(text: &[u8]) -> Option<(Time, usize)> {
    let negative = text.first() == Some(&b'-');
    let start = usize::from(negative);
    // Most times are ten digits, so eight at once are worth the look.
    let (head, skipped) = eight_digits(text, start).map_or((0, start), |sum| (sum, start + 8));
    let (seconds, mut end) = digits(text, skipped, head);
    if end == start || end - start > U64_DIGITS {
        return None;
    }
    let mut fraction_ns = 0;
    if text.get(end) == Some(&b'.') {
        let first = end + 1;
        (fraction_ns, end) = digits(text, first, 0);
        match end - first {
            0 => return None,
            kept @ 1..=9 => fraction_ns *= NS[kept],
            _ => (fraction_ns, _) = digits(&text[first..first + 9], 0, 0),
        }
    }
    let ns = seconds.checked_mul(SECOND_NS as u64)?.checked_add(fraction_ns)?;
    let ns = if negative { 0_i64.checked_sub_unsigned(ns)? } else { i64::try_from(ns).ok()? };
    Some((Time::from_ns(ns), end))
}

/// The weight `text` begins with, and how many bytes it takes; `None` when it begins with none. Digits past the ninth
/// of the fraction are cut.
pub fn weight(text: &[u8]) -> Option<(Weight, usize)> {
    // A billionth of a weight is as a nanosecond of a time.
    let (time, end) = time(text)?;
    let billionths = u64::try_from(time.ns()).ok().filter(|_| text[0] != b'-')?;
    Some((Weight::of_billionths(billionths)?, end))
}

/// The run of digits from `at` on, added to `sum` (which wraps past 19 digits in all), and where it ends.
#[inline]
pub(super) fn digits(text: &[u8], mut at: usize, mut sum: u64) -> (u64, usize) {
    while let Some(byte) = text.get(at) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        sum = sum.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    (sum, at)
}

/// The eight bytes from `at` on as a number, when all are digits: pairs, then fours, then the eight.
#[inline]
fn eight_digits(text: &[u8], at: usize) -> Option<u64> {
    let eight = u64::from_le_bytes(*text.get(at..)?.first_chunk()?);
    // A digit is 0x30 to 0x39: its upper half is 3, and still 3 after 6 is added.
    let upper = 0xf0f0_f0f0_f0f0_f0f0;
    if (eight & upper) | ((eight.wrapping_add(0x0606_0606_0606_0606) & upper) >> 4) != 0x3333_3333_3333_3333 {
        return None;
    }
    let ones = eight & 0x0f0f_0f0f_0f0f_0f0f;
    let pairs = (ones.wrapping_mul((10 << 8) + 1) >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul((100 << 16) + 1) >> 16) & 0x0000_ffff_0000_ffff;
    Some(fours.wrapping_mul((10_000 << 32) + 1) >> 32)
}

/// The unsigned number from `start` on.
#[inline]
fn number(text: &[u8], start: usize, negative: bool) -> Option<(Value, usize)> {
    let (mut mantissa, mut end) = digits(text, start, 0);
    let mut digit_count = end - start;
    if digit_count == 0 {
        return None;
    }
    let mut exponent = 0_i64;
    match text.get(end) {
        Some(b'.') => {
            let first = end + 1;
            (mantissa, end) = digits(text, first, mantissa);
            if end == first {
                return None;
            }
            digit_count += end - first;
            exponent = -((end - first) as i64);
        }
        Some(b'e' | b'E') => {}
        _ => return Some((integer(&text[start..end], mantissa, negative), end)),
    }
    if let Some(b'e' | b'E') = text.get(end) {
        let sign = text.get(end + 1);
        let first = end + 1 + usize::from(matches!(sign, Some(b'+' | b'-')));
        let (power, stop) = digits(text, first, 0);
        if stop == first {
            return None;
        }
        // Past 18 digits the sum could wrap; such a number is left to std, by an exponent that is not exact.
        let power = if stop - first < U64_DIGITS { power as i64 } else { i64::from(i32::MAX) };
        exponent = exponent.saturating_add(if sign == Some(&b'-') { -power } else { power });
        end = stop;
    }
    let tens = EXACT_TENS.get(usize::try_from(exponent.unsigned_abs()).unwrap_or(usize::MAX));
    let magnitude = match tens {
        // Both sides are exact, so the one operation rounds once, as the rule for reading decimals demands.
        Some(tens) if digit_count <= U64_DIGITS && mantissa <= EXACT_INTEGER_MAX => {
            if exponent < 0 {
                mantissa as f64 / tens
            } else {
                mantissa as f64 * tens
            }
        }
        _ => float(&text[start..end]),
    };
    Some((Value::F64(if negative { -magnitude } else { magnitude }), end))
}

/// The value of a run of digits, whose number is `sum` when it has 19 or fewer.
#[inline]
fn integer(digits: &[u8], sum: u64, negative: bool) -> Value {
    let exact = if digits.len() <= U64_DIGITS { Some(sum) } else { u64_of(digits) };
    let value = match (exact, negative) {
        (Some(sum), false) => Some(Value::U64(sum)),
        (Some(sum), true) if sum > 0 => 0_i64.checked_sub_unsigned(sum).map(Value::I64),
        _ => None,
    };
    value.unwrap_or_else(|| Value::F64(if negative { -float(digits) } else { float(digits) }))
}

#[cold]
fn u64_of(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// What std makes of a text that the grammar has passed.
#[cold]
fn float(text: &[u8]) -> f64 {
    let text = std::str::from_utf8(text).expect("digits, a point and an exponent are ASCII");
    text.parse().expect("our grammar of numbers is a part of std's")
}

/// A value that does not begin with a digit: each `-` turns the sign, a `+` may follow.
fn signed(text: &[u8]) -> Option<(Value, usize)> {
    let minuses = text.iter().take_while(|byte| **byte == b'-').count();
    let negative = !minuses.is_multiple_of(2);
    let start = minuses + usize::from(text.get(minuses) == Some(&b'+'));
    if let Some(found) = number(text, start, negative) {
        return Some(found);
    }
    for (word, magnitude) in [("nan", f64::NAN), ("infinity", f64::INFINITY), ("inf", f64::INFINITY)] {
        let end = start + word.len();
        if text.get(start..end).is_some_and(|found| found.eq_ignore_ascii_case(word.as_bytes())) {
            return Some((Value::F64(if negative { -magnitude } else { magnitude }), end));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Equal, NaN to NaN and zeros by their sign.
    fn same(a: Value, b: Value) -> bool {
        match (a, b) {
            (Value::F64(a), Value::F64(b)) => a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()),
            _ => a == b,
        }
    }

    #[test]
    fn a_value_stays_exact_or_is_the_nearest_float() {
        use Value::{F64, I64, U64};
        for (text, want, rest) in [
            ("0", U64(0), ""),
            ("3", U64(3), ""),
            ("+3", U64(3), ""),
            ("007", U64(7), ""),
            ("-3", I64(-3), ""),
            ("--5", U64(5), ""),
            ("---5", I64(-5), ""),
            ("-+5", I64(-5), ""),
            ("-0", F64(-0.0), ""),
            ("9007199254740993", U64(9_007_199_254_740_993), ""),
            ("9999999999999999999", U64(9_999_999_999_999_999_999), ""),
            ("18446744073709551615", U64(u64::MAX), ""),
            ("000000018446744073709551615", U64(u64::MAX), ""),
            ("18446744073709551616", F64(18_446_744_073_709_551_616.0), ""),
            ("-9223372036854775808", I64(i64::MIN), ""),
            ("-9223372036854775809", F64(-9_223_372_036_854_775_808.0), ""),
            ("100000000000000000000", F64(1e20), ""),
            ("0.75", F64(0.75), ""),
            ("-0.5", F64(-0.5), ""),
            ("+0.5", F64(0.5), ""),
            ("5.0", F64(5.0), ""),
            ("0.1", F64(0.1), ""),
            ("0.30000000000000004", F64(0.300_000_000_000_000_04), ""),
            ("1e3", F64(1000.0), ""),
            ("1E+3", F64(1000.0), ""),
            ("1.5e-7", F64(1.5e-7), ""),
            ("1e22", F64(1e22), ""),
            ("1e23", F64(1e23), ""),
            ("5e-324", F64(5e-324), ""),
            ("2.2250738585072011e-308", F64(2.225_073_858_507_201e-308), ""),
            ("1.7976931348623157e308", F64(f64::MAX), ""),
            ("1e999", F64(f64::INFINITY), ""),
            ("1e-99999999999999999999999", F64(0.0), ""),
            ("0e99999999999999999999999", F64(0.0), ""),
            ("123456789012345678901234567890.5", F64(1.234_567_890_123_456_8e29), ""),
            ("nan", F64(f64::NAN), ""),
            ("NaN", F64(f64::NAN), ""),
            ("-nan", F64(f64::NAN), ""),
            ("inf", F64(f64::INFINITY), ""),
            ("-inf", F64(f64::NEG_INFINITY), ""),
            ("+Inf", F64(f64::INFINITY), ""),
            ("Infinity", F64(f64::INFINITY), ""),
            ("-Infinity", F64(f64::NEG_INFINITY), ""),
            ("3 4", U64(3), " 4"),
            ("3;", U64(3), ";"),
            ("0.5x", F64(0.5), "x"),
            ("infinite", F64(f64::INFINITY), "inite"),
        ] {
            let (value, end) = value(text.as_bytes()).expect(text);
            assert!(same(value, want), "{text:?} is {value:?}");
            assert_eq!(&text[end..], rest, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in [
            "", "-", "+", "--", "+-5", "++5", ".5", "5.", "-.5", "5.e3", "5e", "5e+", "5.5e-", "x", "e5",
            " 5", "na", "in", "-i", "_1", "\u{661}",
        ] {
            assert_eq!(value(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn a_time_has_a_decimal_fraction() {
        for (text, want_ns, rest) in [
            ("0", 0, ""),
            ("0.0", 0, ""),
            ("1", 1_000_000_000, ""),
            ("1.5", 1_500_000_000, ""),
            ("1.05", 1_050_000_000, ""),
            ("1.000000005", 1_000_000_005, ""),
            ("1.0000000059", 1_000_000_005, ""),
            ("1350332001;", 1_350_332_001_000_000_000, ";"),
            ("1350332001.0", 1_350_332_001_000_000_000, ""),
            ("1366549812.123456", 1_366_549_812_123_456_000, ""),
            ("01350332001.25", 1_350_332_001_250_000_000, ""),
            ("12345678", 12_345_678_000_000_000, ""),
            ("9223372036.854775807", i64::MAX, ""),
            ("-9223372036.854775808", i64::MIN, ""),
            ("-1.5", -1_500_000_000, ""),
            ("7e3", 7_000_000_000, "e3"),
        ] {
            let (time, end) = time(text.as_bytes()).expect(text);
            assert_eq!(time.ns(), want_ns, "{text:?}");
            assert_eq!(&text[end..], rest, "{text:?}");
        }
        for text in [
            "",
            "-",
            "+1",
            ".5",
            "5.",
            "x",
            "9223372036.854775808",
            "1350332001000",
            "18446744074",
            "18446744073709551617",
            "100000000000000000000000000000001",
        ] {
            assert_eq!(time(text.as_bytes()), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_value_is_what_std_reads(text in "[+-]?[0-9]{1,24}([.][0-9]{1,24})?([eE][+-]?[0-9]{1,3})?") {
            let (value, end) = value(text.as_bytes()).expect("it is a number");
            prop_assert_eq!(end, text.len());
            let want = text.parse::<f64>().expect("it is a number");
            match value {
                Value::F64(value) => prop_assert_eq!(value.to_bits(), want.to_bits()),
                integer => prop_assert_eq!(integer.as_integer(), text.parse().ok()),
            }
        }

        #[test]
        fn eight_digits_are_what_std_reads(text in "[0-9]{8}|[0-9/:]{8}|[0-9]{0,7}") {
            let want = if text.len() < 8 { None } else { text.parse().ok() };
            prop_assert_eq!(eight_digits(text.as_bytes(), 0), want);
        }

        #[test]
        fn any_bytes_are_taken(text: Vec<u8>) {
            for end in [value(&text).map(|found| found.1), time(&text).map(|found| found.1)] {
                prop_assert!(end.unwrap_or(0) <= text.len());
            }
        }
    }
}
