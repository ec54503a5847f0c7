//! Points in time: nanoseconds since 1970, as the sender's clock had it.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds in a second.
pub const SECOND_NS: i64 = 1_000_000_000;

/// Nanoseconds since 1970-01-01T00:00:00Z; reaches from 1678 to 2262.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Time(i64);

impl Time {
    /// The wall clock. One reading a wake-up: pass it on, do not read it again.
    pub fn now() -> Time {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Time(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)),
            Err(before) => Time(i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns)),
        }
    }

    /// A time from its nanoseconds since 1970.
    pub const fn from_ns(ns: i64) -> Time {
        Time(ns)
    }

    /// A time from whole seconds since 1970; saturates at the ends of the range.
    pub const fn from_secs(seconds: i64) -> Time {
        Time(seconds.saturating_mul(SECOND_NS))
    }

    /// Nanoseconds since 1970.
    pub const fn ns(self) -> i64 {
        self.0
    }

    /// Seconds since 1970; exact to about 0.2 us today.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / SECOND_NS as f64
    }

    /// Nanoseconds from `earlier` to `self`, negative when `earlier` is later; saturates.
    pub const fn since_ns(self, earlier: Time) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// `self` moved by `ns` nanoseconds; saturates.
    pub const fn plus_ns(self, ns: i64) -> Time {
        Time(self.0.saturating_add(ns))
    }
}

/// Decimal seconds, trailing zeros cut, at least one digit behind the point: `1350332001.5`, `0.0`.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let ns = self.0.unsigned_abs();
        let (seconds, mut fraction) = (ns / SECOND_NS as u64, ns % SECOND_NS as u64);
        let mut width = 9;
        while width > 1 && fraction.is_multiple_of(10) {
            fraction /= 10;
            width -= 1;
        }
        write!(f, "{sign}{seconds}.{fraction:0width$}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_prints_a_decimal_fraction() {
        for (ns, want) in [
            (0, "0.0"),
            (1_350_332_001_000_000_000, "1350332001.0"),
            (1_366_549_812_500_000_000, "1366549812.5"),
            (1_000_000_005, "1.000000005"),
            (-1_500_000_000, "-1.5"),
            (-1, "-0.000000001"),
        ] {
            assert_eq!(Time::from_ns(ns).to_string(), want, "{ns}");
        }
    }
}
