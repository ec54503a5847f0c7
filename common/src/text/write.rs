//! Leela's text, written behind what a buffer holds: no allocation once the buffer has grown.

use std::io::Write as _;

use crate::metric::{Event, Kind, Metric, Note, Weight};
use crate::time::{SECOND_NS, Time};
use crate::value::{Shortest, Value};

/// 2^53: from here on no f64 has a fraction.
const EXACT_INTEGER_MAX: f64 = 9_007_199_254_740_992.0;

/// `gauge 6|foobar 0.75 1350332001.0;`, `sample 3|lat 5 @10 1350332001.0;`, `member 4|user 3|bob 1350332001.0;`
pub fn write_metric(out: &mut Vec<u8>, metric: &Metric<'_>) {
    let Metric { key, time, kind, value, weight, member } = *metric;
    out.extend_from_slice(kind.word().as_bytes());
    write_counted(out, key);
    if kind == Kind::Member {
        write_counted(out, member);
    } else {
        out.push(b' ');
        write_value(out, value);
        if weight != Weight::ONE && kind.is_weighted() {
            out.extend_from_slice(b" @");
            write_weight(out, weight);
        }
    }
    out.push(b' ');
    write_time(out, time);
    out.push(b';');
}

/// `event 6|foobar 0.75 1350332001.0;`
pub fn write_event(out: &mut Vec<u8>, event: &Event<'_>) {
    let Event { key, time, value } = *event;
    out.extend_from_slice(b"event");
    write_counted(out, key);
    out.push(b' ');
    write_f64(out, value);
    out.push(b' ');
    write_time(out, time);
    out.push(b';');
}

/// `data 6|foobar 10|{"one": 1} 1351101449.0;`
pub fn write_note(out: &mut Vec<u8>, note: &Note<'_>) {
    let Note { key, time, json } = *note;
    out.extend_from_slice(b"data");
    write_counted(out, key);
    write_counted(out, json);
    out.push(b' ');
    write_time(out, time);
    out.push(b';');
}

/// A blank, the length, a bar and the text.
fn write_counted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b' ');
    write_u64(out, text.len() as u64);
    out.push(b'|');
    out.extend_from_slice(text);
}

/// As [`Value`]'s Display.
pub fn write_value(out: &mut Vec<u8>, value: Value) {
    match value {
        Value::U64(value) => write_u64(out, value),
        Value::I64(value) => {
            if value < 0 {
                out.push(b'-');
            }
            write_u64(out, value.unsigned_abs());
        }
        Value::F64(value) => write_f64(out, value),
    }
}

/// As [`Shortest`]'s Display.
pub fn write_f64(out: &mut Vec<u8>, value: f64) {
    let magnitude = value.abs();
    if !(1e-4..EXACT_INTEGER_MAX).contains(&magnitude) && magnitude != 0.0 {
        return write_displayed(out, value);
    }
    let thousandths = (magnitude * 1e3).round_ties_even();
    // Of decimals of at most 15 digits only one reads back as a given f64, so one that does is the shortest.
    if thousandths < 1e15 && thousandths / 1e3 == magnitude {
        if value.is_sign_negative() {
            out.push(b'-');
        }
        let thousandths = thousandths as u64;
        write_u64(out, thousandths / 1000);
        if !thousandths.is_multiple_of(1000) {
            write_fraction(out, thousandths % 1000, 3);
        }
        return;
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value).as_bytes();
    let decimals = text.iter().rev().position(|byte| *byte == b'.').unwrap_or(0);
    // All decimals of a float are as many as its binary places. With one more than in its shortest text, two
    // such texts are equally near, and zmij and Display do not choose the same. An integer ends with `.0` here.
    if binary_places(value) == decimals as i32 + 1 || text.ends_with(b".0") {
        return write_displayed(out, value);
    }
    out.extend_from_slice(text);
}

/// The slow path: what is rare, or not finite.
#[cold]
fn write_displayed(out: &mut Vec<u8>, value: f64) {
    write!(out, "{}", Shortest(value)).expect("a Vec takes every write");
}

/// Digits behind the point of a normal f64 in base two; not positive for an integer.
fn binary_places(value: f64) -> i32 {
    let bits = value.to_bits();
    let (exponent, mantissa) = ((bits >> 52) & 0x7ff, bits | 1 << 52);
    1075 - exponent as i32 - mantissa.trailing_zeros() as i32
}

/// As [`Weight`]'s Display.
pub fn write_weight(out: &mut Vec<u8>, weight: Weight) {
    let billionths = weight.billionths();
    write_u64(out, billionths / Weight::UNITS);
    if !billionths.is_multiple_of(Weight::UNITS) {
        write_fraction(out, billionths % Weight::UNITS, 9);
    }
}

/// As [`Time`]'s Display.
pub fn write_time(out: &mut Vec<u8>, time: Time) {
    if time.ns() < 0 {
        out.push(b'-');
    }
    let ns = time.ns().unsigned_abs();
    write_u64(out, ns / SECOND_NS as u64);
    write_fraction(out, ns % SECOND_NS as u64, 9);
}

