//! The state between two runs: saved on SIGTERM, taken up once by the next start.
//!
//! All numbers are little-endian. A header, then blocks of whole records until the end of the file:
//!
//! ```text
//! ┌──────────────┬─────────┬─────────────┬────────────┬──────────────────────┐
//! │ "LEELA TL"   │ version │ saved       │ records    │ crc32 of the         │
//! │ 8 bytes      │ u32 = 2 │ i64, ns     │ u64        │ 28 bytes before: u32 │
//! └──────────────┴─────────┴─────────────┴────────────┴──────────────────────┘
//! ┌──────────────┬─────────────────┬─────────────────────┐
//! │ length       │ crc32 of what   │ records             │
//! │ u32          │ follows: u32    │ length bytes        │
//! └──────────────┴─────────────────┴─────────────────────┘
//! ┌──────┬───────┬─────────┬────────────┬────────┬─────────┬───────┬───────┬───────────────┐
//! │ kind │ flags │ key_len │ idle       │ source │ time    │ value │ extra │ key           │
//! │ u8   │ u8    │ u16     │ u32, 0.1 s │ u64    │ i64, ns │ u64   │ u64   │ key_len bytes │
//! └──────┴───────┴─────────┴────────────┴────────┴─────────┴───────┴───────┴───────────────┘
//! ```
//!
//! `kind` is the wire's code of the series' kind, gauge for gauge and adjust. `flags` has in its two low bits what `value`
//! is (0 u64, 1 i64, 2 f64) and 4 for an overflow series. `time` and `value` are the newest value of a gauge, the
//! base of a rate, the opening and the sum of a window. `extra` is the highest rate seen (f64), or a window's
//! records (low 32 bits; 0 is no window) and how long until the timer closes it (high 32 bits, 0.1 s).
//!
//! The time between two runs is what the machine's uptime says, or, where the machine was started anew or it is not known,
//! what the wall clock says has passed since `saved`, at least 0: a clock that is set meanwhile ages nothing. It makes series
//! older, so that one idle for a `ttl` in all is gone, and windows due; a window's sum is kept however long it
//! took. Behind the key of a count, a sample and a member stands what is in its two slots; a count's `extra` is how many
//! empty windows it has behind it:
//!
//! ```text
//! ┌─────────┬────────┬───────────────────────────────┐
//! │ records │ length │ a state, as it is published:  │  twice; 0 records have no state
//! │ u32     │ u16    │ length bytes                  │
//! └─────────┴────────┴───────────────────────────────┘
//! ```
//! The first record is of kind 0 and says which windows these slots are of. It has no key: `time` is the end of the newest
//! window, which is the first slot's (0 where none has begun); the low bits of `extra` say what becomes of the other slot
//! (0 it is empty, 1 it is open, 2 it is being emitted), whose window ends at `value`. In the place of its key stand the
//! id of the machine's boot, 16 bytes, and its uptime, u64 in ns, both 0 when not known; then the spans of windows that
//! were entered before it, of 20 bytes each: start and end, i64 in ns, and how often, u32. Version 1 has neither it nor
//! those kinds; it is taken up too. Bases stay as they are: a rate is divided by its gap, whatever that is. Limits do not
//! hold back what was known; `[tags]` are joined anew.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::metric::{Kind, State as Published};
use common::sketch::{Amount, Members, Samples, StateError};
use common::time::Time;
use common::value::Value;
use common::{Ahead, Versions};
use sockets::planted;
use thiserror::Error;

use crate::absolute::Window;
use crate::gauge::Gauge;
use crate::index::NONE;
use crate::moment::{self, Moment};
use crate::rate::Base;
use crate::rules::Clock;
use crate::series::{Counted, NO_ZEROS, Pools, Sampled, Series, State};
use crate::tally::Tally;
use crate::timeline::Timeline;
use crate::uptime::Uptime;
use crate::windows::Other;

const MAGIC: &[u8; 8] = b"LEELA TL";
const VERSIONS: Versions = Versions::new(1, 2, 2);
/// From this version on there are windows, and counts, samples and members in them.
const WITH_WINDOWS: u32 = 2;
const HEADER_BYTES: usize = 32;
const RECORD_BYTES: usize = 40;

/// A block is written when it is this long; it may be longer by one record.
const BLOCK_BYTES: usize = 64 << 10;
const BLOCK_BYTES_MAX: usize =
    BLOCK_BYTES + RECORD_BYTES + common::key::KEY_BYTES_MAX + 2 * (SLOT_BYTES + Published::BYTES_MAX);

