//! Names of series: they go into the index, which is made anew when it cannot be read.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::time::Time;

use super::{SLICE, Upkeep, is_over};
use crate::sealed::SealedError;
use crate::store::embedded::Embedded;
use crate::store::embedded::open::new_index;
use crate::store::index::Index;
use crate::store::table::Series;
use crate::store::{StoreError, lock};

/// New names wait so long for the index, or until there are so many.
const FRESH_AFTER: Duration = Duration::from_secs(10);
const FRESH_MAX: usize = 50_000;
/// Names of series that are gone stay in the index so long; or, where there are a quarter more names than when it was made, at
/// least so long: series that come and go must not make it ever longer.
const STALE_AFTER: Duration = Duration::from_secs(3600);
const STALE_AT_LEAST: Duration = Duration::from_secs(300);
/// Names that are entered into the index in one go.
const ENTERED: usize = 1 << 16;

impl Embedded {
    pub(super) fn index(&self, upkeep: &mut Upkeep, now: Time) -> Result<bool, StoreError> {
        let (is_in_memory, fresh) = {
            let head = lock(&self.head);
            (head.index.is_in_memory(), head.fresh.len())
        };
        let is_stale = upkeep.is_index_stale
            && (is_over(upkeep.rebuilt, now, STALE_AFTER)
                || is_over(upkeep.rebuilt, now, STALE_AT_LEAST) && self.has_index_grown(upkeep));
        if upkeep.is_index_broken || is_stale || (is_in_memory && is_over(upkeep.rebuilt, now, STALE_AFTER)) {
            upkeep.rebuilt = Some(now);
            self.rebuild_index()?;
            (upkeep.is_index_broken, upkeep.is_index_stale) = (false, false);
            upkeep.rebuilt_names = lock(&self.head).index.series()?;
            return Ok(true);
        }
        let is_time = fresh > 0 && is_over(upkeep.entered, now, FRESH_AFTER);
        if upkeep.is_index_due || is_time || fresh >= FRESH_MAX {
            upkeep.entered = Some(now);
            self.enter_fresh(upkeep)?;
            return Ok(fresh >= FRESH_MAX);
        }
        Ok(false)
    }

    /// Whether there are many more names in it than when it was made anew.
    fn has_index_grown(&self, upkeep: &mut Upkeep) -> bool {
        let index = Arc::clone(&lock(&self.head).index);
        match index.series() {
            Ok(names) => names > upkeep.rebuilt_names + upkeep.rebuilt_names / 4,
            Err(_) => {
                upkeep.is_index_broken = true;
                false
            }
        }
    }

    /// Enters the fresh series into the index: it knows all series of all files then.
    pub(in crate::store) fn enter_fresh(&self, upkeep: &mut Upkeep) -> Result<(), StoreError> {
        let (index, volumes, ids) = {
            let head = lock(&self.head);
            (Arc::clone(&head.index), Arc::clone(&head.volumes), head.fresh.clone())
        };
        let mut names = self.keys_of(&ids);
        if planted!(self.options, IndexForgets) {
            names.clear();
        }
        let entered = index.files().and_then(|known| {
            let files: Vec<String> = volumes.iter().map(|volume| volume.name.text()).collect();
            let complete: Vec<String> = files.iter().filter(|file| !known.contains(*file)).cloned().collect();
            let gone: Vec<String> = known.into_iter().filter(|file| !files.contains(file)).collect();
            if names.is_empty() && complete.is_empty() && gone.is_empty() {
                return Ok(());
            }
            index.enter(&names, &complete, &gone)?;
            index.compact()
        });
        if let Err(err) = entered {
            upkeep.is_index_broken |= matches!(err, StoreError::Index(_));
            return Err(err);
        }
        let mut head = lock(&self.head);
        let head = &mut *head;
        for &id in &ids {
            if let Some(series) = head.table.get_mut(id) {
                series.known = head.epoch;
            }
        }
        head.fresh.drain(..ids.len());
        upkeep.is_index_due = false;
        Ok(())
    }

