//! Maintenance: what is due, one slice after the other, in the order of urgency.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::time::Time;

use super::embedded::Embedded;
use super::embedded::open::new_index;
use super::index::Index;
use super::merge::{Filter, Merged, choose};
use super::state::State;
use super::table::Series;
use super::volume::Volume;
use super::{Full, Maintained, Stats, Store, StoreError, lock};
use crate::sealed::SealedError;

/// When there is nothing to do, it is looked again after so long.
const REST: Duration = Duration::from_secs(1);
/// New names wait so long for the index, or until there are so many.
const FRESH_AFTER: Duration = Duration::from_secs(10);
const FRESH_MAX: usize = 50_000;
/// Between two looks at what retention may drop.
const RETAIN_AFTER: Duration = Duration::from_secs(60);
/// Names of series that are gone stay in the index so long.
const STALE_AFTER: Duration = Duration::from_secs(3600);
/// A series that nothing came of for so long leaves the table.
const FORGET_AFTER: Duration = Duration::from_secs(3600);
/// The first pause after a failure, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Series between two turns of the writer.
const SLICE: u32 = 4096;
/// Names that are entered into the index in one go.
const ENTERED: usize = 1 << 16;
/// A span of less is merged whole whatever it costs.
const SMALL_BYTES: u64 = 16 << 20;

/// What there is to do, the most urgent first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Task {
    Seal,
    Room,
    Retain,
    Index,
    Merge,
    Clean,
    Forget,
}

impl Task {
    const ALL: [Task; 7] =
        [Task::Seal, Task::Room, Task::Retain, Task::Index, Task::Merge, Task::Clean, Task::Forget];

    const fn word(self) -> &'static str {
        match self {
            Task::Seal => "sealing",
            Task::Room => "measuring the disk",
            Task::Retain => "dropping old files",
            Task::Index => "indexing",
            Task::Merge => "merging",
            Task::Clean => "cleaning",
            Task::Forget => "forgetting series",
        }
    }
}

/// A task that failed.
#[derive(Clone, Copy, Debug)]
struct Failed {
    until: Time,
    pause: Duration,
}

/// What maintenance remembers from slice to slice.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    failed: [Option<Failed>; Task::ALL.len()],
    /// The active generation when something was first in it.
    born: Option<(u32, Time)>,
    /// How much was in the active generation, and since when no more came.
    quiet: Option<(u32, u64, Time)>,
    measured: Option<Time>,
    retained: Option<Time>,
    entered: Option<Time>,
    /// Files were sealed or merged that the index has not heard of.
    is_index_due: bool,
    /// A row could not be read.
    pub(super) is_index_broken: bool,
    /// Series may be gone that the index names.
    pub(super) is_index_stale: bool,
    rebuilt: Option<Time>,
    /// When the last file of a span came, with how many there were.
    arrived: HashMap<(i64, u32), (usize, Time)>,
    /// Which generation was active when.
    hours: VecDeque<(Time, u32)>,
    is_sealed: bool,
}

fn is_over(since: Option<Time>, now: Time, span: Duration) -> bool {
    since.is_none_or(|since| now.since_ns(since) < 0 || now.since_ns(since) as u128 >= span.as_nanos())
}

fn after(now: Time, span: Duration) -> Time {
    now.plus_ns(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX))
}

impl Embedded {
    pub(super) fn maintain_once(&self, now: Time) -> Maintained {
        let mut upkeep = lock(&self.upkeep);
        for task in Task::ALL {
            if self.is_stopping.load(Ordering::Relaxed) {
                break;
            }
            let before = upkeep.failed[task as usize];
            if before.is_some_and(|failed| {
                now < failed.until && now.since_ns(failed.until) > -(PAUSES.1.as_nanos() as i64)
            }) {
                continue;
            }
            match self.work(&mut upkeep, task, now) {
                Ok(is_busy) => {
                    if before.is_some() {
                        upkeep.failed[task as usize] = None;
                        if upkeep.failed.iter().all(Option::is_none) {
                            *lock(&self.failing) = None;
                        }
                        tracing::info!(task = task.word(), "works again");
                    }
                    if is_busy {
                        return Maintained::Busy;
                    }
                }
                Err(StoreError::Closing) => break,
                Err(err) => {
                    let pause = before.map_or(PAUSES.0, |failed| PAUSES.1.min(failed.pause * 2));
                    upkeep.failed[task as usize] = Some(Failed { until: after(now, pause), pause });
                    let error = anyhow::Error::from(err);
                    let text = format!("{}: {error:#}", task.word());
                    let mut failing = lock(&self.failing);
                    if before.is_none() {
                        tracing::error!(
                            task = task.word(),
                            error = format!("{error:#}"),
                            "failed, is tried again"
                        );
                    }
                    let since = failing.as_ref().map_or(now, |(_, since)| *since);
                    *failing = Some((text, since));
                }
            }
        }
        Maintained::Idle(REST)
    }

