//! Reads an ask.

use super::tag::is_plain;
use super::{Ask, Range, Selection, TESTS_MAX, TagTest, Which};
use crate::key;
use crate::query::cursor::Cursor;
use crate::query::error::{QueryError, Spot, meant, quoted};
use crate::query::selector::Selector;
use crate::text::number;
use crate::time::Time;
use crate::wire::Content;

const WORDS: [&str; 9] =
    ["range", "series", "names", "tags", "stats", "delete", "verify", "snapshot", "import"];

/// The whole payload as one ask.
pub(super) fn ask(payload: &[u8]) -> Result<Ask, QueryError> {
    let mut cursor = Cursor::new(payload);
    let ask = match cursor.word() {
        b"range" => {
            let which = which(&mut cursor)?;
            let (from, to) = (time(&mut cursor)?, time(&mut cursor)?);
            let options = Options::read(&mut cursor, &["events", "states", "notes", "limit", "where"])?;
            let selection = Selection { which, tests: options.tests };
            let content = options.content.unwrap_or(Content::Events);
            Ask::Range(Range { selection, from, to, content, limit: options.limit })
        }
        b"series" => {
            let (selection, limit) = limited(&mut cursor)?;
            Ask::Series(selection, limit)
        }
        b"names" => {
            let (selection, limit) = limited(&mut cursor)?;
            Ask::Names(selection, limit)
        }
        b"tags" => Ask::Tags(if cursor.eat(b" ") { Some(text(&mut cursor, "tag")?) } else { None }),
        b"stats" => Ask::Stats,
        b"delete" => {
            let which = which(&mut cursor)?;
            let options = Options::read(&mut cursor, &["where", "dry-run"])?;
            Ask::Delete { selection: Selection { which, tests: options.tests }, is_dry: options.is_dry }
        }
        b"verify" => Ask::Verify,
        b"snapshot" => {
            blank(&mut cursor, "a directory with its length stands here")?;
            Ask::Snapshot(text(&mut cursor, "directory")?)
        }
        b"import" => Ask::Import,
        word => {
            let way_out = meant(word, WORDS).map_or_else(
                || format!("a store can be asked for {}", WORDS.join(", ")),
                |word| format!("did you mean `{word}`?"),
            );
            let spot = if word.is_empty() { cursor.next_token() } else { cursor.since(0) };
            let what = if word.is_empty() { "an ask stands here".to_owned() } else { unknown(word) };
            return Err(QueryError::new(spot, what, way_out));
        }
    };
    if !cursor.eat(b";") {
        let what = "the `;` at the end is missing";
        return Err(QueryError::new(cursor.until_end(), what, "write it behind the ask"));
    }
    if !cursor.is_done() {
        let what = "a frame holds one ask";
        return Err(QueryError::new(cursor.until_end(), what, "take away what follows the first `;`"));
    }
    Ok(ask)
}

fn unknown(word: &[u8]) -> String {
    format!("a store does not know {}", quoted(word))
}

fn blank(cursor: &mut Cursor<'_>, what: &str) -> Result<(), QueryError> {
    if cursor.eat(b" ") {
        return Ok(());
    }
    Err(QueryError::new(cursor.next_token(), what, "exactly one blank stands between the parts of an ask"))
}

fn limited(cursor: &mut Cursor<'_>) -> Result<(Selection, Option<u64>), QueryError> {
    let which = which(cursor)?;
    let options = Options::read(cursor, &["limit", "where"])?;
    Ok((Selection { which, tests: options.tests }, options.limit))
}

/// `LEN|TEXT`, UTF-8, and where it begins.
fn text_at(cursor: &mut Cursor<'_>, what: &str) -> Result<(usize, String), QueryError> {
    let gap = cursor.next_token();
    let Some((start, text)) = cursor.text() else {
        let mut ahead = *cursor;
        let spot = if ahead.integer().is_some() && ahead.eat(b"|") { cursor.until_end() } else { gap };
        let what = format!("a {what} with its length stands here");
        return Err(QueryError::new(spot, what, "write `LEN|TEXT`, LEN is its bytes: `4|^web`"));
    };
    match std::str::from_utf8(text) {
        Ok(text) => Ok((start, text.to_owned())),
        Err(error) => {
            let spot = Spot::new(start + error.valid_up_to(), error.error_len().unwrap_or(1));
            Err(QueryError::new(
                spot,
                format!("a {what} is UTF-8"),
                "so are keys: no other byte can be in one",
            ))
        }
    }
}

