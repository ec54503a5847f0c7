//! Maintenance: what is due, one slice after the other, in the order of urgency.

mod names;
mod room;
mod spans;
mod stats;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use common::time::Time;

use super::embedded::Embedded;
use super::table::Series;
use super::{Maintained, StoreError, lock};

/// When there is nothing to do, it is looked again after so long.
const REST: Duration = Duration::from_secs(1);
/// A series that nothing came of for so many times `seal_after`, and at most for so long, leaves the table.
const FORGET_AFTER: (u32, Duration) = (6, Duration::from_secs(3600));
/// The first pause after a failure, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Series between two turns of the writer.
const SLICE: u32 = 4096;

/// What there is to do, the most urgent first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Task {
    Seal,
    Room,
    Retain,
    Index,
    Merge,
    Clean,
    Forget,
}

impl Task {
    const ALL: [Task; 7] =
        [Task::Seal, Task::Room, Task::Retain, Task::Index, Task::Merge, Task::Clean, Task::Forget];

    const fn word(self) -> &'static str {
        match self {
            Task::Seal => "sealing",
            Task::Room => "measuring the disk",
            Task::Retain => "dropping old files",
            Task::Index => "indexing",
            Task::Merge => "merging",
            Task::Clean => "cleaning",
            Task::Forget => "forgetting series",
        }
    }
}

/// A task that failed.
#[derive(Clone, Copy, Debug)]
struct Failed {
    until: Time,
    pause: Duration,
}

/// What maintenance remembers from slice to slice.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    failed: [Option<Failed>; Task::ALL.len()],
    /// The active generation when something was first in it.
    born: Option<(u32, Time)>,
    /// How much was in the active generation, and since when no more came.
    quiet: Option<(u32, u64, Time)>,
    measured: Option<Time>,
    retained: Option<Time>,
    entered: Option<Time>,
    /// Files were sealed or merged that the index has not heard of.
    is_index_due: bool,
    /// A row could not be read.
    pub(super) is_index_broken: bool,
    /// Series may be gone that the index names.
    pub(super) is_index_stale: bool,
    rebuilt: Option<Time>,
    /// Names that were in the index then.
    rebuilt_names: u64,
    /// When the last file of a span came, with how many there were.
    arrived: HashMap<(i64, u32), (usize, Time)>,
    /// Which generation was active when.
    hours: VecDeque<(Time, u32)>,
    is_sealed: bool,
}

fn is_over(since: Option<Time>, now: Time, span: Duration) -> bool {
    since.is_none_or(|since| now.since_ns(since) < 0 || now.since_ns(since) as u128 >= span.as_nanos())
}

fn after(now: Time, span: Duration) -> Time {
    now.plus_ns(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX))
}

impl Embedded {
    pub(super) fn maintain_once(&self, now: Time) -> Maintained {
        let mut upkeep = lock(&self.upkeep);
        for task in Task::ALL {
            if self.bell.is_over() {
                break;
            }
            let before = upkeep.failed[task as usize];
            if before.is_some_and(|failed| {
                now < failed.until && now.since_ns(failed.until) > -(PAUSES.1.as_nanos() as i64)
            }) {
                continue;
            }
            match self.work(&mut upkeep, task, now) {
                Ok(is_busy) => {
                    if before.is_some() {
                        upkeep.failed[task as usize] = None;
                        if upkeep.failed.iter().all(Option::is_none) {
                            *lock(&self.failing) = None;
                        }
                        tracing::info!(task = task.word(), "works again");
                    }
                    if is_busy {
                        return Maintained::Busy;
                    }
                }
                Err(StoreError::Closing) => break,
                Err(err) => {
                    let pause = before.map_or(PAUSES.0, |failed| PAUSES.1.min(failed.pause * 2));
                    upkeep.failed[task as usize] = Some(Failed { until: after(now, pause), pause });
                    let error = anyhow::Error::from(err);
                    let text = format!("{}: {error:#}", task.word());
                    let mut failing = lock(&self.failing);
                    if before.is_none() {
                        tracing::error!(
                            task = task.word(),
                            error = format!("{error:#}"),
                            "failed, is tried again"
                        );
                    }
                    let since = failing.as_ref().map_or(now, |(_, since)| *since);
                    *failing = Some((text, since));
                }
            }
        }
        Maintained::Idle(REST)
    }

