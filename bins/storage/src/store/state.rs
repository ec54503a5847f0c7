//! The state file: what the store knows beside what is in its sealed files.
//!
//! ```text
//! `state` and `state.copy`, the same bytes; all numbers are little-endian
//! ┌────────────┬─────────┬─────┬──────────┬────────┬──────────────┬─────────┬─────────┐
//! │ magic      │ version │ crc │ store    │ number │ acknowledged │ count   │ deletes │
//! │ "LeelaSta" │ u32 = 1 │ u32 │ 16 bytes │ u64    │ u64          │ u32     │ ...     │
//! └────────────┴─────────┴─────┴──────────┴────────┴──────────────┴─────────┴─────────┘
//! ```
//! `store` is drawn once, and names the store to its index. `number` counts the writes of this file: of two sound
//! copies the later one holds. `acknowledged` is a place of the log: what was written up to it is in sealed files.
//! The crc (CRC-32, IEEE) is over all behind it. Deletes are drawn in [`Tombstone::write`]. Readers take version 1.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::Versions;

use super::tombstone::Tombstone;
use super::{Damage, StoreError};
use crate::files::SharedFiles;
use crate::log::Position;

const MAGIC: [u8; 8] = *b"LeelaSta";
const VERSIONS: Versions = Versions::new(1, 1, 1);
const HEAD_BYTES: usize = 16;
const FIXED_BYTES: usize = HEAD_BYTES + 16 + 8 + 8 + 4;
const NAMES: [&str; 2] = ["state", "state.copy"];
/// No state file is larger; it bounds what is read of a damaged one.
const BYTES_MAX: u64 = 64 << 20;

/// What is in the file.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) store: [u8; 16],
    pub(super) number: u64,
    pub(super) acknowledged: Position,
    pub(super) tombstones: Arc<Vec<Arc<Tombstone>>>,
}

/// What was found of it.
#[derive(Debug)]
pub(super) struct Found {
    /// None when there is none, or none that is sound.
    pub(super) state: Option<State>,
    /// Copies that are there and not sound.
    pub(super) damage: Vec<Damage>,
}

impl State {
    /// That of a new store.
    pub(super) fn new() -> State {
        let mut store = [0; 16];
        for half in store.chunks_exact_mut(8) {
            // The one source of randomness of the standard library: each state has keys of its own.
            half.copy_from_slice(&RandomState::new().build_hasher().finish().to_le_bytes());
        }
        State { store, number: 0, acknowledged: Position(0), tombstones: Arc::default() }
    }

    /// Reads the later one of the copies.
    pub(super) fn load(files: &SharedFiles, directory: &Path) -> Result<Found, StoreError> {
        let mut found = Found { state: None, damage: Vec::new() };
        let mut ahead = None;
        for name in NAMES {
            let path = directory.join(name);
            let bytes = match read(files, &path) {
                Ok(bytes) => bytes,
                Err(err) if err.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(StoreError::io("reading", &path, source)),
            };
            // Its version is not under its checksum: where the other copy is read, this one is damaged.
            let known = State::known(&bytes);
            match known.unwrap_or_else(|error| ahead.replace((path, error)).and(None)) {
                Some(state) if found.state.as_ref().is_none_or(|other| other.number < state.number) => {
                    found.state = Some(state);
                }
                Some(_) => {}
                None => found.damage.push(Damage {
                    file: name.to_owned(),
                    offset: 0,
                    series: None,
                    what: "the state file is damaged".to_owned(),
                }),
            }
        }
        match ahead {
            Some((path, source)) if found.state.is_none() => Err(StoreError::io("reading", &path, source)),
            _ => Ok(found),
        }
    }

    /// Makes it durable, one copy after the other.
    pub(super) fn save(&mut self, files: &SharedFiles, directory: &Path) -> Result<(), StoreError> {
        self.number += 1;
        let bytes = self.bytes();
        for name in NAMES {
            let (path, new) = (directory.join(name), directory.join(format!("{name}.new")));
            let failed = |path: PathBuf| move |source| StoreError::io("writing", &path, source);
            match files.remove(&new) {
                Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(failed(new)(err)),
                _ => {}
            }
            let file = files.create(&new).map_err(failed(new.clone()))?;
            file.write_at(0, &bytes).and_then(|()| file.sync()).map_err(failed(new.clone()))?;
            files.rename(&new, &path).map_err(failed(path))?;
            files.sync_dir(directory).map_err(failed(directory.to_owned()))?;
        }
        Ok(())
    }

