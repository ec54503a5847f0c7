//! The simple map.

use std::collections::{BTreeMap, BTreeSet};

use common::ask::TagTest;
use common::query::selector::Selector;
use leela_storage::store::{Kind, Which};

/// Where a record stands: its time in ms, and window and kind of a state.
pub(crate) type Place = (i64, Vec<u8>);

/// What is kept, as bytes: an event's are those of its value.
pub(crate) type Series = BTreeMap<Place, Vec<u8>>;

/// All there is, by kind and key.
pub(crate) type Contents = BTreeMap<(Kind, String), Series>;

/// A write that a power cut may undo.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) kind: Kind,
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) bytes: Vec<u8>,
}

/// What a store has to hold.
#[derive(Default)]
pub(crate) struct Expected {
    pub(crate) contents: Contents,
    /// What the last sync has made durable.
    synced: Contents,
    /// What was written since.
    since: Vec<Write>,
}

/// Which series, as a test has it.
#[derive(Clone, Debug)]
pub(crate) enum Chosen {
    Key(String),
    Match(regex::Regex, Vec<(String, String, bool)>),
}

/// A choice that a store can be asked with.
pub(crate) struct Asked {
    key: Option<String>,
    selector: Selector,
    tests: Vec<TagTest>,
}

impl Chosen {
    pub(crate) fn all() -> Chosen {
        Chosen::matching("", Vec::new())
    }

    pub(crate) fn matching(regex: &str, tests: Vec<(String, String, bool)>) -> Chosen {
        Chosen::Match(regex::Regex::new(regex).unwrap(), tests)
    }

    pub(crate) fn asked(&self) -> Asked {
        match self {
            Chosen::Key(key) => {
                Asked { key: Some(key.clone()), selector: Selector::parse("").unwrap(), tests: Vec::new() }
            }
            Chosen::Match(regex, tests) => {
                let test = |(tag, value, is_not): &(String, String, bool)| TagTest {
                    tag: tag.clone(),
                    value: value.clone(),
                    is_not: *is_not,
                };
                let selector = Selector::parse(regex.as_str()).unwrap();
                Asked { key: None, selector, tests: tests.iter().map(test).collect() }
            }
        }
    }

    /// Decided on its own terms: tags are looked for in the text of the key.
    pub(crate) fn selects(&self, key: &str) -> bool {
        match self {
            Chosen::Key(one) => one == key,
            Chosen::Match(regex, tests) => {
                let name = key.split(';').next().unwrap();
                let has = |tag: &str, value: &str| {
                    key.split(';').skip(1).any(|part| part == format!("{tag}={value}"))
                };
                regex.is_match(name) && tests.iter().all(|(tag, value, is_not)| has(tag, value) != *is_not)
            }
        }
    }
}

impl Asked {
    pub(crate) fn which(&self) -> Which<'_> {
        match &self.key {
            Some(key) => Which::Key(key.as_bytes()),
            None => Which::Match(&self.selector, &self.tests),
        }
    }
}

fn apply(contents: &mut Contents, write: &Write) {
    let series = contents.entry((write.kind, write.key.clone())).or_default();
    series.insert(write.place.clone(), write.bytes.clone());
}

impl Expected {
    pub(crate) fn write(&mut self, write: Write) {
        apply(&mut self.contents, &write);
        self.since.push(write);
    }

    /// All that was written is durable.
    pub(crate) fn sync(&mut self) {
        for write in self.since.drain(..) {
            apply(&mut self.synced, &write);
        }
    }

    /// A delete, which is durable at once.
    pub(crate) fn delete(&mut self, chosen: &Chosen) {
        self.sync();
        for contents in [&mut self.contents, &mut self.synced] {
            contents.retain(|(_, key), _| !chosen.selects(key));
        }
    }

    /// Takes away what is before the horizon of its series.
    pub(crate) fn retain(&mut self, horizon_ms: impl Fn(&str) -> i64) {
        for contents in [&mut self.contents, &mut self.synced] {
            for ((_, key), series) in contents.iter_mut() {
                let horizon = horizon_ms(key);
                series.retain(|(time, _), _| *time >= horizon);
            }
            contents.retain(|_, series| !series.is_empty());
        }
        self.since.retain(|write| write.place.0 >= horizon_ms(&write.key));
    }

    /// After a power cut: what the store has may be all that was synced and any of what was written since; it is what
    /// has to be there from now on. Else what is wrong.
    pub(crate) fn settle(&mut self, found: Contents) -> Result<(), String> {
        let mut places: BTreeSet<(Kind, &String, &Place)> = BTreeSet::new();
        for contents in [&found, &self.synced] {
            for ((kind, key), series) in contents {
                places.extend(series.keys().map(|place| (*kind, key, place)));
            }
        }
        for (kind, key, place) in places {
            let at = (kind, key.clone());
            let has = found.get(&at).and_then(|series| series.get(place));
            let had = self.synced.get(&at).and_then(|series| series.get(place));
            let is_since = |write: &&Write| (write.kind, &write.key, &write.place) == (kind, key, place);
            let is_allowed =
                has == had || self.since.iter().filter(is_since).any(|write| Some(&write.bytes) == has);
            if !is_allowed {
                return Err(format!(
                    "after the power cut {key} has {has:?} at {place:?}, and {had:?} was synced"
                ));
            }
        }
        self.contents = found.clone();
        self.synced = found;
        self.since.clear();
        Ok(())
    }

    /// The records of a kind, from and to a time, both inclusive, as a range hands them over.
    pub(crate) fn range(
        &self,
        chosen: &Chosen,
        kind: Kind,
        from_ms: i64,
        to_ms: i64,
    ) -> Vec<(String, Place, Vec<u8>)> {
        let series = self.contents.iter().filter(|((of, key), _)| *of == kind && chosen.selects(key));
        series
            .flat_map(|((_, key), series)| {
                let of_time = series.iter().filter(move |((time, _), _)| (from_ms..=to_ms).contains(time));
                of_time.map(move |(place, bytes)| (key.clone(), place.clone(), bytes.clone()))
            })
            .collect()
    }

    /// The series of a choice, each with its first and last time.
    pub(crate) fn series(&self, chosen: &Chosen) -> BTreeMap<String, (i64, i64)> {
        let mut series: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        for ((_, key), points) in self.contents.iter().filter(|((_, key), _)| chosen.selects(key)) {
            for (time, _) in points.keys() {
                let reach = series.entry(key.clone()).or_insert((*time, *time));
                *reach = (reach.0.min(*time), reach.1.max(*time));
            }
        }
        series
    }
}
