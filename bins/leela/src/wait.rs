//! Waiting: for a descriptor, a moment, a signal, or for the reader of our output to go away.

use std::io::{self, IsTerminal};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::Context;
use common::exit::Exit;
use common::process::{self, StopSignal};
use common::span::Span;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};

use crate::cli::Limits;
use crate::output;

const STOP: Token = Token(0);
const STDOUT: Token = Token(1);
/// The first token of what a command waits for.
pub(crate) const SOURCE: Token = Token(2);

/// A person at a terminal is told after this long what is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why waiting ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Woke {
    /// A descriptor is ready, or the moment asked for has come.
    Due,
    /// `--timeout` is over.
    Timeout,
    /// SIGINT or SIGTERM.
    Stop,
}

/// Waits for a command, and tells a person at a terminal what for.
#[derive(Debug)]
pub(crate) struct Wait {
    poll: Poll,
    events: Events,
    stop: StopSignal,
    timeout: Option<Instant>,
    /// When to tell, and whether it was told.
    patience: Instant,
    told: bool,
}

impl Wait {
    /// Begins; from now on SIGINT and SIGTERM end the waiting instead of the command.
    pub(crate) fn new(timeout: Option<Span>) -> anyhow::Result<Wait> {
        let stop = process::stop_signal()?;
        let poll = Poll::new().context("opening a poll")?;
        poll.registry().register(&mut SourceFd(&stop.as_raw_fd()), STOP, Interest::READABLE)?;
        // A file has no reader that could go away, and cannot be polled: not an error.
        let _ =
            poll.registry().register(&mut SourceFd(&io::stdout().as_raw_fd()), STDOUT, Interest::WRITABLE);
        let now = Instant::now();
        // A timeout of centuries is none.
        let timeout = timeout.and_then(|timeout| now.checked_add(timeout.duration()));
        let events = Events::with_capacity(16);
        Ok(Wait { poll, events, stop, timeout, patience: now + PATIENCE, told: !io::stderr().is_terminal() })
    }

    /// Where descriptors are registered, from [`SOURCE`] on.
    pub(crate) fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// Waits until something is ready, but not past `until`; signals are seen also when that has come. `what` is
    /// told after a second: "events".
    ///
    /// # Errors
    /// A broken pipe when the reader of standard output went away.
    pub(crate) fn wait(&mut self, until: Option<Instant>, what: &str) -> anyhow::Result<Woke> {
        loop {
            let now = Instant::now();
            if self.timeout.is_some_and(|timeout| timeout <= now) {
                return Ok(Woke::Timeout);
            }
            if !self.told && self.patience <= now {
                self.told = true;
                output::say(format_args!("waiting for {what} (Ctrl-C ends)"));
            }
            let patience = (!self.told).then_some(self.patience);
            let first = [until, self.timeout, patience].into_iter().flatten().min();
            match self.poll.poll(&mut self.events, first.map(|first| first.saturating_duration_since(now))) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
                _ => {}
            }
            let mut ready = false;
            for event in &self.events {
                match event.token() {
                    STOP if self.stop.take()?.is_some() => return Ok(Woke::Stop),
                    STOP => {}
                    STDOUT if event.is_error() || event.is_write_closed() => {
                        return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
                    }
                    STDOUT => {}
                    _ => ready = true,
                }
            }
            if ready || until.is_some_and(|until| until <= Instant::now()) {
                return Ok(Woke::Due);
            }
        }
    }

    /// What was waited for is there: nothing more is told.
    pub(crate) fn over(&mut self) {
        self.told = true;
    }
}

/// How a command that prints events ends.
impl Limits {
    /// True when enough events were printed.
    pub(crate) fn reached(self, printed: u64) -> bool {
        self.count.is_some_and(|count| printed >= count)
    }

    /// The end after `woke`, which is no [`Woke::Due`].
    pub(crate) fn end(self, woke: Woke, printed: u64) -> anyhow::Result<()> {
        match (self.count, woke) {
            (Some(count), Woke::Timeout) => {
                Err(Exit::No.error(format_args!("{printed} of {count} events came in time")))
            }
            (Some(count), _) => Err(Exit::No.error(format_args!("ended after {printed} of {count} events"))),
            (None, Woke::Timeout) if printed == 0 => Err(Exit::No.error("no event came in time")),
            (None, _) => Ok(()),
        }
    }
}
