//! The configuration of leela-xmpp; every key stands in xmpp.toml and in the man page.

use std::collections::BTreeMap;
use std::path::PathBuf;

use common::config::Wrong;
use common::process::Process;
use common::query::selector::Selector;
use common::size::Size;
use common::span::Span;
use serde::{Deserialize, Serialize};
use xmpp_parsers::jid::{BareJid, Jid};

/// What leela-xmpp can be told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The account to log in as; empty, and the process does not run.
    pub jid: String,
    /// A file with its password.
    pub password_file: PathBuf,
    /// The server, `host:port`; empty to ask DNS for that of the account's domain.
    pub server: String,
    /// Certificates of those who may sign the server's certificate, PEM; empty for the system's.
    pub tls_ca: PathBuf,
    /// The name in rooms.
    pub nick: String,
    /// Rooms to join.
    pub rooms: Vec<String>,
    /// What a message's body is, as long as its user said nothing else.
    pub format: Format,
    /// Who may ask, accounts and domains; empty for the domain of the account.
    pub allow: Vec<String>,
    /// Subscriptions of one user.
    pub queries_max: u32,
    /// Subscriptions in all.
    pub subscriptions_max: u32,
    /// Messages with values to one user in a minute; what is over comes as a digest.
    pub messages_per_minute: u32,
    /// Statements of one user in a minute; what is over is refused.
    pub requests_per_minute: u32,
    /// The longest statement.
    pub body_max: Size,
    /// From one digest to the next.
    pub digest_interval: Span,
    /// How long values wait for a user who is offline.
    pub hold: Span,
    /// How much of that there is for one subscription.
    pub hold_max: Size,
    /// How long a process that is told to stop waits for the server to take what is left.
    pub drain_timeout: Span,
    /// The Redis that keeps the subscriptions.
    pub redis: Redis,
    /// Which keys an account or a domain may see, as regexes; who is not named sees all.
    pub see: BTreeMap<String, Vec<String>>,
}

/// Where Redis is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Redis {
    /// Its host; empty for none.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The number of its database.
    pub db: u32,
    /// A file with its password; empty for none.
    pub password_file: PathBuf,
}

/// What a message's body is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Text for people, and JSON beside it.
    Text,
    /// JSON alone.
    Json,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            jid: String::new(),
            password_file: PathBuf::from("xmpp.password"),
            server: String::new(),
            tls_ca: PathBuf::new(),
            nick: "leela".to_owned(),
            rooms: Vec::new(),
            format: Format::Text,
            allow: Vec::new(),
            queries_max: 20,
            subscriptions_max: 1_000,
            messages_per_minute: 20,
            requests_per_minute: 60,
            body_max: Size::from_kib(8),
            digest_interval: Span::from_mins(1),
            hold: Span::from_hours(24),
            hold_max: Size::from_kib(16),
            drain_timeout: Span::from_millis(500),
            redis: Redis::default(),
            see: BTreeMap::new(),
        }
    }
}

impl Default for Redis {
    fn default() -> Redis {
        Redis { host: String::new(), port: 6379, db: 0, password_file: PathBuf::new() }
    }
}

impl Process for Config {
    const NAME: &'static str = "xmpp";
    const PROGRAM: &'static str = "leela-xmpp";
    const ABOUT: &'static str = "Live queries by chat: statements in, values out, over XMPP";

