//! leela-xmpp between a dmproc that is fed by UDP and a real XMPP server.

use std::fs;
use std::net::UdpSocket;

use xmpp_parsers::presence::{Presence, Type};

use crate::chat_server::{Brand, ChatServer, PASSWORD};
use crate::process::Process;
use crate::redis::Redis;
use crate::sandbox::Sandbox;
use crate::wait::wait_until;

/// The bot's bare JID.
pub const BOT: &str = "leela@localhost";

/// The whole chain: leela-udp, leela-timeline, leela-dmproc, the bridge, the server.
#[derive(Debug)]
pub struct Bridge {
    /// The bridge; none while a test has ended it.
    pub process: Option<Process>,
    /// dmproc; none while a test has ended it.
    pub dmproc: Option<Process>,
    /// The server.
    pub server: ChatServer,
    /// The place of all of them.
    pub sandbox: Sandbox,
    config: String,
    client: UdpSocket,
    _processes: [Process; 2],
}

impl Sandbox {
    /// The configuration of a bridge to a server, with `more` in it; writes the password's file.
    pub fn bridge_config(&self, server: &ChatServer, more: &str) -> String {
        let password = self.path().join("xmpp.password");
        fs::write(&password, format!("{PASSWORD}\n")).expect("the directory is ours");
        let (address, authority) = (server.address(), server.authority());
        format!(
            "jid = \"{BOT}\"\nserver = \"{address}\"\ntls_ca = {authority:?}\npassword_file = {password:?}\n{more}"
        )
    }
}

impl Bridge {
    /// A bridge that is online, with `config` in its configuration; none where the server is not installed.
    pub fn start(brand: Brand, config: &str) -> Option<Bridge> {
        let sandbox = Sandbox::new();
        let server = sandbox.chat_server(brand)?;
        Some(Bridge::with(sandbox, server, config))
    }

    /// A bridge that keeps its subscriptions in a Redis of its sandbox.
    pub fn start_on_redis(brand: Brand, config: &str) -> Option<(Bridge, Redis)> {
        let sandbox = Sandbox::new();
        let (server, redis) = (sandbox.chat_server(brand)?, sandbox.redis()?);
        let config = format!("{config}\n{}", redis.config());
        Some((Bridge::with(sandbox, server, &config), redis))
    }

    /// A bridge to this server.
    pub fn with(mut sandbox: Sandbox, server: ChatServer, config: &str) -> Bridge {
        let timeline = sandbox.start_held("timeline", "backfill_max = \"30000d\"");
        let dmproc = sandbox.start_held("dmproc", "");
        let udp = sandbox.start_udp("");
        sandbox.wait_peer(&sandbox.run().dmproc_databus());
        let client = sandbox.client(sandbox.listen());
        let config = sandbox.bridge_config(&server, config);
        let mut bridge = Bridge {
            process: None,
            dmproc: Some(dmproc),
            server,
            sandbox,
            config,
            client,
            _processes: [timeline, udp],
        };
        bridge.begin();
        bridge
    }

    /// Gives the bridge that is begun next another configuration.
    pub fn configure(&mut self, config: &str) {
        self.config = self.sandbox.bridge_config(&self.server, config);
    }

    /// Starts the bridge where there is none, and waits until it is online.
    pub fn begin(&mut self) {
        self.process = Some(self.sandbox.start("xmpp", &self.config));
        self.wait_online();
    }

    /// Waits until it is logged in, and what is said to its account reaches it.
    #[track_caller]
    pub fn wait_online(&self) {
        wait_until("the bridge is online", || self.counter("online") == 1);
        // Another client of the same account, which gets nothing that is said to it, sees the bridge's presence.
        let watch = self.server.login_absent("leela", "watch");
        watch.send(Presence::available().with_priority(-10));
        wait_until("the bridge is present", || {
            watch.presences().iter().any(|(from, kind)| *kind == Type::None && from != watch.jid())
        });
    }

    /// Kills the bridge.
    pub fn kill9(&mut self) {
        self.process.take().expect("it runs").kill9();
    }

    /// Sends a datagram of Leela's text to leela-udp.
    pub fn send(&self, text: &str) {
        self.client.send(text.as_bytes()).expect("loopback");
    }

    /// One counter of the bridge.
    pub fn counter(&self, name: &str) -> u64 {
        self.sandbox.books("xmpp").counter(name)
    }

    /// Waits until dmproc knows so many series.
    #[track_caller]
    pub fn wait_series(&self, count: u64) {
        wait_until(&format!("dmproc has {count} series"), || {
            self.sandbox.books("dmproc").counter("series") >= count
        });
    }

    /// Waits until dmproc serves so many procs.
    #[track_caller]
    pub fn wait_procs(&self, count: u64) {
        wait_until(&format!("dmproc has {count} procs"), || {
            self.sandbox.books("dmproc").counter("procs") == count
        });
    }
}
