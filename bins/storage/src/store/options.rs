//! What the embedded store can be told.

use std::path::PathBuf;
use std::time::Duration;

use common::query::selector::Selector;

/// What the embedded store can be told. Begin with [`Options::at`].
#[derive(Clone, Debug)]
pub struct Options {
    /// Where its files lie; made if need be. The log has a directory of its own.
    pub directory: PathBuf,
    /// What is in memory is sealed when it takes so many bytes.
    pub head_bytes_max: u64,
    /// Nothing more is taken while sealing is behind and memory holds so many bytes.
    pub memory_bytes_max: u64,
    /// What is in memory is sealed when it is so old; it bounds the log, and the replay of a start.
    pub seal_after: Duration,
    /// What is in memory is sealed when nothing was written for so long.
    pub idle_after: Duration,
    /// The files of a day are merged into one when none came for so long.
    pub settle: Duration,
    /// How long records are kept, by their own time; None for ever.
    pub retention: Option<Duration>,
    /// How long records of certain series are kept; the first that selects a series holds.
    pub keep: Vec<Keep>,
    /// Sealed files and index take at most so many bytes: the oldest day goes. None for no limit.
    pub disk_max: Option<u64>,
    /// Below so many free bytes in the file system nothing more is taken.
    pub min_free: u64,
    /// The span of time of a file: files are merged within it, and retention drops them whole.
    pub span: Duration,
    /// The most points of a block of merged files.
    pub block_points: usize,
    /// What is wrong with the store, for the test that finds it.
    #[cfg(feature = "faults")]
    pub fault: Option<super::fault::Fault>,
}

/// How long records of series are kept.
#[derive(Clone, Debug)]
pub struct Keep {
    /// Which series.
    pub selector: Selector,
    /// How long; None for ever.
    pub age: Option<Duration>,
}

impl Options {
    /// The defaults, in `directory`.
    pub fn at(directory: impl Into<PathBuf>) -> Options {
        const MINUTE: Duration = Duration::from_secs(60);
        Options {
            directory: directory.into(),
            head_bytes_max: 160 << 20,
            memory_bytes_max: 512 << 20,
            seal_after: 10 * MINUTE,
            idle_after: MINUTE,
            settle: 10 * MINUTE,
            retention: None,
            keep: Vec::new(),
            disk_max: None,
            min_free: 1 << 30,
            span: 24 * 60 * MINUTE,
            block_points: 1024,
            #[cfg(feature = "faults")]
            fault: None,
        }
    }
}
