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

mod read;
mod write;

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::metric::State as Published;
use common::time::Time;
use common::{Ahead, Versions};
use sockets::planted;
use thiserror::Error;

use crate::timeline::Timeline;
use crate::uptime::Uptime;
use crate::windows::Windows;
pub(crate) use read::read;
pub(crate) use write::write;
use write::write_windows;

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

/// A time that no record has.
const NONE_YET: Time = Time::from_ns(0);

/// The name of the file, among the books, for a successor that finds no state.
pub const WINDOWS_FILE: &str = "timeline.windows";

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

/// Writes which windows were entered, under `path`, whole or not at all. It is in memory, as the books are.
pub(crate) fn save_windows(windows: &Windows, path: &Path, now: Time) -> io::Result<()> {
    let new = beside(path, "new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&new)?;
    let mut bytes = Vec::new();
    write_windows(windows, &mut bytes, now)?;
    file.write_all(&bytes)?;
    fs::rename(&new, path)
}

/// Goes on with the windows under `path`, where a predecessor that was killed has left them; false when it left none. What
/// was in its last two went with it: the newest one goes on without, the one before may have come out.
pub fn take_up_windows(timeline: &mut Timeline, path: &Path, now: Time) -> Result<bool, SnapshotError> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => BufReader::new(other?),
    };
    let mut before = Timeline::new(timeline.rules().clone());
    read(&mut before, &mut file, now, Duration::ZERO, None)?;
    timeline.windows = before.windows.without_other();
    Ok(true)
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

#[cfg(test)]
mod tests;
