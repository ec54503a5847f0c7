//! One configuration file: its table, the line of each key, and errors that say where and what instead.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::Table;
use toml::de::{DeTable, DeValue};

use super::shown;

/// The names from the outermost table to a key.
pub(super) type KeyPath = Vec<String>;

/// A file that was read and is right by itself.
#[derive(Debug)]
pub(super) struct File {
    pub(super) table: Table,
    /// The line of each value that is not a table, counted from 1; of an empty table too.
    pub(super) lines: BTreeMap<KeyPath, usize>,
}

/// What is wrong with a file, and where.
#[derive(Debug, thiserror::Error)]
#[error("{}:{line}: {what}", path.display())]
pub(super) struct FileError {
    path: PathBuf,
    line: usize,
    what: String,
}

impl File {
    /// Reads `text` as a `C`, so that an error has a line; values stay TOML, so that files can be merged.
    pub(super) fn parse<C: DeserializeOwned>(path: &Path, text: &str) -> Result<File, FileError> {
        let failed = |error: toml::de::Error, spans: &[(KeyPath, Range<usize>)]| FileError {
            path: path.to_owned(),
            line: line_of(text, error.span().map_or(0, |span| span.start)),
            what: explain(&error, spans),
        };
        let document = DeTable::parse(text).map_err(|error| failed(error, &[]))?;
        let spans = shown::leaves(document.get_ref());
        toml::from_str::<C>(text).map_err(|error| failed(error, &spans))?;
        let table = toml::from_str::<Table>(text).map_err(|error| failed(error, &spans))?;
        let lines = spans.into_iter().map(|(key, span)| (key, line_of(text, span.start))).collect();
        Ok(File { table, lines })
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes().iter().take(offset).filter(|&&byte| byte == b'\n').count()
}

/// The library's words, but for an unknown key, where they would only list the known ones.
fn explain(error: &toml::de::Error, spans: &[(KeyPath, Range<usize>)]) -> String {
    let message = error.message();
    if let Some((unknown, known)) = unknown_key(message) {
        return match nearest(unknown, &known) {
            Some(known) => format!("unknown key {unknown}, did you mean {known}?"),
            None if known.is_empty() => format!("unknown key {unknown}, there are no keys here"),
            None => format!("unknown key {unknown}, the keys here are {}", known.join(" ")),
        };
    }
    let at = error.span().map(|span| span.start);
    match spans.iter().find(|(_, span)| at.is_some_and(|at| span.contains(&at))) {
        Some((key, _)) => format!("{}: {message}", shown::dotted(key)),
        None => message.to_owned(),
    }
}

/// Takes serde's message apart: "unknown field `a`, expected one of `b`, `c`".
fn unknown_key(message: &str) -> Option<(&str, Vec<&str>)> {
    let mut words = message.strip_prefix("unknown field `")?.split('`');
    let unknown = words.next()?;
    // Between two back-quotes and then between the next two; every other piece is a name.
    Some((unknown, words.skip(1).step_by(2).collect()))
}

fn nearest<'a>(unknown: &str, known: &[&'a str]) -> Option<&'a str> {
    let unknown = unknown.to_lowercase().replace('-', "_");
    known
        .iter()
        .map(|known| (strsim::normalized_damerau_levenshtein(&unknown, known), *known))
        .filter(|(likeness, _)| *likeness >= 0.6)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

/// Whether a value is shown as one: a table that has keys is not.
pub(super) fn is_leaf(value: &DeValue<'_>) -> bool {
    value.as_table().is_none_or(|table| table.is_empty())
}
