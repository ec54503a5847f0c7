//! Of when a read is: what a path or `start` and `finish` say, in UTC.

use common::time::{SECOND_NS, Time};
use common::utc;

use super::params::Params;
use crate::refusal::{Refusal, shown};
use crate::when;

/// Half an hour more on each side of the last day and the last week: clocks differ.
const FUDGE: i64 = 1_800 * SECOND_NS;
const DAY: i64 = 86_400 * SECOND_NS;

/// What a path asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asked<'a> {
    /// `past24/:key`.
    Past24,
    /// `pastweek/:key`.
    PastWeek,
    /// `:y/:m/:d/:key`.
    Day(&'a str, &'a str, &'a str),
    /// `:y/:m/:key`.
    Month(&'a str, &'a str),
    /// `:key`, with `start` and `finish`.
    Parameters,
}

/// A span of time, both ends inclusive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Span {
    pub(super) from: Time,
    pub(super) to: Time,
}

impl Span {
    /// True when no more points will come into it, but for late ones.
    pub(super) fn is_over(&self, now: Time) -> bool {
        self.to < now.plus_ns(-FUDGE)
    }
}

impl<'a> Asked<'a> {
    /// Reads a path behind `/v1/` or `/v1/data/`; the second is the key.
    pub(super) fn of(path: &'a str) -> (Asked<'a>, &'a str) {
        if let Some(key) = path.strip_prefix("past24/") {
            return (Asked::Past24, key);
        }
        if let Some(key) = path.strip_prefix("pastweek/") {
            return (Asked::PastWeek, key);
        }
        let number = |text: &'a str| {
            let (number, rest) = text.split_once('/')?;
            let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            digits.then_some((number, rest))
        };
        let Some((year, rest)) = number(path) else { return (Asked::Parameters, path) };
        let Some((month, rest)) = number(rest) else { return (Asked::Parameters, path) };
        match number(rest) {
            Some((day, key)) => (Asked::Day(year, month, day), key),
            None => (Asked::Month(year, month), rest),
        }
    }

    /// The span that is asked for.
    pub(super) fn span(&self, params: &Params) -> Result<Span, Refusal> {
        let now = params.now;
        match *self {
            Asked::Past24 => Ok(Span { from: now.plus_ns(-DAY - FUDGE), to: now.plus_ns(FUDGE) }),
            Asked::PastWeek => Ok(Span { from: now.plus_ns(-7 * DAY - FUDGE), to: now.plus_ns(FUDGE) }),
            Asked::Day(year, month, day) => days(year, month, day, day),
            Asked::Month(year, month) => {
                let last = utc::month_days(number(year).unwrap_or(0), number(month).unwrap_or(0));
                days(year, month, "1", &last.to_string())
            }
            Asked::Parameters => match (&params.start, &params.finish) {
                (Some(start), Some(finish)) => between(start, finish),
                _ => Err(wrong(
                    "start and finish have to be given, as in start=20130421T1000&finish=20130421T1130",
                )),
            },
        }
    }
}

fn number(text: &str) -> Option<i64> {
    text.parse().ok()
}

fn wrong(detail: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::wrong("time", detail)
}

fn days(year: &str, month: &str, first: &str, last: &str) -> Result<Span, Refusal> {
    let midnight = |day: &str| when::midnight(number(year)?, number(month)?, number(day)?);
    match (midnight(first), midnight(last)) {
        (Some(from), Some(last)) => Ok(Span { from, to: last.plus_ns(DAY - 1) }),
        _ => Err(wrong(format!("there is no such day: {year:.10}-{month:.10}-{first:.10}"))),
    }
}

fn between(start: &str, finish: &str) -> Result<Span, Refusal> {
    let (from, to) = (minute(start)?, minute(finish)?);
    let span = Span { from, to: to.plus_ns(60 * SECOND_NS - 1) };
    if from > to {
        return Err(wrong("start is behind finish"));
    }
    let ((first_year, first_month, _), (last_year, last_month, _)) =
        (utc::date(span.from), utc::date(span.to));
    if (last_year * 12 + last_month) - (first_year * 12 + first_month) > 1 {
        return Err(Refusal::wrong(
            "too_wide",
            "range too wide: it touches more than two months; /v2/range takes any",
        ));
    }
    Ok(span)
}

