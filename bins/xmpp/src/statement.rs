//! What a user says, with the manners of a chat: `SELECT` and `DELETE` of the original, and a few words of our own.
//!
//! Phones write curly quotes and no-break spaces, people leave out the `;`. A `SELECT` is split by Leela's own splitter;
//! what its parts mean is for those who run it.

use std::time::Duration;

use common::query::error::{QueryError, Spot};
use common::query::statement::{Split, split};
use common::span::Span;

/// The name of the directory, in statements.
const DIRECTORY: &str = "leela.xmpp";

/// How long a `MUTE` without a time lasts.
const MUTE: Span = Span::from_hours(1);

/// What is said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Statement {
    /// `SELECT <proc> FROM <regex>;`
    Select(Select),
    /// `SELECT * FROM leela.xmpp;`, `LIST`
    List,
    /// `DELETE FROM leela.xmpp;`, `DELETE FROM leela.xmpp WHERE key=<key>;`, `STOP 2`, `STOP ALL`
    Stop(Which),
    /// `MUTE 2 1h`
    Mute(Which, Duration),
    /// `UNMUTE 2`
    Unmute(Which),
    /// `FORMAT json`
    Format(String),
    /// `HELP`
    Help,
}

/// A subscription to be made, as the directory keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Select {
    /// Between `SELECT` and `FROM`.
    pub proc: String,
    /// All behind the first `FROM`, without one `;` at the end; clauses are in it.
    pub regex: String,
}

impl Select {
    /// The statement that says it.
    pub fn statement(&self) -> String {
        format!("SELECT {} FROM {};", self.proc, self.regex)
    }
}

/// Which subscriptions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Which {
    /// All of the user's.
    All,
    /// The one of this number.
    Number(u32),
    /// The one of this name in the directory.
    Key(String),
}

/// A body that is no statement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wrong {
    /// The body, in the characters that were read.
    pub text: String,
    /// What is wrong with it.
    pub error: QueryError,
}

/// Reads a body.
///
/// # Errors
/// With the spot, in bytes of the text in the error.
pub fn parse(body: &str) -> Result<Statement, Wrong> {
    let text = plain(body);
    statement(&text).map_err(|error| Wrong { text, error })
}

