//! A state is written, a block at a time.

use std::io::{self, Write};
use std::time::Duration;

use common::metric::Kind;
use common::time::Time;
use common::value::Value;

use super::{
    BLOCK_BYTES, BLOCK_BYTES_MAX, HEADER_BYTES, MAGIC, NONE_YET, OVERFLOW, SPAN_BYTES, UPTIME_BYTES,
    VERSIONS, WINDOWS,
};
use crate::absolute::Window;
use crate::gauge::Gauge;
use crate::index::NONE;
use crate::rate::Base;
use crate::rules::Clock;
use crate::series::{Series, State};
use crate::timeline::Timeline;
use crate::uptime::Uptime;
use crate::windows::Windows;

/// Writes the state; gives the series in it.
pub(crate) fn write(
    timeline: &Timeline,
    to: &mut impl Write,
    now: Time,
    mono: Duration,
    uptime: Option<Uptime>,
) -> io::Result<u64> {
    let series = timeline.counters().series;
    let clock = timeline.rules().clock(now, mono, timeline.windows);
    write_header(now, series + 1, to)?;
    let mut block = Vec::with_capacity(BLOCK_BYTES_MAX);
    encode_windows(&timeline.windows, uptime, &mut block);
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

/// Writes the windows alone, as of a timeline that knows no series.
pub(super) fn write_windows(windows: &Windows, to: &mut impl Write, now: Time) -> io::Result<()> {
    write_header(now, 1, to)?;
    let mut block = Vec::new();
    encode_windows(windows, None, &mut block);
    write_block(&mut block, to)
}

fn write_header(now: Time, records: u64, to: &mut impl Write) -> io::Result<()> {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&VERSIONS.written().to_le_bytes());
    header.extend_from_slice(&now.ns().to_le_bytes());
    header.extend_from_slice(&records.to_le_bytes());
    header.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
    to.write_all(&header)
}

fn write_block(block: &mut Vec<u8>, to: &mut impl Write) -> io::Result<()> {
    to.write_all(&(block.len() as u32).to_le_bytes())?;
    to.write_all(&crc32fast::hash(block).to_le_bytes())?;
    to.write_all(block)?;
    block.clear();
    Ok(())
}

fn encode_windows(windows: &Windows, uptime: Option<Uptime>, block: &mut Vec<u8>) {
    let (newest, before) = windows.ends().unwrap_or((NONE_YET, None));
    let spans = windows.spans();
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
