//! A datagram in the making.

use super::{Content, DATAGRAM_BYTES_MAX, Extent, HEADER_BYTES, Header, WEIGHTED, Word};
use crate::copy;
use crate::key::KEY_BYTES_MAX;
use crate::metric::{Event, Kind, MEMBER_BYTES_MAX, Metric, Note, State, Weight};
use crate::time::Time;
use crate::value::Value;

/// Records of one content, to be sealed with a source and a number and sent as one datagram. One allocation,
/// used again and again.
#[derive(Debug)]
pub struct Batch {
    content: Content,
    bytes: Box<[u8; DATAGRAM_BYTES_MAX]>,
    length: usize,
    count: u32,
}

/// The record does not fit any more: send what is there, clear, push it again.
#[must_use = "the record was not taken"]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

/// Bytes of a metric's record before its key.
const METRIC_BYTES: usize = 2 + 1 + 8 + 8;
/// Bytes of its weight, where it is not 1.
const WEIGHT_BYTES: usize = 8;
/// Bytes of a member's record before its key.
const MEMBER_BYTES: usize = 2 + 1 + 8 + 2;
/// Bytes of an event's record before its key.
const EVENT_BYTES: usize = 2 + 8 + 8;
/// Bytes of a note's record before its key.
const NOTE_BYTES: usize = 2 + 8 + 2;
/// Bytes of a state's record before its key.
const STATE_BYTES: usize = 2 + 8 + 8 + 1 + 2;
/// Bytes of a run's record before its key, and of each point behind it.
const RUN_BYTES: usize = 2 + 2 + 2;
const POINT_BYTES: usize = 8 + 8;
/// Bytes of an extent's record before its key.
const EXTENT_BYTES: usize = 2 + 8 + 8 + 8;
/// Bytes of a word's record before the word.
const WORD_BYTES: usize = 2 + 8;

// Any one record fits into an empty datagram.
const _: () = assert!(HEADER_BYTES + MEMBER_BYTES + KEY_BYTES_MAX + MEMBER_BYTES_MAX <= DATAGRAM_BYTES_MAX);
const _: () = assert!(HEADER_BYTES + NOTE_BYTES + KEY_BYTES_MAX + Note::JSON_BYTES_MAX <= DATAGRAM_BYTES_MAX);
const _: () = assert!(HEADER_BYTES + STATE_BYTES + KEY_BYTES_MAX + State::BYTES_MAX <= DATAGRAM_BYTES_MAX);

impl Batch {
    /// An empty batch.
    pub fn new(content: Content) -> Batch {
        let bytes =
            vec![0; DATAGRAM_BYTES_MAX].into_boxed_slice().try_into().expect("the length is the array's");
        Batch { content, bytes, length: HEADER_BYTES, count: 0 }
    }

    /// What its records are.
    pub fn content(&self) -> Content {
        self.content
    }

    /// How many records it holds.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// True without a record.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Back to an empty batch.
    pub fn clear(&mut self) {
        self.length = HEADER_BYTES;
        self.count = 0;
    }

    /// Adds a metric. Its key is at most [`KEY_BYTES_MAX`] bytes, its member at most [`MEMBER_BYTES_MAX`].
    #[inline]
    pub fn metric(&mut self, metric: &Metric<'_>) -> Result<(), Full> {
        debug_assert_eq!(self.content, Content::Metrics);
        if metric.kind == Kind::Member {
            return self.member(metric);
        }
        let head = head_of(metric, metric.key.len());
        if metric.weight != Weight::ONE && metric.kind.is_weighted() {
            return self.weighted(head, metric);
        }
        self.record([&head, metric.key, &[]])
    }

    /// Adds a metric of weight 1 that is no member, whose key has `more` bytes behind the one it has: `write` writes
    /// them. All of it is at most [`KEY_BYTES_MAX`] bytes.
    #[inline]
    pub fn metric_with(
        &mut self,
        metric: &Metric<'_>,
        more: usize,
        write: impl FnOnce(&mut [u8]),
    ) -> Result<(), Full> {
        debug_assert!(self.content == Content::Metrics && metric.kind != Kind::Member);
        debug_assert_eq!(metric.weight, Weight::ONE);
        let start = self.length + METRIC_BYTES + metric.key.len();
        let Some(room) = self.bytes.get_mut(start..start + more) else { return Err(Full) };
        write(room);
        self.record([&head_of(metric, metric.key.len() + more), metric.key, &[]])?;
        self.length += more;
        Ok(())
    }

