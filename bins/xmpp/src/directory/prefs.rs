//! What a user chose, and how that is changed: edit by edit, for several bridges may do it at once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::Format;

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

/// One thing that changes. Made twice it is as made once, and it leaves alone what another one changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Edit {
    /// A subscription gets a number where it has none: one more than the greatest.
    Number(String),
    /// What is said about a subscription goes.
    Forget(String),
    /// What a message's body is.
    Format(Format),
    /// A subscription is muted until then, in seconds since 1970, or is not.
    Mute(String, Option<i64>),
}

impl Prefs {
    /// The number of a subscription.
    pub(crate) fn number(&self, field: &str) -> Option<u32> {
        self.numbers.iter().find(|(_, of)| *of == field).map(|(&number, _)| number)
    }

    /// Makes edits.
    pub(crate) fn edit(&mut self, edits: &[Edit]) {
        for edit in edits {
            match edit {
                Edit::Number(field) if self.number(field).is_some() => {}
                Edit::Number(field) => {
                    let last = self.numbers.last_key_value().map_or(0, |(&number, _)| number);
                    // Whoever wrote the last there is left those before it.
                    let next = last.checked_add(1);
                    let free = || (1..=u32::MAX).find(|number| !self.numbers.contains_key(number));
                    if let Some(number) = next.or_else(free) {
                        self.numbers.insert(number, field.clone());
                    }
                }
                Edit::Forget(field) => {
                    self.numbers.retain(|_, of| of != field);
                    self.muted.remove(field);
                }
                Edit::Format(format) => self.format = Some(*format),
                Edit::Mute(field, Some(until)) => {
                    self.muted.insert(field.clone(), *until);
                }
                Edit::Mute(field, None) => {
                    self.muted.remove(field);
                }
            }
        }
    }

    pub(crate) fn is_muted(&self, field: &str, now_seconds: i64) -> bool {
        self.muted.get(field).is_some_and(|&until| now_seconds < until)
    }

    pub(crate) fn is_default(&self) -> bool {
        *self == Prefs::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stays_with_its_subscription() {
        let mut prefs = Prefs::default();
        let enter = |prefs: &mut Prefs, field: &str| {
            prefs.edit(&[Edit::Number(field.to_owned())]);
            prefs.number(field).unwrap()
        };
        let forget = |prefs: &mut Prefs, field: &str| prefs.edit(&[Edit::Forget(field.to_owned())]);
        assert_eq!(["a", "b", "a", "c"].map(|field| enter(&mut prefs, field)), [1, 2, 1, 3]);
        forget(&mut prefs, "b");
        assert_eq!((enter(&mut prefs, "d"), prefs.number("c"), prefs.number("b")), (4, Some(3), None));
        ["a", "c", "d"].iter().for_each(|field| forget(&mut prefs, field));
        assert_eq!(enter(&mut prefs, "e"), 1);
        prefs.numbers.insert(u32::MAX, "f".to_owned());
        assert_eq!(enter(&mut prefs, "g"), 2);
    }

    #[test]
    fn an_edit_leaves_the_others_alone() {
        let (a, b) = (|| "a".to_owned(), || "b".to_owned());
        let edits = [
            Edit::Number(a()),
            Edit::Format(Format::Json),
            Edit::Mute(a(), Some(7)),
            Edit::Number(b()),
            Edit::Mute(b(), Some(9)),
            Edit::Mute(b(), None),
        ];
        let mut prefs = Prefs::default();
        prefs.edit(&edits);
        let want = Prefs {
            format: Some(Format::Json),
            numbers: [(1, a()), (2, b())].into(),
            muted: [(a(), 7)].into(),
        };
        assert_eq!(prefs, want);
        prefs.edit(&edits);
        assert_eq!(prefs, want, "twice is as once");
        assert!(prefs.is_muted("a", 6) && !prefs.is_muted("a", 7) && !prefs.is_muted("b", 0));
        prefs.edit(&[Edit::Forget(a())]);
        assert_eq!((prefs.numbers, prefs.muted), ([(2, b())].into(), BTreeMap::new()));
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
