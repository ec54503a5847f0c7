//! Why a query is refused: the spot, what is wrong there, and the way out.

use thiserror::Error;

/// A stretch of a query, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Spot {
    /// Bytes before it.
    pub offset: usize,
    /// Its bytes; 0 is the gap before `offset`.
    pub length: usize,
}

impl Spot {
    /// A stretch of `length` bytes behind the first `offset` ones.
    pub const fn new(offset: usize, length: usize) -> Spot {
        Spot { offset, length }
    }

    /// The bytes from `start` up to, and without, `end`.
    pub const fn between(start: usize, end: usize) -> Spot {
        Spot { offset: start, length: end.saturating_sub(start) }
    }

    /// The offset of the first byte behind it.
    pub const fn end(self) -> usize {
        self.offset.saturating_add(self.length)
    }

    /// The same stretch in a text with `by` more bytes before it.
    pub const fn moved(self, by: usize) -> Spot {
        Spot { offset: self.offset.saturating_add(by), length: self.length }
    }
}

/// A query that is refused. Its text is one line: what is wrong, `; `, the way out.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{what}; {way_out}")]
pub struct QueryError {
    /// The spot, in the text that was to be read.
    pub at: Spot,
    /// What is wrong, in lower case, without a full stop.
    pub what: String,
    /// What to write instead.
    pub way_out: String,
}

impl QueryError {
    pub(crate) fn new(at: Spot, what: impl Into<String>, way_out: impl Into<String>) -> QueryError {
        QueryError { at, what: one_line(what.into()), way_out: one_line(way_out.into()) }
    }

    /// The same error in a text with `by` more bytes before it.
    #[must_use]
    pub fn moved(mut self, by: usize) -> QueryError {
        self.at = self.at.moved(by);
        self
    }
}

/// A user's own words, fit to be repeated in a sentence of one line: at most 32 characters, none of them a
/// control character.
pub(crate) fn quoted(text: &[u8]) -> String {
    const CHARS_MAX: usize = 32;
    let text = String::from_utf8_lossy(text);
    let mut quoted: String = text.chars().map(plain).take(CHARS_MAX).collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        quoted.push('…');
    }
    format!("`{quoted}`")
}

/// The sentence, which may repeat a user's own words, as one line.
fn one_line(text: String) -> String {
    if text.contains(char::is_control) { text.chars().map(plain).collect() } else { text }
}

/// The character, or a stand-in for one that would move a terminal's cursor.
pub(crate) fn plain(char: char) -> char {
    if char.is_control() { char::REPLACEMENT_CHARACTER } else { char }
}

/// The candidate that was likely meant by `word`.
pub(crate) fn meant<'a>(word: &[u8], candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A word longer than any of ours by far is no misspelling, and the distance costs the product of lengths.
    let word = std::str::from_utf8(word).ok().filter(|word| word.len() <= 32)?.to_ascii_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), candidate))
        .filter(|&(distance, candidate)| distance <= 1 + candidate.len() / 4)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelling_is_guessed() {
        for (word, want) in [
            ("meen", Some("mean")),
            ("MEAN", Some("mean")),
            ("widnow", Some("window")),
            ("windows", Some("window")),
            ("maen", Some("mean")),
            ("zebra", None),
            ("", None),
        ] {
            assert_eq!(meant(word.as_bytes(), ["mean", "window", "sum"]), want, "{word:?}");
        }
        assert_eq!(meant(b"\xff", ["mean"]), None);
    }

    #[test]
    fn a_refusal_is_one_line_whatever_it_repeats() {
        for text in
            ["id N\0\x07", "[= 5]\u{1f}", "(\u{85}* 5)", "(5\n* 5)", "window 5\x0b(id)\x1b[2J", "(* \x1b.5)"]
        {
            let told = crate::query::pipeline::Pipeline::parse(text).unwrap_err().to_string();
            assert!(!told.contains(char::is_control), "{text:?}: {told:?}");
        }
    }

    #[test]
    fn quoted_text_is_one_short_line() {
        assert_eq!(quoted(b"mean"), "`mean`");
        assert_eq!(quoted(b"a\nb\x1b[2J"), "`a\u{fffd}b\u{fffd}[2J`");
        assert_eq!(quoted(&[b'x'; 40]), format!("`{}…`", "x".repeat(32)));
    }
}
