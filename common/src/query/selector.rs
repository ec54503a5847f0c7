//! Which series a query is about: a regex, unanchored, on bytes.

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ast::ErrorKind;
use regex_syntax::hir::{Class, Hir, HirKind, Look};

use super::error::{QueryError, Spot};

/// The most bytes of a regex as it is written. The dearest one, `\w` all along, takes 30 ms and 20 MB until it is refused.
pub const REGEX_BYTES_MAX: usize = 4096;
/// The most bytes of a compiled regex.
pub const PROGRAM_BYTES_MAX: usize = 1 << 20;
/// The most bytes of a regex' search cache; past it a search is slower, not larger.
const CACHE_BYTES_MAX: usize = 256 << 10;
const ESCAPE: &str = "put `\\` before a character that stands for itself";

/// A regex that is checked. It sees the name of a key without its tags; one with a literal `;` sees the whole key.
#[derive(Clone, Debug)]
pub struct Selector {
    regex: Regex,
    sees_tags: bool,
    prefix: Box<[u8]>,
}

impl Selector {
    /// Reads a regex; the whole text is the regex. Groups may have names.
    ///
    /// # Errors
    /// With the spot, in bytes of `text`; the whole of it for one that is too large.
    pub fn parse(text: &str) -> Result<Selector, QueryError> {
        if text.len() > REGEX_BYTES_MAX {
            return Err(QueryError::new(
                Spot::new(0, text.len()),
                "a regex has at most 4,096 bytes",
                "select more by a shorter one, or split it into several queries",
            ));
        }
        let parsed = regex_syntax::ParserBuilder::new().utf8(false).build().parse(text);
        let parsed = parsed.map_err(|error| match error {
            regex_syntax::Error::Parse(error) => {
                let way_out = match error.kind() {
                    ErrorKind::UnsupportedBackreference | ErrorKind::UnsupportedLookAround => {
                        "write it without"
                    }
                    _ => ESCAPE,
                };
                refused(spot(error.span()), error.kind(), way_out)
            }
            regex_syntax::Error::Translate(error) => refused(spot(error.span()), error.kind(), ESCAPE),
            error => refused(Spot::new(0, text.len()), &error, ESCAPE),
        })?;
        let (sees_tags, prefix) = (has_semicolon(&parsed), literal_prefix(&parsed).into());
        // It is large where the regex is, and the regex is parsed anew.
        drop(parsed);
        let regex = RegexBuilder::new(text)
            .size_limit(PROGRAM_BYTES_MAX)
            .dfa_size_limit(CACHE_BYTES_MAX)
            .build()
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => QueryError::new(
                    Spot::new(0, text.len()),
                    "the regex needs more than 1 MiB",
                    "use smaller repetitions, or `(?-u)` where classes such as `\\w` need no Unicode",
                ),
                error => refused(Spot::new(0, text.len()), &error, ESCAPE),
            })?;
        Ok(Selector { regex, sees_tags, prefix })
    }

    /// Whether a series is selected. `key` is as [`crate::key::parse`] leaves it.
    pub fn matches(&self, key: &[u8]) -> bool {
        let seen = if self.sees_tags { key.len() } else { name_bytes(key) };
        key.starts_with(&self.prefix) && self.regex.is_match(&key[..seen])
    }

    /// Whether it sees the whole key, not the name alone.
    pub fn sees_tags(&self) -> bool {
        self.sees_tags
    }

    /// What every selected key begins with: `web.` of `^web\.`; empty when nothing is known.
    pub fn prefix(&self) -> &[u8] {
        &self.prefix
    }
}

/// As it was written.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.regex.as_str())
    }
}

fn name_bytes(key: &[u8]) -> usize {
    key.iter().position(|&byte| byte == b';').unwrap_or(key.len())
}

fn spot(span: &regex_syntax::ast::Span) -> Spot {
    Spot::between(span.start.offset, span.end.offset)
}

fn refused(at: Spot, why: &impl fmt::Display, way_out: &str) -> QueryError {
    let why = why.to_string();
    let why = why.lines().next_back().unwrap_or_default().trim_start_matches("error: ").to_owned();
    QueryError::new(at, format!("this is no regex: {why}"), way_out)
}

