//! The write-ahead log: received datagrams, verbatim, so that what was counted received outlives the process, and
//! but for one second the machine's power.
//!
//! ```text
//! segment `<first, 16 hexadecimal digits>.log`: head, then entries; numbers are little-endian
//! ┌────────────┬─────────┬─────────┬──────────┬──────────┬──────────┬─────────┐
//! │ magic      │ version │ crc     │ boot     │ sequence │ first    │ entries │
//! │ "LeelaLog" │ u32 = 1 │ u32     │ 16 bytes │ u64      │ u64      │ ...     │
//! └────────────┴─────────┴─────────┴──────────┴──────────┴──────────┴─────────┘
//! entry
//! ┌──────────┬──────┬────────┬──────┬─────────┐  kind 1: the payload is a datagram
//! │ mark     │ kind │ length │ crc  │ payload │  kind 2: a sync mark, `number u64 | time_ns i64`: the last
//! │ a7 4c 67 │ u8   │ u32    │ u32  │         │          event that was taken when the sync began
//! └──────────┴──────┴────────┴──────┴─────────┘
//! ```
//! `boot` is the kernel's id of the boot in which the segment was written, `sequence` counts segments, so that a
//! missing one is seen, `first` is the [`Position`] of the first entry. The head's checksum is over all of the
//! head but itself; an entry's over its position, its first eight bytes and its payload, so that an old entry, or
//! one in a datagram's payload, is never taken for one of this place. Checksums are CRC-32 (IEEE). Damage is passed
//! over to the next place where mark and checksum hold. Other kinds are skipped. Readers take every
//! version of [`VERSIONS`]; a log of a later release is not opened.
//!
//! Each opening begins a new segment, well behind all positions that were ever handed out: after a power cut those
//! of what was lost are not used again for something else, and nothing is ever written behind a torn end.

#[cfg(all(test, shuttle))]
mod interleaved;
mod replay;
mod segment;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::time::Time;
use thiserror::Error;

use crate::files::{File, SharedFiles};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use segment::{HEAD_BYTES, Head, Kind, Place};

pub use replay::{Damage, Entry, Replay, Report};
pub use segment::VERSIONS;

/// The longest datagram that can be logged, in bytes.
pub const DATAGRAM_BYTES_MAX: usize = 1 << 16;

/// A segment is followed by the next one when it has so many bytes.
pub const SEGMENT_BYTES: u64 = 16 << 20;

/// One with less stays while nothing comes.
const REST_BYTES: u64 = 256 << 10;

/// How far apart the positions of two openings are at least: more than can wait for the disk.
const OPENING: u64 = 1 << 36;

/// A place in the log, in bytes since the log was begun; it only grows, also over restarts, and no place is used
/// twice. That of a datagram is where it ends, so all datagrams up to and with it are "before it". Positions of
/// different openings lie far apart: they are compared, not subtracted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Position(pub u64);

impl Position {
    /// Whether both were handed out by the same opening of the log.
    pub fn is_of_the_opening_of(self, other: Position) -> bool {
        self.0 / OPENING == other.0 / OPENING
    }
}

/// What was last taken when a sync began; it is what is known after a power cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mark {
    /// The number of the last event in its source's stream.
    pub number: u64,
    /// Its time.
    pub time: Time,
}

