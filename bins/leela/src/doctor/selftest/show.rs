//! What the self-test saw, in its forms.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use super::Trial;
use crate::output::{self, Form, Tone, Toned, columns, csv};

/// What `-o json` prints. Fields are only ever added.
#[derive(Serialize)]
struct All<'a> {
    name: &'a str,
    not_running: &'a [&'a str],
    inputs: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    input: &'a str,
    place: String,
    ok: bool,
    live_ms: Option<f64>,
    stored_ms: Option<f64>,
    problem: Option<&'a str>,
}

pub(super) fn print(trials: &[Trial], name: &str, missing: &[&str], form: Form) -> anyhow::Result<()> {
    let mut out = output::out();
    write(trials, name, missing, form, &mut out).and_then(|()| out.flush()).context("printing")
}

fn ms(time: Option<Duration>) -> Option<f64> {
    // A hundredth of a millisecond is all that this way of looking can tell.
    time.map(|time| (time.as_secs_f64() * 1e5).round() / 100.0)
}

fn write(trials: &[Trial], name: &str, missing: &[&str], form: Form, out: &mut impl Write) -> io::Result<()> {
    let rows: Vec<Row<'_>> = trials
        .iter()
        .map(|trial| Row {
            input: trial.way.title(),
            place: trial.way.place(),
            ok: trial.problem.is_none(),
            live_ms: ms(trial.live),
            stored_ms: ms(trial.stored),
            problem: trial.problem.as_deref(),
        })
        .collect();
    let number = |ms: Option<f64>| ms.map_or("-".to_owned(), |ms| ms.to_string());
    match form {
        Form::Json => {
            serde_json::to_writer(&mut *out, &All { name, not_running: missing, inputs: rows })?;
            writeln!(out)
        }
        Form::Csv => {
            writeln!(out, "input,place,ok,live_ms,stored_ms,problem")?;
            for Row { input, place, ok, live_ms, stored_ms, problem } in rows {
                let shown = |ms: Option<f64>| ms.map_or(String::new(), |ms| ms.to_string());
                let (place, problem) = (csv(&place), csv(problem.unwrap_or_default()));
                writeln!(out, "{input},{place},{ok},{},{},{problem}", shown(live_ms), shown(stored_ms))?;
            }
            Ok(())
        }
        Form::Text => {
            writeln!(out, "name {name}")?;
            for process in missing {
                writeln!(out, "not_running {process}")?;
            }
            for Row { input, place, ok, live_ms, stored_ms, problem } in rows {
                let (word, input) = (if ok { "ok" } else { "failed" }, input.replace(' ', "_"));
                let (live, stored) = (number(live_ms), number(stored_ms));
                let line = format!("{word} {input} {place} {live} {stored} {}", problem.unwrap_or_default());
                writeln!(out, "{}", line.trim_end().replace('\n', " "))?;
            }
            Ok(())
        }
        Form::Table => {
            let heads = ["", "input", "at", "live", "stored"].map(str::to_owned).to_vec();
            let time = |ms: Option<f64>| ms.map_or("-".to_owned(), |ms| format!("{ms} ms"));
            let cells = rows.iter().map(|row| {
                let word = if row.ok { "ok" } else { "failed" };
                let [input, place] = [row.input.to_owned(), row.place.clone()];
                vec![word.to_owned(), input, place, time(row.live_ms), time(row.stored_ms)]
            });
            let table: Vec<Vec<String>> = std::iter::once(heads).chain(cells).collect();
            let colour = output::colour();
            for (at, cells) in columns(&table, &[false, false, false, true, true]).iter().enumerate() {
                let row = at.checked_sub(1).map(|at| &rows[at]);
                let tone = if row.is_none_or(|row| row.ok) { Tone::Good } else { Tone::Bad };
                let toned = Toned { text: &cells[0], tone, colour: colour && row.is_some() };
                writeln!(out, "{toned}  {}", cells[1..].join("  "))?;
                if let Some(problem) = row.and_then(|row| row.problem) {
                    writeln!(out, "    {problem}")?;
                }
            }
            for process in missing {
                writeln!(out, "leela-{process} does not run: its column is empty")?;
            }
            writeln!(out, "the series stay, under {name}")
        }
    }
}
