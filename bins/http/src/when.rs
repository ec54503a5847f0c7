//! Times as people write them in a request, and as the original wrote them.

use common::span::Span;
use common::text::number;
use common::time::{SECOND_NS, Time};
use common::utc::{DAY_SECONDS, clock, date, days};

/// The first moment of a date.
pub(crate) fn midnight(year: i64, month: i64, day: i64) -> Option<Time> {
    days(year, month, day).and_then(|days| at_second(days.checked_mul(DAY_SECONDS)?))
}

fn at_second(seconds: i64) -> Option<Time> {
    seconds.checked_mul(SECOND_NS).map(Time::from_ns)
}

/// `20130421T101112+0000`, as the original wrote times.
pub(crate) fn compact(time: Time) -> String {
    let ((year, month, day), (hour, minute, second)) = (date(time), clock(time));
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}+0000")
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
    fn the_original_wrote_times_compactly() {
        assert_eq!(compact(Time::from_secs(1_366_549_812)), "20130421T131012+0000");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_time_or_none(text in "[-0-9Tt:.,Z+ nowhé]{0,30}") {
            let _ = moment(&text, Time::from_secs(0));
        }
    }
}
