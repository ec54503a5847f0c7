//! A pipeline at work: its state for one series.
//!
//! `x` is the value that comes, the output takes its time. A function that gives nothing ends the step.
//!
//! | function | gives |
//! | --- | --- |
//! | `id` `abs` | x; its magnitude |
//! | `ceil` `floor` `truncate` | the integer above, below, towards 0; NaN and infinities as they are |
//! | `round` | the nearest integer, halves to the even one |
//! | `(op v)` `(v op)` | x op v; v op x |
//! | `[op v]` `[v op]` | x, when x op v; when v op x |
//! | `mean` | m += (x - m) / n, since the start |
//! | `sum` `prod` `minimum` `maximum` | of all x since the start; the last two skip NaN |
//! | `median` | of the latest 1,024 x; inside a window, of all of it |
//! | `ewma a` | the first x seeds m, and gives nothing; then m = a m + (1 - a) x |
//! | `sma n` | `ewma` with a = 1 - 2 / (n + 1), silent for the first floor((n + 1) / 2) x |
//! | `sample n/m` | the first n of every m |
//! | `window n (p)` | what p gives for the n-th x; then p starts anew |

use std::sync::Arc;

use super::function::{Function, Operator, Relation, Side, Simple};
use super::median::{Latest, Median, Window};
use super::pipeline::MEDIAN_LATEST;

/// What all series of one pipeline share.
#[derive(Debug)]
pub(super) struct Program {
    steps: Box<[Step]>,
    /// The numbers a series starts with, step after step.
    fresh: Box<[f64]>,
    /// The medians a series starts with, in the same order.
    medians: Box<[Median]>,
    /// The most values those medians keep.
    median_values_max: usize,
}

/// A function, made ready. The comment is the numbers it keeps.
#[derive(Clone, Debug)]
enum Step {
    Abs,
    Ceil,
    Floor,
    Round,
    Truncate,
    /// The mean; how many.
    Mean,
    Median,
    /// The least yet, NaN before the first.
    Minimum,
    /// The greatest yet, NaN before the first.
    Maximum,
    /// The sum.
    Sum,
    /// The product.
    Prod,
    Plus(f64),
    Times(f64),
    Minus(f64),
    MinusFrom(f64),
    Divide(f64),
    DivideInto(f64),
    Keep(Relation, f64),
    /// The average; how many values it has had, at most one more than `silent`.
    Average {
        past: f64,
        silent: f64,
    },
    /// How many of `of` have come.
    Sample {
        pass: f64,
        of: f64,
    },
    /// How many of `count` have come; then the numbers of its own steps.
    Window {
        count: f64,
        steps: Box<[Step]>,
        fresh: Box<[f64]>,
        medians: usize,
    },
}

impl Program {
    pub(super) fn of(functions: &[Function]) -> Program {
        let mut parts = Parts::default();
        let steps = parts.steps(functions, None);
        Program {
            steps,
            fresh: parts.fresh.into(),
            medians: parts.medians.into(),
            median_values_max: parts.median_values_max,
        }
    }

    pub(super) fn state_bytes_max(&self) -> usize {
        // Vectors double as they grow.
        let values = self.fresh.len() + 2 * self.median_values_max;
        let medians = if self.medians.is_empty() { 0 } else { size_of::<Box<[Median]>>() };
        size_of::<Run>() + values * size_of::<f64>() + medians + size_of_val(&*self.medians)
    }
}

#[derive(Default)]
struct Parts {
    fresh: Vec<f64>,
    medians: Vec<Median>,
    median_values_max: usize,
}

impl Parts {
    fn steps(&mut self, functions: &[Function], window: Option<u32>) -> Box<[Step]> {
        functions.iter().filter_map(|function| self.step(function, window)).collect()
    }

