//! Merging: files of one span of time that follow each other in the log become one.

use std::sync::{Arc, MutexGuard};

use common::time::Time;

use super::ahead::Ahead;
use super::embedded::Embedded;
use super::seal::Coder;
use super::state::State;
use super::sweep::{Record, Sweep};
use super::tombstone::Tombstone;
use super::volume::{Name, Volume};
use super::{Kind, StoreError, lock};
use crate::block;
use crate::files::SharedFiles;
use crate::sealed::{Entries, Placed, Sealed, SealedError, SealedWriter};

/// So many files of a like size are merged before the span is at rest.
const FILES_MIN: usize = 4;
/// The most files that are merged at a time.
const FILES_MAX: usize = 64;
/// Series between two looks at what is more urgent.
const SLICE: u32 = 1024;

/// What a merge leaves out.
#[derive(Debug)]
pub(super) struct Filter {
    pub(super) tombstones: Arc<Vec<Arc<Tombstone>>>,
    pub(super) now: Time,
}

/// How a merge ended.
#[derive(Debug)]
pub(super) enum Merged {
    /// The file stands for all of its inputs; None when nothing is left of them.
    Into(Option<Name>),
    /// A block of an input is lost: nothing is done.
    Damaged,
    /// The store is stopping.
    Stopped,
}

/// One file that is merged, at the next block in it.
struct Input<'a> {
    volume: &'a Arc<Volume>,
    entries: Entries<'a>,
    sealed: &'a Sealed,
    key: Vec<u8>,
    next: Option<Placed>,
}

/// A block of the series that is being merged.
#[derive(Clone, Copy)]
struct Source {
    input: usize,
    placed: Placed,
}

impl<'a> Input<'a> {
    /// Goes to the next block; false when one is lost.
    fn advance(&mut self) -> Result<bool, StoreError> {
        match self.entries.next_entry() {
            Ok(Some((key, placed))) => {
                key.clone_into(&mut self.key);
                self.next = Some(placed);
                Ok(true)
            }
            Ok(None) => {
                self.next = None;
                Ok(true)
            }
            Err(SealedError::Damaged { .. }) => Ok(false),
            Err(err) => Err(err.into()),
        }
    }
}

/// Which of the files of a span, in the order of the log, are merged next.
pub(super) fn choose(bytes: &[u64], is_at_rest: bool) -> Option<std::ops::Range<usize>> {
    let end = bytes.len();
    if is_at_rest && end >= 2 {
        return Some(0..end.min(FILES_MAX));
    }
    // The longest run of the latest ones none of which is larger than all behind it.
    let mut begin = end.checked_sub(1)?;
    let mut behind = bytes[begin];
    while begin > 0 && bytes[begin - 1] <= behind.saturating_mul(2) {
        begin -= 1;
        behind += bytes[begin];
    }
    let is_enough = end - begin >= FILES_MIN;
    is_enough.then(|| begin..end.min(begin + FILES_MAX))
}

impl Embedded {
    /// Merges files of one span that follow each other, or cleans a single one. Blocks that are lost end it, but for
    /// a single file: of that all the rest is kept.
    pub(super) fn merge(&self, volumes: &[Arc<Volume>], filter: &Filter) -> Result<Merged, StoreError> {
        let (Some(first), Some(last)) = (volumes.first(), volumes.last()) else {
            return Ok(Merged::Into(None));
        };
        self.remove_gone(&lock(&self.commit))?;
        let name = Name { low: first.name.low, high: last.name.high, ..first.name };
        // A file that is only cleaned has its own name again: it is renamed over the old one.
        let path = self.shelf.path(name);
        // They are read from front to end.
        let files: SharedFiles = Arc::new(Ahead(Arc::clone(&self.shelf.files)));
        let opened = volumes.iter().map(|volume| Sealed::open(&files, &self.shelf.path(volume.name)));
        let opened: Vec<Sealed> = opened.collect::<Result<_, _>>()?;
        let mut merger = Merger {
            store: self,
            inputs: Vec::new(),
            filter,
            writer: SealedWriter::create(Arc::clone(&self.shelf.files), &path)?,
            coder: Coder::default(),
            bytes: Vec::new(),
            scratch: Scratch::default(),
            name,
            is_lenient: volumes.len() == 1,
        };
        for (volume, sealed) in volumes.iter().zip(&opened) {
            merger.inputs.push(Input {
                volume,
                entries: sealed.entries(),
                sealed,
                key: Vec::new(),
                next: None,
            });
        }
        let merged = merger.run().inspect_err(|_| self.disown(volumes, name));
        for (volume, sealed) in volumes.iter().zip(&opened) {
            self.shelf.note(volume, sealed);
        }
        merged
    }

