//! The disk: the test files of the store, whose every call may be the last of the process.

use std::io;
use std::path::Path;
use std::sync::Arc;

use leela_storage::files::{File, Files, SharedFiles};
use leela_storage::testing::TestFiles;

use crate::network::Fuse;

#[derive(Clone, Debug)]
pub(crate) struct Disk {
    pub(crate) files: TestFiles,
    pub(crate) fuse: Fuse,
}

impl Disk {
    pub(crate) fn shared(&self) -> SharedFiles {
        Arc::new(self.clone())
    }

    fn file(&self, path: &Path, file: Arc<dyn File>) -> Arc<dyn File> {
        // The library of the index takes a lock in its destructors, which it must not find poisoned.
        let kills = !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("index"));
        Arc::new(Open { file, fuse: self.fuse.clone(), kills })
    }
}

impl Files for Disk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.fuse.call();
        self.files.create(path).map(|file| self.file(path, file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.fuse.call();
        self.files.open(path).map(|file| self.file(path, file))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        self.fuse.call();
        self.files.list(directory)
    }

    fn make_dir(&self, directory: &Path) -> io::Result<()> {
        self.fuse.call();
        self.files.make_dir(directory)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.fuse.call() { self.files.rename(from, to) } else { Ok(()) }
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.fuse.call() { self.files.link(from, to) } else { Ok(()) }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if self.fuse.call() { self.files.remove(path) } else { Ok(()) }
    }

    fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        if self.fuse.call() { self.files.sync_dir(directory) } else { Ok(()) }
    }

    fn free_bytes(&self, directory: &Path) -> io::Result<u64> {
        self.files.free_bytes(directory)
    }

    fn boot_id(&self) -> [u8; 16] {
        self.files.boot_id()
    }
}

#[derive(Debug)]
struct Open {
    file: Arc<dyn File>,
    fuse: Fuse,
    /// The process may be killed in its calls.
    kills: bool,
}

impl Open {
    /// A call. False where the process is no more.
    fn call(&self) -> bool {
        if self.kills { self.fuse.call() } else { self.fuse.is_alive() }
    }
}

impl File for Open {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if self.call() { self.file.write_at(offset, bytes) } else { Ok(()) }
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, bytes)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        if self.call() { self.file.set_len(bytes) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        if self.call() { self.file.sync() } else { Ok(()) }
    }
}
