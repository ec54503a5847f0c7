//! The words of the language, those it is to have yet, and what is said of any other.

use super::error::{QueryError, Spot, meant, quoted};
use super::function::Simple;

/// Words of functions with parameters; those of the others are [`Simple`]'s.
const WITH_PARAMETERS: [&str; 4] = ["window", "sma", "ewma", "sample"];
/// Words that begin a clause behind the pipeline.
const CLAUSES: [&str; 4] = ["where", "since", "until", "as"];
/// Words the language is to have, and what to write until then.
const LATER: [(&str, Option<&str>); 18] = [
    ("by", None),
    ("without", None),
    ("all", None),
    ("top", None),
    ("bottom", None),
    ("above", Some("[> n]")),
    ("below", Some("[< n]")),
    ("absent", None),
    ("every", None),
    ("stddev", None),
    ("count", None),
    ("first", None),
    ("last", None),
    ("rate", None),
    ("delta", None),
    ("avg", Some("mean")),
    ("min", Some("minimum")),
    ("max", Some("maximum")),
];

/// Whether `word`, in any case, begins a clause behind the regex.
pub(super) fn is_clause(word: &[u8]) -> bool {
    CLAUSES.iter().any(|clause| word.eq_ignore_ascii_case(clause.as_bytes()))
}

/// A clause that is no part of the language yet.
pub(super) fn no_clause_yet(at: Spot, word: &[u8]) -> QueryError {
    QueryError::new(
        at,
        format!("{} is not there yet", quoted(word)),
        "a query ends with its regex; take the clause away, or write the regex in quotes if this belongs to it",
    )
}

/// A word the language is to have.
pub(super) fn later(word: &[u8], at: Spot) -> Option<QueryError> {
    let text = std::str::from_utf8(word).ok()?;
    let is_quantile = text.strip_prefix('p').is_some_and(|digits| {
        digits.starts_with(|first: char| first.is_ascii_digit())
            && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_')
    });
    let instead = LATER.iter().find(|(later, _)| *later == text).map(|&(_, instead)| instead);
    let way_out = match instead.or(is_quantile.then_some(None))? {
        Some(instead) => format!("write `{instead}`"),
        None => functions(),
    };
    Some(QueryError::new(at, format!("{} is not there yet", quoted(word)), way_out))
}

/// A word that is none of ours.
pub(super) fn unknown(word: &[u8], at: Spot) -> QueryError {
    let names = Simple::ALL.map(Simple::word).into_iter().chain(WITH_PARAMETERS);
    let way_out = meant(word, names).map_or_else(functions, |name| format!("did you mean `{name}`?"));
    QueryError::new(at, format!("there is no function {}", quoted(word)), way_out)
}

fn functions() -> String {
    format!(
        "the functions are {}, (* n) and [> n]",
        Simple::ALL.map(Simple::word).into_iter().chain(WITH_PARAMETERS).collect::<Vec<_>>().join(", ")
    )
}
