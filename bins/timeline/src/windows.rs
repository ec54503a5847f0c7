//! Windows of the wall clock, in which counts, samples and members are gathered.
//!
//! Every series has two slots. One gathers the newest window; the other one is free, or holds the window before until
//! it is emitted: a second after its end it closes, takes no more records, and is emitted series by series. A window is
//! left for good when that is done, and none is ever entered again: a clock that is set back finds the newest one still
//! open until it has come as far. Only one that is set back by more than ten minutes begins anew; where it comes through
//! windows that were entered before, what it gathers is stamped a millisecond before their end, the next time two: so no
//! stamp is given twice, and no consumer takes the second part for the first one.

use common::time::{SECOND_NS, Time};
use sockets::planted;

use crate::counters::Counters;
use crate::entered::Entered;

/// Later than its end by so much, a window closes: what is on its way is waited for.
const GRACE_NS: i64 = SECOND_NS;

/// A clock that was set back so far is not waited for.
const BACK_MAX_NS: i64 = 600 * SECOND_NS;

/// What comes out of a window that is entered again is stamped earlier than its end by so much for each time before.
const AGAIN_NS: i64 = 1_000_000;
/// The earliest stamp is within the last second: the shortest window has one.
const AGAIN_MAX: u32 = 999;

/// No window yet.
const NEVER: i64 = i64::MIN;

/// Which windows are open, and in which slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Windows {
    interval_ns: i64,
    /// The number of each slot's window: its end by the interval, less one.
    numbers: [i64; 2],
    /// How often each slot's window was entered before.
    again: [u32; 2],
    newest: usize,
    other: Other,
    /// The first window since the clock jumped.
    began: i64,
    /// Those that were entered before it did.
    entered: Entered,
}

/// What becomes of the slot that is not the newest one's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Other {
    /// It is empty in all series.
    Free,
    /// It takes records of its window's time, and older ones.
    Open,
    /// It is being emitted.
    Closing,
}

/// A window that is being emitted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Closing {
    pub(crate) slot: usize,
    pub(crate) start: Time,
    /// Its stamp.
    pub(crate) end: Time,
    pub(crate) window_ns: i64,
}

impl Windows {
    /// No window is open. The interval is at least a second.
    pub(crate) fn new(interval_ns: i64) -> Windows {
        Windows {
            interval_ns,
            numbers: [NEVER; 2],
            again: [0; 2],
            newest: 0,
            other: Other::Free,
            began: NEVER,
            entered: Entered::default(),
        }
    }

    /// Goes on where a predecessor stood: the stamps of its newest window and of the one before, if that was not done.
    pub(crate) fn resume(&mut self, newest: Time, before: Option<(Time, Other)>) {
        // The last instant of a window is in it, whatever the interval was.
        let number = |stamp: Time| self.number(stamp.plus_ns(-1));
        let again = |stamp: Time| {
            let early_ns = self.end_of(number(stamp)).since_ns(stamp);
            // Another interval has other ends.
            if early_ns < SECOND_NS { (early_ns / AGAIN_NS) as u32 } else { 0 }
        };
        let stamps = [newest, before.map_or(newest, |(stamp, _)| stamp)];
        (self.numbers, self.again) = (stamps.map(number), stamps.map(again));
        if before.is_none() {
            self.numbers[1] = NEVER;
        }
        self.newest = 0;
        self.other = before.map_or(Other::Free, |(_, other)| other);
        if planted!(FlushedAgain) && self.other == Other::Free {
            (self.numbers[1], self.other) = (self.numbers[0] - 1, Other::Closing);
        }
        self.began = self.numbers[0];
    }

    /// The spans that were entered, but for the newest window: each from the start of its first window to the end of its
    /// last, and how often.
    pub(crate) fn spans(&self) -> Vec<(Time, Time, u32)> {
        let mut entered = self.entered;
        if self.began != NEVER {
            entered.add(self.began, self.numbers[self.newest] - 1);
        }
        let spans =
            entered.iter().map(|(first, last, times)| (self.end_of(first - 1), self.end_of(last), times));
        spans.collect()
    }

    /// A predecessor has entered these windows.
    pub(crate) fn has_entered(&mut self, start: Time, end: Time, times: u32) {
        self.entered.add_times(self.number(start), self.number(end.plus_ns(-1)), times);
    }

