//! The disk forecast: what the store says of itself.

use std::time::{Duration, Instant};

use common::ask::Ask;
use common::ask::report::Stats;
use common::books::State;
use common::size::Size;
use common::span::Span;
use common::time::Time;
use common::utc::Utc;
use hop::account::Reading;

use super::finding::{Check, Finding, Severity};
use crate::instance::Instance;
use crate::store::client::Client;

/// How long leela-storage may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// A disk that is full so soon is a warning, or a note.
const WARNING_SECS: f64 = 7.0 * 86_400.0;
const NOTE_SECS: f64 = 30.0 * 86_400.0;
/// The timeline refuses times further ahead: a record of a later one was written under another clock.
const AHEAD_SECS: f64 = 600.0;

pub(super) fn findings(instance: &Instance, reading: &Reading, now: Time) -> Vec<Finding> {
    if !reading.books.iter().any(|books| books.process == "storage" && books.state == State::Running) {
        // Why, its own finding says.
        return Vec::new();
    }
    let until = Instant::now() + PATIENCE;
    let client = Client::hurried(&instance.runtime_dir.storage_query(), until);
    let stats = client.map_err(anyhow::Error::from).and_then(|mut client| client.object(&Ask::Stats));
    match stats {
        Ok(stats) => of_stats(&stats, now),
        Err(error) => vec![Finding::new(
            Severity::Error,
            Check::Disk,
            "storage",
            format!("leela-storage runs and does not say how it is: {error:#}"),
            "`journalctl -u leela-storage` may say what it does; join the group leela if you may not ask it",
        )],
    }
}

fn of_stats(stats: &Stats, now: Time) -> Vec<Finding> {
    let new =
        |severity, text: String, way_out: &str| Finding::new(severity, Check::Disk, "storage", text, way_out);
    let mut findings = Vec::new();
    if let Some(limit) = &stats.full {
        findings.push(new(
            Severity::Error,
            format!("the store is full ({limit}): nothing is written, what comes is counted as dropped"),
            match limit.as_str() {
                "min_free" => "make room on its disk, or lower `min_free`; writing resumes by itself",
                "disk_max" => "raise `disk_max`, or shorten `retention`",
                _ => "see leela-storage(8), LIMITS; writing resumes by itself when sealing has caught up",
            },
        ));
    }
    if let Some(failing) = &stats.failing {
        let text = format!("sealing or merging fails: {failing}");
        findings.push(new(
            Severity::Error,
            text,
            "until it works again, memory fills and then records are dropped",
        ));
    }
    if stats.damages > 0 {
        let text = format!("{} damages were found since the start", stats.damages);
        findings.push(new(Severity::Error, text, "`leela store verify` says where; reads pass over them"));
    }
    let room = Size::from_bytes(stats.room_bytes);
    match (stats.full_in, stats.bytes_a_day) {
        (Some(seconds), Some(a_day)) => {
            let span = Span::from_hours((seconds / 3600.0) as u64);
            let a_day = Size::from_bytes(a_day.max(0.0) as u64);
            let severity = match seconds {
                seconds if seconds < WARNING_SECS => Severity::Warning,
                seconds if seconds < NOTE_SECS => Severity::Note,
                _ => Severity::Ok,
            };
            let text = format!("it grows by {a_day} a day, and {room} are left: full in {span}");
            let way_out = match severity {
                Severity::Ok => "",
                _ => "make room, shorten `retention`, or set `disk_max`, past which the oldest day goes",
            };
            findings.push(new(severity, text, way_out));
        }
        (None, Some(a_day)) => {
            let a_day = Size::from_bytes(a_day.max(0.0) as u64);
            let text = format!(
                "it grows by {a_day} a day; retention is faster than the disk fills, {room} are left"
            );
            findings.push(Finding::ok(Check::Disk, "storage", text));
        }
        _ if findings.is_empty() => {
            let text = format!("{room} are left; it is too young for a forecast");
            findings.push(Finding::ok(Check::Disk, "storage", text));
        }
        _ => {}
    }
    if let Some(last) = stats.last.filter(|last| *last > now.as_secs_f64() + AHEAD_SECS) {
        let text = format!(
            "the store has a record of {}, which is yet to come",
            Utc(Time::from_ns((last * 1e9) as i64))
        );
        findings.push(Finding::new(
            Severity::Warning,
            Check::Clock,
            "storage",
            text,
            "the clock was ahead, or was set back; retention counts from the records' own times",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forecast_is_as_bad_as_it_is_near() {
        let days = |days: f64| Stats {
            bytes_a_day: Some(1e9),
            room_bytes: (days * 1e9) as u64,
            full_in: Some(days * 86_400.0),
            ..Stats::default()
        };
        for (label, stats, want, text) in [
            ("a day", days(1.0), Severity::Warning, "full in 1d"),
            ("two weeks", days(14.0), Severity::Note, "full in 14d"),
            ("a year", days(365.0), Severity::Ok, "full in 365d"),
            ("bounded", Stats { full_in: None, ..days(1.0) }, Severity::Ok, "retention is faster"),
            ("young", Stats::default(), Severity::Ok, "too young"),
            (
                "full",
                Stats { full: Some("min_free".into()), ..Stats::default() },
                Severity::Error,
                "the store is full (min_free)",
            ),
            (
                "failing",
                Stats { failing: Some("no space".into()), ..Stats::default() },
                Severity::Error,
                "no space",
            ),
            ("damaged", Stats { damages: 2, ..Stats::default() }, Severity::Error, "2 damages"),
            ("to come", Stats { last: Some(5000.0), ..Stats::default() }, Severity::Warning, "yet to come"),
        ] {
            let findings = of_stats(&stats, Time::from_secs(1000));
            let worst = findings.iter().max_by_key(|finding| finding.severity).unwrap();
            assert_eq!(worst.severity, want, "{label}: {findings:?}");
            assert!(worst.text.contains(text), "{label}: {findings:?}");
        }
    }
}
