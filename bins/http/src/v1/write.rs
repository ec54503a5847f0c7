//! Writes, of one key: `{"type": "gauge", "value": 0.2}`, or several in an array. All of them are taken, or none.
//!
//! Items are read one after the other where they lie: no tree is built of a body, for a small one that is packed may
//! have millions of nodes.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use axum::http::StatusCode;
use common::metric::{Kind, Note};
use common::text::number;
use common::time::{SECOND_NS, Time};
use common::value::Value as Number;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::params::Params;
use super::{Ready, write_python};
use crate::app::App;
use crate::body::{Content, Share};
use crate::gate::Peer;
use crate::points::{Cursor, Intake, Reason};
use crate::refusal::Refusal;
use crate::write::write_all;

/// The longest value that is looked at. A note is shorter, also with each of its characters escaped.
const VALUE_BYTES_MAX: usize = 8 * Note::JSON_BYTES_MAX;

/// A body up to here is read where it came in.
const LIGHT_BYTES_MAX: usize = 64 * 1024;

/// One item of a body.
#[derive(Debug)]
pub(super) enum Item {
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
    content: Content,
) -> Result<Ready, Refusal> {
    let Content { bytes, mut share } = content;
    // Others go on meanwhile.
    let read = match bytes.len() > LIGHT_BYTES_MAX {
        true => tokio::task::block_in_place(|| items(&bytes, &name, is_data, params.now, &mut share)),
        false => items(&bytes, &name, is_data, params.now, &mut share),
    };
    let Items { taken, results, .. } = read?;
    drop(bytes);
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
    Ok(Ready { status: StatusCode::CREATED, fields: Map::new(), results: Some((results, share)) })
}

fn wrong(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::wrong(common::books::Label::name(reason), detail)
}

fn no_json(body: &[u8], error: &serde_json::Error) -> Refusal {
    // Python writes NaN and Infinity, which JSON does not have.
    match Cursor::new(body).skip() {
        Ok(()) if error.is_syntax() => wrong(Reason::NotFinite, Reason::NotFinite.way_out()),
        _ => wrong(Reason::Json, format!("the body is no JSON: {error}")),
    }
}

/// What was read of a body.
#[derive(Debug)]
pub(super) struct Items<'a> {
    pub(super) taken: Vec<Item>,
    /// What is answered of each, as JSON, with commas between.
    pub(super) results: Vec<u8>,
    name: &'a str,
    is_data: bool,
    now: Time,
    share: &'a mut Share,
}

/// Reads all items. What they take beside the body is taken of the memory for bodies.
pub(super) fn items<'a>(
    body: &[u8],
    name: &'a str,
    is_data: bool,
    now: Time,
    share: &'a mut Share,
) -> Result<Items<'a>, Refusal> {
    let mut items = Items { taken: Vec::new(), results: Vec::new(), name, is_data, now, share };
    let mut refusal = None;
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = match Cursor::new(body).peek() {
        Some(b'[') => json.deserialize_seq(Each(&mut items, &mut refusal)),
        _ => <&RawValue>::deserialize(&mut json).map(|item| refusal = items.take(item).err()),
    };
    read.and_then(|()| json.end()).map_err(|error| no_json(body, &error))?;
    refusal.map_or(Ok(items), Err)
}

/// Takes items until one is refused; what follows has to be JSON, and nothing else.
struct Each<'e, 'a>(&'e mut Items<'a>, &'e mut Option<Refusal>);

impl<'de> Visitor<'de> for Each<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(item) = seq.next_element::<&RawValue>()? {
            if self.1.is_none() {
                *self.1 = self.0.take(item).err();
            }
        }
        Ok(())
    }
}

/// The fields of an item, as they stand in it; of one that is there twice the last.
#[derive(Default)]
struct Fields<'a> {
    name: Option<&'a RawValue>,
    timestamp: Option<&'a RawValue>,
    kind: Option<&'a RawValue>,
    value: Option<&'a RawValue>,
}

impl<'de> Visitor<'de> for Fields<'de> {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Fields<'de>, A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            let field = match name.as_str() {
                "name" => &mut self.name,
                "timestamp" => &mut self.timestamp,
                "type" => &mut self.kind,
                "value" => &mut self.value,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *field = Some(map.next_value()?);
        }
        Ok(self)
    }
}

/// A field's value, which is short.
fn short(field: Option<&RawValue>) -> Result<Option<Value>, Refusal> {
    let Some(text) = field.map(RawValue::get) else { return Ok(None) };
    if text.len() > VALUE_BYTES_MAX {
        return Err(wrong(Reason::Json, format!("a field of {} bytes, at most 8,192 are kept", text.len())));
    }
    serde_json::from_str(text).map(Some).map_err(|error| no_json(text.as_bytes(), &error))
}

impl Items<'_> {
    fn take(&mut self, item: &RawValue) -> Result<(), Refusal> {
        let (item, result) = self.read(item)?;
        if !self.results.is_empty() {
            self.results.extend_from_slice(b", ");
        }
        write_python(&Value::Object(result), &mut self.results);
        let kept = match &item {
            Item::Note(_, json) => json.len(),
            Item::Metric(..) => 0,
        };
        self.taken.push(item);
        // What it answers is there twice for a moment.
        self.share.more(kept + size_of::<Item>(), self.results.len() * 2)
    }

    fn read(&self, item: &RawValue) -> Result<(Item, Map<String, Value>), Refusal> {
        let text = item.get();
        if !text.starts_with('{') {
            return Err(wrong(
                Reason::Json,
                "an item is an object, like {\"type\": \"gauge\", \"value\": 0.2}",
            ));
        }
        let fields = serde_json::Deserializer::from_str(text).deserialize_map(Fields::default());
        let fields = fields.map_err(|error| no_json(text.as_bytes(), &error))?;
        if let Some(other) = short(fields.name)?.filter(|other| *other != self.name) {
            return Err(wrong(Reason::BadKey, format!("the name {other} is not the one of the address")));
        }
        let time = match short(fields.timestamp)? {
            None | Some(Value::Null) => self.now,
            Some(time) => {
                seconds(&time).ok_or_else(|| wrong(Reason::Time, format!("timestamp: {time} is no time")))?
            }
        };
        let value =
            short(fields.value)?.ok_or_else(|| wrong(Reason::Missing, "the field value is missing"))?;
        let mut result = Map::new();
        result.insert("name".into(), self.name.into());
        result.insert("timestamp".into(), json!(time.as_secs_f64()));
        if self.is_data {
            let json = super::python(&value);
            if json.len() > Note::JSON_BYTES_MAX {
                let detail = format!("value: {} bytes, at most 8,192 are kept", json.len());
                return Err(wrong(Reason::Json, detail));
            }
            result.insert("value".into(), value);
            return Ok((Item::Note(time, json), result));
        }
        let word = short(fields.kind)?.ok_or_else(|| wrong(Reason::Missing, "the field type is missing"))?;
        let kind = Kind::NUMBERS.into_iter().find(|kind| word == kind.word());
        let kind = kind.ok_or_else(|| {
            wrong(Reason::UnknownKind, format!("type: {word}; {}", Reason::UnknownKind.way_out()))
        })?;
        let number =
            number_of(&value).ok_or_else(|| wrong(Reason::Value, format!("value: {value} is no number")))?;
        if !number.is_finite() {
            return Err(wrong(Reason::NotFinite, Reason::NotFinite.way_out()));
        }
        result.insert("type".into(), kind.word().into());
        result.insert("value".into(), json!(number.as_f64()));
        Ok((Item::Metric(time, kind, number), result))
    }
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
