//! The functions of a pipeline, as they are written.

use std::fmt;

use super::number::Number;

/// One function. What each does is told by [`super::run`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Function {
    /// `id`, `mean` and the like: one value in, one out.
    Simple(Simple),
    /// `(* 100)` or `(100 /)`.
    Arithmetic {
        /// `*`, `+`, `/` or `-`.
        operator: Operator,
        /// The number beside it.
        operand: Number,
        /// The side of the operator that the number stands on.
        side: Side,
    },
    /// `[> 5]` or `[5 >]`: passes the values for which it holds.
    Comparison {
        /// `>`, `<`, `>=`, `<=`, `=` or `/=`.
        operator: Relation,
        /// The number beside it.
        operand: Number,
        /// The side of the operator that the number stands on.
        side: Side,
    },
    /// `window 5 (mean | abs)`: the functions over each 5 values, then anew.
    Window {
        /// Values a window, at most [`super::pipeline::WINDOW_MAX`].
        count: u32,
        /// Simple and arithmetic ones alone; at least one.
        functions: Vec<Function>,
    },
    /// `sma 30`.
    Sma(u32),
    /// `ewma 0.5`: the weight of the past, at least 0.
    Ewma(Number),
    /// `sample 1/5`: the first `pass` of every `of`.
    Sample {
        /// At least 1.
        pass: u32,
        /// At least `pass`.
        of: u32,
    },
}

/// A function without parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "they are told by the manual page, and where they run")]
pub enum Simple {
    Id,
    Abs,
    Ceil,
    Floor,
    Round,
    Truncate,
    Mean,
    Median,
    Minimum,
    Maximum,
    Sum,
    Prod,
}

impl Simple {
    /// Every one, in the order of the original's grammar.
    pub const ALL: [Simple; 12] = [
        Simple::Id,
        Simple::Abs,
        Simple::Ceil,
        Simple::Floor,
        Simple::Round,
        Simple::Truncate,
        Simple::Mean,
        Simple::Median,
        Simple::Minimum,
        Simple::Maximum,
        Simple::Sum,
        Simple::Prod,
    ];

    /// Its name.
    pub const fn word(self) -> &'static str {
        match self {
            Simple::Id => "id",
            Simple::Abs => "abs",
            Simple::Ceil => "ceil",
            Simple::Floor => "floor",
            Simple::Round => "round",
            Simple::Truncate => "truncate",
            Simple::Mean => "mean",
            Simple::Median => "median",
            Simple::Minimum => "minimum",
            Simple::Maximum => "maximum",
            Simple::Sum => "sum",
            Simple::Prod => "prod",
        }
    }
}

/// What calculates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "their names are the arithmetic")]
pub enum Operator {
    Times,
    Plus,
    Divide,
    Minus,
}

impl Operator {
    /// Every one.
    pub const ALL: [Operator; 4] = [Operator::Times, Operator::Plus, Operator::Divide, Operator::Minus];

    /// Its sign.
    pub const fn word(self) -> &'static str {
        match self {
            Operator::Times => "*",
            Operator::Plus => "+",
            Operator::Divide => "/",
            Operator::Minus => "-",
        }
    }
}

/// What compares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "their names are the comparison")]
pub enum Relation {
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
    Equal,
    Unequal,
}

impl Relation {
    /// Every one.
    pub const ALL: [Relation; 6] = [
        Relation::Greater,
        Relation::Less,
        Relation::GreaterOrEqual,
        Relation::LessOrEqual,
        Relation::Equal,
        Relation::Unequal,
    ];

    /// Its sign.
    pub const fn word(self) -> &'static str {
        match self {
            Relation::Greater => ">",
            Relation::Less => "<",
            Relation::GreaterOrEqual => ">=",
            Relation::LessOrEqual => "<=",
            Relation::Equal => "=",
            Relation::Unequal => "/=",
        }
    }

    /// The one that says the same with its sides exchanged: `5 > x` is `x < 5`.
    pub const fn exchanged(self) -> Relation {
        match self {
            Relation::Greater => Relation::Less,
            Relation::Less => Relation::Greater,
            Relation::GreaterOrEqual => Relation::LessOrEqual,
            Relation::LessOrEqual => Relation::GreaterOrEqual,
            Relation::Equal => Relation::Equal,
            Relation::Unequal => Relation::Unequal,
        }
    }
}

/// The side of the operator that the number stands on; the series' value is on the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// `(100 -)`: 100 minus the value.
    Left,
    /// `(- 100)`: the value minus 100.
    Right,
}

/// In the one form that reads back as the same function.
impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Function::Simple(simple) => f.write_str(simple.word()),
            Function::Arithmetic { operator, operand, side: Side::Left } => {
                write!(f, "({operand} {})", operator.word())
            }
            Function::Arithmetic { operator, operand, side: Side::Right } => {
                write!(f, "({} {operand})", operator.word())
            }
            Function::Comparison { operator, operand, side: Side::Left } => {
                write!(f, "[{operand} {}]", operator.word())
            }
            Function::Comparison { operator, operand, side: Side::Right } => {
                write!(f, "[{} {operand}]", operator.word())
            }
            Function::Window { count, functions } => {
                write!(f, "window {count} (")?;
                list(functions, f)?;
                f.write_str(")")
            }
            Function::Sma(count) => write!(f, "sma {count}"),
            Function::Ewma(past) => write!(f, "ewma {past}"),
            Function::Sample { pass, of } => write!(f, "sample {pass}/{of}"),
        }
    }
}

/// Functions with ` | ` between them.
pub(super) fn list(functions: &[Function], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (at, function) in functions.iter().enumerate() {
        if at > 0 {
            f.write_str(" | ")?;
        }
        write!(f, "{function}")?;
    }
    Ok(())
}
