//! The machine's own clock: which boot it is of, and how long that is ago. Nobody sets it.

use std::fs;
use std::time::Duration;

/// A moment of a boot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Uptime {
    /// The kernel's id of the boot.
    pub boot: [u8; 16],
    /// Since it, suspended or not.
    pub since: Duration,
}

impl Uptime {
    /// Now; None where /proc does not say.
    pub fn now() -> Option<Uptime> {
        let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let digits: String = id.chars().filter(char::is_ascii_hexdigit).collect();
        let uptime = fs::read_to_string("/proc/uptime").ok()?;
        let seconds: f64 = uptime.split(' ').next()?.parse().ok()?;
        Some(Uptime {
            boot: u128::from_str_radix(&digits, 16).ok()?.to_le_bytes(),
            since: Duration::try_from_secs_f64(seconds).ok()?,
        })
    }

    /// The time since an earlier moment; None when that is of another boot.
    pub fn since(self, earlier: Uptime) -> Option<Duration> {
        (self.boot == earlier.boot).then(|| self.since.saturating_sub(earlier.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_within_a_boot() {
        let at = |boot: u8, seconds| Uptime { boot: [boot; 16], since: Duration::from_secs(seconds) };
        for (later, earlier, want) in
            [(at(1, 50), at(1, 20), Some(30)), (at(1, 20), at(1, 50), Some(0)), (at(2, 50), at(1, 20), None)]
        {
            assert_eq!(later.since(earlier), want.map(Duration::from_secs));
        }
        let first = Uptime::now().unwrap();
        assert!(Uptime::now().unwrap().since(first).unwrap() < Duration::from_secs(60));
    }
}