    /// A count or a sample that stands for more than itself, or less.
    fn weighted(&mut self, mut head: [u8; METRIC_BYTES], metric: &Metric<'_>) -> Result<(), Full> {
        let length = METRIC_BYTES - 2 + WEIGHT_BYTES + metric.key.len();
        head[..2].copy_from_slice(&(length as u16).to_le_bytes());
        head[2] |= WEIGHTED;
        self.record([&head, &metric.weight.billionths().to_le_bytes(), metric.key])
    }

    fn member(&mut self, metric: &Metric<'_>) -> Result<(), Full> {
        let mut head = [0; MEMBER_BYTES];
        let length = MEMBER_BYTES - 2 + metric.key.len() + metric.member.len();
        head[..2].copy_from_slice(&(length as u16).to_le_bytes());
        head[2] = Kind::Member as u8 | 4 << 4;
        head[3..11].copy_from_slice(&metric.time.ns().to_le_bytes());
        head[11..].copy_from_slice(&(metric.key.len() as u16).to_le_bytes());
        self.record([&head, metric.key, metric.member])
    }

    /// Adds an event. Its key is at most [`KEY_BYTES_MAX`] bytes.
    #[inline]
    pub fn event(&mut self, event: &Event<'_>) -> Result<(), Full> {
        debug_assert_eq!(self.content, Content::Events);
        let mut head = [0; EVENT_BYTES];
        head[..2].copy_from_slice(&((EVENT_BYTES - 2 + event.key.len()) as u16).to_le_bytes());
        head[2..10].copy_from_slice(&event.time.ns().to_le_bytes());
        head[10..].copy_from_slice(&event.value.to_bits().to_le_bytes());
        self.record([&head, event.key, &[]])
    }

    /// Adds a note. Its key is at most [`KEY_BYTES_MAX`] bytes, its JSON at most [`Note::JSON_BYTES_MAX`].
    pub fn note(&mut self, note: &Note<'_>) -> Result<(), Full> {
        debug_assert_eq!(self.content, Content::Notes);
        let mut head = [0; NOTE_BYTES];
        head[..2]
            .copy_from_slice(&((NOTE_BYTES - 2 + note.key.len() + note.json.len()) as u16).to_le_bytes());
        head[2..10].copy_from_slice(&note.time.ns().to_le_bytes());
        head[10..].copy_from_slice(&(note.key.len() as u16).to_le_bytes());
        self.record([&head, note.key, note.json])
    }

    /// Adds a state. Its key is at most [`KEY_BYTES_MAX`] bytes, its own ones at most [`State::BYTES_MAX`].
    pub fn state(&mut self, state: &State<'_>) -> Result<(), Full> {
        debug_assert_eq!(self.content, Content::States);
        let mut head = [0; STATE_BYTES];
        head[..2]
            .copy_from_slice(&((STATE_BYTES - 2 + state.key.len() + state.bytes.len()) as u16).to_le_bytes());
        head[2..10].copy_from_slice(&state.time.ns().to_le_bytes());
        head[10..18].copy_from_slice(&state.window_ns.to_le_bytes());
        head[18] = state.kind;
        head[19..].copy_from_slice(&(state.key.len() as u16).to_le_bytes());
        self.record([&head, state.key, state.bytes])
    }