/// Bytes of a slot before its state.
const SLOT_BYTES: usize = 6;

/// Bytes of a boot and its uptime.
const UPTIME_BYTES: usize = 24;
/// Bytes of a span of windows.
const SPAN_BYTES: usize = 20;

/// The kind of the record that says which windows are open.
const WINDOWS: u8 = 0;

const OVERFLOW: u8 = 4;

/// Why a saved state was not taken up.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// It could not be read, or not be removed.
    #[error("cannot be read")]
    Io(#[from] io::Error),
    /// It does not begin as a saved state.
    #[error("is no saved state of the timeline")]
    Magic,
    /// Older than all that are read.
    #[error("is of version {0}, which is not read any more")]
    Version(u32),
    /// It is damaged, or ends too soon.
    #[error("is damaged")]
    Checksum,
    /// Whole, and yet no record.
    #[error("has a record that is none")]
    Record,
}

impl SnapshotError {
    /// True when a later release saved it.
    pub fn is_ahead(&self) -> bool {
        matches!(self, SnapshotError::Io(error) if Ahead::is_why(error))
    }
}

/// Fails when a later release saved the state under `path`: a timeline that began without it would lose it.
pub fn check(path: &Path) -> io::Result<()> {
    let mut header = [0; HEADER_BYTES];
    match File::open(path).and_then(|mut file| file.read_exact(&mut header)) {
        Err(error) if [io::ErrorKind::NotFound, io::ErrorKind::UnexpectedEof].contains(&error.kind()) => {
            return Ok(());
        }
        other => other?,
    }
    let (said, sum) = header.split_at(HEADER_BYTES - 4);
    if said[..8] == *MAGIC && crc32fast::hash(said).to_le_bytes() == *sum {
        VERSIONS.known(u32::from_le_bytes(said[8..12].try_into().expect("4 bytes")))?;
    }
    Ok(())
}

/// What became of a saved state at a start.
#[derive(Debug)]
#[must_use = "whoever starts has to say what became of the state"]
pub enum TakenUp {
    /// There was none.
    Nothing,
    /// The timeline goes on with it; the file is gone.
    Restored(Restored),
    /// The timeline starts empty.
    Refused {
        /// Why.
        error: SnapshotError,
        /// Where the file was moved; None when it could not be, or is of a later release.
        aside: Option<PathBuf>,
    },
}

/// What was in a saved state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Restored {
    /// Series that are known again.
    pub series: u64,
    /// Series that were idle for too long, the time between counted.
    pub expired: u64,
    /// Series whose key is no longer one, or is another's, since `[tags]` changed.
    pub dropped: u64,
    /// Absolute records in open windows. They are counted as applied a second time: books that go on from the
    /// process before take them off.
    pub absolute_records: u64,
    /// Counts, samples and members in open windows, counted as the absolute ones are.
    pub aggregated_records: u64,
    /// The time between.
    pub downtime: Duration,
}

/// Saves the state under `path`, whole or not at all, and on disk when it returns. Gives the series in it.
pub fn save(
    timeline: &Timeline,
    path: &Path,
    now: Time,
    mono: Duration,
    uptime: Option<Uptime>,
) -> io::Result<u64> {
    let new = beside(path, "new");
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&new)?;
    let mut writer = BufWriter::with_capacity(BLOCK_BYTES, file);
    let series = write(timeline, &mut writer, now, mono, uptime)?;
    writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    fs::rename(&new, path)?;
    sync_directory(path)?;
    Ok(series)
}

