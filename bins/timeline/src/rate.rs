//! Counter and derive: a count that is read as a rate.

use common::time::Time;
use common::value::Value;

use crate::counters::{Counters, Reason};
use crate::number::{finite, less, wrapped};
use crate::rules::{Clock, seconds};
use crate::series::Point;

/// How many times the highest rate seen a wrap may imply; a higher one is taken for a reset.
const WRAP_RATE_MAX: f64 = 4.0;

/// The reading a rate is counted from.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Base {
    pub(crate) time: Time,
    pub(crate) value: Value,
    /// The highest rate seen, 1/s; 0 before the first one.
    pub(crate) highest: f64,
}

impl Base {
    /// No reading yet.
    pub(crate) const NEW: Base = Base { time: Time::from_ns(i64::MIN), value: Value::U64(0), highest: 0.0 };

    /// A reading that may go down as well: the rate since the base, which moves when half the resolution has
    /// passed. The gap may be of any length.
    pub(crate) fn derive(
        &mut self,
        time: Time,
        value: Value,
        clock: &Clock,
    ) -> Result<Option<Point>, Reason> {
        let Some(gap_ns) = self.gap_ns(time, value, clock)? else { return Ok(None) };
        let rate = value.minus(self.value) / seconds(gap_ns);
        Ok(Some(self.move_to(time, value, rate)))
    }

    /// A reading that only grows: one that went back is a reset and gives nothing, unless it is a wrap.
    pub(crate) fn counter(
        &mut self,
        time: Time,
        value: Value,
        clock: &Clock,
        counters: &mut Counters,
    ) -> Result<Option<Point>, Reason> {
        let Some(gap_ns) = self.gap_ns(time, value, clock)? else { return Ok(None) };
        let gap = seconds(gap_ns);
        if !less(value, self.value) {
            return Ok(Some(self.move_to(time, value, value.minus(self.value) / gap)));
        }
        let rate = [32, 64]
            .into_iter()
            .filter_map(|bits| wrapped(self.value, value, bits))
            .map(|difference| difference / gap)
            .find(|&rate| rate <= WRAP_RATE_MAX * self.highest);
        match rate {
            Some(rate) => {
                counters.wrapped += 1;
                Ok(Some(self.move_to(time, value, rate)))
            }
            None => {
                counters.reset += 1;
                (self.time, self.value) = (time, value);
                Ok(None)
            }
        }
    }

    /// Nanoseconds since the base; None when the reading became the base, or came too soon to move it.
    fn gap_ns(&mut self, time: Time, value: Value, clock: &Clock) -> Result<Option<i64>, Reason> {
        // A base beyond the latest time there can be is from before this host's clock was set back.
        if self.time == Base::NEW.time || self.time > clock.latest {
            (self.time, self.value) = (time, value);
            return Ok(None);
        }
        if time <= self.time {
            return Err(Reason::Stale);
        }
        let gap_ns = time.since_ns(self.time);
        Ok((gap_ns >= clock.half_ns).then_some(gap_ns))
    }

    fn move_to(&mut self, time: Time, value: Value, rate: f64) -> Point {
        let rate = finite(rate);
        *self = Base { time, value, highest: self.highest.max(rate) };
        Point { time, value: rate }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::rules::Rules;

    const END32: u64 = 1 << 32;

    /// Readings as (value, seconds), what each gave, and the resets and wraps there were.
    type Row<'a> = (&'a str, &'a [(Value, f64)], &'a [Result<Option<f64>, Reason>], u64, u64);

    fn run(readings: &[(Value, f64)], counter: bool) -> (Vec<Result<Option<f64>, Reason>>, Counters) {
        let clock =
            Rules::default().clock(Time::from_secs(1_000_000), Duration::ZERO, Rules::default().windows());
        let mut counters = Counters::default();
        let mut base = Base::NEW;
        let got = readings
            .iter()
            .map(|&(value, at)| {
                let time = Time::from_ns((at * 1e9) as i64);
                let point = if counter {
                    base.counter(time, value, &clock, &mut counters)
                } else {
                    base.derive(time, value, &clock)
                };
                point.map(|point| {
                    point.map(|point| {
                        assert_eq!(point.time, time);
                        point.value
                    })
                })
            })
            .collect();
        (got, counters)
    }

    fn u(value: u64) -> Value {
        Value::U64(value)
    }