/// The body in the characters of the language, without blanks around it.
fn plain(body: &str) -> String {
    let plain: String = body
        .chars()
        .filter(|char| !matches!(char, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}'))
        .map(|char| match char {
            '\u{201c}'..='\u{201f}' | '\u{ab}' | '\u{bb}' => '"',
            '\u{2018}'..='\u{201b}' => '\'',
            // With these no blank is left but the language's own.
            '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => ' ',
            '\u{85}' | '\u{2028}' | '\u{2029}' => '\n',
            char => char,
        })
        .collect();
    plain.trim().to_owned()
}

fn statement(text: &str) -> Result<Statement, QueryError> {
    let bare = text.trim_end_matches(|char: char| char == ';' || char.is_whitespace());
    let mut words = bare.split_whitespace();
    let first = words.next().unwrap_or_default().to_ascii_lowercase();
    let rest = || bare[bare.find(char::is_whitespace).unwrap_or(bare.len())..].trim();
    let behind = || bare.len() - rest().len();
    match first.as_str() {
        "select" => select(text),
        "delete" => delete(rest(), behind()),
        "help" | "?" if words.next().is_none() => Ok(Statement::Help),
        "list" if words.next().is_none() => Ok(Statement::List),
        "stop" => which(rest(), behind(), "stop").map(Statement::Stop),
        "unmute" => which(rest(), behind(), "unmute").map(Statement::Unmute),
        "mute" => mute(rest(), behind()),
        "format" => Ok(Statement::Format(rest().to_ascii_lowercase())),
        _ => Err(unknown(text, &first)),
    }
}

/// A first word that is none of ours: the splitter knows a misspelled `SELECT`, and says what a query is.
fn unknown(text: &str, first: &str) -> QueryError {
    let error = match split(text) {
        Err(error) => error,
        Ok(_) => wrong(Spot::new(0, first.len()), "this is no statement", ""),
    };
    QueryError { way_out: format!("{}; HELP shows what I understand", error.way_out), ..error }
}

fn wrong(at: Spot, what: &str, way_out: &str) -> QueryError {
    QueryError { at, what: what.to_owned(), way_out: way_out.to_owned() }
}

fn select(text: &str) -> Result<Statement, QueryError> {
    let parts = split(text)?;
    if parts.pipeline.text == "*" {
        if parts.regex.text.eq_ignore_ascii_case(DIRECTORY) && parts.clauses.is_none() {
            return Ok(Statement::List);
        }
        let way_out = "write a pipeline, as `id`; `SELECT * FROM leela.xmpp;` lists your subscriptions";
        return Err(wrong(parts.pipeline.spot(), "`*` is no pipeline", way_out));
    }
    let proc = one_line(parts.pipeline.text);
    Ok(Statement::Select(Select { proc, regex: one_line(from_on(text, &parts)) }))
}

/// All behind `FROM`: quotes, regex and clauses.
fn from_on<'a>(text: &'a str, parts: &Split<'_>) -> &'a str {
    let from = text[parts.pipeline.spot().end()..].trim_start();
    let start = text.len() - from.len() + "FROM".len();
    let is_quoted = parts.regex.offset > 0 && text[start..parts.regex.offset].trim_start().len() == 1;
    let end = match &parts.clauses {
        Some(clauses) => clauses.spot().end(),
        None => parts.regex.spot().end() + usize::from(is_quoted),
    };
    let all = &text[start..end];
    // A blank that is escaped at the end counts.
    all.trim_start()
}

/// A statement is one line where it is shown and kept.
fn one_line(text: &str) -> String {
    text.chars().map(|char| if matches!(char, '\t'..='\r') { ' ' } else { char }).collect()
}

fn delete(rest: &str, offset: usize) -> Result<Statement, QueryError> {
    const FORM: &str = "write `DELETE FROM leela.xmpp;` or `DELETE FROM leela.xmpp WHERE key=<key>;`";
    let length = rest.len();
    let bad = || wrong(Spot::new(offset, length), "this deletes nothing", FORM);
    let (from, rest) = word_of(rest);
    let (directory, clause) = word_of(rest);
    if !from.eq_ignore_ascii_case("from") || !directory.eq_ignore_ascii_case(DIRECTORY) {
        return Err(bad());
    }
    if clause.is_empty() {
        return Ok(Statement::Stop(Which::All));
    }
    let (word, condition) = clause.split_once(char::is_whitespace).ok_or_else(bad)?;
    let (name, key) = condition.split_once('=').ok_or_else(bad)?;
    let key = key.trim().trim_matches(['"', '\'']);
    if !word.eq_ignore_ascii_case("where") || !name.trim().eq_ignore_ascii_case("key") || key.is_empty() {
        return Err(bad());
    }
    Ok(Statement::Stop(Which::Key(key.to_owned())))
}

/// The first word of a text, and the rest.
fn word_of(text: &str) -> (&str, &str) {
    let text = text.trim();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim())
}

fn which(text: &str, offset: usize, word: &str) -> Result<Which, QueryError> {
    if text.eq_ignore_ascii_case("all") {
        return Ok(Which::All);
    }
    if let Ok(number) = text.strip_prefix('#').unwrap_or(text).parse() {
        return Ok(Which::Number(number));
    }
    if text.len() == 128 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(Which::Key(text.to_ascii_lowercase()));
    }
    let word = word.to_ascii_uppercase();
    let way_out = format!("write `{word} 2` or `{word} ALL`; LIST shows the numbers");
    Err(wrong(Spot::new(offset, text.len()), "which one is not said", &way_out))
}