/// Takes up the state under `path` and removes it, so that no window is counted twice: state that is not saved
/// again is lost with the process. A file that is damaged is moved aside as `<path>.damaged`, and the timeline
/// stays as it is, which must be empty.
pub fn take_up(
    timeline: &mut Timeline,
    path: &Path,
    now: Time,
    mono: Duration,
    uptime: Option<Uptime>,
) -> TakenUp {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return TakenUp::Nothing,
        Err(error) => return TakenUp::Refused { error: error.into(), aside: None },
    };
    let mut restored = Timeline::new(timeline.rules().clone());
    let read = read(&mut restored, &mut BufReader::with_capacity(BLOCK_BYTES, file), now, mono, uptime)
        .and_then(|report| {
            remove(path).and_then(|()| sync_directory(path)).map(|()| report).map_err(Into::into)
        });
    match read {
        Ok(report) => {
            *timeline = restored;
            TakenUp::Restored(report)
        }
        // It waits for that release.
        Err(error @ SnapshotError::Io(_)) if error.is_ahead() => TakenUp::Refused { error, aside: None },
        Err(error) => {
            let aside = beside(path, "damaged");
            let aside = fs::rename(path, &aside).is_ok().then_some(aside);
            TakenUp::Refused { error, aside }
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    if planted!(StateTakenTwice) { Ok(()) } else { fs::remove_file(path) }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

/// Writes the state, a block at a time.
pub(crate) fn write(
    timeline: &Timeline,
    to: &mut impl Write,
    now: Time,
    mono: Duration,
    uptime: Option<Uptime>,
) -> io::Result<u64> {
    let series = timeline.counters().series;
    let clock = timeline.rules().clock(now, mono, timeline.windows);
    let records = series + 1;
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&VERSIONS.written().to_le_bytes());
    header.extend_from_slice(&now.ns().to_le_bytes());
    header.extend_from_slice(&records.to_le_bytes());
    header.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
    to.write_all(&header)?;

    let mut block = Vec::with_capacity(BLOCK_BYTES_MAX);
    let (newest, before) = timeline.windows.ends().unwrap_or((NONE_YET, None));
    encode_windows(newest, before, uptime, &timeline.windows.spans(), &mut block);
    for id in 0..timeline.table.series.end() {
        let Some(one) = timeline.table.series.get(id) else { continue };
        encode(one, timeline, &clock, &mut block);
        if block.len() >= BLOCK_BYTES {
            write_block(&mut block, to)?;
        }
    }
    if !block.is_empty() {
        write_block(&mut block, to)?;
    }
    to.flush()?;
    Ok(series)
}

fn write_block(block: &mut Vec<u8>, to: &mut impl Write) -> io::Result<()> {
    to.write_all(&(block.len() as u32).to_le_bytes())?;
    to.write_all(&crc32fast::hash(block).to_le_bytes())?;
    to.write_all(block)?;
    block.clear();
    Ok(())
}

fn encode_windows(
    newest: Time,
    before: Option<(Time, Other)>,
    uptime: Option<Uptime>,
    spans: &[(Time, Time, u32)],
    block: &mut Vec<u8>,
) {
    let (end, other) = before.map_or((0, 0), |(end, other)| (end.ns(), other as u64));
    block.extend_from_slice(&[WINDOWS, 1]);
    block.extend_from_slice(&((UPTIME_BYTES + spans.len() * SPAN_BYTES) as u16).to_le_bytes());
    block.extend_from_slice(&[0; 12]);
    block.extend_from_slice(&newest.ns().to_le_bytes());
    block.extend_from_slice(&end.to_le_bytes());
    block.extend_from_slice(&other.to_le_bytes());
    block.extend_from_slice(&uptime.map_or([0; 16], |uptime| uptime.boot));
    block.extend_from_slice(&uptime.map_or(0, |uptime| uptime.since.as_nanos() as u64).to_le_bytes());
    for (start, end, times) in spans {
        block.extend_from_slice(&start.ns().to_le_bytes());
        block.extend_from_slice(&end.ns().to_le_bytes());
        block.extend_from_slice(&times.to_le_bytes());
    }
}

/// Appends the series; a free place and another spelling are none.
fn encode(series: &Series, timeline: &Timeline, clock: &Clock, block: &mut Vec<u8>) {
    let (kind, time, value, extra) = match series.state {
        State::Free | State::Spelling(..) => return,
        State::Gauge(Gauge { time, value, .. }) => (Kind::Gauge, time, value, 0),
        State::Count { quiet, .. } => (Kind::Count, NONE_YET, Value::U64(0), u64::from(quiet)),
        State::Sample { .. } => (Kind::Sample, NONE_YET, Value::U64(0), 0),
        State::Member { .. } => (Kind::Member, NONE_YET, Value::U64(0), 0),
        State::Counter(Base { time, value, highest }) => (Kind::Counter, time, value, highest.to_bits()),
        State::Derive(Base { time, value, highest }) => (Kind::Derive, time, value, highest.to_bits()),
        State::Absolute(Window { opened, sum, due, records }) => {
            let left = due.since(clock.moment);
            (Kind::Absolute, opened, sum, u64::from(left) << 32 | u64::from(records))
        }
    };
    let (tag, bits) = match value {
        Value::U64(value) => (0, value),
        Value::I64(value) => (1, value as u64),
        Value::F64(value) => (2, value.to_bits()),
    };
    let overflow = if series.part == NONE { OVERFLOW } else { 0 };
    let key = timeline.table.looked_up(series.text);
    block.push(kind as u8);
    block.push(tag | overflow);
    block.extend_from_slice(&series.text.len.to_le_bytes());
    block.extend_from_slice(&clock.moment.since(series.seen).to_le_bytes());
    block.extend_from_slice(&timeline.census.source(series.source).to_le_bytes());
    block.extend_from_slice(&time.ns().to_le_bytes());
    block.extend_from_slice(&bits.to_le_bytes());
    block.extend_from_slice(&extra.to_le_bytes());
    block.extend_from_slice(key);
    // The newest window's slot is the first one of the successor.
    let newest = timeline.windows.newest();
    for slot in [newest, 1 - newest] {
        match &series.state {
            State::Count { tallies, .. } => {
                let tally = tallies[slot];
                encode_slot(block, tally.records, |block| tally.sum().encode(block));
            }
            State::Sample { slots, .. } => match timeline.pools.samples.get(slots[slot]) {
                Some(sampled) => encode_slot(block, sampled.records, |block| sampled.samples.encode(block)),
                None => encode_slot(block, 0, |_| {}),
            },
            State::Member { slots } => match timeline.pools.members.get(slots[slot]) {
                Some(counted) => encode_slot(block, counted.records, |block| counted.members.encode(block)),
                None => encode_slot(block, 0, |_| {}),
            },
            _ => {}
        }
    }
}

/// A time that no record has.
const NONE_YET: Time = Time::from_ns(0);

fn encode_slot(block: &mut Vec<u8>, records: u32, state: impl FnOnce(&mut Vec<u8>)) {
    block.extend_from_slice(&records.to_le_bytes());
    let length_at = block.len();
    block.extend_from_slice(&[0; 2]);
    if records > 0 {
        state(block);
    }
    let length = u16::try_from(block.len() - length_at - 2).expect("a state has at most 24 KiB");
    block[length_at..length_at + 2].copy_from_slice(&length.to_le_bytes());
}

/// Reads a state into an empty timeline, which is of no use when it fails.
pub(crate) fn read(
    timeline: &mut Timeline,
    from: &mut impl Read,
    now: Time,
    mono: Duration,
    uptime: Option<Uptime>,
) -> Result<Restored, SnapshotError> {
    let header: [u8; HEADER_BYTES] = exactly(from)?;
    let mut fields = Fields(&header);
    if fields.array()? != *MAGIC {
        return Err(SnapshotError::Magic);
    }
    let version = u32::from_le_bytes(fields.array()?);
    let saved = Time::from_ns(i64::from_le_bytes(fields.array()?));
    let expected = u64::from_le_bytes(fields.array()?);
    if u32::from_le_bytes(fields.array()?) != crc32fast::hash(&header[..HEADER_BYTES - 4]) {
        return Err(SnapshotError::Checksum);
    }
    if !VERSIONS.known(version)? {
        return Err(SnapshotError::Version(version));
    }

    let downtime = Duration::from_nanos(u64::try_from(now.since_ns(saved)).unwrap_or(0));
    let clock = timeline.rules().clock(now, mono, timeline.windows);
    let mut report = Restored { downtime, ..Restored::default() };
    let mut block = Vec::with_capacity(BLOCK_BYTES_MAX);
    let mut records = 0;
    while records < expected {
        let length = u32::from_le_bytes(exactly(from)?) as usize;
        let crc = u32::from_le_bytes(exactly(from)?);
        if length > BLOCK_BYTES_MAX || length == 0 {
            return Err(SnapshotError::Checksum);
        }
        block.resize(length, 0);
        from.read_exact(&mut block).map_err(too_short)?;
        if crc32fast::hash(&block) != crc {
            return Err(SnapshotError::Checksum);
        }
        let mut fields = Fields(&block);
        while !fields.0.is_empty() {
            let record = Record::decode(&mut fields)?;
            match record.kind {
                WINDOWS if version >= WITH_WINDOWS && records == 0 => {
                    let saved = record.resume(timeline)?;
                    if let Some(away) = uptime.zip(saved).and_then(|(now, saved)| now.since(saved)) {
                        report.downtime = away;
                    }
                }
                _ => record.restore(timeline, &clock, &mut report)?,
            }
            records += 1;
        }
    }
    // A file that goes on is not the one that was written.
    if records != expected || from.read(&mut [0])? != 0 {
        return Err(SnapshotError::Checksum);
    }
    Ok(report)
}

fn exactly<const N: usize>(from: &mut impl Read) -> Result<[u8; N], SnapshotError> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes).map_err(too_short)?;
    Ok(bytes)
}

