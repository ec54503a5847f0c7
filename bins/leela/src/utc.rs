//! Times for people: `2012-10-15T20:13:21.500Z`.
//!
//! Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.

use std::fmt;

use common::time::Time;

/// A time in UTC, in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Utc(pub(crate) Time);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.ns().div_euclid(1_000_000);
        let (days, ms) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
        // Years begin in March, so that the day that is sometimes there is their last.
        let shifted = days + 719_468;
        let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = year + era * 400 + i64::from(month <= 2);
        let (seconds, ms) = (ms / 1_000, ms % 1_000);
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_date() {
        for (ns, want) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_350_332_001_500_000_000, "2012-10-15T20:13:21.500Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00.000Z"),
            (951_868_799_999_999_999, "2000-02-29T23:59:59.999Z"),
            (4_107_542_400_000_000_000, "2100-03-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Utc(Time::from_ns(ns)).to_string(), want, "{ns}");
        }
    }
}