fn mute(rest: &str, offset: usize) -> Result<Statement, QueryError> {
    let (first, time) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let which = which(first, offset, "mute")?;
    let time = time.trim();
    let span = match time {
        "" => MUTE,
        time => time.parse::<Span>().map_err(|error| {
            let at = Spot::new(offset + rest.len() - time.len(), time.len());
            wrong(at, &format!("`{time}` is no time: {error}"), "write `MUTE 2 1h`")
        })?,
    };
    Ok(Statement::Mute(which, span.duration()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(proc: &str, regex: &str) -> Statement {
        Statement::Select(Select { proc: proc.to_owned(), regex: regex.to_owned() })
    }

    #[test]
    fn statements_are_the_original_s_with_the_manners_of_a_chat() {
        let key = "ab".repeat(64);
        for (body, want) in [
            ("SELECT id FROM ^a$;", select("id", "^a$")),
            ("  select id\nfrom ^a$", select("id", "^a$")),
            ("SELECT\u{a0}id FROM\u{a0}^a$\u{a0};", select("id", "^a$")),
            ("SELECT id FROM\u{85} 'a'", select("id", "'a'")),
            ("SELECT window 5 (mean) | abs FROM ^Web\\.;", select("window 5 (mean) | abs", "^Web\\.")),
            ("SELECT id FROM a FROM b;", select("id", "a FROM b")),
            ("SELECT id FROM a;;", select("id", "a;")),
            ("SELECT id FROM \u{201c}a b\u{201d};", select("id", "\"a b\"")),
            ("SELECT id FROM 'a' WHERE dc=ams;", select("id", "'a' WHERE dc=ams")),
            ("SELECT id FROM a WHERE dc=ams ;", select("id", "a WHERE dc=ams")),
            (r"SELECT id FROM a\ ;", select("id", r"a\ ")),
            ("SELECT * FROM leela.xmpp;", Statement::List),
            ("select * from LEELA.xmpp", Statement::List),
            ("LIST", Statement::List),
            ("DELETE FROM leela.xmpp;", Statement::Stop(Which::All)),
            ("delete  from\nleela.xmpp", Statement::Stop(Which::All)),
            ("DELETE FROM  leela.xmpp  WHERE key=abc;", Statement::Stop(Which::Key("abc".to_owned()))),
            ("DELETE FROM leela.xmpp WHERE key=abc;", Statement::Stop(Which::Key("abc".to_owned()))),
            ("DELETE FROM leela.xmpp where key = abc", Statement::Stop(Which::Key("abc".to_owned()))),
            (
                "DELETE FROM leela.xmpp WHERE key=\u{2018}abc\u{2019};",
                Statement::Stop(Which::Key("abc".to_owned())),
            ),
            ("STOP 2", Statement::Stop(Which::Number(2))),
            ("stop #2;", Statement::Stop(Which::Number(2))),
            ("Stop all", Statement::Stop(Which::All)),
            (&format!("STOP {key}"), Statement::Stop(Which::Key(key.clone()))),
            ("MUTE 2 1h", Statement::Mute(Which::Number(2), Duration::from_secs(3600))),
            ("mute all 30m", Statement::Mute(Which::All, Duration::from_secs(1800))),
            ("MUTE 2", Statement::Mute(Which::Number(2), Duration::from_secs(3600))),
            ("UNMUTE 2", Statement::Unmute(Which::Number(2))),
            ("FORMAT JSON", Statement::Format("json".to_owned())),
            (" help ", Statement::Help),
            ("?", Statement::Help),
        ] {
            assert_eq!(parse(body), Ok(want), "{body:?}");
        }
    }

    #[test]
    fn what_is_no_statement_is_refused_at_the_spot() {
        for (body, offset, words) in [
            ("", 0, "there is no query"),
            ("hello", 0, "HELP shows what I understand"),
            ("SELCT id FROM a", 0, "did you mean `SELECT`?"),
            ("SELECT id", 9, "`FROM` is missing"),
            ("SELECT * FROM a;", 7, "`*` is no pipeline"),
            ("DELETE FROM leela.http;", 7, "this deletes nothing"),
            ("DELETE FROM leela.xmpp WHERE key=;", 7, "this deletes nothing"),
            ("DELETE FROM leela.xmpp WHERE name=a;", 7, "this deletes nothing"),
            ("DELETE", 6, "this deletes nothing"),
            ("STOP two", 5, "which one is not said"),
            ("MUTE 2 soon", 7, "`soon` is no time"),
            ("help me", 0, "HELP shows what I understand"),
        ] {
            let error = parse(body).expect_err(body).error;
            assert_eq!(error.at.offset, offset, "{body:?}: {error}");
            assert!(error.to_string().contains(words), "{body:?}: {error}");
        }
    }

    #[test]
    fn a_statement_that_is_kept_says_the_same_again() {
        for body in [
            "SELECT id FROM ^a$;",
            "SELECT id FROM \"a b\" ;",
            "select mean from a;;",
            r"SELECT id FROM a\ ;",
        ] {
            let Ok(Statement::Select(first)) = parse(body) else { panic!("{body}") };
            assert_eq!(parse(&first.statement()), Ok(Statement::Select(first.clone())), "{body}");
        }
    }

    proptest::proptest! {
        #[test]
        fn the_parser_takes_any_text(
            body: String,
            near in "( |SELECT|FROM|DELETE|STOP|MUTE|leela.xmpp|WHERE|key=|;|'|\"|\\\\|\u{201c}|a|1h|#2|ö){0,12}",
        ) {
            for body in [body, near] {
                match parse(&body) {
                    Err(wrong) => proptest::prop_assert!(wrong.error.at.end() <= wrong.text.len(), "{:?}", wrong),
                    Ok(Statement::Select(select)) => {
                        proptest::prop_assert_eq!(parse(&select.statement()), Ok(Statement::Select(select.clone())));
                    }
                    Ok(_) => {}
                }
            }
        }
    }
}
