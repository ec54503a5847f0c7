//! Entering: names are merged into the rows that they belong to.

use std::collections::BTreeMap;
use std::ops::Bound;

use redb::{ReadableTable, Table};

use super::row::{self, Names};
use super::{ABOUT, FILES, Index, NAMES, TAGS, failed, front, number, tags};
use crate::store::StoreError;

/// Names that are entered in one go.
const ENTERED: usize = 1 << 16;

impl Index {
    /// Enters names, in order, and says which files are complete by that and which are gone.
    pub(in crate::store) fn enter<N: AsRef<[u8]>>(
        &self,
        names: &[N],
        complete: &[String],
        gone: &[String],
    ) -> Result<(), StoreError> {
        let mut parts = names.chunks(ENTERED).peekable();
        loop {
            let part = parts.next().unwrap_or_default();
            let is_last = parts.peek().is_none();
            self.write(|write| {
                enter(write, part)?;
                if is_last {
                    let mut files = write.open_table(FILES).map_err(failed)?;
                    for file in complete {
                        files.insert(file.as_str(), ()).map_err(failed)?;
                    }
                    for file in gone {
                        files.remove(file.as_str()).map_err(failed)?;
                    }
                }
                Ok(())
            })?;
            if is_last {
                break;
            }
        }
        Ok(())
    }
}

fn enter<N: AsRef<[u8]>>(write: &redb::WriteTransaction, names: &[N]) -> Result<(), StoreError> {
    let mut added = Vec::new();
    let mut table = write.open_table(NAMES).map_err(failed)?;
    merge(&mut table, b"", names, &mut |name| added.push(name.to_vec()))?;
    if added.is_empty() {
        return Ok(());
    }
    let mut by_tag: BTreeMap<Vec<u8>, Vec<&[u8]>> = BTreeMap::new();
    for name in &added {
        for (tag, value) in tags(name) {
            by_tag.entry(front(tag, value)).or_default().push(name);
        }
    }
    let mut table = write.open_table(TAGS).map_err(failed)?;
    for (front, names) in &by_tag {
        merge(&mut table, front, names, &mut |_| {})?;
    }
    let mut about = write.open_table(ABOUT).map_err(failed)?;
    let before = about.get("series").map_err(failed)?.map_or(0, |row| number(row.value()));
    about.insert("series", &(before + added.len() as u64).to_le_bytes()[..]).map_err(failed)?;
    Ok(())
}

/// Merges names, in order, into the rows that begin with `front`; `added` hears of those that are new.
fn merge<N: AsRef<[u8]>>(
    table: &mut Table<'_, &[u8], &[u8]>,
    front: &[u8],
    names: &[N],
    added: &mut dyn FnMut(&[u8]),
) -> Result<(), StoreError> {
    let key = |name: &[u8]| [front, name].concat();
    let mut left = names;
    while let Some(first) = left.first() {
        // The row they belong to: the last one that does not begin behind the first of them, else the first one.
        let at = key(first.as_ref());
        let found = match last_row(table, front, &at)? {
            Some(row) => Some(row),
            None => next_row(table, front, Bound::Excluded(&at))?,
        };
        let bound = found.as_ref().map_or(at.as_slice(), |(key, _)| key.as_slice());
        let next = next_row(table, front, Bound::Excluded(bound))?;
        let count = match &next {
            Some((next, _)) => left.partition_point(|name| name.as_ref() < &next[front.len()..]),
            None => left.len(),
        };
        let old = match &found {
            Some((_, row)) => Names::of(row)?.collect()?,
            None => Vec::new(),
        };
        let (part, rest) = left.split_at(count.max(1));
        left = rest;
        let merged = union(&old, part, added);
        if merged.len() == old.len() {
            continue;
        }
        if let Some((key, _)) = &found {
            table.remove(key.as_slice()).map_err(failed)?;
        }
        for (first, row) in row::rows(&merged) {
            table.insert(key(first).as_slice(), row.as_slice()).map_err(failed)?;
        }
    }
    Ok(())
}

type Row = (Vec<u8>, Vec<u8>);

/// The last row of `front` that begins at or before `at`.
fn last_row(table: &Table<'_, &[u8], &[u8]>, front: &[u8], at: &[u8]) -> Result<Option<Row>, StoreError> {
    let row = table.range(front..=at).map_err(failed)?.next_back().transpose().map_err(failed)?;
    Ok(row.map(|(key, row)| (key.value().to_vec(), row.value().to_vec())))
}

/// The first row of `front` from a bound on.
fn next_row(
    table: &Table<'_, &[u8], &[u8]>,
    front: &[u8],
    bound: Bound<&[u8]>,
) -> Result<Option<Row>, StoreError> {
    let row = table.range::<&[u8]>((bound, Bound::Unbounded)).map_err(failed)?.next();
    let row = row.transpose().map_err(failed)?.filter(|(key, _)| key.value().starts_with(front));
    Ok(row.map(|(key, row)| (key.value().to_vec(), row.value().to_vec())))
}

/// Two lists in order as one, each name once.
fn union<'a, N: AsRef<[u8]>>(
    old: &'a [Vec<u8>],
    new: &'a [N],
    added: &mut dyn FnMut(&[u8]),
) -> Vec<&'a [u8]> {
    let mut merged: Vec<&[u8]> = Vec::with_capacity(old.len() + new.len());
    let mut old = old.iter().map(Vec::as_slice).peekable();
    for name in new {
        let name = name.as_ref();
        while let Some(before) = old.next_if(|before| *before < name) {
            merged.push(before);
        }
        if old.peek() != Some(&name) && merged.last() != Some(&name) {
            added(name);
            merged.push(name);
        }
    }
    merged.extend(old);
    merged
}
