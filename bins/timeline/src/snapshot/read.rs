//! A state is read, into a timeline that is empty.

use std::io::{self, Read};
use std::time::Duration;

use common::metric::Kind;
use common::sketch::{Amount, Members, Samples, StateError};
use common::time::Time;
use common::value::Value;

use super::{
    BLOCK_BYTES_MAX, HEADER_BYTES, MAGIC, NONE_YET, OVERFLOW, Restored, SnapshotError, VERSIONS, WINDOWS,
    WITH_WINDOWS,
};
use crate::absolute::Window;
use crate::gauge::Gauge;
use crate::moment::{self, Moment};
use crate::rate::Base;
use crate::rules::Clock;
use crate::series::{Counted, NO_ZEROS, Pools, Sampled, State};
use crate::tally::Tally;
use crate::timeline::Timeline;
use crate::uptime::Uptime;
use crate::windows::Other;

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
