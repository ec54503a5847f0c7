//! leela(1): the operator's command. One module a command; what they share comes first.

pub mod cli;
pub mod instance;
mod output;
mod points;
mod wait;

mod candidates;
pub mod check;
pub mod completion;
pub mod doctor;
pub mod query;
pub mod refused;
pub mod send;
pub mod series;
pub mod status;
pub mod store;
pub mod tail;
#[doc(hidden)]
pub mod testing;
pub mod top;
#[allow(rustdoc::invalid_html_tags, reason = "its help speaks of <process>.toml")]
pub mod up;

use std::env;
use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::Parser as _;
use common::exit::{self, Exit};
use common::spot;

use cli::{Cli, Command};
use instance::Instance;

/// Parses the command line, does what it says, and tells an error once.
pub fn main() -> ExitCode {
    let words: Vec<OsString> = env::args_os().skip(1).collect();
    if words.first().is_some_and(|word| word == candidates::WORD) {
        let text = |word: &OsString| word.to_string_lossy().into_owned();
        candidates::run(&words.iter().skip(2).map(text).collect::<Vec<_>>());
        return Exit::Ok.into();
    }
    let cli = match Cli::try_parse_from(asking_for_help(env::args_os())) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match run(&cli) {
        Ok(()) => Exit::Ok.into(),
        Err(error) if exit::is_broken_pipe(&error) => Exit::Ok.into(),
        Err(error) => {
            output::say(format_args!("{error:#}"));
            Exit::of(&error).into()
        }
    }
}

/// `leela help send` is `leela send --help`, as many a program has it.
fn asking_for_help(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    if arguments.get(1).is_some_and(|word| word == "help") {
        arguments.remove(1);
        arguments.truncate(2);
        arguments.push("--help".into());
    }
    arguments
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    if let Command::Completion(completion) = &cli.command {
        return completion::run(completion);
    }
    let instance = Instance::choose(cli.runtime_dir.as_deref())?;
    let result = match &cli.command {
        // It makes an instance where none is, and says which.
        Command::Up(up) => return up::run(up, &instance),
        Command::Send(send) => send::run(send, &instance),
        Command::Tail(tail) => tail::run(tail, &instance),
        Command::Query(query) => query::run(query, &instance),
        Command::Series(series) => series::run(series, &instance),
        Command::Store(store) => store::run(store, &instance),
        Command::Status(status) => status::run(status, &instance),
        Command::Refused(refused) => refused::run(refused, &instance),
        Command::Top(top) => top::run(top, &instance),
        Command::Doctor(doctor) => doctor::run(doctor, &instance),
        Command::Check(check) => check::run(check),
        Command::Completion(_) => Ok(()),
    };
    result.map_err(|error| error.context(instance.to_string()))
}

/// Prints clap's error, help or version; its own exit status for a wrong usage is 2.
fn usage(error: &clap::Error) -> ExitCode {
    match (error.print(), error.use_stderr()) {
        (Ok(()), true) => Exit::Usage.into(),
        (Ok(()), false) => Exit::Ok.into(),
        (Err(error), _) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Ok.into(),
        (Err(_), _) => Exit::IoErr.into(),
    }
}

/// Flushes standard output; to be called before waiting.
pub(crate) fn flush(out: &mut impl io::Write) -> anyhow::Result<()> {
    out.flush().map_err(|error| anyhow::Error::new(error).context("printing"))
}