    /// Puts what was merged in the place of its inputs.
    pub(super) fn replace(&self, inputs: &[Arc<Volume>], merged: Option<Name>) -> Result<(), StoreError> {
        let commit = lock(&self.commit);
        let volume = merged.map(|name| self.shelf.volume(name).inspect_err(|_| self.disown(inputs, name)));
        let volume = volume.transpose()?;
        {
            let mut head = lock(&self.head);
            let is_input = |one: &Arc<Volume>| inputs.iter().any(|input| Arc::ptr_eq(input, one));
            let others = head.volumes.iter().filter(|one| !is_input(one)).cloned();
            let mut volumes: Vec<Arc<Volume>> = others.chain(volume.clone()).collect();
            volumes.sort_by_key(|volume| volume.name);
            head.volumes = Arc::new(volumes);
        }
        let gone = inputs.iter().filter(|input| Some(input.name) != merged);
        lock(&self.gone).extend(gone.map(|input| {
            self.shelf.part_with(input);
            input.name
        }));
        self.remove_gone(&commit)
    }

    /// A merge failed, and its file may have its name already: not of the store, it would be found by a start.
    fn disown(&self, inputs: &[Arc<Volume>], name: Name) {
        // What is only cleaned takes the place of a file that holds the same but for what is gone.
        if inputs.iter().all(|input| input.name != name) {
            lock(&self.gone).push(name);
        }
    }

