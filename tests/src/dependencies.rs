//! What may depend on what: one direction, licences that can be shipped, heavy crates in their own process only,
//! unsafe code in two places. Each rule is a function over what `cargo metadata` says, and gives the faults.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

/// Licences that anybody may ship under.
const LICENCES: [&str; 9] =
    ["MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "ISC", "Unicode-3.0", "Zlib", "CC0-1.0"];

/// Licences that only these crates may have: whoever ships a changed one has to publish the change.
const LICENCES_OF_SOME: [(&str, &[&str]); 1] = [(
    "MPL-2.0",
    &[
        "jid",
        "minidom",
        "option-ext",
        "sasl",
        "tokio-xmpp",
        "webpki-roots",
        "xmpp-parsers",
        "xso",
        "xso_proc",
    ],
)];

/// Crates that belong to one process, and to it alone.
const HEAVY: [(&str, &[&str]); 14] = [
    ("aes", &["leela-collectd"]),
    ("axum", &["leela-http"]),
    ("hmac", &["leela-collectd", "leela-xmpp"]),
    ("hyper", &["leela-http"]),
    ("redis", &["leela-xmpp"]),
    ("rustls", &["leela-http", "leela-statsd", "leela-xmpp"]),
    ("tokio", &["leela-http", "leela-xmpp"]),
    ("tokio-xmpp", &["leela-xmpp"]),
    ("xmpp-parsers", &["leela-xmpp"]),
    ("ofb", &["leela-collectd"]),
    ("sha1", &["leela-collectd", "leela-xmpp"]),
    ("sha2", &["leela-collectd", "leela-xmpp"]),
    ("sysinfo", &["leela-host"]),
    ("procfs-core", &["leela-host"]),
];

/// Where the word may stand; everywhere else the compiler denies what it is for.
const UNSAFE: [&str; 2] = ["common/mapped/src/", "sockets/src/meminfo.rs"];

// Joined, or this file would be a finding.
const WORD: &str = concat!("un", "safe");

/// What cargo says of the workspace at `root`, for Linux: Leela runs nowhere else.
///
/// # Errors
/// When cargo fails, or cannot be understood.
pub fn metadata(root: &Path) -> anyhow::Result<Value> {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--filter-platform", &platform])
        .current_dir(root)
        .output()
        .context("running cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).context("cargo metadata is no JSON")
}

/// What a member of the workspace is, by where it lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    Mapped,
    Common,
    Sockets,
    Hop,
    Process,
    Tests,
    /// Stands on what the tests stand on.
    Bench,
}

impl Role {
    fn of(place: &str) -> Option<Role> {
        Some(match place {
            "common/mapped" => Role::Mapped,
            "common" => Role::Common,
            "sockets" => Role::Sockets,
            "sockets/hop" => Role::Hop,
            place if place.starts_with("bins/") => Role::Process,
            "tests/bench" | "tests/faults" => Role::Bench,
            place if place == "tests" || place.starts_with("tests/") => Role::Tests,
            _ => return None,
        })
    }

    /// Processes know each other only by what they send.
    fn may_use(self, other: Role) -> bool {
        match self {
            Role::Mapped => false,
            Role::Common | Role::Sockets => other == Role::Mapped,
            Role::Hop => matches!(other, Role::Common | Role::Sockets | Role::Mapped),
            Role::Process => matches!(other, Role::Common | Role::Sockets | Role::Hop),
            Role::Tests => !matches!(other, Role::Tests | Role::Bench),
            Role::Bench => other != Role::Bench,
        }
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

/// The members of the workspace: each one's package, and its directory below the root.
fn members(metadata: &Value) -> Vec<(&Value, &str)> {
    let root = text(metadata, "workspace_root");
    let ids: BTreeSet<&str> = list(metadata, "workspace_members").iter().filter_map(Value::as_str).collect();
    list(metadata, "packages")
        .iter()
        .filter(|package| ids.contains(text(package, "id")))
        .map(|package| (package, place_of(package, root).unwrap_or_default()))
        .collect()
}

fn place_of<'a>(package: &'a Value, root: &str) -> Option<&'a str> {
    let place = text(package, "manifest_path").strip_prefix(root)?.strip_prefix('/')?;
    place.strip_suffix("/Cargo.toml")
}

/// Edges inside the workspace that go the wrong way, of any kind, also those of tests.
pub fn direction(metadata: &Value) -> Vec<String> {
    let members = members(metadata);
    let roles: BTreeMap<&str, Option<Role>> =
        members.iter().map(|(package, place)| (text(package, "name"), Role::of(place))).collect();
    let mut faults = Vec::new();
    for (package, place) in &members {
        let from = text(package, "name");
        let Some(role) = roles[from] else {
            faults.push(format!("{from} lies in {place:?}, where no member is known"));
            continue;
        };
        for dependency in list(package, "dependencies").iter().filter(|one| one["path"].is_string()) {
            let to = text(dependency, "name");
            // A crate's tests may turn on a feature of it: that edge leads nowhere.
            if to == from && text(dependency, "kind") == "dev" {
                continue;
            }
            if !roles.get(to).copied().flatten().is_some_and(|other| role.may_use(other)) {
                faults.push(format!("{from} must not depend on {to}"));
            }
        }
    }
    faults
}

/// The packages that are built into what `ids` ship: no dependencies of tests.
fn shipped<'a>(metadata: &'a Value, ids: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    let nodes: BTreeMap<&str, &Value> =
        list(&metadata["resolve"], "nodes").iter().map(|node| (text(node, "id"), node)).collect();
    let mut open: Vec<&str> = ids.collect();
    let mut found = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !found.insert(id) {
            continue;
        }
        for dependency in nodes.get(id).map_or(&[][..], |node| list(node, "deps")) {
            if list(dependency, "dep_kinds").iter().any(|kind| text(kind, "kind") != "dev") {
                open.push(text(dependency, "pkg"));
            }
        }
    }
    found
}

