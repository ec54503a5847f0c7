//! What a log held when it was opened.

use std::path::PathBuf;

use common::time::Time;

use super::segment::{self, ENTRY_BYTES, HEAD_BYTES, Head, Kind, MARK_BYTES, Place, Whole};
use super::{Mark, Position, SEGMENT_BYTES};
use crate::files::SharedFiles;

/// So much of a segment is read. Segments are a commit longer than [`SEGMENT_BYTES`] at most.
const SEGMENT_BYTES_MAX: u64 = 8 * SEGMENT_BYTES;

/// A datagram out of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry<'a> {
    /// Where it begins.
    pub start: Position,
    /// Behind it.
    pub position: Position,
    /// As it was received.
    pub datagram: &'a [u8],
}

/// Where bytes of the log could not be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// In which segment.
    pub path: PathBuf,
    /// From which byte of the file on.
    pub offset: u64,
    /// How many bytes.
    pub bytes: u64,
    /// Up to the segment's end: so a power cut, or a kill in the middle of a write, leaves the last segment.
    pub is_torn_end: bool,
}

/// What a replay found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Datagrams handed out.
    pub entries: u64,
    /// Entries of a kind that this version does not know.
    pub unknown: u64,
    /// The machine was started anew since the log was last written: what was not synced may be missing.
    pub boot_changed: bool,
    /// What had been taken at the last sync, and where that was. All before it was found.
    pub last_sync: Option<(Position, Mark)>,
    /// What was passed over; the first [`Report::DAMAGES_MAX`].
    pub damages: Vec<Damage>,
    /// Bytes of all damages.
    pub damaged_bytes: u64,
    /// Segments that should have been between others.
    pub missing_segments: u64,
}

impl Report {
    /// More damages are only summed up.
    pub const DAMAGES_MAX: usize = 64;
}

/// What the log held when it was opened, in order.
#[derive(Debug)]
pub struct Replay {
    files: SharedFiles,
    /// Those not yet begun, the next one last.
    places: Vec<Place>,
    acknowledged: Position,
    /// The one that is read.
    place: Option<Place>,
    segment: Vec<u8>,
    offset: usize,
    /// The sequence of the last segment, from its head.
    last_sequence: Option<u64>,
    /// The sequence of the segment before the one that is read.
    sequence: Option<u64>,
    /// There was damage since the last mark.
    is_in_doubt: bool,
    report: Report,
}

impl Replay {
    pub(super) fn new(files: SharedFiles, mut places: Vec<Place>, acknowledged: Position) -> Replay {
        let mut report = Report::default();
        let mut last_sequence = None;
        if let Some(last) = places.last() {
            let mut head = [0; HEAD_BYTES];
            let read = files.open(&last.path).and_then(|file| file.read_exact_at(0, &mut head));
            let head = read.ok().and_then(|()| Head::read(&head));
            report.boot_changed = head.is_none_or(|head| head.boot != files.boot_id());
            last_sequence = head.map(|head| head.sequence);
        }
        places.reverse();
        Replay {
            files,
            places,
            acknowledged,
            place: None,
            segment: Vec::new(),
            offset: 0,
            last_sequence,
            sequence: None,
            is_in_doubt: false,
            report,
        }
    }

    pub(super) fn last_sequence(&self) -> Option<u64> {
        self.last_sequence
    }

    /// The next datagram; `None` at the end.
    pub fn next_entry(&mut self) -> Option<Entry<'_>> {
        let (position, range) = loop {
            if self.offset >= self.segment.len() {
                self.begin_segment()?;
                continue;
            }
            if let Some(found) = self.step() {
                break found;
            }
        };
        self.report.entries += 1;
        let start = Position(position.0 - (ENTRY_BYTES + range.len()) as u64);
        Some(Entry { start, position, datagram: &self.segment[range] })
    }

    /// Reads one entry or passes over damage; a datagram that is asked for comes back.
    fn step(&mut self) -> Option<(Position, std::ops::Range<usize>)> {
        let place = self.place.as_ref()?;
        let rest = &self.segment[self.offset..];
        let position = Position::of(place, self.offset).0;
        let Some(Whole { kind, payload }) = Whole::read(position, rest) else {
            let bytes = segment::damaged_bytes(position, rest);
            self.damaged(self.offset, bytes);
            self.offset += bytes;
            return None;
        };
        let whole = Whole { kind, payload }.bytes();
        let range = self.offset + whole - payload.len()..self.offset + whole;
        let behind = Position(position + whole as u64);
        self.offset += whole;
        if kind == Kind::Datagram as u8 {
            return (behind > self.acknowledged).then_some((behind, range));
        }
        match <&[u8; MARK_BYTES]>::try_from(payload) {
            Ok(mark) if kind == Kind::Sync as u8 => {
                let word = |at: usize| u64::from_le_bytes(mark[at..at + 8].try_into().expect("8 bytes"));
                let mark = Mark { number: word(0), time: Time::from_ns(word(8) as i64) };
                if !std::mem::take(&mut self.is_in_doubt) {
                    self.report.last_sync = Some((behind, mark));
                }
            }
            _ => self.report.unknown += 1,
        }
        None
    }

    /// Reads the next segment; `None` when there is no more.
    fn begin_segment(&mut self) -> Option<()> {
        self.segment.clear();
        self.offset = 0;
        let Some(place) = self.places.pop() else {
            self.segment = Vec::new();
            return None;
        };
        // What lies behind the next one's beginning is a write that failed.
        let limit = self.places.last().map_or(u64::MAX, |next| next.first.saturating_sub(place.first));
        let bytes = place.bytes.min(limit.saturating_add(HEAD_BYTES as u64)).min(SEGMENT_BYTES_MAX);
        self.segment.resize(bytes as usize, 0);
        let file = self.files.open(&place.path);
        let read = file.and_then(|file| file.read_at(0, &mut self.segment)).unwrap_or(0);
        self.segment.truncate(read);
        let head = Head::read(&self.segment).filter(|head| head.first == place.first);
        self.place = Some(place);
        if read < bytes as usize {
            self.damaged(read, bytes as usize - read);
        }
        match head {
            Some(head) => {
                let missing = self.sequence.map_or(0, |last| head.sequence.saturating_sub(last + 1));
                self.report.missing_segments += missing;
                self.sequence = Some(head.sequence);
            }
            // The name says where its entries are as well.
            None if read >= HEAD_BYTES => {
                self.damaged(0, HEAD_BYTES);
                self.sequence = self.sequence.map(|last| last + 1);
            }
            // It was just being made; there is nothing in it.
            None => self.segment.clear(),
        }
        self.offset = HEAD_BYTES;
        Some(())
    }

    fn damaged(&mut self, offset: usize, bytes: usize) {
        self.is_in_doubt = true;
        self.report.damaged_bytes += bytes as u64;
        if let Some(place) = &self.place
            && self.report.damages.len() < Report::DAMAGES_MAX
        {
            let is_torn_end = offset + bytes >= self.segment.len() && offset >= HEAD_BYTES;
            let (path, offset, bytes) = (place.path.clone(), offset as u64, bytes as u64);
            self.report.damages.push(Damage { path, offset, bytes, is_torn_end });
        }
    }

    /// What was found; complete after [`Replay::next_entry`] gave `None`.
    pub fn report(&self) -> &Report {
        &self.report
    }
}
