//! The distribution of samples: what is asked of a latency, a size, a temperature.
//!
//! Up to [`EXACT_MAX`] values are kept as they are, so that every quantile is exact. Beyond, they are counted in bins
//! whose width is a fiftieth of their value: every quantile is within 1 % of the exact one, at any time, in any order of
//! merging. Values nearer to 0 than the least normal float count as 0. Each sign has 1,400 bins, twelve decades from
//! its highest value down; what is nearer to 0 is counted in the lowest bin, and the state says so.
//!
//! ```text
//! a state of kind 2, little-endian
//! ┌─────────┬──────┬─────────────┬─────┬─────────┬─────────────┬─────┬─────┐  form: 0 exact, 1 bins, 2 bins of which
//! │ version │ form │ unit        │ sum │ squares │ reciprocals │ min │ max │  the lowest also hold what is lower;
//! │ u8      │ u8   │ u64         │ f64 │ f64     │ f64         │ f64 │ f64 │  unit: of all weights, in billionths
//! └─────────┴──────┴─────────────┴─────┴─────────┴─────────────┴─────┴─────┘
//! form 0                                              forms 1 and 2: what is 0, then the bins below and above it
//! ┌───────┬──────────────────────┬──────────────────┐ ┌───────┬───────┬───────┬────────┬───────┬───────┬────────┐
//! │ count │ count x value,       │ count x weight,  │ │ zeros │ first │ count │ bins   │ first │ count │ bins   │
//! │ u8    │ ascending: f64       │ units: blocks    │ │ u64   │ u32   │ u16   │ blocks │ u32   │ u16   │ blocks │
//! └───────┴──────────────────────┴──────────────────┘ └───────┴───────┴───────┴────────┴───────┴───────┴────────┘
//! ```
//! Blocks are those of `blocks.rs`, bins are numbered as `bins.rs` says. An empty state has form 0, unit 1 and zeros.
//! A state of a million values over six decades takes less than 2 KiB, with mixed rates at most 4: 88 blocks of 44 bits a
//! number, which is 17,592 readings in one bin, 10 million in all. The most that a series can take, 18 billion, are 5.5 KiB.

use std::borrow::Cow;

use super::bins::{Side, bin_of, middle};
use super::{Fields, Quantile, StateError, VERSION, blocks};
use crate::metric::Weight;

/// Values that are kept as they are.
pub const EXACT_MAX: usize = 128;

/// Samples, each with its weight.
#[derive(Clone, Debug)]
pub struct Samples {
    /// Of all values, in billionths.
    weight: u64,
    sum: f64,
    squares: f64,
    /// Of all values but 0: their weights by them.
    reciprocals: f64,
    min: f64,
    max: f64,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    /// Values as they came. The weights are empty as long as each of them is 1.
    Exact {
        values: Vec<f64>,
        weights: Vec<u64>,
    },
    Bins(Bins),
}

/// Most values are above 0: their bins stand with the sums, so that one more of them reads two lines of the processor's
/// cache and the bin's own.
#[derive(Clone, Debug, Default, PartialEq)]
struct Bins {
    positive: Side,
    rest: Box<Rest>,
}

/// What is not above 0.
#[derive(Clone, Debug, Default, PartialEq)]
struct Rest {
    negative: Side,
    zeros: u64,
}

/// More than the weights of one series can be together: 1.8e10 readings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooMuch;

impl Default for Samples {
    fn default() -> Samples {
        Samples::new()
    }
}

impl Samples {
    /// No sample. It takes no memory but its own.
    pub const fn new() -> Samples {
        Samples {
            weight: 0,
            sum: 0.0,
            squares: 0.0,
            reciprocals: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            form: Form::Exact { values: Vec::new(), weights: Vec::new() },
        }
    }

