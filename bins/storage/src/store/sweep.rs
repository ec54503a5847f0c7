//! Merges what is known of one series from several sources, in the order of time, the last write winning.
//!
//! Sources come by their first times; what is before the first time of the next one is final and leaves, so only
//! what overlaps is held.

/// What stands at a time.
pub(super) trait Item {
    /// What it is kept under beside the time: two items of one time and the same bytes here are one.
    fn under(&self) -> &[u8];
}

impl Item for f64 {
    fn under(&self) -> &[u8] {
        &[]
    }
}

/// A note or a state, as it lies in a block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Record {
    /// How many of its first bytes it is kept under.
    pub(super) under: usize,
    pub(super) bytes: Box<[u8]>,
}

impl Item for Record {
    fn under(&self) -> &[u8] {
        self.bytes.get(..self.under).unwrap_or(&self.bytes)
    }
}

/// What is held until it is final.
#[derive(Debug)]
pub(super) struct Sweep<T> {
    held: Vec<(i64, u64, T)>,
}

impl<T> Default for Sweep<T> {
    fn default() -> Sweep<T> {
        Sweep { held: Vec::new() }
    }
}

impl<T: Item> Sweep<T> {
    pub(super) fn new() -> Sweep<T> {
        Sweep::default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Takes items of a source in the order they were written; of two sources the one of the higher rank was
    /// written later.
    pub(super) fn hold(&mut self, rank: u64, items: impl Iterator<Item = (i64, T)>) {
        self.held.extend(items.map(|(time, item)| (time, rank, item)));
    }

    /// Appends what is before `time_ms`, all of it for None: nothing of that may come any more.
    pub(super) fn until(&mut self, time_ms: Option<i64>, out: &mut Vec<(i64, T)>) {
        if self.held.is_empty() {
            return;
        }
        if !self.held.is_sorted_by(|a, b| a.0 < b.0) {
            self.held.sort_by(|a, b| (a.0, a.2.under(), a.1).cmp(&(b.0, b.2.under(), b.1)));
        }
        let final_ones =
            time_ms.map_or(self.held.len(), |time| self.held.partition_point(|item| item.0 < time));
        for (time, _, item) in self.held.drain(..final_ones) {
            match out.last_mut() {
                Some(last) if last.0 == time && last.1.under() == item.under() => last.1 = item,
                _ => out.push((time, item)),
            }
        }
    }
}

/// Brings points in the order they were written into the order of time, the last of a time.
pub(super) fn settle(points: &mut Vec<(i64, f64)>) {
    if points.is_sorted_by(|a, b| a.0 < b.0) {
        return;
    }
    points.sort_by_key(|(time, _)| *time);
    points.dedup_by(|later, earlier| {
        let is_same = later.0 == earlier.0;
        if is_same {
            earlier.1 = later.1;
        }
        is_same
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_write_of_a_time_wins() {
        let mut points = vec![(3, 1.0), (1, 2.0), (3, 3.0), (2, 4.0), (1, 5.0)];
        settle(&mut points);
        assert_eq!(points, [(1, 5.0), (2, 4.0), (3, 3.0)]);
        let mut sweep = Sweep::new();
        let mut out = Vec::new();
        sweep.hold(7, [(1, 1.0), (5, 5.0), (9, 9.0)].into_iter());
        sweep.until(Some(4), &mut out);
        assert_eq!(out, [(1, 1.0)]);
        sweep.hold(6, [(5, 0.0), (6, 6.0), (9, 0.0)].into_iter());
        sweep.hold(8, [(9, 1.0), (9, 2.0)].into_iter());
        sweep.until(None, &mut out);
        assert_eq!(out, [(1, 1.0), (5, 5.0), (6, 6.0), (9, 2.0)]);
        assert!(sweep.is_empty());
    }

    #[test]
    fn records_of_one_time_stay_apart_by_what_they_are_kept_under() {
        let record = |bytes: &[u8]| Record { under: 2, bytes: bytes.into() };
        let mut sweep = Sweep::new();
        sweep.hold(1, [(1, record(b"aax")), (1, record(b"aby")), (1, record(b"a"))].into_iter());
        sweep.hold(2, [(1, record(b"aaz"))].into_iter());
        let mut out = Vec::new();
        sweep.until(None, &mut out);
        assert_eq!(out, [(1, record(b"a")), (1, record(b"aaz")), (1, record(b"aby"))]);
    }
}
