//! JSON as the original's scripts read it: keys sorted, `", "` and `": "` between, ASCII alone.

use std::io;

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{CharEscape, Formatter, Serializer};

/// A value as text. Keys are sorted, as [`Value`] keeps them.
pub(crate) fn text(value: &Value) -> String {
    let mut out = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut out, Spaced);
    value.serialize(&mut serializer).expect("a value can be written to memory");
    String::from_utf8(out).expect("only ASCII is written")
}

/// A number of the original's: `0.85`, `3.0`, `1e+22`; null for what JSON has no number for.
pub(crate) fn number(value: f64) -> Value {
    serde_json::Number::from_f64(value).map_or(Value::Null, Value::Number)
}

struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }

    fn write_f64<W: ?Sized + io::Write>(&mut self, out: &mut W, value: f64) -> io::Result<()> {
        // Python's repr: an exponent from 1e16 on and below 1e-4, with its sign and two digits at least.
        let magnitude = value.abs();
        if magnitude != 0.0 && !(1e-4..1e16).contains(&magnitude) {
            let text = format!("{value:e}");
            let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            return write!(out, "{digits}e{sign}{exponent:0>2}");
        }
        write!(out, "{value:?}")
    }

    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, out: &mut W, text: &str) -> io::Result<()> {
        for char in text.chars() {
            if char.is_ascii() && char != '\x7f' {
                write!(out, "{char}")?;
            } else {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }

    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        match escape {
            CharEscape::Quote => out.write_all(b"\\\""),
            CharEscape::ReverseSolidus => out.write_all(b"\\\\"),
            CharEscape::Solidus => out.write_all(b"/"),
            CharEscape::Backspace => out.write_all(b"\\b"),
            CharEscape::FormFeed => out.write_all(b"\\f"),
            CharEscape::LineFeed => out.write_all(b"\\n"),
            CharEscape::CarriageReturn => out.write_all(b"\\r"),
            CharEscape::Tab => out.write_all(b"\\t"),
            CharEscape::AsciiControl(byte) => write!(out, "\\u{byte:04x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn it_is_written_as_the_original_wrote_it() {
        for (value, want) in [
            (
                json!({"status": 200, "debug": {"b": 1, "a": [1, 2]}}),
                r#"{"debug": {"a": [1, 2], "b": 1}, "status": 200}"#,
            ),
            (json!({"name": "größe \"x\"\n\u{1f600}"}), r#"{"name": "gr\u00f6\u00dfe \"x\"\n\ud83d\ude00"}"#),
            (json!([]), "[]"),
        ] {
            assert_eq!(text(&value), want);
        }
        for (value, want) in [
            (0.85, "0.85"),
            (3.0, "3.0"),
            (1_350_334_144.0, "1350334144.0"),
            (1e22, "1e+22"),
            (1.5e-7, "1.5e-07"),
            (0.0001, "0.0001"),
            (-1e300, "-1e+300"),
            (0.0, "0.0"),
            (f64::NAN, "null"),
            (f64::INFINITY, "null"),
        ] {
            assert_eq!(text(&number(value)), want);
        }
    }
}
