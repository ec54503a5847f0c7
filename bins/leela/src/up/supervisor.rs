//! The loop that looks after all processes of the instance.

use std::env;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use common::exit::Exit;
use common::size::Size;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::child::{self, Child, Common, READY_WITHIN, seconds};
use super::leftovers;
use super::place::Place;
use super::say::Say;
use super::services::SERVICES;
use super::settings::{Checked, Configs};
use super::summary::Ledger;

/// All processes of the instance.
#[derive(Debug)]
pub(super) struct Supervisor {
    pub(super) common: Common,
    pub(super) children: Vec<Child>,
    signals: SignalFd,
    /// The runtime directory that was given, to be given to other commands too.
    given: Option<PathBuf>,
    started: Instant,
    /// What is listening where has been said.
    shown: bool,
}

/// Makes the instance, runs it, and drains it.
pub(super) fn run(config_dir: Option<&Path>, given: Option<&Path>) -> anyhow::Result<()> {
    // Before anything that has to be cleaned up, and before any process is started.
    let signals = catch()?;
    let say = Say::new();
    let started = Instant::now();
    let place = Place::take(given, say)?;
    leftovers::end(&place.run, say)?;
    let configs = Configs::choose(config_dir, &place.home, place.run.path())?;
    let common = Common { place, configs, say };
    let before = Ledger::read(&common.place.run);
    let mut children = children(&common)?;
    for child in &mut children {
        child.bind_paths(&common);
    }
    let given = given.map(Path::to_owned);
    let mut supervisor = Supervisor { common, children, signals, given, started, shown: false };
    let signal = supervisor.serve()?;
    supervisor.drain(signal, &before)
}

fn children(common: &Common) -> anyhow::Result<Vec<Child>> {
    let programs = child::programs()?;
    let mut children = Vec::new();
    for service in SERVICES {
        let program = programs.join(service.program());
        if !program.is_file() {
            let (name, about) = (service.name, service.about);
            common.say.warn(&format!("{name} ({about}) is left out: there is no {}", program.display()));
        } else if service.needs_account && has_no_account(service.name, &program, common) {
            let (name, about) = (service.name, service.about);
            common.say.line(&format!("{name} ({about}) is skipped: `jid` is not set in {name}.toml"));
        } else {
            children.push(Child::new(service, program, common)?);
        }
    }
    if children.is_empty() {
        return Err(Exit::Unavailable.error(format_args!(
            "no process of Leela in {}: build them with `cargo build --release`",
            programs.display()
        )));
    }
    Ok(children)
}

/// Whether its configuration names no account. One that is wrong is told when it is started.
fn has_no_account(name: &str, program: &Path, common: &Common) -> bool {
    match common.configs.check(name, program) {
        Ok(Checked::Settings(settings)) => settings.jid.is_empty(),
        Ok(Checked::Refused(..)) | Err(_) => false,
    }
}

fn catch() -> anyhow::Result<SignalFd> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCHLD] {
        signals.add(signal);
    }
    signals.thread_block().context("blocking signals")?;
    SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
        .context("opening a descriptor for signals")
}

impl Supervisor {
    /// Looks after the processes until a signal asks to stop.
    fn serve(&mut self) -> anyhow::Result<Signal> {
        let mut deadline = Some(self.started + READY_WITHIN);
        loop {
            let now = Instant::now();
            // Consumers first: they are registered before the first metric comes.
            for child in self.children.iter_mut().rev() {
                child.keep_up(&self.common, now);
            }
            self.show_when_ready(&mut deadline, now);
            let due = self.children.iter().filter_map(Child::due).chain(deadline).min();
            if let Some(signal) = self.turn(due, false)? {
                return Ok(signal);
            }
        }
    }