    /// The step of a function, its numbers put behind those before it; `id` is none.
    fn step(&mut self, function: &Function, window: Option<u32>) -> Option<Step> {
        let (step, fresh): (Step, &[f64]) = match *function {
            Function::Simple(Simple::Id) => return None,
            Function::Simple(Simple::Abs) => (Step::Abs, &[]),
            Function::Simple(Simple::Ceil) => (Step::Ceil, &[]),
            Function::Simple(Simple::Floor) => (Step::Floor, &[]),
            Function::Simple(Simple::Round) => (Step::Round, &[]),
            Function::Simple(Simple::Truncate) => (Step::Truncate, &[]),
            Function::Simple(Simple::Mean) => (Step::Mean, &[0.0, 0.0]),
            Function::Simple(Simple::Median) => {
                let (median, values) = match window {
                    None => (Median::Latest(Latest::of(MEDIAN_LATEST as usize)), 2 * MEDIAN_LATEST),
                    Some(count) => (Median::Window(Window::default()), count + 2),
                };
                self.medians.push(median);
                // Vectors have room for at least 4.
                self.median_values_max += (values as usize).max(8);
                (Step::Median, &[])
            }
            Function::Simple(Simple::Minimum) => (Step::Minimum, &[f64::NAN]),
            Function::Simple(Simple::Maximum) => (Step::Maximum, &[f64::NAN]),
            // Not 0: 0 + -0 is 0, and the first output is the first input.
            Function::Simple(Simple::Sum) => (Step::Sum, &[-0.0]),
            Function::Simple(Simple::Prod) => (Step::Prod, &[1.0]),
            Function::Arithmetic { operator, operand, side } => {
                let value = operand.get();
                let step = match (operator, side) {
                    (Operator::Plus, _) => Step::Plus(value),
                    (Operator::Times, _) => Step::Times(value),
                    (Operator::Minus, Side::Right) => Step::Minus(value),
                    (Operator::Minus, Side::Left) => Step::MinusFrom(value),
                    (Operator::Divide, Side::Right) => Step::Divide(value),
                    (Operator::Divide, Side::Left) => Step::DivideInto(value),
                };
                (step, &[])
            }
            Function::Comparison { operator, operand, side: Side::Right } => {
                (Step::Keep(operator, operand.get()), &[])
            }
            Function::Comparison { operator, operand, side: Side::Left } => {
                (Step::Keep(operator.exchanged(), operand.get()), &[])
            }
            Function::Ewma(past) => (Step::Average { past: past.get(), silent: 1.0 }, &[0.0, 0.0]),
            Function::Sma(count) => {
                let past = 1.0 - 2.0 / (f64::from(count) + 1.0);
                let silent = f64::from(count.div_ceil(2));
                (Step::Average { past, silent }, &[0.0, 0.0])
            }
            Function::Sample { pass, of } => {
                (Step::Sample { pass: f64::from(pass), of: f64::from(of) }, &[0.0])
            }
            Function::Window { count, ref functions } => {
                let (start, medians) = (self.fresh.len(), self.medians.len());
                let steps = self.steps(functions, Some(count));
                let step = Step::Window {
                    count: f64::from(count),
                    steps,
                    fresh: self.fresh[start..].into(),
                    medians: self.medians.len() - medians,
                };
                self.fresh.insert(start, 0.0);
                return Some(step);
            }
        };
        self.fresh.extend_from_slice(fresh);
        Some(step)
    }
}

/// The state of a pipeline for one series: no allocation for pipelines that keep nothing, such as `id`; else one,
/// and those of its medians.
#[derive(Clone, Debug)]
pub struct Run {
    program: Arc<Program>,
    numbers: Box<[f64]>,
    /// Boxed once more, as few pipelines have any.
    medians: Option<Box<Box<[Median]>>>,
}

impl Run {
    pub(super) fn start(program: &Arc<Program>) -> Run {
        Run {
            numbers: program.fresh.clone(),
            medians: (!program.medians.is_empty()).then(|| Box::new(program.medians.clone())),
            program: Arc::clone(program),
        }
    }

    /// What the pipeline gives for the next value of the series, if anything.
    #[inline]
    pub fn feed(&mut self, value: f64) -> Option<f64> {
        if self.program.steps.is_empty() {
            return Some(value);
        }
        let medians = self.medians.as_deref_mut().map_or(&mut [][..], |medians| &mut medians[..]);
        feed(&self.program.steps, Rest { numbers: &mut self.numbers, medians }, value)
    }

    /// The bytes it takes now, itself among them; the program, which is shared, is not.
    pub fn bytes(&self) -> usize {
        let medians = self.medians.as_deref().map_or(0, |medians| {
            let kept: usize = medians.iter().map(Median::heap_bytes).sum();
            size_of::<Box<[Median]>>() + size_of_val(&**medians) + kept
        });
        size_of::<Run>() + size_of_val(&*self.numbers) + medians
    }
}

/// The state of the steps that are still to come.
struct Rest<'a> {
    numbers: &'a mut [f64],
    medians: &'a mut [Median],
}

impl<'a> Rest<'a> {
    /// The numbers of the next step.
    fn next<const N: usize>(&mut self) -> &'a mut [f64; N] {
        let (numbers, rest) = std::mem::take(&mut self.numbers)
            .split_first_chunk_mut()
            .expect("the program laid out the numbers of its own steps");
        self.numbers = rest;
        numbers
    }

    /// The state of a window's own steps.
    fn take(&mut self, numbers: usize, medians: usize) -> Rest<'a> {
        let (own_numbers, numbers) = std::mem::take(&mut self.numbers).split_at_mut(numbers);
        let (own_medians, medians) = std::mem::take(&mut self.medians).split_at_mut(medians);
        *self = Rest { numbers, medians };
        Rest { numbers: own_numbers, medians: own_medians }
    }
}

