//! Where new series come from, in a file beside the books: the timeline writes it, anybody of the group reads it, also
//! while the timeline is too busy to be asked.
//!
//! ```text
//! books/timeline.growth, in 64-bit words of the host's byte order
//! ┌──────────────────────────────┬──────────────────────────────────────────────────────────────────────┐
//! │ header, 8 words              │ banks (turn, bank 0, bank 1), each bank of                           │
//! │ magic "LeelaGro", version 1, │ time_ns, window_ns, entered, turned_away, names, tags, 64 rows of    │
//! │ pid, 5 of zeros              │ names, 32 rows of tags; as many are used as `names` and `tags` say   │
//! └──────────────────────────────┴──────────────────────────────────────────────────────────────────────┘
//! a row: at least, at most, values, length of the text (low byte), the text in 16 words
//! ```
//! All counts are of the last `window_ns` before `time_ns`, 10 to 20 s once the timeline has run so long. `entered` are
//! series that were opened, `turned_away` records of series that no limit let in. A row of names is a name, or the front
//! of names up to a dot, with how many of both were of it. A row of tags is a tag's key, with about how many different
//! values it had among them. Rows stand in the order of their `at least`, the largest first.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use mapped::{Mapping, banks};
use thiserror::Error;

use crate::heavy::TEXT_BYTES_MAX;
use crate::time::Time;

/// The name of the file, among the books.
pub const FILE: &str = "timeline.growth";

/// Names that the file has room for.
pub const NAMES_MAX: usize = 64;
/// Tags' keys that the file has room for.
pub const TAGS_MAX: usize = 32;

const MAGIC: u64 = u64::from_le_bytes(*b"LeelaGro");
const VERSION: u64 = 1;
const HEADER_WORDS: usize = 8;
const FACTS: usize = 6;
const TEXT_WORDS: usize = TEXT_BYTES_MAX / 8;
const ROW_WORDS: usize = 4 + TEXT_WORDS;
const BANK_WORDS: usize = FACTS + (NAMES_MAX + TAGS_MAX) * ROW_WORDS;

/// Where new series come from.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Growth {
    /// When it was written.
    pub time: Time,
    /// The time before it in which all was counted.
    pub window: Duration,
    /// Series that were opened.
    pub entered: u64,
    /// Records of series that no limit let in.
    pub turned_away: u64,
    /// Names and fronts of names, largest first.
    pub names: Vec<Row>,
    /// Keys of tags, largest first.
    pub tags: Vec<Row>,
}

/// A name, the front of names, or the key of a tag.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Row {
    /// Its text; the front of names ends with its dot.
    pub text: String,
    /// New series of it, at least.
    pub at_least: u64,
    /// New series of it, at most.
    pub at_most: u64,
    /// Of a tag's key, about how many values it had.
    pub values: u64,
}

/// Why there is no such file.
#[derive(Debug, Error)]
pub enum GrowthError {
    /// The system says.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Another version's, or no such file at all.
    #[error("it is no record of growth that this version reads: {0}")]
    Form(&'static str),
}

impl Growth {
    /// Reads the file, without asking the timeline.
    pub fn read(path: &Path) -> Result<Growth, GrowthError> {
        let file = File::open(path)?;
        let mut header = [0; HEADER_WORDS * 8];
        file.read_exact_at(&mut header, 0).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => GrowthError::Form("it is too short"),
            _ => error.into(),
        })?;
        let words: Vec<u64> =
            header.as_chunks::<8>().0.iter().map(|word| u64::from_ne_bytes(*word)).collect();
        if words[0] != MAGIC {
            return Err(GrowthError::Form("it does not begin like one"));
        }
        if words[1] != VERSION {
            return Err(GrowthError::Form("it is of another version"));
        }
        if file.metadata()?.len() != ((HEADER_WORDS + banks::words(BANK_WORDS)) * 8) as u64 {
            return Err(GrowthError::Form("its length is not that of its version"));
        }
        let bank = banks::read_file(&file, (HEADER_WORDS * 8) as u64, BANK_WORDS)?;
        Ok(Growth::of(&bank))
    }

    fn of(bank: &[u64]) -> Growth {
        let (facts, rows) = bank.split_at(FACTS);
        let (names, tags) = rows.split_at(NAMES_MAX * ROW_WORDS);
        let take = |rows: &[u64], used: u64| {
            let used = usize::try_from(used).unwrap_or(usize::MAX);
            rows.chunks_exact(ROW_WORDS).take(used).map(Row::of).collect()
        };
        Growth {
            time: Time::from_ns(facts[0] as i64),
            window: Duration::from_nanos(facts[1]),
            entered: facts[2],
            turned_away: facts[3],
            names: take(names, facts[4]),
            tags: take(tags, facts[5]),
        }
    }

    /// New series, with those that were not let in.
    pub fn total(&self) -> u64 {
        self.entered.saturating_add(self.turned_away)
    }

    /// A count of this window as it would be in a minute.
    pub fn a_minute(&self, count: u64) -> f64 {
        let window = self.window.as_secs_f64();
        if window > 0.0 { count as f64 * 60.0 / window } else { 0.0 }
    }

    /// The longest name, or front of names, that half of the new series have at least.
    pub fn culprit(&self) -> Option<&Row> {
        let half = self.total().div_ceil(2).max(1);
        self.names.iter().filter(|row| row.at_least >= half).max_by_key(|row| row.text.len())
    }

    /// The tag's key whose values make new series: it has at least half as many values as there are new series.
    pub fn culprit_tag(&self) -> Option<&Row> {
        let half = self.total().div_ceil(2).max(1);
        self.tags.iter().filter(|row| row.values >= half).max_by_key(|row| row.values)
    }
}

