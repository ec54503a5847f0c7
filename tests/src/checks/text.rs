//! Leela's text, and the small texts in it: keys, numbers, times, spans and sizes.

use std::ops::Range;

use common::metric::{Event, Kind, MEMBER_BYTES_MAX, Metric, Note, Weight};
use common::query::number::Number;
use common::size::Size;
use common::span::Span;
use common::text::number as reader;
use common::text::{self, Message, Refused};
use common::time::Time;
use common::value::{Shortest, Value};
use leela_collectd::group::Group;

const NOW: Time = Time::from_secs(1_000_000_000);

/// Messages: what is found and what is refused cover the datagram, a refused piece costs its neighbours nothing,
/// and what was read is read again as the same when it is written.
pub fn text(datagram: &[u8]) {
    let mut items = Vec::new();
    text::messages(datagram, NOW, |message| items.push(item(datagram, message)));
    cover(datagram, &items, |text| {
        let mut again = Vec::new();
        text::messages(text, NOW, |message| again.push(item(text, message)));
        again
    });

    // A reader of metrics alone finds the same pieces.
    let mut pieces = 0;
    text::metrics(datagram, NOW, |found| {
        if let (Ok(metric), Item::Found(written)) = (found, &items[pieces]) {
            assert_eq!(&write(&Message::Metric(metric)), written, "the two readers differ");
        }
        pieces += 1;
    });
    assert_eq!(pieces, items.len(), "the two readers find other pieces");
}

/// A whole datagram as leela-udp takes it, lines of the legacy form too: each line is read by itself.
pub fn legacy(datagram: &[u8]) {
    let read = |text: &[u8], lines: bool| {
        let mut items = Vec::new();
        let each =
            |found: Result<Metric<'_>, Refused<'_>>| items.push(item(text, found.map(Message::Metric)));
        if lines {
            text::lines(text, NOW, each);
        } else {
            text::datagram(text, NOW, each);
        }
        items.into_iter().map(Item::without_place).collect::<Vec<_>>()
    };
    read(datagram, false);
    let apart: Vec<_> = datagram.split(|byte| *byte == b'\n').flat_map(|line| read(line, true)).collect();
    assert_eq!(read(datagram, true), apart, "a line depends on its neighbours");
    text::is_ping(datagram);
}

/// What a reader gave: a message as it is written, or the place of what it refused.
#[derive(Clone, PartialEq, Debug)]
enum Item {
    Found(Vec<u8>),
    Refused(Range<usize>),
}

impl Item {
    fn without_place(self) -> Option<Vec<u8>> {
        match self {
            Item::Found(written) => Some(written),
            Item::Refused(_) => None,
        }
    }
}

fn item(datagram: &[u8], message: Result<Message<'_>, Refused<'_>>) -> Item {
    match message {
        Ok(message) => {
            well_formed(&message);
            let written = write(&message);
            let mut again = Vec::new();
            text::messages(&written, NOW, |message| again.push(message.map(|message| write(&message)).ok()));
            assert_eq!(again, [Some(written.clone())], "what is written is read as something else");
            Item::Found(written)
        }
        Err(refused) => {
            assert!(refused.offset <= refused.text.len(), "the place is outside of what is refused");
            let start = refused.text.as_ptr().addr() - datagram.as_ptr().addr();
            Item::Refused(start..start + refused.text.len())
        }
    }
}

fn well_formed(message: &Message<'_>) {
    let key = match *message {
        Message::Metric(Metric { key, value, kind, weight, member, .. }) => {
            assert!(value.is_finite(), "a metric that is not finite");
            assert!(weight == Weight::ONE || kind.is_weighted(), "{kind:?} with a weight");
            assert_eq!(member.is_empty(), kind != Kind::Member, "{kind:?}");
            assert!(member.len() <= MEMBER_BYTES_MAX, "a member too far");
            key
        }
        Message::Event(Event { key, .. }) => key,
        Message::Note(Note { key, json, .. }) => {
            assert!(
                json.len() <= Note::JSON_BYTES_MAX && std::str::from_utf8(json).is_ok(),
                "a note too far"
            );
            key
        }
    };
    assert_eq!(common::key::parse(key).as_deref().map(str::as_bytes), Ok(key), "a key in another form");
}

fn write(message: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    match message {
        Message::Metric(metric) => text::write_metric(&mut out, metric),
        Message::Event(event) => text::write_event(&mut out, event),
        Message::Note(note) => text::write_note(&mut out, note),
    }
    out
}

