//! Files that are read from front to end: a window of them is read at once.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::lock;
use crate::files::{File, Files, SharedFiles};

/// Bytes of a window.
const WINDOW: u64 = 128 << 10;

/// Files whose reads go through windows; all else goes to the files behind.
#[derive(Debug)]
pub(super) struct Ahead(pub(super) SharedFiles);

#[derive(Debug)]
struct AheadFile {
    file: Arc<dyn File>,
    /// The last two windows, each with its place: what tells of blocks lies behind them, often in the next one.
    windows: Mutex<[(Option<u64>, Vec<u8>); 2]>,
}

impl AheadFile {
    /// Copies from the window of a place, which is read when it is none of the two; how much of it there was.
    fn copy(&self, place: u64, offset: usize, bytes: &mut [u8]) -> io::Result<usize> {
        let mut windows = lock(&self.windows);
        if windows[0].0 != Some(place) {
            windows.swap(0, 1);
        }
        if windows[0].0 != Some(place) {
            let (of, window) = &mut windows[0];
            *of = None;
            window.resize(WINDOW as usize, 0);
            let filled = self.file.read_at(place * WINDOW, window)?;
            window.truncate(filled);
            *of = Some(place);
        }
        let there = windows[0].1.get(offset..).unwrap_or_default();
        let count = there.len().min(bytes.len());
        bytes[..count].copy_from_slice(&there[..count]);
        Ok(count)
    }
}

impl File for AheadFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < bytes.len() {
            let at = offset + filled as u64;
            let within = (at % WINDOW) as usize;
            let end = bytes.len().min(filled + WINDOW as usize - within);
            let count = self.copy(at / WINDOW, within, &mut bytes[filled..end])?;
            if count == 0 {
                break;
            }
            filled += count;
        }
        Ok(filled)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

impl Files for Ahead {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.0.create(path)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(AheadFile { file: self.0.open(path)?, windows: Mutex::default() }))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        self.0.list(directory)
    }

    fn make_dir(&self, directory: &Path) -> io::Result<()> {
        self.0.make_dir(directory)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }

    fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        self.0.sync_dir(directory)
    }

    fn free_bytes(&self, directory: &Path) -> io::Result<u64> {
        self.0.free_bytes(directory)
    }

    fn boot_id(&self) -> [u8; 16] {
        self.0.boot_id()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Disk;

    #[test]
    fn what_is_read_is_what_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let want: Vec<u8> = (0..3 * WINDOW + 77).map(|place| (place * 31 % 251) as u8).collect();
        std::fs::write(&path, &want).unwrap();
        let file = Ahead(Disk::shared()).open(&path).unwrap();
        let window = WINDOW as usize;
        for (offset, length) in [
            (0, 10),
            (window - 5, 10),
            (5, 2 * window),
            (3 * window, 77),
            (3 * window, 500),
            (9 * window, 5),
            (0, 0),
        ] {
            let mut bytes = vec![0; length];
            let filled = file.read_at(offset as u64, &mut bytes).unwrap();
            let want = want.get(offset..).unwrap_or_default();
            assert_eq!(bytes[..filled], want[..length.min(want.len())], "{offset} {length}");
        }
    }
}
