//! Spans of time: of which of them files are merged now.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use common::time::Time;

use super::{Upkeep, is_over};
use crate::store::embedded::Embedded;
use crate::store::merge::{Filter, Merged, choose};
use crate::store::volume::Volume;
use crate::store::{StoreError, lock};

/// A span of less is merged whole whatever it costs.
const SMALL_BYTES: u64 = 16 << 20;

impl Embedded {
    pub(super) fn merge_some(&self, upkeep: &mut Upkeep, now: Time) -> Result<bool, StoreError> {
        let (volumes, tombstones) = {
            let head = lock(&self.head);
            (Arc::clone(&head.volumes), Arc::clone(&head.tombstones))
        };
        let span = |volume: &Arc<Volume>| (volume.name.start, volume.name.width);
        upkeep.arrived.retain(|of, _| volumes.iter().any(|volume| span(volume) == *of));
        let Some(inputs) = volumes.chunk_by(|a, b| span(a) == span(b)).find_map(|files| {
            let arrived = upkeep.arrived.entry(span(&files[0])).or_insert((files.len(), now));
            if files.len() > arrived.0 {
                arrived.1 = now;
            }
            arrived.0 = files.len();
            let is_quiet = is_over(Some(arrived.1), now, self.options.settle);
            // Files of which something is lost are left as they are.
            let is_whole = |file: &Arc<Volume>| !file.is_damaged.load(Ordering::Relaxed);
            files.chunk_by(|a, b| is_whole(a) && is_whole(b)).filter(|run| is_whole(&run[0])).find_map(
                |run| {
                    let bytes: Vec<u64> = run.iter().map(|volume| volume.summary.bytes).collect();
                    let (all, most) = (bytes.iter().sum::<u64>(), bytes.iter().max().copied().unwrap_or(0));
                    // A late point is no reason to write a whole day again.
                    let is_worth = all <= SMALL_BYTES || (all - most) * 16 >= most || bytes.len() >= 8;
                    let inputs = &run[choose(&bytes, is_quiet && is_worth)?];
                    let bytes = inputs.iter().map(|input| input.summary.bytes).sum();
                    self.has_room_for(bytes).then(|| inputs.to_vec())
                },
            )
        }) else {
            return Ok(false);
        };
        let filter = Filter { tombstones, now };
        match self.merge(&inputs, &filter)? {
            Merged::Into(name) => {
                self.replace(&inputs, name)?;
                upkeep.is_index_due = true;
                // It is a merge that made the files fewer, and none that made it more.
                if let Some(arrived) = inputs.first().and_then(|input| upkeep.arrived.get_mut(&span(input))) {
                    arrived.0 = arrived.0.saturating_sub(inputs.len() - 1);
                }
                Ok(true)
            }
            Merged::Damaged => {
                // Should none of them say which it is, none of them is merged again.
                if !inputs.iter().any(|input| input.is_damaged.load(Ordering::Relaxed)) {
                    inputs.iter().for_each(|input| input.is_damaged.store(true, Ordering::Relaxed));
                }
                Ok(true)
            }
            Merged::Stopped => Err(StoreError::Closing),
        }
    }
}