    /// Empty again; of its memory it keeps what the next ones will want.
    pub fn clear(&mut self) {
        let form = match std::mem::take(self).form {
            Form::Exact { mut values, mut weights } => {
                values.clear();
                weights.clear();
                Form::Exact { values, weights }
            }
            Form::Bins(_) => return,
        };
        self.form = form;
    }

    /// The bytes of memory it takes, beside itself.
    pub fn memory(&self) -> usize {
        match &self.form {
            Form::Exact { values, weights } => (values.capacity() + weights.capacity()) * size_of::<u64>(),
            Form::Bins(bins) => size_of::<Rest>() + bins.rest.negative.memory() + bins.positive.memory(),
        }
    }

    /// Takes a value, which is finite.
    #[inline]
    pub fn add(&mut self, value: f64, weight: Weight) -> Result<(), TooMuch> {
        debug_assert!(value.is_finite());
        // One zero, whatever its sign.
        let value = value + 0.0;
        let billionths = weight.billionths();
        self.weight = self.weight.checked_add(billionths).ok_or(TooMuch)?;
        let times = if weight == Weight::ONE { 1.0 } else { weight.as_f64() };
        self.sum = finite(self.sum + value * times);
        self.squares = finite(self.squares + value * value * times);
        if value != 0.0 {
            self.reciprocals = finite(self.reciprocals + times / value);
        }
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.form.add(value, billionths);
        Ok(())
    }

    /// Reads what [`Samples::add`] is going to change first. Whoever takes many values for many series calls it for all
    /// of them before: their waits for memory overlap.
    #[inline]
    pub fn look(&self) -> u64 {
        self.weight ^ u64::from(self.is_exact()) ^ self.max.to_bits()
    }

    /// As [`Samples::look`], of where the value is counted.
    #[inline]
    pub fn look_at(&self, value: f64) -> u64 {
        match &self.form {
            Form::Exact { values, .. } => values.last().map_or(0, |last| last.to_bits()),
            Form::Bins(bins) if value >= f64::MIN_POSITIVE => bins.positive.look(bin_of(value)),
            Form::Bins(bins) => bins.rest.zeros,
        }
    }

    /// Takes in all that another one holds.
    pub fn merge(&mut self, other: &Samples) {
        self.weight = self.weight.saturating_add(other.weight);
        self.sum = finite(self.sum + other.sum);
        self.squares = finite(self.squares + other.squares);
        self.reciprocals = finite(self.reciprocals + other.reciprocals);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        match &other.form {
            Form::Exact { values, weights } => {
                for (place, &value) in values.iter().enumerate() {
                    self.form.add(value, weights.get(place).copied().unwrap_or(Weight::UNITS));
                }
            }
            Form::Bins(bins) => {
                let own = self.form.binned();
                own.rest.negative.merge(&bins.rest.negative);
                own.rest.zeros = own.rest.zeros.saturating_add(bins.rest.zeros);
                own.positive.merge(&bins.positive);
            }
        }
    }

    /// True without a sample.
    pub fn is_empty(&self) -> bool {
        self.weight == 0
    }

    /// True as long as every quantile is exact.
    pub fn is_exact(&self) -> bool {
        matches!(self.form, Form::Exact { .. })
    }

    /// True when values are counted in a bin above their own: a quantile that falls there is too far from 0.
    pub fn is_collapsed(&self) -> bool {
        match &self.form {
            Form::Exact { .. } => false,
            Form::Bins(bins) => bins.rest.negative.is_collapsed() || bins.positive.is_collapsed(),
        }
    }

    /// How many readings they stand for.
    pub fn count(&self) -> f64 {
        let units = Weight::UNITS;
        (self.weight / units) as f64 + (self.weight % units) as f64 / units as f64
    }

    /// The weighted sum.
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// The least value; None without one.
    pub fn min(&self) -> Option<f64> {
        (!self.is_empty()).then_some(self.min)
    }

    /// The greatest value; None without one.
    pub fn max(&self) -> Option<f64> {
        (!self.is_empty()).then_some(self.max)
    }

