//! Planted bugs: each is one that could have been made, and the simulation has to find every one of them. They are
//! compiled for tests alone, with the feature `faults`.

use std::cell::Cell;

/// A bug.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A peer's cursor moves before the kernel has taken the datagram.
    CursorBeforeSend,
    /// What is left over before the ring's end is not counted as used.
    WrapForgotten,
    /// Datagrams leave before the books hold their numbers.
    SentBeforeCommit,
    /// What falls off the ring is booked for the first peer that was behind, not for all.
    DroppedOfOnePeer,
    /// A peer that leaves takes along what waited for it, unbooked.
    LeftUnbooked,
    /// A saved state stays where it is when it was taken up.
    StateTakenTwice,
    /// The state is saved before the last datagram is applied.
    SavedTooEarly,
    /// The last window that was emitted is emitted again after a restart.
    FlushedAgain,
    /// A clock that is set forward throws away the window that was open.
    JumpLosesWindow,
    /// Series are idle by the wall clock.
    IdleByWallClock,
    /// What was open when a predecessor was killed is not booked as lost.
    OpenForgotten,
    /// What the log did not take is given to the store as if it had.
    LogErrorIgnored,
    /// What the log did not take is not booked.
    DropUnbooked,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 13] = [
        Fault::CursorBeforeSend,
        Fault::WrapForgotten,
        Fault::SentBeforeCommit,
        Fault::DroppedOfOnePeer,
        Fault::LeftUnbooked,
        Fault::StateTakenTwice,
        Fault::SavedTooEarly,
        Fault::FlushedAgain,
        Fault::JumpLosesWindow,
        Fault::IdleByWallClock,
        Fault::OpenForgotten,
        Fault::LogErrorIgnored,
        Fault::DropUnbooked,
    ];
}

thread_local! {
    static PLANTED: Cell<Option<Fault>> = const { Cell::new(None) };
}

/// Plants a bug in what runs on this thread, or takes it out.
pub fn plant(fault: Option<Fault>) {
    PLANTED.set(fault);
}

/// Whether this bug is planted on this thread.
pub fn is(fault: Fault) -> bool {
    PLANTED.get() == Some(fault)
}
