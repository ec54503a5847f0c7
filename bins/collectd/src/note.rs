//! Notifications as notes: `{"severity":"warning","message":"..."}`, and `,"cut":true` where the message is
//! longer than a note.

use common::metric::Note;

use crate::reason::Reason;

const CUT: &str = ",\"cut\":true";

/// What can follow the last character of a message.
const END_BYTES: usize = 1 + CUT.len() + 1;

/// The word of a notification's severity.
pub fn severity(number: u64) -> Result<&'static str, Reason> {
    match number {
        1 => Ok("failure"),
        2 => Ok("warning"),
        4 => Ok("okay"),
        _ => Err(Reason::Severity),
    }
}

/// Writes the JSON of a notification over what `json` holds; at most [`Note::JSON_BYTES_MAX`]. Bytes that are
/// no UTF-8 become U+FFFD.
pub fn write_json(severity: &str, message: &[u8], json: &mut String) {
    json.clear();
    json.push_str("{\"severity\":\"");
    json.push_str(severity);
    json.push_str("\",\"message\":\"");
    let cut = !write_escaped(message, Note::JSON_BYTES_MAX - END_BYTES, json);
    json.push('"');
    if cut {
        json.push_str(CUT);
    }
    json.push('}');
}

/// False when `json` would have become longer than `bytes_max`; then it ends with the last character that fits.
fn write_escaped(message: &[u8], bytes_max: usize, json: &mut String) -> bool {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    for chunk in message.utf8_chunks() {
        let broken = (!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER);
        for char in chunk.valid().chars().chain(broken) {
            let start = json.len();
            match char {
                '"' => json.push_str("\\\""),
                '\\' => json.push_str("\\\\"),
                '\n' => json.push_str("\\n"),
                '\r' => json.push_str("\\r"),
                '\t' => json.push_str("\\t"),
                '\0'..='\x1f' | '\x7f' => {
                    json.push_str("\\u00");
                    json.push(HEX[char as usize >> 4]);
                    json.push(HEX[char as usize & 15]);
                }
                _ => json.push(char),
            }
            if json.len() > bytes_max {
                json.truncate(start);
                return false;
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_escaped() {
        for (message, want) in [
            (&b"all is well"[..], "all is well"),
            (b"", ""),
            (b"\"a\\b\"", "\\\"a\\\\b\\\""),
            (b"a\n\r\t\0\x1f\x7f", "a\\n\\r\\t\\u0000\\u001f\\u007f"),
            ("größe 🙂".as_bytes(), "größe 🙂"),
            (b"a\xffb\xe2\x82", "a\u{fffd}b\u{fffd}"),
        ] {
            let mut json = String::from("old");
            write_json("okay", message, &mut json);
            assert_eq!(json, format!("{{\"severity\":\"okay\",\"message\":\"{want}\"}}"), "{message:?}");
        }
    }

    #[test]
    fn a_long_message_is_cut_between_characters_and_says_so() {
        let head = "{\"severity\":\"okay\",\"message\":\"";
        let room = Note::JSON_BYTES_MAX - END_BYTES - head.len();
        for (message, kept) in [
            ("a".repeat(room), room),
            ("a".repeat(room + 1), room),
            ("a".repeat(60_000), room),
            ("\n".repeat(60_000), room / 2 * 2),
            ("€".repeat(20_000), room / 3 * 3),
            ("\u{1}".repeat(20_000), room / 6 * 6),
        ] {
            let mut json = String::new();
            write_json("okay", message.as_bytes(), &mut json);
            assert!(json.len() <= Note::JSON_BYTES_MAX);
            let end = if message.len() > room { "\",\"cut\":true}" } else { "\"}" };
            assert!(json.ends_with(end));
            assert_eq!(json.len(), head.len() + kept + end.len(), "{:?}", message.chars().next());
        }
    }
}