fn text(cursor: &mut Cursor<'_>, what: &str) -> Result<String, QueryError> {
    text_at(cursor, what).map(|(_, text)| text)
}

fn which(cursor: &mut Cursor<'_>) -> Result<Which, QueryError> {
    const WAY_OUT: &str = "write `key LEN|KEY` or `match LEN|REGEX`";
    blank(cursor, "which series is missing")?;
    let start = cursor.at();
    match cursor.word() {
        b"key" => {
            blank(cursor, "a key with its length stands here")?;
            let (at, text) = text_at(cursor, "key")?;
            match key::parse(text.as_bytes()) {
                Ok(key) => Ok(Which::Key(key.into_owned())),
                Err(error) => Err(QueryError::new(
                    Spot::new(at, text.len()),
                    error.to_string(),
                    "a key is `name` or `name;tag=value`",
                )),
            }
        }
        b"match" => {
            blank(cursor, "a regex with its length stands here")?;
            let (at, text) = text_at(cursor, "regex")?;
            let selector = Selector::parse(&text).map_err(|error| error.moved(at))?;
            Ok(Which::Match(Box::new(selector)))
        }
        word => {
            let spot = if word.is_empty() { cursor.next_token() } else { cursor.since(start) };
            Err(QueryError::new(spot, "series are selected by `key` or `match`", WAY_OUT))
        }
    }
}

fn time(cursor: &mut Cursor<'_>) -> Result<Time, QueryError> {
    blank(cursor, "a time stands here")?;
    let (spot, token) = (cursor.next_token(), cursor.token());
    match number::time(token) {
        Some((time, length)) if length == token.len() => Ok(time),
        _ => Err(QueryError::new(spot, "this is no time", "write seconds since 1970: `1350332001.5`")),
    }
}

/// What may follow, each once, in any order.
#[derive(Default)]
struct Options {
    content: Option<Content>,
    limit: Option<u64>,
    tests: Vec<TagTest>,
    is_dry: bool,
}

impl Options {
    fn read(cursor: &mut Cursor<'_>, known: &[&str]) -> Result<Options, QueryError> {
        let mut options = Options::default();
        let mut seen: Vec<&[u8]> = Vec::new();
        while cursor.eat(b" ") {
            let start = cursor.at();
            let word = cursor.take_while(|byte| byte.is_ascii_lowercase() || byte == b'-');
            let spot = if word.is_empty() { cursor.next_token() } else { cursor.since(start) };
            if !known.iter().any(|known| known.as_bytes() == word) {
                let way_out = meant(word, known.iter().copied()).map_or_else(
                    || format!("here may stand {}", known.join(", ")),
                    |word| format!("did you mean `{word}`?"),
                );
                return Err(QueryError::new(spot, format!("{} is not known here", quoted(word)), way_out));
            }
            let is_kind = |word: &[u8]| matches!(word, b"events" | b"states" | b"notes");
            if seen.iter().any(|seen| *seen == word || (is_kind(seen) && is_kind(word))) {
                let what = format!("{} is said twice", quoted(word));
                return Err(QueryError::new(spot, what, "say each once"));
            }
            seen.push(word);
            match word {
                b"events" => options.content = Some(Content::Events),
                b"states" => options.content = Some(Content::States),
                b"notes" => options.content = Some(Content::Notes),
                b"dry-run" => options.is_dry = true,
                b"limit" => options.limit = Some(limit(cursor)?),
                _ => options.tests = tests(cursor)?,
            }
        }
        Ok(options)
    }
}

fn limit(cursor: &mut Cursor<'_>) -> Result<u64, QueryError> {
    blank(cursor, "a number stands here")?;
    let spot = cursor.next_token();
    let no_limit = || QueryError::new(spot, "this is no limit", "write how many records: `limit 100`");
    cursor.integer().ok_or_else(no_limit)
}

