//! Events in, values out: each event is given to the runs of the queries that select its series.

use std::time::{Duration, Instant};

use common::key;
use common::metric::Event;
use common::query::proc::Proc;
use common::table::index::NONE;

use crate::counters::{Counters, Reason};
use crate::queries::{ENDED, Queries};
use crate::scan::Scan;
use crate::series::{BATCH, Link, Moment, Table};

/// What a series keeps of a query beside its run; the run counts twice, as vectors have room to grow.
const LINK_BYTES: usize = size_of::<Link>();

/// So many regular expressions are tried on a series before the clock is asked how long it takes.
const TRIES_FREE: u32 = 4;

/// Bounds of what is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) series_max: u32,
    pub(crate) series_ttl: Duration,
    /// Bytes of the state of one query.
    pub(crate) query_state_max: u64,
    /// Bytes of the state of all.
    pub(crate) state_max: u64,
}

/// Takes what comes out.
pub(crate) trait Outlet {
    /// A value for a client; the key is only lent.
    fn value(&mut self, client: u32, event: &Event<'_>);

    /// An event that was refused, and counted.
    fn refused(&mut self, event: &Event<'_>, reason: Reason);
}

/// All series and queries.
#[derive(Debug)]
pub(crate) struct Engine {
    table: Table,
    queries: Queries,
    bounds: Bounds,
    /// The next number the search for idle series looks at.
    hand: u32,
    /// Clients whose query would need too much state; their queries have ended.
    exhausted: Vec<u32>,
    selected: Vec<u32>,
    /// Time that series may still be matched for in this turn.
    matching_left: Duration,
}

impl Engine {
    pub(crate) fn new(bounds: Bounds) -> Engine {
        let (table, queries) = (Table::new(), Queries::new());
        Engine {
            table,
            queries,
            bounds,
            hand: 0,
            exhausted: Vec::new(),
            selected: Vec::new(),
            matching_left: Duration::MAX,
        }
    }

    /// Begins a query; gives its place.
    pub(crate) fn begin(&mut self, proc: Box<Proc>, client: u32) -> u32 {
        self.queries.begin(proc, client, LINK_BYTES)
    }

    /// Series that have state of the query at `place`.
    pub(crate) fn series_of(&self, place: u32) -> u64 {
        self.queries.series(place)
    }

    /// Ends the query at `place`.
    pub(crate) fn end(&mut self, place: u32) {
        self.queries.end(place);
    }

    /// Begins a turn, in which series may be matched for so long: a thousand regular expressions without a literal
    /// at their front take a millisecond on each series, and events have to flow meanwhile.
    pub(crate) fn allow_matching(&mut self, time: Duration) {
        self.matching_left = time;
    }

    /// A client whose query was ended because it would need too much state.
    pub(crate) fn take_exhausted(&mut self) -> Option<u32> {
        self.exhausted.pop()
    }

    /// True when series still know of queries that have ended: [`Engine::sweep`] is due.
    pub(crate) fn has_stale(&self) -> bool {
        self.queries.stale() > 0
    }

    /// Writes what is of now.
    pub(crate) fn book(&self, counters: &mut Counters) {
        counters.series = u64::from(self.table.count());
        counters.procs = self.queries.running();
        counters.state_bytes = self.queries.state_bytes();
    }

    /// Gives events, at most [`BATCH`] of them, to the queries that select their series, in their order.
    pub(crate) fn apply(
        &mut self,
        batch: &[Event<'_>],
        moment: Moment,
        counters: &mut Counters,
        out: &mut impl Outlet,
    ) {
        let mut ids = [NONE; BATCH];
        self.table.locate(batch, &mut ids);
        counters.received += batch.len() as u64;
        for (event, id) in batch.iter().zip(ids) {
            let id = match id {
                NONE => self.enter(event.key, moment),
                id => Ok(id),
            };
            match id {
                Ok(id) => {
                    counters.accepted += 1;
                    self.feed(id, event, moment, counters, out);
                }
                Err(reason) => {
                    counters.refused.add(reason);
                    out.refused(event, reason);
                }
            }
        }
    }

    #[inline]
    fn feed(
        &mut self,
        id: u32,
        event: &Event<'_>,
        moment: Moment,
        counters: &mut Counters,
        out: &mut impl Outlet,
    ) {
        if self.table.get_mut(id).is_some_and(|series| series.matched < self.queries.newest()) {
            if self.matching_left.is_zero() {
                counters.deferred += 1;
            } else {
                self.match_series(id, event.key);
            }
        }
        let series = self.table.get_mut(id).expect("no series goes while events are applied");
        series.note(moment);
        let (mut values, mut is_wanted, mut is_stale) = (0, false, false);
        for link in &mut series.links {
            let client = self.queries.client(link.query);
            if client == ENDED {
                is_stale = true;
                continue;
            }
            is_wanted = true;
            if let Some(value) = link.run.feed(event.value) {
                out.value(client, &Event { value, ..*event });
                values += 1;
            }
        }
        match values {
            0 => counters.merged += 1,
            _ => counters.passed += 1,
        }
        counters.unmatched += u64::from(!is_wanted);
        counters.frames.produced += values;
        if is_stale {
            self.drop_stale(id);
        }
    }

    /// The series of a key that was not located.
    #[cold]
    fn enter(&mut self, key: &[u8], moment: Moment) -> Result<u32, Reason> {
        if let Some(id) = self.table.find(key) {
            return Ok(id);
        }
        if !key::parse(key).is_ok_and(|parsed| parsed.as_bytes() == key) {
            return Err(Reason::BadKey);
        }
        if self.table.count() >= self.bounds.series_max {
            return Err(Reason::SeriesLimit);
        }
        Ok(self.table.insert(key, moment))
    }

    /// Matches a series against the queries that are newer than its last match.
    #[cold]
    fn match_series(&mut self, id: u32, key: &[u8]) {
        let Engine { table, queries, bounds, exhausted, selected, matching_left, .. } = self;
        let series = table.get_mut(id).expect("no series goes while events are applied");
        let (mut tries, mut begun) = (0, None);
        queries.candidates(key, series.matched, |place, proc| {
            tries += 1;
            if tries == TRIES_FREE {
                begun = Some(Instant::now());
            }
            if proc.matches(key) {
                selected.push(place);
            }
        });
        if let Some(begun) = begun {
            *matching_left = matching_left.saturating_sub(begun.elapsed());
        }
        series.matched = queries.newest();
        for place in selected.drain(..) {
            let client = queries.client(place);
            if queries.enter(place, bounds.query_state_max, bounds.state_max) {
                let proc = queries.proc(place).expect("queries that run are selected");
                series.link(Link { query: place, run: proc.pipeline.start() });
            } else {
                queries.end(place);
                exhausted.push(client);
            }
        }
    }

    fn drop_stale(&mut self, id: u32) {
        let Engine { table, queries, .. } = self;
        let Some(series) = table.get_mut(id) else { return };
        series.links.retain(|link| {
            let is_ended = queries.client(link.query) == ENDED;
            if is_ended {
                queries.leave(link.query);
            }
            !is_ended
        });
        if series.links.is_empty() {
            series.links = Vec::new();
        }
    }

    /// Looks at the next `looks` numbers: takes out series that are idle, and what is known of queries that have
    /// ended.
    pub(crate) fn sweep(&mut self, looks: u32, moment: Moment, counters: &mut Counters) {
        for _ in 0..looks.min(self.table.end()) {
            let id = self.hand;
            self.hand = if id + 1 < self.table.end() { id + 1 } else { 0 };
            let Some((series, _)) = self.table.get(id) else { continue };
            if series.is_idle(moment, self.bounds.series_ttl) {
                for link in self.table.remove(id).links {
                    self.queries.leave(link.query);
                }
                counters.expired += 1;
            } else if self.queries.stale() > 0 {
                self.drop_stale(id);
            }
        }
    }

    /// Numbers that [`Engine::sweep`] has to look at each `interval` to come round eight times in a ttl.
    pub(crate) fn looks(&self, interval: Duration) -> u32 {
        let rounds = 8.0 * interval.as_secs_f64() / self.bounds.series_ttl.as_secs_f64();
        (f64::from(self.table.end()) * rounds).ceil().min(f64::from(self.table.end())) as u32
    }

    /// Goes on counting what a query selects, `looks` numbers; true when it is done, or the query has ended.
    pub(crate) fn scan(&self, scan: &mut Scan, looks: u32, moment: Moment) -> bool {
        let Some(proc) = self.queries.proc(scan.query) else { return true };
        let end = self.table.end();
        for id in scan.hand..end.min(scan.hand.saturating_add(looks)) {
            if let Some((series, key)) = self.table.get(id)
                && proc.matches(key)
            {
                scan.series += 1;
                scan.per_minute += series.per_minute(moment);
            }
        }
        scan.hand = end.min(scan.hand.saturating_add(looks));
        scan.hand == end
    }
}

#[cfg(test)]
mod tests;
