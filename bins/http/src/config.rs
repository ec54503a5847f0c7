//! The configuration of leela-http; every key stands in http.toml and in the man page.

use std::net::SocketAddr;
use std::path::PathBuf;

use common::config::Wrong;
use common::process::Process;
use common::size::Size;
use common::span::Span;
use serde::{Deserialize, Serialize};

/// What leela-http can be told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Addresses and ports to listen on, IPv4 and IPv6.
    pub listen: Vec<SocketAddr>,
    /// Who may ask.
    pub auth: Auth,
    /// A file with the token that clients send as `Authorization: Bearer`; empty for none.
    pub token_file: PathBuf,
    /// The certificate chain to serve https with, PEM; empty for plain http.
    pub tls_certificate: PathBuf,
    /// Its private key, PEM.
    pub tls_key: PathBuf,
    /// Certificates of those who may sign a client's certificate, PEM; empty to ask for none.
    pub tls_client_ca: PathBuf,
    /// Names by which clients may call this server, beside addresses, localhost and the host's own name.
    pub hosts: Vec<String>,
    /// Origins whose pages may read /v1 in a browser; `*` is any.
    pub origins: Vec<String>,
    /// Connections at the same time; one more is answered 503.
    pub connections_max: u32,
    /// Of these, live streams.
    pub live_max: u32,
    /// The longest request line and headers together.
    pub header_max: Size,
    /// The longest body of a request, as it is sent.
    pub body_max: Size,
    /// The longest body of a request when it is unpacked.
    pub inflated_max: Size,
    /// Memory for the bodies of all requests at the same time; past it requests are answered 503.
    pub bodies_max: Size,
    /// How long a client may take to send a request line and headers.
    pub header_timeout: Span,
    /// How long a client may take to send a body.
    pub body_timeout: Span,
    /// How long a connection may be without a request.
    pub idle_timeout: Span,
    /// How long a client may take nothing of its answer.
    pub answer_timeout: Span,
    /// How long leela-storage may take for a piece of an answer.
    pub storage_timeout: Span,
    /// Connections to leela-storage at the same time; one more request waits.
    pub storage_connections: u32,
    /// Threads that serve connections.
    pub threads: u32,
    /// What waits for a timeline that is away or behind; from half of it on writes are answered 503.
    pub ring: Size,
    /// How long a process that is told to stop goes on with the requests it has.
    pub drain_timeout: Span,
}

/// Who may ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// Whoever has the token or a certificate, where either is configured; else who is on this host.
    Auto,
    /// Everybody.
    None,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 4080))],
            auth: Auth::Auto,
            token_file: PathBuf::new(),
            tls_certificate: PathBuf::new(),
            tls_key: PathBuf::new(),
            tls_client_ca: PathBuf::new(),
            hosts: Vec::new(),
            origins: vec!["*".to_owned()],
            connections_max: 1_024,
            live_max: 256,
            header_max: Size::from_kib(32),
            body_max: Size::from_mib(8),
            inflated_max: Size::from_mib(32),
            bodies_max: Size::from_mib(256),
            header_timeout: Span::from_secs(10),
            body_timeout: Span::from_secs(30),
            idle_timeout: Span::from_secs(75),
            answer_timeout: Span::from_secs(30),
            storage_timeout: Span::from_secs(30),
            storage_connections: 16,
            threads: 2,
            ring: Size::from_mib(64),
            drain_timeout: Span::from_millis(500),
        }
    }
}

impl Config {
    /// The first address that other hosts reach though nobody is asked who he is.
    fn open_address(&self) -> Option<&SocketAddr> {
        let asks = !self.token_file.as_os_str().is_empty() || !self.tls_client_ca.as_os_str().is_empty();
        let open = |address: &&SocketAddr| !address.ip().to_canonical().is_loopback();
        self.listen.iter().find(open).filter(|_| self.auth == Auth::Auto && !asks)
    }
}

impl Process for Config {
    const NAME: &'static str = "http";
    const PROGRAM: &'static str = "leela-http";
    const ABOUT: &'static str = "The REST API: metrics in, history and live values out";

