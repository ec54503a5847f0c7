//! When to read again: at once while little comes, after a short pause while much does.
//!
//! Up to [`WAKEUPS_MAX`] a drained input is handed on at once. Above it a process pauses 250 to 400 us before it reads
//! again, so that one wake-up, one commit and one send serve many small datagrams: measured, 100 k of them a
//! second cost a third of the processor time. The pause never spans more than an eighth of the receive buffer.

use std::time::{Duration, Instant};

/// Wake-ups a second up to which a process does not pause.
pub const WAKEUPS_MAX: u32 = 5_000;

/// Pausing begins and ends above it, and not at one rate: sources are not that even.
const BEGIN: f64 = WAKEUPS_MAX as f64 * 1.2;
const END: f64 = WAKEUPS_MAX as f64 * 1.1;

/// The pause is long enough for this many datagrams, within the two bounds: where a wake-up serves fewer, it is the
/// wake-ups that cost; where it serves more, a longer pause only delays.
const DATAGRAMS_A_PAUSE: f64 = 40.0;
const PAUSE_MIN: Duration = Duration::from_micros(250);
const PAUSE_MAX: Duration = Duration::from_micros(400);
/// The rate is measured over this long.
const SPAN: Duration = Duration::from_millis(10);
/// What the kernel books for a small datagram beyond its bytes.
pub const OVERHEAD_BYTES: u64 = 768;

/// Measures the rate of wake-ups and of bytes, and says how long to pause.
#[derive(Debug)]
pub struct Pace {
    buffer_bytes: u64,
    begun: Instant,
    wakeups: u32,
    datagrams: u64,
    bytes: u64,
    pause: Option<Duration>,
}

impl Pace {
    /// A pace for sockets with a receive buffer of `buffer_bytes` (what the kernel grants, not what was asked).
    pub fn new(buffer_bytes: u64, now: Instant) -> Pace {
        Pace { buffer_bytes, begun: now, wakeups: 0, datagrams: 0, bytes: 0, pause: None }
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
            // Pausing itself holds the wake-ups down to 4,000 a second; without it there would be one for each
            // datagram, at most.
            let busy = match self.pause {
                None => f64::from(self.wakeups) / seconds > BEGIN,
                Some(_) => self.datagrams as f64 / seconds > END,
            };
            let bytes_a_second = self.bytes as f64 / seconds;
            let eighth = Duration::from_secs_f64(self.buffer_bytes as f64 / 8.0 / bytes_a_second.max(1.0));
            let enough = Duration::from_secs_f64(DATAGRAMS_A_PAUSE * seconds / self.datagrams.max(1) as f64);
            let pause = enough.clamp(PAUSE_MIN, PAUSE_MAX).min(eighth);
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
    fn run(rate: u64, bytes: u64, buffer: u64) -> Option<Duration> {
        run_on(&mut Pace::new(buffer, Instant::now()), rate, bytes)
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
            let pause = run(rate, bytes, buffer).map(|pause| pause.as_micros());
            assert_eq!(pause, want, "{rate}/s of {bytes} bytes into {buffer}");
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
