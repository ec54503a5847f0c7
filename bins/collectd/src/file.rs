//! The two files of lines, types.db and the AuthFile: a limit on their size, and bad lines by number.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// A line that says nothing; the others count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadLine<E> {
    /// Its number, from 1.
    pub line: usize,
    /// Why.
    pub error: E,
}

/// The whole of a regular file that has at most `bytes_max`; all else is an error.
pub(crate) fn read_limited(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    // To open a FIFO is to wait for its writer, and this is called in the loop.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut text = Vec::new();
    File::open(path)?.take(bytes_max + 1).read_to_end(&mut text)?;
    if text.len() as u64 > bytes_max {
        let message = format!("the file has over {bytes_max} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_over_the_limit_or_no_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read_limited(&path, 5).unwrap(), b"12345");
        assert_eq!(read_limited(&path, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read_limited(dir.path(), 5).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(read_limited(&dir.path().join("x"), 5).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
