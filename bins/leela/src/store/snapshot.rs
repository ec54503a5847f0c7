//! `leela store snapshot`: a copy, while it runs.

use std::io::Write as _;
use std::path::{self, PathBuf};

use anyhow::Context as _;
use clap::Args;
use common::ask::Ask;
use common::ask::report::Snapshot as Report;
use common::exit::{Exit, OrExit as _};

use super::client::Client;
use crate::instance::Instance;
use crate::output::{self, Form, Output, csv};

/// Make a copy in a directory, while it runs.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Snapshot {
    /// The directory, which is not there yet or is empty; leela-storage has to be allowed to write it
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    #[command(flatten)]
    output: Output,
}

const EXAMPLES: &str = "\
Examples:
  leela store snapshot /var/lib/leela/storage/monday
  leela-storage --state-dir ./monday --runtime-dir /tmp/leela
      look into a snapshot

Exit status: 0, 69 leela-storage is not running, 75 it could not be made";

pub(super) fn run(snapshot: &Snapshot, instance: &Instance) -> anyhow::Result<()> {
    // leela-storage has another working directory.
    let directory = path::absolute(&snapshot.directory).context("finding the directory").exit(Exit::Usage)?;
    let Some(directory) = directory.to_str() else {
        return Err(Exit::Usage.error("the path of the directory is no text"));
    };
    let report: Report = Client::connect(instance)?.object(&Ask::Snapshot(directory.to_owned()))?;
    let mut out = output::out();
    let Report { directory, files, bytes } = &report;
    match snapshot.output.form() {
        Form::Json => {
            serde_json::to_writer(&mut out, &report).context("printing")?;
            writeln!(out)
        }
        Form::Csv => writeln!(out, "directory,files,bytes\n{},{files},{bytes}", csv(directory)),
        Form::Table | Form::Text => writeln!(out, "snapshot {directory}: {files} files, {bytes} bytes"),
    }
    .and_then(|()| out.flush())
    .context("printing")
}
