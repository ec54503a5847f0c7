//! The value of a metric: an integer stays exact, all else is a float.

use std::fmt;

/// A metric's value. Integer text in the range of u64 or i64 stays exact; other finite text is f64.
///
/// Non-negative integers are [`Value::U64`], negative ones [`Value::I64`]; collectd's derives may be a
/// non-negative [`Value::I64`].
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Value {
    /// A non-negative integer.
    U64(u64),
    /// A signed integer.
    I64(i64),
    /// Any other number. Inputs and the timeline refuse NaN and infinities.
    F64(f64),
}

impl Value {
    /// The nearest f64; integers beyond 2^53 are rounded.
    pub fn as_f64(self) -> f64 {
        match self {
            Value::U64(value) => value as f64,
            Value::I64(value) => value as f64,
            Value::F64(value) => value,
        }
    }

    /// The exact integer, when it is one by its tag.
    pub fn as_integer(self) -> Option<i128> {
        match self {
            Value::U64(value) => Some(i128::from(value)),
            Value::I64(value) => Some(i128::from(value)),
            Value::F64(_) => None,
        }
    }

    /// False for NaN and infinities.
    pub fn is_finite(self) -> bool {
        match self {
            Value::U64(_) | Value::I64(_) => true,
            Value::F64(value) => value.is_finite(),
        }
    }

    /// `self - earlier`, exact when both are integers (rounded once, at the end).
    pub fn minus(self, earlier: Value) -> f64 {
        match (self.as_integer(), earlier.as_integer()) {
            (Some(a), Some(b)) => (a - b) as f64,
            _ => self.as_f64() - earlier.as_f64(),
        }
    }
}

/// Shortest text that reads back as the same value: `3`, `0.75`, `1e21`, `NaN`, `Infinity`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Value::U64(value) => fmt::Display::fmt(&value, f),
            Value::I64(value) => fmt::Display::fmt(&value, f),
            Value::F64(value) => Shortest(value).fmt(f),
        }
    }
}

/// An f64 in its shortest round-trip text: no fraction for integers below 1e21, an exponent from there on
/// and below 1e-6.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Shortest(pub f64);

impl fmt::Display for Shortest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0;
        let magnitude = value.abs();
        if value.is_nan() {
            f.write_str("NaN")
        } else if value.is_infinite() {
            f.write_str(if value > 0.0 { "Infinity" } else { "-Infinity" })
        } else if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
            write!(f, "{value:e}")
        } else {
            write!(f, "{value}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_float_prints_its_shortest_text() {
        for (value, want) in [
            (3.0, "3"),
            (0.75, "0.75"),
            (-0.5, "-0.5"),
            (1e20, "100000000000000000000"),
            (1e21, "1e21"),
            (1.5e-7, "1.5e-7"),
            (0.0, "0"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(Shortest(value).to_string(), want);
        }
    }

    #[test]
    fn a_difference_of_integers_is_exact_beyond_2_to_the_53() {
        let (a, b) = (Value::U64(u64::MAX), Value::U64(u64::MAX - 7));
        assert_eq!(a.minus(b), 7.0);
        assert_eq!(Value::I64(i64::MIN).minus(Value::U64(u64::MAX)), -27670116110564327423.0);
    }
}
