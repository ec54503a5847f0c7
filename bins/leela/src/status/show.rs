//! The report in its forms.

use std::io::{self, Write};

use anyhow::Context;
use common::books::State;
use common::time::Time;
use common::utc::Utc;
use hop::account::{Hop, Process, Report};

use crate::output::{self, Form, Tone, Toned, columns, csv};

/// Counters that the table shows; the rest is one of the other forms' matter.
const FLOW: [&str; 4] = ["received", "passed", "merged", "refused"];
/// One that is shown where something was lost.
const LOST: &str = "lost_in_crash";

/// Prints the report.
pub(super) fn print(report: &Report, form: Form) -> anyhow::Result<()> {
    let mut out = output::out();
    let printed = match form {
        Form::Json => {
            serde_json::to_writer(&mut out, report).map_err(io::Error::from).and_then(|()| writeln!(out))
        }
        Form::Csv => lines(report, true, &mut out),
        Form::Text => lines(report, false, &mut out),
        Form::Table => table(report, output::colour(), &mut out),
    };
    printed.and_then(|()| out.flush()).context("printing")
}

fn lines(report: &Report, as_csv: bool, out: &mut impl Write) -> io::Result<()> {
    let Report { instance, balanced, processes, hops, findings } = report;
    if as_csv {
        return csv_lines(report, out);
    }
    writeln!(out, "instance {instance}")?;
    writeln!(out, "balanced {}", if *balanced { "yes" } else { "no" })?;
    for Process { name, state, pid, since, counters } in processes {
        writeln!(out, "process {name} {} {pid} {since}", state.word())?;
        for (counter, value) in counters {
            writeln!(out, "counter {name} {counter} {value}")?;
        }
    }
    for hop in hops {
        let Hop { from, to, sent, received, dropped, waiting, in_flight, lost_in_crash, .. } = hop;
        let [received, in_flight, lost] = [received, in_flight, lost_in_crash].map(|count| known(*count));
        writeln!(out, "hop {from} {to} {sent} {received} {dropped} {waiting} {in_flight} {lost}")?;
    }
    for finding in findings {
        writeln!(out, "finding {finding}")?;
    }
    Ok(())
}

fn csv_lines(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let Report { instance, balanced, processes, hops, findings } = report;
    writeln!(out, "what,of,name,value")?;
    writeln!(out, "instance,,,{}", csv(instance))?;
    writeln!(out, "balanced,,,{balanced}")?;
    for Process { name, state, pid, since, counters } in processes {
        writeln!(out, "process,{name},state,{}", state.word())?;
        writeln!(out, "process,{name},pid,{pid}")?;
        writeln!(out, "process,{name},since,{since}")?;
        for (counter, value) in counters {
            writeln!(out, "counter,{name},{counter},{value}")?;
        }
    }
    for hop in hops {
        let of = csv(&format!("{}>{}", hop.from, hop.to));
        for (name, value) in counts(hop) {
            let value = value.map_or_else(String::new, |value| value.to_string());
            writeln!(out, "hop,{of},{name},{value}")?;
        }
    }
    for finding in findings {
        writeln!(out, "finding,,,{}", csv(finding))?;
    }
    Ok(())
}

