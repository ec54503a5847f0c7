//! `leela refused`: the last refused inputs, and what is wrong with them.

use std::io::{self, Write};

use anyhow::Context;
use clap::Args;
use common::books::RefusalText;
use common::exit::Exit;
use common::text::{Reason, write_time};
use common::utc::Utc;
use hop::account::Reading;
use serde::Serialize;

use crate::instance::Instance;
use crate::output::{self, Form, Output};
use crate::spot;
use crate::status::unread;

/// Show the last refused inputs, and what is wrong with them.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Refused {
    /// Of this process alone (udp)
    #[arg(long, value_name = "NAME")]
    process: Option<String>,
    /// The last N alone
    #[arg(long, value_name = "N")]
    count: Option<usize>,
    #[command(flatten)]
    output: Output,
}

const EXAMPLES: &str = "\
Examples:
  leela refused
  leela refused --process udp --count 10
  leela refused -o json | jq -r .peer | sort | uniq -c
      who sends what is wrong

Exit status: 0, 69 nobody ever ran here";

/// An input, and who refused it.
struct Entry {
    process: String,
    refusal: RefusalText,
}

/// What `-o json` prints of it.
#[derive(Serialize)]
struct Row<'a> {
    time: f64,
    process: &'a str,
    peer: &'a str,
    reason: &'a str,
    offset: usize,
    length: u64,
    text: &'a str,
    way_out: &'a str,
}

/// Prints what the processes kept.
pub fn run(refused: &Refused, instance: &Instance) -> anyhow::Result<()> {
    let reading = Reading::of_books(&instance.runtime_dir).map_err(|error| unread(error, instance))?;
    if let Some(name) = &refused.process
        && !reading.books.iter().any(|books| books.process == *name)
    {
        let known: Vec<&str> = reading.books.iter().map(|books| books.process.as_str()).collect();
        return Err(Exit::Usage
            .error(format_args!("no process {name} has books here; there are {}", known.join(", "))));
    }
    for problem in &reading.problems {
        output::say(problem);
    }
    let mut entries = Vec::new();
    for books in &reading.books {
        if refused.process.as_ref().is_none_or(|name| *name == books.process) {
            let kept = books.refusals().into_iter();
            entries.extend(kept.map(|refusal| Entry { process: books.process.clone(), refusal }));
        }
    }
    // Stable: those of one moment stay in the order of their process.
    entries.sort_by_key(|entry| entry.refusal.time);
    let first = refused.count.map_or(0, |count| entries.len().saturating_sub(count));
    print(&entries[first..], refused.output.form()).context("printing")
}

fn print(entries: &[Entry], form: Form) -> io::Result<()> {
    let mut out = output::out();
    match form {
        Form::Csv => writeln!(out, "time,process,peer,reason,offset,length,text,way_out")?,
        Form::Table if entries.is_empty() => writeln!(out, "nothing was refused")?,
        Form::Table | Form::Text | Form::Json => {}
    }
    for entry in entries {
        let Entry { process, refusal } = entry;
        let RefusalText { time, peer, reason, text, length, offset } = refusal;
        let mut seconds = Vec::new();
        write_time(&mut seconds, *time);
        let seconds = String::from_utf8_lossy(&seconds);
        let (peer, shown) = (spot::plain(peer.as_bytes()), spot::plain(text));
        let way_out = way_out(process, reason);
        match form {
            Form::Table => {
                let from = if peer.is_empty() { String::new() } else { format!(" from {peer}") };
                writeln!(out, "{}  {process}{from}: {reason}", Utc(*time))?;
                for line in spot::show(text, *offset).lines() {
                    writeln!(out, "    {line}")?;
                }
                if *length > text.len() as u64 {
                    writeln!(
                        out,
                        "    ({} of {length} bytes are kept; the fault is at byte {offset})",
                        text.len()
                    )?;
                }
                writeln!(out, "    {way_out}")?;
            }
            Form::Text => {
                let peer = if peer.is_empty() { "-" } else { &peer };
                writeln!(out, "{seconds} {process} {peer} {reason} {offset} {length} {shown}")?;
            }
            Form::Json => {
                let row = Row {
                    time: time.as_secs_f64(),
                    process,
                    peer: &peer,
                    reason,
                    offset: *offset,
                    length: *length,
                    text: &shown,
                    way_out: &way_out,
                };
                serde_json::to_writer(&mut out, &row)?;
                writeln!(out)?;
            }
            Form::Csv => {
                let [peer, shown, way_out] = [&peer, &shown, &way_out].map(|field| output::csv(field));
                writeln!(out, "{seconds},{process},{peer},{reason},{offset},{length},{shown},{way_out}")?;
            }
        }
    }
    out.flush()
}

/// What to do about it. The words of Leela's text are explained here, those of a protocol in its process's page.
fn way_out(process: &str, reason: &str) -> String {
    let text = Reason::ALL.into_iter().find(|known| known.name() == reason);
    match (process, text) {
        ("udp", Some(reason)) => reason.way_out().to_owned(),
        ("timeline", _) => match timeline_way_out(reason) {
            Some(way_out) => way_out.to_owned(),
            None => format!("see refused.{reason} in leela-timeline(8)"),
        },
        _ => format!("see refused.{reason} in leela-{process}(8)"),
    }
}

/// What the timeline's words mean: `leela send` is not told, so that this is where its user reads it.
fn timeline_way_out(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "future" => "its time is more than ten minutes ahead of this host's clock; set the sender's clock",
        "too_old" => {
            "its time is further back than `backfill_max` of the timeline's configuration; leave the time out for now"
        }
        "stale" => "a counter or derive has to be newer than the last one of its key",
        "kind_conflict" => "another kind has this key; send it under a key of its own",
        "series_limit" => {
            "there are too many series; drop a tag, or raise `series_max` of the timeline's configuration"
        }
        _ => return None,
    })
}
