//! `GET /v2/range`: the points of one or many series.
//!
//! ```text
//! JSON    {"from": T, "to": T, "series": [{"key": K, "points": [[T, V], ...]}, ...]}
//! NDJSON  {"key": K, "time": T, "value": V}        a line a point, as /v2/write takes them
//! CSV     key,time,value
//! ```
//! Times are in seconds; a value that is not finite is null, and empty in CSV.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use common::ask::{Ask, Range};
use common::span::Span;
use common::time::Time;
use common::wire::{Content, Header, RecordError, Runs};

use super::fold::{Fold, Function};
use super::form::{Form, csv};
use super::select::{limit, moment, selection};
use crate::app::App;
use crate::json;
use crate::query::Query;
use crate::refusal::{Refusal, shown};
use crate::stream::{Render, render};

/// How far back a range begins that does not say.
const BACK: Span = Span::from_hours(1);

pub(super) async fn range(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let Asked { form, fold, ask } = asked(&uri, &headers, Time::now())?;
    let (from, to) = (ask.from, ask.to);
    let asking = app.storage.ask(&Ask::Range(ask)).await?;
    let mut out = Vec::with_capacity(4096);
    match form {
        Form::Json => {
            out.extend_from_slice(b"{\"from\":");
            json::time(&mut out, from);
            out.extend_from_slice(b",\"to\":");
            json::time(&mut out, to);
            out.extend_from_slice(b",\"series\":[");
        }
        Form::Lines => {}
        Form::Csv => out.extend_from_slice(b"key,time,value\n"),
    }
    let points = Points { form, fold, key: Vec::new(), shown: Vec::new(), is_open: false, is_first: true };
    let rendered = render(asking, points, out, app.tally.clone()).await?;
    let mut response = Response::new(rendered.into_body());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(form.content_type()));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// What a request asks for.
pub(crate) struct Asked {
    form: Form,
    fold: Option<Fold>,
    pub(crate) ask: Range,
}

/// Reads the parameters.
pub(crate) fn asked(uri: &Uri, headers: &HeaderMap, now: Time) -> Result<Asked, Refusal> {
    let query = Query::of(uri);
    query.only(&["key", "match", "where", "from", "to", "step", "fn", "limit", "format"])?;
    if query.get("key").is_none() && query.get("match").is_none() {
        return Err(Refusal::wrong(
            "parameter",
            "name series by key=, or by match= with a regular expression",
        ));
    }
    let form = Form::of(&query, headers)?;
    let to = moment(&query, "to", now)?.unwrap_or(now);
    let from = moment(&query, "from", now)?.unwrap_or_else(|| to.plus_ns(-BACK.signed_ns()));
    if from > to {
        return Err(Refusal::wrong("time", "from is behind to"));
    }
    let fold = fold(&query)?;
    let limit = limit(&query)?;
    if limit.is_some() && fold.is_some() {
        return Err(Refusal::wrong("parameter", "limit counts points as they are stored: leave step out"));
    }
    let ask = Range { selection: selection(&query)?, from, to, content: Content::Events, limit };
    Ok(Asked { form, fold, ask })
}

fn fold(query: &Query) -> Result<Option<Fold>, Refusal> {
    let function = match query.get("fn") {
        None => None,
        Some(word) => Some(Function::of(word).ok_or_else(|| {
            let word = shown(word, 20);
            Refusal::wrong("parameter", format!("fn: `{word}` is none of avg, min, max, last, sum, count"))
        })?),
    };
    match (query.get("step"), function) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(Refusal::wrong("parameter", "fn needs step=, the length of its windows")),
        (Some(step), function) => {
            let span: Result<Span, _> = step.parse();
            match span {
                Ok(span) if !span.is_zero() => Ok(Some(Fold::new(span, function.unwrap_or(Function::Avg)))),
                Ok(_) => Err(Refusal::wrong("parameter", "step: a window is longer than 0s")),
                Err(error) => Err(Refusal::wrong("parameter", format!("step: {error}"))),
            }
        }
    }
}

/// Points in a form, series after series.
struct Points {
    form: Form,
    fold: Option<Fold>,
    /// The series whose points come.
    key: Vec<u8>,
    /// The same, as it is written before each point.
    shown: Vec<u8>,
    /// A series was begun and not ended.
    is_open: bool,
    /// No point of it has been written.
    is_first: bool,
}

impl Points {
    fn begin(&mut self, key: &[u8], out: &mut Vec<u8>) {
        let is_first = self.key.is_empty();
        self.end_series(out);
        self.key.clear();
        self.key.extend_from_slice(key);
        self.is_open = true;
        self.is_first = true;
        self.shown.clear();
        match self.form {
            Form::Json => {
                out.extend_from_slice(if is_first { b"{\"key\":" } else { b",{\"key\":" });
                json::text(out, key);
                out.extend_from_slice(b",\"points\":[");
            }
            Form::Lines => {
                self.shown.extend_from_slice(b"{\"key\":");
                json::text(&mut self.shown, key);
                self.shown.extend_from_slice(b",\"time\":");
            }
            Form::Csv => {
                csv(&mut self.shown, key);
                self.shown.push(b',');
            }
        }
    }

