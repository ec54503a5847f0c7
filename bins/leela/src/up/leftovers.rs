//! Processes of this runtime directory that nobody looks after any more: their `leela up` was killed.
//!
//! They get SIGTERM when it dies, and end by themselves; those that did not are found by their books.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use common::books::{Snapshot, State};
use common::exit::Exit;
use common::runtime_dir::RuntimeDir;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::say::Say;

const PATIENCE: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Ends them, and returns when none is left.
pub(super) fn end(run: &RuntimeDir, say: Say) -> anyhow::Result<()> {
    let found = find(run);
    if found.is_empty() {
        return Ok(());
    }
    for (name, pid) in &found {
        say.warn(&format!("ending leela-{name} (pid {pid}), left by a leela up that was killed"));
        send(*pid, Signal::SIGTERM)?;
        send(*pid, Signal::SIGCONT)?;
    }
    for (signal, patience) in [(Some(Signal::SIGKILL), PATIENCE), (None, PATIENCE)] {
        let until = Instant::now() + patience;
        while Instant::now() < until {
            if find(run).is_empty() {
                return Ok(());
            }
            thread::sleep(LOOK_EVERY);
        }
        for (_, pid) in find(run) {
            signal.map_or(Ok(()), |signal| send(pid, signal))?;
        }
    }
    let left: Vec<String> = find(run).iter().map(|(name, pid)| format!("leela-{name} (pid {pid})")).collect();
    Err(Exit::TempFail.error(format_args!("{} of {run} do not end", left.join(", "))))
}

/// Process and pid of all that keep books here and are alive.
fn find(run: &RuntimeDir) -> Vec<(String, i32)> {
    let Ok(books) = fs::read_dir(run.books_dir()) else { return Vec::new() };
    books
        .flatten()
        .filter_map(|entry| {
            let books = Snapshot::read(&entry.path()).ok()?;
            let pid = i32::try_from(books.pid).ok()?;
            let alive = matches!(books.state, State::Running | State::Stopped);
            (alive && is_leela(&books.process, pid)).then_some((books.process, pid))
        })
        .collect()
}

/// Whether the process with this id is what its books say. Its start time was compared by the reader of books.
fn is_leela(process: &str, pid: i32) -> bool {
    let Ok(program) = fs::read_link(format!("/proc/{pid}/exe")) else { return false };
    // A program that was built anew meanwhile.
    let name = program.file_name().unwrap_or_default().to_string_lossy().replace(" (deleted)", "");
    Path::new(&name).file_name() == Some(OsStr::new(&format!("leela-{process}")))
}

fn send(pid: i32, signal: Signal) -> anyhow::Result<()> {
    match kill(Pid::from_raw(pid), signal) {
        Err(Errno::ESRCH) => Ok(()),
        other => other.with_context(|| format!("sending {signal} to process {pid}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::books::Books;
    use common::counters;

    counters! {
        /// Of a test.
        struct Counters {
            /// All.
            received: u64,
        }
    }

    #[test]
    fn only_leelas_own_processes_are_ended() {
        let dir = tempfile::tempdir().unwrap();
        let run = RuntimeDir::at(dir.path()).unwrap();
        run.prepare().unwrap();
        // This test keeps books and is alive, and is not leela-udp.
        let _books = Books::<Counters>::open(&run.books("udp"), "udp", 0).unwrap();
        assert_eq!(Snapshot::read(&run.books("udp")).unwrap().state, State::Running);
        assert_eq!(find(&run), []);
        end(&run, Say::new()).unwrap();
    }
}
