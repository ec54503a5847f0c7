//! A process of the instance: its books, and the configuration that is in force in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::books::{Snapshot, State};
use common::size::Size;
use hop::account::Reading;
use toml::{Table, Value};

use super::finding::{Check, Finding, Severity};
use crate::check::{find, program_dirs};

/// Words of a command line that say where a configuration is.
const CONFIG_FLAGS: [&str; 2] = ["--config", "--config-dir"];

/// A process that has books.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) books: Snapshot,
    settings: Settings,
}

/// What `--check` says is in force; the words of the process where it refuses it, none where it is not installed.
#[derive(Clone, Debug)]
pub(super) struct Settings(Option<Result<Table, String>>);

impl Settings {
    /// What an installed process has in force when its command line says nothing.
    pub(super) fn of_installed(process: &str) -> Settings {
        Settings::ask(&program_dirs(), process, &[])
    }

    fn ask(dirs: &[PathBuf], process: &str, arguments: &[PathBuf]) -> Settings {
        Settings(find(dirs, &format!("leela-{process}")).map(|program| ask(&program, arguments)))
    }

    /// All of it, where it is known and right.
    pub(super) fn table(&self) -> Option<&Table> {
        self.0.as_ref()?.as_ref().ok()
    }

    /// A list of texts; empty where the process has no such key.
    pub(super) fn list(&self, key: &str) -> Vec<&str> {
        let list = self.table().and_then(|table| table.get(key)).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// A text that is not empty.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.table()?.get(key)?.as_str().filter(|text| !text.is_empty())
    }

    pub(super) fn integer(&self, key: &str) -> Option<i64> {
        self.table()?.get(key)?.as_integer()
    }

    pub(super) fn size(&self, key: &str) -> Option<u64> {
        self.text(key)?.parse().ok().map(Size::bytes)
    }
}

/// All of them. `config_dir` is for those whose command line does not say.
pub(super) fn all(reading: &Reading, config_dir: Option<&Path>) -> Vec<Member> {
    let dirs = program_dirs();
    let local = Path::new(".leela/etc");
    let default = config_dir.or_else(|| local.is_dir().then_some(local));
    let member = |books: &Snapshot| {
        let mut arguments = of_command_line(books);
        if let (true, Some(dir)) = (arguments.is_empty(), default) {
            arguments = vec!["--config-dir".into(), dir.to_owned()];
        }
        Member { books: books.clone(), settings: Settings::ask(&dirs, &books.process, &arguments) }
    };
    reading.books.iter().map(member).collect()
}

impl Member {
    pub(super) fn name(&self) -> &str {
        &self.books.process
    }

    pub(super) fn runs(&self) -> bool {
        matches!(self.books.state, State::Running | State::Stopped)
    }

    /// `leela-udp, pid 7`.
    pub(super) fn title(&self) -> String {
        format!("leela-{}, pid {}", self.books.process, self.books.pid)
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether it runs, and whether its configuration is right.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let (name, pid) = (self.name(), self.books.pid);
        let state = |severity, text: String, way_out: String| {
            Finding::new(severity, Check::Process, name, text, way_out)
        };
        let start = format!("`systemctl start leela-{name}` or `leela up` starts it");
        let mut findings = vec![match self.books.state {
            State::Running => Finding::ok(Check::Process, name, format!("{} runs", self.title())),
            State::Stopped => state(
                Severity::Error,
                format!("{} is stopped by a signal", self.title()),
                format!("`kill -CONT {pid}` lets it go on"),
            ),
            State::Dead => state(
                Severity::Error,
                format!("leela-{name} is dead, killed or crashed"),
                format!("{start}; `journalctl -u leela-{name}` may say why"),
            ),
            State::Ended => state(Severity::Warning, format!("leela-{name} has ended, in order"), start),
        }];
        match &self.settings.0 {
            Some(Err(said)) => findings.push(Finding::new(
                Severity::Error,
                Check::Configuration,
                name,
                said,
                format!(
                    "mend it; `leela-{name} --check` reads it again, and until then the process does not start"
                ),
            )),
            Some(Ok(_)) => {
                findings.push(Finding::ok(Check::Configuration, name, "its configuration can be read"));
            }
            None => findings.push(Finding::new(
                Severity::Note,
                Check::Configuration,
                name,
                format!("leela-{name} is neither beside leela nor in $PATH: what it is configured to is not known"),
                "",
            )),
        }
        findings
    }
}

/// What a process that runs was told about its configuration; paths are taken from where it works.
fn of_command_line(books: &Snapshot) -> Vec<PathBuf> {
    if !matches!(books.state, State::Running | State::Stopped) {
        return Vec::new();
    }
    let process = PathBuf::from(format!("/proc/{}", books.pid));
    let line = fs::read(process.join("cmdline")).unwrap_or_default();
    let cwd = fs::read_link(process.join("cwd")).unwrap_or_default();
    let words: Vec<String> =
        line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    arguments(&words, &cwd)
}

fn arguments(words: &[String], cwd: &Path) -> Vec<PathBuf> {
    for (at, word) in words.iter().enumerate() {
        for flag in CONFIG_FLAGS {
            let path = match word.strip_prefix(flag) {
                Some("") => words.get(at + 1).map(String::as_str),
                Some(rest) => rest.strip_prefix('='),
                None => None,
            };
            if let Some(path) = path {
                return vec![flag.into(), cwd.join(path)];
            }
        }
    }
    Vec::new()
}

fn ask(program: &Path, arguments: &[PathBuf]) -> Result<Table, String> {
    let mut command = Command::new(program);
    command.arg("--check").args(arguments).stdin(Stdio::null());
    command.env_remove("JOURNAL_STREAM").env_remove("LEELA_LOG");
    let output = command.output().map_err(|error| format!("running {}: {error}", program.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(said.trim_end().to_owned());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    text.parse().map_err(|error| format!("what {} --check prints is no TOML: {error}", program.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_says_where_the_configuration_is() {
        for (line, want) in [
            ("leela-udp --config udp.toml", &["--config", "/home/udp.toml"][..]),
            ("leela-udp --config-dir=/etc/x --runtime-dir /r", &["--config-dir", "/etc/x"]),
            ("leela-udp --config-dir /etc/x", &["--config-dir", "/etc/x"]),
            ("leela-udp --runtime-dir /r", &[]),
            ("leela-udp --config", &[]),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let want: Vec<PathBuf> = want.iter().map(PathBuf::from).collect();
            assert_eq!(arguments(&words, Path::new("/home")), want, "{line}");
        }
    }
}
