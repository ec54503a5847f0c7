//! How far a long command is: on standard error, on a terminal, after a second.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_millis(200);

/// A line that is written over and over.
#[derive(Debug)]
pub(super) struct Progress {
    next: Option<Instant>,
    is_shown: bool,
}

impl Progress {
    pub(super) fn new() -> Progress {
        Progress { next: io::stderr().is_terminal().then(|| Instant::now() + PATIENCE), is_shown: false }
    }

    /// Shows what `line` says, when it is time.
    pub(super) fn tell(&mut self, line: impl FnOnce() -> String) {
        let Some(next) = self.next else { return };
        let now = Instant::now();
        if now >= next {
            self.next = Some(now + EVERY);
            self.is_shown = true;
            // There is nobody left to tell that it cannot be told.
            let _ = write!(io::stderr().lock(), "\r\x1b[K{}", line());
        }
    }

    /// Takes the line away.
    pub(super) fn over(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.over();
    }
}