impl Row {
    fn of(words: &[u64]) -> Row {
        let (facts, text) = words.split_at(4);
        let mut bytes = [0; TEXT_BYTES_MAX];
        for (bytes, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(text) {
            *bytes = word.to_ne_bytes();
        }
        let length = usize::from(facts[3] as u8).min(TEXT_BYTES_MAX);
        // A long one was cut, perhaps within a letter.
        let text = String::from_utf8_lossy(&bytes[..length]).trim_end_matches('\u{fffd}').to_owned();
        Row { text, at_least: facts[0], at_most: facts[1], values: facts[2] }
    }

    fn write(&self, words: &mut [u64]) {
        let length = self.text.len().min(TEXT_BYTES_MAX);
        words[..4].copy_from_slice(&[self.at_least, self.at_most, self.values, length as u64]);
        let mut text = [0; TEXT_BYTES_MAX];
        text[..length].copy_from_slice(&self.text.as_bytes()[..length]);
        for (word, bytes) in words[4..].iter_mut().zip(text.as_chunks::<8>().0) {
            *word = u64::from_ne_bytes(*bytes);
        }
    }
}

/// The file, as its one writer has it.
#[derive(Debug)]
pub struct GrowthFile {
    mapping: Mapping,
    bank: Vec<u64>,
}

impl GrowthFile {
    /// Makes the file, or goes on with that of a predecessor. One of another version is replaced.
    pub fn open(path: &Path) -> io::Result<GrowthFile> {
        let words = HEADER_WORDS + banks::words(BANK_WORDS);
        let mapping = match Mapping::open(path, words, 0) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                fs::remove_file(path)?;
                Mapping::open(path, words, 0)?
            }
            other => other?,
        };
        for (at, value) in [(1, VERSION), (2, u64::from(std::process::id())), (0, MAGIC)] {
            mapping.words()[at].store(value, Relaxed);
        }
        Ok(GrowthFile { mapping, bank: vec![0; BANK_WORDS] })
    }

    /// Writes what holds now.
    pub fn write(&mut self, growth: &Growth) {
        let Growth { time, window, entered, turned_away, names, tags } = growth;
        self.bank.fill(0);
        let (facts, rows) = self.bank.split_at_mut(FACTS);
        let (name_rows, tag_rows) = rows.split_at_mut(NAMES_MAX * ROW_WORDS);
        for (rows, words) in [(names, name_rows), (tags, tag_rows)] {
            for (row, words) in rows.iter().zip(words.chunks_exact_mut(ROW_WORDS)) {
                row.write(words);
            }
        }
        facts.copy_from_slice(&[
            time.ns() as u64,
            u64::try_from(window.as_nanos()).unwrap_or(u64::MAX),
            *entered,
            *turned_away,
            names.len().min(NAMES_MAX) as u64,
            tags.len().min(TAGS_MAX) as u64,
        ]);
        banks::commit(&self.mapping.words()[HEADER_WORDS..], &self.bank);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str, at_least: u64, values: u64) -> Row {
        Row { text: text.to_owned(), at_least, at_most: at_least + 1, values }
    }

    fn growth() -> Growth {
        Growth {
            time: Time::from_secs(1000),
            window: Duration::from_secs(15),
            entered: 80,
            turned_away: 20,
            names: vec![row("web.", 99, 0), row("web.hits", 90, 0), row("größe", 1, 0)],
            tags: vec![row("dc", 99, 2), row("id", 90, 91)],
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("timeline.growth");
        assert!(matches!(Growth::read(&path), Err(GrowthError::Io(_))));
        let mut file = GrowthFile::open(&path).unwrap();
        assert_eq!(Growth::read(&path).unwrap(), Growth::default());
        file.write(&growth());
        assert_eq!(Growth::read(&path).unwrap(), growth());
        let full = Growth { names: vec![row("x", 1, 0); 2 * NAMES_MAX], ..growth() };
        file.write(&full);
        let read = Growth::read(&path).unwrap();
        assert_eq!((read.names.len(), read.tags), (NAMES_MAX, growth().tags));
        drop(file);
        // A successor goes on, one of another version begins anew.
        drop(GrowthFile::open(&path).unwrap());
        assert_eq!(Growth::read(&path).unwrap().names.len(), NAMES_MAX);
        fs::write(&path, b"of another version, and of another length").unwrap();
        assert!(matches!(Growth::read(&path), Err(GrowthError::Form(_))));
        drop(GrowthFile::open(&path).unwrap());
        assert_eq!(Growth::read(&path).unwrap(), Growth::default());
    }

    #[test]
    fn the_culprit_is_the_longest_name_that_explains_half() {
        let growth = growth();
        assert_eq!(growth.culprit().map(|row| row.text.as_str()), Some("web.hits"));
        assert_eq!(growth.culprit_tag().map(|row| row.text.as_str()), Some("id"));
        assert_eq!(growth.a_minute(15), 60.0);
        let calm = Growth { entered: 1000, ..growth };
        assert_eq!((calm.culprit(), calm.culprit_tag()), (None, None));
        assert_eq!((Growth::default().culprit(), Growth::default().a_minute(9)), (None, 0.0));
    }
}
