//! What is durable, and what is not yet.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::Loss;

/// A file, whatever its names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Node(usize);

/// A change of a file's contents.
#[derive(Debug)]
pub(super) enum Change {
    Write(u64, Vec<u8>),
    SetLen(u64),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::Write(offset, written) => {
                let (begin, end) = (*offset as usize, *offset as usize + written.len());
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[begin..end].copy_from_slice(written);
            }
            Change::SetLen(length) => bytes.resize(*length as usize, 0),
        }
    }

    /// The first `bytes` of it.
    fn torn(&self, bytes: usize) -> Change {
        match self {
            Change::Write(offset, written) => Change::Write(*offset, written[..bytes].to_vec()),
            Change::SetLen(length) => Change::SetLen(*length),
        }
    }
}

/// A change of a directory's names.
#[derive(Clone, Debug)]
enum NameChange {
    Link(String, Node),
    Unlink(String),
    Rename(String, String),
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, Node>) {
        match self {
            NameChange::Link(name, node) => {
                names.insert(name.clone(), *node);
            }
            NameChange::Unlink(name) => {
                names.remove(name);
            }
            NameChange::Rename(from, to) => {
                if let Some(node) = names.remove(from) {
                    names.insert(to.clone(), node);
                }
            }
        }
    }
}

#[derive(Debug, Default)]
struct Contents {
    durable: Vec<u8>,
    since: Vec<Change>,
}

#[derive(Debug, Default)]
struct Directory {
    names: BTreeMap<String, Node>,
    durable: BTreeMap<String, Node>,
    since: Vec<NameChange>,
}

impl Directory {
    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.since.push(change);
    }
}

#[derive(Debug, Default)]
pub(super) struct Model {
    files: Vec<Contents>,
    directories: HashMap<PathBuf, Directory>,
    /// The directory of a log whose newest segment was synced, and when, while its name was not.
    nameless: Option<(PathBuf, Instant)>,
    /// See [`super::TestFiles::log_syncs`].
    pub(super) log_syncs: [Option<Instant>; 2],
}

fn split(path: &Path) -> (PathBuf, String) {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    (path.parent().unwrap_or(Path::new("")).to_owned(), name)
}

