//! The table of the last full run, in README.md between two marks.

use std::path::Path;

use anyhow::Context;
use nix::time::{ClockId, clock_gettime};

use crate::figure::{Figure, MARKDOWN_HEAD};
use crate::machine::machine;

const BEGIN: &str = "<!-- figures: written by `cargo run --release -p bench -- --write`, not by hand -->\n";
const END: &str = "<!-- end of figures -->\n";

/// Writes the figures into the README of the benchmarks.
pub(crate) fn write(figures: &[Figure], load: f64) -> anyhow::Result<()> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"));
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let text = with(&text, figures, &today(), &machine(), load).context("README.md has lost its marks")?;
    std::fs::write(path, text).with_context(|| path.display().to_string())
}

fn with(text: &str, figures: &[Figure], date: &str, machine: &str, load: f64) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    let mut table =
        format!("{date}, on {machine}; load average before the run {load:.1}.\n\n{MARKDOWN_HEAD}\n");
    for figure in figures {
        table.push_str(&figure.markdown());
        table.push('\n');
    }
    Some(format!("{before}{BEGIN}{table}{END}{after}"))
}

/// The date in UTC: `2013-07-19`.
fn today() -> String {
    let seconds = clock_gettime(ClockId::CLOCK_REALTIME).expect("every Linux has this clock").tv_sec();
    date(seconds / 86_400)
}

/// The date of a day since 1970, in the Gregorian calendar.
fn date(mut day: i64) -> String {
    let leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let mut year = 1970;
    while day >= 365 + i64::from(leap(year)) {
        day -= 365 + i64::from(leap(year));
        year += 1;
    }
    let mut month = 1;
    for days in [31, 28 + i64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < days {
            break;
        }
        day -= days;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", day + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Unit;

    #[test]
    fn a_day_has_its_date() {
        for (day, want) in [
            (0, "1970-01-01"),
            (59, "1970-03-01"),
            (789, "1972-02-29"),
            (11_016, "2000-02-29"),
            (15_905, "2013-07-19"),
            (20_453, "2025-12-31"),
        ] {
            assert_eq!(date(day), want);
        }
    }

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let text = format!("before\n{BEGIN}old\n{END}after\n");
        let figures = [Figure::new("hop", Unit::RecordsPerSecond, 2e7).bounds(12e6, 40e6)];
        let written = with(&text, &figures, "2013-07-19", "a machine", 0.0).unwrap();
        assert!(written.starts_with(&format!("before\n{BEGIN}2013-07-19, on a machine;")), "{written}");
        let row = "| hop | 20.00 M records/s | 12.00 M records/s | 40.00 M records/s | reached |  |  |\n";
        assert!(written.ends_with(&format!("{row}{END}after\n")), "{written}");
        assert_eq!(with(&written, &figures, "2013-07-19", "a machine", 0.0), Some(written));
        assert_eq!(with("no marks", &figures, "", "", 0.0), None);
    }
}
