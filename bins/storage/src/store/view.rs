//! What a reader sees: the files, generations and deletes of one moment.

use std::sync::Arc;

use super::generation::Generation;
use super::index::Index;
use super::tombstone::Tombstone;
use super::volume::Volume;
use crate::log::Position;

/// Everything there is at a moment. The last generation is still written to; the rest never changes.
#[derive(Debug)]
pub(super) struct View {
    /// By span of time, then by place in the log.
    pub(super) volumes: Arc<Vec<Arc<Volume>>>,
    /// The oldest first.
    pub(super) generations: Vec<Arc<Generation>>,
    pub(super) tombstones: Arc<Vec<Arc<Tombstone>>>,
    pub(super) index: Arc<Index>,
    /// Series that are not in the index. Their numbers stay theirs while the view is there.
    pub(super) fresh: Vec<u32>,
    pub(super) _alive: Arc<()>,
}

impl View {
    /// What was written of a series up to `high` is deleted.
    pub(super) fn is_deleted(&self, key: &[u8], high: Position) -> bool {
        self.tombstones.iter().any(|tombstone| tombstone.takes(key, high))
    }
}