/// Between the refused pieces stand the found messages and blanks, and nothing else: each stretch read by itself
/// gives what it gave.
fn cover(datagram: &[u8], items: &[Item], read: impl Fn(&[u8]) -> Vec<Item>) {
    let mut start = 0;
    let mut found = Vec::new();
    let end = Item::Refused(datagram.len()..datagram.len());
    for item in items.iter().chain([&end]) {
        match item {
            Item::Found(_) => found.push(item.clone()),
            Item::Refused(place) => {
                assert!(start <= place.start, "pieces overlap");
                assert_eq!(read(&datagram[start..place.start]), found, "a refused piece costs a neighbour");
                found.clear();
                start = place.end;
            }
        }
    }
}

/// Keys: parsed twice is parsed once.
pub fn key(bytes: &[u8]) {
    let Ok(key) = common::key::parse(bytes) else { return };
    assert_eq!(common::key::parse(key.as_bytes()).as_deref(), Ok(&*key));
    assert!(key.len() <= bytes.len() && key.len() <= common::key::KEY_BYTES_MAX);
    assert!(!common::key::name(&key).is_empty());
    assert!(common::key::tags(&key).map(|(tag, _)| tag).is_sorted_by(|a, b| a < b), "tags are not sorted");
    let tagged = common::key::with_tag(&key, "host", "a");
    assert!(common::key::tags(&tagged).any(|(tag, _)| tag == "host"));
    if tagged.len() <= common::key::KEY_BYTES_MAX {
        assert_eq!(common::key::parse(tagged.as_bytes()).as_deref(), Ok(&*tagged));
    }
}

/// Numbers and times: read as std reads them, and written so that they read back.
pub fn number(bytes: &[u8]) {
    if let Some((value, end)) = reader::value(bytes) {
        let std = std::str::from_utf8(&bytes[..end]).ok().and_then(|text| text.parse::<f64>().ok());
        if let Some(std) = std {
            assert!(same(value.as_f64(), std), "{value:?} is {std:?} to std");
        }
        reads_back(value);
        if end == bytes.len() {
            let number = Number::new(value.as_f64());
            let again = common::query::number::parse(number.to_string().as_bytes()).map(Number::new);
            assert_eq!(again, Some(number));
        }
    }
    if let Some((weight, end)) = reader::weight(bytes) {
        assert!(end <= bytes.len());
        weight_reads_back(weight);
    }
    if let Some((time, end)) = reader::time(bytes) {
        assert!(end <= bytes.len());
        time_reads_back(time);
    }
    if let Some(bits) = bytes.first_chunk() {
        let bits = u64::from_le_bytes(*bits);
        reads_back(Value::U64(bits));
        reads_back(Value::I64(bits as i64));
        reads_back(Value::F64(f64::from_bits(bits)));
        time_reads_back(Time::from_ns(bits as i64));
        if let Some(weight) = Weight::of_billionths(bits) {
            weight_reads_back(weight);
        }
    }
}

fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

fn reads_back(value: Value) {
    let mut written = Vec::new();
    text::write_value(&mut written, value);
    let displayed = match value {
        Value::F64(value) => Shortest(value).to_string(),
        _ => value.to_string(),
    };
    assert_eq!(written, displayed.as_bytes(), "written and displayed differ");
    let (again, end) = reader::value(&written).expect("what is written is a value");
    assert_eq!(end, written.len());
    assert!(same(again.as_f64(), value.as_f64()), "{value:?} comes back as {again:?}");
    assert!(value.as_integer().is_none() || again.as_integer() == value.as_integer());
}

fn time_reads_back(time: Time) {
    let mut written = Vec::new();
    text::write_time(&mut written, time);
    assert_eq!(written, time.to_string().as_bytes());
    assert_eq!(reader::time(&written), Some((time, written.len())));
}

fn weight_reads_back(weight: Weight) {
    let mut written = Vec::new();
    text::write_weight(&mut written, weight);
    assert_eq!(written, weight.to_string().as_bytes());
    assert_eq!(reader::weight(&written), Some((weight, written.len())));
}

/// Spans, sizes and multicast groups of configuration: what is read and printed reads the same.
pub fn span(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match text.parse::<Span>() {
        Ok(span) => assert_eq!(span.to_string().parse(), Ok(span)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match text.parse::<Size>() {
        Ok(size) => assert_eq!(size.to_string().parse(), Ok(size)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(group) = text.parse::<Group>() {
        assert!(group.address.is_multicast());
        assert_eq!(String::from(group.clone()).parse(), Ok(group));
    }
}
