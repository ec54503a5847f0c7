//! `leela store stats`: how much there is.

use std::io::{self, Write};

use anyhow::Context as _;
use clap::Args;
use common::ask::Ask;
use common::ask::report::Stats as Report;
use common::size::Size;
use common::span::Span;
use common::time::Time;
use common::utc::Utc;

use super::client::Client;
use crate::instance::Instance;
use crate::output::{self, Form, Output, columns, csv};

/// Say how much there is, and for how long the disk will do.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Stats {
    #[command(flatten)]
    output: Output,
}

const EXAMPLES: &str = "\
Examples:
  leela store stats
  leela store stats -o json | jq .bytes_a_point

Exit status: 0, 69 leela-storage is not running";

pub(super) fn run(stats: &Stats, instance: &Instance) -> anyhow::Result<()> {
    let report: Report = Client::connect(instance)?.object(&Ask::Stats)?;
    print(&report, stats.output.form()).context("printing")
}

fn print(report: &Report, form: Form) -> io::Result<()> {
    let mut out = output::out();
    match form {
        Form::Json => {
            serde_json::to_writer(&mut out, report)?;
            writeln!(out)?;
        }
        Form::Table => {
            for row in columns(&rows(report, true), &[false, false]) {
                writeln!(out, "{}", row.join("  "))?;
            }
        }
        Form::Text => {
            for row in rows(report, false) {
                writeln!(out, "{}", row.join(" "))?;
            }
        }
        Form::Csv => {
            writeln!(out, "name,value")?;
            for row in rows(report, false) {
                let row: Vec<String> = row.iter().map(|field| csv(field)).collect();
                writeln!(out, "{}", row.join(","))?;
            }
        }
    }
    out.flush()
}

/// Name and value of each fact; what is not known or is not so is left out.
fn rows(report: &Report, for_people: bool) -> Vec<Vec<String>> {
    let time = |seconds: f64| match for_people {
        true => Utc(Time::from_ns((seconds * 1e9) as i64)).to_string(),
        false => seconds.to_string(),
    };
    let bytes = |bytes: u64| if for_people { people(bytes) } else { bytes.to_string() };
    let mut rows: Vec<(&str, String)> = vec![
        ("series", report.series.to_string()),
        ("points", report.points.to_string()),
        ("points_in_memory", report.points_in_memory.to_string()),
    ];
    rows.extend(report.first.map(|first| ("first", time(first))));
    rows.extend(report.last.map(|last| ("last", time(last))));
    rows.extend([
        ("files", report.files.to_string()),
        ("file_bytes", bytes(report.file_bytes)),
        ("index_bytes", bytes(report.index_bytes)),
        ("log_bytes", bytes(report.log_bytes)),
        ("memory_bytes", bytes(report.memory_bytes)),
    ]);
    rows.extend(report.bytes_a_point.map(|bytes| ("bytes_a_point", format!("{bytes:.2}"))));
    rows.extend(report.bytes_a_day.map(|a_day| ("bytes_a_day", bytes(a_day.max(0.0) as u64))));
    rows.push(("room_bytes", bytes(report.room_bytes)));
    rows.extend(report.full_in.map(|seconds| {
        let span = Span::from_hours((seconds / 3600.0) as u64);
        ("full_in", if for_people { span.to_string() } else { seconds.to_string() })
    }));
    rows.extend(report.full.as_ref().map(|full| ("full", format!("{full}: nothing is written"))));
    rows.extend(report.failing.as_ref().map(|failing| ("failing", failing.clone())));
    rows.push(("damages", report.damages.to_string()));
    let damage = |damage: &common::ask::report::Damage| {
        format!("{} at {}: {}", damage.file, damage.offset, damage.what)
    };
    rows.extend(report.damage.iter().map(|one| ("damage", damage(one))));
    if report.deletes_open > 0 {
        rows.push(("deletes_open", report.deletes_open.to_string()));
    }
    if report.index_rebuilt > 0 {
        rows.push(("index_rebuilt", report.index_rebuilt.to_string()));
    }
    rows.extend(report.power_cut.map(|cut| {
        let what = format!(
            "the last event that was durable then: number {}, time {}",
            cut.last_number,
            time(cut.last_time)
        );
        ("power_cut", what)
    }));
    rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect()
}

/// A size that is easily read: three digits at least, rounded down.
fn people(bytes: u64) -> String {
    let unit = match bytes {
        0..10_240 => 0,
        10_240..10_485_760 => 10,
        10_485_760..10_737_418_240 => 20,
        _ => 30,
    };
    Size::from_bytes(bytes >> unit << unit).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_rounded_for_people() {
        for (bytes, want) in [
            (0, "0B"),
            (1500, "1500B"),
            (10_240, "10KiB"),
            (1_000_001, "976KiB"),
            (20_000_000, "19MiB"),
            (21_474_836_480, "20GiB"),
        ] {
            assert_eq!(people(bytes), want, "{bytes}");
        }
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let names =
            |report: &Report| rows(report, true).into_iter().map(|row| row[0].clone()).collect::<Vec<_>>();
        let empty = names(&Report::default());
        assert!(
            !empty.iter().any(|name| ["first", "full", "full_in", "power_cut"].contains(&&name[..])),
            "{empty:?}"
        );
        let report = Report { full: Some("min_free".into()), first: Some(1.5), ..Report::default() };
        let some = names(&report);
        assert!(["first", "full"].iter().all(|name| some.iter().any(|some| some == name)), "{some:?}");
    }
}
