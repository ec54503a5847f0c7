//! Spans of time as people write them: `250us`, `10s`, `1h30m`, `400d`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A span of time in whole nanoseconds, up to 584 years. The same text in files, on the command line and in
/// queries.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Span(u64);

/// Units from the longest; a week is read and printed as days.
const UNITS: [(&str, u64); 8] = [
    ("w", 604_800_000_000_000),
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Why a text is no span.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SpanError {
    /// Nothing there.
    #[error("an empty span, write it like 10s")]
    Empty,
    /// A number alone.
    #[error("{0} has no unit, write {0}s, {0}ms or {0}m")]
    NoUnit(String),
    /// A unit without number, a sign, a blank.
    #[error("{0:?} is not a span, write it like 10s or 1h30m")]
    Malformed(String),
    /// A decimal fraction.
    #[error("{0:?} has a fraction, use a smaller unit: 1500ms for 1.5s")]
    Fraction(String),
    /// A unit that does not exist.
    #[error("unknown unit {unit:?} in {text:?}, the units are ns us ms s m h d w")]
    Unit {
        /// The unknown unit.
        unit: String,
        /// The whole text.
        text: String,
    },
    /// Units twice or in rising order.
    #[error("the units of {0:?} do not go from longer to shorter, write it like 1h30m")]
    Order(String),
    /// More than 584 years.
    #[error("{0:?} is longer than 584 years")]
    TooLong(String),
}

impl Span {
    /// No time at all: `0s`.
    pub const ZERO: Span = Span(0);

    /// A span of nanoseconds.
    pub const fn from_ns(ns: u64) -> Span {
        Span(ns)
    }

    /// A span of microseconds; saturates.
    pub const fn from_micros(us: u64) -> Span {
        Span(us.saturating_mul(1_000))
    }

    /// A span of milliseconds; saturates.
    pub const fn from_millis(ms: u64) -> Span {
        Span(ms.saturating_mul(1_000_000))
    }

    /// A span of seconds; saturates.
    pub const fn from_secs(secs: u64) -> Span {
        Span(secs.saturating_mul(1_000_000_000))
    }

    /// A span of minutes; saturates.
    pub const fn from_mins(mins: u64) -> Span {
        Span::from_secs(mins.saturating_mul(60))
    }

    /// A span of hours; saturates.
    pub const fn from_hours(hours: u64) -> Span {
        Span::from_secs(hours.saturating_mul(3_600))
    }

    /// A span of days of 24 hours; saturates.
    pub const fn from_days(days: u64) -> Span {
        Span::from_secs(days.saturating_mul(86_400))
    }

    /// Nanoseconds.
    pub const fn ns(self) -> u64 {
        self.0
    }

    /// Nanoseconds as a difference of [`Time`](crate::time::Time)s; saturates at 292 years.
    pub const fn signed_ns(self) -> i64 {
        if self.0 > i64::MAX as u64 { i64::MAX } else { self.0 as i64 }
    }

    /// The same for the standard library.
    pub const fn duration(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// Whether it is no time at all.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

/// Saturates at 584 years.
impl From<Duration> for Span {
    fn from(duration: Duration) -> Span {
        Span(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Duration {
        span.duration()
    }
}

/// One number with the longest unit (day, at most) that is exact: `90s`, `2h`, `400d`, `0s`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.pad("0s");
        }
        let (unit, ns) = UNITS[1..]
            .iter()
            .find(|(_, ns)| self.0.is_multiple_of(*ns))
            .expect("every number is a multiple of one nanosecond");
        f.pad(&format!("{}{unit}", self.0 / ns))
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Span, SpanError> {
        if text.is_empty() {
            return Err(SpanError::Empty);
        }
        let mut rest = text;
        let mut total: u64 = 0;
        let mut shortest = u64::MAX;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (number, tail) = rest.split_at(digits);
            let letters = tail.find(|c: char| !c.is_alphabetic()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(letters);
            if unit.is_empty() && tail.starts_with(['.', ',']) {
                return Err(SpanError::Fraction(text.into()));
            }
            if number.is_empty() || (unit.is_empty() && !tail.is_empty()) {
                return Err(SpanError::Malformed(text.into()));
            }
            if unit.is_empty() {
                return Err(SpanError::NoUnit(number.into()));
            }
            let Some(&(_, ns)) = UNITS.iter().find(|(name, _)| *name == unit) else {
                return Err(SpanError::Unit { unit: unit.into(), text: text.into() });
            };
            if ns >= shortest {
                return Err(SpanError::Order(text.into()));
            }
            total = number
                .parse::<u64>()
                .ok()
                .and_then(|number| number.checked_mul(ns)?.checked_add(total))
                .ok_or_else(|| SpanError::TooLong(text.into()))?;
            shortest = ns;
            rest = tail;
        }
        Ok(Span(total))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a span in quotes, like \"10s\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Span, E> {
                Err(E::custom(format_args!("{number} has no unit, write it like \"{number}s\", in quotes")))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_span_reads_as_people_write_it() {
        for (text, want) in [
            ("250us", Ok(Span::from_micros(250))),
            ("10s", Ok(Span::from_secs(10))),
            ("5m", Ok(Span::from_mins(5))),
            ("1h", Ok(Span::from_hours(1))),
            ("400d", Ok(Span::from_days(400))),
            ("1w", Ok(Span::from_days(7))),
            ("1h30m", Ok(Span::from_mins(90))),
            ("1s1ns", Ok(Span::from_ns(1_000_000_001))),
            ("0s", Ok(Span::ZERO)),
            ("18446744073709551615ns", Ok(Span::from_ns(u64::MAX))),
            ("", Err("an empty span, write it like 10s")),
            ("10", Err("10 has no unit, write 10s, 10ms or 10m")),
            ("1h30", Err("30 has no unit, write 30s, 30ms or 30m")),
            ("s", Err("\"s\" is not a span, write it like 10s or 1h30m")),
            ("-1s", Err("\"-1s\" is not a span, write it like 10s or 1h30m")),
            ("10 s", Err("\"10 s\" is not a span, write it like 10s or 1h30m")),
            ("1.5s", Err("\"1.5s\" has a fraction, use a smaller unit: 1500ms for 1.5s")),
            ("10sec", Err("unknown unit \"sec\" in \"10sec\", the units are ns us ms s m h d w")),
            ("10µs", Err("unknown unit \"µs\" in \"10µs\", the units are ns us ms s m h d w")),
            ("30m1h", Err("the units of \"30m1h\" do not go from longer to shorter, write it like 1h30m")),
            ("1s1s", Err("the units of \"1s1s\" do not go from longer to shorter, write it like 1h30m")),
            ("18446744073709551616ns", Err("\"18446744073709551616ns\" is longer than 584 years")),
            ("300000d", Err("\"300000d\" is longer than 584 years")),
        ] {
            assert_eq!(text.parse::<Span>().map_err(|error| error.to_string()), want.map_err(str::to_owned));
        }
    }

    #[test]
    fn a_span_prints_its_longest_exact_unit() {
        for (span, want) in [
            (Span::ZERO, "0s"),
            (Span::from_ns(1), "1ns"),
            (Span::from_millis(1500), "1500ms"),
            (Span::from_secs(90), "90s"),
            (Span::from_secs(60), "1m"),
            (Span::from_hours(24), "1d"),
            (Span::from_days(400), "400d"),
        ] {
            assert_eq!(span.to_string(), want);
        }
    }

    proptest! {
        #[test]
        fn reading_undoes_printing(number in 0..20_000_u64, unit in 0..UNITS.len(), ns in any::<u64>()) {
            for span in [Span::from_ns(number * UNITS[unit].1), Span::from_ns(ns)] {
                prop_assert_eq!(span.to_string().parse::<Span>(), Ok(span));
            }
        }

        #[test]
        fn reading_takes_any_text(text in ".{0,12}|[0-9]{0,22}[a-z.]{0,3}[0-9]{0,3}[a-z]{0,2}") {
            if let Ok(span) = text.parse::<Span>() {
                prop_assert_eq!(span.to_string().parse::<Span>(), Ok(span));
            }
        }
    }
}