    /// Enters the series of the files that an index has not heard of.
    fn enter_files(&self, index: &Index) -> Result<(), StoreError> {
        let volumes = Arc::clone(&lock(&self.head).volumes);
        let known = index.files()?;
        for volume in volumes.iter().filter(|volume| !known.contains(&volume.name.text())) {
            let Ok(sealed) = self.shelf.open(volume).map_err(|err| self.shelf.failed(volume, &err)) else {
                continue;
            };
            let mut entries = sealed.entries();
            let mut names: Vec<Vec<u8>> = Vec::new();
            loop {
                match entries.next_entry() {
                    Ok(Some((key, _))) if names.last().is_some_and(|last| last == key) => {}
                    Ok(Some((key, _))) => {
                        names.push(key.to_vec());
                        if names.len() == ENTERED {
                            index.enter(&names, &[], &[])?;
                            names.clear();
                        }
                    }
                    Ok(None) => break,
                    Err(SealedError::Damaged { .. }) => {}
                    Err(err) => return Err(err.into()),
                }
            }
            self.shelf.note(volume, &sealed);
            index.enter(&names, &[volume.name.text()], &[])?;
        }
        Ok(())
    }

    /// At the start: the index knows all series of all files.
    pub(in crate::store) fn complete_index(&self, is_new: bool) -> Result<(), StoreError> {
        let index = Arc::clone(&lock(&self.head).index);
        let completed = self.enter_files(&index);
        let published = completed.and_then(|()| {
            if is_new { index.publish(&self.shelf.files, &self.shelf.directory) } else { Ok(()) }
        });
        if published.is_err() {
            // It is damaged where only that reads it, or the disk is full.
            let store = lock(&self.commit).store;
            let index = Index::in_memory(&store)?;
            self.enter_files(&index)?;
            lock(&self.head).index = Arc::new(index);
        }
        if is_new && !lock(&self.head).volumes.is_empty() {
            self.index_rebuilt.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Makes the index anew from the files.
    fn rebuild_index(&self) -> Result<(), StoreError> {
        let store = lock(&self.commit).store;
        let index = new_index(&self.shelf, &store);
        self.enter_files(&index)?;
        index.compact()?;
        index.publish(&self.shelf.files, &self.shelf.directory)?;
        let mut head = lock(&self.head);
        let head = &mut *head;
        head.index = Arc::new(index);
        head.epoch += 1;
        // Fresh are those that are in memory: all others are in a file.
        for id in std::mem::take(&mut head.fresh) {
            if let Some(series) = head.table.get_mut(id) {
                series.known = 0;
            }
        }
        for generation in head.frozen.iter().chain([&head.active]) {
            for id in generation.lock().series() {
                if let Some(series) = head.table.get_mut(id).filter(|series| series.known != Series::FRESH) {
                    series.known = Series::FRESH;
                    head.fresh.push(id);
                }
            }
        }
        self.index_rebuilt.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// The keys of series, in order.
    pub(super) fn keys_of(&self, ids: &[u32]) -> Vec<Vec<u8>> {
        let mut keys: Vec<Vec<u8>> = Vec::with_capacity(ids.len());
        for ids in ids.chunks(SLICE as usize) {
            let head = lock(&self.head);
            keys.extend(ids.iter().map(|&id| head.table.key(id).to_vec()));
        }
        keys.sort_unstable();
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Disk;
    use crate::log::Position;
    use crate::store::options::Options;
    use crate::store::{Maintained, Store as _};
    use common::metric::Event;
    use common::wire::{Batch, Content, Header};

    #[test]
    fn names_of_series_that_are_gone_do_not_gather_in_the_index() {
        const NAMES: u64 = 100;
        const DAY: Duration = Duration::from_secs(86_400);
        let directory = tempfile::tempdir().unwrap();
        let mut options = Options::at(directory.path());
        (options.min_free, options.retention) = (0, Some(DAY));
        let store = Embedded::open(Disk::shared(), options).unwrap();
        let begun = Time::from_secs(1_780_000_000);
        let mut most = 0;
        // Every other minute new series come that are gone by then, for an hour.
        for round in 0..30_u64 {
            let now = begun.plus_ns((round * 120_000_000_000) as i64);
            let mut batch = Batch::new(Content::Events);
            for name in 0..NAMES {
                let key = format!("name{}", round * NAMES + name);
                let time = now.plus_ns(-3 * DAY.as_nanos() as i64);
                batch.event(&Event { key: key.as_bytes(), time, value: 1.0 }).unwrap();
            }
            let (header, records) = Header::read(batch.seal(1, round * NAMES)).unwrap();
            let position = Position(1 + round);
            let _ = store.write(&header, records, position);
            assert!(!store.seal_up_to(position));
            while store.maintain(now) == Maintained::Busy {}
            assert!(store.seal_up_to(position));
            most = most.max(lock(&store.head).index.series().unwrap());
        }
        // What came in five minutes, and a round at either end.
        assert!((NAMES..=4 * NAMES).contains(&most), "{most}");
    }
}
