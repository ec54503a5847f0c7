//! Each case is a process of its own, with the processes it starts as its group: one that fails takes nothing with it,
//! and leaves nothing running. What it had in its directory stays then, to be looked at.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::Context;
use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, getpgrp};

use crate::row::Row;
use crate::{Case, Scale};

/// Runs a case in a process of its own.
pub(crate) fn run(case: Case, scale: Scale) -> anyhow::Result<Vec<Row>> {
    let mut command = Command::new(program_of(case)?);
    command.arg(case.name()).arg("--alone").process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
    if scale == Scale::Short {
        command.arg("--short");
    }
    let mut child = command.spawn().context("starting the case")?;
    let group = Pid::from_raw(i32::try_from(child.id()).context("process ids fit an i32")?);
    let out = child.stdout.take().context("its standard output is piped")?;
    let rows: Result<Vec<Row>, anyhow::Error> = BufReader::new(out)
        .lines()
        .map(|line| Ok(serde_json::from_str(&line.context("reading its rows")?)?))
        .collect();
    // Not yet waited for, so the group's id is still its own.
    let (status, ended) = (wait_exit(&mut child)?, kill_group(group));
    anyhow::ensure!(status.success(), "{status}; what it had is in a directory leela-* of /dev/shm");
    ended?;
    rows
}

/// The program that runs a case: this one; where the next version of the wire's form comes, one that reads it, as a
/// consumer of that release does.
fn program_of(case: Case) -> anyhow::Result<PathBuf> {
    let this = env::current_exe().context("finding this program")?;
    if case != Case::SystemdUpgrades {
        return Ok(this);
    }
    let feature = "next-version-read";
    let built = tests::built_with(feature, &["faults".to_owned()]).remove(0);
    // Beside this one: where a program lies says what it is built with.
    let program = this.with_file_name(format!("faults.{feature}"));
    fs::copy(&built, &program).with_context(|| format!("copying {}", built.display()))?;
    Ok(program)
}

/// Waits for the end of a child whose standard input says that it is still wanted.
fn wait_exit(child: &mut std::process::Child) -> io::Result<std::process::ExitStatus> {
    // `wait` would close it first, and the case would end itself.
    let wanted = child.stdin.take();
    let status = child.wait();
    drop(wanted);
    status
}

/// Ends what is left of a group.
fn kill_group(group: Pid) -> anyhow::Result<()> {
    match killpg(group, Signal::SIGKILL) {
        Ok(()) => anyhow::bail!("it left processes behind, which were ended"),
        Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error).context("ending what it left behind"),
    }
}

/// The case itself: a line of JSON for each of its rows.
pub(crate) fn serve(case: Case, scale: Scale) -> anyhow::Result<()> {
    thread::spawn(|| {
        let _ = io::stdin().read(&mut [0]);
        // Whoever started it is gone: nobody wants the rest.
        let _ = killpg(getpgrp(), Signal::SIGKILL);
    });
    for row in case.run(scale)? {
        println!("{}", serde_json::to_string(&row)?);
    }
    Ok(())
}