    fn work(&self, upkeep: &mut Upkeep, task: Task, now: Time) -> Result<bool, StoreError> {
        match task {
            Task::Seal => self.seal(upkeep, now),
            Task::Room => self.measure(upkeep, now),
            Task::Retain => self.retain(upkeep, now),
            Task::Index => self.index(upkeep, now),
            Task::Merge => self.merge_some(upkeep, now),
            Task::Clean => self.clean(upkeep, now),
            Task::Forget => {
                self.forget_series(upkeep, now);
                Ok(false)
            }
        }
    }

    fn seal(&self, upkeep: &mut Upkeep, now: Time) -> Result<bool, StoreError> {
        let (number, count) = {
            let head = lock(&self.head);
            let count = head.active.lock().count;
            (head.active.number, count)
        };
        if count == 0 {
            (upkeep.born, upkeep.quiet) = (None, None);
        } else {
            let born = upkeep.born.filter(|(of, _)| *of == number).unwrap_or((number, now));
            let quiet = upkeep.quiet.filter(|(of, with, _)| (*of, *with) == (number, count));
            let quiet = quiet.unwrap_or((number, count, now));
            (upkeep.born, upkeep.quiet) = (Some(born), Some(quiet));
            if is_over(Some(born.1), now, self.options.seal_after)
                || is_over(Some(quiet.2), now, self.options.idle_after)
            {
                lock(&self.head).freeze();
            }
        }
        let is_sealed = self.seal_oldest()?;
        upkeep.is_index_due |= is_sealed;
        upkeep.is_sealed |= is_sealed;
        Ok(is_sealed)
    }

    /// In the middle of a long merge: what is frozen is sealed, unless that fails.
    pub(super) fn seal_if_due(&self) -> Result<(), StoreError> {
        if lock(&self.failing).is_none() {
            while self.seal_oldest()? {}
        }
        Ok(())
    }

    /// Bytes of sealed files and index.
    fn disk_bytes(&self) -> u64 {
        let (volumes, index) = {
            let head = lock(&self.head);
            (Arc::clone(&head.volumes), Arc::clone(&head.index))
        };
        volumes.iter().map(|volume| volume.summary.bytes).sum::<u64>() + index.bytes()
    }

