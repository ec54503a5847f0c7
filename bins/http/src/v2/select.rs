//! Which series a request is about, of when, and in which form.

use common::ask::{Selection, TESTS_MAX, TagTest, Which};
use common::query::selector::Selector;
use common::time::Time;

use crate::query::Query;
use crate::refusal::{Refusal, shown};
use crate::when;

/// `key=`, `match=` and `where=`. Without `key` and `match` all series are meant.
pub(super) fn selection(query: &Query) -> Result<Selection, Refusal> {
    let which = match (query.get("key"), query.get("match")) {
        (Some(_), Some(_)) => return Err(Refusal::wrong("parameter", "key and match exclude each other")),
        (Some(key), None) => Which::Key(key_of(key)?),
        (None, regex) => Which::Match(Box::new(selector(regex.unwrap_or_default())?)),
    };
    // One more shows that there are too many, and is not kept.
    let texts = query.all("where").flat_map(|tests| tests.split(',')).take(TESTS_MAX + 1);
    let tests: Vec<TagTest> = texts.map(test).collect::<Result<_, _>>()?;
    if tests.len() > TESTS_MAX {
        let told = format!("where: there are more than {TESTS_MAX} tests; use fewer");
        return Err(Refusal::wrong("parameter", told));
    }
    Ok(Selection { which, tests })
}

/// A key in its one form.
pub(super) fn key_of(text: &str) -> Result<String, Refusal> {
    let key = common::key::parse(text.as_bytes());
    key.map(|key| key.into_owned()).map_err(|error| Refusal::wrong("bad_key", format!("key: {error}")))
}

/// A regular expression; the answer says where it is wrong.
pub(super) fn selector(regex: &str) -> Result<Selector, Refusal> {
    Selector::parse(regex).map_err(|error| {
        Refusal::wrong("regex", format!("match: {error}"))
            .and("offset", error.at.offset as u64)
            .and("length", error.at.length as u64)
    })
}

/// `dc=ams`, `host!=web01`.
fn test(text: &str) -> Result<TagTest, Refusal> {
    let split = text.split_once("!=").map(|(tag, value)| (tag, value, true));
    match split.or_else(|| text.split_once('=').map(|(tag, value)| (tag, value, false))) {
        Some((tag, value, is_not)) if !tag.is_empty() => {
            Ok(TagTest { tag: tag.to_owned(), value: value.to_owned(), is_not })
        }
        _ => {
            let text = shown(text, 60);
            Err(Refusal::wrong("parameter", format!("where: `{text}` is no test like dc=ams or dc!=ams")))
        }
    }
}

/// A moment that a parameter names.
pub(super) fn moment(query: &Query, name: &str, now: Time) -> Result<Option<Time>, Refusal> {
    let Some(text) = query.get(name) else { return Ok(None) };
    match when::moment(text, now) {
        Some(time) => Ok(Some(time)),
        None => Err(Refusal::wrong(
            "time",
            format!(
                "{name}: `{}` is no time; write seconds since 1970, 2012-10-15T20:13:21Z, -1h or now",
                shown(text, 60)
            ),
        )),
    }
}

/// A count that a parameter names.
pub(super) fn limit(query: &Query) -> Result<Option<u64>, Refusal> {
    let limit = |text: &str| match text.parse() {
        Ok(limit) if limit > 0 => Ok(limit),
        _ => Err(Refusal::wrong("parameter", format!("limit: `{}` is no count from 1 on", shown(text, 20)))),
    };
    query.get("limit").map(limit).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_is_what_the_parameters_say() {
        let tests = |count| format!("where={}", vec!["a=b"; count].join(","));
        assert_eq!(
            selection(&Query::of(&format!("/?{}", tests(TESTS_MAX)).parse().unwrap())).unwrap().tests.len(),
            64
        );
        let too_many = tests(TESTS_MAX + 1);
        for (query, want) in [
            ("key=a;c=1;b=2", Ok("names key 9|a;b=2;c=1;")),
            ("match=^a%5C.b", Ok("names match 5|^a\\.b;")),
            ("", Ok("names match 0|;")),
            ("where=dc=ams,host!=web", Ok("names match 0| where dc=ams,host!=web;")),
            ("match=a&where=dc=ams&where=x=", Ok("names match 1|a where dc=ams,x=;")),
            ("key=a&match=b", Err("exclude")),
            ("key=", Err("key: ")),
            ("match=(", Err("match: ")),
            ("where=dc", Err("where: ")),
            ("where==a", Err("where: ")),
            (&too_many, Err("where: there are more than 64 tests")),
        ] {
            let query = Query::of(&format!("/?{query}").parse().unwrap());
            match (selection(&query), want) {
                (Ok(selection), want) => {
                    let mut out = Vec::new();
                    common::ask::Ask::Names(selection, None).write(&mut out);
                    assert_eq!(Ok(String::from_utf8(out).unwrap().as_str()), want);
                }
                (Err(refusal), want) => {
                    assert!(refusal.detail.contains(want.unwrap_err()), "{}", refusal.detail);
                    assert_eq!(refusal.status, 400);
                }
            }
        }
    }
}
