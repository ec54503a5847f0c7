//! Processor time: which share of it went where between two rounds.

use procfs_core::CpuTime;

/// Where time goes, in the order of /proc/stat. Guests' time is in `user` and `nice`.
pub(super) const NAMES: [&str; 8] = [
    "host.cpu.user",
    "host.cpu.nice",
    "host.cpu.system",
    "host.cpu.idle",
    "host.cpu.iowait",
    "host.cpu.irq",
    "host.cpu.softirq",
    "host.cpu.steal",
];

/// Ticks of all processors since the machine was started, in the order of [`NAMES`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ticks([u64; 8]);

impl From<&CpuTime> for Ticks {
    fn from(time: &CpuTime) -> Ticks {
        let of = |ticks: Option<u64>| ticks.unwrap_or(0);
        Ticks([
            time.user,
            time.nice,
            time.system,
            time.idle,
            of(time.iowait),
            of(time.irq),
            of(time.softirq),
            of(time.steal),
        ])
    }
}

impl Ticks {
    /// The share of each since `before`, from 0 to 1, 1 together; `None` when no tick passed.
    pub(super) fn shares(self, before: Ticks) -> Option<[f64; 8]> {
        // The kernel's idle and iowait go back at times, by a little.
        let passed: [u64; 8] = std::array::from_fn(|place| self.0[place].saturating_sub(before.0[place]));
        let total: u64 = passed.iter().sum();
        (total > 0).then(|| passed.map(|ticks| ticks as f64 / total as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_time_between() {
        let before = Ticks([100, 0, 50, 1000, 7, 0, 0, 0]);
        for (label, now, want) in [
            ("nothing passed", before, None),
            (
                "quarters",
                Ticks([101, 0, 51, 1002, 7, 0, 0, 0]),
                Some([0.25, 0.0, 0.25, 0.5, 0.0, 0.0, 0.0, 0.0]),
            ),
            (
                "iowait went back",
                Ticks([101, 0, 50, 1001, 5, 0, 0, 2]),
                Some([0.25, 0.0, 0.0, 0.25, 0.0, 0.0, 0.0, 0.5]),
            ),
        ] {
            assert_eq!(now.shares(before), want, "{label}");
        }
    }
}
