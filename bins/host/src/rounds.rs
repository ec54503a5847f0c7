//! When a round is due: once in each interval of the clock.

use std::time::Duration;

use common::span::Span;
use common::time::Time;

/// The rounds of this process and of its predecessor: a restart within an interval does not repeat a round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rounds {
    interval_ns: i64,
    last: Option<Time>,
    /// False as long as the last round was a predecessor's.
    own: bool,
}

impl Rounds {
    /// Goes on after a round at `last`. The interval is not zero.
    pub(crate) fn new(interval: Span, last: Option<Time>) -> Rounds {
        Rounds { interval_ns: interval.signed_ns().max(1), last, own: false }
    }

    /// When the last round was.
    pub(crate) fn last(&self) -> Option<Time> {
        self.last
    }

    /// Says whether a round is due now, and how many this process missed before it. A clock that was set back
    /// makes one due as well.
    pub(crate) fn begin(&mut self, now: Time) -> Option<u64> {
        let last = self.last.map(|last| self.number(last));
        let number = self.number(now);
        if last == Some(number) {
            return None;
        }
        let missed = match last {
            Some(last) if self.own => u64::try_from(number - last - 1).unwrap_or(0),
            _ => 0,
        };
        (self.last, self.own) = (Some(now), true);
        Some(missed)
    }

    /// From now to the next interval.
    pub(crate) fn wait(&self, now: Time) -> Duration {
        Duration::from_nanos((self.interval_ns - now.ns().rem_euclid(self.interval_ns)) as u64)
    }

    fn number(&self, time: Time) -> i64 {
        time.ns().div_euclid(self.interval_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Time {
        Time::from_ns(millis * 1_000_000)
    }

    #[test]
    fn a_round_is_due_at_the_start_and_then_once_an_interval() {
        let mut rounds = Rounds::new(Span::from_secs(10), None);
        for (now, want, wait) in [
            (at(103_500), Some(0), 6_500), // the start
            (at(109_999), None, 1),
            (at(110_000), Some(0), 10_000),
            (at(110_001), None, 9_999),
            (at(121_000), Some(0), 9_000), // late, the next one is not
            (at(130_000), Some(0), 10_000),
            (at(167_000), Some(2), 3_000),  // asleep
            (at(100_000), Some(0), 10_000), // the clock was set back
            (at(110_000), Some(0), 10_000),
        ] {
            assert_eq!(rounds.begin(now), want, "{now}");
            assert_eq!(rounds.wait(now), Duration::from_millis(wait), "{now}");
        }
    }

    #[test]
    fn a_restart_does_not_repeat_a_round() {
        for (last, now, want) in [
            (None, at(5_000), Some(0)),
            (Some(at(1_000)), at(5_000), None),
            (Some(at(1_000)), at(10_000), Some(0)),
            (Some(at(1_000)), at(95_000), Some(0)), // nobody was there to miss them
        ] {
            let mut rounds = Rounds::new(Span::from_secs(10), last);
            assert_eq!(rounds.begin(now), want, "{last:?} {now}");
        }
    }
}
