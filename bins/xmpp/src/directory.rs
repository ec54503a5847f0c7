//! Who asked for what: the original's hash `leela.xmpp`, and what each user chose beside it.
//!
//! It is kept in Redis, shared with other bridges, or in a file of its own with the same content. In memory is all of it.

pub(crate) mod file;
pub(crate) mod lease;
pub(crate) mod redis;

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::Format;
use crate::field;
use crate::json;
use crate::statement::Select;

/// A subscription.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    /// The bare JID of the user.
    pub(crate) sender: String,
    pub(crate) select: Select,
}

impl Entry {
    /// Its name in the directory.
    pub(crate) fn field(&self) -> String {
        field::of(&self.sender, &self.select.proc, &self.select.regex)
    }

    /// The value of the hash, as the original wrote it.
    pub(crate) fn write(&self) -> String {
        let Select { proc, regex } = &self.select;
        json::text(&json!({"request": {"select": {"proc": proc, "regex": regex}}, "sender": self.sender}))
    }

    /// Reads a value of the hash.
    pub(crate) fn read(text: &str) -> Option<Entry> {
        let value: Value = serde_json::from_str(text).ok()?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let select = &value["request"]["select"];
        let (proc, regex) = (text(&select["proc"])?, text(&select["regex"])?);
        Some(Entry { sender: text(&value["sender"])?, select: Select { proc, regex } })
    }
}

/// What a user chose, and the numbers of the user's subscriptions.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Prefs {
    /// What a message's body is; the configuration's where it is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) format: Option<Format>,
    /// The subscription of each number.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) numbers: BTreeMap<u32, String>,
    /// Until when a subscription is muted, in seconds since 1970.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) muted: BTreeMap<String, i64>,
}

impl Prefs {
    /// The number of a subscription.
    pub(crate) fn number(&self, field: &str) -> Option<u32> {
        self.numbers.iter().find(|(_, of)| *of == field).map(|(&number, _)| number)
    }

    /// The number of a subscription, which gets one where it has none: one more than the greatest.
    pub(crate) fn enter(&mut self, field: &str) -> u32 {
        self.number(field).unwrap_or_else(|| {
            let number = self.numbers.last_key_value().map_or(0, |(&number, _)| number) + 1;
            self.numbers.insert(number, field.to_owned());
            number
        })
    }

    /// Forgets a subscription.
    pub(crate) fn leave(&mut self, field: &str) {
        self.numbers.retain(|_, of| of != field);
        self.muted.remove(field);
    }

    pub(crate) fn is_muted(&self, field: &str, now_seconds: i64) -> bool {
        self.muted.get(field).is_some_and(|&until| now_seconds < until)
    }

    fn is_default(&self) -> bool {
        *self == Prefs::default()
    }
}

/// All of the directory.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Content {
    /// Subscriptions by their names.
    pub(crate) entries: HashMap<String, Entry>,
    /// Prefs by bare JIDs.
    pub(crate) prefs: HashMap<String, Prefs>,
}

/// A change that is to be kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Change {
    /// Whose it is.
    pub(crate) sender: String,
    /// The subscription to enter.
    pub(crate) enter: Option<Entry>,
    /// The subscriptions to take out.
    pub(crate) leave: Vec<String>,
    /// The sender's prefs after it.
    pub(crate) prefs: Prefs,
}

