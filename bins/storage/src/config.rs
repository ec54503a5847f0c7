//! The configuration of leela-storage; every key stands in storage.toml and in the man page.

use common::config::Wrong;
use common::process::Process;
use common::query::selector::Selector;
use common::size::Size;
use common::span::Span;
use serde::{Deserialize, Serialize};

use crate::store::options;

/// What leela-storage can be told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long records are kept, by their own time; `0s` is for ever.
    pub retention: Span,
    /// The most that sealed files and the index take on the disk; past it the oldest goes. `0B` is no limit.
    pub disk_max: Size,
    /// With less free in the file system nothing more is written; reads and retention go on.
    pub min_free: Size,
    /// Records in memory are sealed into a file when they take so much.
    pub head_max: Size,
    /// Nothing more is taken while sealing is behind and records in memory take so much.
    pub memory_max: Size,
    /// Records in memory are sealed when they are so old: it bounds the log, and the time of a start.
    pub seal_after: Span,
    /// The files of a day are merged into one when none came for so long; before that, where they are many.
    pub merge_after: Span,
    /// What was received is made durable so often, at least.
    pub sync_every: Span,
    /// Connections to the query socket at the same time; one more is refused.
    pub connections_max: u32,
    /// Asks that are worked on at the same time; more wait for their turn.
    pub readers: u32,
    /// How long a client may take to read what waits for it, or to send a frame it has begun; then it is cut off.
    pub client_timeout: Span,
    /// A connection that asks nothing for so long is closed.
    pub idle_timeout: Span,
    /// How long a process that is told to stop lets clients take the rest of their answers.
    pub drain_timeout: Span,
    /// How long records of certain series are kept: the first that selects a series holds.
    pub keep: Vec<Keep>,
}

/// How long records of certain series are kept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keep {
    /// A regex, as in queries.
    #[serde(rename = "match")]
    pub pattern: String,
    /// How long; `0s` is for ever.
    pub age: Span,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            retention: Span::from_days(400),
            disk_max: Size::from_bytes(0),
            min_free: Size::from_mib(1024),
            head_max: Size::from_mib(160),
            memory_max: Size::from_mib(512),
            seal_after: Span::from_mins(10),
            merge_after: Span::from_mins(10),
            sync_every: Span::from_secs(1),
            connections_max: 64,
            readers: 4,
            client_timeout: Span::from_secs(10),
            idle_timeout: Span::from_mins(5),
            drain_timeout: Span::from_millis(500),
            keep: Vec::new(),
        }
    }
}

impl Config {
    /// What the embedded store in `directory` is told.
    ///
    /// # Errors
    /// With a pattern that is no regex; [`Process::check`] has found it before.
    pub fn options(&self, directory: std::path::PathBuf) -> Result<options::Options, Wrong> {
        let age = |span: Span| (!span.is_zero()).then(|| span.duration());
        let keep = |keep: &Keep| {
            let selector =
                Selector::parse(&keep.pattern).map_err(|error| Wrong::new("keep", error.to_string()))?;
            Ok(options::Keep { selector, age: age(keep.age) })
        };
        Ok(options::Options {
            head_bytes_max: self.head_max.bytes(),
            memory_bytes_max: self.memory_max.bytes(),
            seal_after: self.seal_after.duration(),
            settle: self.merge_after.duration(),
            retention: age(self.retention),
            keep: self.keep.iter().map(keep).collect::<Result<_, Wrong>>()?,
            disk_max: (!self.disk_max.is_empty()).then(|| self.disk_max.bytes()),
            min_free: self.min_free.bytes(),
            ..options::Options::at(directory)
        })
    }
}

impl Process for Config {
    const NAME: &'static str = "storage";
    const PROGRAM: &'static str = "leela-storage";
    const ABOUT: &'static str = "Events, states and notes kept, and read back by name, pattern and tag";

