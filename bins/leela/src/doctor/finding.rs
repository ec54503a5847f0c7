//! A finding: what was looked at, how it is, and the way out.

use std::io::{self, Write};

use anyhow::Context as _;
use serde::Serialize;

use crate::instance::Instance;
use crate::output::{self, Form, Tone, Toned, columns, csv};

/// How bad it is.
#[derive(Serialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// It works, and will not always.
    Warning,
    /// Something does not work: somebody has to act.
    Error,
}

impl Severity {
    const fn word(self) -> &'static str {
        match self {
            Severity::Ok => "ok",
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }

    const fn tone(self) -> Tone {
        match self {
            Severity::Ok | Severity::Note => Tone::Good,
            Severity::Warning => Tone::Odd,
            Severity::Error => Tone::Bad,
        }
    }
}

/// What was looked at. The words are those of the man page.
#[derive(Serialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub(super) enum Check {
    /// Whether processes run.
    Process,
    /// Whether the books can be read.
    Books,
    /// Whether configurations are right.
    Configuration,
    /// Who holds the addresses to listen at.
    Port,
    /// The kernel's limits.
    Kernel,
    /// Modes and owners in the runtime directory.
    Socket,
    /// The system's clock.
    Clock,
    /// For how long the disk will do.
    Disk,
    /// Who is behind.
    Peer,
    /// What runs, and what is installed.
    Version,
    /// Whether systemd's units fit.
    Unit,
}

impl Check {
    const fn word(self) -> &'static str {
        match self {
            Check::Process => "process",
            Check::Books => "books",
            Check::Configuration => "configuration",
            Check::Port => "port",
            Check::Kernel => "kernel",
            Check::Socket => "socket",
            Check::Clock => "clock",
            Check::Disk => "disk",
            Check::Peer => "peer",
            Check::Version => "version",
            Check::Unit => "unit",
        }
    }
}

/// One finding.
#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    pub(super) check: Check,
    /// What it is about: a process, a file, a setting.
    pub(super) about: String,
    /// How it is.
    pub(super) text: String,
    /// What to do; empty where nothing is to be done.
    pub(super) way_out: String,
}

impl Finding {
    /// All is well.
    pub(super) fn ok(check: Check, about: impl Into<String>, text: impl Into<String>) -> Finding {
        Finding::new(Severity::Ok, check, about, text, "")
    }

    pub(super) fn new(
        severity: Severity,
        check: Check,
        about: impl Into<String>,
        text: impl Into<String>,
        way_out: impl Into<String>,
    ) -> Finding {
        Finding { severity, check, about: about.into(), text: text.into(), way_out: way_out.into() }
    }
}

/// What `-o json` prints. Fields are only ever added.
#[derive(Serialize, Debug)]
struct All<'a> {
    instance: String,
    worst: Severity,
    findings: &'a [Finding],
}

/// Prints findings, the worst first.
pub(super) fn print(findings: &mut [Finding], instance: &Instance, form: Form) -> anyhow::Result<()> {
    // Stable: those of one severity stay in the order of their checks.
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let mut out = output::out();
    write(findings, instance, form, &mut out).and_then(|()| out.flush()).context("printing")
}

fn write(findings: &[Finding], instance: &Instance, form: Form, out: &mut impl Write) -> io::Result<()> {
    match form {
        Form::Json => {
            let worst = findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Ok);
            let instance = instance.runtime_dir.to_string();
            serde_json::to_writer(&mut *out, &All { instance, worst, findings })?;
            writeln!(out)
        }
        Form::Csv => {
            writeln!(out, "severity,check,about,text,way_out")?;
            for Finding { severity, check, about, text, way_out } in findings {
                let [about, text, way_out] = [about, text, way_out].map(|field| csv(field));
                writeln!(out, "{},{},{about},{text},{way_out}", severity.word(), check.word())?;
            }
            Ok(())
        }
        Form::Text => {
            for Finding { severity, check, about, text, way_out } in findings {
                let way_out = if way_out.is_empty() { String::new() } else { format!("; {way_out}") };
                let line = format!("{} {} {about} {text}{way_out}", severity.word(), check.word());
                writeln!(out, "{}", line.replace('\n', " "))?;
            }
            Ok(())
        }
        Form::Table => {
            let heads: Vec<Vec<String>> = findings
                .iter()
                .map(|finding| {
                    let Finding { severity, check, about, .. } = finding;
                    vec![severity.word().to_owned(), check.word().to_owned(), about.clone()]
                })
                .collect();
            let colour = output::colour();
            for (finding, head) in findings.iter().zip(columns(&heads, &[false; 3])) {
                let toned = Toned { text: &head[0], tone: finding.severity.tone(), colour };
                writeln!(out, "{toned}  {}  {}", head[1], head[2])?;
                for line in finding.text.lines().chain(finding.way_out.lines()) {
                    writeln!(out, "    {line}")?;
                }
            }
            Ok(())
        }
    }
}
