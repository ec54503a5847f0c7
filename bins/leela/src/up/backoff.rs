//! How long to wait before a process that died is started again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
/// The longest wait.
pub(super) const LAST: Duration = Duration::from_secs(5);
/// Who lived so long begins anew with the shortest wait.
const LIVED: Duration = Duration::from_secs(10);

/// The wait doubles from 100 ms to 5 s, until a process has lived for 10 s.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) fn new() -> Backoff {
        Backoff { next: FIRST }
    }

    /// The wait after a life of this length. `hopeless`: it ended because of its configuration, which somebody
    /// has to change first.
    pub(super) fn after(&mut self, lived: Duration, hopeless: bool) -> Duration {
        if hopeless {
            return LAST;
        }
        if lived >= LIVED {
            self.next = FIRST;
        }
        let wait = self.next;
        self.next = (wait * 2).min(LAST);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_to_5_s_and_begins_anew_after_a_life_of_10_s() {
        let mut backoff = Backoff::new();
        for (lived_ms, hopeless, want_ms) in [
            (0, false, 100),
            (50, false, 200),
            (9_999, false, 400),
            (0, true, 5000),
            (0, false, 800),
            (0, false, 1600),
            (0, false, 3200),
            (0, false, 5000),
            (0, false, 5000),
            (10_000, false, 100),
            (0, false, 200),
        ] {
            let lived = Duration::from_millis(lived_ms);
            assert_eq!(
                backoff.after(lived, hopeless),
                Duration::from_millis(want_ms),
                "{lived_ms} {hopeless}"
            );
        }
    }
}