fn too_short(error: io::Error) -> SnapshotError {
    if error.kind() == io::ErrorKind::UnexpectedEof { SnapshotError::Checksum } else { error.into() }
}

/// What is left of a block.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], SnapshotError> {
        let (field, rest) = self.0.split_first_chunk().ok_or(SnapshotError::Record)?;
        self.0 = rest;
        Ok(*field)
    }

    fn slice(&mut self, len: usize) -> Result<&'a [u8], SnapshotError> {
        let (field, rest) = self.0.split_at_checked(len).ok_or(SnapshotError::Record)?;
        self.0 = rest;
        Ok(field)
    }
}

/// A series in the file.
struct Record<'a> {
    kind: u8,
    overflow: bool,
    /// Tenths of a second, when it was saved.
    idle: u32,
    source: u64,
    time: Time,
    value: Value,
    extra: u64,
    key: &'a [u8],
    slots: [Slot<'a>; 2],
}

/// What a slot of a series holds.
#[derive(Clone, Copy, Default)]
struct Slot<'a> {
    records: u32,
    state: &'a [u8],
}

impl<'a> Slot<'a> {
    fn decode(fields: &mut Fields<'a>) -> Result<Slot<'a>, SnapshotError> {
        let records = u32::from_le_bytes(fields.array()?);
        let length = u16::from_le_bytes(fields.array()?);
        let state = fields.slice(usize::from(length))?;
        if (records == 0) != state.is_empty() {
            Err(SnapshotError::Record)
        } else {
            Ok(Slot { records, state })
        }
    }

    /// The state; None where there is none.
    fn sketch<T>(
        &self,
        decode: impl FnOnce(&[u8]) -> Result<T, StateError>,
    ) -> Result<Option<T>, SnapshotError> {
        let state = (self.records > 0).then(|| decode(self.state));
        state.transpose().map_err(|_| SnapshotError::Record)
    }
}

impl<'a> Record<'a> {
    fn decode(fields: &mut Fields<'a>) -> Result<Record<'a>, SnapshotError> {
        let [kind, flags] = fields.array()?;
        let key_len = u16::from_le_bytes(fields.array()?);
        let idle = u32::from_le_bytes(fields.array()?);
        let source = u64::from_le_bytes(fields.array()?);
        let time = Time::from_ns(i64::from_le_bytes(fields.array()?));
        let bits = u64::from_le_bytes(fields.array()?);
        let value = match flags & 3 {
            0 => Value::U64(bits),
            1 => Value::I64(bits as i64),
            2 => Value::F64(f64::from_bits(bits)),
            _ => return Err(SnapshotError::Record),
        };
        let extra = u64::from_le_bytes(fields.array()?);
        let key = fields.slice(usize::from(key_len))?;
        if !value.is_finite() {
            return Err(SnapshotError::Record);
        }
        let aggregated = [Kind::Count, Kind::Sample, Kind::Member].map(|kind| kind as u8);
        let slots = match aggregated.contains(&kind) {
            true => [Slot::decode(fields)?, Slot::decode(fields)?],
            false => [Slot::default(); 2],
        };
        Ok(Record { kind, overflow: flags & OVERFLOW != 0, idle, source, time, value, extra, key, slots })
    }

    /// Goes on with the windows that were open; gives the uptime at which they were saved.
    fn resume(&self, timeline: &mut Timeline) -> Result<Option<Uptime>, SnapshotError> {
        let Value::I64(end) = self.value else { return Err(SnapshotError::Record) };
        let other = match self.extra {
            0 => None,
            1 => Some(Other::Open),
            2 => Some(Other::Closing),
            _ => return Err(SnapshotError::Record),
        };
        if self.time != NONE_YET {
            timeline.windows.resume(self.time, other.map(|other| (Time::from_ns(end), other)));
        }
        if self.key.is_empty() {
            return Ok(None);
        }
        let mut spans = Fields(self.key);
        let boot = spans.array()?;
        let saved = Uptime { boot, since: Duration::from_nanos(u64::from_le_bytes(spans.array()?)) };
        while !spans.0.is_empty() {
            let [start, end] =
                [spans.array()?, spans.array()?].map(|ns| Time::from_ns(i64::from_le_bytes(ns)));
            timeline.windows.has_entered(start, end, u32::from_le_bytes(spans.array()?));
        }
        Ok(Some(saved).filter(|saved| saved.boot != [0; 16]))
    }

    /// What a count, a sample or a member had in its slots.
    fn aggregated(&self, kind: Kind, pools: &mut Pools) -> Result<State, SnapshotError> {
        let mut state = State::new(kind);
        for (place, slot) in self.slots.iter().enumerate() {
            let records = slot.records;
            match &mut state {
                State::Count { quiet, tallies } => {
                    *quiet = self.extra.min(u64::from(NO_ZEROS)) as u16;
                    if let Some(sum) = slot.sketch(Amount::decode)? {
                        tallies[place] = Tally::of(sum, records).ok_or(SnapshotError::Record)?;
                    }
                }
                State::Sample { slots, .. } => {
                    if let Some(samples) = slot.sketch(Samples::decode)? {
                        slots[place] = pools.samples.insert(Sampled { samples, records });
                    }
                }
                State::Member { slots } => {
                    if let Some(members) = slot.sketch(Members::decode)? {
                        slots[place] = pools.members.insert(Counted { members, records });
                    }
                }
                _ => {}
            }
        }
        Ok(state)
    }

    fn restore(
        &self,
        timeline: &mut Timeline,
        clock: &Clock,
        report: &mut Restored,
    ) -> Result<(), SnapshotError> {
        let away = moment::tenths(report.downtime);
        let Record { time, value, extra, .. } = *self;
        let base = Base { time, value, highest: f64::from_bits(extra) };
        let window = Window {
            opened: time,
            sum: value,
            due: clock
                .moment
                .plus(((extra >> 32) as u32).saturating_sub(away).min(crate::absolute::WINDOW_TENTHS)),
            records: extra as u32,
        };
        let state = match Kind::from_code(self.kind) {
            Some(Kind::Gauge) => State::Gauge(Gauge { time, value, kept: false }),
            Some(Kind::Counter) if base.highest.is_finite() => State::Counter(base),
            Some(Kind::Derive) if base.highest.is_finite() => State::Derive(base),
            Some(Kind::Absolute) => State::Absolute(window),
            Some(kind @ (Kind::Count | Kind::Sample | Kind::Member)) => {
                self.aggregated(kind, &mut timeline.pools)?
            }
            _ => return Err(SnapshotError::Record),
        };
        let open = if matches!(state, State::Absolute(_)) { u64::from(window.records) } else { 0 };
        let gathered = self.slots.iter().map(|slot| u64::from(slot.records)).sum::<u64>();
        let idle = self.idle.saturating_add(away);
        if idle >= clock.ttl && open == 0 && gathered == 0 {
            report.expired += 1;
            return Ok(());
        }
        let seen: Moment = clock.moment.minus(idle);
        if timeline.restore(self.key, state, self.overflow, self.source, seen, clock) {
            report.series += 1;
            report.absolute_records += open;
            timeline.counters.absolute_applied += open;
            timeline.counters.absolute_open += open;
            report.aggregated_records += gathered;
            timeline.counters.aggregated_applied += gathered;
            timeline.counters.aggregated_open += gathered;
        } else {
            timeline.pools.let_go(&state);
            report.dropped += 1;
        }
        Ok(())
    }
}

impl Timeline {
    /// Enters a series from a saved state; false when its key is none, or another's.
    fn restore(
        &mut self,
        text: &[u8],
        state: State,
        overflow: bool,
        source: u64,
        seen: Moment,
        clock: &Clock,
    ) -> bool {
        let Ok(emitted) = self.emitted_key(text) else { return false };
        let emitted = emitted.as_bytes();
        let class = state.class();
        if self.table.find(class, text).is_some() || self.table.find(class, emitted).is_some() {
            return false;
        }
        let place = match overflow {
            true => self.census.enter_overflow(true).expect("the last one is always let in"),
            false => self.census.enter_known(text, source),
        };
        let id = self.insert(text, emitted, state, place, clock);
        if let Some(series) = self.table.series.get_mut(id) {
            series.seen = seen;
        }
        if matches!(state, State::Absolute(window) if window.is_open()) {
            self.wheel.link(&mut self.table.series, id);
        }
        true
    }
}

#[cfg(test)]
mod tests;
