//! Why a line is refused: one closed list, whose names are the counters `refused.<name>`.

use std::fmt;

use common::books::Label;

macro_rules! reasons {
    ($($(#[$doc:meta])* $reason:ident = $name:literal, $way_out:literal;)*) => {
        /// Why a line, or a value of it, yields nothing.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u8)]
        pub enum Reason {
            $($(#[$doc])* $reason,)*
        }

        impl Reason {
            /// Every reason, in the order of its number: `Reason::ALL[reason as usize] == reason`.
            pub const ALL: &'static [Reason] = &[$(Reason::$reason,)*];

            /// The word in books, logs and the man page; it never changes.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Reason::$reason => $name,)*
                }
            }

            /// What is wrong and what to write instead, for the one who sent it.
            pub const fn way_out(self) -> &'static str {
                match self {
                    $(Reason::$reason => $way_out,)*
                }
            }
        }

        impl Label for Reason {
            const NAMES: &'static [&'static str] = &[$($name,)*];

            fn slot(self) -> usize {
                self as usize
            }
        }
    };
}

reasons! {
    /// There is no `:` in front of the first `|`.
    NoValue = "no_value", "a line is name:value|type, as in web.hits:1|c";
    /// There is no type behind the values, or an unknown one.
    Type = "type", "behind the value stand a | and one of c, m (count), g (gauge), ms, h, d (samples), s (set)";
    /// The name or a tag is empty, has a control character, is not UTF-8, or the key has over 1,024 bytes.
    BadKey = "bad_key",
        "a name and its tags are UTF-8 without control characters, none of them empty, 1,024 bytes in all";
    /// No number where a value stands.
    Value = "value", "a value is a number like 3, -0.5 or 1.5e-7";
    /// NaN, or over the range of a double.
    NotFinite = "not_finite", "a value is a finite number; leave out what is not known";
    /// A set's member that is empty, or over 1,024 bytes.
    Member = "member", "a member of a set has 1 to 1,024 bytes";
    /// The rate is no number over 0 and up to 1, or so small that a value would stand for over 9e9 of them.
    Rate = "rate", "a rate is a number over 0 and up to 1, as in @0.1: one of ten was sent";
    /// No time where one stands, or one that does not fit.
    Time = "time", "a time is in seconds since 1970: |T1350332001, or d: in events and checks";
    /// What stands between two `|` is nothing known.
    Section = "section", "behind the type stand @rate, #tags, T and a time, c:, e:, card:, each behind a |";
    /// A section stands twice.
    Repeated = "repeated", "each section stands once";
    /// The head of an event is wrong, or its lengths are not those of its title and text.
    Event = "event", "an event is _e{TITLE BYTES,TEXT BYTES}:title|text, both lengths in bytes";
    /// A check without a status of 0 to 3.
    Status = "status", "a check is _sc|name|status, the status 0 (ok), 1 (warning), 2 (critical) or 3 (unknown)";
    /// A line over `line_max`, or the end of a datagram that was cut.
    TooLong = "too_long", "a line has at most `line_max` bytes, a datagram 64 KiB";
    /// A frame over `frame_max`; the connection was closed.
    Frame = "frame", "a frame is its length in four bytes, the lowest first, at most `frame_max`, then lines";
    /// The connection broke off in the middle.
    Unfinished = "unfinished", "a line ends with a line feed, or with its frame";
}

impl Reason {
    /// How many there are.
    pub const COUNT: usize = Reason::ALL.len();
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is wrong with a line, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Why.
    pub reason: Reason,
    /// Where in the line the reading stopped, in bytes: the place for a caret.
    pub offset: usize,
}

impl Fault {
    /// A fault at the beginning of `part`, which is a part of `line`.
    pub(super) fn at(reason: Reason, line: &[u8], part: &[u8]) -> Fault {
        Fault { reason, offset: offset(line, part) }
    }
}

/// Where in `line` its part `part` begins. A part that is none of this line's has no place there: it counts as the
/// line's end.
pub(crate) fn offset(line: &[u8], part: &[u8]) -> usize {
    (part.as_ptr() as usize).wrapping_sub(line.as_ptr() as usize).min(line.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_found_by_its_number_and_has_a_name_of_its_own() {
        let mut names = std::collections::BTreeSet::new();
        for (number, &reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(reason as usize, number);
            assert!(reason.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{reason}");
            assert!(names.insert(reason.name()), "{reason} twice");
            assert!(!reason.way_out().is_empty());
        }
        assert_eq!(names.len(), Reason::COUNT);
    }
}