/// `20130421T1012`.
fn minute(text: &str) -> Result<Time, Refusal> {
    let read = || {
        let (date, time) = text.split_once('T')?;
        let digits =
            |text: &str, count: usize| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(date, 8) || !digits(time, 4) {
            return None;
        }
        let midnight = when::midnight(number(&date[..4])?, number(&date[4..6])?, number(&date[6..])?)?;
        let (hour, minute) = (number(&time[..2])?, number(&time[2..])?);
        (hour < 24 && minute < 60).then(|| midnight.plus_ns((hour * 60 + minute) * 60 * SECOND_NS))
    };
    read().ok_or_else(|| wrong(format!("`{}` is no minute like 20130421T1012", shown(text, 40))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(path: &str, query: &str) -> Result<(i64, i64), String> {
        let uri = format!("/v1/{path}{query}").parse().unwrap();
        let params = Params::of(&uri, Time::from_secs(1_366_549_812)).unwrap();
        let (asked, key) = Asked::of(path);
        assert_eq!(key, "a/b", "{path}");
        let span = asked.span(&params).map_err(|refusal| refusal.detail.into_owned())?;
        assert_eq!((span.to.ns() + 1) % SECOND_NS, if path.starts_with("past") { 1 } else { 0 });
        Ok((span.from.ns() / SECOND_NS, span.to.ns() / SECOND_NS))
    }

    #[test]
    fn a_path_and_its_parameters_say_when() {
        for (path, query, want) in [
            ("past24/a/b", "", Ok((1_366_549_812 - 88_200, 1_366_549_812 + 1_800))),
            ("pastweek/a/b", "", Ok((1_366_549_812 - 606_600, 1_366_549_812 + 1_800))),
            ("2013/4/21/a/b", "", Ok((1_366_502_400, 1_366_588_799))),
            ("2013/04/21/a/b", "", Ok((1_366_502_400, 1_366_588_799))),
            ("2013/04/a/b", "", Ok((1_364_774_400, 1_367_366_399))),
            ("2012/02/29/a/b", "", Ok((1_330_473_600, 1_330_559_999))),
            ("2012/02/31/a/b", "", Err("no such day")),
            ("2013/13/a/b", "", Err("no such day")),
            ("2013/13/01/a/b", "", Err("no such day")),
            ("0/1/a/b", "", Err("no such day")),
            ("99999999999999999999/1/a/b", "", Err("no such day")),
            ("a/b", "?start=20130421T1012&finish=20130421T1012", Ok((1_366_539_120, 1_366_539_179))),
            ("a/b", "?start=20130301T0000&finish=20130430T2359", Ok((1_362_096_000, 1_367_366_399))),
            ("a/b", "?start=20121231T2359&finish=20130101T0000", Ok((1_356_998_340, 1_356_998_459))),
            ("a/b", "?start=20130301T0000&finish=20130501T0000", Err("too wide")),
            ("a/b", "?start=20130421T1013&finish=20130421T1012", Err("behind")),
            ("a/b", "?start=20120231T0000&finish=20120301T0000", Err("no minute")),
            ("a/b", "?start=20130421T2400&finish=20130422T0000", Err("no minute")),
            ("a/b", "?start=20130421&finish=20130422T0000", Err("no minute")),
            ("a/b", "?start=20130421T1012", Err("have to be given")),
            ("a/b", "", Err("have to be given")),
        ] {
            match (span(path, query), want) {
                (Err(got), Err(want)) => assert!(got.contains(want), "{path}{query}: {got}"),
                (got, want) => assert_eq!(got, want.map_err(str::to_owned), "{path}{query}"),
            }
        }
    }
}
