//! The frame of every process: parse, open, say ready, serve, drain, exit.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::builder::PathBufValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use sd_notify::NotifyState;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::error;

use crate::config::{self, Loaded, Source, Wrong};
use crate::exit::{self, Exit};
use crate::log;
use crate::runtime_dir::{RuntimeDir, StateDir};

/// A process, told by its configuration: `impl Process for Config`.
pub trait Process: Serialize + DeserializeOwned + Default + 'static {
    /// The short name, of the configuration file and the books: `udp`.
    const NAME: &'static str;
    /// The program's name: `leela-udp`.
    const PROGRAM: &'static str;
    /// One sentence without a full stop: "Leela's text over UDP in, metrics out".
    const ABOUT: &'static str;

    /// What else its program does than to run.
    const MODES: &'static [Mode<Self>] = &[];

    /// What types cannot say about values: ranges, and keys that exclude each other.
    fn check(&self) -> Result<(), Wrong> {
        Ok(())
    }
}

/// A flag by which a program does something else with its configuration than to run, and ends.
#[derive(Clone, Copy, Debug)]
pub struct Mode<C> {
    /// Without the dashes: `explain`.
    pub flag: &'static str,
    /// What `--help` says of it.
    pub help: &'static str,
    /// What it does. No directory is prepared.
    pub run: fn(&C) -> anyhow::Result<()>,
}

/// The directories a process works in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Places {
    /// Where the instance meets; it is prepared.
    pub runtime_dir: RuntimeDir,
    /// Where this process keeps state; it prepares it itself, if it has any.
    pub state_dir: StateDir,
}

/// Runs a process: parses the command line, loads the configuration, starts the log, calls `run`, logs its
/// error once, whole, and turns it into the exit status.
pub fn main<C: Process>(run: impl FnOnce(C, Places) -> anyhow::Result<()>) -> ExitCode {
    let matches = match command::<C>().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return usage(&error),
    };
    if let Err(error) = log::start(C::PROGRAM) {
        // There is no log to tell it to.
        eprintln!("{}: {error:#}", C::PROGRAM);
        return Exit::Software.into();
    }
    match start(&matches, run) {
        Ok(()) => Exit::Ok.into(),
        // Nobody reads what is printed any more. A process that runs prints nothing.
        Err(error) if exit::is_broken_pipe(&error) && prints::<C>(&matches) => Exit::Ok.into(),
        Err(error) => {
            // A drop-in that is to be written stands on lines of its own.
            format!("{error:#}").lines().for_each(|line| error!(target: log::LAST_WORDS, "{line}"));
            Exit::of(&error).into()
        }
    }
}

fn prints<C: Process>(matches: &ArgMatches) -> bool {
    matches.get_flag("check") || C::MODES.iter().any(|mode| matches.get_flag(mode.flag))
}

fn start<C: Process>(
    matches: &ArgMatches,
    run: impl FnOnce(C, Places) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let path = |name: &str| matches.get_one::<PathBuf>(name).cloned();
    let source = match (path("config"), path("config-dir")) {
        (Some(file), _) => Source::File(file),
        (None, Some(dir)) => Source::Dir(dir),
        (None, None) => Source::Default,
    };
    let loaded: Loaded<C> = config::load(C::NAME, &source)?;
    loaded.config.check().map_err(|wrong| loaded.wrong(&wrong))?;
    if matches.get_flag("check") {
        let text = loaded.in_force()?;
        return io::stdout().write_all(text.as_bytes()).context("printing the configuration");
    }
    if let Some(mode) = C::MODES.iter().find(|mode| matches.get_flag(mode.flag)) {
        return (mode.run)(&loaded.config);
    }
    let places = Places {
        runtime_dir: RuntimeDir::choose(path("runtime-dir").as_deref())?,
        state_dir: StateDir::choose(path("state-dir").as_deref(), C::NAME),
    };
    places.runtime_dir.prepare()?;
    run(loaded.config, places)
}