    fn end_series(&mut self, out: &mut Vec<u8>) {
        if !std::mem::take(&mut self.is_open) {
            return;
        }
        if let Some((time, value)) = self.fold.as_mut().and_then(Fold::end) {
            self.write(time, value, out);
        }
        if self.form == Form::Json {
            out.extend_from_slice(b"]}");
        }
    }

    #[inline]
    fn point(&mut self, time: Time, value: f64, out: &mut Vec<u8>) {
        match &mut self.fold {
            None => self.write(time, value, out),
            Some(fold) => {
                if let Some((time, value)) = fold.take(time, value) {
                    self.write(time, value, out);
                }
            }
        }
    }

    #[inline]
    fn write(&mut self, time: Time, value: f64, out: &mut Vec<u8>) {
        match self.form {
            Form::Json => {
                out.extend_from_slice(if std::mem::take(&mut self.is_first) { b"[" } else { b",[" });
                json::time(out, time);
                out.push(b',');
                json::float(out, value);
                out.push(b']');
            }
            Form::Lines => {
                out.extend_from_slice(&self.shown);
                json::time(out, time);
                out.extend_from_slice(b",\"value\":");
                json::float(out, value);
                out.extend_from_slice(b"}\n");
            }
            Form::Csv => {
                out.extend_from_slice(&self.shown);
                json::time(out, time);
                out.push(b',');
                if value.is_finite() {
                    json::float(out, value);
                }
                out.push(b'\n');
            }
        }
    }
}

impl Render for Points {
    fn records(&mut self, header: &Header, records: &[u8], out: &mut Vec<u8>) -> Result<u64, RecordError> {
        let mut count = 0;
        if header.content == Content::Runs {
            for run in Runs::new(records, header.count) {
                let run = run?;
                if run.key != self.key || !self.is_open {
                    self.begin(run.key, out);
                }
                let points = run.points();
                count += points.len() as u64;
                points.for_each(|(time, value)| self.point(time, value, out));
            }
        }
        Ok(count)
    }

    fn end(&mut self, warning: Option<&str>, out: &mut Vec<u8>) {
        self.end_series(out);
        if self.form == Form::Json {
            out.push(b']');
            if let Some(warning) = warning {
                out.extend_from_slice(b",\"warning\":");
                json::text(out, warning.as_bytes());
            }
            out.push(b'}');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::wire::{Batch, HEADER_BYTES};

    fn rendered(form: Form, fold: Option<Fold>, runs: &[(&str, &[(i64, f64)])]) -> String {
        let mut points =
            Points { form, fold, key: Vec::new(), shown: Vec::new(), is_open: false, is_first: true };
        let mut out = Vec::new();
        for (key, pairs) in runs {
            let mut batch = Batch::new(Content::Runs);
            let pairs: Vec<(Time, f64)> =
                pairs.iter().map(|(second, value)| (Time::from_secs(*second), *value)).collect();
            assert_eq!(batch.run(key.as_bytes(), pairs.iter().copied()), pairs.len());
            let sealed = batch.seal(0, 0).to_vec();
            let (header, records) = Header::read(&sealed).unwrap();
            assert_eq!(records.len(), sealed.len() - HEADER_BYTES);
            assert_eq!(points.records(&header, records, &mut out), Ok(pairs.len() as u64));
        }
        points.end(Some("2 blocks"), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn points_have_three_forms() {
        let runs: &[(&str, &[(i64, f64)])] =
            &[("a", &[(1, 0.5)]), ("a", &[(2, f64::NAN)]), ("b;x=\"1,2\"", &[(61, 3.0), (121, -1.0)])];
        assert_eq!(
            rendered(Form::Json, None, runs),
            "{\"key\":\"a\",\"points\":[[1.0,0.5],[2.0,null]]},{\"key\":\"b;x=\\\"1,2\\\"\",\"points\":\
             [[61.0,3.0],[121.0,-1.0]]}],\"warning\":\"2 blocks\"}"
        );
        assert_eq!(
            rendered(Form::Lines, None, &runs[..2]),
            "{\"key\":\"a\",\"time\":1.0,\"value\":0.5}\n{\"key\":\"a\",\"time\":2.0,\"value\":null}\n"
        );
        assert_eq!(
            rendered(Form::Csv, None, runs),
            "a,1.0,0.5\na,2.0,\n\"b;x=\"\"1,2\"\"\",61.0,3.0\n\"b;x=\"\"1,2\"\"\",121.0,-1.0\n"
        );
        let fold = Fold::new(Span::from_secs(60), Function::Sum);
        assert_eq!(rendered(Form::Csv, Some(fold), &runs[..2]), "a,60.0,0.5\n");
        assert_eq!(rendered(Form::Csv, None, &[]), "");
    }
}
