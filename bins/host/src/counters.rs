//! What leela-host counts: the words of its man page.

use common::books::{Family, Label};
use common::counters;

counters! {
    /// At rest `received = accepted + refused` and `accepted = passed`, in metrics.
    pub struct Counters {
        /// Rounds that were made.
        rounds: u64,
        /// Rounds that were due while the machine slept or the process was stopped.
        missed: u64,
        /// Metrics that were read.
        received: u64,
        /// Metrics that have a key and a finite value.
        accepted: u64,
        /// Metrics that were put into the ring, on their way to the timeline.
        passed: u64,
        /// Metrics that cannot be passed on, by reason.
        refused: Family<Reason>,
        /// What could not be read, by what it is.
        unread: Family<Area>,
        /// Names of mounts, interfaces and the like in which characters were replaced.
        replaced: u64,
    }
}

/// Why a metric was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Reason {
    /// A key that is too long.
    BadKey,
    /// NaN or an infinity.
    NotFinite,
}

impl Label for Reason {
    const NAMES: &'static [&'static str] = &["bad_key", "not_finite"];

    fn slot(self) -> usize {
        self as usize
    }
}

/// What is read in a round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Area {
    /// /proc/stat.
    Cpu,
    /// /proc/loadavg.
    Load,
    /// /proc/meminfo.
    Memory,
    /// /proc/uptime.
    Uptime,
    /// /proc/self/mountinfo, or one of the mounted file systems.
    Mount,
    /// /proc/diskstats.
    Device,
    /// /proc/net/dev.
    Network,
    /// The books of a process.
    Books,
    /// The ring of a process.
    Ring,
}

impl Label for Area {
    const NAMES: &'static [&'static str] =
        &["cpu", "load", "memory", "uptime", "mount", "device", "network", "books", "ring"];

    fn slot(self) -> usize {
        self as usize
    }
}
