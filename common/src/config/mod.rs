//! Configuration: one TOML file per process, drop-ins beside it, every key at a default.
//!
//! A process's configuration is one struct with `#[serde(default, deny_unknown_fields)]` and a `Default`
//! written by hand. No field is an `Option`: "none" is an empty text, list or table, so that every key can be
//! shown with its default.
//!
//! Read are `<dir>/<process>.toml`, then `<dir>/<process>.d/*.toml` in the order of their names; each has to
//! be right by itself. What comes later wins, key by key; tables are joined, lists replaced.

mod file;
mod secret;
mod shown;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::exit::{Exit, OrExit};
use file::{File, KeyPath};

pub use secret::{Secret, credential};
pub use shown::{defaults, entries, manual, shown};

/// Where configuration lies when the command line does not say.
pub const DIR: &str = "/etc/leela";

/// Where to read from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// This file alone; it has to be there (`--config`).
    File(PathBuf),
    /// This directory, which has to be there; a process's files in it need not be (`--config-dir`).
    Dir(PathBuf),
    /// [`DIR`]; nothing need be there.
    Default,
}

/// A value that is of the right type and still cannot work.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{key}: {why}")]
pub struct Wrong {
    /// The key, dotted: `tags.host`.
    pub key: &'static str,
    /// What is wrong and the way out, lower case, no full stop.
    pub why: String,
}

impl Wrong {
    /// `Wrong::new("ring", "at least 1MiB")`.
    pub fn new(key: &'static str, why: impl Into<String>) -> Wrong {
        Wrong { key, why: why.into() }
    }
}

/// A configuration with the place each key comes from.
#[derive(Clone, Debug)]
pub struct Loaded<C> {
    /// What is in force.
    pub config: C,
    origins: BTreeMap<KeyPath, Origin>,
}

#[derive(Clone, Debug)]
struct Origin {
    file: PathBuf,
    line: usize,
}

/// Reads the configuration of `process` (`udp`). Every error names file and line and exits 78 (a file that
/// may not be read: 77).
pub fn load<C: Serialize + DeserializeOwned + Default>(
    process: &str,
    source: &Source,
) -> anyhow::Result<Loaded<C>> {
    let mut merged = Table::new();
    let mut origins = BTreeMap::new();
    for path in files(process, source)? {
        let text = read(&path)?;
        let file = File::parse::<C>(&path, &text).exit(Exit::Config)?;
        merge(&mut merged, file.table);
        for (key, line) in file.lines {
            origins.insert(key, Origin { file: path.clone(), line });
        }
    }
    let config = Value::Table(merged)
        .try_into()
        .with_context(|| format!("the configuration files of {process} do not fit together"))
        .exit(Exit::Config)?;
    Ok(Loaded { config, origins })
}

impl<C: Serialize> Loaded<C> {
    /// Every key in force, `key = value  # where it comes from`, a line each; TOML again.
    pub fn in_force(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        for (path, value) in shown::flatten(&self.config)? {
            let origin = self.origin(&path);
            text.push_str(&format!("{} = {value}  # {origin}\n", shown::dotted(&path)));
        }
        Ok(text)
    }

    /// The error for a value that cannot work: it says where the value stands, and exits 78.
    pub fn wrong(&self, wrong: &Wrong) -> anyhow::Error {
        let path: KeyPath = wrong.key.split('.').map(str::to_owned).collect();
        Exit::Config.error(format_args!("{}: {wrong}", self.origin(&path)))
    }

    /// `/etc/leela/udp.toml:3`, or `default`.
    fn origin(&self, path: &[String]) -> String {
        // A value may stand deeper in the file than it is shown (a table that is shown as one text), or
        // higher.
        let above = (1..=path.len()).rev().find_map(|len| self.origins.get(&path[..len]));
        let below = || self.origins.iter().find(|(key, _)| key.starts_with(path)).map(|(_, origin)| origin);
        match above.or_else(below) {
            Some(Origin { file, line }) => format!("{}:{line}", file.display()),
            None => "default".to_owned(),
        }
    }
}

/// The files to read that are there, in order.
fn files(process: &str, source: &Source) -> anyhow::Result<Vec<PathBuf>> {
    let dir = match source {
        Source::File(path) => return Ok(vec![path.clone()]),
        Source::Dir(dir) => {
            fs::read_dir(dir).map_err(|error| unreadable(error, dir))?;
            dir.as_path()
        }
        Source::Default => Path::new(DIR),
    };
    let mut files = Vec::new();
    let main = dir.join(format!("{process}.toml"));
    // A link that leads nowhere is an error when it is read, not a file that nobody wrote.
    if fs::symlink_metadata(&main).is_ok() {
        files.push(main);
    }
    files.extend(drop_ins(&dir.join(format!("{process}.d")))?);
    Ok(files)
}

fn drop_ins(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error, dir)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| unreadable(error, dir))?.path();
        // An editor's `.#10-ring.toml` is not meant.
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension() == Some(OsStr::new("toml")) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).map_err(|error| unreadable(error, path))
}

fn unreadable(error: io::Error, path: &Path) -> anyhow::Error {
    let exit = if error.kind() == io::ErrorKind::PermissionDenied { Exit::NoPerm } else { Exit::Config };
    exit.error(format_args!("reading {}: {error}", path.display()))
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
