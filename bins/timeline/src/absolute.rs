//! Absolute: counts since the last reading, summed in windows and read as a rate.

use common::time::{SECOND_NS, Time};
use common::value::Value;

use crate::counters::Counters;
use crate::moment::Moment;
use crate::number::{finite, sum};
use crate::rules::{Clock, seconds};
use crate::series::Point;

/// A window that no record closes is closed by the timer after so long, tenths of a second.
pub(crate) const WINDOW_TENTHS: u32 = 600;

const WINDOW_NS: i64 = 60 * SECOND_NS;

/// A window of absolute records.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Window {
    /// The time of its first record.
    pub(crate) opened: Time,
    pub(crate) sum: Value,
    /// When the timer closes it.
    pub(crate) due: Moment,
    /// Records in it; 0 is no window.
    pub(crate) records: u32,
}

impl Window {
    /// No window yet.
    pub(crate) const NONE: Window =
        Window { opened: Time::from_ns(i64::MIN), sum: Value::U64(0), due: Moment::at_start(), records: 0 };

    pub(crate) fn is_open(&self) -> bool {
        self.records > 0
    }

    /// A record opens the window, or adds to it; one that is half the resolution later than the opening closes
    /// it at its own time, and opens the next. Older and equal times add.
    pub(crate) fn take(
        &mut self,
        time: Time,
        value: Value,
        clock: &Clock,
        counters: &mut Counters,
    ) -> Option<Point> {
        counters.absolute_applied += 1;
        counters.absolute_open += 1;
        let gap_ns = time.since_ns(self.opened);
        if self.is_open() && gap_ns < clock.half_ns {
            self.sum = sum(self.sum, value);
            self.records += 1;
            return None;
        }
        let point = self.is_open().then(|| self.close(time, gap_ns, counters));
        *self = Window { opened: time, sum: value, due: clock.moment.plus(WINDOW_TENTHS), records: 1 };
        point
    }

    /// The timer closes the window 60 s after its opening, whatever its records' times.
    pub(crate) fn time_out(&mut self, counters: &mut Counters) -> Point {
        let point = self.close(self.opened.plus_ns(WINDOW_NS), WINDOW_NS, counters);
        *self = Window::NONE;
        point
    }

    fn close(&self, time: Time, gap_ns: i64, counters: &mut Counters) -> Point {
        counters.absolute_emitted += u64::from(self.records);
        counters.absolute_open -= u64::from(self.records);
        Point { time, value: finite(self.sum.as_f64() / seconds(gap_ns)) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::rules::Rules;

    #[test]
    fn windows_close_with_the_first_record_that_is_later() {
        let clock =
            Rules::default().clock(Time::from_secs(1_000_000), Duration::ZERO, Rules::default().windows());
        // Records as (value, seconds); the events as (rate, seconds); what is open then, as (sum, records).
        type Row<'a> = (&'a str, &'a [(f64, i64)], &'a [(f64, i64)], (f64, u32));
        let rows: [Row<'_>; 6] = [
            ("a minute", &[(60.0, 0), (0.0, 60)], &[(1.0, 60)], (0.0, 1)),
            (
                "each window by its own gap",
                &[(20.0, 0), (50.0, 15), (50.0, 30), (70.0, 65)],
                &[(20.0 / 15.0, 15), (50.0 / 15.0, 30), (50.0 / 35.0, 65)],
                (70.0, 1),
            ),
            ("equal and older times add", &[(1.0, 10), (2.0, 10), (3.0, 4)], &[], (6.0, 3)),
            ("sooner than half the resolution adds", &[(1.0, 0), (2.0, 4), (3.0, 5)], &[(0.6, 5)], (3.0, 1)),
            ("a long gap", &[(600.0, 0), (1.0, 600)], &[(1.0, 600)], (1.0, 1)),
            ("alone", &[(7.0, 100)], &[], (7.0, 1)),
        ];
        for (label, records, want, open) in rows {
            let mut counters = Counters::default();
            let mut window = Window::NONE;
            let got: Vec<(f64, i64)> = records
                .iter()
                .filter_map(|&(value, at)| {
                    window.take(Time::from_secs(at), Value::F64(value), &clock, &mut counters)
                })
                .map(|point| (point.value, point.time.ns() / SECOND_NS))
                .collect();
            assert_eq!(got, want, "{label}");
            assert_eq!((window.sum.as_f64(), window.records), open, "{label}");
            assert_eq!(counters.absolute_applied, records.len() as u64, "{label}");
            assert_eq!(counters.absolute_open, u64::from(open.1), "{label}");
            assert!(counters.balanced(), "{label}");
        }
    }

    #[test]
    fn the_timer_divides_by_60() {
        let clock =
            Rules::default().clock(Time::from_secs(1_000_000), Duration::ZERO, Rules::default().windows());
        let mut counters = Counters::default();
        let mut window = Window::NONE;
        for (value, at) in [(20, 1000), (40, 1003)] {
            window.take(Time::from_secs(at), Value::U64(value), &clock, &mut counters);
        }
        let point = window.time_out(&mut counters);
        assert_eq!(point, Point { time: Time::from_secs(1060), value: 1.0 });
        assert!(!window.is_open() && counters.balanced() && counters.absolute_emitted == 2);
    }
}
