//! The table of the last run of each row, in README.md between two marks: above it a line for each day that it has
//! figures of, and for each machine of that day.

use std::path::Path;

// There is a module of this name here.
use ::tests::machine;
use anyhow::Context;
use nix::time::{ClockId, clock_gettime};

use crate::figure::{Figure, MARKDOWN_HEAD};

const BEGIN: &str = "<!-- figures: written by `cargo run --release -p bench -- --write`, not by hand -->\n";
const END: &str = "<!-- end of figures -->\n";

/// Writes the figures of the rows in `run` into the README of the benchmarks, in the order of `rows`, which are all there
/// are; those of other rows stay.
pub(crate) fn write(rows: &[String], run: &[String], figures: &[Figure], load: f64) -> anyhow::Result<()> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"));
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let day = today();
    let head = format!("{day}, on {}; load average before the run {load:.1}.", machine());
    let lines: Vec<String> = figures.iter().map(|figure| figure.markdown(&day)).collect();
    let text = with(&text, rows, run, &lines, &head).context("README.md has lost its marks")?;
    std::fs::write(path, text).with_context(|| path.display().to_string())
}

fn with(text: &str, rows: &[String], run: &[String], lines: &[String], head: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (old, after) = rest.split_once(END)?;
    // A figure is called as its row, or begins so: `hop_latency at 5 k/s`.
    let is_of = |line: &str, row: &String| {
        let name = line.strip_prefix("| ").and_then(|line| line.strip_prefix(row.as_str()));
        name.is_some_and(|rest| rest.starts_with([' ', ',']))
    };
    let is_kept =
        |line: &&str| rows.iter().any(|row| is_of(line, row)) && !run.iter().any(|row| is_of(line, row));
    let mut table: Vec<&str> = old.lines().filter(is_kept).chain(lines.iter().map(String::as_str)).collect();
    table.sort_by_key(|line| rows.iter().position(|row| is_of(line, row)));
    let day = |head: &str| head.split(',').next().unwrap_or_default().to_owned();
    let on_machine = |head: &str| head.split(';').next().unwrap_or_default().to_owned();
    let is_in_use = |other: &&str| {
        let ending = format!("| {} |", day(other));
        let is_replaced = other.starts_with('|') || on_machine(other) == on_machine(head);
        !is_replaced && table.iter().any(|line| line.ends_with(&ending))
    };
    let heads: String = old.lines().filter(is_in_use).chain([head]).map(|head| format!("{head}\n")).collect();
    let table: String = table.iter().map(|line| format!("{line}\n")).collect();
    Some(format!("{before}{BEGIN}{heads}\n{MARKDOWN_HEAD}\n{table}{END}{after}"))
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
    fn only_what_was_run_changes() {
        let rows = ["hop", "hop_latency", "live"].map(str::to_owned);
        let line = |name: &str, value, day| {
            Figure::new(name, Unit::RecordsPerSecond, value).bounds(12e6, 40e6).markdown(day)
        };
        let text = format!("before\n{BEGIN}old\n{END}after\n");
        let first = [line("hop", 2e7, "2013-07-19"), line("live, id", 3e7, "2013-07-19")];
        let run = ["hop", "live"].map(str::to_owned);
        let written = with(&text, &rows, &run, &first, "2013-07-19, on a machine.").unwrap();
        let row = "| hop | 20.00 M records/s | 12.00 M records/s | 40.00 M records/s | reached |  |  | 2013-07-19 |";
        let table = format!("{MARKDOWN_HEAD}\n{row}\n{}\n", first[1]);
        assert_eq!(written, format!("before\n{BEGIN}2013-07-19, on a machine.\n\n{table}{END}after\n"));
        assert_eq!(with(&written, &rows, &run, &first, "2013-07-19, on a machine.").as_ref(), Some(&written));
        let second = [line("hop_latency at 5 k/s", 1e7, "2013-07-20")];
        let later = with(&written, &rows, &rows[1..2], &second, "2013-07-20, on another.").unwrap();
        let heads = "2013-07-19, on a machine.\n2013-07-20, on another.\n";
        let table = format!("{MARKDOWN_HEAD}\n{row}\n{}\n{}\n", second[0], first[1]);
        assert_eq!(later, format!("before\n{BEGIN}{heads}\n{table}{END}after\n"));
        let last = [line("hop", 1e7, "2013-07-20"), second[0].clone()];
        let last = with(&later, &rows, &rows, &last, "2013-07-20, on another.").unwrap();
        assert!(!last.contains("2013-07-19") && !last.contains("live"), "{last}");
        assert_eq!(with("no marks", &rows, &run, &first, ""), None);
    }
}
