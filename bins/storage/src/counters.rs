//! What leela-storage counts: the words of its man page.

use common::books::{Family, Label};
use common::counters;

/// Why a record is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// Its key is none, or not in the one form of keys.
    BadKey,
}

impl Label for Reason {
    const NAMES: &'static [&'static str] = &["bad_key"];

    fn slot(self) -> usize {
        self as usize
    }
}

/// Why a record that was accepted is not kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lost {
    /// The file system has less than `min_free`.
    MinFree,
    /// The store has reached `disk_max`, and nothing more could be dropped.
    DiskMax,
    /// Memory is used up while sealing is behind.
    MemoryMax,
    /// The file system took nothing for the log.
    DiskFull,
    /// The log could not be written for another reason.
    LogFailed,
}

impl Label for Lost {
    const NAMES: &'static [&'static str] = &["min_free", "disk_max", "memory_max", "disk_full", "log_failed"];

    fn slot(self) -> usize {
        self as usize
    }
}

/// Why an ask gets no answer, or not all of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AskRefusal {
    /// It is no ask.
    Wrong,
    /// There were too many connections.
    Connections,
    /// The client began a frame and did not end it in time.
    Timeout,
    /// The client did not read.
    SlowClient,
    /// The client went before it had all.
    HungUp,
    /// The store could not do it.
    Failed,
    /// The process was told to stop.
    Stopped,
}

impl Label for AskRefusal {
    const NAMES: &'static [&'static str] =
        &["wrong", "connections", "timeout", "slow_client", "hung_up", "failed", "stopped"];

    fn slot(self) -> usize {
        self as usize
    }
}

counters! {
    /// At rest `received = accepted + refused` and `accepted = passed + merged + dropped + waiting`, in records:
    /// events, states and notes.
    pub struct Counters {
        /// Datagrams that were received.
        datagrams: u64,
        /// Records that were received, repeated ones apart.
        received: u64,
        /// Records that were taken.
        accepted: u64,
        /// Records that are in the log and can be read.
        passed: u64,
        /// Records of series that were deleted after they came: they were in the log, and are not kept.
        merged: u64,
        /// Records that are not kept, by reason.
        dropped: Family<Lost>,
        /// Records that were refused, by reason.
        refused: Family<Reason>,
        /// Datagrams and records that cannot be read, by reason.
        unreadable: Family<hop::Refusal>,
        /// Records that never came, as the numbers of the timeline say.
        missing: u64,
        /// Records that came again and were dropped.
        repeated: u64,
        /// Of those received, records that clients imported.
        imported: u64,
        /// Records that were read from the log at a start.
        replayed: u64,
        /// Times the log was made durable.
        syncs: u64,
        /// Times that failed.
        sync_failed: u64,
        /// Times the machine went down while the process ran.
        power_cuts: u64,
        /// Places that were damaged, and passed over.
        damaged: u64,
        /// Connections, as of now.
        connections: u64,
        /// Connections that came.
        connected: u64,
        /// Times that a connection could not be taken for want of descriptors or memory.
        accept_failed: u64,
        /// Asks that were answered.
        asks: u64,
        /// Records that were given in answers.
        answered: u64,
        /// Asks that got no answer, or not all of it, by reason.
        asks_refused: Family<AskRefusal>,
        /// Series, as of now.
        series: u64,
        /// Records in memory and in the log only, as of now.
        in_memory: u64,
        /// Sealed files, as of now.
        files: u64,
        /// Bytes of sealed files and the index, as of now.
        disk_bytes: u64,
        /// Bytes of the log, as of now.
        log_bytes: u64,
        /// The position in which the log ends, as of now: of what lies behind it, what is booked was dropped.
        log_end: u64,
    }
}
