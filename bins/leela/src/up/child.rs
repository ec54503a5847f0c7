//! One process: started with its sockets, asked whether it is ready, started again when it dies.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child as Running, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use command_fds::{CommandFdExt, FdMapping};
use common::exit::Exit;
use common::log;
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{Pid, getppid};

use super::backoff::{self, Backoff};
use super::handover::Handover;
use super::place::Place;
use super::say::Say;
use super::services::Service;
use super::settings::{Checked, Configs, DRAIN_TIMEOUT};

/// The first descriptor that is handed over. Source: sd_listen_fds(3).
const FIRST_DESCRIPTOR: i32 = 3;
/// A process that is not ready by then is named, and the others go on.
pub(super) const READY_WITHIN: Duration = Duration::from_secs(10);
/// Variables of a service manager above, that are not meant for the processes below.
const NOT_HANDED_ON: [&str; 8] = [
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "STATE_DIRECTORY",
    "CONFIGURATION_DIRECTORY",
    "LEELA_RUNTIME_DIR",
];

/// What all processes have in common.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) place: Place,
    pub(super) configs: Configs,
    pub(super) say: Say,
}

/// Where a process stands.
#[derive(Debug)]
enum Life {
    /// It does not run; hopeless when it ended in a way that somebody has to change something first.
    Away { again_at: Instant, hopeless: bool },
    /// It was started and has not said READY yet; late once that was said.
    Starting { running: Running, since: Instant, late: bool },
    /// It serves.
    Ready { running: Running, since: Instant },
    /// It was told to stop, and has ended.
    Ended,
}

/// A process that `leela up` looks after.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) service: &'static Service,
    pub(super) handover: Handover,
    program: PathBuf,
    notify: UnixDatagram,
    notify_path: PathBuf,
    life: Life,
    backoff: Backoff,
    /// When it went, unless it has never been ready or is ready now.
    away_since: Option<Instant>,
    /// The reason why it does not run that was said last, so that it is not said again.
    said: Option<String>,
    /// As it was configured when it was started last.
    pub(super) drain_timeout: Duration,
}

