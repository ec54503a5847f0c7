//! Planted bugs: each is one that could have been made, and the model test has to find every one of them.

/// A bug.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The first write of a time holds, not the last.
    FirstWins,
}
