//! Sealing: a frozen generation becomes a file for each span of time that it has something of.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::embedded::Embedded;
use super::generation::{FETCHED, Generation};
use super::sweep::{Record, Sweep, settle};
use super::volume::{Name, PENDING, Volume};
use super::{Full, Kind, StoreError, lock};
use crate::block;
use crate::log::Position;
use crate::sealed::{Block, SealedWriter};

/// Keys that are copied while the head is locked.
const SLICE: usize = 4096;
/// Files that are written at the same time; a generation with more spans is gone through several times.
const FILES: usize = 16;
/// The most records of a block of notes or states, and the most bytes but for the last of them.
pub(super) const RECORDS_MAX: usize = 1024;
const RECORD_BYTES_MAX: usize = 64 << 10;

/// Series in the order of their keys.
struct Ordered {
    keys: Vec<u8>,
    /// Where a key begins, its length, and the number of the series.
    series: Vec<(u32, u16, u32)>,
}

impl Ordered {
    fn key(&self, at: (u32, u16, u32)) -> &[u8] {
        &self.keys[at.0 as usize..at.0 as usize + usize::from(at.1)]
    }
}

/// Codes what belongs to one series and writes it.
#[derive(Debug, Default)]
pub(super) struct Coder {
    times: Vec<i64>,
    values: Vec<f64>,
    bytes: Vec<u8>,
}

impl Coder {
    /// Writes points, in order, in blocks of about `points_max`.
    pub(super) fn points(
        &mut self,
        writer: &mut SealedWriter,
        key: &[u8],
        points: &[(i64, f64)],
        points_max: usize,
        sequence: Position,
    ) -> Result<(), StoreError> {
        let parts = points.len().div_ceil(points_max.clamp(1, block::POINTS_MAX)).max(1);
        for part in points.chunks(points.len().div_ceil(parts).max(1)) {
            self.times.clear();
            self.times.extend(part.iter().map(|(time, _)| *time));
            self.values.clear();
            self.values.extend(part.iter().map(|(_, value)| *value));
            self.bytes.clear();
            block::encode(&self.times, &self.values, &mut self.bytes);
            let block = block_of(Kind::Events, &self.times, sequence);
            writer.block(key, &block, &self.bytes)?;
        }
        Ok(())
    }

    /// Writes notes or states, in order.
    pub(super) fn records(
        &mut self,
        writer: &mut SealedWriter,
        key: &[u8],
        kind: Kind,
        mut records: &[(i64, Record)],
        sequence: Position,
    ) -> Result<(), StoreError> {
        while !records.is_empty() {
            let mut bytes = 0;
            let count = records.iter().take(RECORDS_MAX).take_while(|(_, record)| {
                let fits = bytes < RECORD_BYTES_MAX;
                bytes += record.bytes.len();
                fits
            });
            let (part, rest) = records.split_at(count.count());
            records = rest;
            self.times.clear();
            self.times.extend(part.iter().map(|(time, _)| *time));
            let texts: Vec<&[u8]> = part.iter().map(|(_, record)| &*record.bytes).collect();
            self.bytes.clear();
            block::encode_records(&self.times, &texts, &mut self.bytes);
            writer.block(key, &block_of(kind, &self.times, sequence), &self.bytes)?;
        }
        Ok(())
    }
}

fn block_of(kind: Kind, times: &[i64], sequence: Position) -> Block {
    let (first_ms, last_ms) = (times.first().copied().unwrap_or(0), times.last().copied().unwrap_or(0));
    Block { content: kind.content(), first_ms, last_ms, count: times.len() as u32, sequence: sequence.0 }
}

impl Embedded {
    /// Seconds of a span.
    fn width(&self) -> u32 {
        u32::try_from(self.options.span.as_secs()).unwrap_or(u32::MAX).max(1)
    }

    /// The first second of the span of a time.
    fn start(&self, time_ms: i64) -> i64 {
        let width = i64::from(self.width());
        time_ms.div_euclid(width * 1000) * width
    }

