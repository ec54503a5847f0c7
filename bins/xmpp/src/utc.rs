//! Times as people read them.

use common::time::Time;

/// `2012-10-15 20:49:04 UTC`, with milliseconds where there are any.
pub(crate) fn text(time: Time) -> String {
    let (seconds, ns) = (time.ns().div_euclid(1_000_000_000), time.ns().rem_euclid(1_000_000_000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let fraction = if ns < 1_000_000 { String::new() } else { format!(".{:03}", ns / 1_000_000) };
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{fraction} UTC")
}

/// The date of a day since 1970, in the proleptic Gregorian calendar.
///
/// Source: "chrono-Compatible Low-Level Date Algorithms", Howard Hinnant.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_a_date() {
        for (ns, want) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (1_350_334_144_000_000_000, "2012-10-15 20:49:04 UTC"),
            (1_709_210_096_007_900_000, "2024-02-29 12:34:56.007 UTC"),
            (-1, "1969-12-31 23:59:59.999 UTC"),
        ] {
            assert_eq!(text(Time::from_ns(ns)), want);
        }
    }
}
