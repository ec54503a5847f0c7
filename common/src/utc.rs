//! Dates and times of day, in UTC, in the proleptic Gregorian calendar.
//!
//! Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil and civil_from_days.

use std::fmt;

use crate::time::{SECOND_NS, Time};

/// Seconds of a day.
pub const DAY_SECONDS: i64 = 86_400;

/// The year, month and day of a time.
pub fn date(time: Time) -> (i64, i64, i64) {
    // Years begin in March, so that the day that is sometimes there is their last.
    let shifted = time.ns().div_euclid(DAY_SECONDS * SECOND_NS) + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// The hour, minute and second of the day of a time.
pub fn clock(time: Time) -> (i64, i64, i64) {
    let second = time.ns().div_euclid(SECOND_NS).rem_euclid(DAY_SECONDS);
    (second / 3_600, second / 60 % 60, second % 60)
}

/// Days from 1970-01-01 to a date; `None` for a date that there is not.
pub fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=9999).contains(&year)
        || !(1..=12).contains(&month)
        || !(1..=month_days(year, month)).contains(&day)
    {
        return None;
    }
    let year = year - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// How many days a month has.
pub fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A time as it is written for people and for machines: `2012-10-15T20:13:21.500Z`, in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Utc(pub Time);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((year, month, day), (hour, minute, second)) = (date(self.0), clock(self.0));
        let ms = self.0.ns().rem_euclid(SECOND_NS) / 1_000_000;
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

    #[test]
    fn a_date_and_its_days_are_the_same() {
        for days_since in (-100_000..=100_000).step_by(97) {
            let (year, month, day) = date(Time::from_secs(days_since * DAY_SECONDS));
            assert_eq!(days(year, month, day), Some(days_since));
        }
        for (date, want) in [
            ((1970, 1, 1), Some(0)),
            ((2000, 2, 29), Some(11_016)),
            ((2100, 2, 29), None),
            ((2012, 2, 31), None),
            ((2012, 0, 1), None),
            ((2012, 1, 0), None),
            ((0, 1, 1), None),
        ] {
            assert_eq!(days(date.0, date.1, date.2), want, "{date:?}");
        }
    }
}
