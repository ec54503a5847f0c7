//! A file mapped into memory: words that are stored atomically, then a body of bytes.
//!
//! Source of the measured gain: a datagram with its counters is committed by stores into the page cache;
//! the same through `pwrite` costs two system calls a datagram.

#![allow(unsafe_code)]

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::AtomicU64;

use memmap2::{MmapMut, MmapOptions};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

const WORD_BYTES: usize = size_of::<u64>();

/// A file of `words` 64-bit words and a body of bytes, mapped by its only writer. Pages are touched on demand;
/// what is stored outlives the process (not the machine).
#[derive(Debug)]
pub struct Mapping {
    map: MmapMut,
    words: usize,
    /// Holds the lock: a second writer gets an error instead of the same memory.
    locked: File,
}

impl Mapping {
    /// Opens `path`, or creates it (mode 0640) filled with zeros, locks it and maps it. There is room on the
    /// device for the words; for the body it has to be taken by [`Mapping::reserve`]. A file of another length
    /// is an error of kind `InvalidData`: the caller knows what may be thrown away. A file that another
    /// process has open here is `ResourceBusy`.
    pub fn open(path: &Path, words: usize, body_bytes: usize) -> io::Result<Mapping> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o640).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, "another process writes this file"));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let bytes = words * WORD_BYTES + body_bytes;
        match file.metadata()?.len() {
            0 => file.set_len(bytes as u64)?,
            have if have == bytes as u64 => {}
            have => {
                let text = format!("the file has {have} bytes instead of {bytes}");
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
        }
        // SAFETY: the bytes of a mapped file may change or vanish under the map only when somebody else
        // writes or shortens the file. All writers go through this function, hold the lock above for as long
        // as the map lives and never shorten; readers do not map. The directory belongs to Leela's users. `release`
        // changes bytes under the map, and borrows all of it.
        let map = unsafe { MmapOptions::new().len(bytes).map_mut(&file)? };
        let mapping = Mapping { map, words, locked: file };
        mapping.take_room(0..words * WORD_BYTES)?;
        Ok(mapping)
    }

    /// Takes room on the device for these bytes of the body (those past its end are none). Writing where none was
    /// taken ends the process by SIGBUS when the device is full. It costs time for each page asked for, also
    /// where there is room already.
    pub fn reserve(&self, body: Range<usize>) -> io::Result<()> {
        let behind_words = |at: usize| (self.words * WORD_BYTES).saturating_add(at).min(self.map.len());
        self.take_room(behind_words(body.start)..behind_words(body.end))
    }

    /// Gives back the room of the body from here on, with the memory that it was: it is zeros now. Before something is
    /// written there, room has to be taken again.
    pub fn release(&mut self, from: usize) -> io::Result<()> {
        let start = (self.words * WORD_BYTES).saturating_add(from).min(self.map.len());
        if start == self.map.len() {
            return Ok(());
        }
        let length = i64::try_from(self.map.len() - start).map_err(io::Error::other)?;
        let start = i64::try_from(start).map_err(io::Error::other)?;
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        match fallocate(&self.locked, flags, start, length) {
            // A file system that keeps what it has.
            Ok(()) | Err(Errno::EOPNOTSUPP) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn take_room(&self, bytes: Range<usize>) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let start = i64::try_from(bytes.start).map_err(io::Error::other)?;
        let length = i64::try_from(bytes.len()).map_err(io::Error::other)?;
        match fallocate(&self.locked, FallocateFlags::empty(), start, length) {
            // A file system that takes room only as it is written.
            Ok(()) | Err(Errno::EOPNOTSUPP) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The words at the front of the file.
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: the map is page-aligned, at least `words` words long (checked against the file in `open`),
        // and lives as long as `self`. AtomicU64 has the layout of u64, and any bytes are a u64. No `&mut`
        // to these bytes exists: `body_mut` gives out only what lies behind them, and borrows all of `self`.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().cast::<AtomicU64>(), self.words) }
    }

    /// The bytes behind the words.
    pub fn body(&self) -> &[u8] {
        &self.map[self.words * WORD_BYTES..]
    }

    /// The bytes behind the words, to write.
    pub fn body_mut(&mut self) -> &mut [u8] {
        &mut self.map[self.words * WORD_BYTES..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn words_and_body_are_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ring");
        {
            let mut mapping = Mapping::open(&path, 3, 5000).unwrap();
            mapping.words()[2].store(7, Relaxed);
            mapping.body_mut()[4999] = 9;
            assert_eq!(mapping.body().len(), 5000);
        }
        let mapping = Mapping::open(&path, 3, 5000).unwrap();
        assert_eq!((mapping.words()[2].load(Relaxed), mapping.body()[4999]), (7, 9));
        let file = std::fs::read(&path).unwrap();
        assert_eq!((file.len(), file[16], file[24 + 4999]), (5024, 7, 9));
    }

    #[test]
    fn room_is_taken_before_it_is_written() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ring");
        let mapping = Mapping::open(&path, 512, 1 << 20).unwrap();
        let taken = || std::fs::metadata(&path).unwrap().blocks() * 512;
        assert!((4096..1 << 18).contains(&taken()), "{}", taken());
        mapping.reserve(0..1 << 18).unwrap();
        assert!((1 << 18..1 << 20).contains(&taken()), "{}", taken());
        mapping.reserve(1 << 18..1 << 19).unwrap();
        assert!((1 << 19..1 << 20).contains(&taken()), "{}", taken());
        mapping.reserve(1 << 19..usize::MAX).unwrap();
        mapping.reserve(1 << 21..usize::MAX).unwrap();
        assert!(taken() >= 1 << 20, "{}", taken());
    }

    #[test]
    fn what_is_given_back_is_zeros_and_can_be_taken_again() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ring");
        let mut mapping = Mapping::open(&path, 512, 1 << 20).unwrap();
        let taken = || std::fs::metadata(&path).unwrap().blocks() * 512;
        mapping.reserve(0..1 << 20).unwrap();
        mapping.body_mut().fill(7);
        mapping.release(1 << 18).unwrap();
        assert!((1 << 18..1 << 19).contains(&taken()), "{}", taken());
        let (kept, given) = mapping.body().split_at(1 << 18);
        assert!(kept.iter().all(|byte| *byte == 7) && given.iter().all(|byte| *byte == 0));
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 4096 + (1 << 20));
        mapping.reserve(1 << 18..1 << 20).unwrap();
        mapping.body_mut()[(1 << 20) - 1] = 9;
        mapping.release(1 << 20).unwrap();
        mapping.release(usize::MAX).unwrap();
        assert_eq!(mapping.body()[(1 << 20) - 1], 9);
    }

    #[test]
    fn a_second_writer_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ring");
        let _first = Mapping::open(&path, 1, 0).unwrap();
        assert_eq!(Mapping::open(&path, 1, 0).unwrap_err().kind(), io::ErrorKind::ResourceBusy);
    }

    #[test]
    fn a_file_of_another_length_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ring");
        std::fs::write(&path, [1; 100]).unwrap();
        assert_eq!(Mapping::open(&path, 1, 0).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(std::fs::read(&path).unwrap(), [1; 100]);
    }
}
