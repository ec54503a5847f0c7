//! The files of an instance, read once.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context;
use common::books::Snapshot;
use sockets::ring::RingFile;

use crate::instance::{Instance, forbidden};

/// Datagrams that a kernel queue holds where the system does not say.
const DATAGRAMS_MAX: u64 = 512;

/// What the files said, as near to one moment as files allow.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reading {
    /// The books, by process.
    pub(crate) books: Vec<Snapshot>,
    /// The rings, with the process they belong to.
    pub(crate) rings: Vec<(String, RingFile)>,
    /// Files that could not be read, in sentences.
    pub(crate) problems: Vec<String>,
    /// Datagrams that the kernel queues for one reader.
    pub(crate) datagrams_max: u64,
}

/// Reads books, then rings: what was received is read before what was sent, so that nothing seems to be received
/// that was not sent.
pub(crate) fn read(instance: &Instance) -> anyhow::Result<Reading> {
    let mut reading = books(instance)?;
    for process in names(&instance.runtime_dir.rings_dir())? {
        // What a process has in hand, and files on their way to being one.
        if process.contains('.') {
            continue;
        }
        let path = instance.runtime_dir.ring(&process);
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

/// Reads the books alone. Exits 69 when there are none.
pub(crate) fn books(instance: &Instance) -> anyhow::Result<Reading> {
    let dir = instance.runtime_dir.books_dir();
    let mut reading = Reading { datagrams_max: datagrams_max(), ..Reading::default() };
    for process in names(&dir)? {
        // Books that are about to take the place of their predecessor's.
        if process.contains('.') {
            continue;
        }
        let path = instance.runtime_dir.books(&process);
        match Snapshot::read(&path) {
            Ok(books) => reading.books.push(books),
            // Made by another user's tmpfiles.d for a process that never ran.
            Err(_) if fs::metadata(&path).is_ok_and(|file| file.len() == 0) => {}
            Err(error) => reading.problems.push(format!("{:#}", anyhow::Error::new(error))),
        }
    }
    if reading.books.is_empty() {
        return Err(match reading.problems.pop() {
            Some(problem) => anyhow::Error::msg(problem).context("there are no books that can be read"),
            None => instance.absent("there are no books: no process ever ran here"),
        });
    }
    Ok(reading)
}

/// The files of a directory, sorted; none where it is not there.
fn names(dir: &Path) -> anyhow::Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(forbidden(format_args!("reading {}: {error}", dir.display())));
        }
        entries => entries.with_context(|| format!("reading {}", dir.display()))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("reading {}", dir.display()))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn datagrams_max() -> u64 {
    let text = fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen").unwrap_or_default();
    // The kernel takes one more than it says.
    text.trim().parse::<u64>().unwrap_or(DATAGRAMS_MAX) + 1
}
