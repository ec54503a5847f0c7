//! A process under test.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::sandbox::Home;
use crate::wait::{DEADLINE, wait_for};

/// Lines of a log that a failing test prints.
const LOG_LINES_SHOWN: usize = 60;

/// One of Leela's programs, running. Dropped, it is killed; a test that fails prints its log.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    ended: Option<ExitStatus>,
    /// Where it says READY=1 and STOPPING=1; open as long as it lives.
    notify: UnixDatagram,
    _home: Arc<Home>,
}

impl Process {
    /// Spawns `command` and waits until it says that it is ready.
    pub(crate) fn spawn(name: &str, mut command: Command, log: PathBuf, home: Arc<Home>) -> Process {
        command.env("NOTIFY_SOCKET", notify_path(&log));
        let mut process = Process::begin(name, command, log, home);
        process.wait_ready();
        process
    }

    /// Spawns `command`, which has nothing to say when it is ready.
    pub(crate) fn begin(name: &str, mut command: Command, log: PathBuf, home: Arc<Home>) -> Process {
        let path = notify_path(&log);
        let notify = UnixDatagram::bind(&path).unwrap_or_else(|error| panic!("binding {path:?}: {error}"));
        notify.set_read_timeout(Some(Duration::from_millis(5))).expect("5 ms is a timeout");
        let child = command.spawn().unwrap_or_else(|error| panic!("starting {name}: {error}"));
        Process { name: name.to_owned(), child, log, ended: None, notify, _home: home }
    }

    fn wait_ready(&mut self) {
        let begun = Instant::now();
        let mut buffer = [0; 4096];
        loop {
            if let Ok(length) = self.notify.recv(&mut buffer)
                && buffer[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1")
            {
                return;
            }
            if let Some(status) = self.try_ended() {
                panic!("{} ended before it was ready: {status}", self.name);
            }
            assert!(begun.elapsed() < DEADLINE, "{} is not ready within {DEADLINE:?}", self.name);
        }
    }

    /// Its id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard input, where its command has it piped.
    pub(crate) fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        read_lossy(&self.log)
    }

    /// Waits until it has logged a line with `text`, and gives that line.
    #[track_caller]
    pub fn wait_log(&self, text: &str) -> String {
        wait_for(&format!("{} logs {text:?}", self.name), || {
            let log = self.log();
            let whole = log.rfind('\n').map_or("", |end| &log[..end]);
            whole.lines().find(|line| line.contains(text)).map(str::to_owned)
        })
    }

    /// The file of its log.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// True as long as it runs or is stopped.
    pub fn is_alive(&mut self) -> bool {
        self.try_ended().is_none()
    }

    /// Sends SIGKILL, and waits until the process is gone.
    pub fn kill9(mut self) {
        self.signal(Signal::SIGKILL);
        self.wait();
    }

    /// Sends SIGTERM, and waits for the end.
    pub fn terminate(mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// Sends SIGSTOP, and waits until the process is stopped.
    pub fn stop(&self) {
        self.signal(Signal::SIGSTOP);
        wait_for("a process stops", || self.state().filter(|state| *state == 'T'));
    }

    /// Sends SIGCONT.
    pub fn cont(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// When it does not come within [`DEADLINE`].
    pub fn wait(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.try_ended() {
                return status;
            }
            assert!(begun.elapsed() < DEADLINE, "{} does not end within {DEADLINE:?}", self.name);
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn try_ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("the child is ours");
        }
        self.ended
    }

    /// Sends SIGINT, as Ctrl-C does.
    pub fn interrupt(&self) {
        self.signal(Signal::SIGINT);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("process ids fit an i32");
        kill(Pid::from_raw(pid), signal).unwrap_or_else(|error| panic!("{signal} to {}: {error}", self.name));
    }

    /// The letter of /proc/PID/stat: `R` runs, `S` sleeps, `T` is stopped.
    fn state(&self) -> Option<char> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.try_ended().is_none() {
            // The child is not waited for yet, so its id is still its own.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let ended =
                self.ended.map_or_else(|| "killed by the test".to_owned(), |status| status.to_string());
            eprintln!("--- {} ({}), {ended}; its log:", self.name, self.child.id());
            for line in &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..] {
                eprintln!("    {line}");
            }
        }
    }
}

fn notify_path(log: &Path) -> PathBuf {
    log.with_extension("notify")
}

pub(crate) fn read_lossy(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
