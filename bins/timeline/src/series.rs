//! What is known of one series: a line of the processor's cache.

use common::metric::{Kind, Metric};
use common::time::Time;

use crate::absolute::Window;
use crate::counters::{Counters, Reason};
use crate::gauge::Gauge;
use crate::index::NONE;
use crate::moment::Moment;
use crate::rate::Base;
use crate::rules::Clock;

/// Where the texts of a series stand in the arena.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Text {
    pub(crate) at: u32,
    /// Bytes of the key as it is looked up.
    pub(crate) len: u16,
    /// Bytes of the key as it is emitted, behind the other; 0 when they are the same.
    pub(crate) emitted_len: u16,
}

/// A value and its time: an event but for its key.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Point {
    pub(crate) time: Time,
    pub(crate) value: f64,
}

/// A series, or another spelling of one.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(crate) struct Series {
    pub(crate) text: Text,
    /// The first part of the name, which has a limit; [`NONE`] for an overflow series, which has none.
    pub(crate) part: u32,
    /// The input that opened it.
    pub(crate) source: u32,
    /// When a record was last accepted.
    pub(crate) seen: Moment,
    /// The next series in the wheel.
    pub(crate) link: u32,
    pub(crate) state: State,
}

const _: () = assert!(size_of::<Series>() == 64);

/// What a series is, with what its kind keeps. The list is closed: count, sample and member will join it, with
/// their bins behind a number into a table of their own.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum State {
    /// No series.
    Free,
    /// Another spelling: the number of the series whose emitted key this one's is.
    Spelling(u32),
    Gauge(Gauge),
    Counter(Base),
    Derive(Base),
    Absolute(Window),
}

impl Default for Series {
    fn default() -> Series {
        Series {
            text: Text::default(),
            part: NONE,
            source: NONE,
            seen: Moment::default(),
            link: UNLINKED,
            state: State::Free,
        }
    }
}

/// In no list of the wheel.
pub(crate) const UNLINKED: u32 = NONE - 1;

impl State {
    /// The state before the first record.
    pub(crate) fn new(kind: Kind) -> State {
        match kind {
            Kind::Gauge | Kind::Adjust => State::Gauge(Gauge::NEW),
            Kind::Counter => State::Counter(Base::NEW),
            Kind::Derive => State::Derive(Base::NEW),
            Kind::Absolute => State::Absolute(Window::NONE),
            Kind::Count | Kind::Sample | Kind::Member => State::Free,
        }
    }
}

impl Series {
    /// True when it may go: no record for `ttl`, and nothing in it that still has to come out.
    #[inline]
    pub(crate) fn is_idle(&self, clock: &Clock) -> bool {
        clock.moment.since(self.seen) >= clock.ttl && self.link == UNLINKED
    }

    /// What a record does to the series, and the event that follows, if one does.
    #[inline]
    pub(crate) fn take(
        &mut self,
        metric: &Metric<'_>,
        clock: &Clock,
        counters: &mut Counters,
    ) -> Result<Option<Point>, Reason> {
        let Metric { time, kind, value, .. } = *metric;
        let point = match (&mut self.state, kind) {
            (State::Gauge(gauge), Kind::Gauge) => Some(gauge.set(time, value, clock)?),
            (State::Gauge(gauge), Kind::Adjust) => Some(gauge.adjust(time, value, clock)?),
            (State::Counter(base), Kind::Counter) => base.counter(time, value, clock, counters)?,
            (State::Derive(base), Kind::Derive) => base.derive(time, value, clock)?,
            (State::Absolute(window), Kind::Absolute) => window.take(time, value, clock, counters),
            _ => return Err(Reason::KindConflict),
        };
        self.seen = clock.moment;
        Ok(point)
    }
}
