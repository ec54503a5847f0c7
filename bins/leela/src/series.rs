//! `leela series`: what leela-storage has, and how far it reaches.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anyhow::Context as _;
use clap::Args;
use common::ask::{Answer, Ask};
use common::exit::{Exit, OrExit as _};
use common::key;
use common::span::Span;
use common::text::write_time;
use common::time::Time;
use common::utc::Utc;
use common::wire::{Extent, Series as Extents, Word, Words};

use crate::instance::Instance;
use crate::output::{self, Form, Out, Output, csv};
use crate::spot;
use crate::store::client::Client;
use crate::store::when::Selected;

/// List the series that are kept.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Series {
    #[command(flatten)]
    selected: Selected,
    /// List their tags instead, or the values of TAG
    #[arg(long, value_name = "TAG", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    tags: Option<String>,
    /// Only series without a record for so long (5m, 1d)
    #[arg(long, value_name = "SPAN")]
    stale: Option<Span>,
    /// Only series whose first record is no older
    #[arg(long, value_name = "SPAN")]
    new: Option<Span>,
    /// The first N
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    #[command(flatten)]
    output: Output,
}

const EXAMPLES: &str = "\
Examples:
  leela series '^web'
  leela series --where dc=ams --stale 5m
  leela series --new 1h
  leela series --tags
  leela series --tags=dc '^web'

Exit status: 0, 1 there is none, 65 the pattern is wrong, 69 leela-storage is not running";

/// Lists what is asked for.
pub fn run(series: &Series, instance: &Instance) -> anyhow::Result<()> {
    let selection = series.selected.selection()?;
    let mut client = Client::connect(instance)?;
    let listed = match &series.tags {
        None => {
            // What a condition takes away does not count.
            let limit = series.count.filter(|_| series.stale.is_none() && series.new.is_none());
            extents(series, &mut client, &Ask::Series(selection, limit))
        }
        Some(_) if series.stale.is_some() || series.new.is_some() => {
            Err(Exit::Usage.error("--tags is about names: it goes with a pattern and --where"))
        }
        Some(tag) => {
            let tag = Some(tag.as_str()).filter(|tag| !tag.is_empty());
            let words = match series.selected.is_all() {
                true => all_words(&mut client, tag)?,
                false => words(&mut client, &Ask::Names(selection, None), tag)?,
            };
            print_words(series, tag, &words).context("printing")
        }
    };
    match listed? {
        0 => Err(Exit::No.error("there is no such series")),
        _ => Ok(()),
    }
}

/// Prints how far series reach; gives how many.
fn extents(series: &Series, client: &mut Client, ask: &Ask) -> anyhow::Result<u64> {
    let now = Time::now();
    let is_wanted = |extent: &Extent<'_>| {
        series.stale.is_none_or(|stale| now.since_ns(extent.last) >= stale.signed_ns())
            && series.new.is_none_or(|new| now.since_ns(extent.first) <= new.signed_ns())
    };
    let form = series.output.form();
    let mut out = output::out();
    if form == Form::Csv {
        writeln!(out, "key,first,last,points").context("printing")?;
    }
    let mut printed = 0;
    client
        .ask(ask, |answer| {
            let Answer::Records(header, records) = answer else { return Ok(()) };
            for extent in Extents::new(records, header.count) {
                let extent = extent.context("reading storage.query").exit(Exit::IoErr)?;
                if is_wanted(&extent) && series.count.is_none_or(|count| printed < count) {
                    printed += 1;
                    print_extent(&mut out, form, &extent).context("printing")?;
                }
            }
            Ok(())
        })?
        .tell();
    crate::flush(&mut out)?;
    Ok(printed)
}

fn print_extent(out: &mut Out, form: Form, extent: &Extent<'_>) -> io::Result<()> {
    let Extent { key, first, last, points } = *extent;
    let [first_seconds, last_seconds] = [first, last].map(|time| {
        let mut text = Vec::new();
        write_time(&mut text, time);
        String::from_utf8_lossy(&text).into_owned()
    });
    match form {
        Form::Table => writeln!(out, "{}  {}  {points:>12}  {}", Utc(first), Utc(last), spot::plain(key)),
        Form::Text => writeln!(out, "{first_seconds} {last_seconds} {points} {}", spot::plain(key)),
        Form::Json => {
            write!(out, "{{\"key\":")?;
            serde_json::to_writer(&mut *out, &String::from_utf8_lossy(key))?;
            writeln!(out, ",\"first\":{first_seconds},\"last\":{last_seconds},\"points\":{points}}}")
        }
        Form::Csv => {
            let key = csv(&String::from_utf8_lossy(key));
            writeln!(out, "{key},{first_seconds},{last_seconds},{points}")
        }
    }
}

/// Words and how many series have them.
type Counted = BTreeMap<String, u64>;

/// The words of the whole store, as its index has them.
fn all_words(client: &mut Client, tag: Option<&str>) -> anyhow::Result<Counted> {
    let mut counted = Counted::new();
    each_word(client, &Ask::Tags(tag.map(str::to_owned)), |word| {
        counted.insert(String::from_utf8_lossy(word.word).into_owned(), word.series);
    })?;
    Ok(counted)
}

/// The words of the series that are selected.
fn words(client: &mut Client, ask: &Ask, tag: Option<&str>) -> anyhow::Result<Counted> {
    let mut counted = Counted::new();
    each_word(client, ask, |name| {
        let name = String::from_utf8_lossy(name.word);
        for (of, value) in key::tags(&name) {
            match tag {
                None => *counted.entry(of.to_owned()).or_default() += 1,
                Some(tag) if tag == of => *counted.entry(value.to_owned()).or_default() += 1,
                Some(_) => {}
            }
        }
    })?;
    Ok(counted)
}

fn each_word(client: &mut Client, ask: &Ask, mut each: impl FnMut(&Word<'_>)) -> anyhow::Result<()> {
    client
        .ask(ask, |answer| {
            let Answer::Records(header, records) = answer else { return Ok(()) };
            for word in Words::new(records, header.count) {
                each(&word.context("reading storage.query").exit(Exit::IoErr)?);
            }
            Ok(())
        })?
        .tell();
    Ok(())
}

fn print_words(series: &Series, tag: Option<&str>, words: &Counted) -> anyhow::Result<u64> {
    let form = series.output.form();
    let what = if tag.is_some() { "value" } else { "tag" };
    let mut out = output::out();
    if form == Form::Csv {
        writeln!(out, "{what},series")?;
    }
    let mut printed = 0;
    for (word, count) in words {
        if series.count.is_some_and(|count| printed >= count) {
            break;
        }
        printed += 1;
        match form {
            Form::Table => writeln!(out, "{count:>9}  {}", spot::plain(word.as_bytes()))?,
            Form::Text => writeln!(out, "{count} {}", spot::plain(word.as_bytes()))?,
            Form::Json => {
                write!(out, "{{\"{what}\":")?;
                serde_json::to_writer(&mut out, word)?;
                writeln!(out, ",\"series\":{count}}}")?;
            }
            Form::Csv => writeln!(out, "{},{count}", csv(word))?,
        }
    }
    out.flush()?;
    Ok(printed)
}
