//! Processes that a row starts: its own receivers, and Leela's.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use command_fds::{CommandFdExt, FdMapping};
use common::runtime_dir::RuntimeDir;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tests::DEADLINE;

use crate::clock::cpu_of;
use crate::receiver::Report;

/// A directory for one round: memory, where the system has such a file system.
pub(crate) fn scratch() -> anyhow::Result<(TempDir, RuntimeDir)> {
    let mut name = tempfile::Builder::new();
    name.prefix("leela-bench-");
    let dir = name.tempdir_in("/dev/shm").or_else(|_| name.tempdir()).context("making a directory")?;
    let run = RuntimeDir::at(&dir.path().join("run"))?;
    run.prepare()?;
    Ok((dir, run))
}

/// A receiver of this program's.
#[derive(Debug)]
pub(crate) struct Receiving {
    child: Killed,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Receiving {
    /// Starts this program again as `role` and waits until it is ready.
    pub(crate) fn start(role: &str, arguments: &[&OsStr]) -> anyhow::Result<Receiving> {
        let program = std::env::current_exe().context("finding this program")?;
        let mut command = Command::new(program);
        command.arg(role).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("starting {role}"))?;
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut receiving = Receiving { child: Killed(child), stdin, stdout };
        let line = receiving.line()?;
        ensure!(line == "ready", "{role} said {line:?} instead of ready");
        Ok(receiving)
    }

    /// As [`Receiving::start`], of a receiver that sums what it finds at `socket`.
    pub(crate) fn sum(run: &RuntimeDir, socket: &Path, more: &[&str]) -> anyhow::Result<Receiving> {
        let name = socket.file_name().context("a socket has a name")?;
        let mut arguments: Vec<&OsStr> =
            ["--runtime-dir".as_ref(), run.path().as_os_str(), "--name".as_ref(), name].to_vec();
        arguments.extend([OsStr::new("--socket"), socket.as_os_str()]);
        arguments.extend(more.iter().map(OsStr::new));
        Receiving::start("sum", &arguments)
    }

    /// The next line it says.
    pub(crate) fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.stdout.read_line(&mut line).context("listening to a receiver")?;
        Ok(line.trim_end().to_owned())
    }

    /// Waits for its report; it gives one when it has all, or when nothing comes any more.
    pub(crate) fn report(mut self) -> anyhow::Result<Report> {
        let line = self.line()?;
        serde_json::from_str(&line).with_context(|| format!("a receiver said {line:?}"))
    }

    /// What it has by now, of a process of clients.
    pub(crate) fn ask(&mut self) -> anyhow::Result<Report> {
        let stdin = self.stdin.as_mut().context("it was told to end")?;
        stdin.write_all(b"\n").context("asking a receiver")?;
        let line = self.line()?;
        serde_json::from_str(&line).with_context(|| format!("a receiver said {line:?}"))
    }

    /// As [`Receiving::ask`], once it has so many records; where it never has, what it has then.
    pub(crate) fn ask_until(&mut self, records: u64) -> anyhow::Result<Report> {
        let end = Instant::now() + DEADLINE;
        loop {
            let report = self.ask()?;
            if report.sums.records >= records || Instant::now() > end {
                return Ok(report);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Tells it to end with what it has.
    pub(crate) fn stop(mut self) -> anyhow::Result<Report> {
        drop(self.stdin.take());
        self.report()
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        kill(Pid::from_raw(self.pid() as i32), signal).context("sending a signal")
    }
}

/// One of Leela's processes.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    child: Killed,
    /// Where it says that it stops, as well.
    _notify: UnixDatagram,
}

impl Process {
    /// Starts `leela-<name>` with `config` and the sockets it is to be handed, and waits until it is ready.
    pub(crate) fn start(
        name: &'static str,
        dir: &TempDir,
        run: &RuntimeDir,
        config: &str,
        sockets: Vec<UdpSocket>,
    ) -> anyhow::Result<Process> {
        let file = dir.path().join(format!("{name}.toml"));
        std::fs::write(&file, config).context("writing a configuration")?;
        let notify_path = dir.path().join(format!("{name}.notify"));
        // That of a predecessor.
        let _ = std::fs::remove_file(&notify_path);
        let notify = UnixDatagram::bind(&notify_path)?;
        notify.set_read_timeout(Some(DEADLINE))?;
        let mut command = Command::new(program(&format!("leela-{name}"))?);
        command
            .arg("--config")
            .arg(&file)
            .arg("--runtime-dir")
            .arg(run.path())
            .arg("--state-dir")
            .arg(dir.path().join(name))
            .env("NOTIFY_SOCKET", &notify_path)
            .env("LEELA_LOG", "warn")
            .stdin(Stdio::null());
        if !sockets.is_empty() {
            command.env("LISTEN_FDS", sockets.len().to_string());
            let mappings = sockets.into_iter().enumerate().map(|(place, socket)| FdMapping {
                parent_fd: OwnedFd::from(socket),
                child_fd: 3 + place as i32,
            });
            command.fd_mappings(mappings.collect())?;
        }
        let child = Killed(command.spawn().with_context(|| format!("starting leela-{name}"))?);
        let mut message = [0; 256];
        loop {
            let length = notify.recv(&mut message).with_context(|| format!("leela-{name} is not ready"))?;
            if message[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                return Ok(Process { name, child, _notify: notify });
            }
        }
    }

    /// Its processor time so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        cpu_of(self.pid())
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// Tells it to stop, and waits.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        self.end()
    }

    /// As [`Process::stop`], where another takes its place.
    pub(crate) fn end(&mut self) -> anyhow::Result<()> {
        kill(Pid::from_raw(self.pid() as i32), Signal::SIGTERM)?;
        let status = self.child.0.wait()?;
        ensure!(status.success(), "leela-{} ended with {status}", self.name);
        Ok(())
    }
}

/// A child that does not outlive what waits for it.
#[derive(Debug)]
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Builds packages as this one was built.
pub(crate) fn build(packages: &[&str]) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.arg("build").arg("--quiet");
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    for package in packages {
        command.arg("--package").arg(package);
    }
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    ensure!(command.status().context("running cargo")?.success(), "building {packages:?} failed");
    Ok(())
}

/// A program that was built beside this one.
pub(crate) fn program(name: &str) -> anyhow::Result<PathBuf> {
    Ok(std::env::current_exe().context("finding this program")?.with_file_name(name))
}

/// Reads a small file of /proc.
pub(crate) fn read_proc(path: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text)).context(path.to_owned())?;
    Ok(text)
}
