//! `leela store verify`: is all of it whole?

use std::io::Write;

use anyhow::Context as _;
use clap::Args;
use common::ask::Ask;
use common::ask::report::Verified;
use common::exit::Exit;

use super::client::Client;
use crate::instance::Instance;
use crate::output::{self, Form, Output, csv};

/// Compare every checksum, and say what is damaged.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Verify {
    #[command(flatten)]
    output: Output,
}

const EXAMPLES: &str = "\
Examples:
  leela store verify
  leela store verify -o json | jq .damage

Exit status: 0, 1 something is damaged, 69 leela-storage is not running";

pub(super) fn run(verify: &Verify, instance: &Instance) -> anyhow::Result<()> {
    let report: Verified = Client::connect(instance)?.object(&Ask::Verify)?;
    print(&report, verify.output.form()).context("printing")?;
    match report.damages {
        0 => Ok(()),
        damages => Err(Exit::No
            .error(format_args!("{damages} damaged; what is there is passed over, all else can be read"))),
    }
}

fn print(report: &Verified, form: Form) -> anyhow::Result<()> {
    let mut out = output::out();
    let Verified { files, blocks, bytes, damages, damage } = report;
    match form {
        Form::Json => {
            serde_json::to_writer(&mut out, report)?;
            writeln!(out)?;
        }
        Form::Table | Form::Text => {
            for one in damage {
                let series = one.series.as_ref().map(|series| format!(" of {series:?}")).unwrap_or_default();
                writeln!(out, "damage {} {}{series}: {}", one.file, one.offset, one.what)?;
            }
            writeln!(out, "verified {files} files, {blocks} blocks, {bytes} bytes: {damages} damaged")?;
        }
        Form::Csv => {
            writeln!(out, "file,offset,series,what")?;
            for one in damage {
                let series = csv(one.series.as_deref().unwrap_or(""));
                writeln!(out, "{},{},{series},{}", csv(&one.file), one.offset, csv(&one.what))?;
            }
        }
    }
    Ok(out.flush()?)
}
