//! JSON, and lines of it.
//!
//! ```text
//! point = {"key": K, "value": V}                 and as wanted "type" (gauge), "time" (the clock here), "tags"
//!       / {"key": K, "points": [[time, V], ...]}  many of one series
//!       / {"key": K, "note": any JSON}            and "time", "tags"
//! body  = point / [point, ...]                    or one behind the other, in lines
//! ```
//! `name` stands for `key` and `timestamp` for `time` as well. In lines what is no JSON costs its line; in an array it
//! costs what is behind it, which cannot be told apart any more.

use std::borrow::Cow;
use std::ops::Range;

use common::metric::Kind;
use common::text::number;
use common::time::{SECOND_NS, Time};
use common::value::Value;
use serde::de::IgnoredAny;

use super::{Cursor, Fault, Intake, Reason};
use crate::refusal::shown;
use crate::when;

/// Reads a body; `lines`: what is no JSON ends at the end of its line.
pub(super) fn read(body: &[u8], lines: bool, intake: &mut Intake) {
    let mut cursor = Cursor::new(body);
    while let Some(byte) = cursor.peek() {
        let start = cursor.at();
        let read = match byte {
            b'[' => cursor.elements(|cursor| point(body, cursor, intake)),
            _ => point(body, &mut cursor, intake),
        };
        if intake.is_too_large {
            return;
        }
        if let Err(Fault { at, what }) = read {
            // An object ends with the line it begins in; what came before the fault in an array is taken already.
            let from = if byte == b'[' { at } else { start };
            let end = if lines { line_end(body, from) } else { body.len() };
            intake.refuse(body, start..end, at.min(end), Reason::Json, what);
            cursor = cursor.moved(end);
        }
    }
}

fn line_end(body: &[u8], from: usize) -> usize {
    body[from..].iter().position(|byte| *byte == b'\n').map_or(body.len(), |end| from + end)
}

/// What is wrong with a point that is JSON.
struct Wrong {
    reason: Reason,
    at: usize,
    detail: Cow<'static, str>,
}

/// The fields of a point, as they stand in the body.
#[derive(Default)]
struct Fields<'a> {
    key: Option<(Cow<'a, [u8]>, usize)>,
    kind: Option<Kind>,
    value: Option<(Value, usize)>,
    time: Option<Time>,
    tags: Option<usize>,
    points: Option<usize>,
    note: Option<Range<usize>>,
}

fn point(body: &[u8], cursor: &mut Cursor<'_>, intake: &mut Intake) -> Result<(), Fault> {
    if intake.is_too_large {
        return Err(cursor.fault("too much"));
    }
    if cursor.peek() != Some(b'{') {
        let start = cursor.at();
        cursor.skip()?;
        intake.refuse(
            body,
            start..cursor.at(),
            start,
            Reason::Json,
            "a point is an object: {\"key\": \"a\", \"value\": 1}",
        );
        return Ok(());
    }
    let start = cursor.at();
    let mut fields = Fields::default();
    let mut wrong = None;
    cursor.members(|cursor, name| {
        let at = match cursor.peek() {
            Some(_) => cursor.at(),
            None => return Err(cursor.fault("a value is missing at the end")),
        };
        let read = field(name, cursor, &mut fields)?;
        if let Some(found) = read {
            cursor.at().eq(&at).then(|| cursor.skip()).transpose()?;
            wrong.get_or_insert(found);
        }
        Ok(())
    })?;
    let span = start..cursor.at();
    let end = match wrong {
        Some(wrong) => Err(wrong),
        None => take(body, &span, &fields, intake),
    };
    if let Err(Wrong { reason, at, detail }) = end {
        intake.refuse(body, span, at, reason, detail);
    }
    Ok(())
}