    /// The stamp of the newest window, and that of the one before with what becomes of it; None before the first record.
    pub(crate) fn ends(&self) -> Option<(Time, Option<(Time, Other)>)> {
        let before = (self.other != Other::Free).then(|| (self.stamp(1 - self.newest), self.other));
        (self.numbers[self.newest] != NEVER).then(|| (self.stamp(self.newest), before))
    }

    /// The same, of a process that has nothing of the window before: it is left for good.
    pub(crate) fn without_other(mut self) -> Windows {
        self.other = Other::Free;
        self
    }

    /// The slot of the newest window.
    pub(crate) fn newest(&self) -> usize {
        self.newest
    }

    /// Opens and closes what the clock says.
    #[inline]
    pub(crate) fn turn(&mut self, now: Time) {
        let number = self.number(now);
        if number != self.numbers[self.newest] || self.other == Other::Open {
            self.turn_to(number, now);
        }
    }

    fn turn_to(&mut self, number: i64, now: Time) {
        let newest = self.numbers[self.newest];
        if newest == NEVER {
            self.numbers[self.newest] = number;
            self.again[self.newest] = self.entered.times(number);
            self.began = number;
            return;
        }
        if self.other == Other::Free && (number > newest || self.is_ahead(newest, now)) {
            if number != newest + 1 {
                self.entered.add(self.began, newest);
                self.began = number;
            }
            self.newest = 1 - self.newest;
            self.numbers[self.newest] = number;
            self.again[self.newest] = self.entered.times(number);
            self.other = Other::Open;
        }
        let before = self.numbers[1 - self.newest];
        let is_due = now >= self.end(1 - self.newest).plus_ns(GRACE_NS) || self.is_ahead(before, now);
        if self.other == Other::Open && is_due {
            self.other = Other::Closing;
        }
    }

    /// True when the clock was set back since, too far to be waited for.
    fn is_ahead(&self, number: i64, now: Time) -> bool {
        number.saturating_mul(self.interval_ns) > now.ns().saturating_add(BACK_MAX_NS)
    }

    /// The window that is to be emitted.
    pub(crate) fn closing(&self) -> Option<Closing> {
        let slot = 1 - self.newest;
        let window_ns = self.interval_ns;
        (self.other == Other::Closing).then(|| Closing {
            slot,
            start: self.end(slot).plus_ns(-window_ns),
            end: self.stamp(slot),
            window_ns,
        })
    }

    /// The window that was being emitted is done.
    pub(crate) fn done(&mut self) {
        debug_assert_eq!(self.other, Other::Closing);
        self.other = Other::Free;
    }

    /// The slot that a record of this time goes to.
    #[inline]
    pub(crate) fn slot(&self, time: Time) -> usize {
        match self.other {
            Other::Open if time < self.end(1 - self.newest) => 1 - self.newest,
            _ => self.newest,
        }
    }

    /// Counts a record that went to a slot.
    #[inline]
    pub(crate) fn count(&self, slot: usize, time: Time, counters: &mut Counters) {
        let end = self.end(slot);
        counters.aggregated_applied += 1;
        counters.aggregated_open += 1;
        counters.late += u64::from(time < end.plus_ns(-self.interval_ns));
        counters.ahead += u64::from(time >= end);
    }

    fn number(&self, time: Time) -> i64 {
        time.ns().div_euclid(self.interval_ns)
    }

    fn end(&self, slot: usize) -> Time {
        self.end_of(self.numbers[slot])
    }

    fn end_of(&self, number: i64) -> Time {
        Time::from_ns(number.saturating_add(1).saturating_mul(self.interval_ns))
    }

