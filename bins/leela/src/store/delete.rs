//! `leela store delete`: series go.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use anyhow::Context as _;
use clap::Args;
use common::ask::report::Deleted;
use common::ask::{Ask, TagTest};
use common::exit::Exit;

use super::client::Client;
use super::when::{self, Selected};
use crate::instance::Instance;
use crate::output::{self, Form, Output};

/// Take series away.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Delete {
    /// A regex of the names of the series that go
    #[arg(value_name = "PATTERN")]
    pattern: String,
    /// Only series with this tag (dc=ams) or without it (dc!=ams); may be given several times
    #[arg(long = "where", value_name = "TAG=VALUE", value_parser = when::test)]
    tests: Vec<TagTest>,
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
    /// Do not ask whether it is meant
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    output: Output,
}

const EXAMPLES: &str = "\
Examples:
  leela store delete '^old\\.' --dry-run
  leela store delete '^old\\.' --yes
  leela store delete '^web\\.' --where host=web01

Exit status: 0, 1 no series has such a name, 65 the pattern is wrong,
69 leela-storage is not running";

pub(super) fn run(delete: &Delete, instance: &Instance) -> anyhow::Result<()> {
    let selected = Selected { pattern: Some(delete.pattern.clone()), tests: delete.tests.clone() };
    let ask = |is_dry| selected.selection().map(|selection| Ask::Delete { selection, is_dry });
    // A wrong pattern is told before anybody is asked.
    let dry = ask(true)?;
    let mut client = Client::connect(instance)?;
    let asks = io::stdin().is_terminal() && io::stderr().is_terminal();
    let deleted = if delete.dry_run {
        client.object(&dry)?
    } else {
        if !delete.yes && asks {
            let would: Deleted = client.object(&dry)?;
            if would.series > 0 && !is_meant(&would)? {
                return Err(Exit::No.error("nothing is deleted"));
            }
        }
        client.object(&ask(false)?)?
    };
    print(&deleted, delete.output.form()).context("printing")?;
    match deleted.series {
        0 => Err(Exit::No.error("no series has such a name")),
        _ => Ok(()),
    }
}

fn is_meant(would: &Deleted) -> anyhow::Result<bool> {
    let mut err = io::stderr().lock();
    write!(err, "delete {} series with {} records? [y/N] ", would.series, would.points)?;
    err.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).context("reading the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn print(deleted: &Deleted, form: Form) -> io::Result<()> {
    let mut out = output::out();
    let Deleted { series, points, is_dry } = deleted;
    match form {
        Form::Json => {
            serde_json::to_writer(&mut out, deleted)?;
            writeln!(out)?;
        }
        Form::Csv => writeln!(out, "series,points\n{series},{points}")?,
        Form::Table | Form::Text => {
            let what = if *is_dry { "would delete" } else { "deleted" };
            writeln!(out, "{what} {series} series, {points} records")?;
        }
    }
    out.flush()
}
