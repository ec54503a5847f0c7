//! What a row found, and how it is shown.

use std::fmt;

/// The unit of a figure, and which way is better.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unit {
    /// More is better.
    RecordsPerSecond,
    /// More is better.
    EventsPerCpuSecond,
    /// Less is better.
    Microseconds,
    /// Less is better: of one core, or of a rate.
    Percent,
    /// Less is better.
    Mebibytes,
    /// More is better.
    PointsPerCpuSecond,
    /// More is better.
    RequestsPerCpuSecond,
    /// Less is better.
    Milliseconds,
    /// Less is better.
    BytesPerPoint,
    /// More is better.
    LinesPerCpuSecond,
    /// Less is better.
    BytesPerSeries,
}

impl Unit {
    const fn word(self) -> &'static str {
        match self {
            Unit::RecordsPerSecond => "records/s",
            Unit::EventsPerCpuSecond => "events/cpu-second",
            Unit::Microseconds => "us",
            Unit::Percent => "%",
            Unit::Mebibytes => "MiB",
            Unit::PointsPerCpuSecond => "points/cpu-second",
            Unit::RequestsPerCpuSecond => "requests/cpu-second",
            Unit::Milliseconds => "ms",
            Unit::BytesPerPoint => "B/point",
            Unit::LinesPerCpuSecond => "lines/cpu-second",
            Unit::BytesPerSeries => "B/series",
        }
    }

    const fn more_is_better(self) -> bool {
        matches!(
            self,
            Unit::RecordsPerSecond
                | Unit::EventsPerCpuSecond
                | Unit::PointsPerCpuSecond
                | Unit::RequestsPerCpuSecond
                | Unit::LinesPerCpuSecond
        )
    }

    fn show(self, value: f64) -> String {
        let word = self.word();
        if value.is_nan() {
            return "skipped".to_owned();
        }
        match self {
            Unit::RecordsPerSecond
            | Unit::EventsPerCpuSecond
            | Unit::PointsPerCpuSecond
            | Unit::LinesPerCpuSecond => format!("{:.2} M {word}", value / 1e6),
            Unit::RequestsPerCpuSecond => format!("{:.2} k {word}", value / 1e3),
            Unit::Milliseconds | Unit::BytesPerPoint => format!("{value:.2} {word}"),
            Unit::Microseconds | Unit::BytesPerSeries => format!("{value:.0} {word}"),
            Unit::Percent | Unit::Mebibytes => format!("{value:.1} {word}"),
        }
    }
}

/// One figure.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    /// The row, and what of it: `hop_latency at 5 k/s`.
    pub(crate) name: String,
    pub(crate) unit: Unit,
    pub(crate) value: f64,
    /// What it has to be at least (or at most), and what is aimed at; a figure without is shown for itself.
    pub(crate) to_reach: Option<f64>,
    pub(crate) aim: Option<f64>,
    /// What it is compared with, and that one's value, in the same unit.
    pub(crate) baseline: Option<(String, f64)>,
    /// What else was seen.
    pub(crate) note: String,
}

impl Figure {
    /// A figure without a bound, a baseline or a note.
    pub(crate) fn new(name: impl Into<String>, unit: Unit, value: f64) -> Figure {
        Figure {
            name: name.into(),
            unit,
            value,
            to_reach: None,
            aim: None,
            baseline: None,
            note: String::new(),
        }
    }

    /// What could not be measured here, and why.
    pub(crate) fn skipped(name: impl Into<String>, why: impl Into<String>) -> Figure {
        Figure::new(name, Unit::Percent, f64::NAN).note(why)
    }

    pub(crate) fn bounds(self, to_reach: f64, aim: f64) -> Figure {
        Figure { to_reach: Some(to_reach), aim: Some(aim), ..self }
    }

    /// An aim alone.
    pub(crate) fn aim(self, aim: f64) -> Figure {
        Figure { aim: Some(aim), ..self }
    }

