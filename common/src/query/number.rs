//! Numbers of the language. Their grammar is that of Leela's text ([`crate::text::number`]).

use std::fmt;

use crate::text;
use crate::value::Shortest;

/// A number in a pipeline. Two are equal when they are the same f64, a NaN equals itself.
#[derive(Clone, Copy, Debug)]
pub struct Number(f64);

impl Number {
    /// A number of the language; the payload and sign of a NaN are not kept.
    pub const fn new(value: f64) -> Number {
        Number(if value.is_nan() { f64::NAN } else { value })
    }

    /// Its value.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Number) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Number {}

/// Like [`Shortest`], but NaN and infinities in lower case, as pipelines are: `nan`, `inf`, `-inf`.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            value if value.is_nan() => f.write_str("nan"),
            f64::INFINITY => f.write_str("inf"),
            f64::NEG_INFINITY => f.write_str("-inf"),
            value => Shortest(value).fmt(f),
        }
    }
}

/// Reads `val` of the original's grammar, both spellings of `nan` and `inf` too. The whole of `text` is the number.
pub fn parse(text: &[u8]) -> Option<f64> {
    text::number::value(text).filter(|&(_, end)| end == text.len()).map(|(value, _)| value.as_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_as_the_original_did() {
        for (text, want) in [
            ("5", Some(5.0)),
            ("005", Some(5.0)),
            ("+5", Some(5.0)),
            ("-5", Some(-5.0)),
            ("--5", Some(5.0)),
            ("-+5", Some(-5.0)),
            ("0.75", Some(0.75)),
            ("1e3", Some(1000.0)),
            ("1E+3", Some(1000.0)),
            ("1.5e-7", Some(1.5e-7)),
            ("1e999", Some(f64::INFINITY)),
            ("inf", Some(f64::INFINITY)),
            ("Infinity", Some(f64::INFINITY)),
            ("-inf", Some(f64::NEG_INFINITY)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("--inf", Some(f64::INFINITY)),
            ("", None),
            ("-", None),
            (".5", None),
            ("5.", None),
            ("5.e1", None),
            ("1e", None),
            ("1e+", None),
            ("+-5", None),
            ("++5", None),
            ("+inf", Some(f64::INFINITY)),
            ("infinity", Some(f64::INFINITY)),
            ("INF", Some(f64::INFINITY)),
            ("0x10", None),
            ("1_000", None),
            ("5 ", None),
        ] {
            assert_eq!(parse(text.as_bytes()), want, "{text:?}");
        }
        for text in ["nan", "NaN", "-nan", "--NaN"] {
            assert!(parse(text.as_bytes()).unwrap().is_nan(), "{text}");
        }
        assert_eq!(parse(b"-0").unwrap().to_bits(), (-0.0_f64).to_bits());
    }

    proptest::proptest! {
        #[test]
        fn a_number_reads_back(value in proptest::num::f64::ANY) {
            let number = Number::new(value);
            let again = parse(number.to_string().as_bytes()).map(Number::new);
            proptest::prop_assert_eq!(again, Some(number));
        }
    }
}