    /// As it lies in the file.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let State { store, number, acknowledged, tombstones } = self;
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSIONS.written().to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(store);
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes.extend_from_slice(&acknowledged.0.to_le_bytes());
        bytes.extend_from_slice(&(tombstones.len() as u32).to_le_bytes());
        tombstones.iter().for_each(|tombstone| tombstone.write(&mut bytes));
        let crc = crc32fast::hash(&bytes[HEAD_BYTES..]);
        bytes[12..HEAD_BYTES].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// As [`State::parse`]; fails where a later release wrote it.
    fn known(bytes: &[u8]) -> io::Result<Option<State>> {
        if let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() {
            let half = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("4 bytes"));
            if head[..8] == MAGIC && half(12) == crc32fast::hash(rest) {
                VERSIONS.known(half(8))?;
            }
        }
        Ok(State::parse(bytes))
    }

    /// Reads it.
    pub(super) fn parse(bytes: &[u8]) -> Option<State> {
        let (fixed, mut rest) = bytes.split_first_chunk::<FIXED_BYTES>()?;
        let word = |at: usize| u64::from_le_bytes(fixed[at..at + 8].try_into().expect("8 bytes"));
        let half = |at: usize| u32::from_le_bytes(fixed[at..at + 4].try_into().expect("4 bytes"));
        if fixed[..8] != MAGIC
            || !VERSIONS.reads(half(8))
            || half(12) != crc32fast::hash(&bytes[HEAD_BYTES..])
        {
            return None;
        }
        let mut tombstones = Vec::new();
        for _ in 0..half(48) {
            tombstones.push(Arc::new(Tombstone::read(&mut rest)?));
        }
        Some(State {
            store: fixed[16..32].try_into().expect("16 bytes"),
            number: word(32),
            acknowledged: Position(word(40)),
            tombstones: Arc::new(tombstones),
        })
    }
}

fn read(files: &SharedFiles, path: &Path) -> io::Result<Vec<u8>> {
    let file = files.open(path)?;
    let length = file.len()?;
    if length > BYTES_MAX {
        return Ok(Vec::new());
    }
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(0, &mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Disk;
    use crate::store::Which;
    use common::Ahead;
    use common::ask::TagTest;
    use common::query::selector::Selector;
    use common::time::Time;

    fn state() -> State {
        let test = |is_not| TagTest { tag: "dc".to_owned(), value: "ams".to_owned(), is_not };
        let tests = [test(false), test(true)];
        let selector = Selector::parse("^web").unwrap();
        let tombstones =
            [Which::Key(b"a;b=c"), Which::Match(&selector, &tests), Which::Match(&selector, &[])]
                .map(|which| Arc::new(Tombstone::new(Position(9), 7, Time::from_secs(5), which)));
        State { acknowledged: Position(u64::MAX), tombstones: Arc::new(tombstones.to_vec()), ..State::new() }
    }

    #[test]
    fn a_state_comes_back_from_either_copy() {
        let directory = tempfile::tempdir().unwrap();
        let files = Disk::shared();
        assert!(State::load(&files, directory.path()).unwrap().state.is_none());
        let mut state = state();
        state.save(&files, directory.path()).unwrap();
        state.save(&files, directory.path()).unwrap();
        for (damaged, copies) in [(&[][..], 0), (&NAMES[..1], 1), (&NAMES[1..], 1), (&NAMES[..], 2)] {
            for name in NAMES {
                let mut bytes = state.bytes();
                if damaged.contains(&name) {
                    bytes[20] ^= 1;
                }
                std::fs::write(directory.path().join(name), bytes).unwrap();
            }
            let found = State::load(&files, directory.path()).unwrap();
            assert_eq!(found.damage.len(), copies, "{damaged:?}");
            assert_eq!(found.state.is_some(), copies < 2, "{damaged:?}");
            if let Some(found) = found.state {
                assert_eq!(found.bytes(), state.bytes());
            }
        }
    }

    #[test]
    fn one_of_a_later_release_is_not_taken_for_damage() {
        let directory = tempfile::tempdir().unwrap();
        let files = Disk::shared();
        state().save(&files, directory.path()).unwrap();
        for (name, is_ahead) in NAMES.into_iter().zip([false, true]) {
            let mut bytes = std::fs::read(directory.path().join(name)).unwrap();
            bytes[8] = 9;
            std::fs::write(directory.path().join(name), bytes).unwrap();
            match State::load(&files, directory.path()) {
                Ok(found) => assert!(!is_ahead && found.state.is_some() && found.damage.len() == 1),
                Err(StoreError::Io { source, .. }) => assert!(is_ahead && Ahead::is_why(&source)),
                Err(other) => panic!("{other}"),
            }
        }
    }

    #[test]
    fn no_byte_may_be_another_one() {
        let bytes = state().bytes();
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << (at % 8);
            assert!(State::parse(&bytes).is_none(), "{at}");
            assert!(State::parse(&bytes[..at]).is_none(), "{at}");
        }
    }
}