    /// What comes out of a slot's window has this time.
    fn stamp(&self, slot: usize) -> Time {
        self.end(slot).plus_ns(-i64::from(self.again[slot].min(AGAIN_MAX)) * AGAIN_NS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_780_000_000;

    fn at(seconds: f64) -> Time {
        Time::from_secs(START).plus_ns((seconds * 1e9) as i64)
    }

    /// The end of the window that is closing, in seconds; it is done then.
    fn closed(windows: &mut Windows) -> Option<f64> {
        let closing = windows.closing()?;
        windows.done();
        Some(closing.end.since_ns(Time::from_secs(START)) as f64 / 1e9)
    }

    #[test]
    fn a_window_closes_once_a_second_after_its_end() {
        let mut windows = Windows::new(10 * SECOND_NS);
        // The clock, and the end of the window that closes then.
        for (clock, want) in [
            (3.0, None),
            (10.0, None),
            (10.9, None),
            (11.0, Some(10.0)),
            (11.1, None),
            // Set back: the open window waits.
            (5.0, None),
            (20.5, None),
            (21.0, Some(20.0)),
            // Set forward: what was open closes, and what was jumped over never was.
            (500.0, Some(30.0)),
            (511.0, Some(510.0)),
            // Set back by more than ten minutes: it begins anew.
            (-200.0, Some(520.0)),
            (-189.0, Some(-190.0)),
        ] {
            windows.turn(at(clock));
            windows.turn(at(clock));
            assert_eq!(closed(&mut windows), want, "{clock}");
        }
    }

    #[test]
    fn no_stamp_is_given_twice() {
        // The clock, and the end of the window that closes then: it goes back over the same windows again and again.
        let mut windows = Windows::new(10 * SECOND_NS);
        for (clock, want) in [
            (25.0, None),
            (31.0, Some(30.0)),
            // An hour ahead, and back.
            (3632.0, Some(40.0)),
            (36.0, Some(3640.0)),
            (41.0, Some(39.999)),
            (51.0, Some(50.0)),
            (3633.0, Some(60.0)),
            (3641.0, Some(3639.999)),
            (52.0, Some(3650.0)),
            // Once more, over a restart.
            (61.0, Some(59.999)),
            (3634.0, Some(70.0)),
            (3641.0, Some(3639.998)),
        ] {
            windows.turn(at(clock));
            windows.turn(at(clock));
            assert_eq!(closed(&mut windows), want, "{clock}");
            let mut next = Windows::new(10 * SECOND_NS);
            let (newest, before) = windows.ends().unwrap();
            next.resume(newest, before);
            windows.spans().into_iter().for_each(|(start, end, times)| next.has_entered(start, end, times));
            assert_eq!((next.ends(), next.spans()), (windows.ends(), windows.spans()), "{clock}");
            windows = next;
        }
    }

    #[test]
    fn a_record_goes_to_the_oldest_window_that_is_open_or_its_own() {
        let mut windows = Windows::new(10 * SECOND_NS);
        windows.turn(at(5.0));
        windows.turn(at(10.5));
        // When the clock is there: a record's time; its window's end; late; ahead.
        for (clock, time, end, late, ahead) in [
            (10.5, 9.0, 10.0, 0, 0),
            (10.5, -7.0, 10.0, 1, 0),
            (10.5, 12.0, 20.0, 0, 0),
            (10.5, 33.0, 20.0, 0, 1),
            (11.5, 9.0, 20.0, 1, 0),
            (11.5, 20.0, 20.0, 0, 1),
        ] {
            windows.turn(at(clock));
            let mut counters = Counters::default();
            let slot = windows.slot(at(time));
            windows.count(slot, at(time), &mut counters);
            let got = windows.end(slot).since_ns(at(0.0)) as f64 / 1e9;
            assert_eq!((got, counters.late, counters.ahead), (end, late, ahead), "{time} at {clock}");
        }
    }

    #[test]
    fn a_window_that_is_slow_to_come_out_holds_the_next_one_open() {
        let mut windows = Windows::new(10 * SECOND_NS);
        for clock in [5.0, 10.0, 11.0, 21.0, 35.0] {
            windows.turn(at(clock));
        }
        assert_eq!(windows.end(windows.slot(at(34.0))), at(20.0));
        assert_eq!(closed(&mut windows), Some(10.0));
        windows.turn(at(35.0));
        assert_eq!(closed(&mut windows), Some(20.0));
        windows.turn(at(35.0));
        assert_eq!(windows.closing(), None);
        assert_eq!(windows.end(windows.slot(at(34.0))), at(40.0));
    }

    #[test]
    fn a_successor_goes_on_with_the_same_windows() {
        let mut windows = Windows::new(10 * SECOND_NS);
        assert_eq!(windows.ends(), None);
        windows.turn(at(5.0));
        windows.turn(at(10.5));
        let (newest, before) = windows.ends().unwrap();
        assert_eq!((newest, before), (at(20.0), Some((at(10.0), Other::Open))));
        let mut next = Windows::new(10 * SECOND_NS);
        next.resume(newest, before);
        assert_eq!(next.ends(), windows.ends());
        next.turn(at(12.0));
        assert_eq!(closed(&mut next), Some(10.0));
        assert_eq!(next.ends(), Some((at(20.0), None)));
    }
}