impl Child {
    /// A process that is due to be started.
    pub(super) fn new(service: &'static Service, program: PathBuf, common: &Common) -> anyhow::Result<Child> {
        let dir = common.place.run.path().join("notify");
        fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
        let notify_path = dir.join(service.name);
        match fs::remove_file(&notify_path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("replacing {}", notify_path.display()));
            }
            _ => {}
        }
        let notify = UnixDatagram::bind(&notify_path)
            .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
            .with_context(|| format!("binding {}", notify_path.display()))?;
        Ok(Child {
            service,
            handover: Handover::default(),
            program,
            notify,
            notify_path,
            life: Life::Away { again_at: Instant::now(), hopeless: false },
            backoff: Backoff::new(),
            away_since: None,
            said: None,
            drain_timeout: DRAIN_TIMEOUT.duration(),
        })
    }

    /// Readable when the process has said something.
    pub(super) fn notify_fd(&self) -> BorrowedFd<'_> {
        self.notify.as_fd()
    }

    /// When [`Child::keep_up`] has something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.life {
            Life::Away { again_at, .. } => Some(again_at),
            Life::Starting { since, late: false, .. } => Some(since + READY_WITHIN),
            _ => None,
        }
    }

    /// True when it serves.
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.life, Life::Ready { .. })
    }

    /// True when it was started and is not ready yet.
    pub(super) fn is_starting(&self) -> bool {
        matches!(self.life, Life::Starting { .. })
    }

    /// True when waiting longer will not make it ready.
    pub(super) fn is_hopeless(&self) -> bool {
        matches!(self.life, Life::Away { hopeless: true, .. })
    }

    /// True when it has a process.
    pub(super) fn is_running(&self) -> bool {
        self.running().is_some()
    }

    /// Its process id.
    pub(super) fn pid(&self) -> Option<u32> {
        self.running().map(Running::id)
    }

    /// Why it is not ready.
    pub(super) fn standing(&self) -> String {
        match (&self.life, &self.said) {
            (Life::Starting { running, since, .. }, _) => format!(
                "it runs since {} (pid {}) and has not said READY",
                seconds(since.elapsed()),
                running.id()
            ),
            (Life::Away { .. }, Some(said)) => said.clone(),
            _ => "it does not run".to_owned(),
        }
    }

    fn running(&self) -> Option<&Running> {
        match &self.life {
            Life::Starting { running, .. } | Life::Ready { running, .. } => Some(running),
            Life::Away { .. } | Life::Ended => None,
        }
    }

    /// Binds its sockets in the runtime directory, so that others find them however late it starts itself.
    pub(super) fn bind_paths(&mut self, common: &Common) {
        // What fails here fails again when it is started, and is told then.
        let _ = self.handover.bind_paths(self.service.wanted, &common.place.run);
    }

    /// Starts it if it is time; says when it takes too long to be ready.
    pub(super) fn keep_up(&mut self, common: &Common, now: Instant) {
        if self.due().is_none_or(|at| at > now) {
            return;
        }
        if let Life::Starting { late, .. } = &mut self.life {
            *late = true;
            common.say.warn(&format!("{} is not ready: {}", self.service.name, self.standing()));
            return;
        }
        match self.start(common) {
            Ok(running) => self.life = Life::Starting { running, since: now, late: false },
            Err(error) => {
                let wait = self.backoff.after(Duration::ZERO, true);
                self.life = Life::Away { again_at: now + wait, hopeless: true };
                self.away_since.get_or_insert(now);
                self.tell_once(common.say, format!("{error:#}"), wait);
            }
        }
    }

    /// Reads what the process says. True when it has become ready.
    pub(super) fn hear(&mut self, common: &Common) -> bool {
        let mut ready = false;
        let mut message = [0; 4096];
        while let Ok(length) = self.notify.recv(&mut message) {
            ready |= message[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1");
        }
        if !ready || !matches!(self.life, Life::Starting { .. }) {
            return false;
        }
        let Life::Starting { running, since, .. } = std::mem::replace(&mut self.life, Life::Ended) else {
            return false;
        };
        if let Some(away) = self.away_since.take() {
            let name = self.service.name;
            let after = seconds(away.elapsed());
            common.say.good(&format!("{name} is back after {after} (pid {})", running.id()));
        }
        self.said = None;
        self.life = Life::Ready { running, since };
        true
    }

    /// Looks whether it has ended; then it is due again, or over when it was `told` to stop.
    pub(super) fn reap(&mut self, common: &Common, told: bool) -> anyhow::Result<()> {
        let name = self.service.name;
        let (running, since) = match &mut self.life {
            Life::Starting { running, since, .. } | Life::Ready { running, since } => (running, *since),
            Life::Away { .. } | Life::Ended => return Ok(()),
        };
        let pid = running.id();
        let Some(status) = running.try_wait().with_context(|| format!("waiting for leela-{name}"))? else {
            return Ok(());
        };
        if told {
            self.life = Life::Ended;
            if !status.success() && status.signal() != Some(Signal::SIGKILL as i32) {
                common.say.warn(&format!("{name} {} (pid {pid})", ended(status)));
            }
            return Ok(());
        }
        let now = Instant::now();
        let lived = now - since;
        let hopeless = is_hopeless(status);
        let wait = self.backoff.after(lived, hopeless);
        self.life = Life::Away { again_at: now + wait, hopeless };
        self.away_since.get_or_insert(now);
        if hopeless {
            self.tell_once(common.say, format!("{}, see its words above", ended(status)), wait);
        } else if wait == backoff::LAST {
            self.tell_once(common.say, format!("it {} again and again", ended(status)), wait);
        } else {
            self.said = Some(format!("it {} after {}", ended(status), seconds(lived)));
            let (how, lived, wait) = (ended(status), seconds(lived), seconds(wait));
            common.say.warn(&format!("{name} {how} (pid {pid}, after {lived}), starts again in {wait}"));
        }
        Ok(())
    }

    /// Sends it a signal, if it runs.
    pub(super) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let Some(pid) = self.pid().and_then(|pid| i32::try_from(pid).ok()) else { return Ok(()) };
        match kill(Pid::from_raw(pid), signal) {
            // It has ended, and is to be reaped.
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => {
                Err(error).with_context(|| format!("sending {signal} to leela-{}", self.service.name))
            }
        }
    }

    /// The end: gives back its sockets, and what nobody read from them.
    pub(super) fn close(self) -> u64 {
        // What stays is replaced by the next `leela up`.
        let _ = fs::remove_file(&self.notify_path);
        self.handover.close()
    }

    fn start(&mut self, common: &Common) -> anyhow::Result<Running> {
        let name = self.service.name;
        let settings = match common.configs.check(name, &self.program)? {
            Checked::Settings(settings) => settings,
            Checked::Refused(status, said) if said.is_empty() => anyhow::bail!("--check {}", ended(status)),
            Checked::Refused(_, said) => {
                // Our line begins with the name already.
                anyhow::bail!("{}", said.trim_start_matches(&format!("error {}: ", self.service.program())))
            }
        };
        self.drain_timeout = settings.drain_timeout.duration();
        let run = &common.place.run;
        for taken in self.handover.bind(self.service.wanted, &settings, run)? {
            common.say.warn(&format!(
                "{name}: {} is taken by {}; listening on {} instead",
                taken.configured, taken.holder, taken.instead
            ));
        }
        if self.handover.elsewhere() {
            common.configs.replace_listen(name, &self.handover.listens())?;
        }
        // What a predecessor said does not count.
        while self.notify.recv(&mut [0; 16]).is_ok() {}
        self.spawn(common)
    }

    fn spawn(&self, common: &Common) -> anyhow::Result<Running> {
        let name = self.service.name;
        let descriptors = self.handover.descriptors()?;
        // This program itself, also when it was built anew meanwhile.
        let mut command = Command::new("/proc/self/exe");
        command
            .args(["up", "--parent", &std::process::id().to_string(), "--"])
            .arg(&self.program)
            .args(common.configs.arguments(name))
            .arg("--runtime-dir")
            .arg(common.place.run.path())
            .arg("--state-dir")
            .arg(common.place.state(name))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .process_group(0);
        NOT_HANDED_ON.iter().for_each(|variable| {
            command.env_remove(variable);
        });
        // What happens to them is said here already, once.
        if env::var_os(log::VARIABLE).is_none_or(|level| level.is_empty()) {
            command.env(log::VARIABLE, "warn");
        }
        command.env("NOTIFY_SOCKET", &self.notify_path);
        if !descriptors.is_empty() {
            let names: Vec<&str> = descriptors.iter().map(|(name, _)| name.as_str()).collect();
            command.env("LISTEN_FDS", names.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
        }
        let mappings = (FIRST_DESCRIPTOR..)
            .zip(descriptors)
            .map(|(child_fd, (_, parent_fd))| FdMapping { parent_fd, child_fd })
            .collect();
        command.fd_mappings(mappings).context("handing over sockets")?;
        command.spawn().with_context(|| format!("starting {}", self.program.display()))
    }

    /// Says why it does not run, unless that was said already.
    fn tell_once(&mut self, say: Say, reason: String, wait: Duration) {
        if self.said.as_ref() != Some(&reason) {
            let name = self.service.name;
            say.warn(&format!("{name}: {reason}; tried again every {}", seconds(wait)));
            self.said = Some(reason);
        }
    }
}

