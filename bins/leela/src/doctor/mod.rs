//! `leela doctor`: what is wrong with an instance and the host it is on, and the way out. It changes nothing.

mod clock;
mod finding;
mod host;
mod kernel;
mod member;
mod peer;
mod port;
mod runtime;
mod selftest;
mod store;
mod unit;
mod version;

use std::path::PathBuf;

use clap::Args;
use common::exit::Exit;
use common::span::Span;
use common::time::Time;
use hop::account::{Reading, ReadingError, Report};

use crate::instance::Instance;
use crate::output::Output;
use crate::status::unread;
use finding::{Check, Finding, Severity};
use member::Member;

/// Say what is wrong with this instance and its host, and the way out.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Doctor {
    /// Where the configuration of processes that do not run is [default: ./.leela/etc if there, else /etc/leela]
    #[arg(long, value_name = "DIR")]
    config_dir: Option<PathBuf>,
    /// Instead send a metric through every input that runs, and see it live and in the store
    #[arg(long)]
    self_test: bool,
    /// Of --self-test: how long a metric may take [default: 5s]
    #[arg(long, value_name = "SPAN", requires = "self_test")]
    timeout: Option<Span>,
    #[command(flatten)]
    output: Output,
}

const EXAMPLES: &str = "\
Examples:
  leela doctor
  sudo leela doctor
      sees also who holds other users' sockets
  leela doctor --self-test
      how long a metric takes from each input to its reader and to the store
  leela doctor -o json | jq -r '.findings[] | select(.severity == \"error\") | .way_out'

Exit status: 0 nothing is an error, 1 something is, or did not arrive, 69 nobody ever ran here";

/// Looks at everything, and prints what it found.
pub fn run(doctor: &Doctor, instance: &Instance) -> anyhow::Result<()> {
    let config_dir = doctor.config_dir.as_deref();
    if doctor.self_test {
        let timeout = doctor.timeout.unwrap_or(selftest::TIMEOUT);
        return selftest::run(config_dir, timeout, instance, doctor.output.form());
    }
    let reading = match Reading::of(&instance.runtime_dir) {
        Ok(reading) => reading,
        // Units of an instance that never ran can be looked at all the same.
        Err(ReadingError::Nobody) if unit::are_asked_for(instance) => Reading::default(),
        Err(error) => return Err(unread(error, instance)),
    };
    let mut findings = examine(doctor, instance, &reading);
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    finding::print(&mut findings, instance, doctor.output.form())?;
    match errors {
        0 => Ok(()),
        1 => Err(Exit::No.error("one finding is an error")),
        errors => Err(Exit::No.error(format_args!("{errors} findings are errors"))),
    }
}

fn examine(doctor: &Doctor, instance: &Instance, reading: &Reading) -> Vec<Finding> {
    let now = Time::now();
    let report = Report::of(&instance.runtime_dir, reading);
    let members = member::all(reading, doctor.config_dir.as_deref());
    let mut findings = Vec::new();
    for problem in &reading.problems {
        let way_out = "if it was made by another version of Leela, restart its process; else remove the file while \
                       its process is stopped";
        findings.push(Finding::new(Severity::Error, Check::Books, "runtime directory", problem, way_out));
    }
    if !report.balanced {
        let way_out = "`leela status` says where; it is a fault of Leela, please report it";
        findings.push(Finding::new(
            Severity::Error,
            Check::Books,
            "balance",
            "the books do not balance",
            way_out,
        ));
    }
    findings.extend(members.iter().flat_map(Member::findings));
    findings.extend(port::findings(&members));
    findings.extend(kernel::findings(&members));
    findings.extend(runtime::findings(instance, &members));
    findings.extend(clock::findings(reading, now));
    findings.extend(store::findings(instance, reading, now));
    findings.extend(peer::findings(reading, &report));
    findings.extend(version::findings(&members));
    findings.extend(unit::findings(instance, &members));
    findings
}
