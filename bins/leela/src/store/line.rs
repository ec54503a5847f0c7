//! A record on a line: Leela's text, or JSON.
//!
//! ```text
//! {"time":1350332001.5,"key":"room.temp","value":21.5}          NaN is null, infinities are words
//! {"time":1350332001.5,"key":"deploy","note":{"version":"1.2"}}
//! {"time":1350332001.5,"key":"lat","window":10.0,"kind":1,"state":"00ff"}
//! ```

use std::borrow::Cow;
use std::io::Write as _;

use common::key;
use common::metric::{Event, Kind, Metric, Note, State};
use common::text::{self, Message, number, write_event, write_f64, write_note, write_time};
use common::time::Time;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The form of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lines {
    /// Leela's text.
    Text,
    /// JSON, an object a line.
    Json,
}

/// A record that was read.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Record {
    Event { key: String, time: Time, value: f64 },
    Note { key: String, time: Time, json: Vec<u8> },
    State { key: String, time: Time, window_ns: u64, kind: u8, bytes: Vec<u8> },
}

/// Appends an event.
pub(super) fn event(out: &mut Vec<u8>, lines: Lines, event: &Event<'_>) {
    match lines {
        Lines::Text => write_event(out, event),
        Lines::Json => {
            begin(out, event.time, event.key);
            out.extend_from_slice(b",\"value\":");
            match event.value {
                value if value.is_finite() => write_f64(out, value),
                value if value.is_nan() => out.extend_from_slice(b"null"),
                value => out.extend_from_slice(if value > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" }),
            }
            out.push(b'}');
        }
    }
    out.push(b'\n');
}

/// Appends a note.
pub(super) fn note(out: &mut Vec<u8>, lines: Lines, note: &Note<'_>) {
    // A line feed in JSON is a blank: it is in no string.
    let json: Cow<'_, [u8]> = match note.json.contains(&b'\n') || note.json.contains(&b'\r') {
        true => note.json.iter().map(|byte| if b"\n\r".contains(byte) { b' ' } else { *byte }).collect(),
        false => Cow::Borrowed(note.json),
    };
    match lines {
        Lines::Text => write_note(out, &Note { json: &json, ..*note }),
        Lines::Json => {
            begin(out, note.time, note.key);
            out.extend_from_slice(b",\"note\":");
            match serde_json::from_slice::<IgnoredAny>(&json) {
                Ok(_) => out.extend_from_slice(&json),
                Err(_) => string(out, &json),
            }
            out.push(b'}');
        }
    }
    out.push(b'\n');
}

/// Appends a state, as JSON: text has no form for it.
pub(super) fn state(out: &mut Vec<u8>, state: &State<'_>) {
    begin(out, state.time, state.key);
    out.extend_from_slice(b",\"window\":");
    write_time(out, Time::from_ns(i64::try_from(state.window_ns).unwrap_or(i64::MAX)));
    write!(out, ",\"kind\":{},\"state\":\"", state.kind).expect("a Vec takes every write");
    for byte in state.bytes {
        write!(out, "{byte:02x}").expect("a Vec takes every write");
    }
    out.extend_from_slice(b"\"}\n");
}

fn begin(out: &mut Vec<u8>, time: Time, key: &[u8]) {
    out.extend_from_slice(b"{\"time\":");
    write_time(out, time);
    out.extend_from_slice(b",\"key\":");
    string(out, key);
}

fn string(out: &mut Vec<u8>, text: &[u8]) {
    serde_json::to_writer(out, &String::from_utf8_lossy(text)).expect("a Vec takes every write");
}

/// An object of a line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object<'a> {
    key: String,
    #[serde(borrow, default, deserialize_with = "given")]
    time: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    value: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    note: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    window: Option<&'a RawValue>,
    kind: Option<u8>,
    state: Option<String>,
}

