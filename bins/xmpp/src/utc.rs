//! Times as people read them.

use common::time::{SECOND_NS, Time};
use common::utc::{clock, date};

/// `2012-10-15 20:49:04 UTC`, with milliseconds where there are any.
pub(crate) fn text(time: Time) -> String {
    let ((year, month, day), (hour, minute, second)) = (date(time), clock(time));
    let ms = time.ns().rem_euclid(SECOND_NS) / 1_000_000;
    let fraction = if ms == 0 { String::new() } else { format!(".{ms:03}") };
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{fraction} UTC")
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