fn feed(steps: &[Step], mut rest: Rest<'_>, mut x: f64) -> Option<f64> {
    for step in steps {
        x = match *step {
            Step::Abs => x.abs(),
            // The original went through an integer, which has no -0.
            Step::Ceil => x.ceil() + 0.0,
            Step::Floor => x.floor() + 0.0,
            Step::Round => x.round_ties_even() + 0.0,
            Step::Truncate => x.trunc() + 0.0,
            Step::Mean => {
                let [mean, count] = rest.next();
                *count += 1.0;
                *mean += (x - *mean) / *count;
                *mean
            }
            Step::Median => {
                let (median, medians) = std::mem::take(&mut rest.medians)
                    .split_first_mut()
                    .expect("the program laid out the medians of its own steps");
                rest.medians = medians;
                median.feed(x)
            }
            Step::Minimum => {
                let [least] = rest.next();
                *least = least.min(x);
                *least
            }
            Step::Maximum => {
                let [greatest] = rest.next();
                *greatest = greatest.max(x);
                *greatest
            }
            Step::Sum => {
                let [sum] = rest.next();
                *sum += x;
                *sum
            }
            Step::Prod => {
                let [product] = rest.next();
                *product *= x;
                *product
            }
            Step::Plus(value) => x + value,
            Step::Times(value) => x * value,
            Step::Minus(value) => x - value,
            Step::MinusFrom(value) => value - x,
            Step::Divide(value) => x / value,
            Step::DivideInto(value) => value / x,
            Step::Keep(relation, value) => {
                let holds = match relation {
                    Relation::Greater => x > value,
                    Relation::Less => x < value,
                    Relation::GreaterOrEqual => x >= value,
                    Relation::LessOrEqual => x <= value,
                    Relation::Equal => x == value,
                    Relation::Unequal => x != value,
                };
                if !holds {
                    return None;
                }
                x
            }
            Step::Average { past, silent } => {
                let [average, count] = rest.next();
                *average = if *count == 0.0 { x } else { past * *average + (1.0 - past) * x };
                if *count < silent {
                    *count += 1.0;
                    return None;
                }
                *average
            }
            Step::Sample { pass, of } => {
                let [count] = rest.next();
                let passes = *count < pass;
                *count += 1.0;
                if *count == of {
                    *count = 0.0;
                }
                if !passes {
                    return None;
                }
                x
            }
            Step::Window { count, ref steps, ref fresh, medians } => {
                let [fed] = rest.next();
                let own = rest.take(fresh.len(), medians);
                *fed += 1.0;
                if *fed < count {
                    feed(steps, own, x);
                    return None;
                }
                *fed = 0.0;
                let last = feed(steps, Rest { numbers: &mut *own.numbers, medians: &mut *own.medians }, x)?;
                own.numbers.copy_from_slice(fresh);
                own.medians.iter_mut().for_each(Median::reset);
                last
            }
        };
    }
    Some(x)
}

#[cfg(test)]
mod tests {
    use super::super::pipeline::Pipeline;

