//! The configuration of leela-udp; every key stands in udp.toml and in the man page.

use std::net::SocketAddr;

use common::config::Wrong;
use common::process::Process;
use common::size::Size;
use common::span::Span;
use serde::{Deserialize, Serialize};

/// What leela-udp can be told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Addresses and ports to receive on, IPv4 and IPv6.
    pub listen: Vec<SocketAddr>,
    /// Sockets for each address; the kernel spreads senders over them. 1 to 64.
    pub readers: usize,
    /// Receive buffer of each socket; the kernel grants at most `net.core.rmem_max` without CAP_NET_ADMIN.
    pub receive_buffer: Size,
    /// What waits for a timeline that is away or behind; past it the oldest datagrams go, counted.
    pub ring: Size,
    /// How long a process that is told to stop waits for the timeline to take what is left.
    pub drain_timeout: Span,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 6968))],
            readers: 1,
            receive_buffer: Size::from_mib(64),
            ring: Size::from_mib(64),
            drain_timeout: Span::from_millis(500),
        }
    }
}

impl Process for Config {
    const NAME: &'static str = "udp";
    const PROGRAM: &'static str = "leela-udp";
    const ABOUT: &'static str = "Leela's text over UDP in, metrics out";

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
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::config;

    #[test]
    fn the_shipped_file_shows_every_key_at_its_default() {
        assert_eq!(config::shown(include_str!("../udp.toml")), config::defaults::<Config>());
    }

    #[test]
    fn the_man_page_has_every_key_with_its_default() {
        assert_eq!(config::manual(include_str!("../leela-udp.8.rst")), config::entries::<Config>());
    }
}
