//! What is said to users: a text for people, and the JSON that the original's scripts read.

use common::query::caret;
use common::query::error::QueryError;
use common::span::Span;
use common::value::Shortest;
use serde_json::{Value, json};

use crate::config::Format;
use crate::directory::Entry;
use crate::json;
use crate::proc::{Away, Point};
use crate::utc;

/// An answer.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) json: Value,
}

/// How much a subscription gives, as leela-dmproc said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rate {
    pub(crate) at_least: bool,
    pub(crate) series: u64,
    pub(crate) per_minute: u64,
}

impl Answer {
    /// Body and what stands beside it, as its reader wants it.
    pub(crate) fn render(&self, format: Format) -> (String, Option<String>) {
        let json = json::text(&self.json);
        match format {
            Format::Text => (self.text.clone(), Some(json)),
            Format::Json => (json, None),
        }
    }
}

fn request(entry: &Entry, field: &str) -> Value {
    json!({"request": {"cmd": entry.select.statement(), "key": field}})
}

/// A subscription was entered, or is there already.
pub(crate) fn entered(entry: &Entry, field: &str, text: String) -> Answer {
    Answer { text, json: json!({"debug": request(entry, field), "results": {"key": field}, "status": 200}) }
}

/// What a user may expect of a new subscription.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    pub(crate) rate: Option<Rate>,
    /// Why nothing comes now.
    pub(crate) away: Option<Away>,
    /// Values a minute that come one by one.
    pub(crate) limit: u32,
    /// From one digest to the next.
    pub(crate) interval: Span,
}

/// The text of a new subscription: its number, and what to expect.
pub(crate) fn begun(number: u32, statement: &str, expected: &Expected) -> String {
    let Expected { rate, away, limit, interval } = *expected;
    let mut text = format!("#{number} {statement}\n");
    match rate {
        None if away == Some(Away::Absent) => {
            text.push_str("leela-dmproc does not run: values come once it does.");
        }
        None if away == Some(Away::Full) => {
            text.push_str("leela-dmproc has too many clients: values come once it has fewer.");
        }
        None => text.push_str("How many series match now is not known yet."),
        Some(Rate { at_least, series, per_minute }) => {
            let at_least = if at_least { "at least " } else { "" };
            let series = match series {
                0 => "No series matches now".to_owned(),
                1 => format!("{at_least}1 series matches now"),
                series => format!("{at_least}{series} series match now"),
            };
            let (first, rest) = series.split_at(1);
            text.push_str(&first.to_uppercase());
            text.push_str(rest);
            if per_minute > u64::from(limit) {
                let each =
                    if interval == Span::from_mins(1) { "each minute" } else { &format!("every {interval}") };
                text.push_str(&format!(
                    ", about {at_least}{per_minute} values a minute. That is over {limit}: they come as a digest {each}."
                ));
            } else if per_minute > 0 {
                let noun = if per_minute == 1 { "message" } else { "messages" };
                text.push_str(&format!(", about {at_least}{per_minute} {noun} a minute."));
            } else {
                text.push('.');
            }
        }
    }
    text.push_str(&format!(" STOP {number} ends it."));
    text
}

/// A value.
pub(crate) fn value(number: u32, entry: &Entry, field: &str, point: &Point) -> Answer {
    let Point { key, value, time } = point;
    let (value_json, timestamp) = (json::number(*value), json::number(time.as_secs_f64()));
    Answer {
        text: format!("#{number} {key} {} at {}", Shortest(*value), utc::text(*time)),
        json: json!({
            "debug": request(entry, field),
            "results": {"event": {"name": key, "timestamp": timestamp, "value": value_json}},
            "name": key,
            "timestamp": timestamp,
            "value": value_json,
            "status": 200,
        }),
    }
}

/// A digest of values.
pub(crate) fn digest(entry: &Entry, field: &str, text: String, digest: Value) -> Answer {
    Answer {
        text,
        json: json!({"debug": request(entry, field), "results": {"digest": digest}, "status": 200}),
    }
}

/// A subscription that runs no more, or never did.
pub(crate) fn bad_command(entry: &Entry, field: &str, text: String, detail: &str) -> Answer {
    let json = json!({
        "debug": request(entry, field),
        "detail": detail,
        "reason": "bad command",
        "status": 500,
    });
    Answer { text, json }
}

/// A list of subscriptions.
pub(crate) fn list(lines: &[String], entries: &[(u32, String, &Entry)]) -> Answer {
    let text = match lines {
        [] => "No subscriptions. HELP shows how to begin.".to_owned(),
        lines => lines.join("\n"),
    };
    let results: Vec<Value> = entries
        .iter()
        .map(|(_, field, entry)| json!({"cmd": entry.select.statement(), "key": field}))
        .collect();
    let json = json!({"debug": {"request": "select * from leela.xmpp;"}, "results": results, "status": 200});
    Answer { text, json }
}

/// Subscriptions were ended: all of a user's, or one.
pub(crate) fn ended(fields: &[String], text: String, all: bool) -> Answer {
    let keys: Vec<Value> = fields.iter().map(|field| json!({"key": field})).collect();
    let (request, results) = match fields {
        [field] if !all => (format!("delete from leela.xmpp where key={field};"), json!({"key": field})),
        _ => ("delete from leela.xmpp;".to_owned(), Value::Array(keys)),
    };
    Answer { text, json: json!({"debug": {"request": request}, "results": results, "status": 200}) }
}

/// What was asked by one of our own words is done.
pub(crate) fn done(request: String, text: String, results: Value) -> Answer {
    Answer { text, json: json!({"debug": {"request": request}, "results": results, "status": 200}) }
}

