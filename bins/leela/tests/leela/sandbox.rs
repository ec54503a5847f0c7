//! A directory with an instance in it, and `leela` on it.

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::runtime_dir::RuntimeDir;
use tempfile::TempDir;

/// An instance of its own.
pub(crate) struct Sandbox {
    pub(crate) run: RuntimeDir,
    dir: TempDir,
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Sandbox {
    /// With `books/`, `rings/` and `peers/`, and nobody in it.
    pub(crate) fn new() -> Sandbox {
        let dir = tempfile::tempdir().unwrap();
        let run = RuntimeDir::at(&dir.path().canonicalize().unwrap().join("run")).unwrap();
        run.prepare().unwrap();
        Sandbox { run, dir }
    }

    /// A directory for all else.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// `leela` with these arguments, its ends piped.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = leela();
        command.arg("--runtime-dir").arg(self.run.path()).args(arguments).current_dir(self.dir());
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        said(self.command(arguments).spawn().unwrap(), b"")
    }

    /// As [`Sandbox::run`], with an input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &[u8]) -> Said {
        said(self.command(arguments).spawn().unwrap(), input)
    }
}

/// The program, in an environment of its own, its ends piped.
pub(crate) fn leela() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leela"));
    command
        .env_remove("LEELA_RUNTIME_DIR")
        .env_remove("NO_COLOR")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Gives a command its input, and waits for its end.
pub(crate) fn said(mut child: Child, input: &[u8]) -> Said {
    // One that ends before it has read all is a test of its own.
    let _ = child.stdin.take().unwrap().write_all(input);
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().map(|mut pipe| pipe.read_to_string(&mut out)).transpose().unwrap();
    child.stderr.take().map(|mut pipe| pipe.read_to_string(&mut err)).transpose().unwrap();
    let status = child.wait().unwrap().code().unwrap();
    Said { status, out, err }
}

/// Calls again what a signal interrupted: a receive timeout takes the kernel's own restart away.
pub(crate) fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