impl Model {
    /// What was in a directory before these files were used is durable.
    pub(super) fn see(&mut self, path: &Path) -> io::Result<()> {
        let (directory, _) = split(path);
        if self.directories.contains_key(&directory) {
            return Ok(());
        }
        let mut names = BTreeMap::new();
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                let node = self.node(fs::read(entry.path())?);
                names.insert(entry.file_name().to_string_lossy().into_owned(), node);
            }
        }
        let seen = Directory { durable: names.clone(), names, since: Vec::new() };
        self.directories.insert(directory, seen);
        Ok(())
    }

    fn node(&mut self, durable: Vec<u8>) -> Node {
        self.files.push(Contents { durable, since: Vec::new() });
        Node(self.files.len() - 1)
    }

    fn directory(&mut self, path: &Path) -> (&mut Directory, String) {
        let (directory, name) = split(path);
        (self.directories.entry(directory).or_default(), name)
    }

    pub(super) fn node_of(&mut self, path: &Path) -> Option<Node> {
        let (directory, name) = self.directory(path);
        directory.names.get(&name).copied()
    }

    pub(super) fn link_new(&mut self, path: &Path) -> Node {
        let node = self.node(Vec::new());
        let (directory, name) = self.directory(path);
        directory.change(NameChange::Link(name, node));
        node
    }

    pub(super) fn link(&mut self, from: &Path, to: &Path) {
        if let Some(node) = self.node_of(from) {
            let (directory, name) = self.directory(to);
            directory.change(NameChange::Link(name, node));
        }
    }

    pub(super) fn unlink(&mut self, path: &Path) {
        let (directory, name) = self.directory(path);
        directory.change(NameChange::Unlink(name));
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) {
        if from.parent() == to.parent() {
            let (directory, name) = self.directory(from);
            directory.change(NameChange::Rename(name, split(to).1));
        } else {
            self.link(from, to);
            self.unlink(from);
        }
    }

    pub(super) fn change(&mut self, node: Node, change: Change) {
        self.files[node.0].since.push(change);
    }

    pub(super) fn sync(&mut self, node: Node) {
        let began = Instant::now();
        let Contents { durable, since } = &mut self.files[node.0];
        for change in since.drain(..) {
            change.apply(durable);
        }
        // Those before it were synced before it.
        let is_newest = |(path, directory): (&PathBuf, &Directory)| {
            let mut segments = directory.names.iter().filter(|(name, _)| name.ends_with(".log"));
            let (name, newest) = segments.next_back()?;
            (*newest == node).then(|| (path.clone(), directory.durable.get(name) == Some(&node)))
        };
        match self.directories.iter().find_map(is_newest) {
            Some((_, true)) => self.note_log_sync(began),
            Some((directory, false)) => self.nameless = Some((directory, began)),
            None => {}
        }
    }

    fn note_log_sync(&mut self, began: Instant) {
        self.log_syncs = [self.log_syncs[1], Some(began)];
    }

    pub(super) fn forget_unsynced(&mut self, node: Node) {
        let Contents { durable, since } = &mut self.files[node.0];
        // The length is kept, the bytes are not.
        let mut whole = durable.clone();
        since.drain(..).for_each(|change| change.apply(&mut whole));
        durable.resize(whole.len(), 0);
    }

    pub(super) fn sync_dir(&mut self, directory: &Path) {
        if let Some(Directory { durable, since, .. }) = self.directories.get_mut(directory) {
            for change in since.drain(..) {
                change.apply(durable);
            }
        }
        if let Some((_, began)) = self.nameless.take_if(|(nameless, _)| nameless == directory) {
            self.note_log_sync(began);
        }
    }

    pub(super) fn power_cut(&self, from: &Path, to: &Path, loss: Loss) -> io::Result<()> {
        let mut chance = Chance::new(loss);
        copy_directories(from, to)?;
        let mut seen: Vec<&PathBuf> = self.directories.keys().filter(|path| path.starts_with(from)).collect();
        seen.sort();
        // One file may have several names, and is the same by all of them.
        let mut left: HashMap<Node, Vec<u8>> = HashMap::new();
        for path in seen {
            let Directory { durable, since, .. } = &self.directories[path];
            let mut names = durable.clone();
            let changes = chance.below(since.len() + 1);
            since[..changes].iter().for_each(|change| change.apply(&mut names));
            let to = to.join(path.strip_prefix(from).unwrap_or(path));
            fs::create_dir_all(&to)?;
            for (name, node) in names {
                let bytes = left.entry(node).or_insert_with(|| self.files[node.0].left(&mut chance));
                fs::write(to.join(name), bytes)?;
            }
        }
        // Directories that nothing was done in.
        copy_untouched(from, to, &self.directories)
    }
}

impl Contents {
    /// What is left of a file.
    fn left(&self, chance: &mut Chance) -> Vec<u8> {
        let Contents { durable, since } = self;
        let mut bytes = durable.clone();
        match chance.below(4) {
            // Any of the changes, with holes.
            3 => since.iter().filter(|_| chance.below(2) == 1).for_each(|change| change.apply(&mut bytes)),
            kind => {
                let whole = chance.below(since.len() + 1);
                since[..whole].iter().for_each(|change| change.apply(&mut bytes));
                if let Some(torn @ Change::Write(_, written)) = since.get(whole)
                    && chance.is_any()
                {
                    torn.torn(chance.below(written.len() + 1)).apply(&mut bytes);
                }
                // The length was written, the bytes were not.
                if kind == 2 && chance.below(2) == 1 {
                    let mut all = durable.clone();
                    since.iter().for_each(|change| change.apply(&mut all));
                    bytes.resize(all.len().max(bytes.len()), 0);
                }
            }
        }
        bytes
    }
}

/// Small random numbers; always 0 when all is lost.
#[derive(Debug)]
struct Chance(Option<u64>);

impl Chance {
    fn new(loss: Loss) -> Chance {
        Chance(match loss {
            Loss::All => None,
            Loss::Some(seed) => Some(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
        })
    }

    fn is_any(&self) -> bool {
        self.0.is_some()
    }

    fn below(&mut self, end: usize) -> usize {
        let Some(state) = &mut self.0 else { return 0 };
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        (*state >> 16) as usize % end
    }
}

fn copy_directories(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            copy_directories(&entry.path(), &to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn copy_untouched(from: &Path, to: &Path, touched: &HashMap<PathBuf, Directory>) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_untouched(&path, &to, touched)?;
        } else if !touched.contains_key(from) {
            fs::copy(path, to)?;
        }
    }
    Ok(())
}