/// Whether `;` is in it as itself. `[^.]` or `.` may match it too, but do not ask for it.
fn has_semicolon(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Literal(literal) => literal.0.contains(&b';'),
        // `(;|,)` is the class `[;,]` in its parsed form.
        HirKind::Class(Class::Unicode(class)) => {
            class.ranges().iter().any(|range| range.start() == ';' && range.end() == ';')
        }
        HirKind::Class(Class::Bytes(class)) => {
            class.ranges().iter().any(|range| range.start() == b';' && range.end() == b';')
        }
        HirKind::Repetition(repetition) => has_semicolon(&repetition.sub),
        HirKind::Capture(capture) => has_semicolon(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(has_semicolon),
        HirKind::Empty | HirKind::Look(_) => false,
    }
}

/// The bytes that stand behind a `^` at the front.
fn literal_prefix(hir: &Hir) -> &[u8] {
    if let HirKind::Concat(parts) = hir.kind()
        && let [start, next, ..] = parts.as_slice()
        && let (HirKind::Look(Look::Start), HirKind::Literal(literal)) = (start.kind(), next.kind())
    {
        &literal.0
    } else {
        &[]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regex_sees_the_name_and_with_a_semicolon_the_key() {
        for (regex, key, want) in [
            (".", "foobar", true),
            ("", "foobar", true),
            ("oba", "foobar", true),
            ("^oba", "foobar", false),
            ("foobar", "foobaz", false),
            ("FOO", "foo", false),
            ("(?i)FOO", "foo", true),
            ("^web$", "web;dc=ams", true),
            ("ams", "web;dc=ams", false),
            (";dc=ams", "web;dc=ams", true),
            (r"\x3bdc=a", "web;dc=ams", true),
            ("[;]dc", "web;dc=ams", true),
            ("(;|,)dc", "web;dc=ams", true),
            ("^web(;.*)?$", "web;dc=ams", true),
            ("^web(;.*)?$", "web", true),
            ("^[^;]+$", "web;dc=ams", true),
            ("^.*ams$", "web;dc=ams", false),
            ("^(?<host>[^.]+)[.]cpu", "web01.cpu;mode=idle", true),
            ("größe", "größe", true),
            ("^.$", "ö", true),
        ] {
            let selector = Selector::parse(regex).expect(regex);
            assert_eq!(selector.matches(key.as_bytes()), want, "{regex} on {key}");
            assert_eq!(selector.to_string(), regex);
        }
    }

    #[test]
    fn a_regex_that_is_wrong_is_refused_at_the_spot() {
        for (regex, offset, length, words) in [
            ("foo(bar", 3, 1, "unclosed group"),
            ("foo)", 3, 1, "unopened group"),
            ("[a-", 0, 1, "unclosed character class"),
            ("a**b)", 4, 1, "unopened group"),
            ("*", 0, 0, "repetition operator missing expression"),
            ("a{5,2}", 1, 5, "invalid repetition"),
            (r"\p{Greekish}", 0, 12, "Unicode property"),
            (r"(a)\1", 3, 2, "backreferences are not supported"),
            ("(?=a)", 0, 3, "look-around"),
            (r"\w{1000}", 0, 8, "more than 1 MiB"),
            ("ö(", 2, 1, "unclosed group"),
            (&"a".repeat(4097), 0, 4097, "at most 4,096 bytes"),
        ] {
            let error = Selector::parse(regex).expect_err(regex);
            assert_eq!(error.at, Spot::new(offset, length), "{regex:?}: {error}");
            assert!(error.to_string().contains(words), "{regex:?}: {error}");
        }
    }

    #[test]
    fn a_literal_prefix_is_known() {
        for (regex, want) in [
            (r"^web\.", "web."),
            (r"^web\.latency$", "web.latency"),
            ("^web(a|b)", "web"),
            ("web", ""),
            ("(?m)^web", ""),
            ("^(?i)web", ""),
            ("^web|^db", ""),
            ("^webs?", "web"),
            ("^", ""),
        ] {
            assert_eq!(Selector::parse(regex).unwrap().prefix(), want.as_bytes(), "{regex}");
        }
    }

    proptest::proptest! {
        #[test]
        fn the_parser_takes_any_text(text: String, near in "[a-z;.*+?|()\\[\\]{}^$,0-9\\\\]{0,16}") {
            for text in [text, near] {
                if let Err(error) = Selector::parse(&text) {
                    proptest::prop_assert!(error.at.end() <= text.len(), "{:?}", error);
                }
            }
        }
    }
}