    /// The weighted mean; None without a value.
    pub fn mean(&self) -> Option<f64> {
        (!self.is_empty()).then(|| (self.sum / self.count()).clamp(self.min, self.max))
    }

    /// The standard deviation of what was sent, not of what it was drawn from; None without a value.
    pub fn stddev(&self) -> Option<f64> {
        let mean = self.mean()?;
        if self.min == self.max {
            return Some(0.0);
        }
        Some(finite((self.squares / self.count() - mean * mean).max(0.0).sqrt()))
    }

    /// The harmonic mean; None unless all values are above 0.
    pub fn hmean(&self) -> Option<f64> {
        (self.min > 0.0 && !self.is_empty())
            .then(|| (self.count() / self.reciprocals).clamp(self.min, self.max))
    }

    /// The quantiles, in the order asked for: of each the weighted nearest rank, which is the least value that so much
    /// of the weight is not above. None without a value.
    pub fn quantiles(&mut self, quantiles: &[Quantile], mut each: impl FnMut(f64)) -> Option<()> {
        if self.is_empty() {
            return None;
        }
        let (min, max) = (self.min, self.max);
        match &mut self.form {
            Form::Exact { values, weights } => {
                sort(values, weights);
                let all = match weights.len() {
                    0 => values.len() as u128,
                    _ => weights.iter().map(|&weight| u128::from(weight)).sum(),
                };
                for quantile in quantiles {
                    let mut below = 0;
                    let found = values.iter().enumerate().find(|(place, _)| {
                        below += weights.get(*place).map_or(1, |&weight| u128::from(weight));
                        quantile.is_reached(below, all)
                    });
                    each(found.map_or(max, |(_, &value)| value));
                }
            }
            Form::Bins(bins) => {
                let all = bins.weight();
                for quantile in quantiles {
                    let is = |below| quantile.is_reached(below, all);
                    each(bins.find(is).map_or(max, |value| value.clamp(min, max)));
                }
            }
        }
        Some(())
    }

    /// One quantile, as of [`Samples::quantiles`].
    pub fn quantile(&mut self, quantile: Quantile) -> Option<f64> {
        let mut found = None;
        self.quantiles(&[quantile], |value| found = Some(value))?;
        found
    }

    /// How many readings are at most each of these bounds, which ascend; within a bin beyond the exact ones.
    pub fn up_to(&mut self, bounds: &[f64], mut each: impl FnMut(f64)) {
        let mut passed = 0_u128;
        let mut steps = self.form.steps().into_iter().peekable();
        for &bound in bounds {
            while let Some((_, weight)) = steps.next_if(|(value, _)| *value <= bound) {
                passed += u128::from(weight);
            }
            // The count ends at what a weight can be, of states that were merged without end.
            let up_to = (passed as f64 / Weight::UNITS as f64).min(self.count());
            each(if bound >= self.max { self.count() } else { up_to });
        }
    }

