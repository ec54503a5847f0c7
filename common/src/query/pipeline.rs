//! Pipelines: `mean | (* 100) | [> 50]`, what becomes of the values of a series.
//!
//! ```abnf
//! pipeline = func *(" | " func)                 ; the separator is exactly SP "|" SP
//! func     = afunc / sfunc
//! sfunc    = "id" / "abs" / "ceil" / "floor" / "round" / "truncate"
//!          / "mean" / "median" / "minimum" / "maximum" / "sum" / "prod" / arith
//! arith    = "(" aop WS val ")"  /  "(" val WS aop ")"
//! aop      = "*" / "+" / "/" / "-"
//! afunc    = "window" SP int WS "(" sfunc *(" | " sfunc) ")"
//!          / "sma" SP int / "ewma" SP val / "sample" SP int "/" int
//!          / "[" lop WS val "]"  /  "[" val WS lop "]"
//! lop      = ">" / "<" / ">=" / "<=" / "=" / "/="
//! int      = 1*DIGIT                            ; over 0
//! WS       = SP / HTAB / LF / VT / FF / CR      ; exactly one
//! ```
//!
//! `val` is told by [`super::number::parse`], what each function does by [`super::run`]. Names are lower case.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::error::QueryError;
use super::function::{self, Function};
use super::parse;
use super::run::{Program, Run};

/// The most functions of a pipeline, those inside windows among them.
pub const FUNCTIONS_MAX: usize = 64;
/// The most values of a window.
pub const WINDOW_MAX: u32 = 1_000_000;
/// The greatest number of `sma` and `sample`.
pub const COUNT_MAX: u32 = 1_000_000_000;
/// A `median` outside a window is the exact one of this many latest values.
pub const MEDIAN_LATEST: u32 = 1_024;
/// The most values a series' medians keep, all of a pipeline together: 1 MiB. Inside a window a median is exact
/// and keeps the window's values, outside it keeps [`MEDIAN_LATEST`].
pub const MEDIAN_VALUES_MAX: u32 = 131_072;

/// A pipeline that is checked: it runs. Clones share it.
#[derive(Clone, Debug)]
pub struct Pipeline {
    functions: Arc<[Function]>,
    program: Arc<Program>,
}

impl Pipeline {
    /// Reads a pipeline; the whole text is the pipeline.
    ///
    /// # Errors
    /// With the spot, in bytes of `text`.
    pub fn parse(text: impl AsRef<[u8]>) -> Result<Pipeline, QueryError> {
        parse::pipeline(text.as_ref()).map(Pipeline::of)
    }

    /// The functions must be such as the parser yields.
    pub(super) fn of(functions: Vec<Function>) -> Pipeline {
        Pipeline { program: Arc::new(Program::of(&functions)), functions: functions.into() }
    }

    /// Its functions, at least one.
    pub fn functions(&self) -> &[Function] {
        &self.functions
    }

    /// A new state, for one series.
    pub fn start(&self) -> Run {
        Run::start(&self.program)
    }

    /// The most bytes one series' state may come to take, [`Run`] itself among them.
    pub fn state_bytes_max(&self) -> usize {
        self.program.state_bytes_max()
    }
}

impl PartialEq for Pipeline {
    fn eq(&self, other: &Pipeline) -> bool {
        self.functions == other.functions
    }
}

impl Eq for Pipeline {}

impl FromStr for Pipeline {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Pipeline, QueryError> {
        Pipeline::parse(text)
    }
}

