//! leela-xmpp between a dmproc that is fed by UDP and a real XMPP server.

use std::fs;
use std::net::UdpSocket;
use std::time::Duration;

use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;
use xmpp_parsers::presence::{Presence, Type};

use crate::chat_server::{Brand, ChatServer, PASSWORD};
use crate::process::Process;
use crate::redis::Redis;
use crate::sandbox::Sandbox;
use crate::wait::{wait_for, wait_until};

/// The bot's bare JID.
pub const BOT: &str = "leela@localhost";

/// Attempts to log in that may be in vain once a server is ready: one was under way, and one takes up a session that the
/// server does not know any more. One more, for a login that a slow machine does not get done in its 10 s.
const VAIN: u64 = 3;

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
        // Nobody who looks for the bridge finds this one.
        watch.logout();
    }

    /// Waits until it is online again at a server that has just become ready, and asserts that it took it few attempts:
    /// how long that is the machine has a say in.
    #[track_caller]
    pub fn wait_online_again(&self) {
        let before = self.counter("unreachable");
        let after = wait_for("the bridge is online again", || {
            let books = self.sandbox.books("xmpp");
            (books.counter("online") == 1).then(|| books.counter("unreachable"))
        });
        assert!(after - before <= VAIN, "{} attempts were in vain", after - before);
    }

    /// Waits until it knows that its Redis is away, which it may have been for a while before too: who counts how often
    /// cannot tell one from the other.
    #[track_caller]
    pub fn wait_directory_lost(&self) {
        wait_until("the bridge knows that Redis is away", || self.is_directory_away());
        wait_until("it has counted that", || self.counter("directory_lost") > 0);
    }

    /// Waits until its Redis is there, as far as it knows.
    #[track_caller]
    pub fn wait_directory(&self) {
        wait_until("the bridge has its Redis again", || !self.is_directory_away());
    }

    fn is_directory_away(&self) -> bool {
        let log = self.process.as_ref().map(Process::log).unwrap_or_default();
        log.rfind("subscriptions cannot be changed now") > log.rfind("the directory is there again")
    }

    /// Processor time that the bridge has spent. It does one thing after the other, so others wait for as long; what a
    /// busy machine makes them wait is no part of it.
    pub fn spent(&self) -> Duration {
        let pid = self.process.as_ref().expect("it runs").pid();
        let pid = Pid::from_raw(i32::try_from(pid).expect("process ids fit an i32"));
        let clock = clock_getcpuclockid(pid).expect("it is not waited for yet");
        clock.now().expect("it is a clock").into()
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
