//! When to read again: at once while little comes, after a short pause while much does.
//!
//! Up to [`WAKEUPS_MAX`] a drained input is handed on at once. Above it a process pauses before it reads again, as long
//! as its [`Patience`] allows, so that one wake-up, one commit and one send serve many small datagrams: measured, 100 k of
//! them a second cost a third of the processor time. The pause never spans more than an eighth of the receive buffer.

use std::time::{Duration, Instant};

/// Wake-ups a second up to which a process does not pause.
pub const WAKEUPS_MAX: u32 = 5_000;

/// Pausing begins and ends above it, and not at one rate: sources are not that even.
const BEGIN: f64 = WAKEUPS_MAX as f64 * 1.2;
const END: f64 = WAKEUPS_MAX as f64 * 1.1;

/// A pause that is shorter saves too little.
const PAUSE_MIN: Duration = Duration::from_micros(250);
/// The rate is measured over this long.
const SPAN: Duration = Duration::from_millis(10);
/// What the kernel books for a small datagram beyond its bytes.
pub const OVERHEAD_BYTES: u64 = 768;

/// How long what came may wait. A pause is long enough for so many datagrams, but not longer than its bound: where a
/// wake-up serves fewer, it is the wake-ups that cost; where it serves more, a longer pause only delays.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Patience {
    datagrams: f64,
    pause_max: Duration,
}

impl Patience {
    /// What is shown as it happens.
    pub const LIVE: Patience = Patience { datagrams: 40.0, pause_max: Duration::from_micros(400) };
    /// What is gathered for seconds anyway.
    pub const WINDOWS: Patience = Patience { datagrams: 100.0, pause_max: Duration::from_millis(1) };
}

/// Measures the rate of wake-ups and of bytes, and says how long to pause.
#[derive(Debug)]
pub struct Pace {
    buffer_bytes: u64,
    patience: Patience,
    begun: Instant,
    wakeups: u32,
    datagrams: u64,
    bytes: u64,
    pause: Option<Duration>,
}

impl Pace {
    /// A pace for sockets with a receive buffer of `buffer_bytes` (what the kernel grants, not what was asked), whose
    /// data is live.
    pub fn new(buffer_bytes: u64, now: Instant) -> Pace {
        Pace::with(Patience::LIVE, buffer_bytes, now)
    }

    /// As [`Pace::new`], for what has another patience.
    pub fn with(patience: Patience, buffer_bytes: u64, now: Instant) -> Pace {
        Pace { buffer_bytes, patience, begun: now, wakeups: 0, datagrams: 0, bytes: 0, pause: None }
    }

    /// Notes a wake-up that drained `datagrams` of `bytes` in all. Returns how long to pause before the next
    /// read; `None` is at once.
    pub fn drained(&mut self, datagrams: u64, bytes: u64, now: Instant) -> Option<Duration> {
        self.wakeups += 1;
        self.datagrams += datagrams;
        self.bytes += bytes + datagrams * OVERHEAD_BYTES;
        let over = now - self.begun;
        if over >= SPAN {
            let seconds = over.as_secs_f64();
            // Pausing itself holds the wake-ups down; without it there would be one for each datagram, at most.
            let busy = match self.pause {
                None => f64::from(self.wakeups) / seconds > BEGIN,
                Some(_) => self.datagrams as f64 / seconds > END,
            };
            let bytes_a_second = self.bytes as f64 / seconds;
            let eighth = Duration::from_secs_f64(self.buffer_bytes as f64 / 8.0 / bytes_a_second.max(1.0));
            let Patience { datagrams, pause_max } = self.patience;
            let enough = Duration::from_secs_f64(datagrams * seconds / self.datagrams.max(1) as f64);
            let pause = enough.clamp(PAUSE_MIN, pause_max).min(eighth);
            self.pause = busy.then_some(pause).filter(|pause| *pause >= Duration::from_micros(20));
            (self.begun, self.wakeups, self.datagrams, self.bytes) = (now, 0, 0, 0);
        }
        self.pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs at `rate` datagrams a second for a second; returns the pause of the last wake-up.
    fn run(patience: Patience, rate: u64, bytes: u64, buffer: u64) -> Option<Duration> {
        run_on(&mut Pace::with(patience, buffer, Instant::now()), rate, bytes)
    }

    fn run_on(pace: &mut Pace, rate: u64, bytes: u64) -> Option<Duration> {
        let mut now = pace.begun;
        let mut pause = pace.pause;
        let end = now + Duration::from_secs(1);
        while now < end {
            let gap = Duration::from_nanos(1_000_000_000 / rate);
            let waited = pause.unwrap_or(gap).max(gap);
            now += waited;
            let datagrams = (waited.as_nanos() / gap.as_nanos()) as u64;
            pause = pace.drained(datagrams, datagrams * bytes, now);
        }
        pause
    }

    #[test]
    fn it_pauses_only_above_the_rate_and_never_past_an_eighth_of_the_buffer() {
        for (rate, bytes, buffer, want) in [
            (100, 40, 8 << 20, None),
            (5_000, 40, 8 << 20, None),
            (10_000, 40, 8 << 20, Some(400)),
            (100_000, 40, 8 << 20, Some(400)),
            (125_000, 40, 8 << 20, Some(320)),
            (500_000, 40, 8 << 20, Some(250)),
            (100_000, 40, 212_992, Some(332)),
            (500_000, 40, 212_992, Some(66)),
            (1_000_000, 1400, 212_992, None),
        ] {
            let pause = run(Patience::LIVE, rate, bytes, buffer).map(|pause| pause.as_micros());
            assert_eq!(pause, want, "{rate}/s of {bytes} bytes into {buffer}");
        }
    }

    #[test]
    fn what_is_gathered_anyway_waits_longer() {
        for (rate, buffer, want) in [
            (5_000, 8 << 20, None),
            (10_000, 8 << 20, Some(1000)),
            (100_000, 8 << 20, Some(1000)),
            (200_000, 8 << 20, Some(500)),
            (500_000, 8 << 20, Some(250)),
            (100_000, 212_992, Some(332)),
        ] {
            let pause = run(Patience::WINDOWS, rate, 40, buffer).map(|pause| pause.as_micros());
            assert_eq!(pause, want, "{rate}/s into {buffer}");
        }
    }

    #[test]
    fn it_stops_pausing_when_less_comes() {
        let mut pace = Pace::new(8 << 20, Instant::now());
        for (rate, is_paused) in [(5_000, false), (100_000, true), (8_000, true), (5_000, false), (10, false)]
        {
            assert_eq!(run_on(&mut pace, rate, 40).is_some(), is_paused, "{rate}/s");
        }
    }
}
