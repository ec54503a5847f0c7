//! The configuration of leela-statsd; every key stands in statsd.toml and in the man page.

use std::net::SocketAddr;
use std::path::PathBuf;

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
    /// Addresses and ports to listen on by TCP.
    pub tcp: Vec<SocketAddr>,
    /// Addresses and ports to listen on by TLS.
    pub tls: Vec<SocketAddr>,
    /// The certificate chain to serve TLS with, PEM.
    pub tls_certificate: PathBuf,
    /// Its private key, PEM.
    pub tls_key: PathBuf,
    /// Certificates of those who may sign a client's certificate, PEM; empty to ask for none.
    pub tls_client_ca: PathBuf,
    /// Unix datagram sockets, paths or `@` and an abstract name.
    pub unix_datagram: Vec<PathBuf>,
    /// Unix stream sockets, the same.
    pub unix_stream: Vec<PathBuf>,
    /// The mode of unix sockets that have a path, octal.
    pub unix_mode: String,
    /// Connections at the same time; one more is closed at once.
    pub connections_max: u32,
    /// The longest line, in bytes.
    pub line_max: Size,
    /// The longest frame of a unix stream, in bytes.
    pub frame_max: Size,
    /// How long a connection may be silent.
    pub idle_timeout: Span,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Span,
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
            tcp: Vec::new(),
            tls: Vec::new(),
            tls_certificate: PathBuf::new(),
            tls_key: PathBuf::new(),
            tls_client_ca: PathBuf::new(),
            unix_datagram: Vec::new(),
            unix_stream: Vec::new(),
            unix_mode: "0666".to_owned(),
            connections_max: 1_024,
            line_max: Size::from_kib(64),
            frame_max: Size::from_kib(64),
            idle_timeout: Span::from_mins(10),
            handshake_timeout: Span::from_secs(10),
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
    /// The mode of unix sockets that have a path.
    ///
    /// # Errors
    /// Where it is none.
    pub fn mode(&self) -> Result<u32, Wrong> {
        let mode = u32::from_str_radix(&self.unix_mode, 8).ok().filter(|mode| *mode <= 0o777);
        mode.ok_or(Wrong::new("unix_mode", "an octal mode, \"0600\" to \"0777\""))
    }

    fn check_streams(&self) -> Result<(), Wrong> {
        self.mode()?;
        for (key, paths) in [("unix_datagram", &self.unix_datagram), ("unix_stream", &self.unix_stream)] {
            for path in paths {
                let text = path.to_string_lossy();
                if !(text.starts_with('/') || text.len() > 1 && text.starts_with('@')) {
                    let why = format!("{text}: an absolute path, or @ and an abstract name");
                    return Err(Wrong::new(key, why));
                }
            }
        }
        let empty = |path: &PathBuf| path.as_os_str().is_empty();
        if !self.tls.is_empty() && (empty(&self.tls_certificate) || empty(&self.tls_key)) {
            return Err(Wrong::new("tls", "it needs tls_certificate and tls_key"));
        }
        let both = |address: &&SocketAddr| address.port() != 0 && self.tls.contains(address);
        if let Some(both) = self.tcp.iter().find(both) {
            return Err(Wrong::new("tls", format!("{both} stands in tcp as well")));
        }
        if !(1..=1_000_000).contains(&self.connections_max) {
            return Err(Wrong::new("connections_max", "1 to 1000000"));
        }
        for (key, size) in [("line_max", self.line_max), ("frame_max", self.frame_max)] {
            if !(Size::from_kib(1)..=Size::from_mib(15)).contains(&size) {
                return Err(Wrong::new(key, "1KiB to 15MiB"));
            }
        }
        for (key, span) in
            [("idle_timeout", self.idle_timeout), ("handshake_timeout", self.handshake_timeout)]
        {
            if !(Span::from_secs(1)..=Span::from_days(365)).contains(&span) {
                return Err(Wrong::new(key, "1s to 365d"));
            }
        }
        Ok(())
    }

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
        let streams = self.tcp.len() + self.tls.len() + self.unix_stream.len();
        if self.listen.len() + self.unix_datagram.len() + streams == 0 {
            return Err(Wrong::new(
                "listen",
                "at least one address, or one of tcp, tls, unix_datagram, unix_stream",
            ));
        }
        if !(1..=64).contains(&self.readers) {
            return Err(Wrong::new("readers", "1 to 64"));
        }
        if self.ring < Size::from_mib(1) {
            return Err(Wrong::new("ring", "at least 1MiB"));
        }
        self.check_streams()?;
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
            (
                "listen = []",
                Err("listen: at least one address, or one of tcp, tls, unix_datagram, unix_stream"),
            ),
            ("listen = []\ntcp = [\"127.0.0.1:8125\"]", Ok(())),
            ("unix_mode = \"rw\"", Err("unix_mode: an octal mode, \"0600\" to \"0777\"")),
            ("unix_stream = [\"@\"]", Err("unix_stream: @: an absolute path, or @ and an abstract name")),
            ("unix_datagram = [\"a\"]", Err("unix_datagram: a: an absolute path, or @ and an abstract name")),
            ("unix_datagram = [\"/a\", \"@a\"]", Ok(())),
            ("tls = [\"127.0.0.1:1\"]", Err("tls: it needs tls_certificate and tls_key")),
            (
                "tcp = [\"127.0.0.1:1\"]\ntls = [\"127.0.0.1:1\"]\ntls_certificate = \"c\"\ntls_key = \"k\"",
                Err("tls: 127.0.0.1:1 stands in tcp as well"),
            ),
            ("connections_max = 0", Err("connections_max: 1 to 1000000")),
            ("line_max = \"1B\"", Err("line_max: 1KiB to 15MiB")),
            ("frame_max = \"17MiB\"", Err("frame_max: 1KiB to 15MiB")),
            ("idle_timeout = \"0s\"", Err("idle_timeout: 1s to 365d")),
            ("handshake_timeout = \"1ms\"", Err("handshake_timeout: 1s to 365d")),
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