/// Why the log cannot go on.
#[derive(Debug, Error)]
#[error("{what} {path}")]
pub struct LogError {
    /// What was being done.
    pub what: &'static str,
    /// To which file or directory.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl LogError {
    /// Says what was being done when the system refused.
    fn doing(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LogError {
        move |source| LogError { what, path: path.to_owned(), source }
    }
}

/// The log, as its one writer has it.
#[derive(Debug)]
pub struct Log {
    files: SharedFiles,
    directory: PathBuf,
    /// Complete segments, the oldest first.
    old: Vec<Place>,
    /// The one that is written; none before the first commit, and after an error that left it in doubt.
    current: Option<Current>,
    /// Behind all that is committed.
    end: u64,
    /// Behind the last datagram of this opening.
    taken: u64,
    /// The sequence of the next segment.
    sequence: u64,
    /// Entries that wait for [`Log::commit`].
    staged: Vec<u8>,
    /// Something was committed since the last mark.
    is_unmarked: bool,
    /// What the last mark says.
    last: Mark,
    /// Former `current`s that may not be durable, each with the sync that was the first to take it along.
    unsynced: Vec<(Arc<dyn File>, Option<u64>)>,
    /// A name was made that may not be durable.
    is_name_unsynced: bool,
    begun: u64,
    syncs: Arc<Syncs>,
}

#[derive(Debug)]
struct Current {
    place: Place,
    file: Arc<dyn File>,
}

/// What syncs say back to the log.
#[derive(Debug, Default)]
struct Syncs {
    /// The last one that was finished.
    done: AtomicU64,
    /// One failed: what the current segment holds is in doubt.
    has_failed: AtomicBool,
    /// Up to here what was logged is in doubt, because one failed: nothing behind it is said to be durable. 0 when
    /// nothing is.
    doubt: AtomicU64,
    /// Where what is durable ends, behind its last mark.
    durable: AtomicU64,
}

impl Log {
    /// Opens the log in `directory`, which is made if need be. What is before `acknowledged` is not replayed, and
    /// no position before it is handed out. Of the segments only names, lengths and heads are read; nothing is written
    /// before the first commit. The replay may go on while the log is written.
    pub fn open(
        files: SharedFiles,
        directory: &Path,
        acknowledged: Position,
    ) -> Result<(Log, Replay), LogError> {
        files.make_dir(directory).map_err(LogError::doing("making", directory))?;
        let names = files.list(directory).map_err(LogError::doing("listing", directory))?;
        let mut old = Vec::new();
        let mut end = acknowledged.0;
        for name in names {
            let Some(first) = segment::first(&name) else { continue };
            let path = directory.join(name);
            let file = files.open(&path).map_err(LogError::doing("opening", &path))?;
            let bytes = file.len().map_err(LogError::doing("measuring", &path))?;
            let mut head = [0; HEAD_BYTES];
            if file.read_exact_at(0, &mut head).is_ok() {
                // A damaged one is passed over by the replay; a later release's is not to be taken for that.
                Head::known(&head).map_err(LogError::doing("reading", &path))?;
            }
            let mut place = Place { path, first, bytes, taken: 0 };
            place.taken = place.end();
            end = end.max(place.end());
            old.push(place);
        }
        let replay = Replay::new(files.clone(), old.clone(), acknowledged);
        let log = Log {
            sequence: replay.last_sequence().map_or(1, |last| last + 1),
            files,
            directory: directory.to_owned(),
            old,
            current: None,
            end: (end / OPENING + 1) * OPENING,
            taken: 0,
            staged: Vec::new(),
            is_unmarked: false,
            last: Mark::default(),
            unsynced: Vec::new(),
            is_name_unsynced: false,
            begun: 0,
            syncs: Arc::default(),
        };
        Ok((log, replay))
    }

    /// Makes durable what former openings wrote: who was killed had not done so for its last second.
    pub fn sync_old(&self) -> Result<(), LogError> {
        for place in &self.old {
            let file = self.files.open(&place.path).map_err(LogError::doing("opening", &place.path))?;
            file.sync().map_err(LogError::doing("syncing", &place.path))?;
        }
        self.files.sync_dir(&self.directory).map_err(LogError::doing("syncing", &self.directory))?;
        self.syncs.durable.fetch_max(self.old.last().map_or(0, Place::end), Ordering::Relaxed);
        Ok(())
    }

    /// Nothing from here on is in the log, though the last of the old segments has it: a write that failed, and could
    /// not be taken away. An empty segment that begins there says so to every replay.
    pub fn end_old_at(&mut self, position: Position) -> Result<(), LogError> {
        let end = std::mem::replace(&mut self.end, position.0);
        let begun = self.begin_segment();
        self.end = end;
        self.old.push(begun?.place);
        Ok(())
    }

    /// The segments there are, each with its bytes: a copy of so much of each is a log.
    pub fn segments(&self) -> Vec<(PathBuf, u64)> {
        let current = self.current.iter().map(|current| &current.place);
        self.old.iter().chain(current).map(|place| (place.path.clone(), place.bytes)).collect()
    }

    /// Adds a datagram of at most [`DATAGRAM_BYTES_MAX`] to the next [`Log::commit`]; the position after it.
    pub fn stage(&mut self, datagram: &[u8]) -> Position {
        assert!(datagram.len() <= DATAGRAM_BYTES_MAX, "a datagram has at most {DATAGRAM_BYTES_MAX} bytes");
        self.stage_entry(Kind::Datagram, datagram)
    }

    fn stage_entry(&mut self, kind: Kind, payload: &[u8]) -> Position {
        let position = self.end + self.staged.len() as u64;
        segment::write_entry(position, kind, payload, &mut self.staged);
        Position(self.end + self.staged.len() as u64)
    }

