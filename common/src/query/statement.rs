//! Statements: `SELECT <pipeline> FROM <regex>;`, what people type.
//!
//! `SELECT` and `FROM` may be in any case; the first `FROM` between blanks splits. Blanks before the statement, and
//! around its parts, do not count; the `;` at the end may be missing. The regex may stand in `"` or `'`; without, it
//! ends with the statement, or before a blank, the word of a clause (`WHERE`, `SINCE`, `UNTIL`, `AS`), and a blank.
//! In quotes `\"` does not end it; the regex takes that for a `"`.
//!
//! [`split`] finds the parts and [`Statement::parse`] checks them as well: who gives some parts a meaning of their
//! own (`SELECT * FROM leela.xmpp;`) looks at them between.

use super::cursor::{Cursor, is_blank};
use super::error::{QueryError, Spot, meant, quoted};
use super::pipeline::Pipeline;
use super::selector::Selector;
use super::words::{is_clause, no_clause_yet};

const FORM: &str = "a query is `SELECT <pipeline> FROM <regex>;`";

/// A part of a statement, and where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part<'a> {
    /// Its text, without the blanks or quotes around it.
    pub text: &'a str,
    /// The offset of `text` in the statement.
    pub offset: usize,
}

impl Part<'_> {
    /// The stretch of the statement it is.
    pub const fn spot(&self) -> Spot {
        Spot::new(self.offset, self.text.len())
    }
}

/// The parts of a statement, not checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Split<'a> {
    /// Between `SELECT` and `FROM`; never empty.
    pub pipeline: Part<'a>,
    /// Behind `FROM`; never empty.
    pub regex: Part<'a>,
    /// From the word of the first clause on, without the `;` at the end.
    pub clauses: Option<Part<'a>>,
}

/// A statement that is checked.
#[derive(Clone, Debug)]
pub struct Statement {
    /// What becomes of each series.
    pub pipeline: Pipeline,
    /// Which series.
    pub selector: Selector,
}

impl Statement {
    /// Splits and checks a statement.
    ///
    /// # Errors
    /// With the spot, in bytes of `text`.
    pub fn parse(text: &str) -> Result<Statement, QueryError> {
        split(text)?.check()
    }
}

impl Split<'_> {
    /// Checks the parts.
    ///
    /// # Errors
    /// With the spot, in bytes of the statement.
    pub fn check(&self) -> Result<Statement, QueryError> {
        let moved = |part: &Part<'_>| {
            let by = part.offset;
            move |error: QueryError| error.moved(by)
        };
        let pipeline = Pipeline::parse(self.pipeline.text).map_err(moved(&self.pipeline))?;
        let selector = Selector::parse(self.regex.text).map_err(moved(&self.regex))?;
        if let Some(clauses) = &self.clauses {
            let word = Cursor::new(clauses.text.as_bytes()).word();
            return Err(no_clause_yet(clauses.spot(), word));
        }
        Ok(Statement { pipeline, selector })
    }
}

/// Finds the parts of a statement.
///
/// # Errors
/// With the spot, in bytes of `text`.
pub fn split(text: &str) -> Result<Split<'_>, QueryError> {
    let statement = without_end(text);
    let (select, start) = after_select(statement)?;
    let Some(from) = find_from(statement, start) else {
        return Err(no_from(statement, start));
    };
    let pipeline = trimmed(statement, Spot::between(start, from.offset));
    if pipeline.text.is_empty() {
        return Err(QueryError::new(
            Spot::between(select.end(), from.offset + 1),
            "the pipeline is missing",
            "write one between `SELECT` and `FROM`, such as `id` or `window 60 (mean)`",
        ));
    }
    let (regex, end) = match statement[from.end()..].trim_start_matches(blank).chars().next() {
        Some(quote @ ('"' | '\'')) => in_quotes(statement, from.end(), quote)?,
        _ => bare(statement, from.end()),
    };
    if regex.text.is_empty() {
        return Err(QueryError::new(
            regex.spot(),
            "the regex is missing",
            "write one behind `FROM`; `.` is every series",
        ));
    }
    let rest = trimmed(statement, Spot::between(end, statement.len()));
    Ok(Split { pipeline, regex, clauses: (!rest.text.is_empty()).then_some(rest) })
}

fn blank(char: char) -> bool {
    u8::try_from(char).is_ok_and(is_blank)
}

/// The statement without its `;` and the blanks around that.
fn without_end(text: &str) -> &str {
    let text = text.trim_end_matches(blank);
    let text = text.strip_suffix(';').unwrap_or(text);
    let trimmed = text.trim_end_matches(blank);
    // `\ ` at the end of a regex is a blank that counts.
    let is_escaped = trimmed.len() < text.len()
        && trimmed.bytes().rev().take_while(|&byte| byte == b'\\').count() % 2 == 1;
    if is_escaped { &text[..=trimmed.len()] } else { trimmed }
}

