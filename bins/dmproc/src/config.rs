//! The configuration of leela-dmproc; every key stands in dmproc.toml and in the man page.

use common::config::Wrong;
use common::process::Process;
use common::size::Size;
use common::span::Span;
use serde::{Deserialize, Serialize};

/// The least `client_buffer`: what one datagram of events can become, and what may wait before it is written.
const CLIENT_BUFFER_MIN: Size = Size::from_kib(128);

/// What leela-dmproc can be told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Clients at the same time; one more is refused.
    pub connections_max: u32,
    /// What waits for a client that does not read; past it the client loses events, counted.
    pub client_buffer: Size,
    /// Memory for the state of one proc over all its series; a proc that needs more is ended.
    pub client_state: Size,
    /// Memory for the state of all procs; the proc that needs more is ended.
    pub state: Size,
    /// How long a client may take to send its proc, or a frame it has begun.
    pub handshake_timeout: Span,
    /// Series in all; the events of others are refused.
    pub series_max: u32,
    /// A series without an event for so long is forgotten, with what procs know of it.
    pub series_ttl: Span,
    /// How long a process that is told to stop waits for clients to take what is left.
    pub drain_timeout: Span,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            connections_max: 1_024,
            client_buffer: Size::from_kib(256),
            client_state: Size::from_mib(256),
            state: Size::from_mib(1024),
            handshake_timeout: Span::from_secs(10),
            series_max: 2_000_000,
            series_ttl: Span::from_hours(1),
            drain_timeout: Span::from_millis(500),
        }
    }
}

impl Process for Config {
    const NAME: &'static str = "dmproc";
    const PROGRAM: &'static str = "leela-dmproc";
    const ABOUT: &'static str = "Events in, live queries answered";

    fn check(&self) -> Result<(), Wrong> {
        if !(1..=1_000_000).contains(&self.connections_max) {
            return Err(Wrong::new("connections_max", "1 to 1,000,000"));
        }
        if self.client_buffer < CLIENT_BUFFER_MIN {
            return Err(Wrong::new("client_buffer", "at least 128KiB"));
        }
        if self.client_state > self.state {
            return Err(Wrong::new("client_state", "at most `state`"));
        }
        if self.handshake_timeout < Span::from_secs(1) {
            return Err(Wrong::new("handshake_timeout", "at least 1s"));
        }
        if self.series_ttl < Span::from_secs(1) || self.series_ttl > Span::from_days(366) {
            return Err(Wrong::new("series_ttl", "1s to 366d"));
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
        assert_eq!(config::shown(include_str!("../dmproc.toml")), config::defaults::<Config>());
    }

    #[test]
    fn the_man_page_has_every_key_with_its_default() {
        assert_eq!(config::manual(include_str!("../leela-dmproc.8.rst")), config::entries::<Config>());
    }

    #[test]
    fn a_key_out_of_range_is_named() {
        let default = Config::default;
        assert!(default().check().is_ok());
        for (config, key) in [
            (Config { connections_max: 0, ..default() }, "connections_max"),
            (Config { client_buffer: Size::from_kib(127), ..default() }, "client_buffer"),
            (Config { client_state: Size::from_mib(1025), ..default() }, "client_state"),
            (Config { handshake_timeout: Span::ZERO, ..default() }, "handshake_timeout"),
            (Config { series_ttl: Span::from_days(367), ..default() }, "series_ttl"),
        ] {
            let wrong = config.check().expect_err(key);
            assert!(wrong.to_string().contains(key), "{wrong}");
        }
    }
}
