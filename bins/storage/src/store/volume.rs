//! The sealed files of the store: their names, and which of them are open.
//!
//! `<start>-<width>-<low>-<high>.sealed` holds what was written behind place `low` of the log and up to `high`, of
//! times from `start` on for `width` (seconds, decimal; places are hexadecimal). Of one span of time the files
//! never overlap in the log but where one was merged from others: it holds all of them, and they go. Until all
//! files of a generation are written, and the state file says so, their names end in `.pending`.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use super::{Damage, lock};
use crate::files::SharedFiles;
use crate::log::Position;
use crate::sealed::{self, Sealed, SealedError, Summary};

const ENDING: &str = ".sealed";
pub(super) const PENDING: &str = ".pending";

/// So many files are open at a time, beside those that are being read.
const OPEN_MAX: usize = 256;

/// What a file's name says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Name {
    /// The first second of its span.
    pub(super) start: i64,
    /// Seconds of its span.
    pub(super) width: u32,
    pub(super) low: Position,
    pub(super) high: Position,
}

impl Name {
    /// The name in its one form.
    pub(super) fn text(self) -> String {
        let Name { start, width, low, high } = self;
        format!("{start}-{width}-{:x}-{:x}{ENDING}", low.0, high.0)
    }

    /// Reads a name; None for one of another file.
    pub(super) fn parse(text: &str) -> Option<Name> {
        let mut parts = text.strip_suffix(ENDING)?.rsplitn(4, '-');
        let (high, low, width, start) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let place = |text| u64::from_str_radix(text, 16).ok().map(Position);
        let name = Name {
            start: start.parse().ok()?,
            width: width.parse().ok()?,
            low: place(low)?,
            high: place(high)?,
        };
        (name.text() == text).then_some(name)
    }

    /// What is in it is in the other file too.
    pub(super) fn is_within(self, other: Name) -> bool {
        self != other
            && (self.start, self.width) == (other.start, other.width)
            && other.low <= self.low
            && self.high <= other.high
    }
}

/// A sealed file.
#[derive(Debug)]
pub(super) struct Volume {
    pub(super) name: Name,
    pub(super) summary: Summary,
    opened: Mutex<Option<Arc<Sealed>>>,
    /// Its name is gone: who reads it still reads the open file.
    is_removed: AtomicBool,
    /// Blocks of it are lost: it is not merged with others, so that what is left for a repair stays.
    pub(super) is_damaged: AtomicBool,
    /// The number of the last check for what is to be cleaned out of it; 0 before the first.
    pub(super) checked: AtomicU64,
}

impl Volume {
    /// Whether it has anything of these times.
    pub(super) fn reaches(&self, from_ms: i64, to_ms: i64) -> bool {
        self.summary.blocks > 0 && self.summary.first_ms <= to_ms && from_ms <= self.summary.last_ms
    }
}

/// Where the files are, and which are open.
#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) files: SharedFiles,
    pub(super) directory: PathBuf,
    open: Mutex<VecDeque<Weak<Volume>>>,
    /// What was found damaged.
    damage: Mutex<Vec<Damage>>,
}

impl Shelf {
    /// More damage is only reported where it is met.
    const DAMAGE_MAX: usize = 1000;

    pub(super) fn new(files: SharedFiles, directory: &Path) -> Shelf {
        Shelf { files, directory: directory.to_owned(), open: Mutex::default(), damage: Mutex::default() }
    }

    pub(super) fn path(&self, name: Name) -> PathBuf {
        self.directory.join(name.text())
    }

    /// Opens a file whose name was found or was just given.
    pub(super) fn volume(&self, name: Name) -> Result<Arc<Volume>, SealedError> {
        let sealed = Sealed::open(&self.files, &self.path(name))?;
        let volume = Arc::new(Volume {
            name,
            summary: sealed.summary(),
            opened: Mutex::new(None),
            is_removed: AtomicBool::new(false),
            is_damaged: AtomicBool::new(false),
            checked: AtomicU64::new(0),
        });
        self.note(&volume, &sealed);
        self.keep_open(&volume, Arc::new(sealed));
        Ok(volume)
    }

    /// The file of a volume, opened if need be.
    pub(super) fn open(&self, volume: &Arc<Volume>) -> Result<Arc<Sealed>, SealedError> {
        if let Some(sealed) = lock(&volume.opened).clone() {
            return Ok(sealed);
        }
        let sealed = Arc::new(Sealed::open(&self.files, &self.path(volume.name))?);
        self.keep_open(volume, Arc::clone(&sealed));
        Ok(sealed)
    }