fn trimmed(text: &str, spot: Spot) -> Part<'_> {
    let whole = &text[spot.offset..spot.end()];
    let start = whole.trim_start_matches(blank);
    // The end of the statement is trimmed already, but for an escaped blank.
    let part = if spot.end() == text.len() { start } else { start.trim_end_matches(blank) };
    Part { text: part, offset: spot.offset + whole.len() - start.len() }
}

/// Where `SELECT` stands, and the offset behind it and its blank.
fn after_select(text: &str) -> Result<(Spot, usize), QueryError> {
    let mut cursor = Cursor::new(text.as_bytes());
    cursor.blanks();
    let start = cursor.at();
    let word = cursor.token();
    let spot = cursor.since(start);
    if word.eq_ignore_ascii_case(b"select") && (cursor.is_done() || cursor.eat_blank()) {
        return Ok((spot, cursor.at()));
    }
    if word.is_empty() && cursor.is_done() {
        return Err(QueryError::new(Spot::new(0, 0), "there is no query", FORM));
    }
    let spot = if spot.length == 0 { Spot::new(start, 1) } else { spot };
    Err(match meant(word, ["select"]) {
        Some(_) if word.eq_ignore_ascii_case(b"select") => {
            QueryError::new(spot, "a blank is missing behind `SELECT`", FORM)
        }
        Some(_) => QueryError::new(spot, format!("{} is no query", quoted(word)), "did you mean `SELECT`?"),
        None => QueryError::new(spot, "a query begins with `SELECT`", FORM),
    })
}

/// The first ` FROM `, its first blank included; the end of the text counts as the second.
fn find_from(text: &str, start: usize) -> Option<Spot> {
    let bytes = text.as_bytes();
    // From the blank behind SELECT on: in `SELECT FROM x` it is FROM's own.
    (start.saturating_sub(1)..bytes.len()).find_map(|at| {
        let is_from = is_blank(bytes[at])
            && bytes.get(at + 1..at + 5).is_some_and(|word| word.eq_ignore_ascii_case(b"from"))
            && bytes.get(at + 5).is_none_or(|&byte| is_blank(byte));
        is_from.then_some(Spot::new(at, 5))
    })
}

fn no_from(text: &str, start: usize) -> QueryError {
    let mut cursor = Cursor::new(text.as_bytes());
    cursor.skip(start);
    while !cursor.is_done() {
        let at = cursor.at();
        let word = cursor.word();
        if word.len() >= 3 && matches!(meant(word, ["from", "round"]), Some("from")) {
            return QueryError::new(
                cursor.since(at),
                format!("{} is not `FROM` between blanks", quoted(word)),
                format!("write ` FROM `: {FORM}"),
            );
        }
        if word.is_empty() {
            cursor.skip(1);
        }
    }
    QueryError::new(
        Spot::new(text.len(), 0),
        "`FROM` is missing",
        format!("{FORM}; `FROM .` is every series"),
    )
}

/// A regex without quotes, and where it ends.
fn bare(text: &str, start: usize) -> (Part<'_>, usize) {
    let mut cursor = Cursor::new(text.as_bytes());
    cursor.skip(start);
    let mut is_first = true;
    while !cursor.is_done() {
        let end = cursor.at();
        let blanks = cursor.blanks().len();
        let word = cursor.take_while(|byte| !is_blank(byte));
        if blanks > 0 && is_clause(word) && !is_first {
            return (trimmed(text, Spot::between(start, end)), end);
        }
        is_first = false;
    }
    (trimmed(text, Spot::between(start, text.len())), text.len())
}

