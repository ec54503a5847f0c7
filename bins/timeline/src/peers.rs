//! What a registration asks for.

use common::wire::{Content, VERSIONS};
use sockets::peer::Wants;

/// The words behind a registration's path: contents (`events`, `states`, `notes`), `text`, `durable`, and the wire version
/// (`v1`). A bare path wants events. `None` where a word is not known.
pub fn wants(words: &str) -> Option<Wants> {
    let mut wants = Wants { contents: 0, text: false, durable: false, fixed: false };
    for word in words.split_ascii_whitespace() {
        match word {
            "text" => wants.text = true,
            "durable" => wants.durable = true,
            _ if word
                .strip_prefix('v')
                .is_some_and(|version| version.parse().is_ok_and(|version| VERSIONS.reads(version))) => {}
            _ => wants.contents |= 1 << content(word)? as u8,
        }
    }
    if wants.contents == 0 {
        wants.contents = 1 << Content::Events as u8;
    }
    Some(wants)
}

fn content(word: &str) -> Option<Content> {
    [Content::Events, Content::States, Content::Notes].into_iter().find(|content| content.word() == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_path_wants_events_and_an_unknown_word_is_refused() {
        let events = Wants { contents: 1 << 2, text: false, durable: false, fixed: false };
        for (words, want) in [
            ("", Some(events)),
            ("v1", Some(events)),
            ("events", Some(events)),
            ("events notes durable", Some(Wants { contents: 1 << 2 | 1 << 4, durable: true, ..events })),
            ("text", Some(Wants { text: true, ..events })),
            ("notes", Some(Wants { contents: 1 << 4, ..events })),
            ("events states notes", Some(Wants { contents: 1 << 2 | 1 << 3 | 1 << 4, ..events })),
            ("runs", None),
            ("metrics", None),
            ("v0", None),
            ("v9", None),
            ("everything", None),
        ] {
            assert_eq!(wants(words), want, "{words:?}");
        }
    }
}
