//! `leela complete-series -- WORD...`: names of series for the last word, for the scripts of `leela completion` alone.
//! Within 100 ms or not at all: a shell waits for it.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use common::ask::{Answer, Ask, Selection};
use common::query::selector::Selector;
use common::wire::Words;

use crate::instance::Instance;
use crate::output;
use crate::store::client::Client;

/// The word that asks for it.
pub(crate) const WORD: &str = "complete-series";

const TIMEOUT: Duration = Duration::from_millis(100);
/// Names that are offered; a person reads no more.
const NAMES_MAX: u64 = 200;

/// What is to be completed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Wanted {
    runtime_dir: Option<PathBuf>,
    /// The word so far.
    word: String,
}

/// Prints names, one a line; whatever goes wrong, it prints none.
pub(crate) fn run(words: &[String]) {
    let until = Instant::now() + TIMEOUT;
    if let Some(wanted) = wanted(words)
        && let Some(names) = names(&wanted, until)
    {
        let mut out = output::out();
        for name in names {
            // The shell is gone: nobody is to be told.
            let _ = writeln!(out, "{name}");
        }
        let _ = out.flush();
    }
}

/// What the words behind `leela` ask for; `None` where no series stands.
fn wanted(words: &[String]) -> Option<Wanted> {
    let (word, before) = words.split_last()?;
    if word.starts_with('-') {
        return None;
    }
    let mut runtime_dir = None;
    let mut plain = Vec::new();
    let mut before = before.iter();
    while let Some(word) = before.next() {
        match word.as_str() {
            "--runtime-dir" => runtime_dir = Some(PathBuf::from(before.next()?)),
            // Options with a value of their own.
            "-o" | "--output" | "--count" | "--timeout" | "--where" | "--stale" | "--new" | "--from"
            | "--to" | "--kind" | "--file" => {
                before.next()?;
            }
            option if option.starts_with('-') => {
                if let Some(dir) = option.strip_prefix("--runtime-dir=") {
                    runtime_dir = Some(PathBuf::from(dir));
                }
            }
            plain_word => plain.push(plain_word),
        }
    }
    // A query's regex stands behind the pipeline.
    let is_series =
        matches!(plain.as_slice(), ["query", _] | ["series" | "tail"] | ["store", "delete" | "export"]);
    is_series.then(|| Wanted { runtime_dir, word: word.clone() })
}

/// The names that go on as the word does.
fn names(wanted: &Wanted, until: Instant) -> Option<Vec<String>> {
    let instance = Instance::choose(wanted.runtime_dir.as_deref()).ok()?;
    let (anchor, literal) =
        wanted.word.strip_prefix('^').map_or(("", wanted.word.as_str()), |rest| ("^", rest));
    // A `\.` that was completed before is a dot.
    let literal = literal.replace('\\', "");
    let pattern = literal.chars().flat_map(|char| {
        let is_plain = char.is_alphanumeric() || "_-/ ".contains(char);
        (!is_plain).then_some('\\').into_iter().chain([char])
    });
    let pattern: String = std::iter::once('^').chain(pattern).collect();
    let selection = Selection::matching(Selector::parse(&pattern).ok()?);
    let mut client = Client::hurried(&instance.runtime_dir.storage_query(), until).ok()?;
    let mut names = Vec::new();
    let asked = client.ask(&Ask::Names(selection, Some(NAMES_MAX)), |answer| {
        let Answer::Records(header, records) = answer else { return Ok(()) };
        for word in Words::new(records, header.count).flatten() {
            let key = String::from_utf8_lossy(word.word);
            // A regex sees the name without its tags.
            let name = format!("{anchor}{}", common::key::name(&key));
            if names.last() != Some(&name) {
                names.push(name);
            }
        }
        Ok(())
    });
    // Not all of them is none: it would look as if there were no more.
    asked.ok().map(|_| names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_offered_where_a_pattern_stands() {
        for (words, want) in [
            (&["series", ""][..], Some("")),
            (&["series", "^ro"], Some("^ro")),
            (&["tail", "ro"], Some("ro")),
            (&["query", "mean", "^ro"], Some("^ro")),
            (&["query", "mea"], None),
            (&["query", "-o", "json", "mean", "^ro"], Some("^ro")),
            (&["store", "delete", "ro"], Some("ro")),
            (&["store", "delete", "--dry-run", "ro"], Some("ro")),
            (&["store", "export", "ro"], Some("ro")),
            (&["store", "import", "ro"], None),
            (&["store", "del"], None),
            (&["series", "--st"], None),
            (&["series", "--stale", "5"], None),
            (&["series", "^ro", "x"], None),
            (&["send", "gauge", "ro"], None),
            (&[], None),
        ] {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(wanted(&words).map(|wanted| wanted.word).as_deref(), want, "{words:?}");
        }
        let words = ["--runtime-dir", "/tmp/x", "series", "a"].map(str::to_owned);
        assert_eq!(wanted(&words).unwrap().runtime_dir, Some(PathBuf::from("/tmp/x")));
    }
}
