//! A directory on a disk, what lies there, and what of it the kernel still has in memory.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use tempfile::TempDir;

use crate::child::read_proc;

/// Where files outlive a restart of the machine, by the file system's standard: no tmpfs, and a short path.
const PLACE: &str = "/var/tmp";

/// A directory of one round, removed at its end.
#[derive(Debug)]
pub(crate) struct Disk(TempDir);

impl Disk {
    pub(crate) fn new() -> anyhow::Result<Disk> {
        let mut name = tempfile::Builder::new();
        name.prefix("leela-bench-");
        Ok(Disk(name.tempdir_in(PLACE).or_else(|_| name.tempdir()).context("making a directory")?))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn dir(&self) -> &TempDir {
        &self.0
    }
}

/// Every file in a directory and below.
pub(crate) fn files(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let (mut files, mut dirs) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
            let entry = entry?;
            // What goes while it is looked for is not there.
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                dirs.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    Ok(files)
}

/// What the file system has given to the files of a directory, or their lengths where those are more: neither a hole
/// nor what is yet to be written makes it less.
pub(crate) fn bytes_of(dir: &Path) -> anyhow::Result<u64> {
    let sizes = files(dir)?.into_iter().filter_map(|file| fs::metadata(file).ok());
    Ok(sizes.map(|file| (file.blocks() * 512).max(file.len())).sum())
}

/// Drops what the kernel keeps of a directory's files in memory. Only of those: dropping the caches of the whole machine
/// would take away the program as well, and the time to read that again is not the store's.
pub(crate) fn drop_caches(dir: &Path) -> anyhow::Result<()> {
    for path in files(dir)? {
        let Ok(file) = File::open(&path) else { continue };
        file.sync_all().with_context(|| path.display().to_string())?;
        posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)
            .with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// A line of /proc/PID/status that is in kB, in MiB.
pub(crate) fn status_mib(pid: u32, word: &str) -> anyhow::Result<f64> {
    let text = read_proc(&format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(':'));
    let kib = line.with_context(|| format!("there is no {word}"))?.trim().trim_end_matches(" kB");
    Ok(kib.parse::<f64>().with_context(|| format!("{word} is a number of kB"))? / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_below_and_counted_as_the_disk_does() {
        let disk = Disk::new().unwrap();
        fs::create_dir(disk.path().join("a")).unwrap();
        fs::write(disk.path().join("a/b"), vec![7; 5000]).unwrap();
        fs::write(disk.path().join("c"), b"x").unwrap();
        let sparse = File::create(disk.path().join("sparse")).unwrap();
        sparse.set_len(1 << 20).unwrap();
        drop_caches(disk.path()).unwrap();
        let bytes = bytes_of(disk.path()).unwrap();
        assert!((5001 + (1 << 20)..(1 << 20) + 64 * 1024).contains(&bytes), "{bytes}");
        assert!(status_mib(std::process::id(), "VmRSS").unwrap() > 0.5);
        assert!(status_mib(std::process::id(), "VmNothing").is_err());
    }
}