/// The members that people install, and what they stand on.
fn shipped_members(metadata: &Value) -> impl Iterator<Item = &Value> {
    let members = members(metadata).into_iter();
    members
        .filter(|(_, place)| !matches!(Role::of(place), Some(Role::Tests | Role::Bench)))
        .map(|(package, _)| package)
}

/// Crates in what is shipped whose licence is not on the list.
pub fn licences(metadata: &Value) -> Vec<String> {
    let shipped = shipped(metadata, shipped_members(metadata).map(|package| text(package, "id")));
    list(metadata, "packages")
        .iter()
        .filter(|package| shipped.contains(text(package, "id")))
        .filter_map(|package| {
            let (name, licence) = (text(package, "name"), text(package, "license"));
            (!is_licensed(name, licence)).then(|| format!("{name}: licence {licence:?} is not on the list"))
        })
        .collect()
}

/// Whether an SPDX expression leaves a choice of listed licences; the older `A/B` is `A OR B`.
fn is_licensed(name: &str, expression: &str) -> bool {
    let expression = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = expression.split_whitespace().peekable();
    let listed = either(name, &mut words);
    listed == Some(true) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn either(name: &str, words: &mut Words<'_>) -> Option<bool> {
    let mut listed = both(name, words)?;
    while words.next_if_eq(&"OR").is_some() {
        listed |= both(name, words)?;
    }
    Some(listed)
}

fn both(name: &str, words: &mut Words<'_>) -> Option<bool> {
    let mut listed = one(name, words)?;
    while words.next_if_eq(&"AND").is_some() {
        listed &= one(name, words)?;
    }
    Some(listed)
}

fn one(name: &str, words: &mut Words<'_>) -> Option<bool> {
    let word = words.next()?;
    if word == "(" {
        let listed = either(name, words)?;
        return (words.next()? == ")").then_some(listed);
    }
    // An exception only takes conditions away.
    if words.next_if_eq(&"WITH").is_some() {
        words.next()?;
    }
    let of_some = LICENCES_OF_SOME.iter().any(|(licence, names)| *licence == word && names.contains(&name));
    Some(LICENCES.contains(&word) || of_some)
}

/// Members that stand on a heavy crate which is another process's.
pub fn heavy(metadata: &Value) -> Vec<String> {
    let names: BTreeMap<&str, &str> = list(metadata, "packages")
        .iter()
        .map(|package| (text(package, "id"), text(package, "name")))
        .collect();
    let mut faults = Vec::new();
    for member in shipped_members(metadata) {
        let name = text(member, "name");
        let below = shipped(metadata, std::iter::once(text(member, "id")));
        for crate_ in below.iter().filter_map(|id| names.get(id)) {
            let belongs = HEAVY.iter().find(|(heavy, _)| heavy == crate_);
            if let Some((_, owners)) = belongs.filter(|(_, owners)| !owners.contains(&name)) {
                faults.push(format!(
                    "{name} must not depend on {crate_}, which is {}'s",
                    owners.join("'s and ")
                ));
            }
        }
    }
    faults
}

/// Members whose manifest leaves out the workspace's lints.
///
/// # Errors
/// When a manifest cannot be read.
pub fn lints(metadata: &Value) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    for (package, _) in members(metadata) {
        let manifest: toml::Table = fs::read_to_string(text(package, "manifest_path"))?.parse()?;
        if manifest.get("lints").and_then(|lints| lints.get("workspace")) != Some(&toml::Value::Boolean(true))
        {
            faults.push(format!("{} does not take the workspace's lints", text(package, "name")));
        }
    }
    Ok(faults)
}

