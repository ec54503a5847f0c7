//! The system's clock: whether something keeps it right, and whether it was set while processes ran.

use common::clock::{discipline, moved_since};
use common::time::Time;
use common::utc::Utc;
use hop::account::Reading;

use super::finding::{Check, Finding, Severity};

/// A process begins a little before its books: less than this is no jump.
const JUMP_SECS: f64 = 5.0;

pub(super) fn findings(reading: &Reading, now: Time) -> Vec<Finding> {
    let mut findings = vec![match discipline() {
        Ok(discipline) if discipline.is_synchronized => Finding::ok(
            Check::Clock,
            "synchronization",
            format!("the clock is kept right, to {} ms at most", discipline.error_us_max / 1000),
        ),
        Ok(_) => Finding::new(
            Severity::Warning,
            Check::Clock,
            "synchronization",
            "nothing keeps the clock right (adjtimex: unsynchronized): times of metrics drift away from those of other hosts",
            "`timedatectl set-ntp true`, or install chrony; in a container it is the host's matter",
        ),
        Err(error) => Finding::new(
            Severity::Note,
            Check::Clock,
            "synchronization",
            format!("the kernel does not say whether the clock is kept right: {error}"),
            "",
        ),
    }];
    let before = findings.len();
    for books in &reading.books {
        let Some(moved) = moved_since(books, now).filter(|moved| moved.abs() >= JUMP_SECS) else { continue };
        let way = if moved > 0.0 { "forward" } else { "back" };
        findings.push(Finding::new(
            Severity::Warning,
            Check::Clock,
            books.process.as_str(),
            format!(
                "the clock was set {way} by {:.0} s since leela-{} began at {}",
                moved.abs(),
                books.process,
                Utc(books.since)
            ),
            "windows of that time are longer or shorter than they seem; if the clock is right now, nothing is to be done: \
             a restart takes the new time up",
        ));
    }
    if findings.len() == before {
        findings.push(Finding::ok(Check::Clock, "jumps", "it was not set while the processes ran"));
    }
    findings
}
