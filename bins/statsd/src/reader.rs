//! From lines to metrics and notes.

use common::key::KEY_BYTES_MAX;
use common::metric::{Kind, MEMBER_BYTES_MAX, Metric, Note, Weight};
use common::text::number;
use common::time::Time;
use common::value::Value;

use crate::dialect::{self, Check, Event, Fault, Line, Plain, Reason, Sections, Type, offset};
use crate::key::{Keys, Style, Tags, Touched, with_suffix};
use crate::note;
use crate::tagged::Tagged;

/// What a line gave.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Found<'a> {
    /// A value.
    Metric(Metric<'a>),
    /// An event, or what a check says.
    Note(Note<'a>),
    /// What a rule drops.
    Dropped,
}

/// How lines are read.
#[derive(Clone, Debug)]
pub struct Rules {
    /// `+5|g` and `-5|g` change a gauge; else they are what it is.
    pub relative_gauges: bool,
    /// How keys are made.
    pub style: Style,
}

/// What was seen on the way and is no fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Remarks {
    /// Lines in whose key something became a `_`.
    pub rewritten: u64,
    /// Veneur's scope tags that were taken away.
    pub scope_tags: u64,
    /// Sections of a later version, skipped.
    pub unknown_sections: u64,
}

/// Reads lines, one after another; what it needs for it is used again.
#[derive(Debug, Default)]
pub struct Reader {
    keys: Keys,
    status_key: Vec<u8>,
    json: String,
    /// What was seen so far; whoever books it takes it.
    pub remarks: Remarks,
}

impl Reader {
    /// Hands on what a line holds: each value of a pack, the note of an event, note and gauge of a check. A line
    /// without anything gives nothing; one that is wrong as a whole, one fault.
    ///
    /// A time that is missing is `now`.
    #[inline]
    pub fn read(
        &mut self,
        line: &[u8],
        now: Time,
        rules: &Rules,
        mut each: impl FnMut(Result<Found<'_>, Fault>),
    ) {
        if let Some(metric) = plain(line, now, rules) {
            return each(Ok(Found::Metric(metric)));
        }
        self.any(line, now, rules, each);
    }

    /// The one metric of a line that is plain but for its tags, as [`plain`] gives it: its key is the name, the tags
    /// are still to be written behind it.
    #[inline]
    pub fn plain_tagged<'a>(
        &'a mut self,
        line: &'a [u8],
        now: Time,
        rules: &Rules,
    ) -> Option<(Metric<'a>, Tags<'a>)> {
        if !rules.style.is_verbatim() {
            return None;
        }
        let Tagged { plain, block, tags } = Tagged::parse(line)?;
        let metric = Metric::new(plain.name, now, kind(plain.kind), plain.value);
        Some((metric, self.keys.plain(plain.name.len(), block, tags)?))
    }

