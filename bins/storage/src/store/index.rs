//! The index: which series there are, by name and by tag.
//!
//! It is derived: all of it can be made again from the directories of the sealed files. It may name series whose
//! last point is gone; it lacks none that is in a file it knows, so a reader looks there for what it names.
//!
//! The library is redb: one file, which goes through the store's own file layer, and no thread or log of its own.
//! A row a name costs too much in it, and in fjall as well; rows of 128 names, each without what it shares with the
//! one before, cost 4 bytes a series in redb, are read at 270 M names a second, and still change one by one
//! (1 M series of 27 bytes: redb 37.3 MB with a row a name, 4.1 MB with rows of names; fjall 15.3 MB and 8.0 MB, and
//! a log of 64 MiB that is set aside). The tables:
//!
//! ```text
//! names   first name of the row                      row of names
//! tags    tag, 00, value, 00, first name of the row  row of the names that have the tag with that value
//! files   name of a sealed file                      nothing: all series in it are in the index
//! about   "store"                                    16 bytes: which store's index it is
//!         "series"                                   u64, little-endian: how many names there are
//!         "version"                                  u64: 1
//! ```
//! Rows are drawn in [`row`].

mod backend;
mod enter;
mod look;
pub(super) mod row;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, RwLock};

use redb::backends::InMemoryBackend;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::{StoreError, Word};
use crate::files::{File, SharedFiles};
use backend::Backend;
use row::Malformed;

/// The name of its file.
pub(super) const FILE: &str = "index.redb";
const NEW: &str = "index.redb.new";

const VERSION: u64 = 1;
/// What the library may keep of its file in memory.
const CACHE_BYTES: usize = 2 << 20;
/// Bytes that are copied at a time.
const COPIED: usize = 1 << 20;

const NAMES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("names");
const TAGS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("tags");
const FILES: TableDefinition<'_, &str, ()> = TableDefinition::new("files");
const ABOUT: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("about");

/// An index. Readers and the one writer may use it at the same time.
#[derive(Debug)]
pub(super) struct Index {
    database: RwLock<Database>,
    /// Its file; None for one in memory, because none can be written.
    file: Option<Arc<dyn File>>,
    /// The length of the file when it was last made compact.
    compact_bytes: std::sync::atomic::AtomicU64,
}

fn failed(error: impl Into<redb::Error>) -> StoreError {
    StoreError::Index(error.into().to_string())
}

impl From<Malformed> for StoreError {
    fn from(_: Malformed) -> StoreError {
        StoreError::Index("a row of names is damaged".to_owned())
    }
}

impl Index {
    /// Opens the index of a store.
    ///
    /// # Errors
    /// When there is none, it is damaged, or another store's: it has to be made anew.
    pub(super) fn open(files: &SharedFiles, directory: &Path, store: &[u8; 16]) -> Result<Index, StoreError> {
        let (old, new) = (directory.join(FILE), directory.join(NEW));
        let reading = |source| StoreError::io("reading", &old, source);
        let file = files.open(&old).map_err(reading)?;
        // The old file is not touched: the work goes on in a copy, which is read whole by that, as its check wants.
        let copy = create(files, &new)?;
        let (length, mut at) = (file.len().map_err(reading)?, 0);
        let mut bytes = vec![0; COPIED.min(length as usize)];
        while at < length {
            let left = (length - at) as usize;
            let part = &mut bytes[..COPIED.min(left)];
            file.read_exact_at(at, part).map_err(reading)?;
            copy.write_at(at, part).map_err(|source| StoreError::io("writing", &new, source))?;
            at += part.len() as u64;
        }
        drop((file, bytes));
        let index = Index::over(Backend(Arc::clone(&copy)), Some(copy))?;
        let read = index.read()?;
        let about = read.open_table(ABOUT).map_err(failed)?;
        let is = |key: &str, value: &[u8]| -> Result<bool, StoreError> {
            Ok(about.get(key).map_err(failed)?.is_some_and(|is| is.value() == value))
        };
        if !is("store", store)? || !is("version", &VERSION.to_le_bytes())? {
            return Err(StoreError::Index("it is another store's, or of another version".to_owned()));
        }
        // The tables are there, or it is of no use.
        read.open_table(NAMES).map_err(failed)?;
        read.open_table(TAGS).map_err(failed)?;
        read.open_table(FILES).map_err(failed)?;
        drop((about, read));
        index.publish(files, directory)?;
        Ok(index)
    }

    /// Begins an empty one, which has its name from [`Index::publish`] on.
    pub(super) fn create(
        files: &SharedFiles,
        directory: &Path,
        store: &[u8; 16],
    ) -> Result<Index, StoreError> {
        let file = create(files, &directory.join(NEW))?;
        let index = Index::over(Backend(Arc::clone(&file)), Some(file))?;
        index.begin(store)?;
        Ok(index)
    }

