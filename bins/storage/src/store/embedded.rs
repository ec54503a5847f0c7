//! The embedded store.
//!
//! ```text
//! log ──> write ──> active generation ──(size, age)──> frozen ones ──> sealed files ──> merged files
//!                      memory, 13 B a point, by series                 a span of time each, ~1 B a point
//! ```
//!
//! What is written waits in the **active generation** (`generation`), which ends at a place of the log; then it is
//! **frozen**, and the maintenance thread seals it into a file for each **span** of time (a day) that it has
//! something of (`seal`). Of one span the files follow each other in the log, so which write was the last is known
//! from the files alone: of two points of one time that of the later file holds, in a file each is there once. Files
//! that follow each other are merged as they grow (`merge`), and all of a span once nothing comes any more.
//!
//! A **delete** is a place of the log: the generation is frozen there, so that every generation and file is all
//! before it or all behind it, and what is before is passed over by readers, and left out by merging (`clean`).
//!
//! Readers take a `view`: the files, the generations, the deletes, the index. They lock a generation while they copy
//! one series out of it, and nothing else. The writer locks the head and the active generation once a datagram.
//!
//! **Durable** are the sealed files, and the state file (`state`), which says up to which place of the log they hold
//! all there is. The index (`index`) is derived. Locks are taken in this order: upkeep, commit, gone,
//! head, generation.

pub(super) mod open;
mod write;

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use common::time::Time;
use common::wire::Header;

use super::bell::Bell;
use super::generation::Generation;
use super::index::{self, Index};
use super::options::Options;
use super::read::Reader;
use super::state::State;
use super::table::Table;
use super::tombstone::Tombstone;
use super::upkeep::Upkeep;
use super::view::View;
use super::volume::{Name, Shelf, Volume, damage_of};
use super::{
    Deleted, Ended, Extent, Found, Full, Maintained, Range, Stats, Store, StoreError, Verified, Which, Word,
    Written, lock,
};
use crate::log::Position;
use crate::sealed::{Sealed, SealedError};

/// The embedded store.
#[derive(Debug)]
pub struct Embedded {
    pub(super) options: Options,
    pub(super) shelf: Shelf,
    pub(super) head: Mutex<Head>,
    /// What is durable. Who holds it decides which files there are.
    pub(super) commit: Mutex<State>,
    pub(super) upkeep: Mutex<Upkeep>,
    /// Files that are merged or cleaned away, or that a failed merge left, and that could not be removed yet.
    pub(super) gone: Mutex<Vec<Name>>,
    acknowledged: AtomicU64,
    /// The state file may say that all up to here is sealed: also when saving it failed half-way.
    pub(super) announced: AtomicU64,
    pub(super) full: AtomicU8,
    /// Rung where something is due before its time, and at the end.
    pub(super) bell: Bell,
    pub(super) index_rebuilt: AtomicU64,
    /// What failed last, and since when things fail.
    pub(super) failing: Mutex<Option<(String, Time)>>,
}

/// What the writer changes with every datagram, and readers take their view from.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) table: Table,
    /// The series of the last event.
    pub(super) last: u32,
    pub(super) active: Arc<Generation>,
    /// The oldest first.
    pub(super) frozen: VecDeque<Arc<Generation>>,
    pub(super) frozen_bytes: u64,
    /// Sealed ones that somebody may still read.
    pub(super) past: Vec<Weak<Generation>>,
    pub(super) volumes: Arc<Vec<Arc<Volume>>>,
    pub(super) tombstones: Arc<Vec<Arc<Tombstone>>>,
    pub(super) index: Arc<Index>,
    /// Counts the indexes there were.
    pub(super) epoch: u32,
    /// Series that are not in the index.
    pub(super) fresh: Vec<u32>,
    /// Each view has one of these: while there is a view, no series loses its number.
    pub(super) views: Arc<()>,
}

impl Head {
    /// Ends the active generation, if there is anything in it; the next one begins where it ends.
    pub(super) fn freeze(&mut self) {
        let (high, bytes) = {
            let data = self.active.lock();
            if data.is_empty() {
                return;
            }
            (data.high, data.bytes())
        };
        let next = Arc::new(Generation::new(self.active.number + 1, high));
        self.frozen.push_back(std::mem::replace(&mut self.active, next));
        self.frozen_bytes += bytes;
    }
}

/// The bits of [`Embedded::full`].
const FULL: [(u8, Full); 3] = [(1, Full::MinFree), (2, Full::DiskMax), (4, Full::Memory)];

