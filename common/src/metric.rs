//! What travels: metrics from inputs to the timeline; events, states and notes from there to consumers.

use crate::time::Time;
use crate::value::Value;

/// What a metric's value means; only the timeline acts on it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Kind {
    /// A value as it is.
    Gauge = 1,
    /// A count that only grows, but for wraps and resets; read as a rate.
    Counter = 2,
    /// A count that may go down as well; read as a rate.
    Derive = 3,
    /// A count since the last reading; read as a rate.
    Absolute = 4,
    /// A change of a gauge.
    Adjust = 5,
}

impl Kind {
    /// Every kind, in the order of its codes.
    pub const ALL: [Kind; 5] = [Kind::Gauge, Kind::Counter, Kind::Derive, Kind::Absolute, Kind::Adjust];

    /// The word of Leela's text.
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Derive => "derive",
            Kind::Absolute => "absolute",
            Kind::Adjust => "adjust",
        }
    }

    /// The kind of a wire code. Codes 6 to 8 are kept for count, sample and member.
    pub const fn from_code(code: u8) -> Option<Kind> {
        match code {
            1 => Some(Kind::Gauge),
            2 => Some(Kind::Counter),
            3 => Some(Kind::Derive),
            4 => Some(Kind::Absolute),
            5 => Some(Kind::Adjust),
            _ => None,
        }
    }
}

/// One reading, as an input understood it. The key borrows from the datagram it came in.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Metric<'a> {
    /// A key as [`crate::key::parse`] leaves it; the owner of a table checks it again when it enters there.
    pub key: &'a [u8],
    /// When it was read.
    pub time: Time,
    /// What the value means.
    pub kind: Kind,
    /// The value; finite.
    pub value: Value,
}

/// What the timeline made of metrics: "an event is just a gauge".
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Event<'a> {
    /// A key, as in [`Metric::key`].
    pub key: &'a [u8],
    /// The time the value is of.
    pub time: Time,
    /// The value; pipelines may make it NaN or infinite, the timeline never does.
    pub value: f64,
}

/// What can be merged: over time, over series, over hosts. Whoever keeps it or hands it on need not know what it means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct State<'a> {
    /// A key, as in [`Metric::key`].
    pub key: &'a [u8],
    /// The end of its window.
    pub time: Time,
    /// How long its window is, in nanoseconds.
    pub window_ns: u64,
    /// What its bytes are; the publisher's code.
    pub kind: u8,
    /// At most [`State::BYTES_MAX`].
    pub bytes: &'a [u8],
}

impl State<'_> {
    /// The longest state, in bytes.
    pub const BYTES_MAX: usize = 24 * 1024;
}

/// An annotation: JSON of at most [`Note::JSON_BYTES_MAX`].
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Note<'a> {
    /// A key, as in [`Metric::key`].
    pub key: &'a [u8],
    /// The time the note is of.
    pub time: Time,
    /// JSON text.
    pub json: &'a [u8],
}

impl Note<'_> {
    /// The longest JSON text of a note, in bytes.
    pub const JSON_BYTES_MAX: usize = 8192;
}
