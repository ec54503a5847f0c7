//! JSON, written behind what a buffer holds.

use common::text::{write_time, write_u64};
use common::time::{SECOND_NS, Time};

/// A text in quotes. What is not UTF-8 is replaced.
pub(crate) fn text(out: &mut Vec<u8>, text: &[u8]) {
    let replaced = String::from_utf8_lossy(text);
    let text = replaced.as_bytes();
    out.push(b'"');
    let mut from = 0;
    for (at, byte) in text.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            // `<` and the two line ends that JavaScript has besides: where JSON is read as a script.
            0..0x20 | b'<' | 0x7f => &[],
            0xe2 if matches!(text.get(at + 1..at + 3), Some([0x80, 0xa8 | 0xa9])) => {
                out.extend_from_slice(&text[from..at]);
                out.extend_from_slice(if text[at + 2] == 0xa8 { b"\\u2028" } else { b"\\u2029" });
                from = at + 3;
                continue;
            }
            _ => continue,
        };
        out.extend_from_slice(&text[from..at]);
        from = at + 1;
        if escape.is_empty() {
            out.extend_from_slice(b"\\u00");
            out.extend([byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
        } else {
            out.extend_from_slice(escape);
        }
    }
    out.extend_from_slice(&text[from..]);
    out.push(b'"');
}

/// A number with a point or an exponent, in its shortest form: `3.0`, `0.75`; null where JSON has none.
#[inline]
pub(crate) fn float(out: &mut Vec<u8>, value: f64) {
    if !value.is_finite() {
        out.extend_from_slice(b"null");
        return;
    }
    // Most values are whole, or have few decimals.
    let magnitude = value.abs();
    if magnitude < 1e15 {
        let hundredths = (magnitude * 100.0).round_ties_even();
        // Of decimals of at most 15 digits only one reads back as a given f64, so one that does is the shortest.
        if hundredths < 1e15 && hundredths / 100.0 == magnitude {
            if value.is_sign_negative() {
                out.push(b'-');
            }
            let hundredths = hundredths as u64;
            write_u64(out, hundredths / 100);
            let (tens, ones) = ((hundredths / 10 % 10) as u8, (hundredths % 10) as u8);
            out.extend_from_slice(&[b'.', b'0' + tens]);
            if ones != 0 {
                out.push(b'0' + ones);
            }
            return;
        }
    }
    let mut buffer = zmij::Buffer::new();
    out.extend_from_slice(buffer.format_finite(value).as_bytes());
}

/// A time as a number of seconds: `1350332001.5`, `1350332001.0`.
pub(crate) fn time(out: &mut Vec<u8>, time: Time) {
    write_time(out, time);
}

/// A time as whole seconds, those before it.
#[inline]
pub(crate) fn seconds(out: &mut Vec<u8>, seconds: i64) {
    if seconds < 0 {
        out.push(b'-');
    }
    write_u64(out, seconds.unsigned_abs());
}

/// The whole second a time lies in.
#[inline]
pub(crate) fn second_of(time: Time) -> i64 {
    time.ns().div_euclid(SECOND_NS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_json() {
        for (value, want) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (3.0, "3.0"),
            (0.75, "0.75"),
            (-0.5, "-0.5"),
            (0.01, "0.01"),
            (1.0 / 3.0, "0.3333333333333333"),
            (f64::NAN, "null"),
            (f64::NEG_INFINITY, "null"),
        ] {
            assert_eq!(written(|out| float(out, value)), want);
        }
        assert_eq!(written(|out| seconds(out, -3)), "-3");
        assert_eq!(second_of(Time::from_ns(-1)), -1);
    }

    proptest! {
        #[test]
        fn any_number_reads_back(bits: u64, units: i64, places in 0..6) {
            for value in [f64::from_bits(bits), (units >> (units & 63)) as f64 / 10_f64.powi(places)] {
                let text = written(|out| float(out, value));
                let read: Option<f64> = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(read.map(f64::to_bits), Some(value.to_bits()).filter(|_| value.is_finite()), "{}", text);
            }
        }

        #[test]
        fn any_text_reads_back(text in "[ -~\u{0}-\u{1f}é\u{2028}\u{2029}\u{2027}\u{10ffff}<>&]{0,40}") {
            let json = written(|out| super::text(out, text.as_bytes()));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
            let odd = ['<', '\u{2028}', '\u{2029}'];
            prop_assert!(!json.contains(odd));
        }
    }
}
