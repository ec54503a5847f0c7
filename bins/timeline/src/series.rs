//! What is known of one series: a line of the processor's cache.

use common::metric::{Kind, Metric};
use common::sketch::members::hash;
use common::sketch::{Amount, Members, Samples};
use common::time::Time;

use crate::absolute::Window;
use crate::counters::{Counters, Reason};
use crate::gauge::Gauge;
use crate::index::NONE;
use crate::moment::Moment;
use crate::rate::Base;
use crate::rules::Clock;
use crate::slab::Slab;
use crate::tally::Tally;

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

/// What a series is, with what its kind keeps; samples and members of a window stand in tables of their own.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum State {
    /// No series.
    Free,
    /// Another spelling: the number of the series whose emitted key this one's is, and its class.
    Spelling(u32, Class),
    Gauge(Gauge),
    Counter(Base),
    Derive(Base),
    Absolute(Window),
    Count {
        /// Windows in a row that were emitted, or passed over, with nothing in them; [`NO_ZEROS`] before the first.
        quiet: u16,
        /// Of each slot.
        tallies: [Tally; 2],
    },
    Sample {
        /// Which numbers are emitted.
        profile: u8,
        /// The number of each slot's [`Sampled`], or [`NONE`].
        slots: [u32; 2],
    },
    Member {
        /// The number of each slot's [`Counted`], or [`NONE`].
        slots: [u32; 2],
    },
}

/// A count of which no window was emitted yet gives no zeros.
pub(crate) const NO_ZEROS: u16 = u16::MAX;

/// Which series share their keys: those of the kinds that emit their key itself, samples, and members.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Class {
    Plain,
    Sample,
    Member,
}

impl Class {
    #[inline]
    pub(crate) fn of(kind: Kind) -> Class {
        match kind {
            Kind::Sample => Class::Sample,
            Kind::Member => Class::Member,
            _ => Class::Plain,
        }
    }
}

/// The samples of one window: two lines of the processor's cache.
#[derive(Clone, Debug, Default)]
#[repr(align(128))]
pub(crate) struct Sampled {
    pub(crate) samples: Samples,
    pub(crate) records: u32,
}

const _: () = assert!(size_of::<Sampled>() == 128);

/// The members of one window.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted {
    pub(crate) members: Members,
    pub(crate) records: u32,
}

/// What the windows of samples and members hold.
#[derive(Debug)]
pub(crate) struct Pools {
    pub(crate) samples: Slab<Sampled>,
    pub(crate) members: Slab<Counted>,
}

impl Pools {
    pub(crate) fn new() -> Pools {
        Pools { samples: Slab::new(), members: Slab::new() }
    }

    /// Drops what a series holds that goes.
    pub(crate) fn let_go(&mut self, state: &State) {
        match state {
            State::Sample { slots, .. } => {
                slots.iter().filter(|slot| **slot != NONE).for_each(|slot| drop(self.samples.remove(*slot)));
            }
            State::Member { slots } => {
                slots.iter().filter(|slot| **slot != NONE).for_each(|slot| drop(self.members.remove(*slot)));
            }
            _ => {}
        }
    }
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
            Kind::Count => State::Count { quiet: NO_ZEROS, tallies: [Tally::default(); 2] },
            Kind::Sample => State::Sample { profile: u8::MAX, slots: [NONE; 2] },
            Kind::Member => State::Member { slots: [NONE; 2] },
        }
    }
}

impl State {
    pub(crate) fn class(&self) -> Class {
        match self {
            State::Spelling(_, class) => *class,
            State::Sample { .. } => Class::Sample,
            State::Member { .. } => Class::Member,
            _ => Class::Plain,
        }
    }

    /// True for a kind whose records are gathered in windows of the wall clock.
    pub(crate) fn is_aggregated(&self) -> bool {
        matches!(self, State::Count { .. } | State::Sample { .. } | State::Member { .. })
    }

    /// True while a window of the wall clock holds something.
    fn is_open(&self) -> bool {
        match self {
            State::Count { tallies, .. } => tallies.iter().any(|tally| tally.records > 0),
            State::Sample { slots, .. } | State::Member { slots } => slots.iter().any(|slot| *slot != NONE),
            _ => false,
        }
    }
}

impl Series {
    /// True when it may go: no record for `ttl`, and nothing in it that still has to come out.
    #[inline]
    pub(crate) fn is_idle(&self, clock: &Clock) -> bool {
        clock.moment.since(self.seen) >= clock.ttl && self.link == UNLINKED && !self.state.is_open()
    }

    /// What a record does to the series, and the event that follows, if one does.
    #[inline]
    pub(crate) fn take(
        &mut self,
        metric: &Metric<'_>,
        clock: &Clock,
        pools: &mut Pools,
        counters: &mut Counters,
    ) -> Result<Option<Point>, Reason> {
        let Metric { time, kind, value, .. } = *metric;
        let point = match (&mut self.state, kind) {
            (State::Gauge(gauge), Kind::Gauge) => Some(gauge.set(time, value, clock)?),
            (State::Gauge(gauge), Kind::Adjust) => Some(gauge.adjust(time, value, clock)?),
            (State::Counter(base), Kind::Counter) => base.counter(time, value, clock, counters)?,
            (State::Derive(base), Kind::Derive) => base.derive(time, value, clock)?,
            (State::Absolute(window), Kind::Absolute) => window.take(time, value, clock, counters),
            (State::Count { tallies, .. }, Kind::Count) => {
                let slot = clock.windows.slot(time);
                let amount = Amount::of(value, metric.weight).ok_or(Reason::OutOfRange)?;
                if !tallies[slot].add(amount) {
                    return Err(Reason::OutOfRange);
                }
                clock.windows.count(slot, time, counters);
                None
            }
            (State::Sample { slots, .. }, Kind::Sample) => {
                let slot = clock.windows.slot(time);
                let sampled = place(&mut slots[slot], &mut pools.samples);
                sampled.samples.add(value.as_f64(), metric.weight).map_err(|_| Reason::OutOfRange)?;
                sampled.records += 1;
                clock.windows.count(slot, time, counters);
                None
            }
            (State::Member { slots }, Kind::Member) => {
                let slot = clock.windows.slot(time);
                let counted = place(&mut slots[slot], &mut pools.members);
                counted.members.add(hash(metric.member));
                counted.records += 1;
                clock.windows.count(slot, time, counters);
                None
            }
            _ => return Err(Reason::KindConflict),
        };
        self.seen = clock.moment;
        Ok(point)
    }
}

/// The record of a slot; made, if there is none yet.
#[inline]
fn place<'a, T: Default + Clone>(slot: &mut u32, pool: &'a mut Slab<T>) -> &'a mut T {
    if *slot == NONE {
        *slot = pool.insert(T::default());
    }
    pool.get_mut(*slot).expect("a slot that has a number has its record")
}
