//! The queries that run, told in a file for `leela top`.

use std::path::PathBuf;

use common::queries::{Queries, Running};
use common::time::Time;

use super::Service;
use crate::clients::{Client, Stage};

/// Queries that are told.
const TOLD_MAX: usize = 1_024;

/// The file, and what was told there.
#[derive(Debug)]
pub(super) struct Told {
    path: PathBuf,
    /// Nothing runs, and it says so.
    is_empty: bool,
    can_write: bool,
}

impl Told {
    pub(super) fn at(path: PathBuf) -> Told {
        Told { path, is_empty: false, can_write: true }
    }

    fn write(&mut self, queries: &Queries) {
        // With nothing to tell it is left alone: an idle process writes nothing.
        if queries.running.is_empty() && self.is_empty {
            return;
        }
        let wrote = queries.write(&self.path);
        self.is_empty = queries.running.is_empty() && wrote.is_ok();
        if let Err(error) = &wrote
            && self.can_write
        {
            let path = self.path.display();
            tracing::warn!(%path, %error, "`leela top queries` will not see them: the queries cannot be told");
        }
        self.can_write = wrote.is_ok();
    }
}

impl Service {
    /// Tells the queries that run now; of very many those that most frames were made for.
    pub(super) fn tell_queries(&mut self) {
        let frames = |client: &Client| client.out.delivered() + client.out.waiting() + client.out.lost();
        let mut places: Vec<(u64, u32)> = (0..self.clients.end())
            .filter_map(|place| {
                let client = self.clients.get_mut(place)?;
                matches!(client.stage, Stage::Running(_)).then(|| (frames(client), place))
            })
            .collect();
        if places.len() > TOLD_MAX {
            places.select_nth_unstable_by(TOLD_MAX, |one, other| other.cmp(one));
            places.truncate(TOLD_MAX);
        }
        let mut queries = Queries { time: Time::now(), running: Vec::with_capacity(places.len()) };
        for (_, place) in places {
            let Some(client) = self.clients.get_mut(place) else { continue };
            let Stage::Running(asked) = &client.stage else { continue };
            queries.running.push(Running {
                client: asked.peer.to_string(),
                asked_ns: asked.time.ns(),
                proc: asked.text.to_string(),
                series: self.engine.series_of(asked.query),
                delivered: client.out.delivered(),
                waiting: client.out.waiting(),
                lost: client.out.lost(),
            });
        }
        self.told.write(&queries);
    }
}
