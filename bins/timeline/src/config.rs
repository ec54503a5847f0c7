//! The configuration of leela-timeline; every key stands in timeline.toml and in the man page.

use std::collections::BTreeMap;

use common::config::Wrong;
use common::process::Process;
use common::size::Size;
use common::span::Span;
use serde::{Deserialize, Serialize};

use crate::limits::Limits;
use crate::rules::{Rules, RulesError};

/// What leela-timeline can be told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The interval that sources keep, about: the base of a rate moves when half of it has passed.
    pub resolution: Span,
    /// A series without a record for so long is forgotten.
    pub ttl: Span,
    /// A gauge further back than this is refused.
    pub backfill_max: Span,
    /// Series in all.
    pub series_max: u32,
    /// Of these, the last so many are for names that begin with `leela.`.
    pub series_reserve: u32,
    /// Series that one input may open.
    pub series_per_input_max: u32,
    /// Series whose names have their first part in common.
    pub series_per_part_max: u32,
    /// What waits for consumers that are behind; past it the oldest datagrams go, counted for each of them.
    pub ring: Size,
    /// How long a process that is told to stop waits for consumers to take what is left.
    pub drain_timeout: Span,
    /// Tags joined to every key that does not have them; `%H` is the host's name.
    pub tags: BTreeMap<String, String>,
}

impl Default for Config {
    fn default() -> Config {
        let Limits { series_max, series_reserve, series_per_input_max, series_per_part_max } =
            Limits::default();
        Config {
            resolution: Span::from_secs(10),
            ttl: Span::from_hours(1),
            backfill_max: Span::from_days(400),
            series_max,
            series_reserve,
            series_per_input_max,
            series_per_part_max,
            ring: Size::from_mib(64),
            drain_timeout: Span::from_millis(500),
            tags: BTreeMap::new(),
        }
    }
}

impl Config {
    /// The rules that this configuration makes. `host` stands for `%H`.
    pub fn rules(&self, host: &str) -> Rules {
        Rules {
            resolution: self.resolution.duration(),
            ttl: self.ttl.duration(),
            backfill_max: self.backfill_max.duration(),
            tags: self.tags.iter().map(|(tag, value)| (tag.clone(), value.replace("%H", host))).collect(),
            limits: Limits {
                series_max: self.series_max,
                series_reserve: self.series_reserve,
                series_per_input_max: self.series_per_input_max,
                series_per_part_max: self.series_per_part_max,
            },
        }
    }
}

impl Process for Config {
    const NAME: &'static str = "timeline";
    const PROGRAM: &'static str = "leela-timeline";
    const ABOUT: &'static str = "Metrics in, events out: what metrics mean, and who gets the events";

    fn check(&self) -> Result<(), Wrong> {
        if self.ring < Size::from_mib(1) {
            return Err(Wrong::new("ring", "at least 1MiB"));
        }
        self.rules("host").check().map_err(|error| {
            let key = match &error {
                RulesError::Resolution => "resolution",
                RulesError::Ttl => "ttl",
                RulesError::BackfillMax => "backfill_max",
                RulesError::Tag { .. } => "tags",
                RulesError::Reserve => "series_reserve",
            };
            Wrong::new(key, error.to_string())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::config;

    #[test]
    fn the_shipped_file_shows_every_key_at_its_default() {
        assert_eq!(config::shown(include_str!("../timeline.toml")), config::defaults::<Config>());
    }

    #[test]
    fn the_man_page_has_every_key_with_its_default() {
        assert_eq!(config::manual(include_str!("../leela-timeline.8.rst")), config::entries::<Config>());
    }

    #[test]
    fn the_defaults_are_the_rules_defaults() {
        assert_eq!(Config::default().rules("host"), Rules::default());
        assert!(Config::default().check().is_ok());
    }
}