    fn keep_open(&self, volume: &Arc<Volume>, sealed: Arc<Sealed>) {
        *lock(&volume.opened) = Some(sealed);
        let mut open = lock(&self.open);
        open.push_back(Arc::downgrade(volume));
        while open.len() > OPEN_MAX {
            let Some(oldest) = open.pop_front().and_then(|oldest| oldest.upgrade()) else { continue };
            if !oldest.is_removed.load(Ordering::Relaxed) {
                *lock(&oldest.opened) = None;
            }
        }
    }

    /// The file is to be removed; who has the volume in hand can go on reading it.
    pub(super) fn part_with(&self, volume: &Arc<Volume>) {
        volume.is_removed.store(true, Ordering::Relaxed);
        // One that cannot be opened cannot be read either.
        let _ = self.open(volume);
    }

    /// Removes a file, if it is there.
    pub(super) fn remove(&self, name: Name) -> std::io::Result<()> {
        match self.files.remove(&self.path(name)) {
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    /// What was found damaged so far.
    pub(super) fn damage(&self) -> Vec<Damage> {
        lock(&self.damage).clone()
    }

    /// Remembers damage, once.
    pub(super) fn remember(&self, found: &Damage) {
        let mut damage = lock(&self.damage);
        if damage.len() < Shelf::DAMAGE_MAX && !damage.contains(found) {
            let Damage { file, offset, what, .. } = found;
            tracing::warn!(file = %file, offset, what = %what, "a file is damaged; what is whole of it is served");
            damage.push(found.clone());
        }
    }

    /// Remembers what an open file found of itself.
    pub(super) fn note(&self, volume: &Volume, sealed: &Sealed) {
        for found in sealed.damages() {
            if found.is_lost {
                volume.is_damaged.store(true, Ordering::Relaxed);
            }
            self.remember(&damage_of(&volume.name.text(), &found));
        }
    }

    /// What an error of a volume means to the reader: damage that is remembered, and passed over.
    pub(super) fn failed(&self, volume: &Volume, error: &SealedError) -> Damage {
        let file = volume.name.text();
        let damage = match error {
            SealedError::Damaged { damage, .. } => {
                if damage.is_lost {
                    volume.is_damaged.store(true, Ordering::Relaxed);
                }
                damage_of(&file, damage)
            }
            SealedError::File { what, source, .. } => {
                Damage { file, offset: 0, series: None, what: format!("{what}: {source}") }
            }
            other => Damage { file, offset: 0, series: None, what: other.to_string() },
        };
        self.remember(&damage);
        damage
    }
}

/// A damage of a file of this name.
pub(super) fn damage_of(file: &str, damage: &sealed::Damage) -> Damage {
    let what = if damage.is_lost { "is lost" } else { "is damaged, nothing is lost" };
    Damage {
        file: file.to_owned(),
        offset: damage.offset,
        series: damage.key.as_ref().map(|key| key.clone().into_bytes()),
        what: format!("a {} of {} bytes {what}", damage.part.word(), damage.bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_form() {
        for text in
            ["0-86400-0-1f.sealed", "-86400-86400-a-b.sealed", "1732579200-60-0-ffffffffffffffff.sealed"]
        {
            assert_eq!(Name::parse(text).map(Name::text).as_deref(), Some(text));
        }
        for text in
            ["0-86400-0-1F.sealed", "00-1-0-1.sealed", "0-1-0.sealed", "0-1-0-1.sealed.pending", "a", ""]
        {
            assert_eq!(Name::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_merged_file_stands_for_what_it_was_merged_from() {
        let name = |start, low, high| Name { start, width: 60, low: Position(low), high: Position(high) };
        for (inner, outer, want) in [
            (name(0, 0, 5), name(0, 0, 9), true),
            (name(0, 5, 9), name(0, 0, 9), true),
            (name(0, 0, 9), name(0, 0, 9), false),
            (name(0, 0, 9), name(0, 0, 5), false),
            (name(60, 0, 5), name(0, 0, 9), false),
            (name(0, 5, 10), name(0, 0, 9), false),
        ] {
            assert_eq!(inner.is_within(outer), want, "{inner:?} {outer:?}");
        }
    }
}
