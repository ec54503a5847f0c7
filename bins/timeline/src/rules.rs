//! The rules that are configuration, and the clocks of one call.

use std::time::Duration;

use common::key;
use common::metric::{Kind, MEMBER_BYTES_MAX, Metric};
use common::time::{SECOND_NS, Time};
use sockets::planted;
use thiserror::Error;

use crate::counters::Reason;
use crate::emitted::{Emitted, PROFILES_MAX};
use crate::limits::Limits;
use crate::moment::{self, Moment};
use crate::series::NO_ZEROS;
use crate::windows::Windows;

/// How far a record's time may be ahead of this host's clock.
pub const FUTURE_MAX: Duration = Duration::from_secs(600);

/// What of the timeline's rules is configuration.
#[derive(Clone, PartialEq, Debug)]
pub struct Rules {
    /// The interval that sources keep, about: the base of a rate moves when half of it has passed. 10 s.
    pub resolution: Duration,
    /// The windows of counts, samples and members, aligned to the wall clock. 10 s.
    pub interval: Duration,
    /// A count that is idle gives one 0, then zeros for so long. None.
    pub idle_zeros: Duration,
    /// A series without a record for so long goes; to a tenth of a second. 1 h.
    pub ttl: Duration,
    /// A gauge further back than this is refused. 400 days.
    pub backfill_max: Duration,
    /// Tags joined to every key that does not have them, `(tag, value)`. None.
    pub tags: Vec<(String, String)>,
    /// How many series there may be.
    pub limits: Limits,
    /// What is emitted of samples, and which gauges are emitted again.
    pub emitted: Emitted,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            resolution: Duration::from_secs(10),
            interval: Duration::from_secs(10),
            idle_zeros: Duration::ZERO,
            ttl: Duration::from_secs(3600),
            backfill_max: Duration::from_secs(400 * 86_400),
            tags: Vec::new(),
            limits: Limits::default(),
            emitted: Emitted::default(),
        }
    }
}

/// Why rules do not hold together.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum RulesError {
    /// Under a millisecond or over a day.
    #[error("resolution is between 1ms and 1d")]
    Resolution,
    /// Under a second, over an hour, or no whole seconds.
    #[error("interval is whole seconds from 1s to 1h")]
    Interval,
    /// Over a day.
    #[error("idle_zeros is at most 1d")]
    IdleZeros,
    /// Too many lists of what is emitted of samples.
    #[error("there are at most 255 lists of samples")]
    Samples,
    /// Under a second or over a year.
    #[error("ttl is between 1s and 365d")]
    Ttl,
    /// Over a hundred years.
    #[error("backfill_max is at most 36500d")]
    BackfillMax,
    /// Empty, with a `;` or a control character, or a name with `=`.
    #[error("{tag}={value} is no tag")]
    Tag {
        /// The name.
        tag: String,
        /// The value.
        value: String,
    },
    /// A reserve that leaves nothing to the others.
    #[error("series_reserve is less than series_max")]
    Reserve,
}

impl Rules {
    /// Checks what a configuration can get wrong.
    pub fn check(&self) -> Result<(), RulesError> {
        const DAY: Duration = Duration::from_secs(86_400);
        if !(Duration::from_millis(1)..=DAY).contains(&self.resolution) {
            return Err(RulesError::Resolution);
        }
        let hour = Duration::from_secs(1)..=Duration::from_secs(3600);
        if !hour.contains(&self.interval) || self.interval.subsec_nanos() > 0 {
            return Err(RulesError::Interval);
        }
        if self.idle_zeros > DAY {
            return Err(RulesError::IdleZeros);
        }
        if self.emitted.samples.len() > PROFILES_MAX {
            return Err(RulesError::Samples);
        }
        if !(Duration::from_secs(1)..=DAY * 365).contains(&self.ttl) {
            return Err(RulesError::Ttl);
        }
        if self.backfill_max > DAY * 36_500 {
            return Err(RulesError::BackfillMax);
        }
        for (tag, value) in &self.tags {
            let text = format!("x;{tag}={value}");
            let whole = key::parse(text.as_bytes()).is_ok_and(|key| key::tags(&key).eq([(&**tag, &**value)]));
            if tag.is_empty() || value.is_empty() || !whole {
                return Err(RulesError::Tag { tag: tag.clone(), value: value.clone() });
            }
        }
        if self.limits.series_reserve >= self.limits.series_max {
            return Err(RulesError::Reserve);
        }
        Ok(())
    }

