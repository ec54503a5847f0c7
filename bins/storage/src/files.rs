//! The file layer: the few calls by which the log and the sealed files reach the disk. Everything durable goes
//! through [`Files`], so that tests can cut the power at any of them or let any of them fail.

use std::fmt::Debug;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

/// Directories and names. Paths are as the caller has them; every call may block on the disk.
pub trait Files: Debug + Send + Sync {
    /// Makes a new, empty file for reading and writing; it is an error when it is there already. The name is
    /// durable after [`Files::sync_dir`].
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Opens a file for reading.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// The names in a directory, sorted, without those of directories.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;

    /// Makes a directory and those above it; one that is there is no error.
    fn make_dir(&self, directory: &Path) -> io::Result<()>;

    /// Renames a file over what has the new name. Durable after [`Files::sync_dir`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file a second name in the same file system, as snapshots do; copies it into another one.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, directory: &Path) -> io::Result<()>;

    /// Bytes that are free for this user in the file system of `directory`.
    fn free_bytes(&self, directory: &Path) -> io::Result<u64>;

    /// The id of the machine's boot: after another one, what was not synced may be gone. Zeros where the system
    /// has none.
    fn boot_id(&self) -> [u8; 16];
}

/// An open file. Reads and writes have their own offsets, so one can be shared by threads.
pub trait File: Debug + Send + Sync {
    /// Writes all of `bytes` at `offset`. After an error any part of them may have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Reads up to `bytes.len()` bytes; fewer only where the file ends.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize>;

    /// Bytes in the file.
    fn len(&self) -> io::Result<u64>;

    /// Nothing is in it.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts the file, or makes it longer with zeros.
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// Makes contents and length durable (fdatasync). After an error it is not known what is durable, and a
    /// second call that succeeds says nothing about what was written before the first.
    fn sync(&self) -> io::Result<()>;

    /// Tells the kernel that these bytes will not be read again soon.
    fn forget(&self) {}

    /// Reads exactly `bytes.len()` bytes; the file's end before them is an error.
    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        if self.read_at(offset, bytes)? < bytes.len() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

/// Access to files that the whole process shares.
pub type SharedFiles = Arc<dyn Files>;

/// The real files.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Disk {
    /// As a process takes it.
    pub fn shared() -> SharedFiles {
        Arc::new(Disk)
    }
}

impl Files for Disk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o640).open(path)?;
        Ok(Arc::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(fs::File::open(path)?))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                // What is not text is none of the store's files.
                names.extend(entry.file_name().into_string().ok());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn make_dir(&self, directory: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o750).create(directory)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        match fs::hard_link(from, to) {
            Err(err) if matches!(err.kind(), ErrorKind::CrossesDevices | ErrorKind::Unsupported) => {
                fs::copy(from, to)?;
                fs::File::open(to)?.sync_all()
            }
            done => done,
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        fs::File::open(directory)?.sync_all()
    }

    fn free_bytes(&self, directory: &Path) -> io::Result<u64> {
        let is = nix::sys::statvfs::statvfs(directory)?;
        Ok(is.blocks_available().saturating_mul(is.fragment_size()))
    }

    fn boot_id(&self) -> [u8; 16] {
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
        u128::from_str_radix(&digits, 16).unwrap_or(0).to_be_bytes()
    }
}

impl File for fs::File {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < bytes.len() {
            match FileExt::read_at(self, &mut bytes[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
        Ok(filled)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        fs::File::set_len(self, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn forget(&self) {
        let all = nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED;
        // It is a hint: where it is not taken, nothing is wrong.
        let _ = nix::fcntl::posix_fadvise(self, 0, 0, all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_what_is_written_where_it_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let file = Disk.create(&path).unwrap();
        file.write_at(3, b"def").unwrap();
        file.write_at(0, b"abc").unwrap();
        assert_eq!(file.len().unwrap(), 6);
        let mut bytes = [0; 8];
        assert_eq!(file.read_at(1, &mut bytes).unwrap(), 5);
        assert_eq!(&bytes[..5], b"bcdef");
        assert_eq!(file.read_exact_at(1, &mut bytes).unwrap_err().kind(), ErrorKind::UnexpectedEof);
        file.set_len(2).unwrap();
        file.sync().unwrap();
        file.forget();
        assert_eq!(Disk.create(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(Disk.open(&path).unwrap().len().unwrap(), 2);
    }

    #[test]
    fn names_are_listed_in_order_and_directories_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        Disk.make_dir(&at("x/y")).unwrap();
        Disk.make_dir(&at("x/y")).unwrap();
        for name in ["b", "a", "c"] {
            Disk.create(&at(name)).unwrap();
        }
        Disk.rename(&at("c"), &at("a")).unwrap();
        Disk.link(&at("a"), &at("d")).unwrap();
        Disk.remove(&at("b")).unwrap();
        Disk.sync_dir(directory.path()).unwrap();
        assert_eq!(Disk.list(directory.path()).unwrap(), ["a", "d"]);
        assert!(Disk.free_bytes(directory.path()).unwrap() > 0);
    }
}
