//! The configuration of leela-collectd; every key stands in collectd.toml and in the man page.

use std::net::SocketAddr;
use std::path::PathBuf;

use common::config::Wrong;
use common::process::Process;
use common::size::Size;
use common::span::Span;
use serde::{Deserialize, Serialize};

use crate::group::Group;
use crate::packet::Sources;
use crate::security::Level;

/// Where collectd's packages put types.db.
pub const TYPES_DB: &str = "/usr/share/collectd/types.db";

/// What leela-collectd can be told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Addresses and ports to receive on, IPv4 and IPv6.
    pub listen: Vec<SocketAddr>,
    /// Multicast groups to join, each with its interface if need be: `239.192.74.66`, `ff18::efc0:4a42%eth0`.
    pub join: Vec<Group>,
    /// Sockets for each address; the kernel spreads senders over them. 1 to 64.
    pub readers: usize,
    /// Receive buffer of each socket; the kernel grants at most `net.core.rmem_max` without CAP_NET_ADMIN.
    pub receive_buffer: Size,
    /// What is less secure is refused.
    pub security_level: Level,
    /// Who may sign and encrypt, a line `user: password` each; empty is nobody. A relative path is a credential
    /// of systemd's where there are any.
    pub auth_file: PathBuf,
    /// Whether the key of what is signed or encrypted begins with the user.
    pub user_prefix: bool,
    /// The names of data sources: types.db files, of which the later ones win.
    pub types_db: Vec<PathBuf>,
    /// What stands behind the key of each of several values: the source's name, or its number from 0.
    pub sources: Sources,
    /// What waits for a timeline that is away or behind; past it the oldest datagrams go, counted.
    pub ring: Size,
    /// How long a process that is told to stop waits for the timeline to take what is left.
    pub drain_timeout: Span,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 25826))],
            join: Vec::new(),
            readers: 1,
            receive_buffer: Size::from_mib(64),
            security_level: Level::None,
            auth_file: PathBuf::new(),
            user_prefix: true,
            types_db: vec![TYPES_DB.into()],
            sources: Sources::Names,
            ring: Size::from_mib(64),
            drain_timeout: Span::from_millis(500),
        }
    }
}

impl Process for Config {
    const NAME: &'static str = "collectd";
    const PROGRAM: &'static str = "leela-collectd";
    const ABOUT: &'static str = "collectd's binary network protocol in, metrics out";

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
        if self.security_level != Level::None && self.auth_file.as_os_str().is_empty() {
            return Err(Wrong::new("security_level", "nobody can sign or encrypt without an auth_file"));
        }
        self.check_groups()
    }
}

impl Config {
    fn check_groups(&self) -> Result<(), Wrong> {
        for group in &self.join {
            if !self.listen.iter().any(|address| group.reaches(address.ip())) {
                let all = if group.address.is_ipv4() { "0.0.0.0" } else { "[::]" };
                let why = format!("nothing in listen hears {group}, add \"{all}:25826\" there");
                return Err(Wrong::new("join", why));
            }
        }
        for address in self.listen.iter().map(SocketAddr::ip).filter(|address| address.is_multicast()) {
            if !self.join.iter().any(|group| group.address == address) {
                return Err(Wrong::new("join", format!("listen has the group {address}, name it here too")));
            }
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
        assert_eq!(config::shown(include_str!("../collectd.toml")), config::defaults::<Config>());
    }

    #[test]
    fn the_man_page_has_every_key_with_its_default() {
        assert_eq!(config::manual(include_str!("../leela-collectd.8.rst")), config::entries::<Config>());
    }

    #[test]
    fn what_cannot_work_together_is_told() {
        for (text, want) in [
            ("", Ok(())),
            ("listen = []", Err("listen: at least one address")),
            ("readers = 65", Err("readers: 1 to 64")),
            ("ring = \"1KiB\"", Err("ring: at least 1MiB")),
            (
                "security_level = \"sign\"",
                Err("security_level: nobody can sign or encrypt without an auth_file"),
            ),
            ("security_level = \"encrypt\"\nauth_file = \"/etc/leela/collectd.users\"", Ok(())),
            (
                "listen = [\"0.0.0.0:1\", \"[::]:1\"]\njoin = [\"239.192.74.66\", \"ff18::efc0:4a42%eth0\"]",
                Ok(()),
            ),
            ("listen = [\"239.192.74.66:1\"]\njoin = [\"239.192.74.66\"]", Ok(())),
            (
                "join = [\"239.192.74.66%eth0\"]",
                Err("join: nothing in listen hears 239.192.74.66%eth0, add \"0.0.0.0:25826\" there"),
            ),
            (
                "listen = [\"0.0.0.0:1\"]\njoin = [\"ff18::efc0:4a42\"]",
                Err("join: nothing in listen hears ff18::efc0:4a42, add \"[::]:25826\" there"),
            ),
            (
                "listen = [\"239.192.74.66:1\"]",
                Err("join: listen has the group 239.192.74.66, name it here too"),
            ),
        ] {
            let config: Config = toml::from_str(text).unwrap();
            let got = config.check().map_err(|wrong| wrong.to_string());
            assert_eq!(got, want.map_err(str::to_owned), "{text}");
        }
    }
}
