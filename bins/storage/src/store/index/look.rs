//! Looking up: names by what they begin with and by their tags, and the tags themselves.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use common::ask::TagTest;

use super::row::{self, Malformed, Names};
use super::{Index, NAMES, TAGS, failed, front};
use crate::store::StoreError;

impl Index {
    /// Hands over the names behind `after` that begin with `prefix` and pass the tests, in order.
    pub(in crate::store) fn names(
        &self,
        prefix: &[u8],
        after: &[u8],
        tests: &[TagTest],
        name: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let read = self.read()?;
        let rarest = {
            let table = read.open_table(TAGS).map_err(failed)?;
            rarest(&table, tests)?
        };
        let mut checked = |found: &[u8]| {
            if tests.iter().all(|test| test.holds(found)) { name(found) } else { ControlFlow::Continue(()) }
        };
        match rarest {
            Some(front) => walk(&read.open_table(TAGS).map_err(failed)?, &front, prefix, after, &mut checked),
            None => walk(&read.open_table(NAMES).map_err(failed)?, b"", prefix, after, &mut checked),
        }
    }

    /// How many of these names, which are in order, it does not have.
    pub(in crate::store) fn unknown<N: AsRef<[u8]>>(&self, names: &[N]) -> Result<u64, StoreError> {
        let read = self.read()?;
        let table = read.open_table(NAMES).map_err(failed)?;
        let (mut left, mut unknown) = (names, 0);
        while let Some(first) = left.first() {
            let at = first.as_ref();
            let row = table.range::<&[u8]>(..=at).map_err(failed)?.next_back().transpose().map_err(failed)?;
            let next = table.range::<&[u8]>((Bound::Excluded(at), Bound::Unbounded)).map_err(failed)?.next();
            // All of them that are in this row, if they are in any.
            let count = match next.transpose().map_err(failed)? {
                Some((next, _)) => left.partition_point(|name| name.as_ref() < next.value()),
                None => left.len(),
            };
            let (part, rest) = left.split_at(count);
            left = rest;
            let Some((_, row)) = row else {
                unknown += part.len() as u64;
                continue;
            };
            let mut known = Names::of(row.value())?;
            let mut found = known.next_name()?;
            for name in part {
                while found.is_some_and(|found| found < name.as_ref()) {
                    found = known.next_name()?;
                }
                unknown += u64::from(found != Some(name.as_ref()));
            }
        }
        Ok(unknown)
    }

    /// The tags and how many series have each, or the values of one.
    pub(in crate::store) fn words(&self, tag: Option<&[u8]>) -> Result<BTreeMap<Vec<u8>, u64>, StoreError> {
        let read = self.read()?;
        let table = read.open_table(TAGS).map_err(failed)?;
        let front = tag.map_or(Vec::new(), |tag| [tag, b"\0"].concat());
        let mut words = BTreeMap::new();
        for row in table.range(front.as_slice()..).map_err(failed)? {
            let (key, row) = row.map_err(failed)?;
            let Some(rest) = key.value().strip_prefix(front.as_slice()) else { break };
            let Some(end) = rest.iter().position(|&byte| byte == 0) else { return Err(Malformed.into()) };
            match words.get_mut(&rest[..end]) {
                Some(series) => *series += row::count(row.value()),
                None => drop(words.insert(rest[..end].to_vec(), row::count(row.value()))),
            }
        }
        Ok(words)
    }
}

/// What the rows of the rarest tag begin with that the tests ask for; None when they ask for none.
fn rarest(
    table: &redb::ReadOnlyTable<&[u8], &[u8]>,
    tests: &[TagTest],
) -> Result<Option<Vec<u8>>, StoreError> {
    let asked = tests.iter().filter(|test| !test.is_not);
    let fronts: Vec<Vec<u8>> = asked.map(|test| front(test.tag.as_bytes(), test.value.as_bytes())).collect();
    if fronts.len() < 2 {
        return Ok(fronts.into_iter().next());
    }
    let mut ranges = Vec::new();
    for front in &fronts {
        ranges.push(table.range(front.as_slice()..).map_err(failed)?);
    }
    // All in step: the one that ends first is the shortest.
    loop {
        for (range, front) in ranges.iter_mut().zip(&fronts) {
            match range.next().transpose().map_err(failed)? {
                Some((key, _)) if key.value().starts_with(front) => {}
                _ => return Ok(Some(front.clone())),
            }
        }
    }
}

/// Walks over the names with `prefix` and behind `after` in the rows that begin with `front`.
fn walk(
    table: &redb::ReadOnlyTable<&[u8], &[u8]>,
    front: &[u8],
    prefix: &[u8],
    after: &[u8],
    name: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let at = [front, prefix.max(after)].concat();
    // The row before may reach behind that.
    let begin =
        table.range(front..=at.as_slice()).map_err(failed)?.next_back().transpose().map_err(failed)?;
    let begin = begin.map_or(at, |(key, _)| key.value().to_vec());
    for row in table.range(begin.as_slice()..).map_err(failed)? {
        let (key, row) = row.map_err(failed)?;
        if !key.value().starts_with(front) {
            break;
        }
        let mut names = Names::of(row.value())?;
        while let Some(found) = names.next_name()? {
            if found.starts_with(prefix) {
                if found > after && name(found).is_break() {
                    return Ok(());
                }
            } else if found > prefix {
                return Ok(());
            }
        }
    }
    Ok(())
}
