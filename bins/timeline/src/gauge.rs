//! Gauge and adjust: a value as it is, and a change of it. They are one kind.

use common::time::Time;
use common::value::Value;

use crate::counters::Reason;
use crate::number::sum;
use crate::rules::Clock;
use crate::series::Point;

/// The newest value of a gauge.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Gauge {
    pub(crate) time: Time,
    pub(crate) value: Value,
    /// It is emitted again at the end of a window in which it was not set.
    pub(crate) kept: bool,
}

impl Gauge {
    /// A gauge nobody has set: an adjust starts from 0.
    pub(crate) const NEW: Gauge = Gauge { time: Time::from_ns(i64::MIN), value: Value::U64(0), kept: false };

    /// Every gauge passes as it is; an older one fills the past and leaves the newest value alone.
    #[inline]
    pub(crate) fn set(&mut self, time: Time, value: Value, clock: &Clock) -> Result<Point, Reason> {
        if time < clock.oldest {
            return Err(Reason::TooOld);
        }
        if time >= self.since(clock) {
            (self.time, self.value) = (time, value);
        }
        Ok(Point { time, value: value.as_f64() })
    }

    /// A change counts whenever it comes; the event is never older than the gauge, so that of two points of one
    /// time the last is the right one.
    pub(crate) fn adjust(&mut self, time: Time, change: Value, clock: &Clock) -> Result<Point, Reason> {
        if time < clock.oldest {
            return Err(Reason::TooOld);
        }
        let time = time.max(self.since(clock));
        (self.time, self.value) = (time, sum(self.value, change));
        Ok(Point { time, value: self.value.as_f64() })
    }

    /// The time of the newest value; none, when this host's clock was set back and it cannot be right.
    #[inline]
    fn since(&self, clock: &Clock) -> Time {
        if self.time > clock.latest { Gauge::NEW.time } else { self.time }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::rules::Rules;

    #[test]
    fn gauges_pass_and_adjusts_change_them() {
        enum Do {
            Set(Value),
            Adjust(Value),
        }
        use Do::{Adjust, Set};
        let now = Time::from_secs(1_000_000_000);
        let clock = Rules::default().clock(now, Duration::ZERO, Rules::default().windows());
        let mut gauge = Gauge::NEW;
        // Seconds before now; what; the event's seconds before now and its value.
        for (ago, what, want) in [
            (100, Adjust(Value::I64(-2)), Ok((100, -2.0))),
            (90, Set(Value::F64(0.5)), Ok((90, 0.5))),
            (90, Set(Value::U64(7)), Ok((90, 7.0))),
            (80, Adjust(Value::U64(3)), Ok((80, 10.0))),
            (95, Set(Value::U64(1)), Ok((95, 1.0))),
            (95, Adjust(Value::U64(1)), Ok((80, 11.0))),
            (400 * 86_400, Set(Value::U64(1)), Ok((400 * 86_400, 1.0))),
            (400 * 86_400 + 1, Set(Value::U64(1)), Err(Reason::TooOld)),
            (400 * 86_400 + 1, Adjust(Value::U64(1)), Err(Reason::TooOld)),
            (0, Adjust(Value::U64(0)), Ok((0, 11.0))),
        ] {
            let time = Time::from_secs(1_000_000_000 - ago);
            let got = match what {
                Set(value) => gauge.set(time, value, &clock),
                Adjust(value) => gauge.adjust(time, value, &clock),
            };
            let want = want.map(|(ago, value)| Point { time: Time::from_secs(1_000_000_000 - ago), value });
            assert_eq!(got, want, "{ago} s ago");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_freeze_a_gauge() {
        let rules = Rules::default();
        let mut gauge = Gauge::NEW;
        let before = rules.clock(Time::from_secs(2_000_000), Duration::ZERO, rules.windows());
        gauge.set(Time::from_secs(2_000_000), Value::U64(1), &before).unwrap();
        let after = rules.clock(Time::from_secs(1_000_000), Duration::ZERO, rules.windows());
        gauge.set(Time::from_secs(1_000_000), Value::U64(5), &after).unwrap();
        let point = gauge.adjust(Time::from_secs(1_000_001), Value::U64(1), &after).unwrap();
        assert_eq!(point, Point { time: Time::from_secs(1_000_001), value: 6.0 });
    }
}