    #[test]
    fn derives() {
        let rows: [Row<'_>; 8] = [
            ("a rate", &[(u(0), 0.0), (u(60), 60.0)], &[Ok(None), Ok(Some(1.0))], 0, 0),
            ("down", &[(u(61), 0.0), (u(1), 60.0)], &[Ok(None), Ok(Some(-1.0))], 0, 0),
            (
                "too soon: the base stays",
                &[(u(0), 0.0), (u(10), 1.0), (u(60), 60.0)],
                &[Ok(None), Ok(None), Ok(Some(1.0))],
                0,
                0,
            ),
            (
                "half the resolution moves the base",
                &[(u(0), 0.0), (u(5), 5.0), (u(20), 10.0)],
                &[Ok(None), Ok(Some(1.0)), Ok(Some(3.0))],
                0,
                0,
            ),
            (
                "older and equal times are stale",
                &[(u(0), 10.0), (u(5), 10.0), (u(5), 9.0), (u(10), 20.0)],
                &[Ok(None), Err(Reason::Stale), Err(Reason::Stale), Ok(Some(1.0))],
                0,
                0,
            ),
            ("a day's gap", &[(u(0), 0.0), (u(86_400), 86_400.0)], &[Ok(None), Ok(Some(1.0))], 0, 0),
            (
                "exact beyond 2^53",
                &[(u(u64::MAX - 11), 0.0), (u(u64::MAX - 1), 10.0)],
                &[Ok(None), Ok(Some(1.0))],
                0,
                0,
            ),
            (
                "never an infinity",
                &[(Value::F64(f64::MIN), 0.0), (Value::F64(f64::MAX), 10.0)],
                &[Ok(None), Ok(Some(f64::MAX))],
                0,
                0,
            ),
        ];
        for (label, readings, want, resets, wraps) in rows {
            let (got, counters) = run(readings, false);
            assert_eq!((&*got, counters.reset, counters.wrapped), (want, resets, wraps), "{label}");
        }
    }

    #[test]
    fn counters() {
        let near = END32 - 500;
        let rows: [Row<'_>; 7] = [
            ("a rate", &[(u(0), 0.0), (u(60), 60.0)], &[Ok(None), Ok(Some(1.0))], 0, 0),
            ("back first thing is a reset", &[(u(61), 0.0), (u(1), 60.0)], &[Ok(None), Ok(None)], 1, 0),
            (
                "a restart is no spike",
                &[(u(999_000), 0.0), (u(1_000_000), 10.0), (u(5), 20.0), (u(1005), 30.0)],
                &[Ok(None), Ok(Some(100.0)), Ok(None), Ok(Some(100.0))],
                1,
                0,
            ),
            (
                "a wrap at 2^32",
                &[(u(near - 1000), 0.0), (u(near), 10.0), (u(500), 20.0)],
                &[Ok(None), Ok(Some(100.0)), Ok(Some(100.0))],
                0,
                1,
            ),
            (
                "a wrap of just four times the highest rate",
                &[(u(END32 - 100), 0.0), (u(END32 - 90), 10.0), (u(0), 32.5)],
                &[Ok(None), Ok(Some(1.0)), Ok(Some(4.0))],
                0,
                1,
            ),
            (
                "a wrap of more is a reset",
                &[(u(END32 - 100), 0.0), (u(END32 - 90), 10.0), (u(1), 32.5)],
                &[Ok(None), Ok(Some(1.0)), Ok(None)],
                1,
                0,
            ),
            (
                "a wrap at 2^64",
                &[(u(u64::MAX - 1999), 0.0), (u(u64::MAX - 999), 10.0), (u(0), 20.0)],
                &[Ok(None), Ok(Some(100.0)), Ok(Some(100.0))],
                0,
                1,
            ),
        ];
        for (label, readings, want, resets, wraps) in rows {
            let (got, counters) = run(readings, true);
            assert_eq!((&*got, counters.reset, counters.wrapped), (want, resets, wraps), "{label}");
        }
    }

    #[test]
    fn readings_every_10_s_with_jitter_give_a_rate_each() {
        // +-5 ms, as collectd keeps its interval.
        let mut seed = 7_u32;
        let readings: Vec<(Value, f64)> = (0..360)
            .map(|n| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let jitter_ms = f64::from((seed >> 16) % 11) - 5.0;
                (u(n * 100), 1000.0 + n as f64 * 10.0 + jitter_ms / 1e3)
            })
            .collect();
        let (got, _) = run(&readings, false);
        let rates: Vec<f64> = got.into_iter().filter_map(|point| point.unwrap()).collect();
        assert_eq!(rates.len(), 359);
        assert!(rates.iter().all(|rate| (rate - 10.0).abs() < 0.011), "{rates:?}");
    }

    #[test]
    fn a_clock_that_is_set_back_gives_a_new_base() {
        let rules = Rules::default();
        let mut base = Base::NEW;
        let clock = rules.clock(Time::from_secs(2_000_000), Duration::ZERO, rules.windows());
        base.derive(Time::from_secs(2_000_000), u(1), &clock).unwrap();
        let clock = rules.clock(Time::from_secs(1_000_000), Duration::ZERO, rules.windows());
        for (at, want) in [(1_000_000, Ok(None)), (1_000_010, Ok(Some(1.0)))] {
            let value = u(at as u64 - 999_990);
            let got =
                base.derive(Time::from_secs(at), value, &clock).map(|point| point.map(|point| point.value));
            assert_eq!(got, want, "{at}");
        }
    }
}
