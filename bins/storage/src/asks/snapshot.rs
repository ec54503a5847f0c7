//! A copy of all there is, while it runs: the store's files and the log behind them, laid out as a state directory.

use std::fs::{self, DirBuilder};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::AcqRel;

use common::ask::report::Snapshot;

use super::{Desk, Request};

/// The log is not cut while this lives: what the copied files do not have yet is to be copied from it.
struct Held<'a>(&'a Desk);

impl<'a> Held<'a> {
    fn new(desk: &'a Desk) -> Held<'a> {
        desk.log_holders.fetch_add(1, AcqRel);
        Held(desk)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.log_holders.fetch_sub(1, AcqRel);
    }
}

/// Makes it in `directory`, which is not there or is empty.
pub(super) fn take(desk: &Desk, directory: &str) -> Result<Snapshot, String> {
    let directory = Path::new(directory);
    if !directory.is_absolute() {
        return Err(format!("{} is no absolute path", directory.display()));
    }
    let at = |path: &Path| {
        let path = path.display().to_string();
        move |error: io::Error| format!("{path}: {error}")
    };
    DirBuilder::new().recursive(true).mode(0o750).create(directory).map_err(at(directory))?;
    if fs::read_dir(directory).map_err(at(directory))?.next().is_some() {
        return Err(format!(
            "{} is not empty; a snapshot takes a directory that is, or is not there",
            directory.display()
        ));
    }
    let _held = Held::new(desk);
    // Whoever cuts the log looks between requests: from the answer on it is held.
    let stopping = || "leela-storage is stopping".to_owned();
    desk.request(|reply| Request::Segments { reply }).ok_or_else(stopping)?;
    desk.store
        .snapshot(&directory.join("store"))
        .map_err(|error| format!("{:#}", anyhow::Error::new(error)))?;
    let segments = desk.request(|reply| Request::Segments { reply }).ok_or_else(stopping)?;
    let log = directory.join("log");
    DirBuilder::new().mode(0o750).create(&log).map_err(at(&log))?;
    for (segment, bytes) in segments {
        let to = log.join(segment.file_name().unwrap_or_default());
        copy(&segment, &to, bytes).map_err(at(&to))?;
    }
    for made in [log, directory.to_owned()] {
        fs::File::open(&made).and_then(|made| made.sync_all()).map_err(at(&made))?;
    }
    let (files, bytes) = measure(directory).map_err(at(directory))?;
    Ok(Snapshot { directory: directory.display().to_string(), files, bytes })
}

/// Copies so much of a file that goes on growing.
fn copy(from: &Path, to: &Path, bytes: u64) -> io::Result<()> {
    let mut copy = fs::OpenOptions::new().write(true).create_new(true).open(to)?;
    io::copy(&mut fs::File::open(from)?.take(bytes), &mut copy)?;
    copy.flush()?;
    copy.sync_all()
}

/// The files below a directory, and their bytes.
fn measure(directory: &Path) -> io::Result<(u64, u64)> {
    let (mut files, mut bytes) = (0, 0);
    let mut left: Vec<PathBuf> = vec![directory.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let is = entry.metadata()?;
            if is.is_dir() {
                left.push(entry.path());
            } else {
                files += 1;
                bytes += is.len();
            }
        }
    }
    Ok((files, bytes))
}
