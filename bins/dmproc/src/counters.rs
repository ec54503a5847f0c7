//! What leela-dmproc counts: the words of its man page.

use common::books::{Family, Label};
use common::counters;

/// Why an event is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// Its key is none, or not in the one form of keys.
    BadKey,
    /// It is of a new series, and there are too many.
    SeriesLimit,
}

impl Label for Reason {
    const NAMES: &'static [&'static str] = &["bad_key", "series_limit"];

    fn slot(self) -> usize {
        self as usize
    }
}

/// Why the frame of an event does not reach its client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lost {
    /// The client did not read, and its buffer was full.
    SlowClient,
    /// The client went, or ended its proc, before it took it.
    HungUp,
    /// The proc needed more state than it may have.
    State,
    /// The process was told to stop, and the client did not take it in time.
    Stopped,
    /// The process was killed while it waited.
    Crash,
}

impl Label for Lost {
    const NAMES: &'static [&'static str] = &["slow_client", "hung_up", "state", "stopped", "crash"];

    fn slot(self) -> usize {
        self as usize
    }
}

/// Why a proc is refused or ended by the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProcRefusal {
    /// The first frame is not one proc, or its regex or pipeline is wrong.
    Query,
    /// No proc, or half a frame, came in time.
    Timeout,
    /// There are too many clients.
    Connections,
    /// Its state would take too much memory.
    State,
}

impl Label for ProcRefusal {
    const NAMES: &'static [&'static str] = &["query", "timeout", "connections", "state"];

    fn slot(self) -> usize {
        self as usize
    }
}

counters! {
    /// At rest `received = accepted + refused` and `accepted = passed + merged`, in events.
    pub struct Counters {
        /// Datagrams that were received.
        datagrams: u64,
        /// Events that were received, repeated ones apart.
        received: u64,
        /// Events that were given to the procs of their series.
        accepted: u64,
        /// Events that at least one proc made a value of.
        passed: u64,
        /// Events that gave no value: folded into the state of procs, or wanted by none.
        merged: u64,
        /// Of these, events that no proc wanted.
        unmatched: u64,
        /// Events whose series was not matched against the newest procs yet, for want of time.
        deferred: u64,
        /// Events that were refused, by reason.
        refused: Family<Reason>,
        /// Datagrams and records that cannot be read, by reason.
        unreadable: Family<hop::Refusal>,
        /// Events that never came, as the numbers of the timeline say.
        missing: u64,
        /// Events that came again and were dropped.
        repeated: u64,
        /// What procs made of events.
        frames: Frames,
        /// Clients, as of now.
        connections: u64,
        /// Clients that came.
        connected: u64,
        /// Times that a client could not be taken for want of descriptors or memory.
        accept_failed: u64,
        /// Procs that run, as of now.
        procs: u64,
        /// Procs that were taken.
        procs_taken: u64,
        /// Procs that were refused or ended, by reason.
        procs_refused: Family<ProcRefusal>,
        /// Series that are known, as of now.
        series: u64,
        /// Series that went because they were idle.
        expired: u64,
        /// Memory booked for the state of procs, in bytes, as of now.
        state_bytes: u64,
    }
}

counters! {
    /// At rest `produced = delivered + lost + waiting`, in frames that hold an event.
    pub struct Frames {
        /// Frames that procs made.
        produced: u64,
        /// Frames that were written to their client's socket.
        delivered: u64,
        /// Frames that were not, by reason.
        lost: Family<Lost>,
        /// Frames that wait for their client, as of now.
        waiting: u64,
    }
}