/// Lines of the members' sources that have the word, but for the two places it belongs to.
///
/// # Errors
/// When a source cannot be read.
pub fn unsafe_places(metadata: &Value) -> anyhow::Result<Vec<String>> {
    let root = Path::new(text(metadata, "workspace_root"));
    let mut faults = Vec::new();
    for (_, place) in members(metadata) {
        for path in sources(&root.join(place))? {
            let shown = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            if !UNSAFE.iter().any(|allowed| shown.starts_with(allowed)) {
                let lines = words_in(&fs::read_to_string(&path)?);
                faults.extend(lines.into_iter().map(|line| format!("{shown}:{line}: {WORD} code")));
            }
        }
    }
    faults.sort();
    faults.dedup();
    Ok(faults)
}

/// The lines that have the word, or let it in, outside of comments.
fn words_in(source: &str) -> Vec<usize> {
    let allowed = format!("{WORD}_code");
    let has = |line: &str| {
        let code = line.split("//").next().unwrap_or_default();
        let mut words = code.split(|char: char| !(char.is_alphanumeric() || char == '_'));
        words.any(|word| word == WORD || word == allowed)
    };
    source.lines().enumerate().filter(|(_, line)| has(line)).map(|(number, _)| number + 1).collect()
}

/// The Rust files of a member, without those of a member inside it, build results and the fuzzer's.
fn sources(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            if !path.join("Cargo.toml").exists() && !path.ends_with("target") {
                found.extend(sources(&path)?);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_licence_is_listed_when_a_listed_choice_is_left() {
        for (licence, want) in [
            ("MIT", true),
            ("MIT OR Apache-2.0", true),
            ("MIT/Apache-2.0", true),
            ("Unlicense OR MIT", true),
            ("MIT OR Apache-2.0 OR LGPL-2.1-or-later", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("(MIT OR Apache-2.0) AND NCSA", false),
            ("GPL-3.0-only", false),
            ("MIT AND GPL-3.0-only", false),
            ("MIT OR GPL-3.0-only AND GPL-2.0-only", true),
            ("MPL-2.0", false),
            ("", false),
            ("MIT OR", false),
            ("(MIT", false),
            ("MIT MIT", false),
        ] {
            assert_eq!(is_licensed("some", licence), want, "{licence}");
        }
        assert!(is_licensed("option-ext", "MPL-2.0"));
    }

    #[test]
    fn the_word_is_found_in_code_and_not_in_comments() {
        let code =
            format!("a {WORD} {{ b }}\n// {WORD}\n#![allow({WORD}_code)]\nnot_{WORD}\n{WORD} fn c()\n");
        assert_eq!(words_in(&code), [1, 3, 5]);
    }
}