/// The command line of a process, for its own parsing, completion and man page tests.
pub fn command<C: Process>() -> Command {
    let path = |name: &'static str, value: &'static str, help: String| {
        Arg::new(name).long(name).value_name(value).value_parser(PathBufValueParser::new()).help(help)
    };
    let modes = C::MODES.iter();
    let modes =
        modes.map(|mode| Arg::new(mode.flag).long(mode.flag).action(ArgAction::SetTrue).help(mode.help));
    let name = C::NAME;
    Command::new(C::PROGRAM)
        .version(env!("CARGO_PKG_VERSION"))
        .about(C::ABOUT)
        .after_long_help(examples::<C>())
        .arg(path("config", "PATH", "Read this configuration file alone".into()).conflicts_with("config-dir"))
        .arg(path(
            "config-dir",
            "DIR",
            format!("Read {name}.toml and {name}.d/*.toml of this directory [default: {}]", config::DIR),
        ))
        .arg(path(
            "runtime-dir",
            "DIR",
            "Where sockets, books and rings are [default: $LEELA_RUNTIME_DIR, ./.leela/run if there, /run/leela]".into(),
        ))
        .arg(path(
            "state-dir",
            "DIR",
            format!(
                "Where state is kept [default: $STATE_DIRECTORY, ./.leela/state/{name} if ./.leela is there, \
                 /var/lib/leela/{name}]"
            ),
        ))
        .arg(
            Arg::new("check")
                .long("check")
                .action(ArgAction::SetTrue)
                .help("Check the configuration, print every key in force and where it comes from, and exit"),
        )
        .args(modes)
}

fn examples<C: Process>() -> String {
    let (program, name) = (C::PROGRAM, C::NAME);
    let mut text = String::from("Examples:\n");
    for (line, why) in [
        (program.to_owned(), "run it in the foreground"),
        (format!("{program} --check"), "what is in force, and from where"),
        (format!("{program} --config ./{name}.toml --runtime-dir /tmp/leela"), "try another configuration"),
        (format!("LEELA_LOG=debug {program}"), "see every datagram"),
    ] {
        writeln!(text, "  {line}\n      {why}").expect("a string takes all text");
    }
    write!(
        text,
        "\nExit status: 0, 64 usage, 70 fault, 74 input/output, 75 try again, 77 permission, 78 configuration"
    )
    .expect("a string takes all text");
    write!(text, "\nManual: {program}(8)").expect("a string takes all text");
    text
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

/// Tells the service manager that all sockets are open. Signals are caught before: [`stop_signal`].
pub fn ready() {
    notify(NotifyState::Ready);
}

/// Tells the service manager that the process drains.
pub fn stopping() {
    notify(NotifyState::Stopping);
}

/// Tells the service manager that the loop turns; every [`watchdog`].
pub fn alive() {
    notify(NotifyState::Watchdog);
}

/// How often to call [`alive`], a third of what the service manager waits; None where it does not watch.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 3)
}

fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        error!(%error, "the service manager does not hear us, check NOTIFY_SOCKET");
    }
}

/// Catches SIGTERM and SIGINT from now on: before [`ready`], and before any thread is started, since threads
/// inherit what is caught.
pub fn stop_signal() -> anyhow::Result<StopSignal> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    signals.thread_block().context("blocking SIGTERM and SIGINT")?;
    let fd = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
        .context("opening a descriptor for signals")?;
    Ok(StopSignal(fd))
}

/// Readable when the process is asked to stop. A source for mio (`SourceFd(&stop.as_raw_fd())`), tokio's
/// `AsyncFd` or poll.
#[derive(Debug)]
pub struct StopSignal(SignalFd);

impl StopSignal {
    /// Takes the signal that has come, if any: `SIGTERM`. Never waits; the next one makes it readable again.
    pub fn take(&self) -> io::Result<Option<&'static str>> {
        let caught = self.0.read_signal()?;
        let name = |number: u32| i32::try_from(number).ok().and_then(|number| Signal::try_from(number).ok());
        Ok(caught.and_then(|info| name(info.ssi_signo)).map(Signal::as_str))
    }
}

