//! A terminal, with a program in it: what the program draws is read by an emulator, what is typed goes to the program.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use memchr::memmem;
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::termios::{Termios, tcgetattr, tcsetwinsize};

use crate::binary::binary;
use crate::sandbox::Sandbox;
use crate::wait::wait_for;

/// `leela` at a terminal.
#[derive(Debug)]
pub struct Screen {
    child: Child,
    master: File,
    /// Keeps the terminal open, and says how it is set.
    slave: OwnedFd,
    seen: Arc<Mutex<Emulator>>,
    reader: Option<JoinHandle<()>>,
}

/// A program draws between them what is to be seen at once (a synchronized update).
const BEGIN: &[u8] = b"\x1b[?2026h";
const END: &[u8] = b"\x1b[?2026l";

/// What came, and what it looks like.
struct Emulator {
    parser: vt100::Parser,
    bytes: Vec<u8>,
    /// How many of the bytes are shown: not those of an update whose end has not come.
    shown: usize,
}

impl Emulator {
    fn take(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let hidden = &self.bytes[self.shown..];
        let now = match memmem::rfind(hidden, BEGIN) {
            Some(begun) if memmem::find(&hidden[begun..], END).is_none() => begun,
            // A read may end within the mark itself.
            _ => hidden.len() - (1..BEGIN.len()).rev().find(|&n| hidden.ends_with(&BEGIN[..n])).unwrap_or(0),
        };
        self.parser.process(&hidden[..now]);
        self.shown += now;
    }
}

impl std::fmt::Debug for Emulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.parser.screen().contents())
    }
}

impl Sandbox {
    /// Begins `leela` with these arguments on the instance of the sandbox, at a terminal of this size.
    pub fn leela_at_terminal(
        &self,
        arguments: &[&str],
        (columns, rows): (u16, u16),
        environment: &[(&str, &str)],
    ) -> Screen {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).expect("there are terminals left");
        let end = || Stdio::from(pty.slave.try_clone().expect("descriptors are left"));
        let mut command: Command = self.alone(&binary("leela"));
        command.arg("--runtime-dir").arg(self.run().path()).args(arguments);
        command.env("TERM", "xterm-256color").env_remove("NO_COLOR").envs(environment.iter().copied());
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().expect("leela starts");
        drop(command);
        let master = File::from(pty.master);
        let parser = vt100::Parser::new(rows, columns, 0);
        let seen = Arc::new(Mutex::new(Emulator { parser, bytes: Vec::new(), shown: 0 }));
        let (mut from, to) = (master.try_clone().expect("descriptors are left"), seen.clone());
        let reader = thread::spawn(move || {
            let mut buffer = [0; 65_536];
            // Its end is an error: the last one who had the terminal open has gone.
            while let Ok(length @ 1..) = from.read(&mut buffer) {
                let mut emulator = to.lock().unwrap_or_else(PoisonError::into_inner);
                emulator.take(&buffer[..length]);
            }
        });
        Screen { child, master, slave: pty.slave, seen, reader: Some(reader) }
    }
}

impl Screen {
    /// What is to be seen now, line by line.
    pub fn lines(&self) -> Vec<String> {
        let emulator = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let screen = emulator.parser.screen();
        let (_, columns) = screen.size();
        screen.rows(0, columns).map(|row| row.trim_end().to_owned()).collect()
    }

    /// Whether the other screen is shown, and whether the cursor is hidden.
    pub fn is_taken(&self) -> (bool, bool) {
        let emulator = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        (emulator.parser.screen().alternate_screen(), emulator.parser.screen().hide_cursor())
    }

    /// All bytes that were drawn.
    pub fn bytes(&self) -> Vec<u8> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).bytes.clone()
    }

    /// Waits until the lines are as they should be, and gives them.
    #[track_caller]
    pub fn wait(&self, what: &str, mut is_so: impl FnMut(&[String]) -> bool) -> Vec<String> {
        let mut last = Vec::new();
        let shown = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for(what, || {
                last = self.lines();
                is_so(&last).then(|| last.clone())
            })
        }));
        shown.unwrap_or_else(|_| panic!("{what}; the screen shows:\n{}", last.join("\n")))
    }

    /// Types.
    pub fn keys(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("the terminal is open");
    }

    /// Makes the window another size. The terminal is nobody's controlling one, so that the signal is sent by hand.
    pub fn resize(&self, columns: u16, rows: u16) {
        let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.master, size).expect("it is a terminal");
        let mut emulator = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        emulator.parser.screen_mut().set_size(rows, columns);
        drop(emulator);
        self.signal(Signal::SIGWINCH);
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("process ids fit an i32");
        kill(Pid::from_raw(pid), signal).expect("the child is ours");
    }

    /// How the terminal is set.
    pub fn termios(&self) -> Termios {
        tcgetattr(&self.slave).expect("it is a terminal")
    }

    /// Waits for the program's end.
    #[track_caller]
    pub fn status(&mut self) -> ExitStatus {
        wait_for("leela ends", || self.child.try_wait().expect("the child is ours"))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // The reader ends with the terminal, which this struct still has open.
        drop(self.reader.take());
    }
}