impl Embedded {
    pub(super) fn view(&self) -> View {
        let head = lock(&self.head);
        let mut generations: Vec<Arc<Generation>> = head.frozen.iter().cloned().collect();
        if planted!(self.options, FrozenUnread) {
            generations.clear();
        }
        generations.push(Arc::clone(&head.active));
        View {
            volumes: Arc::clone(&head.volumes),
            generations,
            tombstones: Arc::clone(&head.tombstones),
            index: Arc::clone(&head.index),
            fresh: head.fresh.clone(),
            _alive: Arc::clone(&head.views),
        }
    }

    /// Says that a limit is reached, or is not any more.
    pub(super) fn set_full(&self, full: Full, is: bool) {
        let bit = FULL.iter().find(|(_, of)| *of == full).map_or(0, |(bit, _)| *bit);
        let before = if is {
            self.full.fetch_or(bit, Ordering::Relaxed)
        } else {
            self.full.fetch_and(!bit, Ordering::Relaxed)
        };
        if (before & bit != 0) != is {
            let limit = full.word();
            if is {
                tracing::warn!(limit, "a limit is reached: nothing more is written, reads go on");
            } else {
                tracing::info!(limit, "below the limit: writing again");
            }
        }
    }

    pub(super) fn set_acknowledged(&self, position: Position) {
        self.acknowledged.store(position.0, Ordering::Release);
    }

    /// Wakes the maintenance thread.
    pub(super) fn wake(&self) {
        self.bell.ring();
    }

    /// Before this time nothing of a series is kept, in ms since 1970.
    pub(super) fn horizon_ms(&self, key: &[u8], now: Time) -> i64 {
        let keep = self.options.keep.iter().find(|keep| keep.selector.matches(key));
        horizon_ms(keep.map_or(self.options.retention, |keep| keep.age), now)
    }

    /// Before this time nothing of any series is kept.
    pub(super) fn last_horizon_ms(&self, now: Time) -> i64 {
        let ages = self.options.keep.iter().map(|keep| keep.age).chain([self.options.retention]);
        ages.map(|age| horizon_ms(age, now)).min().unwrap_or(i64::MIN)
    }
}

/// Where an age ends, in ms since 1970.
pub(super) fn horizon_ms(age: Option<Duration>, now: Time) -> i64 {
    let Some(age) = age else { return i64::MIN };
    let age_ns = i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
    let horizon_ns = now.ns().saturating_sub(age_ns);
    horizon_ns.div_euclid(1_000_000) + i64::from(horizon_ns.rem_euclid(1_000_000) > 0)
}

impl Store for Embedded {
    fn write(&self, header: &Header, records: &[u8], position: Position) -> Written {
        self.write_datagram(header, records, position)
    }

    fn acknowledged(&self) -> Position {
        if planted!(self.options, AcknowledgedEarly) {
            return lock(&self.head).active.lock().low;
        }
        Position(self.acknowledged.load(Ordering::Acquire))
    }

    fn full(&self) -> Option<Full> {
        let bits = self.full.load(Ordering::Relaxed);
        FULL.iter().find(|(bit, _)| bits & bit != 0).map(|(_, full)| *full)
    }

    fn maintain(&self, now: Time) -> Maintained {
        self.maintain_once(now)
    }

    fn seal_up_to(&self, position: Position) -> bool {
        let mut head = lock(&self.head);
        if head.active.lock().low < position {
            head.freeze();
        }
        let is_sealed = head.frozen.iter().all(|generation| generation.lock().low >= position);
        drop(head);
        if !is_sealed {
            self.wake();
        }
        is_sealed
    }

    fn wait(&self, at_most: Duration) {
        self.bell.wait(at_most);
    }

    fn stop(&self) {
        self.bell.end();
    }

    fn close(&self, now: Time) -> Result<(), StoreError> {
        self.stop();
        let mut upkeep = lock(&self.upkeep);
        lock(&self.head).freeze();
        while self.seal_oldest()? {}
        self.enter_fresh(&mut upkeep)?;
        tracing::debug!(at = %now, "closed");
        Ok(())
    }

