//! Points on the monotonic clock, small enough to stand in every series.

use std::time::Duration;

/// Tenths of a second on the monotonic clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Moment(u32);

impl Moment {
    /// What the clock's zero is: series from a saved state are older than the process, by up to three years.
    const ZERO: u32 = 1_000_000_000;

    /// `mono` is the time since a start that stays the same; it is good for ten years.
    pub(crate) fn at(mono: Duration) -> Moment {
        Moment(Moment::ZERO.saturating_add(tenths(mono)))
    }

    /// The clock's zero.
    pub(crate) const fn at_start() -> Moment {
        Moment(Moment::ZERO)
    }

    /// Tenths of a second since `earlier`, 0 when that is later.
    pub(crate) fn since(self, earlier: Moment) -> u32 {
        self.0.saturating_sub(earlier.0)
    }

    pub(crate) fn plus(self, tenths: u32) -> Moment {
        Moment(self.0.saturating_add(tenths))
    }

    pub(crate) fn minus(self, tenths: u32) -> Moment {
        Moment(self.0.saturating_sub(tenths))
    }

    /// The first whole second that is not before the moment.
    pub(crate) fn second(self) -> u32 {
        self.0.div_ceil(10)
    }

    /// The last whole second that is not after the moment.
    pub(crate) fn second_begun(self) -> u32 {
        self.0 / 10
    }
}

/// A duration in tenths of a second; it saturates at 13 years.
pub(crate) fn tenths(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis() / 100).unwrap_or(u32::MAX)
}
