//! The files of an instance, read once.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use common::books::Snapshot;
use common::runtime_dir::RuntimeDir;
use sockets::ring::RingFile;
use thiserror::Error;

/// Datagrams that a kernel queue holds where the system does not say.
const DATAGRAMS_MAX: u64 = 512;

/// Why an instance cannot be read.
#[derive(Debug, Error)]
pub enum ReadingError {
    /// A directory cannot be listed.
    #[error("reading {path}")]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No process ever ran here.
    #[error("there are no books: no process ever ran here")]
    Nobody,
    /// There are books, and none that can be read.
    #[error("there are no books that can be read: {0}")]
    Unreadable(String),
}

/// What the files said, as near to one moment as files allow.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The books, by process.
    pub books: Vec<Snapshot>,
    /// The rings, with the process they belong to.
    pub rings: Vec<(String, RingFile)>,
    /// Files that could not be read, in sentences.
    pub problems: Vec<String>,
    /// Datagrams that the kernel queues for one reader.
    pub(super) datagrams_max: u64,
}

impl Reading {
    /// Reads books, then rings: what was received is read before what was sent, so that nothing seems to be received
    /// that was not sent.
    pub fn of(run: &RuntimeDir) -> Result<Reading, ReadingError> {
        let mut reading = Reading::of_books(run)?;
        for process in names(&run.rings_dir())? {
            // What a process has in hand, and files on their way to being one.
            if process.contains('.') {
                continue;
            }
            let path = run.ring(&process);
            match RingFile::read(&path) {
                Ok(Some(ring)) => reading.rings.push((process, ring)),
                Ok(None) => {
                    reading.problems.push(format!("{} is no ring that this version reads", path.display()));
                }
                Err(error) => reading.problems.push(format!("{}: {error}", path.display())),
            }
        }
        Ok(reading)
    }

    /// Reads the books alone.
    pub fn of_books(run: &RuntimeDir) -> Result<Reading, ReadingError> {
        let mut reading = Reading { datagrams_max: datagrams_max(), ..Reading::default() };
        for process in names(&run.books_dir())? {
            // Books that are about to take the place of their predecessor's.
            if process.contains('.') {
                continue;
            }
            match Snapshot::read(&run.books(&process)) {
                Ok(books) => reading.books.push(books),
                // Made by another user's tmpfiles.d for a process that never ran.
                Err(_) if fs::metadata(run.books(&process)).is_ok_and(|file| file.len() == 0) => {}
                Err(error) => reading.problems.push(chain(&error)),
            }
        }
        match (reading.books.is_empty(), reading.problems.pop()) {
            (false, problem) => {
                reading.problems.extend(problem);
                Ok(reading)
            }
            (true, Some(problem)) => Err(ReadingError::Unreadable(problem)),
            (true, None) => Err(ReadingError::Nobody),
        }
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// The files of a directory, sorted; none where it is not there.
fn names(dir: &Path) -> Result<Vec<String>, ReadingError> {
    let io = |source| ReadingError::Io { path: dir.to_owned(), source };
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(io)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(io)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn datagrams_max() -> u64 {
    let text = fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen").unwrap_or_default();
    // The kernel takes one more than it says.
    text.trim().parse::<u64>().unwrap_or(DATAGRAMS_MAX) + 1
}
