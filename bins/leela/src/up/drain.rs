//! The end of an instance: inputs, then the timeline, then consumers, so that what was taken in arrives.

use std::time::{Duration, Instant};

use common::exit::Exit;
use nix::sys::signal::Signal;

use super::child::{Child, seconds};
use super::services::Role;
use super::settings::DRAIN_TIMEOUT;
use super::summary::{self, Ledger};
use super::supervisor::Supervisor;

/// When the processes of each role have to be gone, where none has a `drain_timeout` longer than the default.
const GONE_BY: [(Role, Duration); 3] = [
    (Role::Input, Duration::from_millis(700)),
    (Role::Timeline, Duration::from_millis(1300)),
    (Role::Consumer, Duration::from_millis(1880)),
];
/// What a process gets of that for its own draining, at least: its `drain_timeout`, and some to be gone.
const DRAINS_FOR: Duration = Duration::from_millis(580);
/// How long a process that was killed may take to be gone.
const KILLED_WITHIN: Duration = Duration::from_millis(100);
/// A stop that comes sooner than this after the first is the first once more: `timeout` and others signal both
/// the process and its group.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// How often to look whether a queue is empty: nothing wakes us for that.
const LOOK_EVERY: Duration = Duration::from_millis(1);

// What `leela up --help` promises.
const _: () = assert!(GONE_BY[2].1.as_millis() + KILLED_WITHIN.as_millis() < 2000);
const _: () = assert!(DRAINS_FOR.as_millis() > DRAIN_TIMEOUT.duration().as_millis());

impl Supervisor {
    /// Ends all processes in order and says what came in and where it went. Exits 75 when any had to be killed.
    pub(super) fn drain(mut self, signal: Signal, before: &Ledger) -> anyhow::Result<()> {
        let say = self.common.say;
        let start = Instant::now();
        // The shell has echoed ^C.
        say.line(&format!("\n{signal}: draining"));
        let mut at_once = false;
        let mut killed = Vec::new();
        // A stopped process cannot drain.
        self.each(|_| true, Signal::SIGCONT)?;
        let mut longer = Duration::ZERO;
        for (role, by) in GONE_BY {
            let of_role = |child: &Child| child.service.role == role;
            // Who may drain for longer may also read what was sent to it for so much longer.
            let more = self.drains_longer(role);
            longer += 2 * more;
            let deadline = start + by + longer;
            if !at_once {
                at_once = self.wait_for_queue(role, start, deadline - DRAINS_FOR - more)?;
            }
            if !at_once {
                self.each(of_role, Signal::SIGTERM)?;
                at_once = self.wait_until_gone(of_role, start, deadline)?;
            }
            let left = self.children.iter().filter(|child| child.is_running() && (at_once || of_role(child)));
            let left: Vec<&str> = left.map(|child| child.service.name).collect();
            if !left.is_empty() {
                killed.extend(left.iter().copied());
                self.each(|child| left.contains(&child.service.name), Signal::SIGKILL)?;
                let gone_by = Instant::now() + KILLED_WITHIN;
                self.wait_until_gone(|child| left.contains(&child.service.name), start, gone_by)?;
            }
            // Who still sends is told by the system that nobody is there.
            self.children
                .iter_mut()
                .filter(|child| of_role(child))
                .for_each(|child| child.handover.close_network());
        }
        self.finish(before, start, at_once, &killed)
    }

    fn finish(self, before: &Ledger, start: Instant, at_once: bool, killed: &[&str]) -> anyhow::Result<()> {
        let say = self.common.say;
        let after = Ledger::read(&self.common.place.run);
        let unread: Vec<(&str, u64)> =
            self.children.into_iter().map(|child| (child.service.name, child.close())).collect();
        say.line(&summary::line(before, &after, &unread));
        if killed.is_empty() {
            say.line(&format!("ended in order after {}", seconds(start.elapsed())));
            return Ok(());
        }
        let why = if at_once { "asked to end at once" } else { "not drained in time" };
        Err(Exit::TempFail.error(format_args!("{why}: killed {}", killed.join(", "))))
    }

    /// How much longer than by default the processes of this role may drain.
    fn drains_longer(&self, role: Role) -> Duration {
        let of_role = self.children.iter().filter(|child| child.service.role == role);
        let longest = of_role.map(|child| child.drain_timeout).max().unwrap_or_default();
        longest.saturating_sub(DRAIN_TIMEOUT.duration())
    }

    /// Waits until what was sent to the processes of this role is read; not for one that does not read.
    fn wait_for_queue(&mut self, role: Role, start: Instant, deadline: Instant) -> anyhow::Result<bool> {
        loop {
            let queued = self
                .children
                .iter()
                .any(|child| child.service.role == role && child.is_ready() && child.handover.queued());
            let now = Instant::now();
            // For one that is flooded too: most of its time is for its own draining.
            if !queued || now >= deadline {
                return Ok(false);
            }
            if self.turn(Some(now + LOOK_EVERY), true)?.is_some() && start.elapsed() >= AGAIN_AFTER {
                return Ok(true);
            }
        }
    }

    /// True when it was asked once more to stop.
    fn wait_until_gone(
        &mut self,
        of: impl Fn(&Child) -> bool,
        start: Instant,
        deadline: Instant,
    ) -> anyhow::Result<bool> {
        while self.children.iter().any(|child| child.is_running() && of(child)) && Instant::now() < deadline {
            if self.turn(Some(deadline), true)?.is_some() && start.elapsed() >= AGAIN_AFTER {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn each(&self, of: impl Fn(&Child) -> bool, signal: Signal) -> anyhow::Result<()> {
        self.children.iter().filter(|child| of(child)).try_for_each(|child| child.signal(signal))
    }
}
