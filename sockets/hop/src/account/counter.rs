//! What the name of a counter says of it, for whoever shows all counters of all processes.

/// Families of counters: the last word of the family's name, and the tag that its labels become.
const FAMILIES: [(&str, &str); 9] = [
    ("refused", "reason"),
    ("dropped", "reason"),
    ("unreadable", "reason"),
    ("unread", "what"),
    ("away", "reason"),
    ("ok", "route"),
    ("wrong", "route"),
    ("failed", "route"),
    ("cut", "route"),
];

/// Counters whose name ends in one of these say how many there are now.
const LEVELS: [&str; 14] = [
    "waiting",
    "open",
    "series",
    "peers",
    "connections",
    "procs",
    "disk_bytes",
    "log_bytes",
    "log_end",
    "streams",
    "online",
    "front",
    "subscriptions",
    "served",
];

/// A counter, by its name in the books.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counter<'a> {
    /// The name; of one of a family the family's.
    pub name: &'a str,
    /// What the label of a family's counter says, and the label: `refused.length` is `refused` with `reason=length`.
    pub tag: Option<(&'static str, &'a str)>,
    /// It says how many there are now; else how many there were, ever.
    pub is_level: bool,
}

impl Counter<'_> {
    /// Reads a name of the books.
    pub fn of(counter: &str) -> Counter<'_> {
        let (name, tag) = split(counter);
        let ends_in = |words: &str| {
            name.strip_suffix(words).is_some_and(|before| before.is_empty() || before.ends_with(['.', '_']))
        };
        Counter { name, tag, is_level: LEVELS.iter().any(|words| ends_in(words)) }
    }
}

/// A counter's name, and the label with its tag when it is one of a family: `refused.length` is `refused` with
/// `reason=length`. Other names keep their dots.
fn split(counter: &str) -> (&str, Option<(&'static str, &str)>) {
    for (dot, _) in counter.match_indices('.') {
        let family = last_word(&counter[..dot]);
        if let Some((_, tag)) = FAMILIES.iter().find(|(word, _)| *word == family) {
            return (&counter[..dot], Some((tag, &counter[dot + 1..])));
        }
    }
    (counter, None)
}

fn last_word(name: &str) -> &str {
    name.rsplit(['.', '_']).next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_a_tag_and_a_level_is_a_gauge() {
        for (counter, want, level) in [
            ("received", ("received", None), false),
            ("refused.bad_key", ("refused", Some(("reason", "bad_key"))), false),
            ("dropped.ring_full", ("dropped", Some(("reason", "ring_full"))), false),
            ("datagrams_refused.form", ("datagrams_refused", Some(("reason", "form"))), false),
            ("databus.refused.form", ("databus.refused", Some(("reason", "form"))), false),
            ("unreadable.version", ("unreadable", Some(("reason", "version"))), false),
            ("requests.cut.series", ("requests.cut", Some(("route", "series"))), false),
            ("turned_away.head", ("turned_away", Some(("reason", "head"))), false),
            ("unread.books", ("unread", Some(("what", "books"))), false),
            ("passed.gauge", ("passed.gauge", None), false),
            ("refused.series", ("refused", Some(("reason", "series"))), false),
            ("series", ("series", None), true),
            ("absolute_open", ("absolute_open", None), true),
            ("absolute.open", ("absolute.open", None), true),
            ("reopened", ("reopened", None), false),
            ("disk_bytes", ("disk_bytes", None), true),
            ("bytes", ("bytes", None), false),
            ("online", ("online", None), true),
            ("series_expired", ("series_expired", None), false),
        ] {
            let Counter { name, tag, is_level } = Counter::of(counter);
            assert_eq!(((name, tag), is_level), (want, level), "{counter}");
        }
    }
}