/// `null` is given, too.
fn given<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads the records of a line; a text line may hold several. The error says what is wrong, and at which byte.
pub(crate) fn read(line: &[u8], now: Time, mut each: impl FnMut(Record)) -> Result<(), (usize, String)> {
    let trimmed = line.trim_ascii();
    if trimmed.is_empty() {
        return Ok(());
    }
    if trimmed[0] == b'{' {
        return object(trimmed, now).map(each).map_err(|what| (0, what));
    }
    let mut wrong = None;
    text::messages(trimmed, now, |message| {
        let owned = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
        let record = match message {
            Ok(Message::Event(event)) => {
                Record::Event { key: owned(event.key), time: event.time, value: event.value }
            }
            Ok(Message::Note(note)) => {
                Record::Note { key: owned(note.key), time: note.time, json: note.json.to_vec() }
            }
            // A gauge is what an event is.
            Ok(Message::Metric(Metric { key, time, kind: Kind::Gauge, value, .. })) => {
                Record::Event { key: owned(key), time, value: value.as_f64() }
            }
            Ok(Message::Metric(metric)) => {
                let kind = metric.kind.word();
                let what = format!("a {kind} is no event yet: `leela send` gives it to the timeline");
                wrong.get_or_insert((0, what));
                return;
            }
            Err(refused) => {
                let at = (refused.text.as_ptr() as usize).saturating_sub(trimmed.as_ptr() as usize)
                    + refused.offset;
                wrong.get_or_insert((at, format!("{}: {}", refused.reason, refused.reason.way_out())));
                return;
            }
        };
        if wrong.is_none() {
            each(record);
        }
    });
    wrong.map_or(Ok(()), Err)
}

fn object(line: &[u8], now: Time) -> Result<Record, String> {
    let object: Object<'_> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let key = key::parse(object.key.as_bytes()).map_err(|error| error.to_string())?.into_owned();
    let time = match object.time.map(|time| time.get()) {
        None => now,
        Some(text) => match number::time(text.as_bytes()) {
            Some((time, length)) if length == text.len() => time,
            _ => return Err("the time is no number of seconds since 1970".to_owned()),
        },
    };
    match object {
        Object { value: Some(value), note: None, state: None, .. } => {
            let value = value_of(value.get()).ok_or("the value is no number, null or Infinity")?;
            Ok(Record::Event { key, time, value })
        }
        Object { value: None, note: Some(note), state: None, .. } => {
            let json = note.get().as_bytes().to_vec();
            if json.len() > Note::JSON_BYTES_MAX {
                return Err("a note has at most 8 KiB".to_owned());
            }
            Ok(Record::Note { key, time, json })
        }
        Object {
            value: None,
            note: None,
            state: Some(state),
            window: Some(window),
            kind: Some(kind),
            ..
        } => {
            let bytes = bytes_of(&state).ok_or("a state is in pairs of hexadecimal digits")?;
            if bytes.len() > State::BYTES_MAX {
                return Err("a state has at most 24 KiB".to_owned());
            }
            let window_ns = match number::time(window.get().as_bytes()) {
                Some((read, length)) if length == window.get().len() && read.ns() >= 0 => read.ns() as u64,
                _ => return Err("the window is no number of seconds".to_owned()),
            };
            Ok(Record::State { key, time, window_ns, kind, bytes })
        }
        _ => Err("a record has a `value`, a `note`, or `window`, `kind` and `state`".to_owned()),
    }
}

fn value_of(text: &str) -> Option<f64> {
    match text {
        "null" | "\"NaN\"" => Some(f64::NAN),
        "\"Infinity\"" => Some(f64::INFINITY),
        "\"-Infinity\"" => Some(f64::NEG_INFINITY),
        text => match number::value(text.as_bytes()) {
            Some((value, length)) if length == text.len() => Some(value.as_f64()),
            _ => None,
        },
    }
}

fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs
        .iter()
        .map(|pair| {
            let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
            Some((high? << 4 | low?) as u8)
        })
        .collect()
}

