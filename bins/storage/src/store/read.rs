//! Reads a series out of a view.

use std::ops::ControlFlow;
use std::sync::Arc;

use common::metric::{Note, State};
use common::time::Time;
use common::wire::Content;

use super::embedded::Embedded;
use super::sweep::{Record, Sweep, settle};
use super::view::View;
use super::volume::Volume;
use super::{Damage, Ended, Extent, Found, Kind};
use crate::block::{self, BlockError};
use crate::sealed::{Placed, Sealed, SealedError};

/// Bytes that a state is kept under beside its time: window and kind.
const STATE_UNDER: usize = 9;
/// More damage of one answer is not told.
const DAMAGE_MAX: usize = 100;

impl Kind {
    /// As blocks say it.
    pub(super) fn content(self) -> Content {
        match self {
            Kind::Events => Content::Events,
            Kind::States => Content::States,
            Kind::Notes => Content::Notes,
        }
    }

    /// How many of a record's first bytes it is kept under.
    pub(super) fn under(self) -> usize {
        if self == Kind::States { STATE_UNDER } else { 0 }
    }
}

/// A block of a series, with the file it is in.
struct Source<'a> {
    placed: Placed,
    volume: &'a Arc<Volume>,
    sealed: Arc<Sealed>,
}

/// Reads series out of a view, and counts what it hands over.
pub(super) struct Reader<'a> {
    store: &'a Embedded,
    view: &'a View,
    limit: u64,
    ended: Ended,
    placed: Vec<Placed>,
    bytes: Vec<u8>,
    times: Vec<i64>,
    values: Vec<f64>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(store: &'a Embedded, view: &'a View, limit: Option<u64>) -> Reader<'a> {
        Reader {
            store,
            view,
            limit: limit.unwrap_or(u64::MAX),
            ended: Ended::default(),
            placed: Vec::new(),
            bytes: Vec::new(),
            times: Vec::new(),
            values: Vec::new(),
        }
    }

    pub(super) fn ended(self) -> Ended {
        self.ended
    }

    fn failed(&mut self, volume: &Volume, error: &SealedError) {
        let damage = self.store.shelf.failed(volume, error);
        if self.ended.damage.len() < DAMAGE_MAX && !self.ended.damage.contains(&damage) {
            self.ended.damage.push(damage);
        }
    }

    /// The file of a volume, unless it cannot be opened.
    fn open(&mut self, volume: &Arc<Volume>) -> Option<Arc<Sealed>> {
        self.store.shelf.open(volume).map_err(|err| self.failed(volume, &err)).ok()
    }

    /// The blocks of a series that are not deleted, the earliest first.
    fn sources(&mut self, key: &[u8], from_ms: i64, to_ms: i64) -> Vec<Source<'a>> {
        let view = self.view;
        let mut sources = Vec::new();
        for volume in view.volumes.iter().filter(|volume| volume.reaches(from_ms, to_ms)) {
            if view.is_deleted(key, volume.name.high) {
                continue;
            }
            let Some(sealed) = self.open(volume) else { continue };
            let mut placed = std::mem::take(&mut self.placed);
            placed.clear();
            if let Err(err) = sealed.find(key, &mut placed) {
                self.failed(volume, &err);
            }
            let of_time =
                placed.iter().filter(|is| is.block.first_ms <= to_ms && from_ms <= is.block.last_ms);
            sources.extend(of_time.map(|placed| Source {
                placed: *placed,
                volume,
                sealed: Arc::clone(&sealed),
            }));
            self.placed = placed;
        }
        sources.sort_by_key(|source| source.placed.block.first_ms);
        sources
    }

    /// Hands over what a series has from `from_ms` to `to_ms`, both inclusive.
    pub(super) fn series(
        &mut self,
        key: &[u8],
        id: Option<u32>,
        kind: Kind,
        from_ms: i64,
        to_ms: i64,
        found: &mut dyn FnMut(Found<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if from_ms > to_ms {
            return ControlFlow::Continue(());
        }
        let mut sources = self.sources(key, from_ms, to_ms);
        sources.retain(|source| source.placed.block.content == kind.content());
        if kind == Kind::Events {
            let points = self.points_in_memory(key, id, from_ms, to_ms);
            self.events(key, &sources, &points, (from_ms, to_ms), found)
        } else {
            let records = self.records_in_memory(key, id, kind, from_ms, to_ms);
            self.records(key, kind, &sources, records, (from_ms, to_ms), found)
        }
    }

    fn points_in_memory(&self, key: &[u8], id: Option<u32>, from_ms: i64, to_ms: i64) -> Vec<(i64, f64)> {
        let mut points = Vec::new();
        for generation in &self.view.generations {
            let high = generation.lock().high;
            if let Some(id) = id
                && !self.view.is_deleted(key, high)
            {
                generation.points(id, from_ms, to_ms, &mut points);
            }
        }
        if planted!(self.store.options, FirstWins) {
            points.reverse();
        }
        settle(&mut points);
        points
    }

    fn records_in_memory(
        &self,
        key: &[u8],
        id: Option<u32>,
        kind: Kind,
        from_ms: i64,
        to_ms: i64,
    ) -> Vec<(i64, Record)> {
        let mut records = Vec::new();
        for generation in &self.view.generations {
            let high = generation.lock().high;
            if let Some(id) = id
                && !self.view.is_deleted(key, high)
            {
                generation.records(id, kind, |time, bytes| {
                    if (from_ms..=to_ms).contains(&time) {
                        records.push((time, Record { under: kind.under(), bytes: bytes.into() }));
                    }
                });
            }
        }
        records
    }

    fn events(
        &mut self,
        key: &[u8],
        sources: &[Source<'_>],
        memory: &[(i64, f64)],
        (from_ms, to_ms): (i64, i64),
        found: &mut dyn FnMut(Found<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut sweep = Sweep::new();
        let mut memory = memory.iter().copied().peekable();
        let mut out = Vec::new();
        for (at, source) in sources.iter().enumerate() {
            let block = source.placed.block;
            let first_ms = block.first_ms.max(from_ms);
            let before = std::iter::from_fn(|| memory.next_if(|point| point.0 < first_ms));
            sweep.hold(u64::MAX, before);
            sweep.until(Some(first_ms), &mut out);
            self.points(key, &mut out, found)?;
            if !self.decode(key, source) {
                continue;
            }
            let (mut times, mut values) = (std::mem::take(&mut self.times), std::mem::take(&mut self.values));
            let range =
                times.partition_point(|time| *time < from_ms)..times.partition_point(|time| *time <= to_ms);
            let is_alone = sweep.is_empty()
                && sources.get(at + 1).is_none_or(|next| next.placed.block.first_ms > block.last_ms)
                && memory.peek().is_none_or(|point| point.0 > block.last_ms);
            let flow = if is_alone {
                self.hand_over(key, &times[range.clone()], &values[range], found)
            } else {
                let points = times[range.clone()].iter().copied().zip(values[range].iter().copied());
                sweep.hold(source.volume.name.high.0, points);
                ControlFlow::Continue(())
            };
            (times, values) = (cleared(times), cleared(values));
            (self.times, self.values) = (times, values);
            flow?;
        }
        sweep.hold(u64::MAX, memory);
        sweep.until(None, &mut out);
        self.points(key, &mut out, found)
    }

    /// Reads a block into `times` and `values`; false when it is passed over.
    fn decode(&mut self, key: &[u8], source: &Source<'_>) -> bool {
        self.bytes.clear();
        if let Err(err) = source.sealed.read(key, &source.placed, &mut self.bytes) {
            self.failed(source.volume, &err);
            return false;
        }
        self.times.clear();
        self.values.clear();
        if let Err(err) = block::decode(&self.bytes, &mut self.times, &mut self.values) {
            self.malformed(key, source, err);
            return false;
        }
        true
    }

    fn malformed(&mut self, key: &[u8], source: &Source<'_>, error: BlockError) {
        let file = source.volume.name.text();
        let series = Some(key.to_vec());
        let damage = Damage { file, offset: source.placed.offset, series, what: error.to_string() };
        self.store.shelf.remember(&damage);
        if self.ended.damage.len() < DAMAGE_MAX {
            self.ended.damage.push(damage);
        }
    }

    fn points(
        &mut self,
        key: &[u8],
        points: &mut Vec<(i64, f64)>,
        found: &mut dyn FnMut(Found<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if points.is_empty() {
            return ControlFlow::Continue(());
        }
        let times: Vec<i64> = points.iter().map(|(time, _)| *time).collect();
        let values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
        points.clear();
        self.hand_over(key, &times, &values, found)
    }

    /// Hands over what the limit leaves of these points.
    fn hand_over(
        &mut self,
        key: &[u8],
        times_ms: &[i64],
        values: &[f64],
        found: &mut dyn FnMut(Found<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let left = usize::try_from(self.limit - self.ended.records).unwrap_or(usize::MAX);
        let count = times_ms.len().min(left);
        let mut flow = ControlFlow::Continue(());
        if count > 0 {
            self.ended.records += count as u64;
            flow = found(Found::Points { key, times_ms: &times_ms[..count], values: &values[..count] });
        }
        self.cut(flow, count < times_ms.len())
    }

    fn cut(&mut self, flow: ControlFlow<()>, is_over: bool) -> ControlFlow<()> {
        if flow.is_break() || is_over {
            self.ended.is_cut = true;
            return ControlFlow::Break(());
        }
        flow
    }

    fn records(
        &mut self,
        key: &[u8],
        kind: Kind,
        sources: &[Source<'_>],
        memory: Vec<(i64, Record)>,
        (from_ms, to_ms): (i64, i64),
        found: &mut dyn FnMut(Found<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut sweep = Sweep::new();
        let mut out = Vec::new();
        // There are few of them: they are all held.
        sweep.hold(u64::MAX, memory.into_iter());
        for source in sources {
            sweep.until(Some(source.placed.block.first_ms.max(from_ms)), &mut out);
            self.hand_over_records(key, kind, &mut out, found)?;
            self.bytes.clear();
            if let Err(err) = source.sealed.read(key, &source.placed, &mut self.bytes) {
                self.failed(source.volume, &err);
                continue;
            }
            let bytes = std::mem::take(&mut self.bytes);
            let (mut times, mut records) = (Vec::new(), Vec::new());
            match block::decode_records(&bytes, &mut times, &mut records) {
                Ok(()) => {
                    let records =
                        times.iter().zip(&records).filter(|(time, _)| (from_ms..=to_ms).contains(*time));
                    let record = |bytes: &[u8]| Record { under: kind.under(), bytes: bytes.into() };
                    sweep
                        .hold(source.volume.name.high.0, records.map(|(time, bytes)| (*time, record(bytes))));
                }
                Err(err) => self.malformed(key, source, err),
            }
            drop((times, records));
            self.bytes = bytes;
        }
        sweep.until(None, &mut out);
        self.hand_over_records(key, kind, &mut out, found)
    }

    fn hand_over_records(
        &mut self,
        key: &[u8],
        kind: Kind,
        records: &mut Vec<(i64, Record)>,
        found: &mut dyn FnMut(Found<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for (time_ms, record) in records.drain(..) {
            if self.ended.records == self.limit {
                return self.cut(ControlFlow::Continue(()), true);
            }
            let time = Time::from_ns(time_ms.saturating_mul(1_000_000));
            let bytes = &record.bytes;
            let flow = match bytes.split_at_checked(kind.under()) {
                Some((under, rest)) if kind == Kind::States && under.len() == STATE_UNDER => {
                    let window_ns = under.first_chunk().map_or(0, |window| u64::from_le_bytes(*window));
                    found(Found::State(State {
                        key,
                        time,
                        window_ns,
                        kind: under[STATE_UNDER - 1],
                        bytes: rest,
                    }))
                }
                _ => found(Found::Note(Note { key, time, json: bytes })),
            };
            self.ended.records += 1;
            self.cut(flow, false)?;
        }
        ControlFlow::Continue(())
    }

    /// Hands over how far a series reaches, if it has a record that is not before the horizon.
    pub(super) fn extent(
        &mut self,
        key: &[u8],
        id: Option<u32>,
        horizon_ms: i64,
        found: &mut dyn FnMut(Extent<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let (mut first, mut last, mut points) = (i64::MAX, i64::MIN, 0);
        for source in self.sources(key, horizon_ms, i64::MAX) {
            let block = source.placed.block;
            (first, last) = (first.min(block.first_ms), last.max(block.last_ms));
            points += u64::from(block.count);
        }
        for generation in &self.view.generations {
            let high = generation.lock().high;
            if let Some(id) = id
                && !self.view.is_deleted(key, high)
                && let Some((from, to, count)) = generation.extent(id)
            {
                (first, last) = (first.min(from), last.max(to));
                points += count;
            }
        }
        if points == 0 || last < horizon_ms {
            return ControlFlow::Continue(());
        }
        if self.ended.records == self.limit {
            return self.cut(ControlFlow::Continue(()), true);
        }
        self.ended.records += 1;
        let time = |ms: i64| Time::from_ns(ms.saturating_mul(1_000_000));
        let flow = found(Extent { key, first: time(first.max(horizon_ms)), last: time(last), points });
        self.cut(flow, false)
    }
}

fn cleared<T>(mut vec: Vec<T>) -> Vec<T> {
    vec.clear();
    vec
}