    /// Removes the files that are not the store's any more, or never were. What cannot be removed now is tried again:
    /// until it is, a start would find it, so nothing is merged and no delete forgotten.
    pub(super) fn remove_gone(&self, _: &MutexGuard<'_, State>) -> Result<(), StoreError> {
        let mut gone = lock(&self.gone);
        if gone.is_empty() {
            return Ok(());
        }
        for &name in gone.iter() {
            self.shelf.remove(name).map_err(|err| StoreError::io("removing", &self.shelf.path(name), err))?;
        }
        let directory = &self.shelf.directory;
        self.shelf.files.sync_dir(directory).map_err(|err| StoreError::io("writing", directory, err))?;
        gone.clear();
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Scratch {
    sweep: Sweep<f64>,
    points: Vec<(i64, f64)>,
    times: Vec<i64>,
    values: Vec<f64>,
}

struct Merger<'a> {
    store: &'a Embedded,
    inputs: Vec<Input<'a>>,
    filter: &'a Filter,
    writer: SealedWriter,
    coder: Coder,
    bytes: Vec<u8>,
    scratch: Scratch,
    name: Name,
    is_lenient: bool,
}

impl Merger<'_> {
    fn run(mut self) -> Result<Merged, StoreError> {
        for input in 0..self.inputs.len() {
            if !self.advance(input)? {
                return Ok(Merged::Damaged);
            }
        }
        let (mut count, mut is_any) = (0_u32, false);
        let (mut key, mut sources, mut of_kind) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            count += 1;
            if count.is_multiple_of(SLICE) {
                if self.store.bell.is_over() {
                    return Ok(Merged::Stopped);
                }
                // Sealing does not wait for a long merge: memory is what there is least of.
                self.store.seal_if_due()?;
            }
            let keys = self.inputs.iter().filter(|input| input.next.is_some()).map(|input| &input.key);
            let Some(least) = keys.min() else { break };
            least.clone_into(&mut key);
            sources.clear();
            let horizon_ms = self.store.horizon_ms(&key, self.filter.now);
            for input in 0..self.inputs.len() {
                while let Some(placed) = self.inputs[input].next.filter(|_| self.inputs[input].key == key) {
                    let high = self.inputs[input].volume.name.high;
                    let is_gone = placed.block.last_ms < horizon_ms
                        || self.filter.tombstones.iter().any(|tombstone| tombstone.takes(&key, high));
                    if !is_gone {
                        sources.push(Source { input, placed });
                    }
                    if !self.advance(input)? {
                        return Ok(Merged::Damaged);
                    }
                }
            }
            for kind in Kind::ALL {
                of_kind.clear();
                let is_of = |source: &&Source| source.placed.block.content == kind.content();
                of_kind.extend(sources.iter().filter(is_of).copied());
                if of_kind.is_empty() {
                    continue;
                }
                of_kind.sort_by_key(|source| source.placed.block.first_ms);
                is_any = true;
                let done = match kind {
                    Kind::Events => self.events(&key, &of_kind)?,
                    _ if planted!(self.store.options, NotesUnmerged) && self.inputs.len() > 1 => true,
                    _ => self.records(&key, kind, &of_kind)?,
                };
                if !done {
                    return Ok(Merged::Damaged);
                }
            }
        }
        if !is_any {
            return Ok(Merged::Into(None));
        }
        // A file is written beside what it stands for.
        self.writer.finish()?;
        Ok(Merged::Into(Some(self.name)))
    }

    /// Goes on in an input; false when a block is lost and that is not to be passed over.
    fn advance(&mut self, input: usize) -> Result<bool, StoreError> {
        while !self.inputs[input].advance()? {
            if !self.is_lenient {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads a block into `bytes`; false when it is lost.
    fn read(&mut self, key: &[u8], source: &Source) -> Result<bool, StoreError> {
        self.bytes.clear();
        match self.inputs[source.input].sealed.read(key, &source.placed, &mut self.bytes) {
            Ok(()) => Ok(true),
            Err(SealedError::Damaged { .. }) => Ok(false),
            Err(err) => Err(err.into()),
        }
    }

    /// Of two inputs the later one in the log is the later write.
    fn rank(&self, input: usize) -> u64 {
        if planted!(self.store.options, OlderWins) { u64::MAX - input as u64 } else { input as u64 }
    }

    fn events(&mut self, key: &[u8], sources: &[Source]) -> Result<bool, StoreError> {
        let points_max = self.store.options.block_points;
        let high = self.name.high;
        // Their memory is used again for the next series.
        let Scratch { mut sweep, mut points, mut times, mut values } = std::mem::take(&mut self.scratch);
        points.clear();
        for (at, source) in sources.iter().enumerate() {
            let block = source.placed.block;
            sweep.until(Some(block.first_ms), &mut points);
            if !self.read(key, source)? {
                if self.is_lenient {
                    continue;
                }
                return Ok(false);
            }
            let is_alone = sweep.is_empty()
                && sources.get(at + 1).is_none_or(|next| next.placed.block.first_ms > block.last_ms);
            // A block that is long enough, or the only one, stays as it is.
            if is_alone && (block.count as usize >= points_max / 2 || sources.len() == 1) {
                self.coder.points(&mut self.writer, key, &points, points_max, high)?;
                points.clear();
                let block = crate::sealed::Block { sequence: high.0, ..block };
                self.writer.block(key, &block, &self.bytes)?;
                continue;
            }
            times.clear();
            values.clear();
            if block::decode(&self.bytes, &mut times, &mut values).is_err() {
                if self.is_lenient {
                    continue;
                }
                return Ok(false);
            }
            let block_points = times.iter().copied().zip(values.iter().copied());
            if is_alone && times.is_sorted_by(|a, b| a < b) {
                points.extend(block_points);
            } else {
                sweep.hold(self.rank(source.input), block_points);
            }
            // What is final leaves in full blocks.
            let full = points.len() / points_max.max(1) * points_max;
            if full > 0 {
                self.coder.points(&mut self.writer, key, &points[..full], points_max, high)?;
                points.drain(..full);
            }
        }
        sweep.until(None, &mut points);
        if !points.is_empty() {
            self.coder.points(&mut self.writer, key, &points, points_max, high)?;
        }
        self.scratch = Scratch { sweep, points, times, values };
        Ok(true)
    }

    fn records(&mut self, key: &[u8], kind: Kind, sources: &[Source]) -> Result<bool, StoreError> {
        let mut sweep = Sweep::new();
        let mut out: Vec<(i64, Record)> = Vec::new();
        for source in sources {
            sweep.until(Some(source.placed.block.first_ms), &mut out);
            let full = out.len() / super::seal::RECORDS_MAX * super::seal::RECORDS_MAX;
            self.coder.records(&mut self.writer, key, kind, &out[..full], self.name.high)?;
            out.drain(..full);
            let is_read = self.read(key, source)?;
            let (mut times, mut records) = (Vec::new(), Vec::new());
            if !is_read || block::decode_records(&self.bytes, &mut times, &mut records).is_err() {
                if self.is_lenient {
                    continue;
                }
                return Ok(false);
            }
            let record = |bytes: &&[u8]| Record { under: kind.under(), bytes: (*bytes).into() };
            sweep.hold(self.rank(source.input), times.iter().copied().zip(records.iter().map(record)));
        }
        sweep.until(None, &mut out);
        self.coder.records(&mut self.writer, key, kind, &out, self.name.high)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_like_size_are_merged_and_at_rest_all() {
        for (bytes, is_at_rest, want) in [
            (&[][..], true, None),
            (&[5], true, None),
            (&[5, 5], true, Some(0..2)),
            (&[5, 5, 5], false, None),
            (&[5, 5, 5, 5], false, Some(0..4)),
            (&[1000, 5, 5, 5, 5], false, Some(1..5)),
            (&[1000, 5, 5, 5], false, None),
            (&[20, 5, 5, 5], false, Some(0..4)),
            (&[1; 100], false, Some(0..64)),
            (&[1; 100], true, Some(0..64)),
        ] {
            assert_eq!(choose(bytes, is_at_rest), want, "{bytes:?}");
        }
    }
}
