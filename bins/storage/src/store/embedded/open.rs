//! Opening: which files there are, and what of them holds after whatever ended the last process.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicU8, AtomicU64};
use std::sync::{Arc, Mutex};

use super::{Embedded, Head};
use crate::files::SharedFiles;
use crate::log::Position;
use crate::store::bell::Bell;
use crate::store::generation::Generation;
use crate::store::index::Index;
use crate::store::options::Options;
use crate::store::state::State;
use crate::store::table::{NONE, Table};
use crate::store::upkeep::Upkeep;
use crate::store::volume::{Name, PENDING, Shelf, Volume};
use crate::store::{Damage, StoreError};

/// What a writer's name ends in until it is complete.
const NEW: &str = ".new";

impl Embedded {
    /// Opens the store, or makes it.
    ///
    /// # Errors
    /// When its directory cannot be read or written. Damaged files are no error: see [`Stats::damage`].
    ///
    /// [`Stats::damage`]: crate::store::Stats::damage
    pub fn open(files: SharedFiles, options: Options) -> Result<Embedded, StoreError> {
        let directory = options.directory.clone();
        files.make_dir(&directory).map_err(|err| StoreError::io("making", &directory, err))?;
        let shelf = Shelf::new(Arc::clone(&files), &directory);
        let found = State::load(&files, &directory)?;
        found.damage.iter().for_each(|damage| shelf.remember(damage));
        let names = files.list(&directory).map_err(|err| StoreError::io("reading", &directory, err))?;
        let finals: Vec<Name> = names.iter().filter_map(|name| Name::parse(name)).collect();
        let is_sound = found.state.is_some() && found.damage.is_empty();
        let mut state = found.state.unwrap_or_else(State::new);
        if !is_sound && state.acknowledged == Position(0) && !finals.is_empty() {
            // Only files that were whole have their final names: all before the latest of them is in them.
            state.acknowledged = finals.iter().map(|name| name.high).max().unwrap_or_default();
            shelf.remember(&Damage {
                file: "state".to_owned(),
                offset: 0,
                series: None,
                what: "both copies of the state file are lost: deletes whose space was not given back are undone"
                    .to_owned(),
            });
        }
        let finals = tidy(&shelf, &names, finals, state.acknowledged)?;
        if !is_sound {
            state.save(&files, &directory)?;
        }
        if planted!(options, DeleteForgotten) {
            state.tombstones = Arc::default();
        }
        let volumes = open_volumes(&shelf, finals)?;
        let index = Index::open(&files, &directory, &state.store);
        let (index, is_rebuilt) = match index {
            Ok(index) => (index, false),
            Err(err) => {
                if names.iter().any(|name| name == crate::store::index::FILE) {
                    tracing::warn!(error = %err, "the index does not open and is made anew from the sealed files");
                }
                (new_index(&shelf, &state.store), true)
            }
        };
        let store = Embedded {
            head: Mutex::new(Head {
                table: Table::default(),
                last: NONE,
                active: Arc::new(Generation::new(1, state.acknowledged)),
                frozen: Default::default(),
                frozen_bytes: 0,
                past: Vec::new(),
                volumes: Arc::new(volumes),
                tombstones: Arc::clone(&state.tombstones),
                index: Arc::new(index),
                epoch: 1,
                fresh: Vec::new(),
                views: Arc::new(()),
            }),
            acknowledged: AtomicU64::new(state.acknowledged.0),
            announced: AtomicU64::new(state.acknowledged.0),
            commit: Mutex::new(state),
            upkeep: Mutex::new(Upkeep::default()),
            gone: Mutex::default(),
            full: AtomicU8::new(0),
            bell: Bell::new(),
            index_rebuilt: AtomicU64::new(0),
            failing: Mutex::new(None),
            shelf,
            options,
        };
        store.complete_index(is_rebuilt)?;
        Ok(store)
    }
}

/// An empty index, in memory where none can be written.
pub(crate) fn new_index(shelf: &Shelf, store: &[u8; 16]) -> Index {
    Index::create(&shelf.files, &shelf.directory, store).unwrap_or_else(|err| {
        tracing::warn!(error = %err, "the index cannot be written and is kept in memory");
        Index::in_memory(store).expect("memory needs no file")
    })
}

/// Takes away what a former process left half-done; gives the names of the files that hold.
fn tidy(
    shelf: &Shelf,
    names: &[String],
    mut finals: Vec<Name>,
    acknowledged: Position,
) -> Result<Vec<Name>, StoreError> {
    let remove = |name: &str| match shelf.files.remove(&shelf.directory.join(name)) {
        Err(err) if err.kind() != ErrorKind::NotFound => {
            Err(StoreError::io("removing", &shelf.directory.join(name), err))
        }
        _ => Ok(()),
    };
    for name in names {
        if name.ends_with(NEW) {
            remove(name)?;
        }
        let Some(pending) = name.strip_suffix(PENDING).and_then(Name::parse) else { continue };
        if pending.high > acknowledged {
            // Not all files of its generation were written: the log has it all.
            remove(name)?;
            continue;
        }
        let (from, to) = (shelf.directory.join(name), shelf.path(pending));
        shelf.files.rename(&from, &to).map_err(|err| StoreError::io("renaming", &to, err))?;
        finals.push(pending);
    }
    finals.sort_unstable();
    finals.dedup();
    shelf.files.sync_dir(&shelf.directory).map_err(|err| StoreError::io("writing", &shelf.directory, err))?;
    Ok(finals)
}

/// Opens files; those that were merged into another one go, when that one is whole.
fn open_volumes(shelf: &Shelf, names: Vec<Name>) -> Result<Vec<Arc<Volume>>, StoreError> {
    let mut volumes: Vec<Arc<Volume>> = Vec::new();
    for name in names {
        match shelf.volume(name) {
            Ok(volume) => volumes.push(volume),
            Err(err) => {
                let what = format!("nothing of it can be read: {err}");
                shelf.remember(&Damage { file: name.text(), offset: 0, series: None, what });
            }
        }
    }
    let is_merged = |volume: &Arc<Volume>| {
        let is_whole = |outer: &Volume| !outer.is_damaged.load(std::sync::atomic::Ordering::Relaxed);
        volumes.iter().any(|outer| volume.name.is_within(outer.name) && is_whole(outer))
    };
    let (merged, mut volumes): (Vec<_>, Vec<_>) = volumes.iter().cloned().partition(is_merged);
    for volume in merged {
        shelf.remove(volume.name).map_err(|err| StoreError::io("removing", &shelf.path(volume.name), err))?;
    }
    volumes.sort_by_key(|volume| volume.name);
    Ok(volumes)
}
