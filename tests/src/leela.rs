//! `leela`, the operator's command, as its user sees it; and programs that are not Leela's.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;

use crate::binary::binary;
use crate::process::{Process, read_lossy};
use crate::sandbox::Sandbox;
use crate::wait::wait_for;

/// `leela` at work, or ended.
#[derive(Debug)]
pub struct Leela {
    process: Process,
    err: PathBuf,
}

impl Sandbox {
    /// Begins `leela` with these arguments, on the instance of the sandbox.
    pub fn begin_leela(&self, arguments: &[&str]) -> Leela {
        let mut command = self.alone(&binary("leela"));
        command.arg("--runtime-dir").arg(self.run().path()).args(arguments);
        self.watched(command)
    }

    /// Begins `leela` with these arguments, which finds its instance by itself, in a directory of the sandbox.
    pub fn begin_leela_in(&self, directory: &Path, arguments: &[&str]) -> Leela {
        let mut command = self.alone(&binary("leela"));
        command.args(arguments).current_dir(directory);
        self.watched(command)
    }

    fn watched(&self, mut command: Command) -> Leela {
        let log = self.new_log("leela");
        let err = log.with_extension("err");
        let file = |path: &Path| File::create(path).expect("the log's directory is ours");
        command.stdout(file(&log)).stderr(file(&err));
        Leela { process: Process::begin("leela", command, log, self.home()), err }
    }

    /// Begins a program that is not Leela's; its output is its log.
    pub fn begin(&self, name: &str, program: &Path, arguments: &[&str]) -> Process {
        self.begin_with(name, program, arguments, &[])
    }

    /// Begins a program that is not Leela's, with more in its environment.
    pub fn begin_with(
        &self,
        name: &str,
        program: &Path,
        arguments: &[&str],
        environment: &[(&str, String)],
    ) -> Process {
        let mut command = self.alone(program);
        command.envs(environment.iter().map(|(name, value)| (name, value))).args(arguments);
        self.begin_command(name, command)
    }

    /// Begins what a command says; its output is its log.
    pub(crate) fn begin_command(&self, name: &str, mut command: Command) -> Process {
        let log = self.new_log(name);
        let file = File::create(&log).expect("the log's directory is ours");
        command.stdout(file.try_clone().expect("a file can be cloned")).stderr(file);
        Process::begin(name, command, log, self.home())
    }
}

impl Leela {
    /// What it has printed.
    pub fn out(&self) -> String {
        self.process.log()
    }

    /// What it has said on standard error.
    pub fn err(&self) -> String {
        read_lossy(&self.err)
    }

    /// Waits until it has printed a line with `text`, and gives that line.
    #[track_caller]
    pub fn wait_out(&self, text: &str) -> String {
        self.process.wait_log(text)
    }

    /// Waits until it has said a line with `text` on standard error, and gives that line.
    #[track_caller]
    pub fn wait_err(&self, text: &str) -> String {
        wait_for(&format!("leela says {text:?}"), || {
            self.err()
                .split_inclusive('\n')
                .find(|line| line.contains(text) && line.ends_with('\n'))
                .map(str::to_owned)
        })
    }

    /// Waits until it has printed so many lines, and gives all of them.
    #[track_caller]
    pub fn wait_lines(&self, count: usize) -> Vec<String> {
        wait_for(&format!("leela prints {count} lines"), || {
            let bytes = fs::read(self.process.log_path()).unwrap_or_default();
            let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
            (lines >= count).then(|| self.out().lines().map(str::to_owned).collect())
        })
    }

    /// The process itself.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Waits for its end; gives its exit status, which is none when it was killed.
    #[track_caller]
    pub fn status(&mut self) -> Option<i32> {
        self.process.wait().code()
    }

    /// Sends SIGKILL, and waits until it is gone.
    pub fn kill9(&mut self) {
        self.process.signal(Signal::SIGKILL);
        self.process.wait();
    }

    /// Ends it as Ctrl-C does, and gives its exit status.
    #[track_caller]
    pub fn interrupt(&mut self) -> Option<i32> {
        self.process.interrupt();
        self.status()
    }
}

impl Drop for Leela {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- leela ({}) said on standard error:\n{}", self.process.pid(), self.err());
        }
    }
}
