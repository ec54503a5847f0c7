//! Where an instance of an ordinary user lives: `./.leela/{run,state,store,etc}`, and who runs it.
//!
//! `run` is a link to a directory on a tmpfs, so that rings and books never touch the disk.

use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::Context;
use common::exit::Exit;
use common::runtime_dir::RuntimeDir;
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::unistd::{Uid, mkdtemp};

use super::say::Say;

const HOME: &str = ".leela";
/// In a run directory on a tmpfs: the `.leela` it belongs to.
const BELONGS_TO: &str = "home";
/// Rings take up to 64 MiB each; a tmpfs with less is used only where there is no other.
const FREE_BYTES: u64 = 256 * 1024 * 1024;

/// The directories of an instance, locked.
#[derive(Debug)]
pub(super) struct Place {
    /// `./.leela`, as an absolute path.
    pub(super) home: PathBuf,
    /// Where the processes meet.
    pub(super) run: RuntimeDir,
    _locks: [File; 2],
}

impl Place {
    /// Makes what is missing and takes the locks. `given` is the runtime directory that somebody chose instead
    /// of `./.leela/run`. When another `leela up` runs here, the error says its pid and exits 75.
    pub(super) fn take(given: Option<&Path>, say: Say) -> anyhow::Result<Place> {
        let home = env::current_dir().context("finding the working directory")?.join(HOME);
        for dir in [home.clone(), home.join("state"), home.join("store")] {
            make(&dir)?;
        }
        let home_lock = lock(&home.join("lock"))?;
        let run = match given {
            Some(dir) => {
                DirBuilder::new()
                    .recursive(true)
                    .mode(0o750)
                    .create(dir)
                    .or_else(|error| told(error, dir))?;
                dir.to_owned()
            }
            None => {
                let tmpfs = tmpfs();
                let run = run_on(&home, &tmpfs, say)?;
                sweep(&tmpfs, &run, say);
                run
            }
        };
        let run = RuntimeDir::at(&run)?;
        run.prepare()?;
        let run_lock = lock(&run.lock())?;
        Ok(Place { home, run, _locks: [home_lock, run_lock] })
    }

    /// Where a process keeps its state.
    pub(super) fn state(&self, name: &str) -> PathBuf {
        match name {
            // Its state is all the data there is.
            "storage" => self.home.join("store"),
            _ => self.home.join("state").join(name),
        }
    }
}

fn make(dir: &Path) -> anyhow::Result<()> {
    match DirBuilder::new().mode(0o750).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.or_else(|error| told(error, dir)),
    }
}

fn told(error: io::Error, dir: &Path) -> anyhow::Result<()> {
    Err(error).with_context(|| format!("making {}", dir.display()))
}

/// Takes a lock and writes this process's id into it; it is held until the file is closed.
fn lock(path: &Path) -> anyhow::Result<File> {
    let context = || format!("locking {}", path.display());
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .with_context(context)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            file.read_to_string(&mut pid).with_context(context)?;
            let pid = pid.trim();
            return Err(Exit::TempFail.error(format_args!(
                "another leela up runs here, pid {pid} ({}): `leela status` shows it, `kill {pid}` ends it",
                path.display()
            )));
        }
        Err(TryLockError::Error(error)) => return Err(error).with_context(context),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .with_context(context)?;
    Ok(file)
}

/// Directories on a tmpfs, the best first: those with room, the user's own before the shared one.
fn tmpfs() -> Vec<PathBuf> {
    let own = env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let mut found: Vec<(u64, PathBuf)> = own
        .into_iter()
        .chain([PathBuf::from("/dev/shm")])
        .filter(|dir| dir.is_absolute())
        .filter_map(|dir| {
            let about = statfs(&dir).ok()?;
            let free = about.blocks_available() * u64::try_from(about.block_size()).ok()?;
            (about.filesystem_type() == TMPFS_MAGIC).then_some((free.min(FREE_BYTES), dir))
        })
        .collect();
    found.sort_by_key(|(free, _)| std::cmp::Reverse(*free));
    found.into_iter().map(|(_, dir)| dir).collect()
}

/// The directory behind `home/run`: the one it links to, else a new one on a tmpfs.
fn run_on(home: &Path, tmpfs: &[PathBuf], say: Say) -> anyhow::Result<PathBuf> {
    let link = home.join("run");
    match fs::metadata(&link) {
        Ok(about) if !about.is_dir() => {
            return Err(Exit::Config.error(format_args!("{} is no directory: move it away", link.display())));
        }
        Ok(about) if about.uid() != Uid::effective().as_raw() => {
            return Err(Exit::NoPerm.error(format_args!(
                "{} belongs to user {}: run leela up as that user, or in another directory",
                link.display(),
                about.uid()
            )));
        }
        Ok(_) => {
            let run = fs::canonicalize(&link).with_context(|| format!("resolving {}", link.display()))?;
            belongs(&run, home, tmpfs)?;
            return Ok(run);
        }
        // Never made, or a link whose end went with the last boot.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("looking at {}", link.display())),
    }
    let made = tmpfs.iter().find_map(|dir| mkdtemp(&dir.join("leela-XXXXXX")).ok());
    let Some(run) = made else {
        say.warn(&format!("no tmpfs to write to: rings and books are on the disk, in {}", link.display()));
        make(&link)?;
        return Ok(link);
    };
    fs::set_permissions(&run, Permissions::from_mode(0o750))
        .with_context(|| format!("making {}", run.display()))?;
    match fs::remove_file(&link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("replacing {}", link.display()));
        }
        _ => {}
    }
    symlink(&run, &link).with_context(|| format!("linking {}", link.display()))?;
    belongs(&run, home, tmpfs)?;
    Ok(run)
}

