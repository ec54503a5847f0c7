//! What the threads that serve connections count, until the books take it: atomics, so that none waits for another.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::counters::{Counters, Outcome, Route, TurnedAway};

/// Counts since the books last took them, and levels.
#[derive(Debug, Default)]
pub struct Tally {
    requests: [[AtomicU64; Route::ALL.len()]; Outcome::ALL.len()],
    turned_away: [AtomicU64; TurnedAway::ALL.len()],
    /// Bytes of bodies.
    pub body_bytes: AtomicU64,
    /// Connections that were taken.
    pub connected: AtomicU64,
    /// Points and notes that were given to clients.
    pub points_read: AtomicU64,
    /// Events that were given to live streams.
    pub events_live: AtomicU64,
    /// Events that live streams lost.
    pub events_lost: AtomicU64,
    /// Connections, as of now.
    pub connections: AtomicU64,
    /// Live streams, as of now.
    pub streams: AtomicU64,
}

impl Tally {
    /// A request that is over.
    pub fn request(&self, route: Route, outcome: Outcome) {
        self.requests[outcome as usize][route as usize].fetch_add(1, Relaxed);
    }

    /// A connection that was not served.
    pub fn turned_away(&self, why: TurnedAway) {
        self.turned_away[why as usize].fetch_add(1, Relaxed);
    }

    /// More of a count.
    pub fn add(count: &AtomicU64, more: u64) {
        count.fetch_add(more, Relaxed);
    }

    /// Moves what was counted into the books' counters.
    pub fn flush(&self, counters: &mut Counters) {
        let take = |count: &AtomicU64| count.swap(0, Relaxed);
        let requests = &mut counters.requests;
        for (outcome, counts) in Outcome::ALL.into_iter().zip(&self.requests) {
            let family = match outcome {
                Outcome::Ok => &mut requests.ok,
                Outcome::Wrong => &mut requests.wrong,
                Outcome::Failed => &mut requests.failed,
                Outcome::Cut => &mut requests.cut,
            };
            for (route, count) in Route::ALL.iter().zip(counts) {
                family.add_many(*route, take(count));
            }
        }
        for (why, count) in TurnedAway::ALL.iter().zip(&self.turned_away) {
            counters.turned_away.add_many(*why, take(count));
        }
        counters.body_bytes += take(&self.body_bytes);
        counters.connected += take(&self.connected);
        counters.points_read += take(&self.points_read);
        counters.events_live += take(&self.events_live);
        counters.events_lost += take(&self.events_lost);
        counters.connections = self.connections.load(Relaxed);
        counters.streams = self.streams.load(Relaxed);
    }
}

/// One of a level, as long as it lives.
#[derive(Debug)]
pub struct Held<T: std::ops::Deref<Target = Tally>> {
    tally: T,
    level: fn(&Tally) -> &AtomicU64,
}

impl<T: std::ops::Deref<Target = Tally>> Held<T> {
    /// One more.
    pub fn new(tally: T, level: fn(&Tally) -> &AtomicU64) -> Held<T> {
        level(&tally).fetch_add(1, Relaxed);
        Held { tally, level }
    }
}

impl<T: std::ops::Deref<Target = Tally>> Drop for Held<T> {
    fn drop(&mut self) {
        (self.level)(&self.tally).fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_moves_once_and_a_level_stays() {
        let (tally, mut counters) = (Tally::default(), Counters::default());
        tally.request(Route::Write, Outcome::Wrong);
        tally.turned_away(TurnedAway::Head);
        Tally::add(&tally.points_read, 7);
        let held = Held::new(&tally, |tally| &tally.connections);
        for _ in 0..2 {
            tally.flush(&mut counters);
            assert_eq!((counters.requests.wrong.get(Route::Write), counters.requests.wrong.total()), (1, 1));
            assert_eq!((counters.turned_away.total(), counters.points_read, counters.connections), (1, 7, 1));
        }
        drop(held);
        tally.flush(&mut counters);
        assert_eq!(counters.connections, 0);
    }
}