impl Content {
    /// The subscriptions of a user, by number.
    pub(crate) fn of(&self, sender: &str) -> Vec<(u32, String, &Entry)> {
        let prefs = self.prefs.get(sender);
        let mut all: Vec<(u32, String, &Entry)> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.sender == sender)
            .map(|(field, entry)| {
                let number = prefs.and_then(|prefs| prefs.number(field)).unwrap_or(u32::MAX);
                (number, field.clone(), entry)
            })
            .collect();
        all.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        all
    }

    /// Makes a change.
    pub(crate) fn apply(&mut self, change: &Change) {
        for field in &change.leave {
            self.entries.remove(field);
        }
        if let Some(entry) = &change.enter {
            self.entries.insert(entry.field(), entry.clone());
        }
        if change.prefs.is_default() {
            self.prefs.remove(&change.sender);
        } else {
            self.prefs.insert(change.sender.clone(), change.prefs.clone());
        }
    }

    /// Gives a number to each subscription that has none, as those of an old installation, and forgets what is said
    /// about others. Gives the users whose prefs are others now.
    pub(crate) fn number(&mut self) -> Vec<String> {
        let mut changed = Vec::new();
        let Content { entries, prefs } = self;
        let mut fields: Vec<(&String, &Entry)> = entries.iter().collect();
        fields.sort_by(|a, b| a.0.cmp(b.0));
        for (field, entry) in fields {
            let prefs = prefs.entry(entry.sender.clone()).or_default();
            if prefs.number(field).is_none() {
                prefs.enter(field);
                changed.push(entry.sender.clone());
            }
        }
        for (sender, prefs) in prefs.iter_mut() {
            let before = prefs.numbers.len() + prefs.muted.len();
            let is_there = |field: &String| entries.get(field).is_some_and(|entry| entry.sender == *sender);
            prefs.numbers.retain(|_, field| is_there(field));
            prefs.muted.retain(|field, _| is_there(field));
            if prefs.numbers.len() + prefs.muted.len() != before {
                changed.push(sender.clone());
            }
        }
        changed.sort();
        changed.dedup();
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(sender: &str, regex: &str) -> Entry {
        Entry { sender: sender.to_owned(), select: Select { proc: "id".to_owned(), regex: regex.to_owned() } }
    }

    #[test]
    fn an_entry_is_the_original_s() {
        let entry = entry("foobar@localhost", "^a$");
        let text = r#"{"request": {"select": {"proc": "id", "regex": "^a$"}}, "sender": "foobar@localhost"}"#;
        assert_eq!(entry.write(), text);
        assert_eq!(Entry::read(text), Some(entry));
        for text in ["", "{}", "[]", r#"{"request": {"delete": {}}, "sender": "a@b"}"#] {
            assert_eq!(Entry::read(text), None, "{text}");
        }
    }

    #[test]
    fn a_number_stays_with_its_subscription() {
        let mut prefs = Prefs::default();
        assert_eq!(["a", "b", "a", "c"].map(|field| prefs.enter(field)), [1, 2, 1, 3]);
        prefs.leave("b");
        assert_eq!((prefs.enter("d"), prefs.number("c"), prefs.number("b")), (4, Some(3), None));
        ["a", "c", "d"].iter().for_each(|field| prefs.leave(field));
        assert_eq!(prefs.enter("e"), 1);
    }

    #[test]
    fn an_old_directory_gets_numbers_and_what_is_gone_is_forgotten() {
        let mut content = Content::default();
        for entry in [entry("a@x", "^a"), entry("a@x", "^b"), entry("b@x", "^a")] {
            content.entries.insert(entry.field(), entry);
        }
        content
            .prefs
            .insert("c@x".to_owned(), Prefs { muted: [("gone".to_owned(), 1)].into(), ..Prefs::default() });
        assert_eq!(content.number(), ["a@x", "b@x", "c@x"]);
        assert_eq!(content.number(), Vec::<String>::new());
        let numbers: Vec<u32> = content.of("a@x").iter().map(|(number, ..)| *number).collect();
        assert_eq!(numbers, [1, 2]);
        assert_eq!(content.prefs["c@x"], Prefs::default());
    }

    #[test]
    fn prefs_are_kept_as_json() {
        let prefs = Prefs {
            format: Some(Format::Json),
            numbers: [(2, "ab".to_owned())].into(),
            muted: [("ab".to_owned(), 17)].into(),
        };
        let text = serde_json::to_string(&prefs).unwrap();
        assert_eq!(text, r#"{"format":"json","numbers":{"2":"ab"},"muted":{"ab":17}}"#);
        assert_eq!(serde_json::from_str::<Prefs>(&text).unwrap(), prefs);
        assert_eq!(serde_json::from_str::<Prefs>("{}").unwrap(), Prefs::default());
    }
}