/// Reads the value of a field. What is wrong with it is returned, and the value is passed then, or not begun.
#[inline]
fn field<'a>(name: &[u8], cursor: &mut Cursor<'a>, fields: &mut Fields<'a>) -> Result<Option<Wrong>, Fault> {
    let at = cursor.at();
    let wrong = |reason: Reason| Some(Wrong { reason, at, detail: reason.way_out().into() });
    match name {
        b"key" | b"name" => match cursor.peek() {
            Some(b'"') => fields.key = Some((cursor.string()?, at)),
            _ => return Ok(wrong(Reason::BadKey)),
        },
        b"value" => match cursor.number()? {
            Some(value) => fields.value = Some((value, at)),
            None => return Ok(wrong(Reason::Value)),
        },
        b"time" | b"timestamp" => match time(cursor)? {
            Some(time) => fields.time = time,
            None => return Ok(wrong(Reason::Time)),
        },
        b"type" => match cursor.peek() {
            Some(b'"') => {
                let word = cursor.string()?;
                match Kind::NUMBERS.into_iter().find(|kind| kind.word().as_bytes() == &*word) {
                    Some(kind) => fields.kind = Some(kind),
                    None => {
                        let word = shown(&String::from_utf8_lossy(&word), 40);
                        let detail = format!("there is no kind `{word}`: {}", Reason::UnknownKind.way_out());
                        return Ok(Some(Wrong { reason: Reason::UnknownKind, at, detail: detail.into() }));
                    }
                }
            }
            _ => return Ok(wrong(Reason::UnknownKind)),
        },
        b"tags" => {
            fields.tags = Some(at);
            cursor.skip()?;
        }
        b"points" => {
            fields.points = Some(at);
            cursor.skip()?;
        }
        b"note" => {
            cursor.skip()?;
            fields.note = Some(at..cursor.at());
        }
        name => {
            cursor.skip()?;
            let name = shown(&String::from_utf8_lossy(name), 40);
            let detail = format!("there is no field `{name}`: {}", Reason::Field.way_out());
            return Ok(Some(Wrong { reason: Reason::Field, at, detail: detail.into() }));
        }
    }
    Ok(None)
}

/// A time: none for null, the clock's.
fn time(cursor: &mut Cursor<'_>) -> Result<Option<Option<Time>>, Fault> {
    match cursor.peek() {
        Some(b'"') => {
            let mut ahead = *cursor;
            let text = ahead.string()?;
            Ok(std::str::from_utf8(&text).ok().and_then(when::instant).map(|time| {
                *cursor = ahead;
                Some(time)
            }))
        }
        Some(b'n') if cursor.rest().starts_with(b"null") => {
            cursor.pass(4);
            Ok(Some(None))
        }
        _ => {
            if let Some((time, length)) = number::time(cursor.rest())
                && cursor.ends_at(cursor.at() + length)
            {
                cursor.pass(length);
                return Ok(Some(Some(time)));
            }
            // With an exponent.
            let mut ahead = *cursor;
            let Some(value) = ahead.number()? else { return Ok(None) };
            Ok(seconds(value).map(|time| {
                *cursor = ahead;
                Some(time)
            }))
        }
    }
}

fn seconds(value: Value) -> Option<Time> {
    let ns = (value.as_f64() * SECOND_NS as f64).round();
    // Just within what an i64 holds.
    (ns.abs() < 9.2e18).then(|| Time::from_ns(ns as i64))
}

fn take(body: &[u8], span: &Range<usize>, fields: &Fields<'_>, intake: &mut Intake) -> Result<(), Wrong> {
    let wrong = |reason: Reason, at: usize| Wrong { reason, at, detail: reason.way_out().into() };
    let Some((key, key_at)) = &fields.key else { return Err(wrong(Reason::Missing, span.start)) };
    let key = match fields.tags {
        Some(at) => Cow::Owned(with_tags(body, key, at)?),
        None => Cow::Borrowed(&**key),
    };
    let time = fields.time.unwrap_or(intake.now);
    let kind = fields.kind.unwrap_or(Kind::Gauge);
    match (fields.value, fields.points, &fields.note) {
        (Some((value, value_at)), None, None) => intake
            .metric(&key, time, kind, value)
            .map_err(|reason| wrong(reason, if reason == Reason::BadKey { *key_at } else { value_at })),
        (None, Some(at), None) => points(body, &key, *key_at, kind, at, intake),
        (None, None, Some(note)) => {
            let json = &body[note.clone()];
            if serde_json::from_slice::<IgnoredAny>(json).is_err() {
                return Err(wrong(Reason::Json, note.start));
            }
            intake
                .note(&key, time, json)
                .map_err(|reason| wrong(reason, if reason == Reason::BadKey { *key_at } else { note.start }))
        }
        (None, None, None) => Err(wrong(Reason::Missing, span.start)),
        _ => Err(Wrong {
            reason: Reason::Field,
            at: span.start,
            detail: "a point has one of value, points and note".into(),
        }),
    }
}