    fn check(&self) -> Result<(), Wrong> {
        if self.listen.is_empty() {
            return Err(Wrong::new("listen", "at least one address"));
        }
        if let Some(address) = self.open_address() {
            let why = format!(
                "other hosts reach {address}: set token_file or tls_client_ca, or write auth = \"none\" to let \
                 everybody in"
            );
            return Err(Wrong::new("listen", why));
        }
        let empty = |path: &PathBuf| path.as_os_str().is_empty();
        if empty(&self.tls_certificate) != empty(&self.tls_key) {
            return Err(Wrong::new("tls_key", "tls_certificate and tls_key go together"));
        }
        if !empty(&self.tls_client_ca) && empty(&self.tls_certificate) {
            return Err(Wrong::new("tls_client_ca", "it needs tls_certificate and tls_key"));
        }
        if self.auth == Auth::None && !(empty(&self.token_file) && empty(&self.tls_client_ca)) {
            return Err(Wrong::new(
                "auth",
                "\"none\" lets everybody in: take token_file and tls_client_ca away",
            ));
        }
        for (key, value, max) in [
            ("connections_max", self.connections_max, 1_000_000),
            ("live_max", self.live_max, self.connections_max),
            ("storage_connections", self.storage_connections, 1_024),
            ("threads", self.threads, 256),
        ] {
            if !(1..=max).contains(&value) {
                return Err(Wrong::new(key, format!("1 to {max}")));
            }
        }
        if !(Size::from_kib(8)..=Size::from_mib(1)).contains(&self.header_max) {
            return Err(Wrong::new("header_max", "8KiB to 1MiB"));
        }
        if self.body_max < Size::from_kib(16) {
            return Err(Wrong::new("body_max", "at least 16KiB"));
        }
        if self.inflated_max < self.body_max {
            return Err(Wrong::new("inflated_max", "at least body_max"));
        }
        if self.bodies_max.bytes() < self.inflated_max.bytes().saturating_add(self.body_max.bytes()) {
            return Err(Wrong::new("bodies_max", "at least body_max and inflated_max together"));
        }
        for (key, value) in [
            ("header_timeout", self.header_timeout),
            ("body_timeout", self.body_timeout),
            ("idle_timeout", self.idle_timeout),
            ("answer_timeout", self.answer_timeout),
            ("storage_timeout", self.storage_timeout),
        ] {
            if !(Span::from_millis(100)..=Span::from_hours(24)).contains(&value) {
                return Err(Wrong::new(key, "100ms to 24h"));
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
        assert_eq!(config::shown(include_str!("../http.toml")), config::defaults::<Config>());
    }

    #[test]
    fn the_man_page_has_every_key_with_its_default() {
        assert_eq!(config::manual(include_str!("../leela-http.8.rst")), config::entries::<Config>());
    }

    #[test]
    fn who_is_not_asked_who_he_is_has_to_be_on_this_host() {
        let open = |listen: &str| Config { listen: vec![listen.parse().unwrap()], ..Config::default() };
        for (config, want) in [
            (Config::default(), true),
            (open("[::1]:4080"), true),
            (open("127.3.2.1:4080"), true),
            (open("[::ffff:127.0.0.1]:4080"), true),
            (open("0.0.0.0:4080"), false),
            (open("[::]:4080"), false),
            (open("192.0.2.1:4080"), false),
            (Config { auth: Auth::None, ..open("0.0.0.0:4080") }, true),
            (Config { token_file: "token".into(), ..open("0.0.0.0:4080") }, true),
            (
                Config {
                    tls_certificate: "c".into(),
                    tls_key: "k".into(),
                    tls_client_ca: "ca".into(),
                    ..open("0.0.0.0:4080")
                },
                true,
            ),
            (Config { tls_certificate: "c".into(), tls_key: "k".into(), ..open("0.0.0.0:4080") }, false),
            (Config { tls_key: "k".into(), ..Config::default() }, false),
            (Config { tls_client_ca: "ca".into(), ..Config::default() }, false),
            (Config { auth: Auth::None, token_file: "token".into(), ..Config::default() }, false),
        ] {
            assert_eq!(config.check().is_ok(), want, "{config:?}");
        }
    }

    #[test]
    fn a_key_out_of_range_is_named() {
        let default = Config::default;
        for (config, key) in [
            (Config { listen: Vec::new(), ..default() }, "listen"),
            (Config { connections_max: 0, ..default() }, "connections_max"),
            (Config { live_max: 1_025, ..default() }, "live_max"),
            (Config { threads: 0, ..default() }, "threads"),
            (Config { storage_connections: 0, ..default() }, "storage_connections"),
            (Config { header_max: Size::from_kib(7), ..default() }, "header_max"),
            (Config { body_max: Size::from_kib(15), ..default() }, "body_max"),
            (Config { inflated_max: Size::from_mib(7), ..default() }, "inflated_max"),
            (Config { bodies_max: Size::from_mib(39), ..default() }, "bodies_max"),
            (Config { idle_timeout: Span::ZERO, ..default() }, "idle_timeout"),
            (Config { ring: Size::from_kib(1), ..default() }, "ring"),
        ] {
            let wrong = config.check().expect_err(key);
            assert!(wrong.to_string().starts_with(key), "{wrong}");
        }
    }
}
