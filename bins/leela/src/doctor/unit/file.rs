//! A unit's file with its drop-ins, found as systemd finds them.
//!
//! Source: systemd.unit(5), systemd.syntax(7).

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// Where units are, the first wins.
const USUAL: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// The directories of units.
#[derive(Debug)]
pub(super) struct Dirs(Vec<PathBuf>);

/// A unit that is installed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Unit {
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// Its file alone.
    pub(super) text: String,
    /// Section, key and value, those of drop-ins behind.
    entries: Vec<(String, String, String)>,
}

impl Dirs {
    /// Those of `$SYSTEMD_UNIT_PATH`; an empty one at its end stands for the usual ones.
    pub(super) fn of(variable: Option<OsString>) -> Dirs {
        let usual = || USUAL.map(PathBuf::from);
        let Some(variable) = variable.filter(|variable| !variable.is_empty()) else {
            return Dirs(usual().to_vec());
        };
        let given = env::split_paths(&variable);
        Dirs(given.flat_map(|dir| if dir == Path::new("") { usual().to_vec() } else { vec![dir] }).collect())
    }

    /// The unit of this name, when it is installed.
    pub(super) fn read(&self, name: &str) -> Option<Unit> {
        let path = self.0.iter().map(|dir| dir.join(name)).find(|path| path.is_file())?;
        let text = fs::read_to_string(&path).ok()?;
        let mut entries = parse(&text);
        for drop_in in self.drop_ins(name).values() {
            entries.extend(parse(&fs::read_to_string(drop_in).unwrap_or_default()));
        }
        Some(Unit { name: name.to_owned(), path, text, entries })
    }

    /// The drop-ins of a unit in the order of their names; of one name that of the first directory.
    fn drop_ins(&self, name: &str) -> BTreeMap<OsString, PathBuf> {
        let mut found = BTreeMap::new();
        for dir in &self.0 {
            for entry in fs::read_dir(dir.join(format!("{name}.d"))).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.extension().is_some_and(|extension| extension == "conf") {
                    found.entry(entry.file_name()).or_insert(path);
                }
            }
        }
        found
    }

    /// Whether some other unit wants this one.
    pub(super) fn is_enabled(&self, name: &str) -> bool {
        let entries = self.0.iter().flat_map(|dir| fs::read_dir(dir).into_iter().flatten().flatten());
        let mut wanting = entries.map(|entry| entry.path()).filter(|path| {
            path.extension()
                .is_some_and(|extension| ["wants", "requires", "upholds"].iter().any(|one| extension == *one))
        });
        // The link may lead to a root that is mounted elsewhere.
        wanting.any(|dir| fs::symlink_metadata(dir.join(name)).is_ok())
    }
}

impl Unit {
    /// The values of a key that may be given several times; an empty one takes away those before it.
    pub(super) fn list(&self, section: &str, key: &str) -> Vec<&str> {
        let mut values = Vec::new();
        for (_, _, value) in self.entries.iter().filter(|(in_, name, _)| in_ == section && name == key) {
            match value.is_empty() {
                true => values.clear(),
                false => values.push(value.as_str()),
            }
        }
        values
    }

    /// The value of a key that is given last.
    pub(super) fn last(&self, section: &str, key: &str) -> Option<&str> {
        self.list(section, key).last().copied()
    }
}

fn parse(text: &str) -> Vec<(String, String, String)> {
    let mut section = String::new();
    let mut entries = Vec::new();
    for line in plain(text) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.to_owned();
        } else if let Some((key, value)) = line.split_once('=') {
            entries.push((section.clone(), key.trim().to_owned(), value.trim().to_owned()));
        }
    }
    entries
}

/// The lines of a unit that say something, those that go on joined; where its program is installed makes no
/// difference.
pub(super) fn plain(text: &str) -> Vec<String> {
    let text = text.replace("\\\n", " ");
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';']));
    lines
        .map(|line| match line.strip_prefix("ExecStart=") {
            Some(program) => {
                format!("ExecStart={}", program.rsplit_once("/bin/").map_or(program, |(_, name)| name))
            }
            None => line.to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_read_with_its_drop_ins() {
        let dir = tempfile::tempdir().unwrap();
        let [etc, lib] = ["etc", "lib"].map(|name| dir.path().join(name));
        for dir in [&etc.join("a.socket.d"), &lib.join("a.socket.d"), &etc.join("x.target.wants")] {
            fs::create_dir_all(dir).unwrap();
        }
        let dirs = Dirs(vec![etc.clone(), lib.clone()]);
        assert_eq!(dirs.read("a.socket"), None);
        fs::write(lib.join("a.socket"), "# one\n[Socket]\nListenDatagram=1\nListenDatagram=2\n").unwrap();
        let list = |key: &str| {
            let unit = dirs.read("a.socket").unwrap();
            unit.list("Socket", key).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(list("ListenDatagram"), ["1", "2"]);
        fs::write(lib.join("a.socket.d/b.conf"), "[Socket]\nListenDatagram=3").unwrap();
        assert_eq!(list("ListenDatagram"), ["1", "2", "3"]);
        fs::write(etc.join("a.socket.d/b.conf"), "[Socket]\nListenDatagram=\nListenDatagram = 4 \n").unwrap();
        assert_eq!(list("ListenDatagram"), ["4"]);
        fs::write(etc.join("a.socket.d/c.conf"), "[Unit]\nListenDatagram=5\n").unwrap();
        assert_eq!(list("ListenDatagram"), ["4"]);
        assert!(!dirs.is_enabled("a.socket"));
        std::os::unix::fs::symlink("/nowhere", etc.join("x.target.wants/a.socket")).unwrap();
        assert!(dirs.is_enabled("a.socket"));
    }

    #[test]
    fn what_does_not_matter_is_no_difference() {
        let one = "# why\n[Service]\nExecStart=/usr/bin/leela-udp\nA=b \\\n c\n";
        let other = "[Service]\n\nExecStart=/usr/local/bin/leela-udp\nA=b   c\n";
        assert_eq!(plain(one), plain(other));
        assert_ne!(plain(one), plain("[Service]\nExecStart=/usr/bin/leela-udp --config x\nA=b   c\n"));
    }
}
