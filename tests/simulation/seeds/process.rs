//! What all processes here have: a fuse, and a time at which they are started again.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::network::{Fuse, Killed};

thread_local! {
    /// What a panic on this thread said.
    static SAID: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Panics of simulated processes are told by the seed that they fail.
pub(crate) fn listen() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().name() == Some("seeds") {
                SAID.set(Some(panic.to_string()));
                if std::env::var_os("SEED").is_some() {
                    others(panic);
                }
            } else {
                others(panic);
            }
        }));
    });
}

/// Runs a part of a process; None when it is killed meanwhile. A panic is a failure.
pub(crate) fn guard<T>(part: impl FnOnce() -> T) -> Result<Option<T>, String> {
    match catch_unwind(AssertUnwindSafe(part)) {
        Ok(done) => Ok(Some(done)),
        Err(thrown) if thrown.is::<Killed>() => Ok(None),
        Err(_) => Err(said()),
    }
}

/// What the last panic on this thread said.
pub(crate) fn said() -> String {
    SAID.take().unwrap_or_else(|| "a panic".to_owned())
}

/// A process that may be dead.
#[derive(Debug)]
pub(crate) struct Process<T> {
    pub(crate) live: Option<T>,
    pub(crate) fuse: Fuse,
    /// When it is started again.
    pub(crate) start_at: Duration,
}

impl<T> Process<T> {
    pub(crate) fn new() -> Process<T> {
        Process { live: None, fuse: Fuse::new(), start_at: Duration::ZERO }
    }

    /// It is gone, as by kill -9.
    pub(crate) fn die(&mut self, start_at: Duration) {
        self.live = None;
        self.fuse = Fuse::new();
        self.start_at = start_at;
    }

    pub(crate) fn is_due(&self, now: Duration) -> bool {
        self.live.is_none() && now >= self.start_at
    }
}
