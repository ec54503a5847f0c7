//! A real XMPP server of one test: Prosody or ejabberd, with accounts, at an address of its own on the loopback.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::process::Process;
use crate::sandbox::Sandbox;
use crate::service::service;
use crate::wait::{wait_for, wait_until};
use crate::{ejabberd, prosody};

/// The domain of the bot and of those who may ask.
pub const DOMAIN: &str = "localhost";
/// Another domain of the same server.
pub const STRANGE: &str = "stranger.example";
/// Where rooms are.
pub const ROOMS: &str = "conference.localhost";
/// Accounts of every server, with their domains.
pub(crate) const ACCOUNTS: [(&str, &str); 6] = [
    ("leela", DOMAIN),
    ("alice", DOMAIN),
    ("bob", DOMAIN),
    ("carol", DOMAIN),
    ("foobar", DOMAIN),
    ("mallory", STRANGE),
];
/// The password of every account.
pub const PASSWORD: &str = "correct horse";
/// What both servers take as one stanza by default.
pub const STANZA_BYTES: usize = 256 << 10;

/// The first port that is tried for a server.
const PORT: u16 = 15_222;
/// The first of the ports that the kernel picks where it is not told others.
const PORTS_PICKED: u16 = 32_768;

/// Whose program a server is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Brand {
    /// Prosody.
    Prosody,
    /// ejabberd.
    Ejabberd,
}

impl Brand {
    /// Its name, which is also that of its service.
    pub fn name(self) -> &'static str {
        match self {
            Brand::Prosody => "prosody",
            Brand::Ejabberd => "ejabberd",
        }
    }
}

/// A server with its accounts.
#[derive(Debug)]
pub struct ChatServer {
    brand: Brand,
    address: SocketAddr,
    dir: PathBuf,
    program: PathBuf,
    process: Option<Process>,
}

impl Sandbox {
    /// A server that is ready, with its defaults; none where its program is not installed (see [`service`]).
    pub fn chat_server(&self, brand: Brand) -> Option<ChatServer> {
        self.chat_server_that(brand, STANZA_BYTES)
    }

    /// A server that takes stanzas of so many bytes.
    pub fn chat_server_that(&self, brand: Brand, stanza_bytes: usize) -> Option<ChatServer> {
        let program = service(brand.name())?;
        let dir = self.path().join(brand.name());
        fs::create_dir(&dir).expect("a sandbox has one server of a brand");
        certificates(self, &dir);
        let mut server = ChatServer { brand, address: own_address(), dir, program, process: None };
        match brand {
            Brand::Prosody => prosody::prepare(&server, stanza_bytes),
            Brand::Ejabberd => ejabberd::prepare(&server, stanza_bytes),
        }
        server.start(self);
        Some(server)
    }
}

impl ChatServer {
    /// Whose program it is.
    pub fn brand(&self) -> Brand {
        self.brand
    }

    /// Where it listens, which stays when it is started anew.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its own directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The authority that signed its certificate, in a file.
    pub fn authority(&self) -> PathBuf {
        self.dir.join("ca.crt")
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        self.process.as_ref().expect("it runs")
    }

    /// Starts it anew after [`ChatServer::kill9`]; returns when it takes connections.
    pub fn start(&mut self, sandbox: &Sandbox) {
        let mut process = match self.brand {
            Brand::Prosody => prosody::begin(self, sandbox),
            Brand::Ejabberd => ejabberd::begin(self, sandbox),
        };
        let address = self.address;
        wait_until(&format!("{} takes connections", self.brand.name()), || {
            assert!(process.is_alive(), "{} has ended", self.brand.name());
            TcpStream::connect(address).is_ok()
        });
        self.process = Some(process);
    }

    /// Kills it, as a machine does that loses its power.
    pub fn kill9(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill9();
        }
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// A file of tests/services with what is this server's own.
    pub(crate) fn filled_in(&self, template: &str, stanza_bytes: usize) -> String {
        template
            .replace("@dir@", self.dir.to_str().expect("temporary paths are text"))
            .replace("127.0.0.1", &self.address.ip().to_string())
            .replace("@port@", &self.address.port().to_string())
            .replace("@stanza_bytes@", &stanza_bytes.to_string())
    }
}

/// An address that a server has for itself as long as the test runs, also while it is down. All of 127.0.0.0/8 is the
/// loopback: none of its addresses is given out twice here, and other processes have theirs by their own ids. The port is
/// none that the kernel picks for who binds port 0, at all addresses too, nor one where the machine has a service.
pub(crate) fn own_address() -> SocketAddr {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let number = (process::id() << 8).wrapping_add(LAST.fetch_add(1, Relaxed));
    // 127.128.0.0 to 127.255.255.254.
    let ip = Ipv4Addr::from_bits(0x7f80_0000 + number % 0x7f_ffff);
    let free = |port: &u16| TcpListener::bind((ip, *port)).is_ok();
    let port = (PORT..PORTS_PICKED).find(free).expect("a port is free");
    (ip, port).into()
}

/// An authority (ca.crt), and what it signed: server.crt, server.key and both in server.pem.
fn certificates(sandbox: &Sandbox, dir: &Path) {
    let names = format!("subjectAltName=DNS:{DOMAIN},DNS:{STRANGE},DNS:{ROOMS}");
    let make = |name: &str, more: &[&str]| {
        let (key, certificate) = (dir.join(format!("{name}.key")), dir.join(format!("{name}.crt")));
        let mut openssl = sandbox.alone(Path::new("openssl"));
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        openssl.args(["-days", "2", "-subj", &format!("/CN={name}")]).args(more);
        let output = openssl.arg("-keyout").arg(key).arg("-out").arg(certificate).output();
        let output = output.expect("openssl is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    make("ca", &["-addext", "basicConstraints=critical,CA:TRUE"]);
    let path = |name: &str| dir.join(name).to_str().expect("temporary paths are text").to_owned();
    let signed = ["-CA", &path("ca.crt"), "-CAkey", &path("ca.key")];
    make(
        "server",
        &[&signed[..], &["-addext", "basicConstraints=critical,CA:FALSE", "-addext", &names]].concat(),
    );
    let read = |name: &str| fs::read(dir.join(name)).expect("it was made");
    fs::write(dir.join("server.pem"), [read("server.crt"), read("server.key")].concat()).expect("it is ours");
}

/// Waits until `process` has logged `text`, as long as it lives.
pub(crate) fn wait_logged(process: &mut Process, name: &str, text: &str) {
    wait_for(&format!("{name} logs {text:?}"), || {
        assert!(process.is_alive(), "{name} has ended");
        process.log().contains(text).then_some(())
    });
}