/// The key with the tags that stand beside it.
fn with_tags(body: &[u8], key: &[u8], at: usize) -> Result<Vec<u8>, Wrong> {
    let wrong = |at| Wrong {
        reason: Reason::BadKey,
        at,
        detail: "tags are an object of texts, whose names have no ; and =, and whose values have no ;".into(),
    };
    let mut cursor = Cursor::new(body).moved(at);
    let mut key = key.to_vec();
    let mut is_wrong = false;
    let read = cursor.members(|cursor, name| {
        if cursor.peek() != Some(b'"') {
            is_wrong = true;
            return cursor.skip();
        }
        let value = cursor.string()?;
        is_wrong |= name.is_empty() || name.iter().any(|byte| b";=".contains(byte)) || value.contains(&b';');
        key.push(b';');
        key.extend_from_slice(name);
        if !value.is_empty() {
            key.push(b'=');
            key.extend_from_slice(&value);
        }
        Ok(())
    });
    if read.is_err() || is_wrong { Err(wrong(at)) } else { Ok(key) }
}

/// `[[time, value], ...]`: each pair is a point, and stands by itself.
fn points(
    body: &[u8],
    key: &[u8],
    key_at: usize,
    kind: Kind,
    at: usize,
    intake: &mut Intake,
) -> Result<(), Wrong> {
    let wrong = |reason: Reason, at: usize| Wrong { reason, at, detail: reason.way_out().into() };
    let mut cursor = Cursor::new(body).moved(at);
    let mut bad_key = false;
    let read = cursor.elements(|cursor| {
        if bad_key || intake.is_too_large {
            return cursor.skip();
        }
        cursor.peek();
        let start = cursor.at();
        let mut ahead = *cursor;
        let pair = pair(&mut ahead, intake.now);
        cursor.skip()?;
        let taken = match pair {
            Some((time, value, value_at)) if ahead.at() == cursor.at() => {
                intake.metric(key, time, kind, value).map_err(|reason| (reason, value_at))
            }
            _ => Err((Reason::Value, start)),
        };
        match taken {
            Ok(()) => {}
            Err((Reason::BadKey, _)) => bad_key = true,
            Err((reason, at)) => {
                let detail = match reason {
                    Reason::Value => "points are pairs of a time and a number: [[1350332001.5, 0.5], ...]",
                    reason => reason.way_out(),
                };
                intake.refuse(body, start..cursor.at(), at, reason, detail);
            }
        }
        Ok(())
    });
    match read {
        _ if bad_key => Err(wrong(Reason::BadKey, key_at)),
        Ok(()) => Ok(()),
        // It was passed before, so it is JSON: what is wrong is that it is no array.
        Err(fault) => Err(wrong(Reason::Value, fault.at)),
    }
}

fn pair(cursor: &mut Cursor<'_>, now: Time) -> Option<(Time, Value, usize)> {
    cursor.eat(b'[').then_some(())?;
    cursor.peek();
    let time = time(cursor).ok()??.unwrap_or(now);
    cursor.eat(b',').then_some(())?;
    cursor.peek();
    let at = cursor.at();
    let value = cursor.number().ok()??;
    cursor.eat(b']').then_some((time, value, at))
}