/// A point and the first `width` decimals (at most 9), trailing zeros cut but for one.
fn write_fraction(out: &mut Vec<u8>, mut fraction: u64, mut width: usize) {
    if fraction == 0 {
        out.extend_from_slice(b".0");
        return;
    }
    while fraction.is_multiple_of(10) {
        fraction /= 10;
        width -= 1;
    }
    let mut digits = *b".000000000";
    for digit in digits[1..=width].iter_mut().rev() {
        *digit = b'0' + (fraction % 10) as u8;
        fraction /= 10;
    }
    out.extend_from_slice(&digits[..=width]);
}

/// An integer in decimal.
pub fn write_u64(out: &mut Vec<u8>, mut value: u64) {
    // u64::MAX has 20 digits.
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("the text is UTF-8")
    }

    #[test]
    fn messages_have_one_form() {
        let (key, time) = (&b"foobar"[..], Time::from_secs(1_350_332_001));
        let metric = Metric::new(key, time, Kind::Adjust, Value::I64(-3));
        assert_eq!(written(|out| write_metric(out, &metric)), "adjust 6|foobar -3 1350332001.0;");
        let sample =
            Metric::new(key, time, Kind::Sample, Value::U64(3)).weighted(Weight::of_rate(0.4).unwrap());
        assert_eq!(written(|out| write_metric(out, &sample)), "sample 6|foobar 3 @2.5 1350332001.0;");
        let member = Metric::of_member(key, time, b"bob");
        assert_eq!(written(|out| write_metric(out, &member)), "member 6|foobar 3|bob 1350332001.0;");
        let event = Event { key, time: time.plus_ns(500_000_000), value: 0.75 };
        assert_eq!(written(|out| write_event(out, &event)), "event 6|foobar 0.75 1350332001.5;");
        let note = Note { key, time, json: br#"{"one": 1}"# };
        assert_eq!(written(|out| write_note(out, &note)), r#"data 6|foobar 10|{"one": 1} 1350332001.0;"#);
    }

    #[test]
    fn a_float_is_written_as_it_is_displayed() {
        for value in [
            0.0,
            -0.0,
            3.0,
            -3.0,
            0.75,
            -0.5,
            0.1,
            0.001,
            0.0001,
            0.000001,
            1e-6,
            9.9e-7,
            0.1 + 0.2,
            1.0 / 3.0,
            123_456.789,
            999_999_999_999.999,
            9_007_199_254_740_991.0,
            // Two shortest texts, equally near.
            2_132_080_566_262_847.3,
            600_000_000_000_000.3,
            0.500_007_629_394_531_3,
            9_007_199_254_740_993.0,
            1e15,
            9e15,
            1e16,
            1e20,
            1e21,
            5e-324,
            f64::MAX,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ] {
            assert_eq!(written(|out| write_f64(out, value)), Shortest(value).to_string());
        }
    }

    proptest! {
        #[test]
        fn any_float_is_written_as_it_is_displayed(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assert_eq!(written(|out| write_f64(out, value)), Shortest(value).to_string());
        }

        #[test]
        fn a_short_decimal_is_written_as_it_is_displayed(units: i64, decimals in 0..12) {
            let value = (units >> (units & 63)) as f64 / 10_f64.powi(decimals);
            prop_assert_eq!(written(|out| write_f64(out, value)), Shortest(value).to_string());
        }

        #[test]
        fn a_float_of_every_size_is_written_as_it_is_displayed(value in -1.0..1.0, power in -8..22) {
            let value = value * 10_f64.powi(power);
            prop_assert_eq!(written(|out| write_f64(out, value)), Shortest(value).to_string());
        }

        #[test]
        fn a_float_of_few_binary_places_is_written_as_it_is_displayed(units: i64, places in 0..64) {
            let value = (units >> (units & 63)) as f64 / 2_f64.powi(places);
            prop_assert_eq!(written(|out| write_f64(out, value)), Shortest(value).to_string());
        }

        #[test]
        fn any_time_is_written_as_it_is_displayed(ns: i64, zeros in 0..12_u32) {
            let time = Time::from_ns(ns / 10_i64.pow(zeros) * 10_i64.pow(zeros));
            prop_assert_eq!(written(|out| write_time(out, time)), time.to_string());
        }

        #[test]
        fn any_weight_is_written_as_it_is_displayed(billionths in 1..i64::MAX as u64, zeros in 0..12_u32) {
            let billionths = (billionths / 10_u64.pow(zeros) * 10_u64.pow(zeros)).max(1);
            let weight = Weight::of_billionths(billionths).unwrap();
            prop_assert_eq!(written(|out| write_weight(out, weight)), weight.to_string());
        }

        #[test]
        fn any_integer_is_written_as_it_is_displayed(unsigned: u64, signed: i64, shift in 0..64) {
            for value in [Value::U64(unsigned >> shift), Value::I64(signed >> shift)] {
                prop_assert_eq!(written(|out| write_value(out, value)), value.to_string());
            }
        }
    }
}