    /// Writes what was staged, with one write: after it, kill -9 loses nothing of it. After an error nothing of
    /// it is in the log, and its positions will be used for others. Where the disk does not even let it be cut off, and the
    /// process is killed before it does, the successor finds it all the same: whoever booked it as lost tells by
    /// [`Log::end`], as of then.
    pub fn commit(&mut self) -> Result<Position, LogError> {
        if self.staged.is_empty() {
            return Ok(Position(self.end));
        }
        let written = self.write_staged();
        if let (Ok(end), Some(current)) = (&written, &mut self.current) {
            current.place.taken = end.0;
            self.taken = end.0;
        }
        self.is_unmarked |= written.is_ok();
        written
    }

    /// Writes what was staged, be it datagrams or a mark.
    fn write_staged(&mut self) -> Result<Position, LogError> {
        let written = self.write_entries();
        self.staged.clear();
        // After a burst the buffer does not stay as large as the burst was.
        self.staged.shrink_to(1 << 20);
        written
    }

    fn write_entries(&mut self) -> Result<Position, LogError> {
        if self.syncs.has_failed.swap(false, Ordering::Relaxed) {
            self.leave_current();
        }
        if self.current.as_ref().is_none_or(|current| current.place.bytes >= SEGMENT_BYTES) {
            self.leave_current();
            self.current = Some(self.begin_segment()?);
        }
        let current = self.current.as_mut().expect("it was begun above");
        let Place { path, bytes, .. } = &mut current.place;
        if let Err(err) = current.file.write_at(*bytes, &self.staged) {
            // A part may be there. Where even that cannot be cut off, the next segment begins at its position,
            // and a replay reads this one only up to there.
            let failed = LogError::doing("writing", path)(err);
            if current.file.set_len(*bytes).is_err() {
                self.leave_current();
            }
            return Err(failed);
        }
        *bytes += self.staged.len() as u64;
        self.end += self.staged.len() as u64;
        Ok(Position(self.end))
    }

    /// [`Log::stage`] and [`Log::commit`] of one datagram.
    pub fn append(&mut self, datagram: &[u8]) -> Result<Position, LogError> {
        self.stage(datagram);
        self.commit()
    }

    fn leave_current(&mut self) {
        let Some(Current { place, file }) = self.current.take() else { return };
        if place.bytes <= HEAD_BYTES as u64 {
            // Its name is the next one's.
            let _ = self.files.remove(&place.path);
            return;
        }
        self.unsynced.push((file, None));
        self.old.push(place);
    }

    fn begin_segment(&mut self) -> Result<Current, LogError> {
        let path = self.directory.join(segment::name(self.end));
        let head = Head { boot: self.files.boot_id(), sequence: self.sequence, first: self.end };
        let file = match self.files.create(&path) {
            // Nothing was ever committed from this position on: an attempt that failed has left it there.
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {
                self.files.remove(&path).and_then(|()| self.files.create(&path))
            }
            made => made,
        };
        let file = file.map_err(LogError::doing("making", &path))?;
        if let Err(err) = file.write_at(0, &head.to_bytes()) {
            let _ = self.files.remove(&path);
            return Err(LogError::doing("writing", &path)(err));
        }
        self.sequence += 1;
        self.is_name_unsynced = true;
        let place = Place { path, first: self.end, bytes: HEAD_BYTES as u64, taken: self.end };
        Ok(Current { place, file })
    }

    /// Makes all that is committed durable; returns its end.
    pub fn sync(&mut self, last: Mark) -> Result<Position, LogError> {
        self.begin_sync(last)?.finish()
    }

    /// The first half of [`Log::sync`], which does not wait for the disk: the second may be done by another
    /// thread, while this one goes on. What is staged is committed with it.
    pub fn begin_sync(&mut self, last: Mark) -> Result<Syncing, LogError> {
        self.commit()?;
        // A mark says that all before it is durable.
        if self.is_unmarked && self.doubt().is_none() {
            self.last = last;
            self.write_mark()?;
            self.is_unmarked = false;
        }
        self.begun += 1;
        let done = self.syncs.done.load(Ordering::Relaxed);
        self.unsynced.retain(|(_, with)| with.is_none_or(|with| with > done));
        for (_, with) in &mut self.unsynced {
            with.get_or_insert(self.begun);
        }
        let mut all: Vec<Arc<dyn File>> = self.unsynced.iter().map(|(file, _)| file.clone()).collect();
        all.extend(self.current.as_ref().map(|current| current.file.clone()));
        Ok(Syncing {
            number: self.begun,
            end: Position(self.end),
            taken: self.taken,
            files: self.files.clone(),
            unsynced: all,
            directory: self.directory.clone(),
            is_name_unsynced: std::mem::take(&mut self.is_name_unsynced),
            syncs: self.syncs.clone(),
        })
    }

