//! Messages: `<word> <length>|<key> <value>[ <time>];`, one behind the other.
//!
//! ```text
//! metric = kind SP str WS val [WS time] ";"
//! kind   = "gauge" / "counter" / "derive" / "absolute" / "adjust"
//! many   = ("count" / "sample") SP str WS val [WS "@" weight] [WS time] ";"    ; it stands for so many
//! member = "member" SP str WS str [WS time] ";"         ; the second str is an element of a set
//! event  = "event" SP str WS val [WS time] ";"
//! note   = "data" SP str WS str [WS time] ";"           ; the second str is JSON
//! str    = 1*DIGIT "|" n*OCTET                          ; n is the number before the bar, it counts octets
//! WS     = SP / TAB / LF / VT / FF / CR                 ; exactly one
//! ```
//!
//! Between messages blanks and newlines may stand. What is no message ends at the next `;` that the end, a
//! newline or a known word follows, or at a newline that a known word follows: so a wrong length costs only
//! itself. What is refused only for what it says (`nan`) ends at its own `;`.

use std::borrow::Cow;
use std::ops::Range;

use super::number;
use super::refused::{Reason, Refused};
use crate::key::{self, KeyError};
use crate::metric::{Event, Kind, MEMBER_BYTES_MAX, Metric, Note, Weight};
use crate::time::Time;
use crate::value::Value;