    fn check(&self) -> Result<(), Wrong> {
        let ages = self.keep.iter().map(|keep| keep.age);
        for (key, age) in std::iter::once(("retention", self.retention)).chain(ages.map(|age| ("keep", age)))
        {
            if !age.is_zero() && age < Span::from_hours(1) {
                return Err(Wrong::new(key, "at least 1h, or 0s for ever"));
            }
        }
        if !self.disk_max.is_empty() && self.disk_max < Size::from_mib(16) {
            return Err(Wrong::new("disk_max", "at least 16MiB, or 0B for no limit"));
        }
        if self.head_max < Size::from_mib(1) {
            return Err(Wrong::new("head_max", "at least 1MiB"));
        }
        if self.memory_max.bytes() / 2 < self.head_max.bytes() {
            return Err(Wrong::new(
                "memory_max",
                "at least twice `head_max`: one half is sealed while the other fills",
            ));
        }
        for (key, span) in [("seal_after", self.seal_after), ("merge_after", self.merge_after)] {
            if !(Span::from_secs(1)..=Span::from_hours(24)).contains(&span) {
                return Err(Wrong::new(key, "1s to 1d"));
            }
        }
        if !(Span::from_millis(10)..=Span::from_secs(60)).contains(&self.sync_every) {
            return Err(Wrong::new("sync_every", "10ms to 1m"));
        }
        if !(1..=4096).contains(&self.connections_max) {
            return Err(Wrong::new("connections_max", "1 to 4,096"));
        }
        if !(1..=256).contains(&self.readers) {
            return Err(Wrong::new("readers", "1 to 256"));
        }
        for (key, span) in [("client_timeout", self.client_timeout), ("idle_timeout", self.idle_timeout)] {
            if span < Span::from_millis(100) || span > Span::from_days(1) {
                return Err(Wrong::new(key, "100ms to 1d"));
            }
        }
        self.options(std::path::PathBuf::new()).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::config;

    #[test]
    fn the_shipped_file_shows_every_key_at_its_default() {
        assert_eq!(config::shown(include_str!("../storage.toml")), config::defaults::<Config>());
    }

    #[test]
    fn the_man_page_has_every_key_with_its_default() {
        assert_eq!(config::manual(include_str!("../leela-storage.8.rst")), config::entries::<Config>());
    }

    #[test]
    fn a_key_out_of_range_is_named() {
        let default = Config::default;
        let keep = |pattern: &str, age| vec![Keep { pattern: pattern.to_owned(), age }];
        assert!(default().check().is_ok());
        assert!(Config { retention: Span::ZERO, ..default() }.check().is_ok());
        for (config, key) in [
            (Config { retention: Span::from_mins(59), ..default() }, "retention"),
            (Config { disk_max: Size::from_mib(15), ..default() }, "disk_max"),
            (Config { head_max: Size::from_kib(1023), ..default() }, "head_max"),
            (Config { memory_max: Size::from_mib(319), ..default() }, "memory_max"),
            (Config { seal_after: Span::from_millis(999), ..default() }, "seal_after"),
            (Config { merge_after: Span::from_hours(25), ..default() }, "merge_after"),
            (Config { sync_every: Span::from_secs(61), ..default() }, "sync_every"),
            (Config { connections_max: 0, ..default() }, "connections_max"),
            (Config { readers: 257, ..default() }, "readers"),
            (Config { client_timeout: Span::ZERO, ..default() }, "client_timeout"),
            (Config { idle_timeout: Span::from_days(2), ..default() }, "idle_timeout"),
            (Config { keep: keep("^web", Span::from_mins(1)), ..default() }, "keep"),
            (Config { keep: keep("^web(", Span::from_days(1)), ..default() }, "keep"),
        ] {
            let wrong = config.check().expect_err(key);
            assert!(wrong.to_string().contains(key), "{wrong}");
        }
    }

    #[test]
    fn zero_is_no_limit_and_patterns_have_their_own() {
        let text = "disk_max = \"1GiB\"\nretention = \"0s\"\n[[keep]]\nmatch = '^debug\\.'\nage = \"7d\"\n";
        let config: Config = toml::from_str(text).unwrap();
        let options = config.options("/tmp/x".into()).unwrap();
        assert_eq!((options.retention, options.disk_max), (None, Some(1 << 30)));
        assert!(options.keep[0].selector.matches(b"debug.a"));
        assert_eq!(options.keep[0].age, Some(std::time::Duration::from_secs(7 * 86_400)));
        assert_eq!(Config::default().options("/tmp/x".into()).unwrap().disk_max, None);
    }
}