    pub(crate) fn baseline(self, what: impl Into<String>, value: f64) -> Figure {
        Figure { baseline: Some((what.into(), value)), ..self }
    }

    pub(crate) fn note(self, note: impl Into<String>) -> Figure {
        Figure { note: note.into(), ..self }
    }

    fn is_reached(&self, bound: f64) -> bool {
        if self.unit.more_is_better() { self.value >= bound } else { self.value <= bound }
    }

    /// `aim`, `reached`, `missed`; empty where there is no bound.
    fn verdict(&self) -> &'static str {
        match (self.to_reach, self.aim) {
            (_, Some(aim)) if self.is_reached(aim) => "aim met",
            (Some(bound), _) if self.is_reached(bound) => "reached",
            (None, _) => "",
            _ => "missed",
        }
    }

    fn ratio(&self) -> String {
        match &self.baseline {
            Some((what, value)) => format!("{:.2} x {what} ({})", self.value / value, self.unit.show(*value)),
            None => String::new(),
        }
    }

    /// The row of the table in README.md, of a run on that day.
    pub(crate) fn markdown(&self, day: &str) -> String {
        let bound = |bound: Option<f64>| bound.map_or(String::new(), |bound| self.unit.show(bound));
        let (value, ratio) = (self.unit.show(self.value), self.ratio());
        let (to_reach, aim, verdict) = (bound(self.to_reach), bound(self.aim), self.verdict());
        let Figure { name, note, .. } = self;
        format!("| {name} | {value} | {to_reach} | {aim} | {verdict} | {ratio} | {note} | {day} |")
    }
}

/// The heading of [`Figure::markdown`]'s rows.
pub(crate) const MARKDOWN_HEAD: &str = "| name | figure | to reach | aim | | baseline of the same run | seen beside it | day |\n\
                                        | --- | --- | --- | --- | --- | --- | --- | --- |";

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<28} {:>24}", self.name, self.unit.show(self.value))?;
        match (self.to_reach, self.aim) {
            (Some(to_reach), Some(aim)) => {
                let (to_reach, aim) = (self.unit.show(to_reach), self.unit.show(aim));
                write!(f, "   {} (to reach {to_reach}, aim {aim})", self.verdict())?;
            }
            (None, Some(aim)) => write!(f, "   {} (aim {})", self.verdict(), self.unit.show(aim))?,
            _ => {}
        }
        for more in [self.ratio(), self.note.clone()] {
            if !more.is_empty() {
                write!(f, "\n{:<28} {more}", "")?;
            }
        }
        Ok(())
    }
}

/// The middle one; of an even number the mean of the two.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_says_whether_its_bound_is_reached() {
        for (unit, value, want) in [
            (Unit::RecordsPerSecond, 5e6, "missed"),
            (Unit::RecordsPerSecond, 12e6, "reached"),
            (Unit::RecordsPerSecond, 41e6, "aim met"),
            (Unit::Percent, 5e6, "aim met"),
            (Unit::Percent, 2e7, "missed"),
        ] {
            let (to_reach, aim) = if unit == Unit::Percent { (12e6, 10e6) } else { (12e6, 40e6) };
            let figure = Figure::new("a", unit, value).bounds(to_reach, aim);
            assert_eq!(figure.verdict(), want, "{value} {unit:?}");
        }
        assert_eq!(Figure::new("a", Unit::Percent, 1.0).verdict(), "");
        let line = Figure::skipped("a", "b").markdown("2013-07-19");
        assert_eq!(line, "| a | skipped |  |  |  |  | b | 2013-07-19 |");
    }

    #[test]
    fn the_median_is_the_middle_one() {
        for (values, want) in [(&[3.0, 1.0, 2.0][..], 2.0), (&[4.0, 1.0], 2.5), (&[7.0], 7.0)] {
            assert_eq!(median(values), want, "{values:?}");
        }
        assert!(median(&[]).is_nan());
    }
}
