//! Writes, of one key: `{"type": "gauge", "value": 0.2}`, or several in an array. All of them are taken, or none.

use std::sync::Arc;

use axum::http::StatusCode;
use common::metric::{Kind, Note};
use common::text::number;
use common::time::{SECOND_NS, Time};
use common::value::Value as Number;
use serde_json::{Map, Value, json};

use super::params::Params;
use super::{Ready, python};
use crate::app::App;
use crate::gate::Peer;
use crate::points::{Cursor, Intake, Reason};
use crate::refusal::Refusal;
use crate::write::write_all;

/// One item of a body.
enum Item {
    Metric(Time, Kind, Number),
    Note(Time, Vec<u8>),
}

/// Writes metrics, or notes.
pub(super) async fn write(
    app: &Arc<App>,
    peer: &Peer,
    params: &Params,
    is_data: bool,
    name: String,
    body: Vec<u8>,
) -> Result<Ready, Refusal> {
    let parsed: Value = serde_json::from_slice(&body).map_err(|error| {
        // Python writes NaN and Infinity, which JSON does not have.
        match Cursor::new(&body).skip() {
            Ok(()) if error.is_syntax() => wrong(Reason::NotFinite, Reason::NotFinite.way_out()),
            _ => wrong(Reason::Json, format!("the body is no JSON: {error}")),
        }
    })?;
    let items: Vec<Value> = match parsed {
        Value::Array(items) => items,
        item => vec![item],
    };
    let mut taken = Vec::with_capacity(items.len());
    let mut results = Vec::with_capacity(items.len());
    for item in &items {
        let (item, result) = read(item, &name, is_data, params.now)?;
        taken.push(item);
        results.push(Value::Object(result));
    }
    if !taken.is_empty() {
        let fill = move |intake: &mut Intake| {
            for item in &taken {
                // Each was checked before: so that all are taken, or none.
                let put = match item {
                    Item::Metric(time, kind, value) => intake.metric(name.as_bytes(), *time, *kind, *value),
                    Item::Note(time, json) => intake.note(name.as_bytes(), *time, json),
                };
                debug_assert_eq!(put, Ok(()));
            }
        };
        write_all(app, peer, params.now, false, fill).await?;
    }
    let fields = Map::from_iter([("results".to_owned(), Value::Array(results))]);
    Ok(Ready { status: StatusCode::CREATED, fields })
}

fn wrong(reason: Reason, detail: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::wrong(common::books::Label::name(reason), detail)
}

fn read(item: &Value, name: &str, is_data: bool, now: Time) -> Result<(Item, Map<String, Value>), Refusal> {
    let Value::Object(fields) = item else {
        return Err(wrong(Reason::Json, "an item is an object, like {\"type\": \"gauge\", \"value\": 0.2}"));
    };
    if let Some(other) = fields.get("name").filter(|other| *other != name) {
        return Err(wrong(Reason::BadKey, format!("the name {other} is not the one of the address")));
    }
    let time = match fields.get("timestamp") {
        None | Some(Value::Null) => now,
        Some(time) => {
            seconds(time).ok_or_else(|| wrong(Reason::Time, format!("timestamp: {time} is no time")))?
        }
    };
    let value = fields.get("value").ok_or_else(|| wrong(Reason::Missing, "the field value is missing"))?;
    let mut result = Map::new();
    result.insert("name".into(), name.into());
    result.insert("timestamp".into(), json!(time.as_secs_f64()));
    if is_data {
        let json = python(value);
        if json.len() > Note::JSON_BYTES_MAX {
            return Err(wrong(Reason::Json, format!("value: {} bytes, at most 8,192 are kept", json.len())));
        }
        result.insert("value".into(), value.clone());
        return Ok((Item::Note(time, json), result));
    }
    let word = fields.get("type").ok_or_else(|| wrong(Reason::Missing, "the field type is missing"))?;
    let kind = Kind::NUMBERS.into_iter().find(|kind| word == kind.word());
    let kind = kind.ok_or_else(|| {
        wrong(Reason::UnknownKind, format!("type: {word}; {}", Reason::UnknownKind.way_out()))
    })?;
    let number =
        number_of(value).ok_or_else(|| wrong(Reason::Value, format!("value: {value} is no number")))?;
    if !number.is_finite() {
        return Err(wrong(Reason::NotFinite, Reason::NotFinite.way_out()));
    }
    result.insert("type".into(), kind.word().into());
    result.insert("value".into(), json!(number.as_f64()));
    Ok((Item::Metric(time, kind, number), result))
}

/// A number, or a text that is one: what the original's `float()` took.
fn number_of(value: &Value) -> Option<Number> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        _ => return None,
    };
    number::value(text.as_bytes()).filter(|(_, length)| *length == text.len()).map(|(value, _)| value)
}

fn seconds(value: &Value) -> Option<Time> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        _ => return None,
    };
    if let Some((time, length)) = number::time(text.as_bytes())
        && length == text.len()
    {
        return Some(time);
    }
    let ns = (number_of(value)?.as_f64() * SECOND_NS as f64).round();
    (ns.abs() < 9.2e18).then_some(Time::from_ns(ns as i64))
}
