//! So many a minute: a bucket that fills evenly.

use std::time::{Duration, Instant};

/// Takes a minute's worth at once, and then as many as come back.
#[derive(Clone, Debug)]
pub(crate) struct Rate {
    per_minute: f64,
    level: f64,
    at: Instant,
}

impl Rate {
    pub(crate) fn new(per_minute: u32, now: Instant) -> Rate {
        let per_minute = f64::from(per_minute);
        Rate { per_minute, level: per_minute, at: now }
    }

    /// True when one more may be.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.fill(now);
        let may = self.level >= 1.0;
        if may {
            self.level -= 1.0;
        }
        may
    }

    /// True when nothing was taken for a minute: as new.
    pub(crate) fn is_idle(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) >= Duration::from_secs(60)
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = self.per_minute.min(self.level + passed * self.per_minute / 60.0);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_has_so_many_and_they_come_back_evenly() {
        let start = Instant::now();
        let mut rate = Rate::new(20, start);
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        let taken = |rate: &mut Rate, seconds| (0..100).filter(|_| rate.take(at(seconds))).count();
        for (seconds, want) in [(0.0, 20), (2.9, 0), (3.1, 1), (9.2, 2), (1000.0, 20), (1000.1, 0)] {
            assert_eq!(taken(&mut rate, seconds), want, "{seconds}");
        }
        assert!(!rate.is_idle(at(1050.0)) && rate.is_idle(at(1061.0)));
    }
}
