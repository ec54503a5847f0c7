//! The legacy form, a gauge a line: `<name>: <value>[ <timestamp>]`.
//!
//! The name ends at the first `": "`, and a second one is an error. As the original documents for this form
//! alone, a name is cut to 255 bytes and lower-cased, and the timestamp is whole seconds.

use super::message;
use super::number;
use super::refused::{Reason, Refused};
use crate::key;
use crate::metric::{Kind, Metric};
use crate::time::{SECOND_NS, Time};
use crate::value::Value;

/// Longer names are cut.
const NAME_BYTES_MAX: usize = 255;

/// Reads every line of `datagram`; a time that is missing is `now`. A line without `": "` is read as
/// messages, so that a misspelt first word costs its neighbours nothing.
pub fn lines(datagram: &[u8], now: Time, mut each: impl FnMut(Result<Metric<'_>, Refused<'_>>)) {
    for text in datagram.split(|byte| *byte == b'\n') {
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let Some(colon) = colon(text) else {
            message::metrics(text, now, &mut each);
            continue;
        };
        let mut room = [0; NAME_BYTES_MAX];
        let name = lower_cased(&text[..colon], &mut room);
        match (key::parse(name), reading(text, colon + 2, now)) {
            (Ok(key), Ok((value, time))) => {
                each(Ok(Metric::new(key.as_bytes(), time, Kind::Gauge, value)));
            }
            (Err(_), _) => each(Err(Refused { reason: Reason::BadKey, offset: 0, text })),
            (_, Err((reason, offset))) => each(Err(Refused { reason, offset, text })),
        }
    }
}

/// Where the first `": "` is.
fn colon(text: &[u8]) -> Option<usize> {
    text.windows(2).position(|pair| pair == b": ")
}

/// The name as the original keeps it, in `room`; cut between characters.
fn lower_cased<'r>(name: &[u8], room: &'r mut [u8; NAME_BYTES_MAX]) -> &'r [u8] {
    let mut bytes = name.len().min(NAME_BYTES_MAX);
    while bytes < name.len() && bytes > 0 && name[bytes] & 0xc0 == 0x80 {
        bytes -= 1;
    }
    let room = &mut room[..bytes];
    room.copy_from_slice(&name[..bytes]);
    room.make_ascii_lowercase();
    room
}

/// The value and the time that stand from `at` on, and nothing else; or what is wrong, and where.
fn reading(text: &[u8], at: usize, now: Time) -> Result<(Value, Time), (Reason, usize)> {
    if let Some(second) = colon(&text[at..]) {
        return Err((Reason::Line, at + second));
    }
    let mut words = text[at..].split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let offset = |word: &[u8]| word.as_ptr().addr() - text.as_ptr().addr();
    let word = words.next().ok_or((Reason::Value, at))?;
    let value = float(word).ok_or((Reason::Value, offset(word)))?;
    if !value.is_finite() {
        return Err((Reason::NotFinite, offset(word)));
    }
    let Some(word) = words.next() else {
        return Ok((value, now));
    };
    let seconds = std::str::from_utf8(word).ok().and_then(|word| word.parse::<i64>().ok());
    let time_ns = seconds.and_then(|seconds| seconds.checked_mul(SECOND_NS));
    let time = time_ns.map(Time::from_ns).ok_or((Reason::Time, offset(word)))?;
    match words.next() {
        Some(word) => Err((Reason::Line, offset(word))),
        None => Ok((value, time)),
    }
}

/// A number of this form, which takes `.5` and `5.` too, as the original's does.
fn float(word: &[u8]) -> Option<Value> {
    match number::value(word) {
        Some((value, end)) if end == word.len() => Some(value),
        _ => std::str::from_utf8(word).ok()?.parse().ok().map(Value::F64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_secs(1_000_000_000);

    fn read(datagram: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        lines(datagram, NOW, |line| {
            found.push(match line {
                Ok(metric) => {
                    let mut text = Vec::new();
                    crate::text::write_metric(&mut text, &metric);
                    String::from_utf8(text).expect("keys are UTF-8")
                }
                Err(refused) => format!("{} at {}", refused.reason, refused.offset),
            });
        });
        found
    }

    #[test]
    fn a_line_is_a_gauge() {
        for (text, want) in [
            ("foobar: 0.75 1350332001", "gauge 6|foobar 0.75 1350332001.0;"),
            ("foobar: 0.75", "gauge 6|foobar 0.75 1000000000.0;"),
            ("Foo.Bar: 1", "gauge 7|foo.bar 1 1000000000.0;"),
            ("GRÖSSE: 1", "gauge 7|grÖsse 1 1000000000.0;"),
            ("a: 1\r", "gauge 1|a 1 1000000000.0;"),
            ("a:  1  12 ", "gauge 1|a 1 12.0;"),
            ("a: 1 -12", "gauge 1|a 1 -12.0;"),
            ("a: -.5", "gauge 1|a -0.5 1000000000.0;"),
            ("a: 5.", "gauge 1|a 5 1000000000.0;"),
            ("a: 1e3 12", "gauge 1|a 1000 12.0;"),
            ("a: 18446744073709551615", "gauge 1|a 18446744073709551615 1000000000.0;"),
            ("a:b: 1", "gauge 3|a:b 1 1000000000.0;"),
            ("two words: 1", "gauge 9|two words 1 1000000000.0;"),
            ("a;Y=2;X=1: 3", "gauge 9|a;x=1;y=2 3 1000000000.0;"),
            ("gauge 3|foo 0.5 12;", "gauge 3|foo 0.5 12.0;"),
            ("Foo: nan", "not_finite at 5"),
            ("a: -inf 12", "not_finite at 3"),
            ("a: 1e3 12.5", "time at 7"),
            ("a: 1 99999999999", "time at 5"),
            ("a: 1 2 3", "line at 7"),
            ("a: b: 1", "line at 4"),
            ("a: ", "value at 3"),
            ("a: x", "value at 3"),
            ("a: 1x 12", "value at 3"),
            ("a: \u{ff}", "value at 3"),
            (": 1", "bad_key at 0"),
            ("a\u{1}: 1", "bad_key at 0"),
            ("a:1", "unknown_kind at 0"),
            ("a", "unknown_kind at 0"),
        ] {
            assert_eq!(read(text.as_bytes()), [want], "{text:?}");
        }
        assert_eq!(read(b"\xff: 1"), ["bad_key at 0"]);
    }

    #[test]
    fn a_bad_line_costs_only_itself() {
        assert_eq!(
            read(b"a: 1 1\nb: x\n\nc: 1 1\r\nd\ngague 1|d 2;gauge 1|e 2 1;\n"),
            [
                "gauge 1|a 1 1.0;",
                "value at 3",
                "gauge 1|c 1 1.0;",
                "unknown_kind at 0",
                "unknown_kind at 0",
                "gauge 1|e 2 1.0;"
            ]
        );
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        for (name, want) in [
            ("A".repeat(300), "a".repeat(255)),
            ("a".repeat(254) + "ö", "a".repeat(254)),
            ("a".repeat(253) + "ö", "a".repeat(253) + "ö"),
        ] {
            let want = format!("gauge {}|{want} 1 1000000000.0;", want.len());
            assert_eq!(read(format!("{name}: 1").as_bytes()), [want]);
        }
    }
}