/// One message of Leela's text.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Message<'a> {
    /// For the timeline.
    Metric(Metric<'a>),
    /// From the timeline.
    Event(Event<'a>),
    /// An annotation.
    Note(Note<'a>),
}

/// Reads every message of `datagram`: each one, and each piece that is none, goes to `each`, in order. A
/// time that is missing is `now`.
pub fn messages(datagram: &[u8], now: Time, mut each: impl FnMut(Result<Message<'_>, Refused<'_>>)) {
    scan(datagram, now, |_, message| each(message));
}

/// As [`messages`], for readers that take metrics alone: all else is [`Reason::UnknownKind`].
pub fn metrics(datagram: &[u8], now: Time, mut each: impl FnMut(Result<Metric<'_>, Refused<'_>>)) {
    scan(datagram, now, |span, message| match message {
        Ok(Message::Metric(metric)) => each(Ok(metric)),
        Ok(Message::Event(_) | Message::Note(_)) => {
            each(Err(Refused { reason: Reason::UnknownKind, offset: 0, text: &datagram[span] }));
        }
        Err(refused) => each(Err(refused)),
    });
}

/// True when `text` begins as a message does. Words that the original does not know need a length behind
/// them, since `data in: 5` is a line of the legacy form.
pub(super) fn begins(text: &[u8]) -> bool {
    match word(text) {
        Some((Word::Metric(Kind::Gauge | Kind::Counter | Kind::Derive | Kind::Absolute), _)) => true,
        Some((_, end)) => {
            let (_, stop) = number::digits(text, end, 0);
            stop > end && text.get(stop) == Some(&b'|')
        }
        None => false,
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Word {
    Metric(Kind),
    Event,
    Note,
    Member,
}

/// A message as it stands in the text, its key not yet checked.
struct Frame<'a> {
    key: &'a [u8],
    key_at: usize,
    body: Body<'a>,
    time: Time,
    /// Behind the `;`.
    end: usize,
}

#[derive(Clone, Copy)]
enum Body<'a> {
    Metric(Kind, Value),
    Weighted(Kind, Value, Weight),
    Member(&'a [u8]),
    Event(f64),
    Note(&'a [u8]),
}

/// Why there is no message, and where in the text; `end` is where it ends when that is certain.
struct Fault {
    reason: Reason,
    offset: usize,
    end: Option<usize>,
}

impl Fault {
    fn at(reason: Reason, offset: usize) -> Fault {
        Fault { reason, offset, end: None }
    }
}

/// Hands every message and every refused piece to `each`, with its place; between them are only blanks.
#[inline]
pub(super) fn scan(
    datagram: &[u8],
    now: Time,
    mut each: impl FnMut(Range<usize>, Result<Message<'_>, Refused<'_>>),
) {
    let datagram = &datagram[..datagram.len() - blanks(datagram.iter().rev())];
    let mut start = 0;
    while start < datagram.len() {
        start += blanks(datagram[start..].iter());
        let text = &datagram[start..];
        let (fault, reach) = match frame(text, now) {
            Ok(frame) => match one_form(frame.key) {
                Ok(key) => {
                    let span = start..start + frame.end;
                    start = span.end;
                    each(span, Ok(frame.message(&key)));
                    continue;
                }
                Err(_) => (Fault::at(Reason::BadKey, frame.key_at), frame.key_at + frame.key.len()),
            },
            Err(fault @ Fault { offset, .. }) => (fault, offset),
        };
        let text = &text[..fault.end.unwrap_or_else(|| plausible_end(text))];
        let span = start..start + text.len();
        start = span.end;
        // Reading that went past the piece was led there by a wrong length.
        let (reason, offset) =
            if reach > text.len() { (Reason::Length, length_at(text)) } else { (fault.reason, fault.offset) };
        each(span, Err(Refused { reason, offset, text }));
    }
}

/// The message `text` begins with.
#[inline]
fn frame(text: &[u8], now: Time) -> Result<Frame<'_>, Fault> {
    let Some((word, word_end)) = word(text) else {
        return Err(Fault::at(Reason::UnknownKind, 0));
    };
    let (key_at, key_end) = counted(text, word_end)?;
    if !text.get(key_end).copied().is_some_and(is_blank) {
        return Err(Fault::at(Reason::Length, word_end));
    }
    let body_at = key_end + 1;
    let (body, body_end) = match word {
        Word::Note => {
            let (json_at, json_end) = counted(text, body_at)?;
            (Body::Note(&text[json_at..json_end]), json_end)
        }
        Word::Member => {
            let (member_at, member_end) = counted(text, body_at)?;
            (Body::Member(&text[member_at..member_end]), member_end)
        }
        _ => {
            let Some((value, bytes)) = number::value(&text[body_at..]) else {
                return Err(Fault::at(Reason::Value, body_at));
            };
            let end = body_at + bytes;
            match word {
                Word::Metric(kind) if kind.is_weighted() => weighted(text, kind, value, end)?,
                Word::Metric(kind) => (Body::Metric(kind, value), end),
                _ => (Body::Event(value.as_f64()), end),
            }
        }
    };
    let (time, time_end) = match text.get(body_end) {
        Some(byte) if is_blank(*byte) => match number::time(&text[body_end + 1..]) {
            Some((time, bytes)) => (time, body_end + 1 + bytes),
            None if text[body_end..].starts_with(b"\n") || text[body_end..].starts_with(b"\r\n") => {
                return Err(Fault::at(Reason::Unfinished, body_end));
            }
            None => return Err(Fault::at(Reason::Time, body_end + 1)),
        },
        _ => (now, body_end),
    };
    match text.get(time_end) {
        Some(b';') => {}
        None | Some(b'\n' | b'\r') => return Err(Fault::at(Reason::Unfinished, time_end)),
        Some(_) if time_end > body_end => return Err(Fault::at(Reason::Time, time_end)),
        Some(_) if matches!(word, Word::Note | Word::Member) => {
            return Err(Fault::at(Reason::Length, time_end));
        }
        Some(_) => return Err(Fault::at(Reason::Value, time_end)),
    }
    let end = time_end + 1;
    match body.fault() {
        Some(reason) => Err(Fault { reason, offset: body_at, end: Some(end) }),
        None => Ok(Frame { key: &text[key_at..key_end], key_at, body, time, end }),
    }
}

/// A count or a sample whose value ends at `end`, and where its weight ends, if it has one.
fn weighted(text: &[u8], kind: Kind, value: Value, end: usize) -> Result<(Body<'_>, usize), Fault> {
    let at = end + 2;
    match text.get(end..at) {
        Some([blank, b'@']) if is_blank(*blank) => {
            let (weight, bytes) = number::weight(&text[at..]).ok_or(Fault::at(Reason::Weight, at))?;
            match text.get(at + bytes) {
                Some(&byte) if byte != b';' && !is_blank(byte) => Err(Fault::at(Reason::Weight, at + bytes)),
                _ => Ok((Body::Weighted(kind, value, weight), at + bytes)),
            }
        }
        _ => Ok((Body::Metric(kind, value), end)),
    }
}

impl Body<'_> {
    /// What is wrong with a message of the right form.
    #[inline]
    fn fault(&self) -> Option<Reason> {
        match *self {
            Body::Metric(_, value) | Body::Weighted(_, value, _) => {
                (!value.is_finite()).then_some(Reason::NotFinite)
            }
            Body::Member(member) => {
                (!(1..=MEMBER_BYTES_MAX).contains(&member.len())).then_some(Reason::Member)
            }
            Body::Event(_) => None,
            Body::Note(json) if json.len() > Note::JSON_BYTES_MAX => Some(Reason::Json),
            Body::Note(json) => std::str::from_utf8(json).is_err().then_some(Reason::Json),
        }
    }
}

impl Frame<'_> {
    /// The message, with its key as [`key::parse`] leaves it.
    #[inline]
    fn message<'m>(&'m self, key: &'m [u8]) -> Message<'m> {
        let time = self.time;
        match self.body {
            Body::Metric(kind, value) => Message::Metric(Metric::new(key, time, kind, value)),
            Body::Weighted(kind, value, weight) => {
                Message::Metric(Metric::new(key, time, kind, value).weighted(weight))
            }
            Body::Member(member) => Message::Metric(Metric::of_member(key, time, member)),
            Body::Event(value) => Message::Event(Event { key, time, value }),
            Body::Note(json) => Message::Note(Note { key, time, json }),
        }
    }
}

/// A key as [`key::parse`] leaves it. Most are plain ASCII without tags, where there is nothing to change.
#[inline]
fn one_form(key: &[u8]) -> Result<Cow<'_, [u8]>, KeyError> {
    if is_plain(key) {
        return Ok(Cow::Borrowed(key));
    }
    Ok(match key::parse(key)? {
        Cow::Borrowed(key) => Cow::Borrowed(key.as_bytes()),
        Cow::Owned(key) => Cow::Owned(key.into_bytes()),
    })
}