/// In the one form that reads back as the same pipeline; `[> 5]` and `[5 >]` stay what they are.
impl fmt::Display for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        function::list(&self.functions, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::error::Spot;
    use super::super::function::{Operator, Relation, Side, Simple};
    use super::super::number::Number;
    use super::*;

    #[test]
    fn a_pipeline_prints_in_one_form() {
        for (text, want) in [
            ("id", "id"),
            ("id | abs | ceil | floor | round | truncate", "id | abs | ceil | floor | round | truncate"),
            (
                "mean | median | minimum | maximum | sum | prod",
                "mean | median | minimum | maximum | sum | prod",
            ),
            ("mean | (* 100) | [> 50]", "mean | (* 100) | [> 50]"),
            ("sma 30 | sample 1/5", "sma 30 | sample 1/5"),
            ("window 30 (mean | (* 100))", "window 30 (mean | (* 100))"),
            ("window 030\t((100 -))", "window 30 ((100 -))"),
            ("(-\t+1)", "(- 1)"),
            ("(-1 -)", "(-1 -)"),
            ("(--5 +)", "(5 +)"),
            ("(/ -inf)", "(/ -inf)"),
            ("(Infinity *)", "(inf *)"),
            ("ewma 0.50", "ewma 0.5"),
            ("ewma inf", "ewma inf"),
            ("[> 5]", "[> 5]"),
            ("[5 >]", "[5 >]"),
            ("[>= -1e3]", "[>= -1000]"),
            ("[1e21 <=]", "[1e21 <=]"),
            ("[= NaN]", "[= nan]"),
            ("[/= 3]", "[/= 3]"),
            ("[3 /=]", "[3 /=]"),
            ("[-nan <]", "[nan <]"),
            ("sample 5/5", "sample 5/5"),
            ("window 1000000 (id)", "window 1000000 (id)"),
            ("window 131072 (median)", "window 131072 (median)"),
        ] {
            let pipeline = Pipeline::parse(text).map(|pipeline| pipeline.to_string());
            assert_eq!(pipeline.as_deref(), Ok(want), "{text:?}");
        }
    }

    #[test]
    fn a_pipeline_that_is_wrong_is_refused_at_the_spot() {
        for (text, offset, length, words) in [
            ("", 0, 0, "the pipeline is empty"),
            (" ", 0, 1, "the pipeline is empty"),
            ("meen", 0, 4, "there is no function `meen`; did you mean `mean`?"),
            ("Mean", 0, 4, "did you mean `mean`?"),
            ("id | zebra", 5, 5, "the functions are id, abs"),
            ("foreach", 0, 7, "there is no function `foreach`"),
            (" id", 0, 1, "a function stands here"),
            ("mean|abs", 4, 1, "between functions stands exactly ` | `"),
            ("mean |abs", 4, 2, "between functions stands exactly ` | `"),
            ("mean  | abs", 4, 4, "between functions stands exactly ` | `"),
            ("mean\t|\tabs", 4, 3, "between functions stands exactly ` | `"),
            ("mean abs", 5, 3, "between functions stands ` | `; write `| abs`"),
            ("mean | ", 7, 0, "a function is missing behind ` | `"),
            ("mean |", 4, 2, "a function is missing behind ` | `"),
            ("id ", 2, 1, "the blank at the end"),
            ("id;", 2, 1, "`;` cannot stand here"),
            ("id)", 2, 1, "this `)` closes nothing"),
            ("(5)", 0, 3, "an operator and a number"),
            ("()", 0, 2, "an operator and a number"),
            ("(* 5", 0, 4, "this `(` is not closed"),
            ("[> 5", 0, 4, "this `[` is not closed"),
            ("(*  5)", 2, 2, "exactly one blank"),
            ("( * 5)", 1, 1, "exactly one blank"),
            ("(*5)", 0, 4, "an operator and a number"),
            ("(* .5)", 3, 2, "`.5` is no number; write `0.5`"),
            ("(* 5.)", 3, 2, "`5.` is no number; write `5.0`"),
            ("(* x)", 3, 1, "`x` is no number"),
            ("(% 5)", 1, 1, "`%` is no operator; the operators are *, +, / and -"),
            ("(5 %)", 3, 1, "`%` is no operator"),
            ("(> 5)", 0, 5, "write `[> 5]`"),
            ("[* 5]", 0, 5, "write `(* 5)`"),
            ("[== 5]", 1, 2, "`==` is no comparison; write `=`"),
            ("[!= 5]", 1, 2, "`!=` is no comparison; write `/=`"),
            ("[5 =>]", 3, 2, "`=>` is no comparison; write `>=`"),
            ("sma", 3, 0, "a whole number stands behind `sma`"),
            ("sma 0", 4, 1, "at least 1"),
            ("sma x", 4, 1, "a whole number stands behind `sma`"),
            ("sma 1.5", 4, 3, "`1.5` is no whole number"),
            ("sma  3", 4, 1, "a whole number stands behind `sma`"),
            ("sma\t3", 3, 1, "one space"),
            ("sma 1000000001", 4, 10, "at most 1,000,000,000"),
            ("sma 99999999999999999999999", 4, 23, "at most 1,000,000,000"),
            ("ewma -1", 5, 2, "the weight of the past is at least 0"),
            ("ewma nan", 5, 3, "the weight of the past is at least 0"),
            ("ewma x", 5, 1, "`x` is no number"),
            ("ewma", 4, 0, "a number stands behind `ewma`"),
            ("sample 1", 8, 0, "`/`"),
            ("sample 0/5", 7, 1, "at least 1"),
            ("sample 1/0", 9, 1, "at least 1"),
            ("sample 6/5", 7, 3, "write `sample 5/6`"),
            ("window 5 ()", 9, 2, "the window is empty"),
            ("window 0 (id)", 7, 1, "at least 1"),
            ("window 1000001 (id)", 7, 7, "at most 1,000,000"),
            ("window 5(id)", 8, 1, "exactly one blank"),
            ("window 5", 8, 0, "the functions of the window"),
            ("window 5 id", 9, 2, "write `(id)`"),
            ("window 5 (id", 9, 3, "this `(` is not closed"),
            ("window 5 (id | )", 15, 0, "a function is missing behind ` | `"),
            ("window 5 (id abs)", 13, 3, "between functions stands ` | `"),
            ("window 5 (sma 3)", 10, 5, "`sma` cannot stand inside a window"),
            ("window 5 (window 5 (id))", 10, 13, "`window` cannot stand inside a window"),
            // At once, however many there are: each costs stack.
            (&"window 5 (".repeat(10_000), 20, 6, "`window` cannot stand inside a window"),
            ("window 5 ([> 5])", 10, 5, "a comparison cannot stand inside a window"),
            ("window 131073 (median)", 15, 6, "131,072"),
            ("window 130049 (median) | median", 25, 6, "131,072"),
            ("window 60s (mean)", 7, 3, "windows of time are not there yet"),
            ("window 5 all (sum)", 9, 3, "`all` is not there yet"),
            ("avg", 0, 3, "`avg` is not there yet; write `mean`"),
            ("window 5 (max)", 10, 3, "write `maximum`"),
            ("p99", 0, 3, "`p99` is not there yet"),
            ("p99_9", 0, 5, "`p99_9` is not there yet"),
            ("id | by host (sum)", 5, 2, "`by` is not there yet"),
            ("mean by host", 5, 2, "`by` is not there yet"),
            ("above 0.9 for 2m", 0, 5, "`above` is not there yet"),
            ("mean WHERE dc=ams", 5, 12, "`WHERE` is not there yet"),
            ("mean since 1h", 5, 8, "`since` is not there yet"),
        ] {
            let error = Pipeline::parse(text).expect_err(text);
            assert_eq!(error.at, Spot::new(offset, length), "{text:?}: {error}");
            assert!(error.to_string().contains(words), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_pipeline_has_at_most_64_functions() {
        let text = |count: usize| vec!["id"; count].join(" | ");
        assert!(Pipeline::parse(text(64)).is_ok());
        let error = Pipeline::parse(text(65)).expect_err("too many");
        assert_eq!(error.at, Spot::new(64 * 5, 2));
        assert!(Pipeline::parse(format!("window 2 ({})", text(63))).is_ok());
        assert!(Pipeline::parse(format!("window 2 ({})", text(64))).is_err());
    }

    fn number() -> impl Strategy<Value = Number> {
        prop_oneof![any::<f64>(), -10.0..10.0, Just(f64::NAN), Just(f64::INFINITY)].prop_map(Number::new)
    }

    fn side() -> impl Strategy<Value = Side> {
        prop::sample::select(vec![Side::Left, Side::Right])
    }

    fn simple() -> impl Strategy<Value = Function> {
        prop_oneof![
            prop::sample::select(Simple::ALL.to_vec()).prop_map(Function::Simple),
            (prop::sample::select(Operator::ALL.to_vec()), number(), side())
                .prop_map(|(operator, operand, side)| Function::Arithmetic { operator, operand, side }),
        ]
    }

    fn any_function() -> impl Strategy<Value = Function> {
        prop_oneof![
            simple(),
            (prop::sample::select(Relation::ALL.to_vec()), number(), side())
                .prop_map(|(operator, operand, side)| Function::Comparison { operator, operand, side }),
            (1..5000_u32, prop::collection::vec(simple(), 1..4))
                .prop_map(|(count, functions)| Function::Window { count, functions }),
            (1..=COUNT_MAX).prop_map(Function::Sma),
            number().prop_filter("at least 0", |past| past.get() >= 0.0).prop_map(Function::Ewma),
            (1..100_u32, 0..100_u32).prop_map(|(pass, more)| Function::Sample { pass, of: pass + more }),
        ]
    }

    proptest! {
        #[test]
        fn parsing_undoes_printing(functions in prop::collection::vec(any_function(), 1..6)) {
            let pipeline = Pipeline::of(functions);
            prop_assert_eq!(Pipeline::parse(pipeline.to_string()), Ok(pipeline));
        }

        #[test]
        fn the_parser_takes_any_bytes(bytes: Vec<u8>, near in "[a-z0-9 |()\\[\\]*+/<>=.-]{0,24}") {
            for text in [bytes, near.into_bytes()] {
                if let Err(error) = Pipeline::parse(&text) {
                    prop_assert!(error.at.end() <= text.len(), "{:?}", error);
                }
            }
        }

        #[test]
        fn feeding_takes_any_value(
            functions in prop::collection::vec(any_function(), 1..6),
            values in prop::collection::vec(any::<f64>(), 0..50),
        ) {
            let pipeline = Pipeline::of(functions);
            let mut run = pipeline.start();
            for value in values {
                let _ = run.feed(value);
            }
            prop_assert!(run.bytes() <= pipeline.state_bytes_max());
        }
    }
}
