//! Where lines come in: every socket that the configuration names, handed over or bound.

use std::sync::Arc;

use anyhow::Context;
use common::exit::{Exit, OrExit};
use common::process::Process;
use hop::{Socket, without_sockets};
use rustls::ServerConfig;
use sockets::inherited::Inherited;

use crate::config::Config;
use crate::streams::Door;

/// Sockets of datagrams, and doors of streams.
#[derive(Debug)]
pub struct Sources {
    /// UDP and unix datagrams.
    pub datagrams: Vec<Socket>,
    /// TCP, TLS and unix streams.
    pub doors: Vec<Door>,
}

impl Sources {
    /// Takes what was handed over, and binds what was not.
    pub fn take(
        inherited: &mut Inherited,
        config: &Config,
        tls: Option<Arc<ServerConfig>>,
    ) -> anyhow::Result<Sources> {
        let mode = config.mode().exit(Exit::Config)?;
        let name = Config::NAME;
        let udp = inherited.udp(name, &config.listen, config.readers, config.receive_buffer.len());
        let mut datagrams: Vec<Socket> =
            udp.map_err(without_sockets)?.into_iter().map(Socket::from).collect();
        for path in &config.unix_datagram {
            let socket = inherited.datagram(path, mode).map_err(without_sockets)?;
            datagrams.push(Socket::Unix(socket, path.display().to_string()));
        }
        let addresses = [&config.tcp[..], &config.tls].concat();
        let mut doors = Vec::new();
        let listeners = inherited.tcp(name, &addresses).map_err(without_sockets)?;
        for (place, listener) in listeners.into_iter().enumerate() {
            let address = listener.local_addr().context("asking a socket for its address")?;
            // What was handed over is in any order; what was bound here is as configured, and may be at port 0.
            let is_tls =
                config.tls.contains(&address) || !config.tcp.contains(&address) && place >= config.tcp.len();
            doors.push(Door::Tcp(listener, tls.clone().filter(|_| is_tls)));
        }
        for path in &config.unix_stream {
            let listener = inherited.stream(path, mode).map_err(without_sockets)?;
            doors.push(Door::Unix(listener, path.display().to_string()));
        }
        Ok(Sources { datagrams, doors })
    }
}