/// True only for 8 to [`key::KEY_BYTES_MAX`] octets, all of them printable ASCII and no `;`.
#[inline]
pub(super) fn is_plain(key: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // The upper bits of octets below 0x20, above 0x7f, and of 0x7f and `;`. A borrow may set others, but only then.
    let odd = |eight: [u8; 8]| {
        let eight = u64::from_le_bytes(eight);
        let (delete, semicolon) = (eight ^ (ONES * 0x7f), eight ^ (ONES * 0x3b));
        eight | eight.wrapping_sub(ONES * 0x20) | delete.wrapping_sub(ONES) | semicolon.wrapping_sub(ONES)
    };
    let (eights, _) = key.as_chunks();
    // What is left over is less than eight: the last eight cover it.
    let Some(last) = key.last_chunk().filter(|_| key.len() <= key::KEY_BYTES_MAX) else {
        return false;
    };
    let sum = eights.iter().fold(odd(*last), |sum, eight| sum | odd(*eight));
    sum & (ONES * 0x80) == 0
}

/// The known word `text` begins with, and where it ends, its blank included.
#[inline]
fn word(text: &[u8]) -> Option<(Word, usize)> {
    let (word, spelt): (Word, &[u8]) = match text {
        [b'g', ..] => (Word::Metric(Kind::Gauge), b"gauge "),
        [b'c', _, _, _, _, b' ', ..] => (Word::Metric(Kind::Count), b"count "),
        [b'c', ..] => (Word::Metric(Kind::Counter), b"counter "),
        [b'd', b'e', ..] => (Word::Metric(Kind::Derive), b"derive "),
        [b'd', ..] => (Word::Note, b"data "),
        [b'a', b'b', ..] => (Word::Metric(Kind::Absolute), b"absolute "),
        [b'a', ..] => (Word::Metric(Kind::Adjust), b"adjust "),
        [b'e', ..] => (Word::Event, b"event "),
        [b's', ..] => (Word::Metric(Kind::Sample), b"sample "),
        [b'm', ..] => (Word::Member, b"member "),
        _ => return None,
    };
    text.starts_with(spelt).then_some((word, spelt.len()))
}

/// Where the octets that `N|` counts begin and end; both lie within the text.
#[inline]
fn counted(text: &[u8], at: usize) -> Result<(usize, usize), Fault> {
    let (length, bar) = number::digits(text, at, 0);
    if !(1..=number::U64_DIGITS).contains(&(bar - at)) || text.get(bar) != Some(&b'|') {
        return Err(Fault::at(Reason::Length, bar));
    }
    let left = text.len() - bar - 1;
    match usize::try_from(length) {
        Ok(length) if length <= left => Ok((bar + 1, bar + 1 + length)),
        _ => Err(Fault::at(Reason::Length, at)),
    }
}

/// Where a piece that is no message most plausibly ends.
#[cold]
fn plausible_end(text: &[u8]) -> usize {
    let ends = |at: usize| {
        let rest = &text[at + 1..];
        match text[at] {
            b';' if rest.is_empty() || rest.starts_with(b"\n") || rest.starts_with(b"\r\n") => Some(at + 1),
            b';' => word(rest.strip_prefix(b" ").unwrap_or(rest)).map(|_| at + 1),
            b'\n' => word(rest).map(|_| at),
            _ => None,
        }
    };
    (0..text.len()).find_map(ends).unwrap_or(text.len())
}

/// Where the first length of a piece stands.
#[cold]
fn length_at(text: &[u8]) -> usize {
    text.iter().position(|byte| is_blank(*byte)).map_or(0, |blank| blank + 1)
}

#[inline]
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// How many blanks come first.
#[inline]
fn blanks<'a>(bytes: impl Iterator<Item = &'a u8>) -> usize {
    bytes.take_while(|byte| is_blank(**byte)).count()
}
