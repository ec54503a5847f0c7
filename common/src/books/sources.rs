//! From whom a receiver got what: the last number it applied of each source.

use crate::wire::{Content, Header};

/// Words of the books that a row takes.
pub(super) const ROW_WORDS: usize = 6;

/// What came from one source of one content.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SourceRow {
    /// The source; 0 is a free row.
    pub source: u64,
    /// The content's wire code.
    pub content: u64,
    /// The first number that was seen.
    pub joined: u64,
    /// The number that comes next.
    pub next: u64,
    /// Numbers between that never came: dropped by the sender, or in the hand of a predecessor that was killed.
    pub missing: u64,
    /// Records that came again and were dropped.
    pub repeated: u64,
}

impl SourceRow {
    /// Records that were applied.
    pub fn applied(&self) -> u64 {
        // Only in a damaged file is there less than nothing.
        self.next.saturating_sub(self.joined).saturating_sub(self.missing)
    }
}

/// What to do with a datagram.
#[must_use = "a repeated datagram must not be applied"]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    /// Apply its records; so many before it never came.
    Take {
        /// Records that never came.
        missing: u64,
    },
    /// It was applied before (its sender was killed before it could note that): drop it.
    Repeated,
}

/// One row for each source and content, up to a stated number.
#[derive(Clone, Debug)]
pub struct Sources {
    /// In order of last use.
    rows: Vec<SourceRow>,
    rows_max: usize,
}

impl Sources {
    /// Room for `rows_max` rows.
    pub fn new(rows_max: usize) -> Sources {
        Sources { rows: Vec::with_capacity(rows_max), rows_max }
    }

    /// Says whether a datagram is new, and notes its numbers. Datagrams of source 0 are unnumbered.
    pub fn admit(&mut self, header: &Header) -> Admission {
        let Header { source, first, .. } = *header;
        let count = u64::from(header.count);
        if source == 0 || self.rows_max == 0 {
            return Admission::Take { missing: 0 };
        }
        let Some(row) = self.row(source, header.content) else {
            return Admission::Take { missing: 0 };
        };
        if row.source == 0 {
            *row = SourceRow { source, content: header.content as u64, joined: first, next: first, ..*row };
        }
        if first < row.next {
            row.repeated = row.repeated.saturating_add(count);
            return Admission::Repeated;
        }
        let missing = first - row.next;
        row.missing = row.missing.saturating_add(missing);
        row.next = first.saturating_add(count);
        Admission::Take { missing }
    }

    /// The rows in use.
    pub fn rows(&self) -> &[SourceRow] {
        &self.rows
    }

    fn row(&mut self, source: u64, content: Content) -> Option<&mut SourceRow> {
        let is = |row: &SourceRow| row.source == source && row.content == content as u64;
        if !self.rows.last().is_some_and(is) {
            match self.rows.iter().position(is) {
                Some(place) => self.rows[place..].rotate_left(1),
                None => {
                    if self.rows.len() == self.rows_max {
                        // The one that was silent longest goes: its source is the likeliest to have ended.
                        self.rows.remove(0);
                    }
                    self.rows.push(SourceRow::default());
                }
            }
        }
        self.rows.last_mut()
    }

    pub(super) fn take_up(&mut self, rows: &[SourceRow]) {
        let skipped = rows.len().saturating_sub(self.rows_max);
        self.rows = rows[skipped..].to_vec();
    }

    pub(super) fn store(&self, words: &mut [u64]) {
        let (used, free) = words.split_at_mut(self.rows.len() * ROW_WORDS);
        for (row, words) in self.rows.iter().zip(used.chunks_exact_mut(ROW_WORDS)) {
            let SourceRow { source, content, joined, next, missing, repeated } = *row;
            words.copy_from_slice(&[source, content, joined, next, missing, repeated]);
        }
        free.fill(0);
    }

    pub(super) fn load(words: &[u64]) -> Vec<SourceRow> {
        let rows = words.as_chunks::<ROW_WORDS>().0.iter();
        rows.map(|&[source, content, joined, next, missing, repeated]| SourceRow {
            source,
            content,
            joined,
            next,
            missing,
            repeated,
        })
        .filter(|row| row.source != 0)
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(source: u64, first: u64, count: u32) -> Header {
        Header { content: Content::Events, count, source, first }
    }

    #[test]
    fn numbers_make_loss_and_repetition_visible() {
        let mut sources = Sources::new(2);
        for (source, first, count, want) in [
            (1, 100, 10, Admission::Take { missing: 0 }), // joined late: nothing is missing
            (1, 110, 5, Admission::Take { missing: 0 }),
            (1, 110, 5, Admission::Repeated),
            (2, 0, 1, Admission::Take { missing: 0 }),
            (1, 120, 1, Admission::Take { missing: 5 }),
            (0, 0, 9, Admission::Take { missing: 0 }),
            (0, 0, 9, Admission::Take { missing: 0 }),
        ] {
            assert_eq!(sources.admit(&datagram(source, first, count)), want, "{source} {first}");
        }
        let row = sources.rows().iter().find(|row| row.source == 1).unwrap();
        assert_eq!((row.applied(), row.missing, row.repeated), (16, 5, 5));
    }

    #[test]
    fn the_contents_of_a_source_are_numbered_apart() {
        let mut sources = Sources::new(4);
        assert_eq!(sources.admit(&datagram(1, 50, 1)), Admission::Take { missing: 0 });
        let note = Header { content: Content::Notes, ..datagram(1, 0, 1) };
        assert_eq!(sources.admit(&note), Admission::Take { missing: 0 });
    }

    #[test]
    fn strangers_do_not_take_the_row_of_a_source_that_goes_on() {
        let mut sources = Sources::new(3);
        for round in 0..100 {
            let steady = datagram(1, round * 10, 10);
            assert_eq!(sources.admit(&steady), Admission::Take { missing: 0 });
            assert_eq!(sources.admit(&datagram(1000 + round, 0, 1)), Admission::Take { missing: 0 });
            assert_eq!(sources.admit(&steady), Admission::Repeated, "{round}");
        }
    }

    #[test]
    fn rows_are_bounded() {
        let mut sources = Sources::new(3);
        for source in 1..100 {
            assert_eq!(sources.admit(&datagram(source, 0, 1)), Admission::Take { missing: 0 });
        }
        assert_eq!(sources.rows().iter().map(|row| row.source).collect::<Vec<_>>(), [97, 98, 99]);
    }
}
