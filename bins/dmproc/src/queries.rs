//! The queries that run, found by what the keys they select begin with.
//!
//! Each query has a number, higher than those before it. A series remembers the number it was last matched at, and
//! is matched at its next event against the newer ones alone.

use std::collections::HashMap;

use common::query::proc::Proc;
use foldhash::quality::RandomState;

/// No client: the query has ended, and series drop what they know of it as they are visited.
pub(crate) const ENDED: u32 = u32::MAX;

/// The queries, under places that are used again once no series knows of the one before.
#[derive(Debug)]
pub(crate) struct Queries {
    all: Vec<Query>,
    /// The client of each query, or [`ENDED`]: what the path of events looks at.
    clients: Vec<u32>,
    free: Vec<u32>,
    newest: u64,
    running: u64,
    /// Series that know of a query that has ended.
    stale: u64,
    state_bytes: u64,
    prefixes: HashMap<Box<[u8]>, Vec<u32>, RandomState>,
    /// How many prefixes there are of each length, shortest first.
    lengths: Vec<(usize, u32)>,
}

/// One query.
#[derive(Debug)]
struct Query {
    number: u64,
    /// None once it has ended.
    proc: Option<Box<Proc>>,
    /// Series that know of it.
    series: u64,
    /// What one series' state may come to take.
    bytes_a_series: u64,
}

impl Queries {
    pub(crate) fn new() -> Queries {
        Queries {
            all: Vec::new(),
            clients: Vec::new(),
            free: Vec::new(),
            newest: 0,
            running: 0,
            stale: 0,
            state_bytes: 0,
            prefixes: HashMap::default(),
            lengths: Vec::new(),
        }
    }

    /// The number of the newest query; 0 before the first.
    #[inline]
    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    /// The client of the query at `place`, or [`ENDED`].
    #[inline]
    pub(crate) fn client(&self, place: u32) -> u32 {
        self.clients[place as usize]
    }

    /// Queries that run.
    pub(crate) fn running(&self) -> u64 {
        self.running
    }

    /// Series that know of a query that has ended.
    pub(crate) fn stale(&self) -> u64 {
        self.stale
    }

    /// What the state of all queries may come to take.
    pub(crate) fn state_bytes(&self) -> u64 {
        self.state_bytes
    }

    /// Series that know of the query at `place`.
    pub(crate) fn series(&self, place: u32) -> u64 {
        self.all[place as usize].series
    }

    /// The query at `place` while it runs.
    pub(crate) fn proc(&self, place: u32) -> Option<&Proc> {
        self.all[place as usize].proc.as_deref()
    }

    /// Begins a query; `overhead` is what a series keeps of it beside the run. Gives its place.
    pub(crate) fn begin(&mut self, proc: Box<Proc>, client: u32, overhead: usize) -> u32 {
        self.newest += 1;
        self.running += 1;
        let prefix: Box<[u8]> = proc.selector.prefix().into();
        let query = Query {
            number: self.newest,
            bytes_a_series: (overhead + proc.pipeline.state_bytes_max()) as u64,
            proc: Some(proc),
            series: 0,
        };
        let place = match self.free.pop() {
            Some(place) => {
                self.all[place as usize] = query;
                self.clients[place as usize] = client;
                place
            }
            None => {
                self.all.push(query);
                self.clients.push(client);
                self.all.len() as u32 - 1
            }
        };
        let length = prefix.len();
        let places = self.prefixes.entry(prefix).or_default();
        if places.is_empty() {
            match self.lengths.binary_search_by_key(&length, |&(length, _)| length) {
                Ok(at) => self.lengths[at].1 += 1,
                Err(at) => self.lengths.insert(at, (length, 1)),
            }
        }
        places.push(place);
        place
    }

    /// Ends a query; its place is free once no series knows of it.
    pub(crate) fn end(&mut self, place: u32) {
        let query = &mut self.all[place as usize];
        let Some(proc) = query.proc.take() else { return };
        self.running -= 1;
        self.clients[place as usize] = ENDED;
        self.stale += query.series;
        if query.series == 0 {
            self.free.push(place);
        }
        let prefix = proc.selector.prefix();
        let places = self.prefixes.get_mut(prefix).expect("a query that runs stands under its prefix");
        places.retain(|&other| other != place);
        if !places.is_empty() {
            return;
        }
        self.prefixes.remove(prefix);
        let at = self.lengths.binary_search_by_key(&prefix.len(), |&(length, _)| length);
        let at = at.expect("the length of a prefix is counted");
        self.lengths[at].1 -= 1;
        if self.lengths[at].1 == 0 {
            self.lengths.remove(at);
        }
    }

