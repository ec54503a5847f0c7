//! Rules: what becomes of series by their names and tags, before anything else sees them. The first that matches wins.

use std::collections::BTreeMap;
use std::fmt;

use regex::Regex;
use serde::{Deserialize, Serialize};

/// A rule as it stands in the configuration.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A regular expression of names; empty is any.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// A regular expression of tags, `tag:value` or `tag`, one of which has to match; empty is any, and none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tag: String,
    /// Whether it is dropped.
    #[serde(skip_serializing_if = "is_false")]
    pub drop: bool,
    /// The new name, in which `$1` and `${group}` are what `name` has matched; empty leaves it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rename: String,
    /// The tags that stay; all others go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<Vec<String>>,
    /// Tags that are added; they win over those of the same name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub add: BTreeMap<String, String>,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// All of them, ready to be used.
#[derive(Clone, Debug, Default)]
pub struct Rules(Vec<Rule>);

/// One of them.
#[derive(Clone, Debug)]
pub struct Rule {
    name: Option<Regex>,
    tag: Option<Regex>,
    /// It is dropped.
    pub drop: bool,
    rename: String,
    /// The tags that stay.
    pub keep: Option<Vec<String>>,
    /// Tags that are added.
    pub add: Vec<(String, String)>,
}

/// Why a rule cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unusable(String);

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Rules {
    /// Prepares rules.
    ///
    /// # Errors
    /// Says which one cannot be used, and why.
    pub fn new(rules: &[Config]) -> Result<Rules, Unusable> {
        let numbered = rules.iter().zip(1..);
        numbered
            .map(|(rule, number)| Rule::new(rule).map_err(|why| Unusable(format!("rule {number}: {why}"))))
            .collect::<Result<_, _>>()
            .map(Rules)
    }

    /// True when there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first rule that matches a name and its tags, each with its value.
    pub fn find<'t>(
        &self,
        name: &[u8],
        tags: impl Iterator<Item = (&'t [u8], &'t [u8])> + Clone,
    ) -> Option<&Rule> {
        self.0.iter().find(|rule| rule.matches(name, tags.clone()))
    }
}

impl Rule {
    fn new(config: &Config) -> Result<Rule, String> {
        let Config { name, tag, drop, rename, keep, add } = config;
        let regex = |key: &str, text: &String| match text.is_empty() {
            true => Ok(None),
            false => Regex::new(text).map(Some).map_err(|error| format!("{key}: {error}")),
        };
        if !drop && rename.is_empty() && keep.is_none() && add.is_empty() {
            return Err("it says nothing: write drop, rename, keep or add".to_owned());
        }
        if *drop && !(rename.is_empty() && keep.is_none() && add.is_empty()) {
            return Err("what is dropped has no use for rename, keep and add".to_owned());
        }
        if !rename.is_empty() && name.is_empty() {
            return Err("rename needs the name it renames".to_owned());
        }
        let is_text = |text: &str| !text.contains(|char: char| char.is_control() || char == ';');
        if !is_text(rename) {
            return Err("rename: no control character and no ; can stand in a name".to_owned());
        }
        for (tag, value) in add {
            if tag.is_empty() || tag.contains('=') || !is_text(tag) || !is_text(value) {
                return Err(format!("add: {tag:?} = {value:?} is no tag"));
            }
        }
        Ok(Rule {
            name: regex("name", name)?,
            tag: regex("tag", tag)?,
            drop: *drop,
            rename: rename.clone(),
            keep: keep.clone(),
            add: add.iter().map(|(tag, value)| (tag.clone(), value.clone())).collect(),
        })
    }

    fn matches<'t>(&self, name: &[u8], mut tags: impl Iterator<Item = (&'t [u8], &'t [u8])>) -> bool {
        let is_named = self.name.as_ref().is_none_or(|regex| regex.is_match(text(name)));
        is_named
            && self.tag.as_ref().is_none_or(|regex| {
                tags.any(|(tag, value)| match value.is_empty() {
                    true => regex.is_match(text(tag)),
                    false => regex.is_match(&format!("{}:{}", text(tag), text(value))),
                })
            })
    }

    /// What the rule makes of a name; none where it leaves it.
    pub fn renamed(&self, name: &[u8]) -> Option<String> {
        let regex = self.name.as_ref().filter(|_| !self.rename.is_empty())?;
        let mut renamed = String::new();
        regex.captures(text(name))?.expand(&self.rename, &mut renamed);
        Some(renamed)
    }
}

/// Names and tags are UTF-8 when rules see them.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_that_cannot_be_used_is_named() {
        for (text, want) in [
            ("[[rules]]\nname = \"^a\"\ndrop = true", Ok(())),
            ("[[rules]]\nname = \"(\"\ndrop = true", Err("rule 1: name: ")),
            ("[[rules]]\ntag = \"(\"\ndrop = true", Err("rule 1: tag: ")),
            ("[[rules]]\ndrop = true\n[[rules]]\nname = \"a\"", Err("rule 2: it says nothing")),
            ("[[rules]]\ndrop = true\nkeep = []", Err("rule 1: what is dropped")),
            ("[[rules]]\nrename = \"a\"", Err("rule 1: rename needs")),
            ("[[rules]]\nname = \"a\"\nrename = \"a;b\"", Err("rule 1: rename: ")),
            ("[[rules]]\nadd = { \"a=b\" = \"c\" }", Err("rule 1: add: ")),
            ("[[rules]]\nadd = { a = \"b;c\" }", Err("rule 1: add: ")),
            ("[[rules]]\nkeep = []", Ok(())),
        ] {
            #[derive(Deserialize)]
            struct File {
                rules: Vec<Config>,
            }
            let file: File = toml::from_str(text).unwrap();
            match (Rules::new(&file.rules), want) {
                (Ok(_), Ok(())) => {}
                (Err(error), Err(want)) => assert!(error.to_string().starts_with(want), "{text}: {error}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }
}