    /// What a pipeline gives, `_` for nothing.
    fn fed(pipeline: &str, values: &str) -> String {
        let mut run = Pipeline::parse(pipeline).expect(pipeline).start();
        let outputs = values.split(' ').map(|value| {
            let value = super::super::number::parse(value.as_bytes()).expect(value);
            run.feed(value).map_or("_".to_owned(), |value| value.to_string())
        });
        outputs.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn functions_do_what_the_original_did() {
        for (pipeline, values, want) in [
            ("id", "1 -2 nan inf", "1 -2 NaN inf"),
            ("abs", "1 -2 -0 -inf nan", "1 2 0 inf NaN"),
            ("ceil", "1.2 -1.2 -0.5 nan -inf", "2 -1 0 NaN -inf"),
            ("floor", "1.2 -1.2 nan inf", "1 -2 NaN inf"),
            ("truncate", "1.7 -1.7 -0.5", "1 -1 0"),
            ("round", "0.5 1.5 2.5 -0.5 -1.5 0.4 inf", "0 2 2 0 -2 0 inf"),
            ("mean", "1 2 3 4", "1 1.5 2 2.5"),
            ("mean", "1.79e308 1.79e308", &format!("{0} {0}", 1.79e308)),
            ("sum", "1 2 3", "1 3 6"),
            ("sum", "-0 0", "-0 0"),
            ("prod", "2 3 4", "2 6 24"),
            ("minimum", "3 1 2 nan 0", "3 1 1 1 0"),
            ("maximum", "1 3 2 nan 5", "1 3 3 3 5"),
            ("maximum", "nan -1", "NaN -1"),
            ("median", "5 1 3 10 nan", "5 3 3 4 5"),
            ("(* 100)", "2", "200"),
            ("(100 *)", "2", "200"),
            ("(/ 100)", "50", "0.5"),
            ("(100 /)", "50", "2"),
            ("(- 1)", "5", "4"),
            ("(1 -)", "5", "-4"),
            ("(+ 1)", "5", "6"),
            ("(1 +)", "5", "6"),
            ("(/ 0)", "1 0 -1", "inf NaN -inf"),
            ("[> 5]", "4 5 6 nan", "_ _ 6 _"),
            ("[5 >]", "4 5 6 nan", "4 _ _ _"),
            ("[< 5]", "4 5 6", "4 _ _"),
            ("[5 <]", "4 5 6", "_ _ 6"),
            ("[>= 5]", "4 5 6", "_ 5 6"),
            ("[5 >=]", "4 5 6", "4 5 _"),
            ("[<= 5]", "4 5 6", "4 5 _"),
            ("[5 <=]", "4 5 6", "_ 5 6"),
            ("[= 5]", "4 5 6", "_ 5 _"),
            ("[5 =]", "4 5 6", "_ 5 _"),
            ("[/= 5]", "4 5 6 nan", "4 _ 6 NaN"),
            ("[5 /=]", "4 5 6", "4 _ 6"),
            ("[= nan]", "nan", "_"),
            ("[/= nan]", "1 nan", "1 NaN"),
            ("ewma 0.5", "1 2 3", "_ 1.5 2.25"),
            ("ewma 0", "1 2 3", "_ 2 3"),
            ("ewma 1", "1 2 3", "_ 1 1"),
            ("sma 3", "1 2 3 4 5 6", "_ _ 2.25 3.125 4.0625 5.03125"),
            ("sma 1", "1 2 3", "_ 2 3"),
            ("sma 2", "0 3 6", "_ 2 4.666666666666667"),
            ("sample 2/5", "1 2 3 4 5 6 7 8 9 10 11 12", "1 2 _ _ _ 6 7 _ _ _ 11 12"),
            ("sample 1/1", "1 2", "1 2"),
            ("window 2 (sum)", "1 2 3 4 5", "_ 3 _ 7 _"),
            ("window 5 (mean)", "1 2 3 4 5", "_ _ _ _ 3"),
            ("window 1 (sum)", "1 2", "1 2"),
            ("window 3 (median)", "9 1 5 7 7 8 0", "_ _ 5 _ _ 7 _"),
            ("window 3 (median | sum)", "9 1 5 1 1 1", "_ _ 19 _ _ 3"),
            ("window 2 (id)", "1 2 3 4", "_ 2 _ 4"),
            ("window 3 (minimum | (* 100))", "2 1 3 4 5 6", "_ _ 100 _ _ 400"),
            ("(- 1) | abs | (* 100)", "0", "100"),
            ("mean | (* 100) | [> 50]", "0.25 1 1", "_ 62.5 75"),
            ("sma 3 | sample 1/2", "1 2 3 4 5 6", "_ _ 2.25 _ 4.0625 _"),
            ("window 2 (mean) | sum | window 2 (prod)", "1 3 2 4 5 7 1 1", "_ _ _ 10 _ _ _ 132"),
            ("sum | window 2 (maximum | sum) | mean", "1 1 1 1", "_ 3 _ 5"),
        ] {
            assert_eq!(fed(pipeline, values), want, "{pipeline} of {values}");
        }
    }

    #[test]
    fn sma_10_is_silent_for_five_of_seven() {
        let outputs = fed("sma 10", "1 2 3 4 5 6 7");
        assert_eq!(outputs.matches('_').count(), 5, "{outputs}");
    }

    #[test]
    fn a_median_outside_a_window_is_that_of_the_latest_1024() {
        let mut run = Pipeline::parse("median").unwrap().start();
        let outputs: Vec<f64> = (0..3000).filter_map(|value| run.feed(f64::from(value))).collect();
        assert_eq!(outputs[1022], 511.0);
        assert_eq!(outputs[1023], 511.5);
        assert_eq!(outputs[2999], 2487.5);
    }

    #[test]
    fn a_series_state_is_small() {
        for (pipeline, want) in [
            ("id", 32),
            ("abs | (* 100) | [> 5]", 32),
            ("mean", 48),
            ("window 60 (mean)", 56),
            ("sma 30 | sample 1/5", 56),
        ] {
            let pipeline = Pipeline::parse(pipeline).unwrap();
            assert_eq!(pipeline.start().bytes(), want, "{pipeline}");
            assert_eq!(pipeline.state_bytes_max(), want, "{pipeline}");
        }
        let pipeline = Pipeline::parse("window 131072 (median)").unwrap();
        let mut run = pipeline.start();
        for value in 0..300_000 {
            run.feed(f64::from(value % 1000));
        }
        assert!(run.bytes() <= pipeline.state_bytes_max());
        assert!(pipeline.state_bytes_max() < 3 << 20, "{}", pipeline.state_bytes_max());
    }
}