    /// Appends its state.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        let (min, max) = if self.is_empty() { (0.0, 0.0) } else { (self.min, self.max) };
        let head = |out: &mut Vec<u8>, form: u8, unit: u64| {
            out.push(form);
            out.extend_from_slice(&unit.to_le_bytes());
            for value in [self.sum, self.squares, self.reciprocals, min, max] {
                out.extend_from_slice(&value.to_le_bytes());
            }
        };
        match &self.form {
            Form::Exact { values, weights } => {
                let (mut values, mut weights) = (Cow::Borrowed(&**values), Cow::Borrowed(&**weights));
                if !values.is_sorted() {
                    sort(values.to_mut(), weights.to_mut());
                }
                let unit = weights.iter().copied().reduce(gcd);
                let unit = unit.unwrap_or(if values.is_empty() { 1 } else { Weight::UNITS });
                head(out, 0, unit);
                out.push(values.len() as u8);
                for value in &*values {
                    out.extend_from_slice(&value.to_le_bytes());
                }
                let ones = std::iter::repeat_n(1, if weights.is_empty() { values.len() } else { 0 });
                blocks::write(out, weights.iter().map(|weight| weight / unit).chain(ones));
            }
            Form::Bins(bins) => {
                let mut unit = bins.rest.zeros;
                bins.rest.negative.each(|_, weight| unit = gcd(unit, weight));
                bins.positive.each(|_, weight| unit = gcd(unit, weight));
                head(out, if self.is_collapsed() { 2 } else { 1 }, unit);
                out.extend_from_slice(&(bins.rest.zeros / unit).to_le_bytes());
                bins.rest.negative.encode(unit, out);
                bins.positive.encode(unit, out);
            }
        }
    }

    /// Reads a state.
    pub fn decode(bytes: &[u8]) -> Result<Samples, StateError> {
        let mut fields = Fields::of(bytes)?;
        let form = fields.byte()?;
        let unit = fields.u64()?;
        let [sum, squares, reciprocals, min, max] =
            [fields.f64()?, fields.f64()?, fields.f64()?, fields.f64()?, fields.f64()?];
        if unit == 0 || min > max || squares < 0.0 {
            return Err(StateError::Content);
        }
        let form = match form {
            0 => Form::decode_exact(&mut fields, unit, min, max)?,
            1 | 2 => Form::Bins(Bins::decode(&mut fields, unit, form == 2)?),
            _ => return Err(StateError::Content),
        };
        fields.end()?;
        let weight = u64::try_from(form.weight()).unwrap_or(u64::MAX);
        if weight == 0 {
            let empty = [sum, squares, reciprocals, min, max] == [0.0; 5] && unit == 1;
            return match form {
                Form::Exact { .. } if empty => Ok(Samples::new()),
                _ => Err(StateError::Content),
            };
        }
        Ok(Samples { weight, sum, squares, reciprocals, min, max, form })
    }
}

/// Equal are the weights, the ends, and the distribution; sums are floats, which the order of merging changes.
impl PartialEq for Samples {
    fn eq(&self, other: &Samples) -> bool {
        let ends = |one: &Samples| (one.weight, one.min.to_bits(), one.max.to_bits(), one.is_collapsed());
        ends(self) == ends(other)
            && match (&self.form, &other.form) {
                (Form::Exact { .. }, Form::Exact { .. }) => self.form.steps() == other.form.steps(),
                (Form::Bins(one), Form::Bins(other)) => one == other,
                _ => false,
            }
    }
}

impl Form {
    #[inline]
    fn add(&mut self, value: f64, weight: u64) {
        match self {
            Form::Exact { values, weights } if values.len() < EXACT_MAX => {
                if weight != Weight::UNITS || !weights.is_empty() {
                    weights.resize(values.len(), Weight::UNITS);
                    weights.push(weight);
                }
                values.push(value);
            }
            Form::Exact { .. } => self.binned().add(value, weight),
            Form::Bins(bins) => bins.add(value, weight),
        }
    }

    /// The bins; made of the values, if there are none yet.
    fn binned(&mut self) -> &mut Bins {
        if let Form::Exact { values, weights } = self {
            let mut bins = Bins::default();
            for (place, &value) in values.iter().enumerate() {
                bins.add(value, weights.get(place).copied().unwrap_or(Weight::UNITS));
            }
            *self = Form::Bins(bins);
        }
        match self {
            Form::Bins(bins) => bins,
            Form::Exact { .. } => unreachable!("they were just made"),
        }
    }

    fn weight(&self) -> u128 {
        match self {
            Form::Exact { values, weights } if weights.is_empty() => {
                values.len() as u128 * u128::from(Weight::UNITS)
            }
            Form::Exact { weights, .. } => weights.iter().map(|&weight| u128::from(weight)).sum(),
            Form::Bins(bins) => bins.weight(),
        }
    }

