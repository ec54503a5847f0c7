//! A process, as its books have it.

use common::books::{Snapshot, State};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// What holds at every commit, by the names of counters and families: the whole, and its parts.
const IDENTITIES: [(&str, &[&str]); 5] = [
    ("received", &["accepted", "refused"]),
    ("accepted", &["passed", "merged", "dropped", "waiting"]),
    ("absolute_applied", &["absolute_emitted", "absolute_open", "absolute_lost"]),
    ("aggregated_applied", &["aggregated_emitted", "aggregated_open", "aggregated_lost"]),
    ("frames.produced", &["frames.delivered", "frames.lost", "frames.waiting"]),
];

/// One process of the report.
#[derive(Serialize, Clone, PartialEq, Debug)]
pub struct Process {
    /// Without `leela-`.
    pub name: String,
    /// What it is doing.
    #[serde(serialize_with = "word")]
    pub state: State,
    /// Its process id.
    pub pid: u64,
    /// When it was started, in seconds since 1970.
    pub since: f64,
    /// In the order of the man page.
    #[serde(serialize_with = "map")]
    pub counters: Vec<(String, u64)>,
}

fn word<S: Serializer>(state: &State, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(state.word())
}

fn map<S: Serializer>(counters: &[(String, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(counters.len()))?;
    for (name, value) in counters {
        map.serialize_entry(name, value)?;
    }
    map.end()
}

/// An identity that does not hold: `received 10 is not accepted 7 + refused 2`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Difference {
    pub(super) text: String,
}

impl Process {
    /// What the books say.
    pub(super) fn of(books: &Snapshot) -> Process {
        Process {
            name: books.process.clone(),
            state: books.state,
            pid: books.pid,
            since: books.since.as_secs_f64(),
            counters: books.counters.clone(),
        }
    }

    /// The counter of this name, or the sum of its family; `None` where the books have neither.
    pub fn total(&self, family: &str) -> Option<u64> {
        let of_family = |name: &str| {
            name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let mut values = self.counters.iter().filter(|(name, _)| of_family(name)).map(|(_, value)| *value);
        let first = values.next()?;
        Some(first + values.sum::<u64>())
    }

    /// The counters of a family that are not 0, largest first, without the family's name.
    pub fn family(&self, family: &str) -> Vec<(&str, u64)> {
        let of_family = |(name, value): &'_ (String, u64)| {
            name.strip_prefix(family).and_then(|rest| rest.strip_prefix('.')).is_some() && *value > 0
        };
        let mut found: Vec<(&str, u64)> = self
            .counters
            .iter()
            .filter(|counter| of_family(counter))
            .map(|(name, value)| (&name[family.len() + 1..], *value))
            .collect();
        found.sort_by_key(|(_, value)| std::cmp::Reverse(*value));
        found
    }

    /// The identities that do not hold. Books that do not have the left side, or nothing of the right, promise
    /// nothing.
    pub(super) fn differences(&self) -> Vec<Difference> {
        IDENTITIES.iter().filter_map(|&(whole, parts)| self.difference(whole, parts)).collect()
    }

    fn difference(&self, whole: &str, parts: &[&str]) -> Option<Difference> {
        let have = self.total(whole)?;
        let parts: Vec<(&str, u64)> =
            parts.iter().filter_map(|part| Some((*part, self.total(part)?))).collect();
        if parts.is_empty() || parts.iter().map(|(_, value)| value).sum::<u64>() == have {
            return None;
        }
        let parts: Vec<String> = parts.iter().map(|(part, value)| format!("{part} {value}")).collect();
        Some(Difference { text: format!("{whole} {have} is not {}", parts.join(" + ")) })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A process with these counters.
    pub(in crate::account) fn process(name: &str, state: State, counters: &[(&str, u64)]) -> Process {
        let counters = counters.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        Process { name: name.to_owned(), state, pid: 7, since: 0.0, counters }
    }

    #[test]
    fn a_process_balances_by_the_names_of_its_counters() {
        for (counters, want) in [
            (&[("received", 9), ("accepted", 7), ("passed", 7), ("refused.length", 2)][..], &[][..]),
            (
                &[
                    ("received", 9),
                    ("accepted", 9),
                    ("passed", 4),
                    ("merged", 3),
                    ("dropped.old", 1),
                    ("waiting", 1),
                ],
                &[],
            ),
            (&[("received", 9)], &[]),
            (&[("datagrams", 9), ("refused.length", 1)], &[]),
            (
                &[("received", 9), ("accepted", 7), ("refused.length", 1)],
                &["received 9 is not accepted 7 + refused 1"],
            ),
            (
                &[
                    ("absolute_applied", 5),
                    ("absolute_emitted", 3),
                    ("absolute_open", 2),
                    ("absolute_lost", 0),
                ],
                &[],
            ),
            (
                &[
                    ("frames.produced", 5),
                    ("frames.delivered", 3),
                    ("frames.lost.slow_client", 1),
                    ("frames.waiting", 1),
                ],
                &[],
            ),
            (&[("accepted", 7), ("passed", 8)], &["accepted 7 is not passed 8"]),
        ] {
            let found = process("udp", State::Running, counters).differences();
            let found: Vec<&str> = found.iter().map(|difference| difference.text.as_str()).collect();
            assert_eq!(found, want, "{counters:?}");
        }
    }

    #[test]
    fn counters_keep_the_order_of_the_man_page() {
        let process = process("udp", State::Stopped, &[("z", 1), ("a", 2)]);
        assert_eq!(
            serde_json::to_string(&process).unwrap(),
            r#"{"name":"udp","state":"stopped","pid":7,"since":0.0,"counters":{"z":1,"a":2}}"#
        );
    }
}
