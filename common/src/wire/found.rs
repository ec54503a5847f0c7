//! What a store answers: points of a series, how far a series reaches, words of the index.

use crate::time::Time;

/// Points of one series, in the order of time. A series' points may be parted over many runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run<'a> {
    /// A key, as [`crate::key::parse`] leaves it.
    pub key: &'a [u8],
    /// Little-endian nanoseconds, as they lie in the datagram: nothing there is aligned.
    pub(super) times: &'a [[u8; 8]],
    /// As many little-endian values.
    pub(super) values: &'a [[u8; 8]],
}

impl<'a> Run<'a> {
    /// How many points there are.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// True without a point.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// The points, in the order of time. A value may be NaN.
    pub fn points(&self) -> impl ExactSizeIterator<Item = (Time, f64)> + Clone + use<'a> {
        let time = |time: &[u8; 8]| Time::from_ns(i64::from_le_bytes(*time));
        let value = |value: &[u8; 8]| f64::from_bits(u64::from_le_bytes(*value));
        self.times.iter().zip(self.values).map(move |(t, v)| (time(t), value(v)))
    }
}

/// How far a series reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent<'a> {
    /// A key, as [`crate::key::parse`] leaves it.
    pub key: &'a [u8],
    /// The time of its first point.
    pub first: Time,
    /// The time of its last point.
    pub last: Time,
    /// Its points.
    pub points: u64,
}

/// A tag, or a value of a tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Word<'a> {
    /// Series that have it.
    pub series: u64,
    /// UTF-8; at most as long as a key.
    pub word: &'a [u8],
}
