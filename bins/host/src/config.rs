//! The configuration of leela-host; every key stands in host.toml and in the man page.

use common::config::Wrong;
use common::process::Process;
use common::size::Size;
use common::span::Span;
use serde::{Deserialize, Serialize};

use crate::skip;

/// What leela-host can be told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// From one round to the next, aligned to the clock; the first is at the start. 1s to 1h.
    pub interval: Span,
    /// Mount points that are left out; a `*` at the end stands for anything.
    pub skip_mounts: Vec<String>,
    /// Block devices that are left out.
    pub skip_devices: Vec<String>,
    /// Network interfaces that are left out.
    pub skip_interfaces: Vec<String>,
    /// What waits for a timeline that is away or behind; past it the oldest datagrams go, counted.
    pub ring: Size,
    /// How long a process that is told to stop waits for the timeline to take what is left.
    pub drain_timeout: Span,
}

impl Default for Config {
    fn default() -> Config {
        let list = |patterns: &[&str]| patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        Config {
            interval: Span::from_secs(10),
            skip_mounts: Vec::new(),
            skip_devices: list(&["loop*", "ram*", "zram*", "sr*", "fd*"]),
            skip_interfaces: list(&["lo", "veth*"]),
            ring: Size::from_mib(64),
            drain_timeout: Span::from_millis(500),
        }
    }
}

impl Process for Config {
    const NAME: &'static str = "host";
    const PROGRAM: &'static str = "leela-host";
    const ABOUT: &'static str = "The host's own numbers and the books of the other processes, as metrics";

    fn check(&self) -> Result<(), Wrong> {
        if !(Span::from_secs(1)..=Span::from_hours(1)).contains(&self.interval) {
            return Err(Wrong::new("interval", "1s to 1h"));
        }
        let lists = [
            ("skip_mounts", &self.skip_mounts),
            ("skip_devices", &self.skip_devices),
            ("skip_interfaces", &self.skip_interfaces),
        ];
        for (key, patterns) in lists {
            if patterns.iter().any(|pattern| !skip::is_pattern(pattern)) {
                return Err(Wrong::new(key, "names, where a * may stand at the end only"));
            }
        }
        if self.ring < Size::from_mib(1) {
            return Err(Wrong::new("ring", "at least 1MiB"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::config;

    #[test]
    fn the_shipped_file_shows_every_key_at_its_default() {
        assert_eq!(config::shown(include_str!("../host.toml")), config::defaults::<Config>());
    }

    #[test]
    fn the_man_page_has_every_key_with_its_default() {
        assert_eq!(config::manual(include_str!("../leela-host.8.rst")), config::entries::<Config>());
    }

    #[test]
    fn a_value_that_cannot_work_is_refused() {
        assert!(Config::default().check().is_ok());
        for (label, config) in [
            ("interval", Config { interval: Span::from_millis(999), ..Config::default() }),
            ("interval", Config { interval: Span::from_secs(3601), ..Config::default() }),
            ("skip_mounts", Config { skip_mounts: vec!["/a*b".into()], ..Config::default() }),
            ("skip_devices", Config { skip_devices: vec![String::new()], ..Config::default() }),
            ("ring", Config { ring: Size::from_mib(0), ..Config::default() }),
        ] {
            assert!(config.check().is_err(), "{label}");
        }
    }
}