    /// Adds the first of these points, as many as there is room for, as one run, and says how many that were.
    /// The key is at most [`KEY_BYTES_MAX`] bytes.
    #[must_use = "the points behind them were not taken"]
    pub fn run(&mut self, key: &[u8], points: impl ExactSizeIterator<Item = (Time, f64)> + Clone) -> usize {
        debug_assert_eq!(self.content, Content::Runs);
        let room = (DATAGRAM_BYTES_MAX - self.length).saturating_sub(RUN_BYTES + key.len());
        let count = (room / POINT_BYTES).min(points.len());
        if count == 0 {
            return 0;
        }
        let mut head = [0; RUN_BYTES];
        let length = RUN_BYTES - 2 + key.len() + count * POINT_BYTES;
        head[..2].copy_from_slice(&(length as u16).to_le_bytes());
        head[2..4].copy_from_slice(&(key.len() as u16).to_le_bytes());
        head[4..].copy_from_slice(&(count as u16).to_le_bytes());
        let start = self.length + RUN_BYTES + key.len();
        // The points are written in place, behind what `record` puts before them.
        let (times, values) = self.bytes[start..start + count * POINT_BYTES].split_at_mut(count * 8);
        for (((time, value), time_bytes), value_bytes) in
            points.zip(times.as_chunks_mut::<8>().0).zip(values.as_chunks_mut::<8>().0)
        {
            *time_bytes = time.ns().to_le_bytes();
            *value_bytes = value.to_bits().to_le_bytes();
        }
        if self.record([&head, key, &[]]).is_err() {
            return 0;
        }
        self.length += count * POINT_BYTES;
        count
    }

    /// Adds how far a series reaches. Its key is at most [`KEY_BYTES_MAX`] bytes.
    pub fn extent(&mut self, extent: &Extent<'_>) -> Result<(), Full> {
        debug_assert_eq!(self.content, Content::Series);
        let mut head = [0; EXTENT_BYTES];
        head[..2].copy_from_slice(&((EXTENT_BYTES - 2 + extent.key.len()) as u16).to_le_bytes());
        head[2..10].copy_from_slice(&extent.first.ns().to_le_bytes());
        head[10..18].copy_from_slice(&extent.last.ns().to_le_bytes());
        head[18..].copy_from_slice(&extent.points.to_le_bytes());
        self.record([&head, extent.key, &[]])
    }

    /// Adds a word; it is at most [`KEY_BYTES_MAX`] bytes.
    pub fn word(&mut self, word: &Word<'_>) -> Result<(), Full> {
        debug_assert_eq!(self.content, Content::Words);
        let mut head = [0; WORD_BYTES];
        head[..2].copy_from_slice(&((WORD_BYTES - 2 + word.word.len()) as u16).to_le_bytes());
        head[2..].copy_from_slice(&word.series.to_le_bytes());
        self.record([&head, word.word, &[]])
    }

    /// Adds all records of a batch of the same content, or none of them.
    pub fn append(&mut self, other: &Batch) -> Result<(), Full> {
        debug_assert_eq!(self.content, other.content);
        let records = &other.bytes[HEADER_BYTES..other.length];
        let Some(room) = self.bytes.get_mut(self.length..self.length + records.len()) else {
            return Err(Full);
        };
        room.copy_from_slice(records);
        self.length += records.len();
        self.count += other.count;
        Ok(())
    }

    /// Bytes of its records.
    pub fn len(&self) -> usize {
        self.length - HEADER_BYTES
    }

    /// The datagram, headed by `source` and the number of its first record.
    pub fn seal(&mut self, source: u64, first: u64) -> &[u8] {
        let header = Header { content: self.content, count: self.count, source, first };
        header.write(self.bytes.first_chunk_mut().expect("a datagram is longer than its header"));
        &self.bytes[..self.length]
    }

    #[inline]
    fn record(&mut self, parts: [&[u8]; 3]) -> Result<(), Full> {
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        let Some(mut room) = self.bytes.get_mut(self.length..self.length + length) else { return Err(Full) };
        for part in parts {
            let (front, rest) = room.split_at_mut(part.len());
            copy::short(front, part);
            room = rest;
        }
        self.length += length;
        self.count += 1;
        Ok(())
    }
}

/// A metric's record before its key, which has so many bytes.
#[inline(always)]
fn head_of(metric: &Metric<'_>, key_bytes: usize) -> [u8; METRIC_BYTES] {
    let (number, value) = match metric.value {
        Value::U64(value) => (1, value),
        Value::I64(value) => (2, value as u64),
        Value::F64(value) => (3, value.to_bits()),
    };
    let mut head = [0; METRIC_BYTES];
    head[..2].copy_from_slice(&((METRIC_BYTES - 2 + key_bytes) as u16).to_le_bytes());
    head[2] = metric.kind as u8 | number << 4;
    head[3..11].copy_from_slice(&metric.time.ns().to_le_bytes());
    head[11..].copy_from_slice(&value.to_le_bytes());
    head
}