    /// Values, or the middles of bins, in their order, with their weights.
    fn steps(&self) -> Vec<(f64, u64)> {
        let mut steps = Vec::new();
        match self {
            Form::Exact { values, weights } => {
                let weight = |place: usize| weights.get(place).copied().unwrap_or(Weight::UNITS);
                steps.extend(values.iter().enumerate().map(|(place, &value)| (value, weight(place))));
                steps.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            }
            Form::Bins(bins) => {
                bins.rest.negative.each(|bin, weight| steps.push((-middle(bin), weight)));
                steps.reverse();
                if bins.rest.zeros > 0 {
                    steps.push((0.0, bins.rest.zeros));
                }
                bins.positive.each(|bin, weight| steps.push((middle(bin), weight)));
            }
        }
        steps
    }

    fn decode_exact(fields: &mut Fields<'_>, unit: u64, min: f64, max: f64) -> Result<Form, StateError> {
        let count = usize::from(fields.byte()?);
        if count > EXACT_MAX {
            return Err(StateError::Content);
        }
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            let value = fields.f64()?;
            // The least of all floats is no zero of another sign either.
            if value == 0.0 && value.is_sign_negative() {
                return Err(StateError::Content);
            }
            values.push(value);
        }
        let mut weights = Vec::with_capacity(count);
        blocks::read(fields, count, |units| {
            let weight = units.checked_mul(unit).filter(|weight| *weight > 0);
            weights.push(weight.ok_or(StateError::Content)?);
            Ok(())
        })?;
        let ends =
            values.first().is_none_or(|first| *first == min) && values.last().is_none_or(|last| *last == max);
        if !ends || !values.is_sorted() {
            return Err(StateError::Content);
        }
        if weights.iter().all(|weight| *weight == Weight::UNITS) {
            weights = Vec::new();
        }
        Ok(Form::Exact { values, weights })
    }
}

impl Bins {
    #[inline]
    fn add(&mut self, value: f64, weight: u64) {
        if value >= f64::MIN_POSITIVE {
            self.positive.add(bin_of(value), weight);
        } else if value <= -f64::MIN_POSITIVE {
            self.rest.negative.add(bin_of(-value), weight);
        } else {
            self.rest.zeros = self.rest.zeros.saturating_add(weight);
        }
    }

    fn weight(&self) -> u128 {
        self.rest.negative.weight() + u128::from(self.rest.zeros) + self.positive.weight()
    }

    /// The middle of the first bin at which `is` says yes to the weight up to there.
    fn find(&self, is: impl Fn(u128) -> bool) -> Option<f64> {
        let mut below = match self.rest.negative.find(0, true, &is) {
            Ok(bin) => return Some(-middle(bin)),
            Err(below) => below,
        };
        below += u128::from(self.rest.zeros);
        if self.rest.zeros > 0 && is(below) {
            return Some(0.0);
        }
        self.positive.find(below, false, &is).ok().map(middle)
    }

    fn decode(fields: &mut Fields<'_>, unit: u64, collapsed: bool) -> Result<Bins, StateError> {
        let zeros = fields.u64()?.checked_mul(unit).ok_or(StateError::Content)?;
        let negative = Side::decode(fields, unit, collapsed)?;
        let positive = Side::decode(fields, unit, collapsed)?;
        Ok(Bins { positive, rest: Box::new(Rest { negative, zeros }) })
    }
}

/// Sorts values, and their weights with them.
fn sort(values: &mut [f64], weights: &mut [u64]) {
    if weights.is_empty() {
        values.sort_unstable_by(f64::total_cmp);
        return;
    }
    let mut pairs: Vec<(f64, u64)> = values.iter().copied().zip(weights.iter().copied()).collect();
    pairs.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    for ((value, weight), pair) in values.iter_mut().zip(weights).zip(pairs) {
        (*value, *weight) = pair;
    }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The number, or the end of the range it is beyond.
fn finite(value: f64) -> f64 {
    value.clamp(f64::MIN, f64::MAX)
}
