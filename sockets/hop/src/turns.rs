//! The turns of a process's loop: what became ready, what is due, and whether to stop.

use std::io;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use common::process::{self, StopSignal};
use common::time::Time;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};

const STOP: Token = Token(usize::MAX);
/// How often a loop turns at least: counters that are asked of the kernel, silent peers, the watchdog.
const TICK: Duration = Duration::from_secs(1);

/// Waits for a process's descriptors, its signals and its deadlines, and keeps the service manager content.
#[derive(Debug)]
pub struct Turns {
    poll: Poll,
    events: Events,
    stop: StopSignal,
    watchdog: Option<Duration>,
    alive_at: Instant,
    tick_at: Instant,
}

/// What a turn is about. The ready tokens are in [`Turns::tokens`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Turn {
    /// The moment it began, on the monotonic clock: one reading a wake-up.
    pub now: Instant,
    /// The same moment on the wall clock.
    pub time: Time,
    /// The signal that asks to stop.
    pub stop: Option<&'static str>,
    /// True once a second.
    pub tick: bool,
}

impl Turns {
    /// Begins, with signals caught by [`process::stop_signal`].
    pub fn new(stop: StopSignal) -> io::Result<Turns> {
        let poll = Poll::new()?;
        poll.registry().register(&mut SourceFd(&stop.as_raw_fd()), STOP, Interest::READABLE)?;
        let now = Instant::now();
        let watchdog = process::watchdog();
        Ok(Turns { poll, events: Events::with_capacity(256), stop, watchdog, alive_at: now, tick_at: now })
    }

    /// Where descriptors are registered; tokens up to `usize::MAX - 1` are free.
    pub fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// The poll itself, to drain with at the end.
    pub fn poll(&mut self) -> &mut Poll {
        &mut self.poll
    }

    /// Waits until something is ready, but not past `until`, nor past the next tick.
    pub fn next_turn(&mut self, until: Option<Instant>) -> io::Result<Turn> {
        let until = until.map_or(self.tick_at, |until| until.min(self.tick_at));
        let until = self.watchdog.map_or(until, |_| until.min(self.alive_at));
        // One that is interrupted, as by a stop, names nobody, whatever is ready: a tick would find those silent who spoke.
        while let Err(error) =
            self.poll.poll(&mut self.events, Some(until.saturating_duration_since(Instant::now())))
        {
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        let (now, time) = (Instant::now(), Time::now());
        if let Some(every) = self.watchdog
            && now >= self.alive_at
        {
            process::alive();
            self.alive_at = now + every;
        }
        let tick = now >= self.tick_at;
        if tick {
            self.tick_at = now + TICK;
        }
        let stop = match self.events.iter().any(|event| event.token() == STOP) {
            true => self.stop.take()?,
            false => None,
        };
        Ok(Turn { now, time, stop, tick })
    }

    /// What became ready in the last turn.
    pub fn tokens(&self) -> impl Iterator<Item = Token> {
        self.events.iter().map(|event| event.token()).filter(|token| *token != STOP)
    }
}
