//! The table of the last run of each case, in `tests/README.md` between two marks: above it a line for each day that it
//! has rows of, and for each machine of that day.

use std::path::PathBuf;

// There is a module of this name here.
use ::tests::{machine, workspace};
use anyhow::Context;
use common::time::Time;
use common::utc;

use crate::row::Row;
use crate::table;

const BEGIN: &str = "<!-- cases: written by `make faults FAULTS=--write`, not by hand -->\n";
const END: &str = "<!-- end of cases -->\n";

/// Writes the rows of the cases in `run`, in the order of `cases`, which are all there are; those of other cases stay.
pub(crate) fn write(cases: &[String], run: &[String], rows: &[Row]) -> anyhow::Result<()> {
    let path: PathBuf = workspace().join("tests/README.md");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let (year, month, day) = utc::date(Time::now());
    let day = format!("{year}-{month:02}-{day:02}");
    let head = format!("{day}, on {}.", machine());
    let lines: Vec<String> = rows.iter().map(|row| table::markdown(row, &day)).collect();
    let text = with(&text, cases, run, &lines, &head).context("README.md has lost its marks")?;
    std::fs::write(&path, text).with_context(|| path.display().to_string())
}

fn with(text: &str, cases: &[String], run: &[String], lines: &[String], head: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (old, after) = rest.split_once(END)?;
    let is_of = |line: &str, case: &String| {
        let name = line.strip_prefix("| ").and_then(|line| line.strip_prefix(case.as_str()));
        name.is_some_and(|rest| rest.starts_with([' ', ',']))
    };
    let is_kept =
        |line: &&str| cases.iter().any(|case| is_of(line, case)) && !run.iter().any(|case| is_of(line, case));
    let mut table: Vec<&str> = old.lines().filter(is_kept).chain(lines.iter().map(String::as_str)).collect();
    table.sort_by_key(|line| cases.iter().position(|case| is_of(line, case)));
    let day = |head: &str| head.split(',').next().unwrap_or_default().to_owned();
    let is_in_use = |other: &&str| {
        let ending = format!("| {} |", day(other));
        !other.starts_with('|') && *other != head && table.iter().any(|line| line.ends_with(&ending))
    };
    let heads: String = old.lines().filter(is_in_use).chain([head]).map(|head| format!("{head}\n")).collect();
    let table: String = table.iter().map(|line| format!("{line}\n")).collect();
    Some(format!("{before}{BEGIN}{heads}\n{}\n{table}{END}{after}", table::markdown_head()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_run_changes() {
        let cases = ["kill9", "disk"].map(str::to_owned);
        let line = |case: &str, day| table::markdown(&Row::new(case, "load"), day);
        let text = format!("before\n{BEGIN}old\n{END}after\n");
        let first = [line("kill9, udp", "2013-07-19"), line("disk", "2013-07-19")];
        let written = with(&text, &cases, &cases, &first, "2013-07-19, on a machine.").unwrap();
        let head = table::markdown_head();
        let table = format!("{head}\n{}\n{}\n", first[0], first[1]);
        assert_eq!(written, format!("before\n{BEGIN}2013-07-19, on a machine.\n\n{table}{END}after\n"));
        let second = [line("kill9, timeline", "2013-07-20")];
        let later = with(&written, &cases, &cases[..1], &second, "2013-07-20, on another.").unwrap();
        let heads = "2013-07-19, on a machine.\n2013-07-20, on another.\n";
        let table = format!("{head}\n{}\n{}\n", second[0], first[1]);
        assert_eq!(later, format!("before\n{BEGIN}{heads}\n{table}{END}after\n"));
        // The other row of that day is of the other machine.
        let same_day = with(&written, &cases, &cases[..1], &first[..1], "2013-07-19, on another.").unwrap();
        let heads = "2013-07-19, on a machine.\n2013-07-19, on another.\n";
        assert!(same_day.starts_with(&format!("before\n{BEGIN}{heads}\n")), "{same_day}");
        assert_eq!(with("no marks", &cases, &cases, &first, ""), None);
    }
}
