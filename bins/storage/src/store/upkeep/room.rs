//! Room on the disk: what is taken and free, and what goes because it is old.

use std::sync::Arc;
use std::time::Duration;

use common::time::Time;

use super::{REST, Upkeep, is_over};
use crate::store::embedded::Embedded;
use crate::store::volume::Volume;
use crate::store::{Full, StoreError, lock};

/// Between two looks at what retention may drop.
const RETAIN_AFTER: Duration = Duration::from_secs(60);

impl Embedded {
    /// Bytes of sealed files and index.
    fn disk_bytes(&self) -> u64 {
        let (volumes, index) = {
            let head = lock(&self.head);
            (Arc::clone(&head.volumes), Arc::clone(&head.index))
        };
        volumes.iter().map(|volume| volume.summary.bytes).sum::<u64>() + index.bytes()
    }

    /// Looks whether a limit of the disk is reached, once a second.
    pub(super) fn measure(&self, upkeep: &mut Upkeep, now: Time) -> Result<bool, StoreError> {
        if !is_over(upkeep.measured, now, REST) {
            return Ok(false);
        }
        let directory = &self.shelf.directory;
        let free = self
            .shelf
            .files
            .free_bytes(directory)
            .map_err(|err| StoreError::io("measuring", directory, err))?;
        self.set_full(Full::MinFree, free < self.options.min_free);
        let is_over_max = self.options.disk_max.is_some_and(|max| self.disk_bytes() > max);
        self.set_full(Full::DiskMax, is_over_max && self.oldest_span().is_none());
        let (frozen_bytes, is_behind) = {
            let head = lock(&self.head);
            (head.frozen_bytes, !head.frozen.is_empty())
        };
        if !is_behind || frozen_bytes < self.options.memory_bytes_max / 2 {
            self.set_full(Full::Memory, false);
        }
        upkeep.measured = Some(now);
        Ok(false)
    }

    /// Whether so many bytes may be written beside what is there.
    pub(in crate::store) fn has_room_for(&self, bytes: u64) -> bool {
        let free = self.shelf.files.free_bytes(&self.shelf.directory).unwrap_or(0);
        free >= bytes.saturating_add(self.options.min_free / 2)
    }

    /// The files of the oldest span, when there are later ones.
    fn oldest_span(&self) -> Option<Vec<Arc<Volume>>> {
        let volumes = Arc::clone(&lock(&self.head).volumes);
        let first = volumes.first()?.name;
        let is_first =
            |volume: &&Arc<Volume>| (volume.name.start, volume.name.width) == (first.start, first.width);
        let oldest: Vec<Arc<Volume>> = volumes.iter().filter(is_first).cloned().collect();
        (oldest.len() < volumes.len()).then_some(oldest)
    }

    /// Drops the files that are too old, and the oldest ones while there are too many.
    pub(super) fn retain(&self, upkeep: &mut Upkeep, now: Time) -> Result<bool, StoreError> {
        if !is_over(upkeep.retained, now, RETAIN_AFTER) && !upkeep.is_index_due {
            return Ok(false);
        }
        upkeep.retained = Some(now);
        let mut horizon_ms = self.last_horizon_ms(now);
        if planted!(self.options, RetentionEarly) {
            horizon_ms = horizon_ms.saturating_add(self.options.span.as_millis() as i64);
        }
        let volumes = Arc::clone(&lock(&self.head).volumes);
        let old = volumes.iter().filter(|volume| volume.summary.last_ms < horizon_ms);
        let mut old: Vec<Arc<Volume>> = old.cloned().collect();
        if old.is_empty() && self.options.disk_max.is_some_and(|max| self.disk_bytes() > max) {
            old = self.oldest_span().unwrap_or_default();
            if let Some(volume) = old.first() {
                tracing::info!(file = volume.name.text(), "disk_max is reached: the oldest day is dropped");
            }
        }
        if old.is_empty() {
            return Ok(false);
        }
        self.replace(&old, None)?;
        upkeep.is_index_stale = true;
        upkeep.is_index_due = true;
        Ok(true)
    }
}
