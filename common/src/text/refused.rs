//! What was not taken, and why.

use std::fmt;

use crate::books::Label;

/// A piece of a datagram that is no message. Its neighbours are read all the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused<'a> {
    /// Why.
    pub reason: Reason,
    /// Where in `text` the reading stopped: the place for a caret.
    pub offset: usize,
    /// The whole piece, with its `;` when it has one; whoever keeps it cuts it to what he can hold.
    pub text: &'a [u8],
}

/// Why a text was refused: the counters `refused.<name>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Reason {
    /// It begins with none of the words that are taken here.
    UnknownKind,
    /// No `LENGTH|` behind the word, or no blank behind that many bytes.
    Length,
    /// What is counted is no key: see [`crate::key::KeyError`].
    BadKey,
    /// No number where the value stands.
    Value,
    /// A value that is NaN or infinite.
    NotFinite,
    /// What stands behind the `@` is no weight.
    Weight,
    /// An element of a set that is empty, or too long: see [`crate::metric::MEMBER_BYTES_MAX`].
    Member,
    /// No time where the time stands, or one that does not fit.
    Time,
    /// All is there but the `;`.
    Unfinished,
    /// A note's JSON is too long, or not UTF-8.
    Json,
    /// A `name: value` line with more in it.
    Line,
}

impl Label for Reason {
    const NAMES: &'static [&'static str] = &{
        let mut names = [""; Reason::ALL.len()];
        let mut place = 0;
        while place < names.len() {
            names[place] = Reason::ALL[place].name();
            place += 1;
        }
        names
    };

    fn slot(self) -> usize {
        self as usize
    }
}

impl Reason {
    /// Every reason, in the order of the enum: `reason as usize` is its index.
    pub const ALL: [Reason; 11] = [
        Reason::UnknownKind,
        Reason::Length,
        Reason::BadKey,
        Reason::Value,
        Reason::NotFinite,
        Reason::Weight,
        Reason::Member,
        Reason::Time,
        Reason::Unfinished,
        Reason::Json,
        Reason::Line,
    ];

    /// The name of its counter; it never changes.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::UnknownKind => "unknown_kind",
            Reason::Length => "length",
            Reason::BadKey => "bad_key",
            Reason::Value => "value",
            Reason::NotFinite => "not_finite",
            Reason::Weight => "weight",
            Reason::Member => "member",
            Reason::Time => "time",
            Reason::Unfinished => "unfinished",
            Reason::Json => "json",
            Reason::Line => "line",
        }
    }

    /// What is wrong and what to write instead, for the one who sent it.
    pub const fn way_out(self) -> &'static str {
        match self {
            Reason::UnknownKind => {
                "a message begins with gauge, counter, derive, absolute, adjust, count, sample or member and a \
                 blank: gauge 3|foo 0.5;"
            }
            Reason::Length => {
                "before the key stand its length in bytes and a |, after it one blank: gauge 3|foo 0.5;"
            }
            Reason::BadKey => {
                "a key is a name, then ;tag=value for each tag: UTF-8, at most 1,024 bytes, no control characters"
            }
            Reason::Value => {
                "a value is a number like 3, -0.5 or 1.5e-7, with digits on both sides of the point"
            }
            Reason::NotFinite => "a metric is a finite number; leave out what is not known",
            Reason::Weight => {
                "a weight is how many readings one stands for, over 0 and under 9.2e9: sample 3|lat 5 @2.5;"
            }
            Reason::Member => "an element of a set has 1 to 1,024 bytes: member 4|user 3|bob;",
            Reason::Time => {
                "a time is in seconds since 1970, like 1350332001.5; without it the clock here is taken"
            }
            Reason::Unfinished => "each message ends with a ; of its own",
            Reason::Json => "a note is JSON in UTF-8, at most 8,192 bytes of it",
            Reason::Line => {
                "a line is one name, `: `, a number and perhaps a blank and whole seconds: foo: 0.5 1350332001"
            }
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_found_by_its_index_and_has_a_name_of_its_own() {
        let mut names: Vec<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index, "{reason}");
            assert!(!reason.way_out().is_empty());
            assert!(reason.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{reason}");
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Reason::ALL.len());
    }
}
