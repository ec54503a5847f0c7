//! Times as people write them in a request, and as they are written for people.
//!
//! Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil and civil_from_days.

use common::span::Span;
use common::text::number;
use common::time::{SECOND_NS, Time};

const DAY_SECONDS: i64 = 86_400;

/// Days from 1970-01-01 to a date; `None` for a date that there is not.
pub(crate) fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=9999).contains(&year)
        || !(1..=12).contains(&month)
        || !(1..=month_days(year, month)).contains(&day)
    {
        return None;
    }
    // Years begin in March, so that the day that is sometimes there is their last.
    let year = year - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// How many days a month has.
pub(crate) fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The year, month and day of a time, in UTC.
pub(crate) fn date(time: Time) -> (i64, i64, i64) {
    let days = time.ns().div_euclid(DAY_SECONDS * SECOND_NS);
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// The first moment of a date.
pub(crate) fn midnight(year: i64, month: i64, day: i64) -> Option<Time> {
    days(year, month, day).and_then(|days| at_second(days.checked_mul(DAY_SECONDS)?))
}

fn at_second(seconds: i64) -> Option<Time> {
    seconds.checked_mul(SECOND_NS).map(Time::from_ns)
}

/// `20130421T101112+0000`, as the original wrote times.
pub(crate) fn compact(time: Time) -> String {
    let (year, month, day) = date(time);
    let second = time.ns().div_euclid(SECOND_NS).rem_euclid(DAY_SECONDS);
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}+0000", second / 3_600, second / 60 % 60, second % 60)
}

/// A moment: decimal seconds since 1970, or ISO 8601 in its common forms: `2012-10-15`, `2012-10-15T20:13:21.5Z`,
/// `2012-10-15 20:13+02:00`. Without an offset it is UTC.
pub(crate) fn instant(text: &str) -> Option<Time> {
    let text = text.trim();
    if let Some((time, length)) = number::time(text.as_bytes())
        && length == text.len()
    {
        return Some(time);
    }
    iso(text)
}

/// A moment, or one that depends on now: `now`, `-1h`, `now-1h30m`, `+5m`.
pub(crate) fn moment(text: &str, now: Time) -> Option<Time> {
    let text = text.trim();
    let relative = text.strip_prefix("now").unwrap_or(text);
    if relative.is_empty() && !text.is_empty() {
        return Some(now);
    }
    let (sign, span) = match relative.as_bytes().first()? {
        b'-' => (-1, &relative[1..]),
        // A `+` in a query is a blank where it is not escaped.
        b'+' => (1, &relative[1..]),
        _ if relative.len() < text.len() => return None,
        _ => return instant(text),
    };
    match span.parse::<Span>() {
        Ok(span) => Some(now.plus_ns(sign * span.signed_ns())),
        // Before 1970.
        Err(_) if relative.len() == text.len() => instant(text),
        Err(_) => None,
    }
}

fn iso(text: &str) -> Option<Time> {
    let bytes = text.as_bytes();
    let digits = |from: usize, count: usize| -> Option<i64> {
        let part = bytes.get(from..from + count)?;
        part.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
    };
    let is = |at: usize, byte: u8| bytes.get(at) == Some(&byte);
    if !is(4, b'-') || !is(7, b'-') {
        return None;
    }
    let days = days(digits(0, 4)?, digits(5, 2)?, digits(8, 2)?)?;
    if bytes.len() == 10 {
        return at_second(days * DAY_SECONDS);
    }
    if !matches!(bytes[10], b'T' | b't' | b' ') || !is(13, b':') {
        return None;
    }
    let (hour, minute) = (digits(11, 2)?, digits(14, 2)?);
    let (second, mut at) = if is(16, b':') { (digits(17, 2)?, 19) } else { (0, 16) };
    // A leap second is the one before the next minute, as clocks here have it.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut ns = 0;
    if at == 19 && (is(19, b'.') || is(19, b',')) {
        let fraction = bytes[20..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let kept = fraction.min(9);
        ns = digits(20, kept).filter(|_| kept > 0)? * 10_i64.pow(9 - kept as u32);
        at = 20 + fraction;
    }
    let offset = match &bytes[at..] {
        [] | [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-' | b' '), rest @ ..] => {
            let minutes = match rest.len() {
                2 => digits(at + 1, 2)? * 60,
                4 => digits(at + 1, 2)? * 60 + digits(at + 3, 2)?,
                5 if rest[2] == b':' => digits(at + 1, 2)? * 60 + digits(at + 4, 2)?,
                _ => return None,
            };
            if *sign == b'-' { -minutes * 60 } else { minutes * 60 }
        }
        _ => return None,
    };
    let seconds = days * DAY_SECONDS + hour * 3_600 + minute * 60 + second.min(59) - offset;
    seconds.checked_mul(SECOND_NS)?.checked_add(ns).map(Time::from_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read() {
        let now = Time::from_secs(1_350_332_001);
        for (text, want) in [
            ("1350332001", Some(1_350_332_001_000_000_000)),
            ("1350332001.5", Some(1_350_332_001_500_000_000)),
            ("-1", Some(-1_000_000_000)),
            ("2012-10-15", Some(1_350_259_200_000_000_000)),
            ("2012-10-15T20:13:21Z", Some(1_350_332_001_000_000_000)),
            ("2012-10-15t20:13:21.25z", Some(1_350_332_001_250_000_000)),
            ("2012-10-15T22:13:21+02:00", Some(1_350_332_001_000_000_000)),
            ("2012-10-15T22:13:21 0200", Some(1_350_332_001_000_000_000)),
            ("2012-10-15T15:13-05", Some(1_350_331_980_000_000_000)),
            ("2012-10-15 20:13", Some(1_350_331_980_000_000_000)),
            ("now", Some(now.ns())),
            ("-1h", Some(now.ns() - 3_600_000_000_000)),
            ("now-1h30m", Some(now.ns() - 5_400_000_000_000)),
            ("now+5m", Some(now.ns() + 300_000_000_000)),
            ("", None),
            ("now-", None),
            ("now5", None),
            ("-1x", None),
            ("2012-13-15", None),
            ("2012-02-30", None),
            ("2012-10-15T24:00Z", None),
            ("2012-10-15T20:13:21.Z", None),
            ("2012-10-15T20:13:21Zx", None),
            ("2012-10-15T", None),
            ("yesterday", None),
            ("99999999999999", None),
        ] {
            assert_eq!(moment(text, now).map(Time::ns), want, "{text:?}");
        }
    }

    #[test]
    fn a_date_and_its_days_are_the_same() {
        for days_since in (-100_000..=2_900_000).step_by(97) {
            let (year, month, day) = date(Time::from_secs((days_since % 100_000) * DAY_SECONDS));
            assert_eq!(days(year, month, day), Some(days_since % 100_000));
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
        assert_eq!(compact(Time::from_secs(1_366_549_812)), "20130421T131012+0000");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_time_or_none(text in "[-0-9Tt:.,Z+ nowhé]{0,30}") {
            let _ = moment(&text, Time::from_secs(0));
        }
    }
}
