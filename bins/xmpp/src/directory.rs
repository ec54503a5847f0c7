//! Who asked for what: the original's hash `leela.xmpp`, and what each user chose beside it.
//!
//! It is kept in Redis, shared with other bridges, or in a file of its own with the same content. In memory is all of it.

pub(crate) mod file;
pub(crate) mod lease;
pub(crate) mod redis;

mod prefs;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Instant;

use serde_json::{Value, json};

use crate::field;
use crate::json;
use crate::statement::Select;

pub(crate) use prefs::{Edit, Prefs};

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
    /// What becomes of the sender's prefs.
    pub(crate) edits: Vec<Edit>,
}

/// What is asked of those who keep the directory: a task of its own each, for a disk may be slow, and Redis away.
#[derive(Debug)]
pub(crate) enum Order {
    /// Make a change; it is answered under the number.
    Change(u64, Box<Change>),
    /// Write what is not there, after [`Report::Restarted`]; this bridge had the leases of these, and of the front where
    /// the empty name is among them.
    Restore(Box<Content>, HashSet<String>),
    /// Give back all leases, and end.
    Leave(Vec<String>),
}

/// What they say.
#[derive(Debug)]
pub(crate) enum Report {
    /// All that is there, and what this bridge has of it.
    Round(Box<Round>),
    /// A change was made, or it was not, and why.
    Changed(u64, Result<Made, String>),
    /// The directory is away, and why.
    Away(String),
    /// It is there again, and another one: it waits for [`Order::Restore`].
    Restarted,
    /// The leases are given back, and all is written.
    Left,
}

/// A round.
#[derive(Debug)]
pub(crate) struct Round {
    /// Before it was asked: leases hold from then on.
    pub(crate) asked: Instant,
    pub(crate) content: Content,
    /// The subscriptions whose lease this bridge has.
    pub(crate) held: Vec<String>,
    pub(crate) front: bool,
    pub(crate) others: bool,
}

/// A change that was made.
#[derive(Debug)]
pub(crate) struct Made {
    /// Before it was asked: a lease holds from then on.
    pub(crate) asked: Instant,
    /// The sender's prefs as they are now.
    pub(crate) prefs: Prefs,
    /// This bridge has the lease of the subscription that was entered.
    pub(crate) is_ours: bool,
}

impl Change {
    /// A subscription is entered.
    pub(crate) fn enter(entry: Entry) -> Change {
        let edits = vec![Edit::Number(entry.field())];
        Change { sender: entry.sender.clone(), enter: Some(entry), leave: Vec::new(), edits }
    }

    /// Subscriptions of a user are taken out.
    pub(crate) fn leave(sender: String, fields: Vec<String>) -> Change {
        let edits = fields.iter().cloned().map(Edit::Forget).collect();
        Change { sender, enter: None, leave: fields, edits }
    }

    /// A user chooses.
    pub(crate) fn edit(sender: String, edits: Vec<Edit>) -> Change {
        Change { sender, enter: None, leave: Vec::new(), edits }
    }
}

impl Content {
    /// Makes a change.
    pub(crate) fn apply(&mut self, change: &Change) {
        let mut prefs = self.prefs.get(&change.sender).cloned().unwrap_or_default();
        prefs.edit(&change.edits);
        self.take(change, prefs);
    }

    /// Takes a change that was made; these are the sender's prefs after it.
    pub(crate) fn take(&mut self, change: &Change, prefs: Prefs) {
        for field in &change.leave {
            self.entries.remove(field);
        }
        if let Some(entry) = &change.enter {
            self.entries.insert(entry.field(), entry.clone());
        }
        if prefs.is_default() {
            self.prefs.remove(&change.sender);
        } else {
            self.prefs.insert(change.sender.clone(), prefs);
        }
    }

    /// What gives a number to each subscription that has none, as those of an old installation, and forgets what is said
    /// about others: a change for each user.
    pub(crate) fn numbering(&self) -> Vec<Change> {
        let mut edits: BTreeMap<&String, Vec<Edit>> = BTreeMap::new();
        for (sender, prefs) in &self.prefs {
            let is_gone =
                |field: &&String| self.entries.get(*field).is_none_or(|entry| entry.sender != *sender);
            let gone = prefs.numbers.values().chain(prefs.muted.keys()).filter(is_gone);
            let gone: Vec<Edit> = gone.cloned().map(Edit::Forget).collect();
            if !gone.is_empty() {
                edits.insert(sender, gone);
            }
        }
        let mut fields: Vec<(&String, &Entry)> = self.entries.iter().collect();
        fields.sort_by(|a, b| a.0.cmp(b.0));
        for (field, entry) in fields {
            if self.prefs.get(&entry.sender).is_none_or(|prefs| prefs.number(field).is_none()) {
                edits.entry(&entry.sender).or_default().push(Edit::Number(field.clone()));
            }
        }
        edits.into_iter().map(|(sender, edits)| Change::edit(sender.clone(), edits)).collect()
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
    fn an_old_directory_gets_numbers_and_what_is_gone_is_forgotten() {
        let mut content = Content::default();
        for entry in [entry("a@x", "^a"), entry("a@x", "^b"), entry("b@x", "^a")] {
            content.entries.insert(entry.field(), entry);
        }
        let muted = [("gone".to_owned(), 1)].into();
        content.prefs.insert("c@x".to_owned(), Prefs { muted, ..Prefs::default() });
        let changes = content.numbering();
        let senders: Vec<&str> = changes.iter().map(|change| change.sender.as_str()).collect();
        assert_eq!(senders, ["a@x", "b@x", "c@x"]);
        changes.iter().for_each(|change| content.apply(change));
        assert_eq!(content.numbering(), []);
        let numbers: Vec<u32> = content.prefs["a@x"].numbers.keys().copied().collect();
        assert_eq!(numbers, [1, 2]);
        assert_eq!(content.prefs.get("c@x"), None);
    }
}