    fn check(&self) -> Result<(), Wrong> {
        if !self.jid.is_empty() && !Jid::new(&self.jid).is_ok_and(|jid| jid.node().is_some()) {
            return Err(Wrong::new("jid", "an account such as \"leela@example.org\""));
        }
        if !self.server.is_empty() && host_and_port(&self.server).is_none() {
            return Err(Wrong::new("server", "a host and a port such as \"xmpp.example.org:5222\""));
        }
        if self.nick.trim().is_empty() {
            return Err(Wrong::new("nick", "a name"));
        }
        if self.rooms.iter().any(|room| !BareJid::new(room).is_ok_and(|room| room.node().is_some())) {
            return Err(Wrong::new("rooms", "addresses such as \"ops@conference.example.org\""));
        }
        if self.allow.iter().any(|who| BareJid::new(who).is_err()) {
            return Err(Wrong::new("allow", "accounts such as \"alice@example.org\", and domains"));
        }
        for (who, patterns) in &self.see {
            if BareJid::new(who).is_err() {
                return Err(Wrong::new("see", format!("`{who}` is neither an account nor a domain")));
            }
            if let Some(error) = patterns.iter().find_map(|pattern| Selector::parse(pattern).err()) {
                return Err(Wrong::new("see", format!("{who}: {error}")));
            }
            if let Err(error) = Selector::parse(&any_of(patterns)) {
                return Err(Wrong::new("see", format!("{who}: {error}")));
            }
        }
        for (key, value, max) in [
            ("queries_max", self.queries_max, 1_000),
            ("subscriptions_max", self.subscriptions_max, 10_000),
            ("messages_per_minute", self.messages_per_minute, 1_000_000),
            ("requests_per_minute", self.requests_per_minute, 1_000_000),
        ] {
            if !(1..=max).contains(&value) {
                return Err(Wrong::new(key, format!("1 to {max}")));
            }
        }
        if !(Size::from_bytes(256)..=Size::from_kib(32)).contains(&self.body_max) {
            return Err(Wrong::new("body_max", "256 to 32KiB"));
        }
        if !(Span::from_secs(1)..=Span::from_hours(24)).contains(&self.digest_interval) {
            return Err(Wrong::new("digest_interval", "1s to 24h"));
        }
        if !(Span::from_mins(1)..=Span::from_days(31)).contains(&self.hold) {
            return Err(Wrong::new("hold", "1m to 31d"));
        }
        if !(Size::from_kib(1)..=Size::from_kib(32)).contains(&self.hold_max) {
            return Err(Wrong::new("hold_max", "1KiB to 32KiB"));
        }
        Ok(())
    }
}

/// The parts of `host:port`; an IPv6 address stands in brackets.
pub(crate) fn host_and_port(server: &str) -> Option<(&str, u16)> {
    let (host, port) = server.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Some((host, port.parse().ok().filter(|&port| port != 0)?)).filter(|(host, _)| !host.is_empty())
}

/// One regex for several; none of them selects nothing.
pub(crate) fn any_of(patterns: &[String]) -> String {
    if patterns.is_empty() {
        return "[^\\s\\S]".to_owned();
    }
    patterns.iter().map(|pattern| format!("(?:{pattern})")).collect::<Vec<_>>().join("|")
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::config;

    #[test]
    fn the_shipped_file_shows_every_key_at_its_default() {
        assert_eq!(config::shown(include_str!("../xmpp.toml")), config::defaults::<Config>());
    }

    #[test]
    fn the_man_page_has_every_key_with_its_default() {
        assert_eq!(config::manual(include_str!("../leela-xmpp.8.rst")), config::entries::<Config>());
    }

    #[test]
    fn a_value_that_cannot_work_is_refused() {
        let default = Config::default;
        assert!(default().check().is_ok());
        let text = str::to_owned;
        for (config, key) in [
            (Config { jid: text("leela"), ..default() }, "jid"),
            (Config { server: text("localhost"), ..default() }, "server"),
            (Config { server: text(":5222"), ..default() }, "server"),
            (Config { nick: text(" "), ..default() }, "nick"),
            (Config { rooms: vec![text("conference.example.org")], ..default() }, "rooms"),
            (Config { allow: vec![text("@b")], ..default() }, "allow"),
            (Config { see: [(text("a@b"), vec![text("(")])].into(), ..default() }, "see"),
            (Config { queries_max: 0, ..default() }, "queries_max"),
            (Config { messages_per_minute: 0, ..default() }, "messages_per_minute"),
            (Config { body_max: Size::from_mib(1), ..default() }, "body_max"),
            (Config { digest_interval: Span::ZERO, ..default() }, "digest_interval"),
            (Config { hold: Span::ZERO, ..default() }, "hold"),
            (Config { hold_max: Size::from_mib(1), ..default() }, "hold_max"),
        ] {
            let wrong = config.check().expect_err(key);
            assert_eq!(wrong.key, key, "{wrong}");
        }
    }

    #[test]
    fn a_server_has_a_port() {
        for (server, want) in [
            ("localhost:5222", Some(("localhost", 5222))),
            ("127.0.0.1:1", Some(("127.0.0.1", 1))),
            ("[::1]:5222", Some(("::1", 5222))),
            ("a:0", None),
            ("a:b", None),
            ("a", None),
        ] {
            assert_eq!(host_and_port(server), want, "{server}");
        }
    }

    #[test]
    fn several_patterns_are_one() {
        let either = Selector::parse(&any_of(&["^web".to_owned(), "^db|x".to_owned()])).unwrap();
        assert!(either.matches(b"web.a") && either.matches(b"ax") && !either.matches(b"a"));
        let none = Selector::parse(&any_of(&[])).unwrap();
        assert!(!none.matches(b"a"));
    }
}
