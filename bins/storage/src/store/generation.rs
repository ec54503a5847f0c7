//! A generation: what was written between two places of the log, in memory, until it is sealed.
//!
//! Points wait uncoded, 13 bytes each, in chunks of eight, each chunk linked to the one before it of the same
//! series. Chunks are appended to regions that are larger than any allocator keeps for itself, so that dropping a
//! generation gives all of its memory back to the system; of a region only what was written to takes memory.
//! The writer locks a generation once a datagram; readers copy one series at a time, in slices.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use foldhash::fast::RandomState;

use super::{Kind, lock};
use crate::log::Position;

/// Points a chunk.
const POINTS: usize = 8;
/// Chunks a region: 54 MiB, above the 32 MiB from which on the C library always maps and unmaps.
const REGION: usize = 1 << 19;
/// Bytes a region of records.
const REGION_BYTES: usize = 36 << 20;
/// Series whose states are made room for at a time.
const STATES: usize = 1024;
/// Chunks that a reader copies while it holds the lock: about 50 us.
const SLICE: usize = 4096;
/// Series that are fetched at a time, and how many chunks of each: they fit into the processor's own memory.
pub(super) const FETCHED: usize = 16;
const FETCHED_CHUNKS: usize = 32;

/// Eight points of a series.
#[derive(Debug)]
struct Chunk {
    /// The chunk before it, counted from 1; 0 for none.
    before: u32,
    /// Milliseconds since the series' base.
    offsets: [i32; POINTS],
    values: [f64; POINTS],
}

/// Where a series stands.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// The time of its first point.
    base_ms: i64,
    /// Its last chunk, counted from 1; 0 for none.
    last: u32,
    /// Points in all its chunks.
    count: u32,
}

/// A note or a state.
#[derive(Clone, Copy, Debug)]
struct Record {
    time_ms: i64,
    region: u32,
    start: u32,
    length: u32,
}

/// What was written between two places of the log.
#[derive(Debug)]
pub(super) struct Generation {
    /// Counts generations.
    pub(super) number: u32,
    data: Mutex<Data>,
}

/// Its contents.
#[derive(Debug)]
pub(super) struct Data {
    /// All of it was written behind this.
    pub(super) low: Position,
    /// And it is all that was written up to this.
    pub(super) high: Position,
    states: Vec<Option<Box<[State; STATES]>>>,
    regions: Vec<Vec<Chunk>>,
    /// Series that have a point, in the order of their first.
    touched: Vec<u32>,
    /// Points that are too far from their series' base, in the order they came.
    far: HashMap<u32, Vec<(i64, f64)>, RandomState>,
    records: HashMap<(u32, Kind), Vec<Record>, RandomState>,
    texts: Vec<Vec<u8>>,
    /// Records of all kinds.
    pub(super) count: u64,
    /// The first and the last time.
    pub(super) reach_ms: (i64, i64),
    /// What keys of new series took beside it.
    pub(super) key_bytes: u64,
    fixed_bytes: u64,
    warm: u32,
}

impl Generation {
    /// An empty one, of what is written behind `low`.
    pub(super) fn new(number: u32, low: Position) -> Generation {
        let data = Data {
            low,
            high: low,
            states: Vec::new(),
            regions: Vec::new(),
            touched: Vec::new(),
            far: HashMap::default(),
            records: HashMap::default(),
            texts: Vec::new(),
            count: 0,
            reach_ms: (i64::MAX, i64::MIN),
            key_bytes: 0,
            fixed_bytes: 0,
            warm: 0,
        };
        Generation { number, data: Mutex::new(data) }
    }