/// What a hop counts, under the names of the man page.
fn counts(hop: &Hop) -> [(&'static str, Option<u64>); 6] {
    let Hop { sent, received, dropped, waiting, in_flight, lost_in_crash, .. } = *hop;
    [
        ("sent", Some(sent)),
        ("received", received),
        ("dropped", Some(dropped)),
        ("waiting", Some(waiting)),
        ("in_flight", in_flight),
        ("lost_in_crash", lost_in_crash),
    ]
}

fn known(count: Option<u64>) -> String {
    count.map_or_else(|| "-".to_owned(), |count| count.to_string())
}

fn table(report: &Report, colour: bool, out: &mut impl Write) -> io::Result<()> {
    let Report { instance, balanced, processes, hops, findings } = report;
    writeln!(out, "instance {instance}\n")?;
    processes_table(processes, colour, out)?;
    let shown: Vec<&Hop> = hops.iter().filter(|hop| !(hop.left && hop.received.is_none())).collect();
    if !shown.is_empty() {
        let mut rows = vec![row(["from", "to"].into_iter().chain(counts(shown[0]).map(|(name, _)| name)))];
        for hop in &shown {
            let mut cells = vec![hop.from.clone(), hop.to.clone()];
            cells.extend(counts(hop).map(|(_, value)| known(value)));
            rows.push(cells);
        }
        writeln!(out)?;
        for row in columns(&rows, &[false, false, true, true, true, true, true, true]) {
            writeln!(out, "{}", row.join("  "))?;
        }
    }
    let drops: Vec<String> = processes
        .iter()
        .filter_map(|process| Some(format!("{} {}", process.name, process.total("kernel_drops")?)))
        .collect();
    if !drops.is_empty() {
        writeln!(out, "\ndatagrams dropped by the kernel: {}", drops.join(", "))?;
    }
    writeln!(out)?;
    for finding in findings {
        writeln!(out, "- {finding}")?;
    }
    let (text, tone) = match balanced {
        true => ("the books balance", Tone::Good),
        false => ("the books do not balance", Tone::Bad),
    };
    writeln!(out, "{}", Toned { text, tone, colour })
}

fn processes_table(processes: &[Process], colour: bool, out: &mut impl Write) -> io::Result<()> {
    // A table is 80 columns wide as long as all is well.
    let lost = processes.iter().any(|process| process.total(LOST).is_some_and(|lost| lost > 0));
    let shown: Vec<&str> = FLOW.into_iter().chain(lost.then_some(LOST)).collect();
    let now = Time::now();
    let mut rows = vec![row(["process", "state", "pid", "since"].into_iter().chain(shown.iter().copied()))];
    for process in processes {
        let Process { name, state, pid, since, .. } = process;
        let since = when(Time::from_ns((since * 1e9) as i64), now);
        let mut cells = vec![name.clone(), state.word().to_owned(), pid.to_string(), since];
        cells.extend(shown.iter().map(|counter| known(process.total(counter))));
        rows.push(cells);
    }
    let right = [false, false, true, false, true, true, true, true, true];
    for (place, mut cells) in columns(&rows, &right[..4 + shown.len()]).into_iter().enumerate() {
        if let Some(process) = place.checked_sub(1).map(|place| &processes[place]) {
            let tone = match process.state {
                State::Running => Tone::Good,
                State::Ended | State::Stopped => Tone::Odd,
                State::Dead => Tone::Bad,
            };
            cells[1] = Toned { text: &cells[1], tone, colour }.to_string();
        }
        writeln!(out, "{}", cells.join("  "))?;
    }
    Ok(())
}

/// A moment as short as it can be: the time of the last day, else the date.
fn when(time: Time, now: Time) -> String {
    let utc = Utc(time).to_string();
    let recent = (0..86_400 * 1_000_000_000_i64).contains(&now.since_ns(time));
    let part = if recent {
        utc.get(11..19).map(|time| format!("{time}Z"))
    } else {
        utc.get(..10).map(str::to_owned)
    };
    part.unwrap_or(utc)
}

fn row<'a>(cells: impl Iterator<Item = &'a str>) -> Vec<String> {
    cells.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_of_the_last_day_or_a_date() {
        let now = Time::from_secs(1_350_332_001);
        for (secs, want) in [
            (1_350_332_001, "20:13:21Z"),
            (1_350_332_001 - 86_399, "20:13:22Z"),
            (1_350_332_001 - 86_400, "2012-10-14"),
            (1_350_332_002, "2012-10-15"),
        ] {
            assert_eq!(when(Time::from_secs(secs), now), want, "{secs}");
        }
    }
}