    /// Looks whether a limit of the disk is reached, once a second.
    fn measure(&self, upkeep: &mut Upkeep, now: Time) -> Result<bool, StoreError> {
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
    pub(super) fn has_room_for(&self, bytes: u64) -> bool {
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
    fn retain(&self, upkeep: &mut Upkeep, now: Time) -> Result<bool, StoreError> {
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

    fn index(&self, upkeep: &mut Upkeep, now: Time) -> Result<bool, StoreError> {
        let (is_in_memory, fresh) = {
            let head = lock(&self.head);
            (head.index.is_in_memory(), head.fresh.len())
        };
        let is_stale = upkeep.is_index_stale && is_over(upkeep.rebuilt, now, STALE_AFTER);
        if upkeep.is_index_broken || is_stale || (is_in_memory && is_over(upkeep.rebuilt, now, STALE_AFTER)) {
            upkeep.rebuilt = Some(now);
            self.rebuild_index()?;
            (upkeep.is_index_broken, upkeep.is_index_stale) = (false, false);
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

    /// Enters the fresh series into the index: it knows all series of all files then.
    pub(super) fn enter_fresh(&self, upkeep: &mut Upkeep) -> Result<(), StoreError> {
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
    pub(super) fn complete_index(&self, is_new: bool) -> Result<(), StoreError> {
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

    fn merge_some(&self, upkeep: &mut Upkeep, now: Time) -> Result<bool, StoreError> {
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

    /// Takes series out of the table that nothing comes of any more; they stay in the index.
    fn forget_series(&self, upkeep: &mut Upkeep, now: Time) {
        if !std::mem::take(&mut upkeep.is_sealed) {
            return;
        }
        let (number, is_large) = {
            let head = lock(&self.head);
            (head.active.number, head.table.bytes() > self.options.head_bytes_max)
        };
        upkeep.hours.push_back((now, number));
        let mut before = if is_large { number } else { 0 };
        while let Some((at, of)) = upkeep.hours.front().copied()
            && is_over(Some(at), now, FORGET_AFTER)
        {
            before = before.max(of);
            upkeep.hours.pop_front();
        }
        if before == 0 {
            return;
        }
        let mut begin = 0;
        loop {
            let mut head = lock(&self.head);
            let head = &mut *head;
            head.past.retain(|generation| generation.strong_count() > 0);
            // Whoever reads has looked numbers up.
            if !head.past.is_empty() || !head.frozen.is_empty() || Arc::strong_count(&head.views) > 1 {
                return;
            }
            let end = head.table.end().min(begin + SLICE);
            for id in begin..end {
                let is_idle = |series: &mut Series| series.seen < before && series.known != Series::FRESH;
                if head.table.get_mut(id).is_some_and(is_idle) {
                    head.table.remove(id);
                }
            }
            if end == head.table.end() {
                return;
            }
            begin = end;
        }
    }

    pub(super) fn stats_of(&self, now: Time) -> Stats {
        let view = self.view();
        let mut stats = Stats { damage: self.shelf.damage(), ..Stats::default() };
        let mut reach_ms = (i64::MAX, i64::MIN);
        for volume in view.volumes.iter() {
            let summary = volume.summary;
            stats.files += 1;
            stats.file_bytes += summary.bytes;
            stats.points += summary.points;
            if summary.blocks > 0 {
                reach_ms = (reach_ms.0.min(summary.first_ms), reach_ms.1.max(summary.last_ms));
            }
        }
        stats.index_bytes = view.index.bytes();
        if stats.points > 0 {
            stats.bytes_a_point = Some((stats.file_bytes + stats.index_bytes) as f64 / stats.points as f64);
        }
        for generation in &view.generations {
            let data = generation.lock();
            stats.points_in_memory += data.count;
            stats.memory_bytes += data.bytes();
            if data.count > 0 {
                reach_ms = (reach_ms.0.min(data.reach_ms.0), reach_ms.1.max(data.reach_ms.1));
            }
        }
        stats.memory_bytes += lock(&self.head).table.bytes();
        stats.points += stats.points_in_memory;
        let time = |ms: i64| Time::from_ns(ms.saturating_mul(1_000_000));
        stats.reach = (reach_ms.0 <= reach_ms.1).then(|| (time(reach_ms.0), time(reach_ms.1)));
        stats.series = view.index.series().unwrap_or(0) + self.unknown(&view.fresh, &view.index);
        stats.full = self.full();
        stats.failing = lock(&self.failing).clone();
        stats.deletes_open = view.tombstones.len() as u64;
        stats.index_rebuilt = self.index_rebuilt.load(Ordering::Relaxed);
        self.forecast(&mut stats, &view.volumes, now);
        stats
    }

    /// How many of the fresh series the index does not name yet.
    fn unknown(&self, fresh: &[u32], index: &Index) -> u64 {
        if fresh.is_empty() || index.series().is_ok_and(|series| series == 0) {
            return fresh.len() as u64;
        }
        index.unknown(&self.keys_of(fresh)).unwrap_or(0)
    }

    /// The keys of series, in order.
    fn keys_of(&self, ids: &[u32]) -> Vec<Vec<u8>> {
        let mut keys: Vec<Vec<u8>> = Vec::with_capacity(ids.len());
        for ids in ids.chunks(SLICE as usize) {
            let head = lock(&self.head);
            keys.extend(ids.iter().map(|&id| head.table.key(id).to_vec()));
        }
        keys.sort_unstable();
        keys
    }

    /// What is left of the disk, and for how long.
    fn forecast(&self, stats: &mut Stats, volumes: &[Arc<Volume>], now: Time) {
        const DAY_MS: i64 = 86_400_000;
        let free = self.shelf.files.free_bytes(&self.shelf.directory).unwrap_or(0);
        stats.room_bytes = free.saturating_sub(self.options.min_free);
        let used = stats.file_bytes + stats.index_bytes;
        if let Some(max) = self.options.disk_max {
            stats.room_bytes = stats.room_bytes.min(max.saturating_sub(used));
        }
        // What the last week takes, by the times of the records in it.
        let now_ms = now.ns().div_euclid(1_000_000);
        let of_late = volumes.iter().filter(|volume| {
            volume.summary.last_ms > now_ms - 7 * DAY_MS && volume.summary.first_ms <= now_ms
        });
        let (mut first_ms, mut last_ms, mut bytes) = (i64::MAX, i64::MIN, 0);
        for volume in of_late {
            first_ms = first_ms.min(volume.summary.first_ms);
            last_ms = last_ms.max(volume.summary.last_ms);
            bytes += volume.summary.bytes;
        }
        // A rate over less than ten minutes is none.
        if last_ms.saturating_sub(first_ms) < 600_000 {
            return;
        }
        let a_day = bytes as f64 * DAY_MS as f64 / (last_ms - first_ms) as f64;
        stats.bytes_a_day = Some(a_day);
        let most_ms = now_ms.saturating_sub(self.last_horizon_ms(now));
        let is_bounded = a_day * most_ms as f64 / DAY_MS as f64 <= (used + stats.room_bytes) as f64;
        if a_day > 0.0 && !is_bounded {
            stats.full_in = Duration::try_from_secs_f64(stats.room_bytes as f64 / a_day * 86_400.0).ok();
        }
    }

    pub(super) fn snapshot_into(&self, directory: &Path) -> Result<(), StoreError> {
        let files = &self.shelf.files;
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |err| StoreError::io("writing", &path, err)
        };
        files.make_dir(directory).map_err(failed(directory))?;
        if !files.list(directory).map_err(failed(directory))?.is_empty() {
            return Err(StoreError::NotEmpty(directory.display().to_string()));
        }
        // While it is held no file goes, and the state file says what is in those that are there.
        let state = lock(&self.commit);
        let volumes = Arc::clone(&lock(&self.head).volumes);
        for volume in volumes.iter() {
            let to = directory.join(volume.name.text());
            files.link(&self.shelf.path(volume.name), &to).map_err(failed(&to))?;
        }
        State::clone(&state).save(files, directory)?;
        files.sync_dir(directory).map_err(failed(directory))
    }
}
