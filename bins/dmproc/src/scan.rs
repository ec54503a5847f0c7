//! How much a query selects: a walk over all series, a slice at a time.

use std::time::{Duration, Instant};

use common::query::answer::Answer;

/// A client that asked is told so soon, with `at least` when the walk is not done.
pub(crate) const SCAN_MAX: Duration = Duration::from_secs(1);

/// A walk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scan {
    /// Who asked.
    pub(crate) client: u32,
    /// The place of its query.
    pub(crate) query: u32,
    /// When the answer is due.
    pub(crate) due: Instant,
    /// The next series to look at.
    pub(crate) hand: u32,
    /// Series that are selected so far.
    pub(crate) series: u64,
    /// Their events a minute.
    pub(crate) per_minute: f64,
}

impl Scan {
    pub(crate) fn new(client: u32, query: u32, now: Instant) -> Scan {
        Scan { client, query, due: now + SCAN_MAX, hand: 0, series: 0, per_minute: 0.0 }
    }

    pub(crate) fn answer(&self, is_done: bool) -> Answer<'static> {
        // Counts of events are far below 2^53.
        let per_minute = self.per_minute.round() as u64;
        Answer::Rate { at_least: !is_done, series: self.series, per_minute }
    }
}