impl AsFd for StopSignal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for StopSignal {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::error::ErrorKind;
    use nix::sys::signal::raise;
    use serde::Deserialize;

    #[derive(Default, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Config {
        readers: u16,
    }

    impl Process for Config {
        const NAME: &'static str = "udp";
        const PROGRAM: &'static str = "leela-udp";
        const ABOUT: &'static str = "Leela's text over UDP in, metrics out";

        fn check(&self) -> Result<(), Wrong> {
            if self.readers > 64 { Err(Wrong::new("readers", "at most 64")) } else { Ok(()) }
        }
    }

    type Ran = (Option<(u16, Places)>, Result<(), (Exit, String)>);

    fn run(arguments: &[&str]) -> Ran {
        let matches = command::<Config>().try_get_matches_from([&["leela-udp"], arguments].concat()).unwrap();
        let mut seen = None;
        let result = start::<Config>(&matches, |config, places| {
            seen = Some((config.readers, places));
            Ok(())
        });
        (seen, result.map_err(|error| (Exit::of(&error), format!("{error:#}"))))
    }

    #[test]
    fn a_process_runs_with_its_configuration_and_places() {
        let dir = tempfile::tempdir().unwrap();
        let dir = std::fs::canonicalize(dir.path()).unwrap();
        std::fs::create_dir_all(&dir).unwrap();
        let (config, at, state) = (dir.join("udp.toml"), dir.join("run"), dir.join("state"));
        let text = |path: &PathBuf| path.to_str().unwrap().to_owned();
        let places = ["--runtime-dir", &text(&at), "--state-dir", &text(&state)];

        std::fs::write(&config, "readers = 3\n").unwrap();
        let want = Places {
            runtime_dir: RuntimeDir::at(&at).unwrap(),
            state_dir: StateDir::choose(Some(&state), "udp"),
        };
        for source in [["--config", &text(&config)], ["--config-dir", &text(&dir)]] {
            assert_eq!(
                run(&[&source[..], &places].concat()),
                (Some((3, want.clone())), Ok(())),
                "{source:?}"
            );
        }
        assert!(at.join("books").is_dir() && !state.exists());

        std::fs::write(&config, "\nreaders = 65\n").unwrap();
        let (seen, result) = run(&[&["--config", &text(&config)], &places[..]].concat());
        assert_eq!(seen, None);
        assert_eq!(result, Err((Exit::Config, format!("{}:2: readers: at most 64", config.display()))));
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_wrong_usage_is_an_error_and_help_is_none() {
        for (arguments, want) in [
            (&["--chek"][..], ErrorKind::UnknownArgument),
            (&["--config", "a", "--config-dir", "b"], ErrorKind::ArgumentConflict),
            (&["stray"], ErrorKind::UnknownArgument),
            (&["--help"], ErrorKind::DisplayHelp),
            (&["--version"], ErrorKind::DisplayVersion),
        ] {
            let error =
                command::<Config>().try_get_matches_from([&["leela-udp"], arguments].concat()).unwrap_err();
            assert_eq!(error.kind(), want, "{arguments:?}");
        }
        command::<Config>().debug_assert();
        assert!(examples::<Config>().contains("leela-udp --check"));
    }

    #[test]
    fn a_stop_signal_is_taken_once_and_none_is_lost() {
        let stop = stop_signal().unwrap();
        assert_eq!(stop.take().unwrap(), None);
        for (signal, want) in [(Signal::SIGTERM, "SIGTERM"), (Signal::SIGINT, "SIGINT")] {
            raise(signal).unwrap();
            assert_eq!(stop.take().unwrap(), Some(want));
            assert_eq!(stop.take().unwrap(), None);
        }
    }
}