    fn range(
        &self,
        range: &Range<'_>,
        now: Time,
        found: &mut dyn FnMut(Found<'_>) -> ControlFlow<()>,
    ) -> Result<Ended, StoreError> {
        let view = self.view();
        let mut reader = Reader::new(self, &view, range.limit);
        // A time is that of its millisecond.
        let from_ms =
            range.from.ns().div_euclid(1_000_000) + i64::from(range.from.ns().rem_euclid(1_000_000) > 0);
        let to_ms = range.to.ns().div_euclid(1_000_000) - i64::from(planted!(self.options, EndExclusive));
        self.each_series(&view, range.which, &mut |key, id| {
            let from_ms = from_ms.max(self.horizon_ms(key, now));
            reader.series(key, id, range.kind, from_ms, to_ms, found)
        })?;
        Ok(reader.ended())
    }

    fn series(
        &self,
        which: Which<'_>,
        limit: Option<u64>,
        now: Time,
        found: &mut dyn FnMut(Extent<'_>) -> ControlFlow<()>,
    ) -> Result<Ended, StoreError> {
        let view = self.view();
        let mut reader = Reader::new(self, &view, limit);
        self.each_series(&view, which, &mut |key, id| {
            let horizon_ms = self.horizon_ms(key, now);
            reader.extent(key, id, horizon_ms, found)
        })?;
        Ok(reader.ended())
    }

    fn names(
        &self,
        which: Which<'_>,
        limit: Option<u64>,
        found: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<Ended, StoreError> {
        let view = self.view();
        let mut ended = Ended::default();
        if let Which::Key(key) = which {
            let mut reader = Reader::new(self, &view, None);
            let id = lock(&self.head).table.find(key);
            let _ = reader.extent(key, id, i64::MIN, &mut |_| {
                ended.records += 1;
                found(key)
            });
            return Ok(ended);
        }
        self.each_series(&view, which, &mut |key, _| {
            if limit == Some(ended.records) {
                ended.is_cut = true;
                return ControlFlow::Break(());
            }
            ended.records += 1;
            let flow = found(key);
            ended.is_cut = flow.is_break();
            flow
        })?;
        Ok(ended)
    }

    fn tags(&self, tag: Option<&[u8]>) -> Result<Vec<Word>, StoreError> {
        let view = self.view();
        let mut words: BTreeMap<Vec<u8>, u64> = view.index.words(tag)?;
        self.each_fresh(&view, &mut |key| {
            for (of, value) in index::tags(key) {
                if let Some(word) = tag.map_or(Some(of), |tag| (tag == of).then_some(value)) {
                    *words.entry(word.to_vec()).or_default() += 1;
                }
            }
        });
        Ok(index::words(words))
    }

    fn stats(&self, now: Time) -> Stats {
        self.stats_of(now)
    }

    fn delete(&self, which: Which<'_>, is_dry: bool, now: Time) -> Result<Deleted, StoreError> {
        if is_dry {
            let mut deleted = Deleted::default();
            let _ = self.series(which, None, now, &mut |extent| {
                deleted.series += 1;
                deleted.points += extent.points;
                ControlFlow::Continue(())
            })?;
            return Ok(deleted);
        }
        self.delete_now(which, now)
    }

    fn verify(&self, go_on: &mut dyn FnMut() -> bool) -> Result<Verified, StoreError> {
        let view = self.view();
        let mut verified = Verified::default();
        for volume in view.volumes.iter() {
            if !go_on() || self.bell.is_over() {
                return Err(StoreError::Closing);
            }
            verified.files += 1;
            verified.blocks += volume.summary.blocks;
            verified.bytes += volume.summary.bytes;
            match Sealed::verify(&self.shelf.files, &self.shelf.path(volume.name)) {
                Ok(found) => verified.damage.extend(found.iter().map(|found| {
                    let damage = damage_of(&volume.name.text(), found);
                    self.shelf.remember(&damage);
                    if found.is_lost {
                        volume.is_damaged.store(true, Ordering::Relaxed);
                    }
                    damage
                })),
                // It was merged away meanwhile: what it was merged into was written by reading it.
                Err(SealedError::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
                Err(err) => verified.damage.push(self.shelf.failed(volume, &err)),
            }
        }
        // Every row of the index has its checksum; reading one that is damaged fails.
        let checked = view.index.names(b"", b"", &[], &mut |_| ControlFlow::Continue(()));
        if checked.and_then(|()| view.index.words(None).map(drop)).is_err() {
            lock(&self.upkeep).is_index_broken = true;
            self.wake();
        }
        Ok(verified)
    }

    fn snapshot(&self, directory: &Path) -> Result<(), StoreError> {
        self.snapshot_into(directory)
    }
}