    /// An empty one in memory, for as long as none can be written.
    pub(super) fn in_memory(store: &[u8; 16]) -> Result<Index, StoreError> {
        let index = Index::over(InMemoryBackend::new(), None)?;
        index.begin(store)?;
        Ok(index)
    }

    fn over(backend: impl redb::StorageBackend, file: Option<Arc<dyn File>>) -> Result<Index, StoreError> {
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .set_check_integrity_on_open(true)
            .create_with_backend(backend)
            .map_err(failed)?;
        Ok(Index { database: RwLock::new(database), file, compact_bytes: 0.into() })
    }

    fn begin(&self, store: &[u8; 16]) -> Result<(), StoreError> {
        self.write(|write| {
            let mut about = write.open_table(ABOUT).map_err(failed)?;
            about.insert("store", &store[..]).map_err(failed)?;
            about.insert("version", &VERSION.to_le_bytes()[..]).map_err(failed)?;
            write.open_table(NAMES).map_err(failed)?;
            write.open_table(TAGS).map_err(failed)?;
            write.open_table(FILES).map_err(failed)?;
            Ok(())
        })
    }

    /// Gives the file its name.
    pub(super) fn publish(&self, files: &SharedFiles, directory: &Path) -> Result<(), StoreError> {
        let Some(file) = &self.file else { return Ok(()) };
        let path = directory.join(FILE);
        let renamed = file.sync().and_then(|()| files.rename(&directory.join(NEW), &path));
        renamed.and_then(|()| files.sync_dir(directory)).map_err(|err| StoreError::io("writing", &path, err))
    }

    /// It is in memory only.
    pub(super) fn is_in_memory(&self) -> bool {
        self.file.is_none()
    }

    /// Bytes of its file.
    pub(super) fn bytes(&self) -> u64 {
        self.file.as_ref().and_then(|file| file.len().ok()).unwrap_or(0)
    }

    fn read(&self) -> Result<redb::ReadTransaction, StoreError> {
        self.database.read().unwrap_or_else(std::sync::PoisonError::into_inner).begin_read().map_err(failed)
    }

    fn write<T>(
        &self,
        change: impl FnOnce(&redb::WriteTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let database = self.database.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let write = database.begin_write().map_err(failed)?;
        let done = change(&write)?;
        write.commit().map_err(failed)?;
        Ok(done)
    }

    /// The sealed files whose series are all in the index.
    pub(super) fn files(&self) -> Result<BTreeSet<String>, StoreError> {
        let read = self.read()?;
        let table = read.open_table(FILES).map_err(failed)?;
        let mut files = BTreeSet::new();
        for row in table.iter().map_err(failed)? {
            files.insert(row.map_err(failed)?.0.value().to_owned());
        }
        Ok(files)
    }

    /// How many names there are.
    pub(super) fn series(&self) -> Result<u64, StoreError> {
        let read = self.read()?;
        let table = read.open_table(ABOUT).map_err(failed)?;
        Ok(table.get("series").map_err(failed)?.map_or(0, |row| number(row.value())))
    }

    /// Makes the file as small as it can be, when it has grown by a quarter. Nothing may be reading: else it is
    /// left for the next time.
    pub(super) fn compact(&self) -> Result<(), StoreError> {
        use std::sync::atomic::Ordering::Relaxed;
        if self.bytes() <= self.compact_bytes.load(Relaxed) / 4 * 5 {
            return Ok(());
        }
        let mut database = self.database.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        match database.compact() {
            Ok(_) => {
                drop(database);
                self.compact_bytes.store(self.bytes(), Relaxed);
                Ok(())
            }
            Err(redb::CompactionError::Storage(err)) => Err(failed(err)),
            Err(_) => Ok(()),
        }
    }
}

/// Words as they are answered.
pub(super) fn words(words: BTreeMap<Vec<u8>, u64>) -> Vec<Word> {
    words.into_iter().map(|(word, series)| Word { series, word }).collect()
}

/// The tags of a key, with their values.
pub(super) fn tags(key: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    key.split(|&byte| byte == b';').skip(1).map(|tag| match tag.iter().position(|&byte| byte == b'=') {
        Some(at) => (&tag[..at], &tag[at + 1..]),
        None => (tag, &b""[..]),
    })
}

/// What the rows of a tag's value begin with.
fn front(tag: &[u8], value: &[u8]) -> Vec<u8> {
    [tag, b"\0", value, b"\0"].concat()
}

fn number(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

fn create(files: &SharedFiles, path: &Path) -> Result<Arc<dyn File>, StoreError> {
    let failed = |source| StoreError::io("writing", path, source);
    match files.remove(path) {
        Err(err) if err.kind() != std::io::ErrorKind::NotFound => return Err(failed(err)),
        _ => {}
    }
    files.create(path).map_err(failed)
}

#[cfg(test)]
mod tests;
