//! The points of the rows about history: gauges with two decimals that wander, 10 s apart, up to a millisecond early or
//! late. The same ones in every run and for every store.
//!
//! A step is `ones - 22` hundredths, `ones` being how many of 44 random bits are set: a normal distribution with a
//! standard deviation of 3.3 hundredths, 3.78 bits of entropy. The time adds 1.58 bits: together 0.67 bytes a point,
//! under which no store comes without knowing the generator.

use common::time::Time;

/// Between two points of a series.
pub(crate) const INTERVAL_MS: i64 = 10_000;

/// Points of a series in a day.
pub(crate) const DAY_POINTS: usize = 8_640;

const STEP_BITS: u32 = 44;

/// A series, at one of its points.
#[derive(Clone, Debug)]
pub(crate) struct Gauge {
    random: u64,
    hundredths: i64,
}

/// A point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Point {
    pub(crate) time_ms: i64,
    pub(crate) hundredths: i64,
}

impl Gauge {
    /// The series of a number, before its first point: somewhere from 50.00 to 1050.00.
    pub(crate) fn of(series: usize) -> Gauge {
        let mut gauge = Gauge { random: series as u64, hundredths: 0 };
        gauge.hundredths = 5_000 + (gauge.draw() % 100_000) as i64;
        gauge
    }

    /// Its next point, which is due at `due_ms`.
    #[inline]
    pub(crate) fn next(&mut self, due_ms: i64) -> Point {
        let drawn = self.draw();
        let ones = (drawn & ((1 << STEP_BITS) - 1)).count_ones();
        self.hundredths += i64::from(ones) - i64::from(STEP_BITS / 2);
        let jitter_ms = ((drawn >> STEP_BITS) % 3) as i64 - 1;
        Point { time_ms: due_ms + jitter_ms, hundredths: self.hundredths }
    }

    /// SplitMix64. Source: <https://prng.di.unimi.it/splitmix64.c>.
    #[inline]
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl Point {
    #[inline]
    pub(crate) fn time(self) -> Time {
        Time::from_ns(self.time_ms * 1_000_000)
    }

    /// The nearest number to what a person would write: `12.34`.
    #[inline]
    pub(crate) fn value(self) -> f64 {
        self.hundredths as f64 / 100.0
    }

    /// What is summed of it: a sum of these shows a time that moved as well as a value.
    #[inline]
    pub(crate) fn mark(self) -> u64 {
        (self.time_ms as u64).wrapping_mul(1_000_003).wrapping_add(self.hundredths as u64)
    }

    /// A point that came back.
    #[inline]
    pub(crate) fn of(time: Time, value: f64) -> Point {
        Point { time_ms: time.ns().div_euclid(1_000_000), hundredths: (value * 100.0).round() as i64 }
    }
}

/// The time of the first of `points` points of a series whose last is due at `last`, on a whole interval.
pub(crate) fn first_ms(last: Time, points: usize) -> i64 {
    let last_ms = last.ns() / 1_000_000 / INTERVAL_MS * INTERVAL_MS;
    last_ms - (points as i64 - 1) * INTERVAL_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_wanders_as_it_says() {
        let mut gauge = Gauge::of(7);
        let points: Vec<Point> = (0..100_000).map(|tick| gauge.next(tick * INTERVAL_MS)).collect();
        let (mut sum, mut squares) = (0, 0);
        for (tick, two) in points.windows(2).enumerate() {
            let step = two[1].hundredths - two[0].hundredths;
            (sum, squares) = (sum + step, squares + step * step);
            assert!((two[0].time_ms - tick as i64 * INTERVAL_MS).abs() <= 1);
        }
        let deviation = (squares as f64 / points.len() as f64).sqrt();
        assert!((3.2..3.4).contains(&deviation) && sum.abs() < 5_000, "{deviation} {sum}");
        let again = Gauge::of(7).next(0);
        assert_eq!(again, points[0]);
        assert_eq!(Point::of(again.time(), again.value()), again);
    }

    #[test]
    fn the_last_point_is_due_at_a_whole_interval() {
        assert_eq!(first_ms(Time::from_secs(1_234_567_899), 3), 1_234_567_870_000);
    }
}
