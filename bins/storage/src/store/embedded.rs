//! The embedded store.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use common::time::Time;
use common::wire::Header;

use super::options::Options;
use super::{
    Deleted, Ended, Extent, Found, Full, Maintained, Range, Stats, Store, StoreError, Verified, Which, Word,
    Written,
};
use crate::files::SharedFiles;
use crate::log::Position;

/// The embedded store.
#[derive(Debug)]
pub struct Embedded {
    options: Options,
}

impl Embedded {
    /// Opens the store, or makes it.
    ///
    /// # Errors
    /// When its directory cannot be read or written. Damaged files are no error: see [`Stats::damage`].
    pub fn open(_files: SharedFiles, options: Options) -> Result<Embedded, StoreError> {
        Ok(Embedded { options })
    }
}

#[allow(unused_variables)]
impl Store for Embedded {
    fn write(&self, header: &Header, records: &[u8], position: Position) -> Written {
        Written::default()
    }
    fn acknowledged(&self) -> Position {
        Position(0)
    }
    fn full(&self) -> Option<Full> {
        None
    }
    fn maintain(&self, now: Time) -> Maintained {
        Maintained::Idle(Duration::from_secs(1))
    }
    fn stop(&self) {}
    fn close(&self, now: Time) -> Result<(), StoreError> {
        Ok(())
    }
    fn range(
        &self,
        range: &Range<'_>,
        now: Time,
        found: &mut dyn FnMut(Found<'_>) -> ControlFlow<()>,
    ) -> Result<Ended, StoreError> {
        Ok(Ended::default())
    }
    fn series(
        &self,
        which: Which<'_>,
        limit: Option<u64>,
        now: Time,
        found: &mut dyn FnMut(Extent<'_>) -> ControlFlow<()>,
    ) -> Result<Ended, StoreError> {
        Ok(Ended::default())
    }
    fn names(
        &self,
        which: Which<'_>,
        limit: Option<u64>,
        found: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<Ended, StoreError> {
        Ok(Ended::default())
    }
    fn tags(&self, tag: Option<&[u8]>) -> Result<Vec<Word>, StoreError> {
        Ok(Vec::new())
    }
    fn stats(&self, now: Time) -> Stats {
        let _ = &self.options;
        Stats::default()
    }
    fn delete(&self, which: Which<'_>, is_dry: bool, now: Time) -> Result<Deleted, StoreError> {
        Ok(Deleted::default())
    }
    fn verify(&self, go_on: &mut dyn FnMut() -> bool) -> Result<Verified, StoreError> {
        Ok(Verified::default())
    }
    fn snapshot(&self, directory: &Path) -> Result<(), StoreError> {
        Ok(())
    }
}