fn tests(cursor: &mut Cursor<'_>) -> Result<Vec<TagTest>, QueryError> {
    blank(cursor, "a test of a tag stands here")?;
    let mut tests = Vec::new();
    loop {
        let start = cursor.at();
        let tag = part(cursor)?;
        if tag.is_empty() {
            let what = "a tag has a name";
            return Err(QueryError::new(cursor.next_token(), what, "write `where tag=value`"));
        }
        let is_not = cursor.eat(b"!=");
        if !is_not && !cursor.eat(b"=") {
            let what = "a tag is tested by `=` or `!=`";
            return Err(QueryError::new(cursor.next_token(), what, "write `where tag=value`"));
        }
        let value = part(cursor)?;
        if tests.len() == TESTS_MAX {
            return Err(QueryError::new(cursor.since(start), "there are more than 64 tests", "use fewer"));
        }
        tests.push(TagTest { tag, value, is_not });
        if !cursor.eat(b",") {
            return Ok(tests);
        }
    }
}

/// A tag or a value; `LEN|TEXT`, when there is a `|` behind digits.
fn part(cursor: &mut Cursor<'_>) -> Result<String, QueryError> {
    let start = cursor.at();
    let plain = cursor.take_while(is_plain);
    if cursor.peek() == Some(b'|') {
        let mut again = cursor.back_to(start);
        let text = text(&mut again, "tag or value");
        *cursor = again;
        return text;
    }
    match std::str::from_utf8(plain) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(QueryError::new(
            cursor.since(start),
            "tags are UTF-8",
            "so are keys: nothing else can be in one",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ask_is_what_it_makes_again() {
        for payload in [
            "range key 4|load 0.0 1350332001.5 events;",
            "range match 4|^web -1.5 9223372036.854775807 states limit 10;",
            "range match 0| 0.0 1.0 notes limit 0 where dc=ams;",
            "series match 4|^web;",
            "series key 10|web;dc=ams limit 18446744073709551615;",
            "names match 1|. limit 100 where dc=ams,host!=web01,rack=;",
            "names match 1|. where 3|a b=5|x,y;z,größe!=3|0|1;",
            "tags;",
            "tags 2|dc;",
            "stats;",
            "delete match 6|^old\\. where dc=ams dry-run;",
            "delete key 3|old;",
            "verify;",
            "snapshot 10|/tmp/a b;c;",
            "import;",
        ] {
            let ask = Ask::parse(payload.as_bytes()).unwrap_or_else(|error| panic!("{payload}: {error}"));
            let mut out = Vec::new();
            ask.write(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), payload);
            assert!(payload.starts_with(ask.word()));
        }
    }

    #[test]
    fn what_may_be_left_out_has_a_meaning() {
        let Ok(Ask::Range(range)) = Ask::parse(b"range match 1|. 1 2;") else { panic!("no range") };
        assert_eq!((range.from, range.to), (Time::from_secs(1), Time::from_secs(2)));
        assert_eq!((range.content, range.limit, range.selection.tests.len()), (Content::Events, None, 0));
        // In any order, and a key in its one form.
        let ask = Ask::parse(b"range key 9|a;c=2;b=1 1 2 where b=1 limit 7 notes;");
        let Ok(Ask::Range(range)) = ask else { panic!("{ask:?}") };
        assert_eq!((range.content, range.limit), (Content::Notes, Some(7)));
        assert!(matches!(&range.selection.which, Which::Key(key) if key == "a;b=1;c=2"));
        let ask = Ask::parse(b"delete match 1|. dry-run where a=1;");
        assert!(matches!(ask, Ok(Ask::Delete { is_dry: true, .. })), "{ask:?}");
    }

    #[test]
    fn an_ask_that_is_wrong_is_refused_at_the_spot() {
        let many = format!("names match 1|. where {};", vec!["a=1"; 65].join(","));
        for (payload, offset, length, words) in [
            ("", 0, 0, "an ask stands here"),
            (";", 0, 1, "an ask stands here"),
            ("rang match 1|. 1 2;", 0, 4, "did you mean `range`?"),
            ("select;", 0, 6, "can be asked for range"),
            ("stats", 5, 0, "the `;` at the end is missing"),
            ("stats;stats;", 6, 6, "one ask"),
            ("stats all;", 5, 5, "the `;` at the end is missing"),
            ("range;", 5, 1, "which series is missing"),
            ("range glob 1|* 1 2;", 6, 4, "`key` or `match`"),
            ("range match web 1 2;", 12, 3, "a regex with its length"),
            ("range match 99|web 1 2;", 12, 11, "a regex with its length"),
            ("range match 4|web( 1 2;", 17, 1, "unclosed group"),
            ("range key 0| 1 2;", 12, 0, "the name is empty"),
            ("range match 1|. yesterday 2;", 16, 9, "this is no time"),
            ("range match 1|. 1;", 17, 1, "a time stands here"),
            ("range match 1|. 1 2 metrics;", 20, 7, "`metrics` is not known here"),
            ("range match 1|. 1 2 event;", 20, 5, "did you mean `events`?"),
            ("range match 1|. 1 2 events notes;", 27, 5, "said twice"),
            ("range match 1|. 1 2 dry-run;", 20, 7, "not known here"),
            ("range match 1|. 1 2 limit x;", 26, 1, "this is no limit"),
            ("series match 1|. limit 1 limit 2;", 25, 5, "said twice"),
            ("names match 1|. where =1;", 22, 2, "a tag has a name"),
            ("names match 1|. where a;", 23, 1, "tested by `=` or `!=`"),
            ("names match 1|. where a=9|b;", 24, 4, "a tag or value with its length"),
            ("names match 1|. where a=1 b=2;", 26, 1, "not known here"),
            (&many, many.len() - 4, 3, "more than 64 tests"),
            ("tags dc;", 5, 2, "a tag with its length"),
            ("snapshot;", 8, 1, "a directory with its length"),
            ("delete match 1|. limit 3;", 17, 5, "not known here"),
        ] {
            let error = Ask::parse(payload.as_bytes()).expect_err(payload);
            assert_eq!(error.at, Spot::new(offset, length), "{payload:?}: {error}");
            assert!(error.to_string().contains(words), "{payload:?}: {error}");
        }
        let error = Ask::parse(b"tags 2|a\xff;").unwrap_err();
        assert_eq!((error.at, error.what.as_str()), (Spot::new(8, 1), "a tag is UTF-8"));
        let error = Ask::parse(b"names match 1|. where a=\xff;").unwrap_err();
        assert_eq!((error.at, error.what.as_str()), (Spot::new(24, 1), "tags are UTF-8"));
    }

    proptest::proptest! {
        #[test]
        fn the_reader_takes_any_bytes(
            bytes: Vec<u8>,
            near in "(range |series |names |match |key |where |limit |[0-9]|1\\|.|\\||=|!=|,|;| |a|dry-run){0,14}",
        ) {
            for payload in [bytes, near.into_bytes()] {
                match Ask::parse(&payload) {
                    Ok(ask) => {
                        let mut out = Vec::new();
                        ask.write(&mut out);
                        proptest::prop_assert!(Ask::parse(&out).is_ok());
                    }
                    Err(error) => proptest::prop_assert!(error.at.end() <= payload.len(), "{:?}", error),
                }
            }
        }

        #[test]
        fn any_tag_and_value_can_be_tested(tag in "\\PC{1,8}", value in "\\PC{0,8}", is_not: bool) {
            let test = TagTest { tag, value, is_not };
            let selection = Selection { tests: vec![test.clone(), test.clone()], ..Selection::key("a") };
            let mut out = Vec::new();
            Ask::Names(selection, None).write(&mut out);
            match Ask::parse(&out) {
                Ok(Ask::Names(read, None)) => proptest::prop_assert_eq!(read.tests, vec![test.clone(), test]),
                other => proptest::prop_assert!(false, "{:?}", other),
            }
        }
    }
}
