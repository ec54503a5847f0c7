//! Messages: read from what comes, and made so that they are valid whatever a metric's name holds.

use tokio_xmpp::Stanza;
use xmpp_parsers::delay::Delay;
use xmpp_parsers::jid::Jid;
use xmpp_parsers::message::{Id, Lang, Message, MessageType};
use xmpp_parsers::minidom::Element;

/// JSON containers.
///
/// Source: XEP-0335.
const JSON: &str = "urn:xmpp:json:0";
/// Servers take a stanza of 256 KiB, and text and JSON are in one.
const TEXT_BYTES_MAX: usize = 32 << 10;
const JSON_BYTES_MAX: usize = 128 << 10;
/// What is said in the place of JSON that is too long.
const TOO_LONG: &str = "{\"reason\": \"too long\", \"status\": 500}";

/// A message to a user or a room; `json` stands beside its text, and `id` tells it apart.
pub(crate) fn message(to: &Jid, is_room: bool, text: &str, json: Option<&str>, id: String) -> Stanza {
    let kind = if is_room { MessageType::Groupchat } else { MessageType::Chat };
    let text = match json {
        // JSON alone, which is not to be cut.
        None if escaped(text) <= JSON_BYTES_MAX => valid(text),
        None => TOO_LONG.to_owned(),
        Some(_) => fit(text),
    };
    let mut message = Message::new_with_type(kind, to.clone()).with_body(Lang::default(), text);
    message.id = Some(Id(id));
    if let Some(json) = json.filter(|json| escaped(json) <= JSON_BYTES_MAX) {
        message.payloads.push(Element::builder("json", JSON).append(json).build());
    }
    message.into()
}

/// A text that is valid and not too long; one that was cut says so.
pub(crate) fn fit(text: &str) -> String {
    let short = shortened(text);
    let mut fitting = valid(short);
    if short.len() < text.len() {
        fitting.push_str("\n… and more, which does not fit into a message");
    }
    fitting
}

/// What somebody said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Said {
    pub(crate) from: Jid,
    pub(crate) body: String,
    pub(crate) is_room: bool,
}

/// What a message says; none for one without a body, one that only repeats an old one, and an error.
pub(crate) fn read(message: &Message) -> Option<Said> {
    let is_room = match message.type_ {
        MessageType::Chat | MessageType::Normal => false,
        MessageType::Groupchat => true,
        MessageType::Error | MessageType::Headline => return None,
    };
    let from = message.from.clone()?;
    let (_, body) = message.get_best_body(vec!["", "en"])?;
    // A room's history is not said now; what waited for us while we were away is.
    let is_old = message.payloads.iter().any(|payload| {
        // What a server stamps that hands over what came while we were away is no history.
        Delay::try_from(payload.clone()).is_ok_and(|delay| {
            delay
                .from
                .is_none_or(|by| by.to_bare() == from.to_bare() || by.as_str() == from.domain().as_str())
        })
    });
    if body.is_empty() || (is_room && is_old) {
        return None;
    }
    Some(Said { from, body: body.clone(), is_room })
}

/// What is said to `nick`, without the name: `leela: LIST`, `@leela LIST`.
pub(crate) fn addressed<'a>(body: &'a str, nick: &str) -> Option<&'a str> {
    let body = body.trim_start();
    let (body, is_at) = body.strip_prefix('@').map_or((body, false), |body| (body, true));
    let name = body.get(..nick.len()).filter(|name| name.eq_ignore_ascii_case(nick))?;
    let rest = &body[name.len()..];
    match rest.chars().next() {
        Some(':' | ',') => Some(rest[1..].trim_start()),
        Some(char) if char.is_whitespace() && is_at => Some(rest.trim_start()),
        _ => None,
    }
}

fn shortened(text: &str) -> &str {
    let mut bytes = 0;
    let end = text.char_indices().find(|&(_, char)| {
        bytes += escaped_char(char);
        bytes > TEXT_BYTES_MAX
    });
    end.map_or(text, |(end, _)| &text[..end])
}

/// The bytes of a text in XML.
fn escaped(text: &str) -> usize {
    text.chars().map(escaped_char).sum()
}

fn escaped_char(char: char) -> usize {
    match char {
        '&' | '<' | '>' | '"' | '\'' => "&quot;".len(),
        char => char.len_utf8(),
    }
}

/// The text in the characters of XML 1.0: a stand-in for each other one.
fn valid(text: &str) -> String {
    let is_valid = |char: char| match char {
        '\t' | '\n' | '\r' => true,
        '\u{fffe}' | '\u{ffff}' => false,
        char => char >= ' ',
    };
    text.chars().map(|char| if is_valid(char) { char } else { char::REPLACEMENT_CHARACTER }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_front_is_taken_away() {
        for (body, want) in [
            ("leela: LIST", Some("LIST")),
            ("Leela, list", Some("list")),
            ("@leela LIST", Some("LIST")),
            ("@leela: LIST", Some("LIST")),
            ("leela LIST", None),
            ("leelah: LIST", None),
            ("I like leela: LIST", None),
            ("leel\u{e4}: LIST", None),
            ("", None),
        ] {
            assert_eq!(addressed(body, "leela"), want, "{body:?}");
        }
    }

    #[test]
    fn a_message_is_valid_and_has_its_json_beside_it() {
        let to = Jid::new("a@b/c").unwrap();
        let stanza = message(&to, false, "a\u{ffff}<&\u{1}\n\u{1f600}", Some("{\"a\": 1}"), "x".to_owned());
        let Stanza::Message(message) = stanza else { panic!("{stanza:?}") };
        assert_eq!(message.bodies[&Lang::default()], "a\u{fffd}<&\u{fffd}\n\u{1f600}");
        assert_eq!(message.payloads.len(), 1);
        assert_eq!(
            (message.payloads[0].ns(), message.payloads[0].text()),
            (JSON.to_owned(), "{\"a\": 1}".to_owned())
        );
        let element = Element::from(message.clone());
        assert_eq!(Message::try_from(element).unwrap(), message);
    }

    #[test]
    fn a_message_stays_below_what_servers_take() {
        let to = Jid::new("a@b/c").unwrap();
        let long = "ö".repeat(1 << 20);
        let stanza = message(&to, false, &long, Some(&long), "x".to_owned());
        let Stanza::Message(message) = stanza else { panic!("{stanza:?}") };
        let text = &message.bodies[&Lang::default()];
        assert!(text.len() <= TEXT_BYTES_MAX + 64 && message.payloads.is_empty());
        assert!(text.ends_with("ö\n… and more, which does not fit into a message"), "{}", text.len());
    }
}
