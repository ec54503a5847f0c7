//! Configuration as text: what `--check` prints, and what the shipped file and the man page have to show.

use std::ops::Range;

use anyhow::Context;
use serde::Serialize;
use toml::de::DeTable;
use toml::{Table, Value};

use super::file::{KeyPath, is_leaf};

/// What the shipped file shows: its lines that begin with `#` and no blank, without the `#`. A line of prose
/// begins with `# `, so that uncommenting keys is taking away one character.
///
/// A process's test is
///
/// ```text
/// #[test]
/// fn the_shipped_file_shows_every_key_at_its_default() {
///     assert_eq!(config::shown(include_str!("../udp.toml")), config::defaults::<Config>());
/// }
/// ```
///
/// and a table is written as `#[tags]`, an example in it as prose: `#  host = "%H"`.
pub fn shown(shipped: &str) -> String {
    lines(shipped.lines().filter_map(|line| line.strip_prefix('#')).filter(|line| !line.starts_with(' ')))
}

/// Every key at its default, in the order of the struct, without empty lines: what [`shown`] has to give.
///
/// # Panics
/// When the default is no TOML, which is a fault of the struct; for tests.
pub fn defaults<C: Serialize + Default>() -> String {
    lines(toml::to_string(&C::default()).expect("a configuration's default is TOML").lines())
}

fn lines<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    lines.filter(|line| !line.is_empty()).flat_map(|line| [line, "\n"]).collect()
}

/// The entries of a man page's CONFIGURATION section, `(key, default)`.
///
/// The form of an entry in the page (reStructuredText): a line that begins in the first column with the key
/// (dotted in a table: `tags.host`), one blank, and the default in round brackets; the next line begins with
/// a blank. Key and default may stand in double back-quotes, as where the default has a `*`. A text stands
/// without its quotes; an empty text, list or table is `none`; all else is as in TOML.
///
/// ```text
/// CONFIGURATION
/// =============
///
/// listen (127.0.0.1:8125)
///     Address and port to receive on.
/// tags (none)
///     A table of tags that every series gets.
/// ```
///
/// A process's test is
///
/// ```text
/// #[test]
/// fn the_man_page_has_every_key_with_its_default() {
///     assert_eq!(config::manual(include_str!("../leela-udp.8.rst")), config::entries::<Config>());
/// }
/// ```
pub fn manual(page: &str) -> Vec<(String, String)> {
    let lines: Vec<&str> = page.lines().collect();
    let is_underline = |line: &&str| line.len() >= 3 && line.bytes().all(|byte| b"=-~^".contains(&byte));
    let titles = |index: usize| lines.get(index + 1).is_some_and(is_underline) && !lines[index].is_empty();
    let Some(start) = (0..lines.len()).find(|&index| lines[index] == "CONFIGURATION" && titles(index)) else {
        return Vec::new();
    };
    let rule = lines[start + 1].as_bytes()[0];
    // A heading of another kind of underline is a section below this one.
    let ends = |index: &usize| titles(*index) && lines[*index + 1].as_bytes()[0] == rule;
    let end = (start + 2..lines.len()).find(ends).unwrap_or(lines.len());
    (start + 2..end)
        .filter(|index| lines.get(index + 1).is_some_and(|next| next.starts_with([' ', '\t'])))
        .filter_map(|index| entry(lines[index]))
        .collect()
}

fn entry(line: &str) -> Option<(String, String)> {
    let (key, default) = line.trim_end().strip_suffix(')')?.split_once(" (")?;
    let bare = |text: &str| text.trim_matches('`').to_owned();
    let is_key = |key: &str| !key.is_empty() && !key.contains(char::is_whitespace);
    Some((bare(key), bare(default))).filter(|(key, _)| is_key(key))
}

/// Every key with its default as a man page shows it, in the order of the struct: what [`manual`] has to
/// give.
///
/// # Panics
/// When the default is no TOML, which is a fault of the struct; for tests.
pub fn entries<C: Serialize + Default>() -> Vec<(String, String)> {
    flatten(&C::default())
        .expect("a configuration's default is TOML")
        .into_iter()
        .map(|(path, value)| {
            let default = match value {
                Value::String(text) if text.is_empty() => "none".to_owned(),
                Value::Array(list) if list.is_empty() => "none".to_owned(),
                Value::Table(table) if table.is_empty() => "none".to_owned(),
                Value::String(text) => text,
                other => other.to_string(),
            };
            (dotted(&path), default)
        })
        .collect()
}

/// Every key and value in the order of the struct.
pub(super) fn flatten<C: Serialize>(config: &C) -> anyhow::Result<Vec<(KeyPath, Value)>> {
    // A table forgets the order of its keys, the text keeps it.
    let text = toml::to_string(config).context("showing the configuration")?;
    let table: Table = toml::from_str(&text).context("showing the configuration")?;
    let document = DeTable::parse(&text).context("showing the configuration")?;
    let find = |path: KeyPath| {
        let (last, tables) = path.split_last()?;
        let value =
            tables.iter().try_fold(&table, |table, name| table.get(name)?.as_table())?.get(last)?.clone();
        Some((path, value))
    };
    Ok(leaves(document.get_ref()).into_iter().filter_map(|(path, _)| find(path)).collect())
}

/// Every value that is not a table, and every empty table, with the bytes from its key to its end, in the
/// order of the text.
pub(super) fn leaves(table: &DeTable<'_>) -> Vec<(KeyPath, Range<usize>)> {
    fn walk(table: &DeTable<'_>, above: &[String], into: &mut Vec<(KeyPath, Range<usize>)>) {
        for (key, value) in table {
            let path: KeyPath = above.iter().cloned().chain([key.get_ref().to_string()]).collect();
            match value.get_ref().as_table() {
                Some(table) if !is_leaf(value.get_ref()) => walk(table, &path, into),
                _ => into.push((path, key.span().start..value.span().end)),
            }
        }
    }
    let mut leaves = Vec::new();
    walk(table, &[], &mut leaves);
    leaves.sort_by_key(|(_, span)| span.start);
    leaves
}

/// A key as TOML writes it: `tags.host`, `tags."a b"`.
pub(super) fn dotted(path: &[String]) -> String {
    let is_bare = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    let mut key = String::new();
    for name in path {
        if !key.is_empty() {
            key.push('.');
        }
        if is_bare(name) {
            key.push_str(name);
        } else {
            // A table of this one key, so that the library quotes it.
            let table = Table::from_iter([(name.clone(), Value::Boolean(true))]).to_string();
            key.push_str(table.trim_end().strip_suffix(" = true").unwrap_or(name));
        }
    }
    key
}
