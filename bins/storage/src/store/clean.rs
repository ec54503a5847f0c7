//! Deletes, and what is to be cleaned out of files: what is deleted, and what certain series may not keep so long.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use common::time::Time;

use super::embedded::{Embedded, horizon_ms};
use super::merge::{Filter, Merged};
use super::tombstone::Tombstone;
use super::upkeep::Upkeep;
use super::volume::Volume;
use super::{Deleted, Store, StoreError, Which, lock};
use crate::log::Position;
use crate::sealed::SealedError;

impl Embedded {
    /// Deletes what is written until now.
    pub(super) fn delete_now(&self, which: Which<'_>, now: Time) -> Result<Deleted, StoreError> {
        let deleted = self.delete(which, true, now)?;
        let mut state = lock(&self.commit);
        // A generation is all before the delete, or all behind it.
        let position = {
            let mut head = lock(&self.head);
            head.freeze();
            let high = head.active.lock().high;
            if planted!(self.options, DeleteTakesLater) { Position(u64::MAX) } else { high }
        };
        self.wake();
        let before = Arc::clone(&state.tombstones);
        let made = Arc::new(Tombstone::new(position, state.number, now, which));
        state.tombstones = Arc::new(before.iter().cloned().chain([made]).collect());
        if let Err(err) = state.save(&self.shelf.files, &self.shelf.directory) {
            state.tombstones = before;
            return Err(err);
        }
        lock(&self.head).tombstones = Arc::clone(&state.tombstones);
        tracing::info!(
            series = deleted.series,
            points = deleted.points,
            "deleted; merging gives the space back"
        );
        Ok(deleted)
    }

    /// Cleans one file that holds what has to go, or forgets deletes that are done; false when nothing is due.
    pub(super) fn clean(&self, upkeep: &mut Upkeep, now: Time) -> Result<bool, StoreError> {
        self.remove_gone(&lock(&self.commit))?;
        let (volumes, tombstones) = {
            let head = lock(&self.head);
            (Arc::clone(&head.volumes), Arc::clone(&head.tombstones))
        };
        for volume in volumes.iter() {
            let Some(due) = self.due(volume, &tombstones, now) else { continue };
            if volume.checked.load(Ordering::Relaxed) == due {
                continue;
            }
            if !self.has_anything_to_clean(volume, &tombstones, now)? {
                volume.checked.store(due, Ordering::Relaxed);
                return Ok(true);
            }
            if !self.has_room_for(volume.summary.bytes) {
                continue;
            }
            let inputs = [Arc::clone(volume)];
            let filter = Filter { tombstones: Arc::clone(&tombstones), now };
            if let Merged::Into(name) = self.merge(&inputs, &filter)? {
                self.replace(&inputs, name)?;
                upkeep.is_index_stale = true;
            }
            return Ok(true);
        }
        self.forget_deletes(&volumes, &tombstones, now)
    }

    /// A number for what has to be cleaned out of a file; None for nothing.
    fn due(&self, volume: &Volume, tombstones: &[Arc<Tombstone>], now: Time) -> Option<u64> {
        let of_file = tombstones.iter().filter(|tombstone| volume.name.high <= tombstone.position);
        let rules = self.options.keep.iter().map(|keep| keep.age).chain([self.options.retention]);
        let is_over = |age: &Option<_>| volume.summary.last_ms < horizon_ms(*age, now);
        let over: Vec<usize> =
            rules.enumerate().filter(|(_, age)| is_over(age)).map(|(rule, _)| rule).collect();
        let deletes: Vec<u64> = of_file.map(|tombstone| tombstone.number).collect();
        if over.is_empty() && deletes.is_empty() {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        (over, deletes).hash(&mut hasher);
        Some(hasher.finish().max(1))
    }

    fn has_anything_to_clean(
        &self,
        volume: &Arc<Volume>,
        tombstones: &[Arc<Tombstone>],
        now: Time,
    ) -> Result<bool, StoreError> {
        let sealed = self.shelf.open(volume)?;
        let mut entries = sealed.entries();
        loop {
            match entries.next_entry() {
                Ok(Some((key, placed))) => {
                    let is_deleted = || tombstones.iter().any(|one| one.takes(key, volume.name.high));
                    if placed.block.last_ms < self.horizon_ms(key, now) || is_deleted() {
                        return Ok(true);
                    }
                }
                Ok(None) => break,
                Err(SealedError::Damaged { .. }) => {}
                Err(err) => return Err(err.into()),
            }
        }
        self.shelf.note(volume, &sealed);
        Ok(false)
    }

    /// Forgets the deletes of which nothing is left anywhere: not in a file, and not in what the log replays.
    fn forget_deletes(
        &self,
        volumes: &[Arc<Volume>],
        tombstones: &Arc<Vec<Arc<Tombstone>>>,
        now: Time,
    ) -> Result<bool, StoreError> {
        let is_clean = |volume: &Arc<Volume>| {
            self.due(volume, tombstones, now).is_none_or(|due| volume.checked.load(Ordering::Relaxed) == due)
        };
        let is_done = |tombstone: &Arc<Tombstone>| {
            tombstone.position <= self.acknowledged()
                && volumes.iter().filter(|volume| volume.name.high <= tombstone.position).all(is_clean)
        };
        if !tombstones.iter().any(is_done) || !lock(&self.gone).is_empty() {
            return Ok(false);
        }
        let mut state = lock(&self.commit);
        if !Arc::ptr_eq(&state.tombstones, tombstones) {
            return Ok(false);
        }
        state.tombstones =
            Arc::new(tombstones.iter().filter(|tombstone| !is_done(tombstone)).cloned().collect());
        if let Err(err) = state.save(&self.shelf.files, &self.shelf.directory) {
            state.tombstones = Arc::clone(tombstones);
            return Err(err);
        }
        lock(&self.head).tombstones = Arc::clone(&state.tombstones);
        Ok(true)
    }
}