    /// Writes a mark of what was taken last.
    fn write_mark(&mut self) -> Result<Position, LogError> {
        let mut payload = [0; segment::MARK_BYTES];
        payload[..8].copy_from_slice(&self.last.number.to_le_bytes());
        payload[8..].copy_from_slice(&self.last.time.ns().to_le_bytes());
        self.stage_entry(Kind::Sync, &payload);
        self.write_staged()
    }

    /// Up to where it is not known what the disk has, because a sync failed.
    pub fn doubt(&self) -> Option<Position> {
        Some(self.syncs.doubt.load(Ordering::Relaxed)).filter(|doubt| *doubt > 0).map(Position)
    }

    /// What is up to `doubt` is durable elsewhere: the next sync makes all of the log durable.
    pub fn is_elsewhere(&mut self, doubt: Position) {
        // Where another sync failed meanwhile there is more.
        let _ = self.syncs.doubt.compare_exchange(doubt.0, 0, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Removes the segments that have nothing behind `acknowledged`, but for the last one that is durable: after a power
    /// cut it tells that there was one, and what was durable then, also where all of it is acknowledged.
    pub fn cut(&mut self, acknowledged: Position) -> Result<(), LogError> {
        let durable = self.syncs.durable.load(Ordering::Relaxed);
        let is_over = |current: &Current| {
            current.place.bytes >= REST_BYTES
                && current.place.taken <= acknowledged.0
                && current.place.end() <= durable
        };
        if self.current.as_ref().is_some_and(is_over) && self.staged.is_empty() {
            // While nothing comes it need not stay: once it is durable, the next one tells as much with a mark alone.
            self.leave_current();
            self.write_mark()?;
        }
        while self.old.first().is_some_and(|oldest| oldest.taken <= acknowledged.0 && oldest.end() < durable)
        {
            self.remove_oldest()?;
        }
        Ok(())
    }

    /// The end of a process that was told to stop, and has all that is logged in files of its own: all of the log goes,
    /// durably, so that the next start is no start after a power cut, whenever it is.
    pub fn clear(mut self) -> Result<(), LogError> {
        self.leave_current();
        while !self.old.is_empty() {
            self.remove_oldest()?;
        }
        self.files.sync_dir(&self.directory).map_err(LogError::doing("syncing", &self.directory))
    }

    fn remove_oldest(&mut self) -> Result<(), LogError> {
        let oldest = self.old.remove(0);
        match self.files.remove(&oldest.path) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => {
                let failed = LogError::doing("removing", &oldest.path)(err);
                self.old.insert(0, oldest);
                Err(failed)
            }
            _ => Ok(()),
        }
    }

    /// Behind all that is committed.
    pub fn end(&self) -> Position {
        Position(self.end)
    }

    /// Bytes on the disk.
    pub fn bytes(&self) -> u64 {
        let current = self.current.iter().map(|current| &current.place);
        self.old.iter().chain(current).map(|place| place.bytes).sum()
    }
}

/// A sync that was begun.
#[must_use = "nothing is durable before it is finished"]
#[derive(Debug)]
pub struct Syncing {
    number: u64,
    end: Position,
    /// Behind the last datagram that it makes durable.
    taken: u64,
    files: SharedFiles,
    unsynced: Vec<Arc<dyn File>>,
    directory: PathBuf,
    is_name_unsynced: bool,
    syncs: Arc<Syncs>,
}

impl Syncing {
    /// Behind all that is durable once it is finished.
    pub fn end(&self) -> Position {
        self.end
    }

    /// Waits for the disk; returns the end of what is durable now. Syncs are finished in the order in which they
    /// were begun. After an error the log goes on in a new segment, because of the old one it is never again
    /// known what the disk has: until [`Log::is_elsewhere`] says that it does not matter any more, the end of what is
    /// durable stays where it was.
    pub fn finish(self) -> Result<Position, LogError> {
        let synced = self.unsynced.iter().try_for_each(|file| file.sync());
        let named = if self.is_name_unsynced { self.files.sync_dir(&self.directory) } else { Ok(()) };
        if let Err(err) = synced.and(named) {
            self.syncs.doubt.fetch_max(self.taken, Ordering::Relaxed);
            self.syncs.has_failed.store(true, Ordering::Relaxed);
            return Err(LogError::doing("syncing", &self.directory)(err));
        }
        self.syncs.done.fetch_max(self.number, Ordering::Relaxed);
        if self.syncs.doubt.load(Ordering::Relaxed) > 0 {
            return Ok(Position(self.syncs.durable.load(Ordering::Relaxed)));
        }
        self.syncs.durable.fetch_max(self.end.0, Ordering::Relaxed);
        Ok(self.end)
    }
}