/// Becomes the process `command`, which gets SIGTERM when `parent` dies: a `leela up` that is killed leaves
/// nobody behind. A step of its own, since only a process itself may ask for that, before it is another.
pub(super) fn become_process(parent: u32, command: &[OsString]) -> anyhow::Result<()> {
    let (program, arguments) = command.split_first().context("no program after --")?;
    // Those that `leela up` takes from a descriptor are blocked, and a program inherits that.
    SigSet::empty().thread_set_mask().context("unblocking signals")?;
    prctl::set_pdeathsig(Signal::SIGTERM).context("asking for a signal when leela up dies")?;
    // It died before it could be asked for.
    if u32::try_from(getppid().as_raw()) != Ok(parent) {
        return Err(Exit::TempFail.error("leela up is gone"));
    }
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("starting {}", Path::new(program).display()))
}

/// Where the programs of this build are: beside this one.
pub(super) fn programs() -> anyhow::Result<PathBuf> {
    let own = env::current_exe().context("finding this program")?;
    own.parent().map(Path::to_owned).context("this program is in no directory")
}

/// `was killed by SIGKILL`, `ended with status 78 (configuration)`.
fn ended(status: ExitStatus) -> String {
    if let Some(number) = status.signal() {
        let name =
            Signal::try_from(number).map_or_else(|_| format!("signal {number}"), |signal| signal.to_string());
        return format!("was killed by {name}");
    }
    let code = status.code().unwrap_or_default();
    let word = [
        (Exit::Usage, "usage"),
        (Exit::Software, "a fault"),
        (Exit::IoErr, "input or output"),
        (Exit::TempFail, "try again"),
        (Exit::NoPerm, "permission"),
        (Exit::Config, "configuration"),
    ]
    .into_iter()
    .find_map(|(exit, word)| (i32::from(exit.status()) == code).then_some(word));
    match (code, word) {
        (0, _) => "ended".to_owned(),
        (_, Some(word)) => format!("ended with status {code} ({word})"),
        (_, None) => format!("ended with status {code}"),
    }
}

/// Whether somebody has to change something before it can start.
fn is_hopeless(status: ExitStatus) -> bool {
    [Exit::Usage, Exit::NoPerm, Exit::Config].iter().any(|exit| status.code() == Some(exit.status().into()))
}

/// `0.12 s`, `100 ms`.
pub(super) fn seconds(span: Duration) -> String {
    match span.as_millis() {
        millis @ 0..1000 => format!("{millis} ms"),
        millis @ 1000..10_000 if millis % 1000 >= 100 => {
            format!("{}.{} s", millis / 1000, millis % 1000 / 100)
        }
        _ => format!("{} s", span.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_in_words() {
        for (raw, want, hopeless) in [
            (0, "ended", false),
            (9, "was killed by SIGKILL", false),
            (11, "was killed by SIGSEGV", false),
            (40, "was killed by signal 40", false),
            (1 << 8, "ended with status 1", false),
            (64 << 8, "ended with status 64 (usage)", true),
            (75 << 8, "ended with status 75 (try again)", false),
            (77 << 8, "ended with status 77 (permission)", true),
            (78 << 8, "ended with status 78 (configuration)", true),
        ] {
            let status = ExitStatus::from_raw(raw);
            assert_eq!((ended(status).as_str(), is_hopeless(status)), (want, hopeless), "{raw}");
        }
    }

    #[test]
    fn spans_are_short() {
        for (millis, want) in
            [(0, "0 ms"), (100, "100 ms"), (1600, "1.6 s"), (5000, "5 s"), (5099, "5 s"), (12_345, "12 s")]
        {
            assert_eq!(seconds(Duration::from_millis(millis)), want);
        }
    }
}