    fn work(&self, upkeep: &mut Upkeep, task: Task, now: Time) -> Result<bool, StoreError> {
        match task {
            Task::Seal => self.seal(upkeep, now),
            Task::Room => self.measure(upkeep, now),
            Task::Retain => self.retain(upkeep, now),
            Task::Index => self.index(upkeep, now),
            Task::Merge => self.merge_some(upkeep, now),
            Task::Clean => self.clean(upkeep, now),
            Task::Forget => {
                self.forget_series(upkeep, now);
                Ok(false)
            }
        }
    }

    fn seal(&self, upkeep: &mut Upkeep, now: Time) -> Result<bool, StoreError> {
        let (number, count) = {
            let head = lock(&self.head);
            let count = head.active.lock().count;
            (head.active.number, count)
        };
        if count == 0 {
            (upkeep.born, upkeep.quiet) = (None, None);
        } else {
            let born = upkeep.born.filter(|(of, _)| *of == number).unwrap_or((number, now));
            let quiet = upkeep.quiet.filter(|(of, with, _)| (*of, *with) == (number, count));
            let quiet = quiet.unwrap_or((number, count, now));
            (upkeep.born, upkeep.quiet) = (Some(born), Some(quiet));
            if is_over(Some(born.1), now, self.options.seal_after)
                || is_over(Some(quiet.2), now, self.options.idle_after)
            {
                lock(&self.head).freeze();
            }
        }
        let is_sealed = self.seal_oldest()?;
        upkeep.is_index_due |= is_sealed;
        upkeep.is_sealed |= is_sealed;
        Ok(is_sealed)
    }

    /// In the middle of a long merge: what is frozen is sealed, unless that fails.
    pub(super) fn seal_if_due(&self) -> Result<(), StoreError> {
        if lock(&self.failing).is_none() {
            while self.seal_oldest()? {}
        }
        Ok(())
    }

    /// Takes series out of the table that nothing comes of any more; they stay in the index.
    fn forget_series(&self, upkeep: &mut Upkeep, now: Time) {
        if !std::mem::take(&mut upkeep.is_sealed) {
            return;
        }
        let (number, is_large) = {
            let head = lock(&self.head);
            (head.active.number, head.table.bytes() > self.options.head_bytes_max)
        };
        let forget_after = (self.options.seal_after * FORGET_AFTER.0).min(FORGET_AFTER.1);
        upkeep.hours.push_back((now, number));
        let mut before = if is_large { number } else { 0 };
        while let Some((at, of)) = upkeep.hours.front().copied()
            && is_over(Some(at), now, forget_after)
        {
            before = before.max(of);
            upkeep.hours.pop_front();
        }
        if before == 0 {
            return;
        }
        let mut begin = 0;
        loop {
            let mut head = lock(&self.head);
            let head = &mut *head;
            head.past.retain(|generation| generation.strong_count() > 0);
            // Whoever reads has looked numbers up.
            if !head.past.is_empty() || !head.frozen.is_empty() || Arc::strong_count(&head.views) > 1 {
                return;
            }
            let end = head.table.end().min(begin + SLICE);
            for id in begin..end {
                let is_idle = |series: &mut Series| series.seen < before && series.known != Series::FRESH;
                if head.table.get_mut(id).is_some_and(is_idle) {
                    head.table.remove(id);
                }
            }
            if end == head.table.end() {
                return;
            }
            begin = end;
        }
    }
}
