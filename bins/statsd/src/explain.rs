//! `leela-statsd --explain`: what lines are understood as, and what is wrong with them.

use std::io::{self, BufRead, Write};

use anyhow::Context;
use common::exit::{Exit, OrExit};
use common::metric::{Kind, Metric, Weight};
use common::spot;
use common::time::Time;
use common::utc::Utc;

use crate::config::Config;
use crate::dialect::Fault;
use crate::reader::{Found, Reader, Remarks, Rules};

/// Reads lines from standard input up to its end. Exits 65 when one of them was refused.
pub fn run(config: &Config) -> anyhow::Result<()> {
    let rules = config.reading().exit(Exit::Config)?;
    let refused = explain(io::stdin().lock(), &mut io::stdout().lock(), Time::now(), &rules)?;
    match refused {
        0 => Ok(()),
        1 => Err(Exit::Data.error("one line is wrong")),
        _ => Err(Exit::Data.error(format_args!("{refused} lines are wrong"))),
    }
}

/// Explains each line of `input`, as soon as it is there, and says how many are wrong.
fn explain(
    mut input: impl BufRead,
    output: &mut impl Write,
    now: Time,
    rules: &Rules,
) -> anyhow::Result<u64> {
    let (mut reader, mut line, mut refused) = (Reader::default(), Vec::new(), 0);
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line).context("reading lines")? == 0 {
            return Ok(refused);
        }
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (mut found, mut faults) = (Vec::new(), Vec::new());
        reader.read(line, now, rules, |one| match one {
            Ok(one) => found.push(understood(&one, now)),
            Err(fault) => faults.push(fault),
        });
        refused += u64::from(!faults.is_empty());
        let told = tell(output, line, &found, &faults, std::mem::take(&mut reader.remarks));
        told.and_then(|()| output.flush()).context("printing")?;
    }
}

fn tell(
    output: &mut impl Write,
    line: &[u8],
    found: &[String],
    faults: &[Fault],
    remarks: Remarks,
) -> io::Result<()> {
    if faults.is_empty() {
        writeln!(output, "{}", spot::plain(line))?;
    }
    for Fault { reason, offset } in faults {
        writeln!(output, "{}\n    {reason}: {}", spot::show(line, *offset), reason.way_out())?;
    }
    if found.is_empty() && faults.is_empty() {
        writeln!(output, "    nothing: the line is empty")?;
    }
    for found in found {
        writeln!(output, "    {found}")?;
    }
    let Remarks { rewritten, scope_tags, unknown_sections } = remarks;
    for (count, what) in [
        (rewritten, "name or tags were rewritten: a ; anywhere and a = in a tag's name become _"),
        (scope_tags, "Veneur's scope tags were taken away"),
        (unknown_sections, "a section that is not known here was skipped"),
    ] {
        if count > 0 {
            writeln!(output, "    ({what})")?;
        }
    }
    Ok(())
}

/// A metric or note for people: what it is, its key, its value.
fn understood(found: &Found<'_>, now: Time) -> String {
    let (text, time) = match found {
        Found::Metric(metric) => (of_metric(metric), metric.time),
        Found::Note(note) => {
            (format!("note {} {}", spot::plain(note.key), spot::plain(note.json)), note.time)
        }
        Found::Dropped => return "nothing: a rule drops it".to_owned(),
    };
    match time == now {
        true => text,
        false => format!("{text} at {}", Utc(time)),
    }
}

fn of_metric(metric: &Metric<'_>) -> String {
    let Metric { key, kind, value, weight, member, .. } = metric;
    let (kind, key) = (*kind, spot::plain(key));
    match kind {
        Kind::Member => format!("member {key} {}", spot::plain(member)),
        _ if *weight != Weight::ONE => format!("{} {key} {value}, for {weight} of them", kind.word()),
        _ => format!("{} {key} {value}", kind.word()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_explained() {
        for (line, want) in [
            ("web.hits:1|c", "web.hits:1|c\n    count web.hits 1\n"),
            (
                "web.hits:3|c|@0.1|#dc:ams,env:prod\r\n",
                "web.hits:3|c|@0.1|#dc:ams,env:prod\n    count web.hits;dc=ams;env=prod 3, for 10 of them\n",
            ),
            ("load:+0.5|g", "load:+0.5|g\n    adjust load 0.5\n"),
            (
                "t:1:x:3|ms",
                "t:1:x:3|ms\n    ^\n    value: a value is a number like 3, -0.5 or 1.5e-7\n    sample t 1\n    sample t 3\n",
            ),
            (
                "u:a\tb|s|T1350332001",
                "u:a\\tb|s|T1350332001\n    member u a\\tb at 2012-10-15T20:13:21.000Z\n",
            ),
            ("\n", "\n    nothing: the line is empty\n"),
            (
                "_sc|db|1|m:slow",
                "_sc|db|1|m:slow\n    note db {\"status\":\"warning\",\"message\":\"slow\"}\n    gauge db.status 1\n",
            ),
            (
                "a;b:1|c|#veneurlocalonly|x:y",
                "a;b:1|c|#veneurlocalonly|x:y\n    count a_b 1\n    (name or tags were rewritten: a ; anywhere and a = \
                 in a tag's name become _)\n    (Veneur's scope tags were taken away)\n    (a section that is not \
                 known here was skipped)\n",
            ),
        ] {
            let mut output = Vec::new();
            let rules = Config::default().reading().unwrap();
            let refused = explain(line.as_bytes(), &mut output, Time::from_secs(1), &rules).unwrap();
            assert_eq!(String::from_utf8(output).unwrap(), want);
            assert_eq!(refused, u64::from(line.contains('x') && line.contains("ms")), "{line}");
        }
    }
}
