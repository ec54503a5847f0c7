//! `leela check`: the configuration files of all processes, each read by the process itself.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;
use clap::Args;
use common::config;
use common::exit::Exit;
use serde::Serialize;

use crate::output::{self, Form, Output, Tone, Toned};

/// Check all configuration files.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Check {
    /// Where the files are [default: ./.leela/etc if there, else /etc/leela]
    #[arg(long, value_name = "DIR")]
    config_dir: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

const EXAMPLES: &str = "\
Examples:
  leela check
  leela check --config-dir ./etc
  leela-timeline --check
      what is in force in one process, and from where

Exit status: 0, 69 no process is installed, 78 a file is wrong";

/// The processes of Leela, without `leela-`, in the order of a metric's way.
const PROCESSES: [&str; 15] = [
    "udp",
    "statsd",
    "collectd",
    "http",
    "host",
    "import",
    "ssf",
    "docker",
    "prometheus",
    "timeline",
    "dmproc",
    "storage",
    "ship",
    "forward",
    "xmpp",
];

/// What became of one process's files.
#[derive(Serialize, Debug)]
struct Checked {
    process: String,
    ok: bool,
    /// What the process said; empty when all is well.
    message: String,
}

/// What `-o json` prints.
#[derive(Serialize, Debug)]
struct All<'a> {
    processes: &'a [Checked],
}

/// Runs the check of every process that is installed, and tells what they say.
pub fn run(check: &Check) -> anyhow::Result<()> {
    let local = Path::new(".leela/etc");
    let given = check.config_dir.clone().or_else(|| local.is_dir().then(|| local.to_owned()));
    let dirs = program_dirs();
    let mut checked = Vec::new();
    for process in PROCESSES {
        if let Some(program) = find(&dirs, &format!("leela-{process}")) {
            checked.push(ask(process, &program, given.as_deref())?);
        }
    }
    if checked.is_empty() {
        return Err(Exit::Unavailable.error(
            "no process of Leela is installed: there is no leela-<process> beside this program, nor in $PATH",
        ));
    }
    strays(given.as_deref().unwrap_or(Path::new(config::DIR)), &mut checked)?;
    print(&checked, check.output.form()).context("printing")?;
    match checked.iter().filter(|checked| !checked.ok).count() {
        0 => Ok(()),
        1 => Err(Exit::Config.error("the configuration of one process is wrong")),
        wrong => Err(Exit::Config.error(format_args!("the configuration of {wrong} processes is wrong"))),
    }
}

/// Where programs are: beside this one, then in `$PATH`.
pub(crate) fn program_dirs() -> Vec<PathBuf> {
    let own = env::current_exe().ok().and_then(|own| own.parent().map(Path::to_owned));
    let path = env::var_os("PATH").unwrap_or_default();
    own.into_iter().chain(env::split_paths(&path)).collect()
}

/// The first program of this name in `dirs`.
pub(crate) fn find(dirs: &[PathBuf], name: &str) -> Option<PathBuf> {
    let runs = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    dirs.iter().map(|dir| dir.join(name)).find(runs)
}

fn ask(process: &str, program: &Path, dir: Option<&Path>) -> anyhow::Result<Checked> {
    let mut command = Command::new(program);
    command.arg("--check").stdin(Stdio::null());
    // Its log is told here, not to the journal, and not in the words of another level.
    command.env_remove("JOURNAL_STREAM").env_remove("LEELA_LOG");
    if let Some(dir) = dir {
        command.arg("--config-dir").arg(dir);
    }
    let output = command.output().with_context(|| format!("running {}", program.display()))?;
    let ok = output.status.success();
    let said = String::from_utf8_lossy(&output.stderr);
    let prefix = format!("error leela-{process}: ");
    let lines: Vec<&str> = said.lines().map(|line| line.strip_prefix(&prefix).unwrap_or(line)).collect();
    let message = match ok {
        true => String::new(),
        false if lines.is_empty() => format!("{} --check: {}", program.display(), output.status),
        false => lines.join("\n"),
    };
    Ok(Checked { process: process.to_owned(), ok, message })
}

/// Adds the files of `dir` that no process reads.
fn strays(dir: &Path, checked: &mut Vec<Checked>) -> anyhow::Result<()> {
    let entries = match fs::read_dir(dir) {
        // Then all is at its default.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(|| format!("reading {}", dir.display()))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(PathBuf::from(entry.with_context(|| format!("reading {}", dir.display()))?.file_name()));
    }
    names.sort();
    for name in names {
        let stem = name.file_stem().and_then(OsStr::to_str).unwrap_or_default();
        let extension = name.extension().and_then(OsStr::to_str);
        if matches!(extension, Some("toml" | "d")) && !PROCESSES.contains(&stem) {
            let message = format!("{}: there is no process leela-{stem}", dir.join(&name).display());
            checked.push(Checked { process: stem.to_owned(), ok: false, message });
        }
    }
    Ok(())
}

fn print(checked: &[Checked], form: Form) -> io::Result<()> {
    let mut out = output::out();
    let word = |ok| if ok { "ok" } else { "wrong" };
    match form {
        Form::Json => {
            serde_json::to_writer(&mut out, &All { processes: checked })?;
            writeln!(out)?;
        }
        Form::Csv => {
            writeln!(out, "process,ok,message")?;
            for Checked { process, ok, message } in checked {
                writeln!(out, "{},{ok},{}", output::csv(process), output::csv(message))?;
            }
        }
        Form::Text => {
            for Checked { process, ok, message } in checked {
                writeln!(
                    out,
                    "{}",
                    format!("{process} {} {}", word(*ok), message.replace('\n', " ")).trim_end()
                )?;
            }
        }
        Form::Table => {
            let colour = output::colour();
            let width = checked.iter().map(|checked| checked.process.len()).max().unwrap_or(0);
            for Checked { process, ok, message } in checked {
                let tone = if *ok { Tone::Good } else { Tone::Bad };
                writeln!(out, "{process:width$}  {}", Toned { text: word(*ok), tone, colour })?;
                for line in message.lines() {
                    writeln!(out, "    {line}")?;
                }
            }
        }
    }
    out.flush()
}
