//! The configuration of leela-timeline; every key stands in timeline.toml and in the man page.

use std::collections::BTreeMap;

use common::config::Wrong;
use common::process::Process;
use common::size::Size;
use common::span::Span;
use serde::{Deserialize, Serialize};

use crate::emitted::{DEFAULT, Emitted, Part, Pattern, Profile};
use crate::limits::Limits;
use crate::rules::{Rules, RulesError};

/// What leela-timeline can be told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The interval that sources keep, about: the base of a rate moves when half of it has passed.
    pub resolution: Span,
    /// The windows in which counts, samples and members are gathered, aligned to the wall clock.
    pub interval: Span,
    /// A count that is idle gives one 0, then zeros for so long.
    pub idle_zeros: Span,
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
    /// What is emitted of samples: words behind their name.
    pub sample: Vec<String>,
    /// Gauges, by regexes of their names, that are emitted again at the end of every window in which they were not set.
    pub keep_gauges: Vec<String>,
    /// What is emitted of certain samples: the first that selects a name holds.
    pub samples: Vec<SampleList>,
    /// Tags joined to every key that does not have them; `%H` is the host's name.
    pub tags: BTreeMap<String, String>,
}

/// What is emitted of certain samples.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleList {
    /// A regex of their names, as in queries.
    #[serde(rename = "match")]
    pub pattern: String,
    /// Words behind their name.
    pub emit: Vec<String>,
    /// Bounds of a histogram, ascending.
    #[serde(default)]
    pub bounds: Vec<f64>,
}

impl Default for Config {
    fn default() -> Config {
        let Limits { series_max, series_reserve, series_per_input_max, series_per_part_max } =
            Limits::default();
        Config {
            resolution: Span::from_secs(10),
            interval: Span::from_secs(10),
            idle_zeros: Span::ZERO,
            ttl: Span::from_hours(1),
            backfill_max: Span::from_days(400),
            series_max,
            series_reserve,
            series_per_input_max,
            series_per_part_max,
            ring: Size::from_mib(64),
            drain_timeout: Span::from_millis(500),
            sample: DEFAULT.map(str::to_owned).to_vec(),
            keep_gauges: Vec::new(),
            samples: Vec::new(),
            tags: BTreeMap::new(),
        }
    }
}

impl Config {
    /// The rules that this configuration makes. `host` stands for `%H`.
    ///
    /// # Errors
    /// With a word that is emitted of no sample, a regex that is none, or bounds that do not ascend;
    /// [`Process::check`] has found it before.
    pub fn rules(&self, host: &str) -> Result<Rules, Wrong> {
        Ok(Rules {
            resolution: self.resolution.duration(),
            interval: self.interval.duration(),
            idle_zeros: self.idle_zeros.duration(),
            emitted: self.emitted()?,
            ttl: self.ttl.duration(),
            backfill_max: self.backfill_max.duration(),
            tags: self.tags.iter().map(|(tag, value)| (tag.clone(), value.replace("%H", host))).collect(),
            limits: Limits {
                series_max: self.series_max,
                series_reserve: self.series_reserve,
                series_per_input_max: self.series_per_input_max,
                series_per_part_max: self.series_per_part_max,
            },
        })
    }

    fn emitted(&self) -> Result<Emitted, Wrong> {
        let pattern = |key: &'static str, text: &str| {
            Pattern::parse(text).map_err(|error| Wrong::new(key, format!("{text}: {error}")))
        };
        let profile = |key: &'static str, words: &[String], bounds: &[f64]| {
            let parts = words.iter().map(|word| word.parse()).collect::<Result<Vec<Part>, _>>();
            let parts = parts.map_err(|error| Wrong::new(key, error.to_string()))?;
            Profile::new(&parts, bounds).ok_or_else(|| Wrong::new(key, "bounds are numbers that ascend"))
        };
        let samples = self.samples.iter().map(|list| {
            Ok((pattern("samples", &list.pattern)?, profile("samples", &list.emit, &list.bounds)?))
        });
        Ok(Emitted {
            samples: samples.collect::<Result<_, Wrong>>()?,
            sample: profile("sample", &self.sample, &[])?,
            keep_gauges: self
                .keep_gauges
                .iter()
                .map(|text| pattern("keep_gauges", text))
                .collect::<Result<_, _>>()?,
        })
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
        self.rules("host")?.check().map_err(|error| {
            let key = match &error {
                RulesError::Resolution => "resolution",
                RulesError::Interval => "interval",
                RulesError::IdleZeros => "idle_zeros",
                RulesError::Samples => "samples",
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
        assert_eq!(Config::default().rules("host").unwrap(), Rules::default());
        assert!(Config::default().check().is_ok());
    }
}