/// A record as JSON.
pub(crate) fn written(record: &Record) -> Vec<u8> {
    let mut out = Vec::new();
    match record {
        Record::Event { key, time, value } => {
            event(&mut out, Lines::Json, &Event { key: key.as_bytes(), time: *time, value: *value });
        }
        Record::Note { key, time, json } => {
            note(&mut out, Lines::Json, &Note { key: key.as_bytes(), time: *time, json });
        }
        Record::State { key, time, window_ns, kind, bytes } => {
            let (key, time, window_ns, kind) = (key.as_bytes(), *time, *window_ns, *kind);
            state(&mut out, &State { key, time, window_ns, kind, bytes });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(line: &[u8]) -> Result<Vec<Record>, (usize, String)> {
        let mut records = Vec::new();
        read(line, Time::from_secs(7), |record| records.push(record)).map(|()| records)
    }

    #[test]
    fn a_record_comes_back_from_its_line() {
        let time = Time::from_ns(1_350_332_001_500_000_000);
        for lines in [Lines::Text, Lines::Json] {
            for value in [21.5, -0.0, 1e300, f64::INFINITY, f64::NEG_INFINITY] {
                let mut out = Vec::new();
                event(&mut out, lines, &Event { key: b"a;b=\xc3\xb6", time, value });
                let want = Record::Event { key: "a;b=ö".into(), time, value };
                assert_eq!(all(&out), Ok(vec![want]), "{}", String::from_utf8_lossy(&out));
            }
            let mut out = Vec::new();
            event(&mut out, lines, &Event { key: b"a", time, value: f64::NAN });
            let read = all(&out).unwrap();
            assert!(matches!(read[..], [Record::Event { value, .. }] if value.is_nan()), "{read:?}");
            let mut out = Vec::new();
            note(&mut out, lines, &Note { key: b"deploy", time, json: b"{\"v\":\r\n\"1|2;\"}" });
            assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
            let json = b"{\"v\":  \"1|2;\"}".to_vec();
            assert_eq!(all(&out), Ok(vec![Record::Note { key: "deploy".into(), time, json }]));
        }
        let mut out = Vec::new();
        state(
            &mut out,
            &State { key: b"lat", time, window_ns: 10_000_000_000, kind: 3, bytes: &[0, 255, 16] },
        );
        assert_eq!(
            all(&out),
            Ok(vec![Record::State {
                key: "lat".into(),
                time,
                window_ns: 10_000_000_000,
                kind: 3,
                bytes: vec![0, 255, 16]
            }])
        );
    }

    #[test]
    fn a_line_that_is_wrong_is_told_at_its_place() {
        for (line, at, words) in [
            ("event 9|room.temp x 1.0;", 18, "value"),
            ("counter 1|a 5 1.0;", 0, "a counter is no event yet"),
            ("{\"key\":\"a\"", 0, "EOF"),
            ("{\"key\":\"\",\"value\":1}", 0, "the name is empty"),
            ("{\"key\":\"a\",\"value\":\"x\"}", 0, "the value is no number"),
            ("{\"key\":\"a\",\"valeu\":1}", 0, "unknown field"),
            ("{\"key\":\"a\",\"time\":\"1\",\"value\":1}", 0, "the time is no number"),
            ("{\"key\":\"a\",\"value\":1,\"note\":1}", 0, "a record has"),
            ("{\"key\":\"a\"}", 0, "a record has"),
            ("{\"key\":\"a\",\"window\":1,\"kind\":1,\"state\":\"0\"}", 0, "pairs"),
        ] {
            let (offset, what) = all(line.as_bytes()).unwrap_err();
            assert!(what.contains(words), "{line}: {what}");
            assert_eq!(offset, at, "{line}: {what}");
        }
        assert_eq!(all(b"  \n"), Ok(vec![]));
        assert_eq!(all(b"event 1|a 1;event 1|b 2;").unwrap().len(), 2);
    }
}