/// A regex in quotes, and where those end.
fn in_quotes(text: &str, start: usize, quote: char) -> Result<(Part<'_>, usize), QueryError> {
    let open = text.len() - text[start..].trim_start_matches(blank).len();
    let mut is_escaped = false;
    let close = text[open + 1..].char_indices().find(|&(_, char)| {
        let is_close = char == quote && !is_escaped;
        is_escaped = char == '\\' && !is_escaped;
        is_close
    });
    let Some((length, _)) = close else {
        return Err(QueryError::new(
            Spot::new(open, 1),
            "this quote is not closed",
            format!("write `{quote}` behind the regex, or `\\{quote}` if the regex begins with it"),
        ));
    };
    let part = Part { text: &text[open + 1..open + 1 + length], offset: open + 1 };
    let end = open + length + 2;
    let mut rest = Cursor::new(text.as_bytes());
    rest.skip(end);
    let (blanks, at) = (rest.blanks().len(), rest.at());
    if rest.is_done() || (blanks > 0 && is_clause(rest.word())) {
        return Ok((part, end));
    }
    let token = Spot::new(at, text[at..].find(blank).unwrap_or(text.len() - at));
    Err(QueryError::new(
        token,
        "the query ends with the quote",
        format!("take this away, or write `\\{quote}` inside the quotes"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_split() {
        for (text, pipeline, regex, clauses) in [
            ("SELECT id FROM ^a$;", "id", "^a$", None),
            ("SELECT * FROM leela.xmpp;", "*", "leela.xmpp", None),
            ("select id from ^a$", "id", "^a$", None),
            ("  Select\n  mean | abs\nFrom ^a$ ;\n", "mean | abs", "^a$", None),
            ("SELECT id FROM a FROM b;", "id", "a FROM b", None),
            ("SELECT id FROM a;b;", "id", "a;b", None),
            ("SELECT id FROM a;;", "id", "a;", None),
            ("SELECT id FROM foo bar;", "id", "foo bar", None),
            (r"SELECT id FROM foo\ ;", "id", r"foo\ ", None),
            (r"SELECT id FROM foo\\ ;", "id", r"foo\\", None),
            (r#"SELECT id FROM "a b ";"#, "id", "a b ", None),
            (r#"SELECT id FROM 'a WHERE b'"#, "id", "a WHERE b", None),
            (r#"SELECT id FROM "a\"b""#, "id", r#"a\"b"#, None),
            ("SELECT id FROM a WHERE dc=ams;", "id", "a", Some("WHERE dc=ams")),
            ("SELECT id FROM a  since 1h until now;", "id", "a", Some("since 1h until now")),
            ("SELECT id FROM a AS;", "id", "a", Some("AS")),
            ("SELECT id FROM aWHERE b;", "id", "aWHERE b", None),
            ("SELECT id FROM WHERE;", "id", "WHERE", None),
            ("SELECT id FROM 'a' AS b;", "id", "a", Some("AS b")),
            ("SELECT id FROM größe;", "id", "größe", None),
        ] {
            let split = split(text).expect(text);
            assert_eq!((split.pipeline.text, split.regex.text), (pipeline, regex), "{text:?}");
            assert_eq!(split.clauses.map(|clauses| clauses.text), clauses, "{text:?}");
            for part in [Some(split.pipeline), Some(split.regex), split.clauses].into_iter().flatten() {
                assert_eq!(&text[part.offset..part.spot().end()], part.text, "{text:?}");
            }
        }
    }

    #[test]
    fn a_statement_that_is_wrong_is_refused_at_the_spot() {
        for (text, offset, length, words) in [
            ("", 0, 0, "there is no query"),
            (" ; ", 0, 0, "there is no query"),
            ("SELCT id FROM a", 0, 5, "did you mean `SELECT`?"),
            ("DELETE FROM leela.xmpp;", 0, 6, "a query begins with `SELECT`"),
            ("SELECT(id) FROM a", 0, 6, "a blank is missing behind `SELECT`"),
            ("(", 0, 1, "a query begins with `SELECT`"),
            ("SELECT id", 9, 0, "`FROM` is missing"),
            ("SELECT", 6, 0, "`FROM` is missing"),
            ("SELECT id FORM a", 10, 4, "`FORM` is not `FROM`"),
            ("SELECT round a", 14, 0, "`FROM` is missing"),
            ("SELECT FROM a", 6, 1, "the pipeline is missing"),
            ("SELECT id FROM", 14, 0, "the regex is missing"),
            ("SELECT id FROM ;", 14, 0, "the regex is missing"),
            ("SELECT id FROM \"a;", 15, 1, "this quote is not closed"),
            ("SELECT id FROM '';", 16, 0, "the regex is missing"),
            ("SELECT id FROM 'a' b", 19, 1, "the query ends with the quote"),
            ("SELECT id FROM 'a'b c", 18, 1, "the query ends with the quote"),
            ("SELECT meen FROM a", 7, 4, "did you mean `mean`?"),
            (" SELECT  id | abbs FROM a", 14, 4, "did you mean `abs`?"),
            ("SELECT id FROM a(b;", 16, 1, "unclosed group"),
            ("SELECT id FROM 'a(b';", 17, 1, "unclosed group"),
            ("SELECT id FROM a WHERE dc=ams;", 17, 12, "`WHERE` is not there yet"),
            ("SELECT window 60s (mean) FROM a;", 14, 3, "windows of time are not there yet"),
            ("SELECT id WHERE b FROM a;", 10, 7, "`WHERE` is not there yet"),
        ] {
            let error = Statement::parse(text).expect_err(text);
            assert_eq!(error.at, Spot::new(offset, length), "{text:?}: {error}");
            assert!(error.to_string().contains(words), "{text:?}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn the_parser_takes_any_text(text: String, near in "( |SELECT|FROM|id|;|'|\"|\\\\|a|AS|ö){0,12}") {
            for text in [text, near] {
                if let Err(error) = Statement::parse(&text) {
                    proptest::prop_assert!(error.at.end() <= text.len(), "{:?}", error);
                }
            }
        }
    }
}
