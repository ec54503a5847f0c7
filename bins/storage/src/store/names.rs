//! Which series there are: those of the index and the fresh ones, in order.

use std::ops::ControlFlow;

use super::embedded::Embedded;
use super::view::View;
use super::{StoreError, Which, lock};

/// Series that are looked at while the head is locked.
const SLICE: usize = 1024;
/// Names that are taken out of the index in one go: no read of it spans a slow receiver.
const TAKEN: usize = 1024;

/// Takes a key, and its number in the table where it has one.
pub(super) type Taker<'a> = dyn FnMut(&[u8], Option<u32>) -> ControlFlow<()> + 'a;

impl Embedded {
    /// Hands over the fresh series of a view, in no order.
    pub(super) fn each_fresh(&self, view: &View, name: &mut dyn FnMut(&[u8])) {
        for ids in view.fresh.chunks(SLICE) {
            let head = lock(&self.head);
            // One that lost its number is in the index by now.
            let keys = ids.iter().map(|&id| head.table.key(id));
            keys.filter(|key| !key.is_empty()).for_each(&mut *name);
        }
    }

    /// Hands over the series that are selected, in the order of their keys, with their numbers in the table.
    pub(super) fn each_series(
        &self,
        view: &View,
        which: Which<'_>,
        series: &mut Taker<'_>,
    ) -> Result<(), StoreError> {
        let (selector, tests) = match which {
            Which::Key(key) => {
                let id = lock(&self.head).table.find(key);
                let _ = series(key, id);
                return Ok(());
            }
            Which::Match(selector, tests) => (selector, tests),
        };
        let mut fresh = Vec::new();
        self.each_fresh(view, &mut |key| {
            if which.selects(key) {
                fresh.push(key.to_vec());
            }
        });
        fresh.sort_unstable();
        let mut fresh = fresh.into_iter().peekable();
        let mut after: Vec<u8> = Vec::new();
        loop {
            let mut names: Vec<Vec<u8>> = Vec::new();
            view.index.names(selector.prefix(), &after, tests, &mut |name| {
                if selector.matches(name) {
                    names.push(name.to_vec());
                }
                if names.len() < TAKEN { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            let is_last = names.len() < TAKEN;
            after = names.last().cloned().unwrap_or_default();
            let mut taken: Vec<Vec<u8>> = Vec::with_capacity(names.len());
            for name in names {
                while let Some(before) = fresh.next_if(|before| *before < name) {
                    taken.push(before);
                }
                fresh.next_if(|same| *same == name);
                taken.push(name);
            }
            if is_last {
                taken.extend(fresh.by_ref());
            }
            for part in taken.chunks(SLICE / 16) {
                let ids: Vec<Option<u32>> = {
                    let head = lock(&self.head);
                    part.iter().map(|name| head.table.find(name)).collect()
                };
                for (name, id) in part.iter().zip(ids) {
                    if series(name, id).is_break() {
                        return Ok(());
                    }
                }
            }
            if is_last {
                return Ok(());
            }
        }
    }
}