/// It is not.
pub(crate) fn refused(request: &str, status: u16, reason: &str, text: String) -> Answer {
    let json = json!({"debug": {"request": request}, "detail": text, "reason": reason, "status": status});
    Answer { text, json }
}

/// What was said is no statement.
pub(crate) fn parse_error(text: &str, error: &QueryError) -> Answer {
    let json = json!({
        "debug": {"request": text},
        "detail": error.to_string(),
        "offset": error.at.offset,
        "reason": "parse error",
        "status": 400,
    });
    Answer { text: caret::render(text, error).trim_end().to_owned(), json }
}

/// What there is to say.
pub(crate) fn help() -> Answer {
    const TEXT: &str = "\
Ask about what happens now, and I tell you as it does:
SELECT id FROM ^web\\.hits$;
    every value of web.hits
SELECT window 5 (mean) FROM ^cpu;
    of each series the mean of five values
SELECT id | [> 90] FROM ^disk\\.used;
    values above 90 alone
LIST shows your subscriptions and their numbers.
STOP 2 ends one, STOP ALL ends all.
MUTE 2 1h is silent about one for an hour, UNMUTE 2 no more.
FORMAT json sends JSON alone, FORMAT text this.";
    done("help".to_owned(), TEXT.to_owned(), Value::Array(Vec::new()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::Select;
    use common::query::error::Spot;
    use common::time::Time;

    fn entry() -> Entry {
        let select = Select { proc: "id".to_owned(), regex: "^a$".to_owned() };
        Entry { sender: "a@b".to_owned(), select }
    }

    #[test]
    fn answers_are_the_original_s() {
        let entry = entry();
        let point = Point { key: "a".to_owned(), value: 0.85, time: Time::from_secs(1_350_334_144) };
        let fields = ["k".to_owned()];
        for (answer, want) in [
            (
                list(&[], &[(1, "k".to_owned(), &entry)]),
                r#"{"debug": {"request": "select * from leela.xmpp;"}, "results": [{"cmd": "SELECT id FROM ^a$;", "key": "k"}], "status": 200}"#,
            ),
            (
                entered(&entry, "k", String::new()),
                r#"{"debug": {"request": {"cmd": "SELECT id FROM ^a$;", "key": "k"}}, "results": {"key": "k"}, "status": 200}"#,
            ),
            (
                value(1, &entry, "k", &point),
                r#"{"debug": {"request": {"cmd": "SELECT id FROM ^a$;", "key": "k"}}, "name": "a", "results": {"event": {"name": "a", "timestamp": 1350334144.0, "value": 0.85}}, "status": 200, "timestamp": 1350334144.0, "value": 0.85}"#,
            ),
            (
                bad_command(&entry, "k", String::new(), "no"),
                r#"{"debug": {"request": {"cmd": "SELECT id FROM ^a$;", "key": "k"}}, "detail": "no", "reason": "bad command", "status": 500}"#,
            ),
            (
                ended(&fields, String::new(), false),
                r#"{"debug": {"request": "delete from leela.xmpp where key=k;"}, "results": {"key": "k"}, "status": 200}"#,
            ),
            (
                ended(&fields, String::new(), true),
                r#"{"debug": {"request": "delete from leela.xmpp;"}, "results": [{"key": "k"}], "status": 200}"#,
            ),
            (
                refused("x", 404, "not found", "No.".to_owned()),
                r#"{"debug": {"request": "x"}, "detail": "No.", "reason": "not found", "status": 404}"#,
            ),
        ] {
            assert_eq!(json::text(&answer.json), want);
            assert_eq!(answer.render(Format::Json), (want.to_owned(), None));
        }
        assert_eq!(value(7, &entry, "k", &point).text, "#7 a 0.85 at 2012-10-15 20:49:04 UTC");
    }

    #[test]
    fn a_new_subscription_says_what_to_expect() {
        let rate = |series, per_minute| Some(Rate { at_least: false, series, per_minute });
        for (rate, away, want) in [
            (rate(3, 18), None, "3 series match now, about 18 messages a minute."),
            (rate(1, 1), None, "1 series matches now, about 1 message a minute."),
            (rate(1, 0), None, "1 series matches now."),
            (rate(0, 0), None, "No series matches now."),
            (
                rate(300, 1800),
                None,
                "300 series match now, about 1800 values a minute. That is over 20: they come as a digest each minute.",
            ),
            (
                Some(Rate { at_least: true, series: 9, per_minute: 5 }),
                None,
                "At least 9 series match now, about at least 5 messages a minute.",
            ),
            (None, None, "How many series match now is not known yet."),
            (None, Some(Away::Absent), "leela-dmproc does not run: values come once it does."),
            (None, Some(Away::Full), "leela-dmproc has too many clients: values come once it has fewer."),
        ] {
            let expected = Expected { rate, away, limit: 20, interval: Span::from_mins(1) };
            let text = begun(1, "SELECT id FROM a;", &expected);
            assert_eq!(text, format!("#1 SELECT id FROM a;\n{want} STOP 1 ends it."));
        }
        let often = Expected { rate: rate(2, 60), away: None, limit: 20, interval: Span::from_secs(90) };
        assert!(begun(1, "", &often).contains("they come as a digest every 90s."));
    }

    #[test]
    fn a_parse_error_shows_the_spot() {
        let error =
            QueryError { at: Spot::new(7, 4), what: "no `meen`".to_owned(), way_out: "mean?".to_owned() };
        let answer = parse_error("SELECT meen FROM a;", &error);
        assert_eq!(answer.text, "SELECT meen FROM a;\n       ^^^^\nno `meen`; mean?");
        assert_eq!(
            json::text(&answer.json),
            r#"{"debug": {"request": "SELECT meen FROM a;"}, "detail": "no `meen`; mean?", "offset": 7, "reason": "parse error", "status": 400}"#
        );
    }
}
