//! The configuration of leela-statsd; every key stands in statsd.toml and in the man page.

use std::net::SocketAddr;

use common::config::Wrong;
use common::process::{Mode, Process};
use common::size::Size;
use common::span::Span;
use serde::{Deserialize, Serialize};

use crate::key::{Origin, Style};
use crate::reader::Rules;
use crate::{explain, rules};

/// What leela-statsd can be told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Addresses and ports to receive on by UDP, IPv4 and IPv6.
    pub listen: Vec<SocketAddr>,
    /// Sockets for each address; the kernel spreads senders over them. 1 to 64.
    pub readers: usize,
    /// Receive buffer of each socket; the kernel grants at most `net.core.rmem_max` without CAP_NET_ADMIN.
    pub receive_buffer: Size,
    /// What `+5|g` and `-5|g` are.
    pub gauges: Gauges,
    /// How names are taken.
    pub names: Names,
    /// Forms of names with tags in them that are read as such.
    pub tagged_names: Vec<TaggedNames>,
    /// Datadog's fields on where a metric comes from that become tags.
    pub origin_tags: Vec<OriginTag>,
    /// What waits for a timeline that is away or behind; past it the oldest datagrams go, counted.
    pub ring: Size,
    /// How long a process that is told to stop waits for the timeline to take what is left.
    pub drain_timeout: Span,
    /// What becomes of series by their names and tags; the first that matches wins.
    pub rules: Vec<rules::Config>,
}

/// What a gauge with a sign is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gauges {
    /// A change of it, as etsy's server has it.
    Relative,
    /// What it is now, as Datadog's clients mean it.
    Absolute,
}

/// How names are taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Names {
    /// As they come.
    Verbatim,
    /// As etsy's server rewrites them.
    Etsy,
}

/// A form of names with tags in them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaggedNames {
    /// `name;a=b`.
    Graphite,
    /// `name,a=b`.
    Influx,
}

/// A field on where a metric comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OriginTag {
    /// `c:`.
    Container,
    /// `e:`.
    External,
    /// `card:`.
    Cardinality,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 8125))],
            readers: 1,
            receive_buffer: Size::from_mib(64),
            gauges: Gauges::Relative,
            names: Names::Verbatim,
            tagged_names: Vec::new(),
            origin_tags: Vec::new(),
            ring: Size::from_mib(64),
            drain_timeout: Span::from_millis(500),
            rules: Vec::new(),
        }
    }
}

impl Config {
    /// How lines are read.
    ///
    /// # Errors
    /// Where a rule cannot be used.
    pub fn reading(&self) -> Result<Rules, Wrong> {
        let rules = rules::Rules::new(&self.rules).map_err(|why| Wrong::new("rules", why.to_string()))?;
        let origin = Origin {
            container: self.origin_tags.contains(&OriginTag::Container),
            external: self.origin_tags.contains(&OriginTag::External),
            cardinality: self.origin_tags.contains(&OriginTag::Cardinality),
        };
        Ok(Rules {
            relative_gauges: self.gauges == Gauges::Relative,
            style: Style {
                is_etsy: self.names == Names::Etsy,
                graphite: self.tagged_names.contains(&TaggedNames::Graphite),
                influx: self.tagged_names.contains(&TaggedNames::Influx),
                origin,
                rules,
            },
        })
    }
}

impl Process for Config {
    const NAME: &'static str = "statsd";
    const PROGRAM: &'static str = "leela-statsd";
    const ABOUT: &'static str = "StatsD and DogStatsD in, metrics out";
    const MODES: &'static [Mode<Config>] = &[Mode {
        flag: "explain",
        help: "Read lines from standard input, print what each is understood as or what is wrong with it, and exit",
        run: explain::run,
    }];

    fn check(&self) -> Result<(), Wrong> {
        if self.listen.is_empty() {
            return Err(Wrong::new("listen", "at least one address"));
        }
        if !(1..=64).contains(&self.readers) {
            return Err(Wrong::new("readers", "1 to 64"));
        }
        if self.ring < Size::from_mib(1) {
            return Err(Wrong::new("ring", "at least 1MiB"));
        }
        self.reading().map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::config;

    #[test]
    fn the_shipped_file_shows_every_key_at_its_default() {
        assert_eq!(config::shown(include_str!("../statsd.toml")), config::defaults::<Config>());
    }

    #[test]
    fn the_man_page_has_every_key_with_its_default() {
        assert_eq!(config::manual(include_str!("../leela-statsd.8.rst")), config::entries::<Config>());
    }

    #[test]
    fn what_cannot_work_is_told() {
        for (text, want) in [
            ("", Ok(())),
            ("listen = []", Err("listen: at least one address")),
            ("readers = 65", Err("readers: 1 to 64")),
            ("ring = \"1KiB\"", Err("ring: at least 1MiB")),
            ("[[rules]]\nname = \"a\"\ndrop = true", Ok(())),
            (
                "[[rules]]\nname = \"a\"",
                Err("rules: rule 1: it says nothing: write drop, rename, keep or add"),
            ),
        ] {
            let config: Config = toml::from_str(text).unwrap();
            let got = config.check().map_err(|wrong| wrong.to_string());
            assert_eq!(got, want.map_err(str::to_owned), "{text}");
        }
    }
}
