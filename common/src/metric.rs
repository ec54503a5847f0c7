//! What travels: metrics from inputs to the timeline; events, states and notes from there to consumers.

use std::fmt;

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
    /// An increment of a count that the timeline keeps.
    Count = 6,
    /// One of many values whose distribution is asked for.
    Sample = 7,
    /// An element of a set whose size is asked for.
    Member = 8,
}

impl Kind {
    /// Every kind, in the order of its codes.
    pub const ALL: [Kind; 8] = [
        Kind::Gauge,
        Kind::Counter,
        Kind::Derive,
        Kind::Absolute,
        Kind::Adjust,
        Kind::Count,
        Kind::Sample,
        Kind::Member,
    ];

    /// The kinds whose readings are numbers: all but member.
    pub const NUMBERS: [Kind; 7] =
        [Kind::Gauge, Kind::Counter, Kind::Derive, Kind::Absolute, Kind::Adjust, Kind::Count, Kind::Sample];

    /// The word of Leela's text.
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Derive => "derive",
            Kind::Absolute => "absolute",
            Kind::Adjust => "adjust",
            Kind::Count => "count",
            Kind::Sample => "sample",
            Kind::Member => "member",
        }
    }

    /// True for the kinds a reading of which may stand for several: count and sample.
    #[inline]
    pub const fn is_weighted(self) -> bool {
        matches!(self, Kind::Count | Kind::Sample)
    }

    /// The kind of a wire code.
    pub const fn from_code(code: u8) -> Option<Kind> {
        match code {
            1 => Some(Kind::Gauge),
            2 => Some(Kind::Counter),
            3 => Some(Kind::Derive),
            4 => Some(Kind::Absolute),
            5 => Some(Kind::Adjust),
            6 => Some(Kind::Count),
            7 => Some(Kind::Sample),
            8 => Some(Kind::Member),
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
    /// The value; finite. 0 of a member.
    pub value: Value,
    /// How many readings it stands for. [`Weight::ONE`] but for some counts and samples.
    pub weight: Weight,
    /// The element of a set, at most [`MEMBER_BYTES_MAX`] bytes; empty but for members.
    pub member: &'a [u8],
}

/// The longest element of a set, in bytes.
pub const MEMBER_BYTES_MAX: usize = 1024;

impl<'a> Metric<'a> {
    /// A reading that is a number and stands for itself.
    #[inline]
    pub const fn new(key: &'a [u8], time: Time, kind: Kind, value: Value) -> Metric<'a> {
        Metric { key, time, kind, value, weight: Weight::ONE, member: b"" }
    }

    /// An element of a set.
    #[inline]
    pub const fn of_member(key: &'a [u8], time: Time, member: &'a [u8]) -> Metric<'a> {
        Metric { key, time, kind: Kind::Member, value: Value::U64(0), weight: Weight::ONE, member }
    }

    /// The same count or sample, standing for so many.
    #[inline]
    pub const fn weighted(self, weight: Weight) -> Metric<'a> {
        Metric { weight, ..self }
    }
}

/// How many readings one stands for: 1 / its sample rate. Fixed point, so that sums of weights are exact: billionths,
/// at least one of them, and at most `i64::MAX`, which is 9.2e9 readings.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Weight(u64);

impl Weight {
    /// One reading.
    pub const ONE: Weight = Weight(Weight::UNITS);
    /// Billionths in one.
    pub const UNITS: u64 = 1_000_000_000;

    /// So many billionths; None for 0 and beyond `i64::MAX`.
    #[inline]
    pub const fn of_billionths(billionths: u64) -> Option<Weight> {
        if billionths == 0 || billionths > i64::MAX as u64 { None } else { Some(Weight(billionths)) }
    }

    /// 1 / `rate`, to the nearest billionth. A rate is over 0 and at most 1; None for another one, and for one
    /// below about 1.1e-10.
    pub fn of_rate(rate: f64) -> Option<Weight> {
        if !(rate > 0.0 && rate <= 1.0) {
            return None;
        }
        let billionths = (1.0 / rate * Weight::UNITS as f64).round();
        // The first float that an i64 does not hold.
        if billionths >= i64::MAX as f64 { None } else { Weight::of_billionths(billionths as u64) }
    }

    /// Billionths.
    #[inline]
    pub const fn billionths(self) -> u64 {
        self.0
    }

    /// The nearest float.
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / Weight::UNITS as f64
    }
}

/// Decimal, trailing zeros cut: `10`, `3.333333333`, `0.5`.
impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, mut fraction) = (self.0 / Weight::UNITS, self.0 % Weight::UNITS);
        write!(f, "{whole}")?;
        if fraction == 0 {
            return Ok(());
        }
        let mut width = 9;
        while fraction.is_multiple_of(10) {
            fraction /= 10;
            width -= 1;
        }
        write!(f, ".{fraction:0width$}")
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_code_and_its_word() {
        for (kind, code) in Kind::ALL.into_iter().zip(1..) {
            assert_eq!((kind as u8, Kind::from_code(code)), (code, Some(kind)));
            assert_eq!(
                Kind::ALL.into_iter().filter(|other| other.word() == kind.word()).count(),
                1,
                "{kind:?}"
            );
        }
        assert_eq!((Kind::from_code(0), Kind::from_code(9)), (None, None));
        assert!(Kind::NUMBERS.into_iter().eq(Kind::ALL.into_iter().filter(|kind| *kind != Kind::Member)));
    }

    #[test]
    fn a_weight_is_one_over_the_rate() {
        for (rate, want) in [
            (1.0, Some("1")),
            (0.1, Some("10")),
            (0.3, Some("3.333333333")),
            (0.7, Some("1.428571429")),
            (0.001, Some("1000")),
            (1e-6, Some("1000000")),
            (1.5e-10, Some("6666666666.666667008")),
            (1e-10, None),
            (1e-40, None),
            (0.0, None),
            (-0.5, None),
            (1.5, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
        ] {
            let weight = Weight::of_rate(rate);
            assert_eq!(weight.map(|weight| weight.to_string()).as_deref(), want, "{rate}");
        }
        assert_eq!(Weight::of_billionths(0), None);
        assert_eq!(Weight::of_billionths(1).map(|weight| weight.to_string()).as_deref(), Some("0.000000001"));
        assert_eq!(Weight::of_billionths(u64::MAX), None);
        assert_eq!(Weight::ONE.as_f64(), 1.0);
    }
}