    /// As [`Reader::read`], for all lines: those that are plain take longer here.
    pub fn any(
        &mut self,
        line: &[u8],
        now: Time,
        rules: &Rules,
        mut each: impl FnMut(Result<Found<'_>, Fault>),
    ) {
        let read = match dialect::parse(line) {
            Ok(Line::Empty) => Ok(()),
            Ok(Line::Metric(metric)) => self.metric(line, &metric, now, rules, &mut each),
            Ok(Line::Event(event)) => self.event(line, &event, now, rules, &mut each),
            Ok(Line::Check(check)) => self.check(line, &check, now, rules, &mut each),
            Err(fault) => Err(fault),
        };
        if let Err(fault) = read {
            each(Err(fault));
        }
    }

    #[inline]
    fn metric(
        &mut self,
        line: &[u8],
        metric: &dialect::Metric<'_>,
        now: Time,
        rules: &Rules,
        each: &mut impl FnMut(Result<Found<'_>, Fault>),
    ) -> Result<(), Fault> {
        let dialect::Metric { name, kind, sections, .. } = metric;
        let time = sections.time.map_or(Ok(now), |text| time(line, text))?;
        let weight = sections.rate.map_or(Ok(Weight::ONE), |text| weight(line, text))?;
        let mut touched = Touched::default();
        let made = self.keys.make(line, name, sections, &rules.style, &mut touched);
        remark(&mut self.remarks, touched, sections);
        let made = made?;
        for text in metric.values() {
            let found = match kind {
                Type::Set => member(text).map(|member| made.map(|key| Metric::of_member(key, time, member))),
                _ => dialect::value(text).map(|value| {
                    made.map(|key| match kind {
                        Type::Gauge => {
                            let is_change =
                                rules.relative_gauges && matches!(text.first(), Some(b'+' | b'-'));
                            Metric::new(key, time, if is_change { Kind::Adjust } else { Kind::Gauge }, value)
                        }
                        Type::Count => Metric::new(key, time, Kind::Count, value).weighted(weight),
                        _ => Metric::new(key, time, Kind::Sample, value).weighted(weight),
                    })
                }),
            };
            each(match found {
                Ok(Some(metric)) => Ok(Found::Metric(metric)),
                Ok(None) => Ok(Found::Dropped),
                Err(reason) => Err(Fault { reason, offset: offset(line, text) }),
            });
        }
        Ok(())
    }

    fn event(
        &mut self,
        line: &[u8],
        event: &Event<'_>,
        now: Time,
        rules: &Rules,
        each: &mut impl FnMut(Result<Found<'_>, Fault>),
    ) -> Result<(), Fault> {
        let time = event.sections.time.map_or(Ok(now), |text| time(line, text))?;
        let mut touched = Touched::default();
        let made = self.keys.make(line, note::EVENT_KEY, &event.sections, &rules.style, &mut touched);
        remark(&mut self.remarks, touched, &event.sections);
        each(Ok(match made? {
            Some(key) => {
                note::write_event(event, &mut self.json);
                Found::Note(Note { key, time, json: self.json.as_bytes() })
            }
            None => Found::Dropped,
        }));
        Ok(())
    }

    fn check(
        &mut self,
        line: &[u8],
        check: &Check<'_>,
        now: Time,
        rules: &Rules,
        each: &mut impl FnMut(Result<Found<'_>, Fault>),
    ) -> Result<(), Fault> {
        let time = check.sections.time.map_or(Ok(now), |text| time(line, text))?;
        let mut touched = Touched::default();
        let made = self.keys.make(line, check.name, &check.sections, &rules.style, &mut touched);
        remark(&mut self.remarks, touched, &check.sections);
        let Some(key) = made? else {
            (0..2).for_each(|_| each(Ok(Found::Dropped)));
            return Ok(());
        };
        note::write_check(check, &mut self.json);
        each(Ok(Found::Note(Note { key, time, json: self.json.as_bytes() })));
        with_suffix(key, b".status", &mut self.status_key);
        let status = Value::U64(u64::from(check.status));
        each(match self.status_key.len() <= KEY_BYTES_MAX {
            true => Ok(Found::Metric(Metric::new(&self.status_key, time, Kind::Gauge, status))),
            false => Err(Fault { reason: Reason::BadKey, offset: offset(line, check.name) }),
        });
        Ok(())
    }
}

/// The one metric of a line that says no more than name, number and type; none for any other line. It is what
/// [`Reader::read`] gives for it, for those who have many: by value, it stays in registers.
#[inline(always)]
pub fn plain<'l>(line: &'l [u8], now: Time, rules: &Rules) -> Option<Metric<'l>> {
    if !rules.style.is_verbatim() {
        return None;
    }
    let plain = Plain::parse(line)?;
    Some(Metric::new(plain.name, now, kind(plain.kind), plain.value))
}

/// The kind of a value that is no member.
#[inline(always)]
fn kind(kind: Type) -> Kind {
    match kind {
        Type::Gauge => Kind::Gauge,
        Type::Count => Kind::Count,
        _ => Kind::Sample,
    }
}

fn remark(remarks: &mut Remarks, touched: Touched, sections: &Sections<'_>) {
    remarks.rewritten += u64::from(touched.rewritten);
    remarks.scope_tags += u64::from(touched.scope_tags);
    remarks.unknown_sections += u64::from(sections.unknown);
}

fn member(text: &[u8]) -> Result<&[u8], Reason> {
    match text.len() {
        1..=MEMBER_BYTES_MAX => Ok(text),
        _ => Err(Reason::Member),
    }
}

fn time(line: &[u8], text: &[u8]) -> Result<Time, Fault> {
    match number::time(text) {
        Some((time, length)) if length == text.len() && time.ns() >= 0 => Ok(time),
        _ => Err(Fault { reason: Reason::Time, offset: offset(line, text) }),
    }
}

fn weight(line: &[u8], text: &[u8]) -> Result<Weight, Fault> {
    let rate = dialect::value(text).map(Value::as_f64);
    let weight = rate.ok().and_then(Weight::of_rate);
    weight.ok_or(Fault { reason: Reason::Rate, offset: offset(line, text) })
}

#[cfg(test)]
mod tests;
