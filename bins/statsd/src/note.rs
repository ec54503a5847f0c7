//! Events and checks as notes: JSON of at most 8 KiB, `"cut":true` in it where something had to go.

use common::metric::Note;

use crate::dialect::{Check, Event};

/// The key of events; a note of a check has the check's name.
pub const EVENT_KEY: &[u8] = b"dogstatsd.event";

/// What stands behind all fields where something was cut.
const CUT: &str = ",\"cut\":true}";

/// The words of a check's status.
const STATUSES: [&str; 4] = ["ok", "warning", "critical", "unknown"];

/// Writes the JSON of an event over what `json` holds.
pub fn write_event(event: &Event<'_>, json: &mut String) {
    let mut object = Object::new(json);
    object.field("title", Some(event.title), unescape_lines);
    for (name, text) in [
        ("alert", event.alert),
        ("priority", event.priority),
        ("host", event.host),
        ("aggregation_key", event.aggregation_key),
        ("source", event.source),
    ] {
        object.field(name, text, plain);
    }
    object.field("text", Some(event.text), unescape_lines);
    object.end();
}

/// Writes the JSON of a check over what `json` holds.
pub fn write_check(check: &Check<'_>, json: &mut String) {
    let mut object = Object::new(json);
    let status = STATUSES.get(usize::from(check.status)).copied().unwrap_or("unknown");
    object.field("status", Some(status.as_bytes()), plain);
    object.field("host", check.host, plain);
    object.field("message", check.message, unescape_message);
    object.end();
}

/// An object in the making, that never gets longer than a note may be.
struct Object<'j> {
    json: &'j mut String,
    is_cut: bool,
}

impl<'j> Object<'j> {
    fn new(json: &'j mut String) -> Object<'j> {
        json.clear();
        Object { json, is_cut: false }
    }

    /// Adds a text, when it is there; what of it does not fit is cut.
    fn field(&mut self, name: &str, text: Option<&[u8]>, unescape: fn(&str, &mut String)) {
        let Some(text) = text else { return };
        let head = format!("{}\"{name}\":\"", if self.json.is_empty() { '{' } else { ',' });
        let bytes_max = Note::JSON_BYTES_MAX - CUT.len() - 1;
        if self.json.len() + head.len() > bytes_max {
            self.is_cut = true;
            return;
        }
        self.json.push_str(&head);
        let mut plain = String::new();
        for chunk in text.utf8_chunks() {
            unescape(chunk.valid(), &mut plain);
            if !chunk.invalid().is_empty() {
                plain.push(char::REPLACEMENT_CHARACTER);
            }
        }
        self.is_cut |= !write_escaped(&plain, bytes_max, self.json);
        self.json.push('"');
    }

    fn end(self) {
        self.json.push_str(if self.is_cut { CUT } else { "}" });
    }
}

fn plain(text: &str, into: &mut String) {
    into.push_str(text);
}

/// `\n` is a line feed.
fn unescape_lines(text: &str, into: &mut String) {
    into.push_str(&text.replace("\\n", "\n"));
}

/// And `m\:` is `m:`, which would else begin the message anew.
fn unescape_message(text: &str, into: &mut String) {
    into.push_str(&text.replace("\\n", "\n").replace("m\\:", "m:"));
}

/// False when `json` would have become longer than `bytes_max`; then it ends with the last character that fits.
fn write_escaped(text: &str, bytes_max: usize, json: &mut String) -> bool {
    for char in text.chars() {
        let start = json.len();
        match char {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            '\0'..='\x1f' | '\x7f' => json.push_str(&format!("\\u{:04x}", u32::from(char))),
            _ => json.push(char),
        }
        if json.len() > bytes_max {
            json.truncate(start);
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(title: &[u8], text: &[u8]) -> String {
        let mut json = String::from("old");
        write_event(&Event { title, text, ..Event::default() }, &mut json);
        json
    }

    #[test]
    fn an_event_is_json() {
        assert_eq!(event(b"a\\nb", b"\"x\"\\\t"), "{\"title\":\"a\\nb\",\"text\":\"\\\"x\\\"\\\\\\t\"}");
        assert_eq!(
            event(b"\x01\xff", "größe".as_bytes()),
            "{\"title\":\"\\u0001\u{fffd}\",\"text\":\"größe\"}"
        );
        let mut json = String::new();
        let all = Event {
            title: b"t",
            text: b"",
            host: Some(b"h"),
            aggregation_key: Some(b"k"),
            priority: Some(b"low"),
            source: Some(b"s"),
            alert: Some(b"error"),
            ..Event::default()
        };
        write_event(&all, &mut json);
        let want = "{\"title\":\"t\",\"alert\":\"error\",\"priority\":\"low\",\"host\":\"h\",\"aggregation_key\":\"k\",\
                    \"source\":\"s\",\"text\":\"\"}";
        assert_eq!(json, want);
    }

    #[test]
    fn a_check_is_json() {
        let mut json = String::new();
        let check = Check { status: 1, message: Some(b"slow | very\\nm\\: x"), ..Check::default() };
        write_check(&check, &mut json);
        assert_eq!(json, "{\"status\":\"warning\",\"message\":\"slow | very\\nm: x\"}");
        write_check(&Check { status: 3, host: Some(b"h"), ..Check::default() }, &mut json);
        assert_eq!(json, "{\"status\":\"unknown\",\"host\":\"h\"}");
    }

    #[test]
    fn what_is_long_is_cut_between_characters_and_says_so() {
        for (title, text) in [
            (vec![b'a'; 9_000], vec![b'b'; 9_000]),
            (vec![b'a'; 10], vec![b'\n'; 60_000]),
            (vec![1; 60_000], vec![b'b'; 10]),
            (vec![b'a'; 8_150], vec![b'b'; 10]),
            ("€".repeat(3_000).into_bytes(), vec![0xff; 60_000]),
            (Vec::new(), "€".repeat(3_000).into_bytes()),
        ] {
            let json = event(&title, &text);
            assert!(json.len() <= Note::JSON_BYTES_MAX && json.ends_with(CUT), "{json}");
            assert!(json.len() > Note::JSON_BYTES_MAX - 64, "{}", json.len());
        }
        let fits = event(b"", &[b'b'; Note::JSON_BYTES_MAX - 40]);
        assert!(!fits.ends_with(CUT), "{}", fits.len());
    }
}