/// Notes whose run directory this is, so that it can go when its `.leela` has gone.
fn belongs(run: &Path, home: &Path, tmpfs: &[PathBuf]) -> anyhow::Result<()> {
    if tmpfs.iter().any(|dir| run.starts_with(dir)) {
        let file = run.join(BELONGS_TO);
        fs::write(&file, home.as_os_str().as_encoded_bytes())
            .with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}

/// Removes this user's run directories whose `.leela` is gone or has another one: a tmpfs is memory.
fn sweep(tmpfs: &[PathBuf], own: &Path, say: Say) {
    for entry in tmpfs.iter().filter_map(|dir| fs::read_dir(dir).ok()).flatten().flatten() {
        let run = entry.path();
        if run != own && entry.file_name().as_encoded_bytes().starts_with(b"leela-") && abandoned(&run) {
            match fs::remove_dir_all(&run) {
                Ok(()) => say.line(&format!("removed {}, whose .leela is gone", run.display())),
                Err(error) => say.warn(&format!("removing {}: {error}", run.display())),
            }
        }
    }
}

fn abandoned(run: &Path) -> bool {
    let own = fs::symlink_metadata(run)
        .is_ok_and(|about| about.is_dir() && about.uid() == Uid::effective().as_raw());
    let Ok(home) = fs::read(run.join(BELONGS_TO)) else { return false };
    let home = PathBuf::from(<std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(home));
    // An error other than "not there" (a disk that is not mounted for now) is no proof.
    let gone = match fs::canonicalize(home.join("run")) {
        Ok(now) => now != run,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    let free = || File::open(run.join("lock")).is_ok_and(|file| file.try_lock().is_ok());
    own && gone && free()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_one_is_told_the_first_ones_pid() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        fs::write(&path, "a longer text of a former holder\n").unwrap();
        let first = lock(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        let error = lock(&path).unwrap_err();
        assert_eq!(Exit::of(&error), Exit::TempFail);
        let want = format!("another leela up runs here, pid {} (", std::process::id());
        assert!(error.to_string().starts_with(&want), "{error}");
        drop(first);
        lock(&path).unwrap();
    }

    #[test]
    fn run_is_a_link_to_a_tmpfs_that_is_kept_and_made_anew_when_it_went() {
        let dir = tempfile::tempdir().unwrap();
        let dir = fs::canonicalize(dir.path()).unwrap();
        let (home, tmpfs) = (dir.join(HOME), [dir.join("nonexistent"), dir.join("tmpfs")]);
        for dir in [&home, &tmpfs[1]] {
            fs::create_dir(dir).unwrap();
        }
        let first = run_on(&home, &tmpfs, Say::new()).unwrap();
        assert!(first.starts_with(&tmpfs[1]));
        assert_eq!(fs::read_link(home.join("run")).unwrap(), first);
        assert_eq!(fs::metadata(&first).unwrap().permissions().mode() & 0o777, 0o750);
        assert_eq!(run_on(&home, &tmpfs, Say::new()).unwrap(), first);
        fs::remove_dir_all(&first).unwrap();
        let second = run_on(&home, &tmpfs, Say::new()).unwrap();
        assert_ne!(second, first);
        assert_eq!(fs::read_link(home.join("run")).unwrap(), second);
    }

    #[test]
    fn without_a_tmpfs_run_is_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let run = run_on(dir.path(), &[], Say::new()).unwrap();
        assert!(fs::symlink_metadata(&run).unwrap().is_dir());
        assert_eq!(run, dir.path().join("run"));
    }

    #[test]
    fn only_abandoned_run_directories_go() {
        let dir = tempfile::tempdir().unwrap();
        let dir = fs::canonicalize(dir.path()).unwrap();
        let tmpfs = [dir.join("tmpfs")];
        fs::create_dir(&tmpfs[0]).unwrap();
        let make = |name: &str| {
            let home = dir.join(name);
            fs::create_dir(&home).unwrap();
            let run = run_on(&home, &tmpfs, Say::new()).unwrap();
            fs::write(run.join("lock"), "").unwrap();
            (home, run)
        };
        let (own, living, gone, running) = (make("own"), make("living"), make("gone"), make("running"));
        let _held = lock(&running.1.join("lock")).unwrap();
        fs::create_dir(tmpfs[0].join("leela-foreign")).unwrap();
        for (home, _) in [&gone, &running] {
            fs::remove_dir_all(home).unwrap();
        }
        sweep(&tmpfs, &own.1, Say::new());
        for (label, path, want) in [
            ("own", &own.1, true),
            ("living", &living.1, true),
            ("gone", &gone.1, false),
            ("running", &running.1, true),
            ("foreign", &tmpfs[0].join("leela-foreign"), true),
        ] {
            assert_eq!(path.exists(), want, "{label}");
        }
    }
}
