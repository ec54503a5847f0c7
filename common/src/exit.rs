//! How a process ends: sysexits, and errors that know theirs.
//!
//! Source: sysexits.h; 1 is a question answered with no, or not in time.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::process::ExitCode;

use mapped::Ahead;
use nix::errno::Errno;

use crate::books::BooksError;

/// Exit statuses. There are no others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// All went well.
    Ok,
    /// The answer is no, or did not come in time.
    No,
    /// The command line is wrong.
    Usage,
    /// Input or a query is wrong.
    Data,
    /// The process that was asked is not running.
    Unavailable,
    /// A fault of this program.
    Software,
    /// Reading or writing failed.
    IoErr,
    /// It would work later: something is full, or not drained in time.
    TempFail,
    /// This user may not do that.
    NoPerm,
    /// The configuration is wrong.
    Config,
}

impl Exit {
    /// The number the parent process sees.
    pub const fn status(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::No => 1,
            Exit::Usage => 64,
            Exit::Data => 65,
            Exit::Unavailable => 69,
            Exit::Software => 70,
            Exit::IoErr => 74,
            Exit::TempFail => 75,
            Exit::NoPerm => 77,
            Exit::Config => 78,
        }
    }

    /// A new error that ends the process with this status.
    pub fn error(self, message: impl fmt::Display) -> anyhow::Error {
        anyhow::Error::new(Exiting { exit: self, error: anyhow::Error::msg(message.to_string()) })
    }

    /// The status an error asks for: the outermost one given by [`OrExit::exit`], else 75 where another instance
    /// keeps the books, 78 where a later release wrote what is to be read, else what the system's error in its chain means (no permission 77, other input and
    /// output 74), else 70.
    pub fn of(error: &anyhow::Error) -> Exit {
        if let Some(exiting) = error.chain().find_map(|cause| cause.downcast_ref::<Exiting>()) {
            return exiting.exit;
        }
        let busy = |cause: &(dyn StdError + 'static)| {
            matches!(cause.downcast_ref::<BooksError>(), Some(BooksError::Busy { .. }))
        };
        if error.chain().any(busy) {
            return Exit::TempFail;
        }
        // What a later release wrote waits for it.
        if error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).any(Ahead::is_why) {
            return Exit::Config;
        }
        match system_error(error) {
            Some(io::ErrorKind::PermissionDenied) => Exit::NoPerm,
            Some(_) => Exit::IoErr,
            None => Exit::Software,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.status())
    }
}

/// Gives an error its exit status without changing its text.
pub trait OrExit<T> {
    /// On an error, end the process with this status: `open(path).context("opening it").exit(Exit::NoPerm)?`.
    fn exit(self, exit: Exit) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> OrExit<T> for Result<T, E> {
    fn exit(self, exit: Exit) -> anyhow::Result<T> {
        self.map_err(|error| anyhow::Error::new(Exiting { exit, error: error.into() }))
    }
}

/// Whether whoever reads our output went away (`| head`): a quiet end, not an error.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    system_error(error) == Some(io::ErrorKind::BrokenPipe)
}

fn system_error(error: &anyhow::Error) -> Option<io::ErrorKind> {
    error.chain().find_map(|cause| {
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            Some(error.kind())
        } else if let Some(errno) = cause.downcast_ref::<Errno>() {
            Some(io::Error::from(*errno).kind())
        } else {
            system_error(&cause.downcast_ref::<Exiting>()?.error)
        }
    })
}

/// An error with its status; it reads exactly like the error alone.
#[derive(Debug)]
struct Exiting {
    exit: Exit,
    error: anyhow::Error,
}

impl fmt::Display for Exiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl StdError for Exiting {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        // Not the error itself: its text is shown by Display already.
        self.error.source()
    }
}

#[cfg(test)]
mod tests {
    use mapped::Versions;

    use super::*;
    use anyhow::Context;

    fn denied() -> Result<(), io::Error> {
        Err(io::Error::from_raw_os_error(Errno::EACCES as i32))
    }

    #[test]
    fn an_error_carries_its_exit_status() {
        for (label, error, want) in [
            ("plain", anyhow::anyhow!("a fault"), Exit::Software),
            ("new", Exit::Usage.error("no such command"), Exit::Usage),
            ("given below a context", Exit::Config.error("line 3").context("reading it"), Exit::Config),
            ("outermost wins", Err::<(), _>(Exit::Data.error("x")).exit(Exit::No).unwrap_err(), Exit::No),
            ("system, denied", denied().context("opening /x").unwrap_err(), Exit::NoPerm),
            ("system, errno", anyhow::Error::new(Errno::ENOSPC).context("writing /x"), Exit::IoErr),
            (
                "books that another keeps",
                anyhow::Error::new(BooksError::Busy { path: "/run/leela/books/udp".into(), pid: 7 }),
                Exit::TempFail,
            ),
            (
                "a later release wrote it",
                anyhow::Error::new(Versions::new(1, 1, 1).known(9).unwrap_err()).context("reading /x"),
                Exit::Config,
            ),
            ("given wins over system", denied().exit(Exit::Config).unwrap_err(), Exit::Config),
        ] {
            assert_eq!(Exit::of(&error), want, "{label}");
        }
    }

    #[test]
    fn an_exit_status_does_not_change_the_text() {
        let error = denied().context("opening /x").exit(Exit::Config).context("starting").unwrap_err();
        assert_eq!(format!("{error:#}"), "starting: opening /x: Permission denied (os error 13)");
        assert_eq!(format!("{:#}", Exit::Usage.error("no such command")), "no such command");
    }

    #[test]
    fn a_broken_pipe_is_recognized_anywhere_in_the_chain() {
        let error = anyhow::Error::new(io::Error::from(io::ErrorKind::BrokenPipe)).context("printing");
        assert!(is_broken_pipe(&error));
        let bare = Err::<(), _>(io::Error::from(io::ErrorKind::BrokenPipe)).exit(Exit::Data);
        assert!(is_broken_pipe(&bare.unwrap_err()));
        assert!(!is_broken_pipe(&Exit::No.error("no")));
    }
}
