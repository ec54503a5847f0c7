//! Why a point is refused.

use common::books::Label;
use common::text;

/// Why a metric or a note was refused: the counters `refused.<name>`. Where Leela's text knows the same fault, it has
/// the same name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Reason {
    /// A kind that there is not.
    UnknownKind,
    /// Leela's text: no `LENGTH|`, or a wrong one.
    Length,
    /// No key: see [`common::key::KeyError`].
    BadKey,
    /// No number where the value stands.
    Value,
    /// A value that is NaN or infinite.
    NotFinite,
    /// Leela's text: what stands behind the `@` is no weight.
    Weight,
    /// Leela's text: an element of a set that is empty, or too long.
    Member,
    /// No time where the time stands, or one that does not fit.
    Time,
    /// Leela's text: all is there but the `;`.
    Unfinished,
    /// No JSON, or a note that is too long.
    Json,
    /// A field that there is not.
    Field,
    /// Without key, or without value.
    Missing,
}

impl Reason {
    /// Every reason, in the order of the enum: `reason as usize` is its index.
    pub const ALL: [Reason; 12] = [
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
        Reason::Field,
        Reason::Missing,
    ];

    /// What is wrong and what to write instead, for the one who sent it.
    pub const fn way_out(self) -> &'static str {
        match self {
            Reason::UnknownKind => "a kind is one of gauge, counter, derive, absolute, adjust, count, sample",
            Reason::Length => text::Reason::Length.way_out(),
            Reason::BadKey => text::Reason::BadKey.way_out(),
            Reason::Value => "a value is a number, or a text that is one",
            Reason::NotFinite => text::Reason::NotFinite.way_out(),
            Reason::Weight => text::Reason::Weight.way_out(),
            Reason::Member => text::Reason::Member.way_out(),
            Reason::Time => {
                "a time is in seconds since 1970 or ISO 8601 (1350332001.5, \"2012-10-15T20:13:21Z\"); without it the \
                 clock here is taken"
            }
            Reason::Unfinished => text::Reason::Unfinished.way_out(),
            Reason::Json => "a note is JSON of at most 8,192 bytes",
            Reason::Field => {
                "a point has key, type, value, time, tags; or key and points; or key, note and time"
            }
            Reason::Missing => "a point has a key, and a value, points or a note",
        }
    }
}

impl From<text::Reason> for Reason {
    fn from(reason: text::Reason) -> Reason {
        match reason {
            text::Reason::UnknownKind | text::Reason::Line => Reason::UnknownKind,
            text::Reason::Length => Reason::Length,
            text::Reason::BadKey => Reason::BadKey,
            text::Reason::Value => Reason::Value,
            text::Reason::NotFinite => Reason::NotFinite,
            text::Reason::Weight => Reason::Weight,
            text::Reason::Member => Reason::Member,
            text::Reason::Time => Reason::Time,
            text::Reason::Unfinished => Reason::Unfinished,
            text::Reason::Json => Reason::Json,
        }
    }
}

impl Label for Reason {
    const NAMES: &'static [&'static str] = &[
        "unknown_kind",
        "length",
        "bad_key",
        "value",
        "not_finite",
        "weight",
        "member",
        "time",
        "unfinished",
        "json",
        "field",
        "missing",
    ];

    fn slot(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_found_by_its_index_and_keeps_the_name_it_has_in_text() {
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
            assert!(!reason.way_out().is_empty());
        }
        for text in text::Reason::ALL {
            if text != text::Reason::Line {
                assert_eq!(Reason::from(text).name(), text.name());
            }
        }
    }
}
