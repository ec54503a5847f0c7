//! Which versions of a form are written and read.
//!
//! A form that changes gets the next number. The release that brings the new version reads it and goes on to write the one
//! before; only the release after that one writes it. So a release reads all that the one before it and the one after it
//! write: they run side by side, in whatever order processes are restarted, and the way back is the way forth.
//!
//! What is further ahead is nobody's to throw away: [`Versions::known`] is an error there, and a process that meets it does
//! not start, so that everything waits for one that can read it.

use std::error::Error;
use std::fmt;
use std::io;

/// The versions of one form, numbered from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Versions {
    oldest: u32,
    written: u32,
    newest: u32,
}

impl Versions {
    /// From `oldest` to `newest` are read.
    ///
    /// With the feature `next-version-read` one more is read, which has the same form; with `next-version` it is written as
    /// well: what the next two releases would be, for tests of the way there and back.
    pub const fn new(oldest: u32, written: u32, newest: u32) -> Versions {
        let newest = if cfg!(feature = "next-version-read") { newest + 1 } else { newest };
        let written = if cfg!(feature = "next-version") { newest } else { written };
        Versions { oldest, written, newest }
    }

    /// The one that is written.
    pub const fn written(self) -> u32 {
        self.written
    }

    /// True for one that is read.
    pub const fn reads(self, version: u32) -> bool {
        self.oldest <= version && version <= self.newest
    }

    /// True for one that is read; fails for one that is ahead of all that are.
    pub fn known(self, version: u32) -> io::Result<bool> {
        if version > self.newest {
            return Err(io::Error::new(io::ErrorKind::Unsupported, Ahead { version, newest: self.newest }));
        }
        Ok(self.reads(version))
    }
}

/// A later release wrote it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ahead {
    version: u32,
    newest: u32,
}

impl Ahead {
    /// True when this is why something could not be read.
    pub fn is_why(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Ahead>())
    }
}

impl fmt::Display for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ahead { version, newest } = self;
        write!(
            f,
            "a later release wrote it, in version {version}, and this one reads up to {newest}: start that release again \
             (back goes one release at a time), or move the file away and do without what it holds"
        )
    }
}

impl Error for Ahead {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_or_before_all_or_ahead_of_all() {
        let versions = Versions { oldest: 2, written: 3, newest: 4 };
        for (version, known) in
            [(0, Some(false)), (1, Some(false)), (2, Some(true)), (4, Some(true)), (5, None)]
        {
            let said = versions.known(version);
            assert_eq!(said.as_ref().ok().copied(), known, "{version}");
            assert_eq!(versions.reads(version), known == Some(true), "{version}");
            assert!(said.err().is_none_or(|error| Ahead::is_why(&error)), "{version}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let versions = Versions::new(1, 1, 2);
        assert!(versions.reads(versions.written()) && versions.reads(1) && versions.reads(2));
        let next = u32::from(cfg!(feature = "next-version-read"));
        assert_eq!((versions.reads(3), versions.reads(3 + next)), (next == 1, false));
    }
}
