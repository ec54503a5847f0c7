//! Reads: `{"results": {"foobar": {"series": [[1366549800, 0.0], [1366549860, 1.0]]}}, "status": 200}`.
//!
//! Times are whole seconds; of the points of a second the last one is given.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use common::ask::{Ask, Range, Selection};
use common::time::Time;
use common::wire::{Content, Header, Notes, RecordError, Runs};
use serde::de::IgnoredAny;

use super::params::Params;
use super::span::Span;
use super::{python, respond};
use crate::app::App;
use crate::json;
use crate::refusal::Refusal;
use crate::stream::{Render, Rendered, render};

/// Reads a series, or its notes.
pub(super) async fn read(
    app: &Arc<App>,
    params: &Params,
    is_data: bool,
    name: &str,
    key: String,
    span: Span,
) -> Result<Response, Refusal> {
    let content = if is_data { Content::Notes } else { Content::Events };
    let range = Range { selection: Selection::key(key), from: span.from, to: span.to, content, limit: None };
    let asking = app.storage.ask(&Ask::Range(range)).await?;
    let mut out = Vec::with_capacity(4096);
    out.extend_from_slice(params.before().as_bytes());
    out.push(b'{');
    if let Some((_, debug)) = params.debug(None) {
        out.extend_from_slice(b"\"debug\": ");
        out.extend_from_slice(&python(&debug));
        out.extend_from_slice(b", ");
    }
    out.extend_from_slice(b"\"results\": {");
    json::text(&mut out, name.as_bytes());
    out.extend_from_slice(b": {\"series\": [");
    let series = Series { keeps_nan: params.keeps_nan, last: None, is_first: true, behind: params.behind() };
    let rendered = render(asking, series, out, app.tally.clone()).await?;
    if let Rendered::Whole(_, 0) = rendered {
        return Err(Refusal::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "nothing is there of that key and time",
        ));
    }
    let cache = match (span.is_over(params.now), app.guests.is_asking()) {
        (true, false) => "public, max-age=300",
        (true, true) => "private, max-age=300",
        (false, _) => "no-cache",
    };
    Ok(respond(StatusCode::OK, rendered.into_body(), params, cache))
}

/// The pairs of a series.
struct Series {
    keeps_nan: bool,
    /// The last pair, until it is known that nothing of its second follows.
    last: Option<(i64, Value)>,
    is_first: bool,
    behind: &'static str,
}

/// What stands beside a time.
enum Value {
    Number(f64),
    /// JSON, or what was to be some.
    Note(Vec<u8>),
}

impl Series {
    #[inline]
    fn pair(&mut self, time: Time, value: Value, out: &mut Vec<u8>) {
        let second = json::second_of(time);
        if let Some((last, _)) = &self.last
            && *last != second
        {
            self.flush(out);
        }
        self.last = Some((second, value));
    }

    #[inline]
    fn flush(&mut self, out: &mut Vec<u8>) {
        let Some((second, value)) = self.last.take() else { return };
        if matches!(value, Value::Number(value) if !value.is_finite()) && !self.keeps_nan {
            return;
        }
        out.extend_from_slice(if std::mem::take(&mut self.is_first) { b"[" } else { b", [" });
        json::seconds(out, second);
        out.extend_from_slice(b", ");
        match value {
            Value::Number(value) => json::float(out, value),
            Value::Note(note) => match serde_json::from_slice::<IgnoredAny>(&note) {
                Ok(_) => out.extend_from_slice(&note),
                Err(_) => json::text(out, &note),
            },
        }
        out.push(b']');
    }
}

impl Render for Series {
    fn records(&mut self, header: &Header, records: &[u8], out: &mut Vec<u8>) -> Result<u64, RecordError> {
        let mut count = 0;
        match header.content {
            Content::Runs => {
                for run in Runs::new(records, header.count) {
                    let points = run?.points();
                    count += points.len() as u64;
                    points.for_each(|(time, value)| self.pair(time, Value::Number(value), out));
                }
            }
            Content::Notes => {
                for note in Notes::new(records, header.count) {
                    let note = note?;
                    count += 1;
                    self.pair(note.time, Value::Note(note.json.to_vec()), out);
                }
            }
            _ => {}
        }
        Ok(count)
    }

    fn end(&mut self, _: Option<&str>, out: &mut Vec<u8>) {
        self.flush(out);
        out.extend_from_slice(b"]}}, \"status\": 200}");
        out.extend_from_slice(self.behind.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(keeps_nan: bool, points: &[(f64, f64)]) -> String {
        let mut series = Series { keeps_nan, last: None, is_first: true, behind: ");" };
        let mut out = Vec::new();
        for (seconds, value) in points {
            series.pair(Time::from_ns((seconds * 1e9) as i64), Value::Number(*value), &mut out);
        }
        series.end(None, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_last_of_a_second_is_given_and_what_is_not_finite_as_asked() {
        let points =
            [(1.25, 1.0), (1.5, 2.0), (2.0, f64::NAN), (3.0, f64::INFINITY), (3.5, 4.5), (-0.5, 1.0)];
        for (keeps_nan, want) in [
            (false, "[1, 2.0], [3, 4.5], [-1, 1.0]]}}, \"status\": 200});"),
            (true, "[1, 2.0], [2, null], [3, 4.5], [-1, 1.0]]}}, \"status\": 200});"),
        ] {
            assert_eq!(rendered(keeps_nan, &points), want);
        }
    }

    #[test]
    fn a_note_is_json_or_becomes_some() {
        let mut series = Series { keeps_nan: false, last: None, is_first: true, behind: "" };
        let mut out = Vec::new();
        for (second, note) in [(1, &b"{\"a\": 1}"[..]), (2, b"{on"), (3, b"\xff")] {
            series.pair(Time::from_secs(second), Value::Note(note.to_vec()), &mut out);
        }
        series.flush(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "[1, {\"a\": 1}], [2, \"{on\"], [3, \"\u{fffd}\"]");
    }
}
