//! Points folded into windows: `step=` and `fn=`.
//!
//! Windows are aligned to 1970 and half open: one of 60 s that ends at 120 has the points from 60 on and before 120.
//! Each is stamped with its end, as everywhere in Leela. A window without a point gives none.

use common::span::Span;
use common::time::Time;

/// What becomes of the points of a window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Function {
    Avg,
    Min,
    Max,
    Last,
    Sum,
    Count,
}

impl Function {
    /// The function of a word.
    pub(super) fn of(word: &str) -> Option<Function> {
        Some(match word {
            "avg" => Function::Avg,
            "min" => Function::Min,
            "max" => Function::Max,
            "last" => Function::Last,
            "sum" => Function::Sum,
            "count" => Function::Count,
            _ => return None,
        })
    }
}

/// Folds the points of one series after the other.
#[derive(Clone, Debug)]
pub(super) struct Fold {
    step_ns: i64,
    function: Function,
    /// The end of the open window, and what is known of its points.
    open: Option<(Time, Known)>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    count: u64,
    sum: f64,
    /// What was lost of the sum by rounding: without it a sum over many points drifts.
    lost: f64,
    min: f64,
    max: f64,
    last: f64,
}

impl Fold {
    /// Windows of `step`, which is not zero.
    pub(super) fn new(step: Span, function: Function) -> Fold {
        Fold { step_ns: step.signed_ns().max(1), function, open: None }
    }

    /// Takes a point; gives the window before it when that is over. Points that are not finite do not count.
    pub(super) fn take(&mut self, time: Time, value: f64) -> Option<(Time, f64)> {
        if !value.is_finite() {
            return None;
        }
        let end =
            Time::from_ns(time.ns().div_euclid(self.step_ns).saturating_add(1).saturating_mul(self.step_ns));
        match &mut self.open {
            Some((open, known)) if *open == end => {
                known.take(value);
                None
            }
            _ => {
                let over = self.end();
                let mut known = Known {
                    count: 0,
                    sum: 0.0,
                    lost: 0.0,
                    min: f64::INFINITY,
                    max: f64::NEG_INFINITY,
                    last: 0.0,
                };
                known.take(value);
                self.open = Some((end, known));
                over
            }
        }
    }

    /// The last window of a series.
    pub(super) fn end(&mut self) -> Option<(Time, f64)> {
        let (end, known) = self.open.take()?;
        let Known { count, sum, lost, min, max, last } = known;
        let sum = sum + lost;
        let value = match self.function {
            Function::Avg => sum / count as f64,
            Function::Min => min,
            Function::Max => max,
            Function::Last => last,
            Function::Sum => sum,
            Function::Count => count as f64,
        };
        Some((end, value))
    }
}

impl Known {
    /// Source: Neumaier, "Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen", 1974.
    fn take(&mut self, value: f64) {
        let sum = self.sum + value;
        self.lost +=
            if self.sum.abs() >= value.abs() { (self.sum - sum) + value } else { (value - sum) + self.sum };
        self.sum = sum;
        self.count += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.last = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(function: Function, points: &[(i64, f64)]) -> Vec<(i64, f64)> {
        let mut fold = Fold::new(Span::from_secs(60), function);
        let mut got: Vec<(Time, f64)> =
            points.iter().filter_map(|(second, value)| fold.take(Time::from_secs(*second), *value)).collect();
        got.extend(fold.end());
        got.into_iter().map(|(time, value)| (time.ns() / 1_000_000_000, value)).collect()
    }

    #[test]
    fn a_window_has_its_start_and_not_its_end() {
        let points = [(0, 1.0), (59, 3.0), (60, 5.0), (200, f64::NAN), (239, -1.0)];
        for (function, want) in [
            (Function::Avg, [(60, 2.0), (120, 5.0), (240, -1.0)]),
            (Function::Min, [(60, 1.0), (120, 5.0), (240, -1.0)]),
            (Function::Max, [(60, 3.0), (120, 5.0), (240, -1.0)]),
            (Function::Last, [(60, 3.0), (120, 5.0), (240, -1.0)]),
            (Function::Sum, [(60, 4.0), (120, 5.0), (240, -1.0)]),
            (Function::Count, [(60, 2.0), (120, 1.0), (240, 1.0)]),
        ] {
            assert_eq!(folded(function, &points), want, "{function:?}");
        }
        assert_eq!(folded(Function::Sum, &[]), []);
        assert_eq!(folded(Function::Sum, &[(-1, 1.0), (0, 2.0)]), [(0, 1.0), (60, 2.0)]);
    }

    #[test]
    fn a_sum_of_many_does_not_drift() {
        let mut points = vec![(0, 1e16)];
        points.extend((0..1000).map(|_| (1, 0.5)));
        assert_eq!(folded(Function::Sum, &points), [(60, 1e16 + 500.0)]);
    }
}