    /// To write, or to look at what is not a series'.
    pub(super) fn lock(&self) -> MutexGuard<'_, Data> {
        lock(&self.data)
    }

    /// Appends the points of a series from `from_ms` to `to_ms`, both inclusive, in the order they came. Points of
    /// one time are in the order they were written.
    pub(super) fn points(&self, id: u32, from_ms: i64, to_ms: i64, points: &mut Vec<(i64, f64)>) {
        let begin = points.len();
        let mut data = self.lock();
        let state = data.state(id);
        let mut number = state.last;
        let mut filled = match state.count as usize % POINTS {
            0 => POINTS,
            filled => filled,
        };
        let mut slice = SLICE;
        // What comes while the writer has its turn is not of the chunks before it.
        let is_all_wanted = from_ms <= data.reach_ms.0 && data.reach_ms.1 <= to_ms;
        while let Some(chunk) = data.chunk(number) {
            let point = |(offset, value): (&i32, &f64)| (state.base_ms + i64::from(*offset), *value);
            let of_chunk = chunk.offsets[..filled].iter().zip(&chunk.values[..filled]).map(point).rev();
            if is_all_wanted {
                points.extend(of_chunk);
            } else {
                points.extend(of_chunk.filter(|(time, _)| (from_ms..=to_ms).contains(time)));
            }
            (number, filled) = (chunk.before, POINTS);
            slice -= 1;
            if slice == 0 {
                // A chunk that has a successor never changes again: the writer may have its turn.
                drop(data);
                slice = SLICE;
                data = self.lock();
            }
        }
        points[begin..].reverse();
        if let Some(far) = data.far.get(&id) {
            points.extend(far.iter().filter(|(time, _)| (from_ms..=to_ms).contains(time)));
        }
    }

    /// Fetches what [`Generation::points`] of at most [`FETCHED`] series will touch: one by one, each chunk of each would
    /// be waited for alone.
    pub(super) fn fetch(&self, ids: impl Iterator<Item = u32>) {
        let mut data = self.lock();
        let (mut numbers, mut warm) = ([0; FETCHED], 0);
        for (number, id) in numbers.iter_mut().zip(ids) {
            *number = data.state(id).last;
        }
        for _ in 0..FETCHED_CHUNKS {
            let mut is_any = false;
            for number in &mut numbers {
                let Some(chunk) = data.chunk(*number) else { continue };
                warm ^= chunk.offsets[0] as u32 ^ chunk.values[POINTS - 1].to_bits() as u32;
                *number = chunk.before;
                is_any = true;
            }
            if !is_any {
                break;
            }
        }
        data.warm = warm;
    }

    /// Hands over the records of a series, in the order they came.
    pub(super) fn records(&self, id: u32, kind: Kind, mut record: impl FnMut(i64, &[u8])) {
        let data = self.lock();
        for at in data.records.get(&(id, kind)).map_or(&[][..], Vec::as_slice) {
            record(at.time_ms, data.text(at));
        }
    }

    /// How many records of all kinds a series has, with the first and the last time.
    pub(super) fn extent(&self, id: u32) -> Option<(i64, i64, u64)> {
        let mut points = Vec::new();
        self.points(id, i64::MIN, i64::MAX, &mut points);
        let mut times: Vec<i64> = points.iter().map(|(time, _)| *time).collect();
        for kind in [Kind::States, Kind::Notes] {
            self.records(id, kind, |time, _| times.push(time));
        }
        let (first, last) = (times.iter().min()?, times.iter().max()?);
        Some((*first, *last, times.len() as u64))
    }
}

impl Data {
    fn state(&self, id: u32) -> State {
        let states = self.states.get(id as usize / STATES).and_then(Option::as_ref);
        states.map_or(State::default(), |states| states[id as usize % STATES])
    }

    #[inline]
    fn chunk(&self, number: u32) -> Option<&Chunk> {
        let at = (number as usize).checked_sub(1)?;
        self.regions.get(at / REGION)?.get(at % REGION)
    }

    /// Fetches what appending to these series will touch, all of it at once.
    #[inline]
    pub(super) fn warm(&mut self, ids: &[u32]) {
        let mut last = [0; super::table::BATCH];
        for (&id, last) in ids.iter().zip(&mut last) {
            *last = self.state(id).last;
        }
        let warm = last[..ids.len()].iter().map(|&last| self.chunk(last).map_or(0, |chunk| chunk.before));
        self.warm = warm.fold(0, |sum, before| sum ^ before);
    }

    /// Adds a point; true when it is the series' first.
    #[inline]
    pub(super) fn point(&mut self, id: u32, time_ms: i64, value: f64) -> bool {
        let (block, place) = (id as usize / STATES, id as usize % STATES);
        if !matches!(self.states.get(block), Some(Some(_))) {
            self.make_room(block);
        }
        let Some(Some(states)) = self.states.get_mut(block) else { return false };
        let state = &mut states[place];
        let is_first = state.count == 0;
        if is_first {
            state.base_ms = time_ms;
            self.touched.push(id);
        }
        self.count += 1;
        self.reach_ms = (self.reach_ms.0.min(time_ms), self.reach_ms.1.max(time_ms));
        let Some(offset) = time_ms.checked_sub(state.base_ms).and_then(|offset| i32::try_from(offset).ok())
        else {
            self.far.entry(id).or_default().push((time_ms, value));
            self.fixed_bytes += 16;
            return is_first;
        };
        let filled = state.count as usize % POINTS;
        state.count += 1;
        if filled > 0 {
            let at = state.last as usize - 1;
            let chunk = &mut self.regions[at / REGION][at % REGION];
            (chunk.offsets[filled], chunk.values[filled]) = (offset, value);
            return is_first;
        }
        let mut chunk = Chunk { before: state.last, offsets: [0; POINTS], values: [0.0; POINTS] };
        (chunk.offsets[0], chunk.values[0]) = (offset, value);
        if self.regions.last().is_none_or(|region| region.len() == REGION) {
            self.regions.push(Vec::with_capacity(REGION));
        }
        let before = (self.regions.len() - 1) * REGION;
        if let Some(region) = self.regions.last_mut() {
            region.push(chunk);
            state.last = (before + region.len()) as u32;
        }
        is_first
    }

