//! Which subscriptions this bridge serves: those it has the lease of, as long as that lasts.
//!
//! Where Redis is away nobody can take a lease: a bridge that is alone goes on, one that has seen another stops at the
//! end of its leases, for the other may have them by then.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long a lease lasts that is not renewed.
pub(crate) const LEASE: Duration = Duration::from_secs(8);

/// What this bridge holds.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    until: HashMap<String, Instant>,
    front_until: Option<Instant>,
    /// Another bridge was there in the last round.
    others: bool,
    /// What had ended by then is known to have ended.
    followed: Option<Instant>,
}

impl Leases {
    /// Takes note of a round that began at `asked`: leases hold from then on.
    pub(crate) fn round<'a>(
        &mut self,
        asked: Instant,
        held: impl Iterator<Item = &'a str>,
        front: bool,
        others: bool,
    ) {
        let until = asked + LEASE;
        self.until = held.map(|field| (field.to_owned(), until)).collect();
        self.front_until = front.then_some(until);
        self.others = others;
    }

    /// Whether this bridge had the lease in the last round.
    pub(crate) fn has(&self, field: &str) -> bool {
        self.until.contains_key(field)
    }

    /// Takes note of one lease that was taken with a new subscription.
    pub(crate) fn take(&mut self, field: &str, asked: Instant) {
        self.until.insert(field.to_owned(), asked + LEASE);
    }

    /// Whether this bridge serves a subscription.
    pub(crate) fn serves(&self, field: &str, now: Instant) -> bool {
        self.until.get(field).is_some_and(|&until| !self.others || now < until)
    }

    /// Whether this bridge is the one that is asked.
    pub(crate) fn is_front(&self, now: Instant) -> bool {
        self.front_until.is_some_and(|until| !self.others || now < until)
    }

    /// Takes note that everything goes by the leases of `now`.
    pub(crate) fn follow(&mut self, now: Instant) {
        self.followed = Some(now);
    }

    /// When the next lease ends, or has ended, that nobody has followed; none for a bridge that is alone.
    pub(crate) fn next_end(&self) -> Option<Instant> {
        let ends = self.until.values().copied().chain(self.front_until).filter(|_| self.others);
        ends.filter(|until| self.followed.is_none_or(|followed| followed < *until)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_serves_what_it_holds() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        for (label, others, seconds, want) in [
            ("alone, renewed", false, 1, true),
            ("alone, Redis is away", false, 3600, true),
            ("with others, renewed", true, 7, true),
            ("with others, Redis is away", true, 8, false),
        ] {
            let mut leases = Leases::default();
            leases.round(start, ["a"].into_iter(), true, others);
            assert_eq!(leases.serves("a", at(seconds)), want, "{label}");
            assert_eq!(leases.is_front(at(seconds)), want, "{label}");
            assert!(!leases.serves("b", at(seconds)), "{label}");
            assert_eq!(leases.next_end(), others.then(|| at(8)), "{label}");
        }
    }

    #[test]
    fn a_lease_ends_once() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut leases = Leases::default();
        leases.round(start, ["a"].into_iter(), true, true);
        leases.take("b", at(1));
        leases.follow(at(7));
        assert_eq!(leases.next_end(), Some(at(8)));
        leases.follow(at(8));
        assert_eq!(leases.next_end(), Some(at(9)));
        leases.follow(at(10));
        assert_eq!(leases.next_end(), None, "nobody waits for what is over");
        leases.round(at(11), ["a"].into_iter(), true, true);
        assert_eq!(leases.next_end(), Some(at(19)));
    }

    #[test]
    fn a_lease_that_another_has_is_not_served() {
        let start = Instant::now();
        let mut leases = Leases::default();
        leases.round(start, ["a", "b"].into_iter(), true, true);
        leases.take("c", start);
        assert!(leases.has("c") && !leases.has("d"));
        leases.round(start + Duration::from_secs(1), ["b", "c", "d"].into_iter(), false, true);
        let now = start + Duration::from_secs(2);
        assert_eq!(["a", "b", "c", "d"].map(|field| leases.serves(field, now)), [false, true, true, true]);
        assert!(!leases.is_front(now));
    }
}
