//! Planted bugs: each is one that could have been made, and the model test has to find every one of them.

/// A bug.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The first write of a time holds, not the last.
    FirstWins,
    /// NaN is taken for no value.
    NanDropped,
    /// The end of a range is not in it.
    EndExclusive,
    /// What is being sealed cannot be read meanwhile.
    FrozenUnread,
    /// Sealing leaves out the last point of a series.
    LastUnsealed,
    /// Of two files that are merged the older one holds.
    OlderWins,
    /// Merging leaves out notes and states.
    NotesUnmerged,
    /// The log is cut where nothing is sealed yet.
    AcknowledgedEarly,
    /// Deletes do not outlive a restart.
    DeleteForgotten,
    /// Deletes take what is written after them.
    DeleteTakesLater,
    /// The index does not hear of new series.
    IndexForgets,
    /// Retention drops files a day too early.
    RetentionEarly,
    /// Sealing that fails half-way takes away what the state file says is there.
    PendingRemoved,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 13] = [
        Fault::FirstWins,
        Fault::NanDropped,
        Fault::EndExclusive,
        Fault::FrozenUnread,
        Fault::LastUnsealed,
        Fault::OlderWins,
        Fault::NotesUnmerged,
        Fault::AcknowledgedEarly,
        Fault::DeleteForgotten,
        Fault::DeleteTakesLater,
        Fault::IndexForgets,
        Fault::RetentionEarly,
        Fault::PendingRemoved,
    ];
}