    /// The queries newer than number `since` that may select `key`, in no order.
    pub(crate) fn candidates(&self, key: &[u8], since: u64, mut each: impl FnMut(u32, &Proc)) {
        for &(length, _) in &self.lengths {
            let Some(prefix) = key.get(..length) else { return };
            let places = self.prefixes.get(prefix).map_or(&[][..], Vec::as_slice);
            // Later ones stand behind.
            for &place in places.iter().rev() {
                let query = &self.all[place as usize];
                if query.number <= since {
                    break;
                }
                if let Some(proc) = &query.proc {
                    each(place, proc);
                }
            }
        }
    }

    /// One more series knows of the query. False, and nothing is changed, when its state would take more than
    /// `query_max` bytes, or that of all queries more than `all_max`.
    pub(crate) fn enter(&mut self, place: u32, query_max: u64, all_max: u64) -> bool {
        let query = &mut self.all[place as usize];
        let bytes = query.bytes_a_series;
        if (query.series + 1) * bytes > query_max || self.state_bytes + bytes > all_max {
            return false;
        }
        query.series += 1;
        self.state_bytes += bytes;
        true
    }

    /// A series knows no more of the query.
    pub(crate) fn leave(&mut self, place: u32) {
        let query = &mut self.all[place as usize];
        query.series -= 1;
        self.state_bytes -= query.bytes_a_series;
        if query.proc.is_none() {
            self.stale -= 1;
            if query.series == 0 {
                self.free.push(place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::query::proc::{Instruction, parse};

    fn query(queries: &mut Queries, regex: &str) -> u32 {
        let text = format!("proc match {}|{regex} id;", regex.len());
        let Ok(Instruction::Proc(proc)) = parse(text.as_bytes()) else { panic!("{text}") };
        queries.begin(proc, 7, 0)
    }

    fn selected(queries: &Queries, key: &str, since: u64) -> Vec<u32> {
        let mut places = Vec::new();
        queries.candidates(key.as_bytes(), since, |place, proc| {
            if proc.matches(key.as_bytes()) {
                places.push(place);
            }
        });
        places.sort_unstable();
        places
    }

    #[test]
    fn a_key_is_matched_against_the_queries_that_are_newer() {
        let mut queries = Queries::new();
        let regexes = ["^web", "^web\\.", "", "latency", "^db", "^web"];
        let places: Vec<u32> = regexes.iter().map(|regex| query(&mut queries, regex)).collect();
        assert_eq!(places, [0, 1, 2, 3, 4, 5]);
        for (key, since, want) in [
            ("web.latency", 0, &[0, 1, 2, 3, 5][..]),
            ("web.latency", 2, &[2, 3, 5]),
            ("web.latency", 6, &[]),
            ("we", 0, &[2]),
            ("db", 4, &[4]),
        ] {
            assert_eq!(selected(&queries, key, since), want, "{key} since {since}");
        }
        queries.end(1);
        queries.end(2);
        queries.end(2);
        assert_eq!(selected(&queries, "web.latency", 0), [0, 3, 5]);
        assert_eq!((queries.client(1), queries.client(0), queries.running()), (ENDED, 7, 4));
        queries.end(0);
        assert_eq!(selected(&queries, "web.latency", 0), [3, 5]);
    }

    #[test]
    fn a_place_is_used_again_once_no_series_knows_of_it() {
        let mut queries = Queries::new();
        let first = query(&mut queries, "a");
        assert!(queries.enter(first, u64::MAX, u64::MAX) && queries.state_bytes() > 0);
        queries.end(first);
        assert_eq!((queries.stale(), query(&mut queries, "b")), (1, 1));
        queries.leave(first);
        assert_eq!((queries.stale(), queries.state_bytes(), query(&mut queries, "c")), (0, 0, first));
        assert_eq!(selected(&queries, "abc", 1), [first, 1]);
    }

    #[test]
    fn state_is_bounded_for_one_query_and_for_all() {
        let mut queries = Queries::new();
        let [a, b] = ["a", "b"].map(|regex| query(&mut queries, regex));
        assert!(queries.enter(a, u64::MAX, u64::MAX));
        let bytes = queries.state_bytes();
        assert!(!queries.enter(a, 2 * bytes - 1, u64::MAX));
        assert!(queries.enter(a, 2 * bytes, u64::MAX));
        assert!(!queries.enter(b, u64::MAX, 3 * bytes - 1));
        assert!(queries.enter(b, bytes, 3 * bytes));
        assert_eq!(queries.state_bytes(), 3 * bytes);
    }
}