    /// Waits for a signal, for what a process says, or until `due`; takes note of who has ended. `told`: they
    /// were told to. Gives the signal that asks to stop.
    pub(super) fn turn(&mut self, due: Option<Instant>, told: bool) -> anyhow::Result<Option<Signal>> {
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.children.iter().map(|child| PollFd::new(child.notify_fd(), PollFlags::POLLIN)));
        let wait = due.map(|due| due.saturating_duration_since(Instant::now()));
        // Rounded up, so that it does not spin in the last millisecond.
        let timeout = wait.map_or(PollTimeout::NONE, |wait| {
            PollTimeout::try_from(wait + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("waiting for the processes"),
        }
        for child in &mut self.children {
            child.hear(&self.common);
        }
        let mut stop = None;
        while let Some(caught) = self.signals.read_signal().context("reading signals")? {
            match i32::try_from(caught.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok()) {
                Some(Signal::SIGCHLD) | None => {}
                signal => stop = signal,
            }
        }
        // All of them: one SIGCHLD may stand for several.
        for child in &mut self.children {
            child.reap(&self.common, told)?;
        }
        Ok(stop)
    }

    /// Says once what is listening where: when all are ready, or when waiting longer does not help.
    fn show_when_ready(&mut self, deadline: &mut Option<Instant>, now: Instant) {
        if self.shown {
            return;
        }
        let late = deadline.is_some_and(|deadline| now >= deadline);
        let decided = |child: &Child| child.is_ready() || child.is_hopeless();
        if !late && !self.children.iter().all(decided) {
            return;
        }
        *deadline = None;
        self.shown = true;
        self.show();
    }

    fn show(&self) {
        let say = self.common.say;
        let Common { place, configs, .. } = &self.common;
        let shown: Vec<(&Child, String)> =
            self.children.iter().map(|child| (child, child.handover.shown().join(" "))).collect();
        let widths = (
            shown.iter().map(|(child, _)| child.service.name.len()).max().unwrap_or(0),
            shown.iter().map(|(_, sockets)| sockets.len()).max().unwrap_or(0),
        );
        say.line("");
        for (child, sockets) in &shown {
            let (name_width, sockets_width) = widths;
            let name = say.strong(&format!("{:<name_width$}", child.service.name));
            say.line(&format!("  {name}  {sockets:<sockets_width$}  {}", child.service.about));
        }
        say.line("");
        // One that is starting has been named, or will be when it is late.
        let away = |child: &Child| !child.is_ready() && !child.is_starting();
        for (child, _) in shown.iter().filter(|(child, _)| away(child)) {
            say.warn(&format!("{} is not ready: {}", child.service.name, child.standing()));
        }
        self.note_small_buffers();
        let ready = self.children.iter().filter(|child| child.is_ready()).count();
        say.line(&format!(
            "{ready} of {} processes ready after {}; data in {}, sockets in {}, {}",
            self.children.len(),
            seconds(self.started.elapsed()),
            place.home.display(),
            place.run,
            match configs.user() {
                Some(dir) => format!("configuration from {}", dir.display()),
                None => "all at defaults".to_owned(),
            }
        ));
        self.show_next();
    }

    /// What to type next.
    fn show_next(&self) {
        let say = self.common.say;
        let ready =
            |name: &str| self.children.iter().any(|child| child.service.name == name && child.is_ready());
        let leela = self.leela();
        let commands = [
            (ready("timeline"), "send gauge room.temp 21.5"),
            (ready("dmproc"), "query 'SELECT id FROM ^room'"),
            (true, "status"),
        ];
        match &self.given {
            Some(_) => say.line("Ctrl-C ends it. Next, in another terminal:"),
            None => say.line("Ctrl-C ends it. Next, in another terminal, in this directory:"),
        }
        for (_, command) in commands.into_iter().filter(|(there, _)| *there) {
            say.line(&format!("  {}", say.strong(&format!("{leela} {command}"))));
        }
    }

    /// How to call this program from here: by its name where the shell finds just this one.
    fn leela(&self) -> String {
        let own = env::current_exe().ok();
        let path = env::var_os("PATH").unwrap_or_default();
        let found = env::split_paths(&path).map(|dir| dir.join("leela")).find(|program| program.is_file());
        let found = found.and_then(|program| program.canonicalize().ok());
        let mut leela = match (own, env::args_os().next()) {
            (Some(own), _) if Some(&own) == found.as_ref() => "leela".to_owned(),
            (_, Some(called)) => called.to_string_lossy().into_owned(),
            _ => "leela".to_owned(),
        };
        if let Some(given) = &self.given {
            leela.push_str(&format!(" --runtime-dir {}", given.display()));
        }
        leela
    }

    /// A receive buffer that the system cut is what decides how long a restart may take.
    fn note_small_buffers(&self) {
        for child in &self.children {
            if let Some((granted, configured)) = child.handover.cut_buffer() {
                let (name, granted) = (child.service.name, Size::from_bytes(granted));
                self.common.say.line(&format!(
                    "note: {name}'s receive buffer is {granted}; sysctl net.core.rmem_max={configured} grants {}",
                    Size::from_bytes(configured)
                ));
            }
        }
    }
}