    /// No window yet, of the interval there is.
    pub(crate) fn windows(&self) -> Windows {
        Windows::new(nanoseconds(self.interval))
    }

    /// How many zeros a count gives that is idle.
    pub(crate) fn zeros_max(&self) -> u16 {
        let zeros = 1 + self.idle_zeros.as_nanos().div_ceil(self.interval.as_nanos().max(1));
        u16::try_from(zeros).unwrap_or(NO_ZEROS).min(NO_ZEROS - 1)
    }

    /// What the kinds ask of the clocks during one call.
    pub(crate) fn clock(&self, now: Time, mono: Duration, windows: Windows) -> Clock {
        Clock {
            windows,
            latest: now.plus_ns(nanoseconds(FUTURE_MAX)),
            oldest: now.plus_ns(-nanoseconds(self.backfill_max)),
            half_ns: nanoseconds(self.resolution) / 2,
            ttl: moment::tenths(self.ttl),
            moment: Moment::at(if planted!(IdleByWallClock) { since_2026(now) } else { mono }),
        }
    }
}

/// The clocks of one call, and what follows from them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// Later times are refused.
    pub(crate) latest: Time,
    /// Earlier gauges are refused.
    pub(crate) oldest: Time,
    /// Half the resolution: a base moves, and a window closes, from here on.
    pub(crate) half_ns: i64,
    /// Tenths of a second.
    pub(crate) ttl: u32,
    /// The windows that are open.
    pub(crate) windows: Windows,
    pub(crate) moment: Moment,
}

impl Clock {
    /// What is wrong with a record whatever its series.
    #[inline]
    pub(crate) fn check(&self, metric: &Metric<'_>) -> Result<(), Reason> {
        if !metric.value.is_finite() {
            return Err(Reason::NotFinite);
        }
        if metric.time > self.latest {
            return Err(Reason::Future);
        }
        if metric.kind == Kind::Member && !(1..=MEMBER_BYTES_MAX).contains(&metric.member.len()) {
            return Err(Reason::Member);
        }
        Ok(())
    }
}

/// A clock that is set, where one is wanted that is not.
fn since_2026(now: Time) -> Duration {
    Duration::from_nanos(now.since_ns(Time::from_secs(1_767_225_600)).max(0).unsigned_abs())
}

/// Seconds, for a rate's divisor.
pub(crate) fn seconds(ns: i64) -> f64 {
    ns as f64 / SECOND_NS as f64
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_do_not_hold_together_are_refused() {
        let tags = |tag: &str, value: &str| Rules {
            tags: vec![(tag.to_owned(), value.to_owned())],
            ..Rules::default()
        };
        let no_tag =
            |tag: &str, value: &str| Err(RulesError::Tag { tag: tag.to_owned(), value: value.to_owned() });
        let reserve = Limits { series_max: 10, series_reserve: 10, ..Limits::default() };
        for (rules, want) in [
            (Rules::default(), Ok(())),
            (Rules { resolution: Duration::ZERO, ..Rules::default() }, Err(RulesError::Resolution)),
            (Rules { interval: Duration::from_millis(1500), ..Rules::default() }, Err(RulesError::Interval)),
            (Rules { interval: Duration::from_secs(3601), ..Rules::default() }, Err(RulesError::Interval)),
            (
                Rules { idle_zeros: Duration::from_secs(86_401), ..Rules::default() },
                Err(RulesError::IdleZeros),
            ),
            (Rules { ttl: Duration::from_millis(900), ..Rules::default() }, Err(RulesError::Ttl)),
            (Rules { backfill_max: Duration::MAX, ..Rules::default() }, Err(RulesError::BackfillMax)),
            (tags("host", "web01"), Ok(())),
            (tags("host", "a=b"), Ok(())),
            (tags("", "web01"), no_tag("", "web01")),
            (tags("host", ""), no_tag("host", "")),
            (tags("ho;st", "web01"), no_tag("ho;st", "web01")),
            (tags("ho=st", "web01"), no_tag("ho=st", "web01")),
            (tags("host", "a\n"), no_tag("host", "a\n")),
            (Rules { limits: reserve, ..Rules::default() }, Err(RulesError::Reserve)),
        ] {
            assert_eq!(rules.check(), want, "{rules:?}");
        }
    }
}