    /// What is in the order of time, a span after the other.
    fn spans<'a, T>(&self, items: &'a [(i64, T)]) -> impl Iterator<Item = &'a [(i64, T)]> {
        let width_ms = i64::from(self.width()) * 1000;
        let mut left = items;
        std::iter::from_fn(move || {
            let (first_ms, _) = left.first()?;
            let last_ms = first_ms.saturating_add(width_ms - 1 - first_ms.rem_euclid(width_ms));
            let (span, rest) = left.split_at(left.partition_point(|(time, _)| *time <= last_ms));
            left = rest;
            Some(span)
        })
    }

    /// Seals the oldest frozen generation; false when there is none.
    pub(super) fn seal_oldest(&self) -> Result<bool, StoreError> {
        let Some(generation) = lock(&self.head).frozen.front().cloned() else { return Ok(false) };
        let mut pending = Vec::new();
        let sealed = self.write_generation(&generation, &mut pending);
        if let Err(err) = sealed.and_then(|()| self.commit_generation(&generation, &pending)) {
            // Files that the state file says are there stay: a start gives them their names.
            let is_announced = generation.lock().high.0 <= self.announced.load(Ordering::Acquire);
            if !is_announced || planted!(self.options, PendingRemoved) {
                for name in &pending {
                    // What cannot be removed now is removed when the store is opened, or written over.
                    let _ = self.shelf.files.remove(&self.pending_path(*name));
                }
            }
            return Err(err);
        }
        Ok(true)
    }

    fn pending_path(&self, name: Name) -> std::path::PathBuf {
        self.shelf.directory.join(name.text() + PENDING)
    }

    /// The series of a generation by their keys.
    fn ordered(&self, generation: &Generation) -> Ordered {
        let ids = self.ordered_before(generation.lock().series());
        let mut ordered = Ordered { keys: Vec::new(), series: Vec::with_capacity(ids.len()) };
        for ids in ids.chunks(SLICE) {
            let head = lock(&self.head);
            for &id in ids {
                let key = head.table.key(id);
                ordered.series.push((ordered.keys.len() as u32, key.len() as u16, id));
                ordered.keys.extend_from_slice(key);
            }
        }
        let mut series = std::mem::take(&mut ordered.series);
        // Not the unstable one: it would not see that they are in order, but for some.
        series.sort_by(|a, b| ordered.key(*a).cmp(ordered.key(*b)));
        let order = series.iter().map(|at| at.2).collect();
        lock(&self.head).table.order = order;
        ordered.series = series;
        ordered
    }

    /// Series in the order in which they were last: mostly that is the one of their keys.
    fn ordered_before(&self, mut ids: Vec<u32>) -> Vec<u32> {
        let mut ordered = std::mem::take(&mut lock(&self.head).table.order);
        let end = ids.iter().max().map_or(0, |id| *id as usize + 1);
        let mut is_left = vec![false; end];
        ids.iter().for_each(|id| is_left[*id as usize] = true);
        ordered.retain(|id| is_left.get_mut(*id as usize).is_some_and(std::mem::take));
        ids.retain(|id| is_left[*id as usize]);
        ordered.append(&mut ids);
        ordered
    }

    fn write_generation(&self, generation: &Generation, pending: &mut Vec<Name>) -> Result<(), StoreError> {
        let (low, high, (first_ms, last_ms)) = {
            let data = generation.lock();
            (data.low, data.high, data.reach_ms)
        };
        let ordered = self.ordered(generation);
        let starts: Vec<i64> = if self.start(first_ms) == self.start(last_ms) {
            vec![self.start(first_ms)]
        } else {
            self.starts(generation, &ordered).into_iter().collect()
        };
        let width = self.width();
        for starts in starts.chunks(FILES) {
            let mut writers = BTreeMap::new();
            for &start in starts {
                let name = Name { start, width, low, high };
                pending.push(name);
                let writer = SealedWriter::create(Arc::clone(&self.shelf.files), &self.pending_path(name))?;
                writers.insert(start, writer);
            }
            self.write_series(generation, &ordered, high, &mut writers)?;
            for writer in writers.into_values() {
                writer.finish()?;
            }
        }
        Ok(())
    }

    /// The spans that a generation has something of.
    fn starts(&self, generation: &Generation, ordered: &Ordered) -> BTreeSet<i64> {
        let mut starts = BTreeSet::new();
        let mut points = Vec::new();
        for &(_, _, id) in &ordered.series {
            points.clear();
            generation.points(id, i64::MIN, i64::MAX, &mut points);
            let mut last = None;
            let mut see = |time| {
                let start = Some(self.start(time));
                if start != last {
                    starts.extend(start);
                    last = start;
                }
            };
            points.iter().for_each(|(time, _)| see(*time));
            [Kind::States, Kind::Notes]
                .iter()
                .for_each(|&kind| generation.records(id, kind, |time, _| see(time)));
        }
        starts
    }

    fn write_series(
        &self,
        generation: &Generation,
        ordered: &Ordered,
        high: Position,
        writers: &mut BTreeMap<i64, SealedWriter>,
    ) -> Result<(), StoreError> {
        let width_ms = i64::from(self.width()) * 1000;
        let first = writers.first_key_value().map_or(0, |(start, _)| *start);
        let last = writers.last_key_value().map_or(0, |(start, _)| *start);
        let (from_ms, to_ms) =
            (first.saturating_mul(1000), last.saturating_mul(1000).saturating_add(width_ms - 1));
        let (mut points, mut records, mut coder) = (Vec::new(), Vec::new(), Coder::default());
        for (number, at) in ordered.series.iter().enumerate() {
            if number.is_multiple_of(FETCHED) {
                generation.fetch(ordered.series[number..].iter().map(|at| at.2).take(FETCHED));
            }
            let (key, id) = (ordered.key(*at), at.2);
            points.clear();
            generation.points(id, from_ms, to_ms, &mut points);
            if planted!(self.options, FirstWins) {
                points.reverse();
            }
            settle(&mut points);
            if planted!(self.options, LastUnsealed) && points.len() > 2 {
                points.pop();
            }
            for part in self.spans(&points) {
                if let Some(writer) = writers.get_mut(&self.start(part[0].0)) {
                    coder.points(writer, key, part, self.options.block_points, high)?;
                }
            }
            for kind in [Kind::States, Kind::Notes] {
                let mut sweep = Sweep::new();
                generation.records(id, kind, |time, bytes| {
                    if (from_ms..=to_ms).contains(&time) {
                        let record = Record { under: kind.under(), bytes: bytes.into() };
                        sweep.hold(0, std::iter::once((time, record)));
                    }
                });
                records.clear();
                sweep.until(None, &mut records);
                for part in self.spans(&records) {
                    if let Some(writer) = writers.get_mut(&self.start(part[0].0)) {
                        coder.records(writer, key, kind, part, high)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Makes the files of a generation the store's, all at once: the state file says so.
    fn commit_generation(&self, generation: &Arc<Generation>, pending: &[Name]) -> Result<(), StoreError> {
        let high = generation.lock().high;
        let mut state = lock(&self.commit);
        self.announced.store(high.0, Ordering::Release);
        let before = std::mem::replace(&mut state.acknowledged, high);
        if let Err(err) = state.save(&self.shelf.files, &self.shelf.directory) {
            state.acknowledged = before;
            return Err(err);
        }
        let mut volumes: Vec<Arc<Volume>> = Vec::new();
        for &name in pending {
            let path = self.shelf.path(name);
            let renamed = self.shelf.files.rename(&self.pending_path(name), &path);
            renamed.map_err(|err| StoreError::io("renaming", &path, err))?;
            volumes.push(self.shelf.volume(name)?);
        }
        let directory = &self.shelf.directory;
        self.shelf.files.sync_dir(directory).map_err(|err| StoreError::io("writing", directory, err))?;
        {
            let mut head = lock(&self.head);
            let names: Vec<Name> = volumes.iter().map(|volume| volume.name).collect();
            // After a failure half-way they may be there already.
            volumes.extend(head.volumes.iter().filter(|volume| !names.contains(&volume.name)).cloned());
            volumes.sort_by_key(|volume| volume.name);
            head.volumes = Arc::new(volumes);
            if let Some(sealed) = head.frozen.pop_front() {
                head.past.push(Arc::downgrade(&sealed));
            }
            head.frozen_bytes = head.frozen.iter().map(|generation| generation.lock().bytes()).sum();
        }
        self.set_acknowledged(high);
        self.set_full(Full::Memory, false);
        Ok(())
    }
}