    #[cold]
    fn make_room(&mut self, block: usize) {
        if self.states.len() <= block {
            self.states.resize_with(block + 1, || None);
        }
        self.fixed_bytes += (STATES * size_of::<State>()) as u64;
        let states: Box<[State]> = vec![State::default(); STATES].into_boxed_slice();
        let states = states.try_into().unwrap_or_else(|_| unreachable!("it was made with STATES"));
        self.states[block] = Some(states);
    }

    /// Adds a record, in parts; true when it is the series' first of its kind.
    pub(super) fn record(&mut self, id: u32, kind: Kind, time_ms: i64, parts: [&[u8]; 3]) -> bool {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if self.texts.last().is_none_or(|region| region.len() + length > region.capacity()) {
            self.texts.push(Vec::with_capacity(REGION_BYTES.max(length)));
        }
        let region = self.texts.len() as u32 - 1;
        let mut start = 0;
        if let Some(text) = self.texts.last_mut() {
            start = text.len() as u32;
            parts.iter().for_each(|part| text.extend_from_slice(part));
        }
        let records = self.records.entry((id, kind)).or_default();
        records.push(Record { time_ms, region, start, length: length as u32 });
        self.fixed_bytes += size_of::<Record>() as u64;
        self.count += 1;
        self.reach_ms = (self.reach_ms.0.min(time_ms), self.reach_ms.1.max(time_ms));
        records.len() == 1
    }

    fn text(&self, at: &Record) -> &[u8] {
        &self.texts[at.region as usize][at.start as usize..(at.start + at.length) as usize]
    }

    /// All series that have a record of any kind, each once.
    pub(super) fn series(&self) -> Vec<u32> {
        let mut ids = self.touched.clone();
        ids.extend(self.records.keys().map(|(id, _)| id));
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Nothing was written.
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The memory it takes, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        let chunks = match self.regions.as_slice() {
            [full @ .., last] => full.len() * REGION + last.len(),
            [] => 0,
        };
        let texts: usize = self.texts.iter().map(Vec::len).sum();
        let touched = self.touched.len() * size_of::<u32>();
        (chunks * size_of::<Chunk>() + texts + touched) as u64 + self.fixed_bytes + self.key_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_come_back_in_the_order_they_went() {
        let generation = Generation::new(1, Position(0));
        let far = 30 * 86_400_000;
        let mut want = Vec::new();
        for number in 0..20_000_i64 {
            let time = 1_000_000 + number * 7 % 1000;
            assert_eq!(generation.lock().point(3, time, number as f64), number == 0);
            want.push((time, number as f64));
        }
        assert!(generation.lock().point(5000, i64::MAX, 1.0));
        for time in [-far, far, i64::MIN, i64::MAX] {
            assert!(!generation.lock().point(3, time, 0.5));
            want.push((time, 0.5));
        }
        let mut got = Vec::new();
        generation.points(3, i64::MIN, i64::MAX, &mut got);
        assert_eq!(got, want);
        got.clear();
        generation.points(3, 1_000_010, 1_000_020, &mut got);
        assert!(got.len() > 100 && got.iter().all(|(time, _)| (1_000_010..=1_000_020).contains(time)));
        got.clear();
        generation.points(4, i64::MIN, i64::MAX, &mut got);
        assert_eq!((got.len(), generation.lock().series()), (0, vec![3, 5000]));
        assert_eq!(generation.extent(3), Some((i64::MIN, i64::MAX, 20_004)));
    }

    #[test]
    fn records_come_back_whole() {
        let generation = Generation::new(1, Position(0));
        assert!(generation.lock().record(1, Kind::Notes, 5, [b"a", b"", b"bc"]));
        assert!(generation.lock().record(1, Kind::States, 6, [b"", b"", b""]));
        assert!(!generation.lock().record(1, Kind::Notes, 4, [b"", b"d", b""]));
        let mut got = Vec::new();
        generation.records(1, Kind::Notes, |time, bytes| got.push((time, bytes.to_vec())));
        assert_eq!(got, [(5, b"abc".to_vec()), (4, b"d".to_vec())]);
        assert_eq!((generation.extent(1), generation.extent(2)), (Some((4, 6, 3)), None));
    }
}
