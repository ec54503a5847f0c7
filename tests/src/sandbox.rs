//! A place for one test: its directories, its processes and the sockets that outlive them.

use std::collections::HashMap;
use std::fs::{self, File};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use command_fds::{CommandFdExt, FdMapping};
use common::books::Snapshot;
use common::runtime_dir::RuntimeDir;
use nix::sys::statvfs::statvfs;
use sockets::inherited;
use sockets::peer::{Peer, Standing};
use sockets::ring::RingFile;
use tempfile::TempDir;

use crate::binary::binary;
use crate::proc::Proc;
use crate::process::Process;
use crate::reader::Reader;
use crate::recorder::Recorder;
use crate::wait::{wait_for, wait_until};

/// Receive buffer of the UDP sockets that a sandbox holds, as leela-udp.socket asks for.
const RECEIVE_BUFFER_BYTES: usize = 64 << 20;
/// Room that a sandbox wants on a tmpfs.
const ROOM_BYTES: u64 = 1 << 30;

/// The directories of a test: `run` (the runtime directory), `etc`, `state`, `log`.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) run: RuntimeDir,
    root: TempDir,
    logs: AtomicU32,
}

/// Directories, processes and sockets of one test.
#[derive(Debug)]
pub struct Sandbox {
    home: Arc<Home>,
    held: HashMap<String, Vec<OwnedFd>>,
    listen: HashMap<String, Vec<SocketAddr>>,
    environment: Vec<(String, String)>,
}

impl Default for Sandbox {
    fn default() -> Sandbox {
        Sandbox::new()
    }
}

impl Sandbox {
    /// An empty place. Like `leela up` it prefers a tmpfs, where rings and books never touch a disk.
    pub fn new() -> Sandbox {
        let tmpfs = Path::new("/dev/shm");
        let roomy = statvfs(tmpfs).is_ok_and(|fs| fs.blocks_available() * fs.fragment_size() > ROOM_BYTES);
        let mut builder = tempfile::Builder::new();
        builder.prefix("leela-");
        // Paths of sockets are short.
        let place = if roomy { tmpfs } else { Path::new("/tmp") };
        let root = builder.tempdir_in(place).or_else(|_| builder.tempdir()).expect("a temporary directory");
        for dir in ["run", "etc", "state", "log"] {
            fs::create_dir(root.path().join(dir)).expect("the directory is new");
        }
        let run = RuntimeDir::at(&root.path().join("run")).expect("temporary paths are short");
        run.prepare().expect("the directory is ours");
        let home = Arc::new(Home { run, root, logs: AtomicU32::new(0) });
        Sandbox { home, held: HashMap::new(), listen: HashMap::new(), environment: Vec::new() }
    }

    /// The runtime directory.
    pub fn run(&self) -> &RuntimeDir {
        &self.home.run
    }

    /// The directory of everything.
    pub fn path(&self) -> &Path {
        self.home.root.path()
    }

    /// Holds the sockets of a process, which are handed to every instance of it that is started: what is queued
    /// there outlives the process. Those of an input are on a free port.
    pub fn hold(&mut self, process: &str) {
        let run = self.run().clone();
        let held: Vec<OwnedFd> = match process {
            "udp" | "collectd" | "statsd" => {
                return self.hold_udp(process, &[(Ipv4Addr::LOCALHOST, 0).into()], 1);
            }
            "http" => return self.hold_tcp(process, &[(Ipv4Addr::LOCALHOST, 0).into()]),
            "timeline" => vec![
                bind_datagram(&run.timeline_databus()).into(),
                bind_datagram(&run.timeline_multicast()).into(),
            ],
            "dmproc" => vec![
                bind_datagram(&run.dmproc_databus()).into(),
                UnixListener::bind(run.dmproc_proc()).expect("the path is free").into(),
            ],
            "storage" => vec![
                bind_datagram(&run.storage_databus()).into(),
                UnixListener::bind(run.storage_query()).expect("the path is free").into(),
            ],
            _ => panic!("{process} has no sockets that could be held"),
        };
        self.held.insert(process.to_owned(), held);
    }

    /// Holds UDP sockets for an input, `readers` for each address; port 0 is a free one.
    pub fn hold_udp(&mut self, process: &str, addresses: &[SocketAddr], readers: usize) {
        let bind = |address: &SocketAddr| {
            inherited::bind_udp(*address, readers, RECEIVE_BUFFER_BYTES).expect("a loopback address")
        };
        let sockets: Vec<UdpSocket> = addresses.iter().flat_map(bind).collect();
        let local = sockets.iter().map(|socket| socket.local_addr().expect("it is bound"));
        let mut listen: Vec<SocketAddr> = local.collect();
        listen.dedup();
        self.listen.insert(process.to_owned(), listen);
        self.held.insert(process.to_owned(), sockets.into_iter().map(OwnedFd::from).collect());
    }

    /// Holds listening TCP sockets for a process; port 0 is a free one.
    pub fn hold_tcp(&mut self, process: &str, addresses: &[SocketAddr]) {
        let bind = |address: &SocketAddr| inherited::bind_tcp(*address).expect("a loopback address");
        let sockets: Vec<TcpListener> = addresses.iter().map(bind).collect();
        let local = sockets.iter().map(|socket| socket.local_addr().expect("it is bound"));
        self.listen.insert(process.to_owned(), local.collect());
        self.held.insert(process.to_owned(), sockets.into_iter().map(OwnedFd::from).collect());
    }

    /// Holds a unix datagram socket and a listening unix stream socket for a process: paths, or `@` and an abstract name.
    pub fn hold_unix(&mut self, process: &str, datagram: &str, stream: &str) {
        let mut none = inherited::Inherited::default();
        let datagram = none.datagram(Path::new(datagram), 0o666).expect("it is free");
        let stream = none.stream(Path::new(stream), 0o666).expect("it is free");
        self.held.insert(process.to_owned(), vec![datagram.into(), stream.into()]);
    }

    /// Hands what is held for `from` to `process` as well: sockets it has no use for.
    pub fn hand_to(&mut self, process: &str, from: &str) {
        let sockets = self.held[from].iter().map(|socket| socket.try_clone().expect("descriptors are left"));
        let sockets = sockets.collect();
        self.held.insert(process.to_owned(), sockets);
    }

    /// Hands nothing over any more to instances of `process` that are started from now on.
    pub fn release(&mut self, process: &str) {
        self.held.remove(process);
    }

    /// As [`Sandbox::release`], where `process` has ended; returns when nobody has its sockets. What another test is just
    /// starting has all that this program has, until it is a program of its own.
    pub fn close(&mut self, process: &str) {
        let held = self.held.remove(process).unwrap_or_default();
        let sockets: Vec<PathBuf> = held
            .iter()
            .map(|socket| fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).expect("it is open"))
            .collect();
        drop(held);
        wait_until(&format!("nobody has the sockets of {process}"), || {
            let processes = fs::read_dir("/proc").expect("Linux has it").flatten();
            let mut open = processes
                .filter_map(|process| fs::read_dir(process.path().join("fd")).ok())
                .flat_map(|descriptors| descriptors.flatten())
                .filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
            !open.any(|target| sockets.contains(&target))
        });
    }

    /// Processes that are started from now on have this in their environment.
    pub fn set_environment(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Where leela-udp listens.
    pub fn listen(&self) -> SocketAddr {
        self.listens("udp")[0]
    }

    /// Every address at which an input listens, by the sockets that are held for it.
    pub fn listens(&self, process: &str) -> &[SocketAddr] {
        self.listen.get(process).unwrap_or_else(|| panic!("nothing is held for {process}"))
    }

    /// Starts leela-udp over sockets that the sandbox holds, with `config` beside its `listen`.
    pub fn start_udp(&mut self, config: &str) -> Process {
        self.start_held("udp", config)
    }

    /// Starts leela-timeline over sockets that the sandbox holds.
    pub fn start_timeline(&mut self, config: &str) -> Process {
        self.start_held("timeline", config)
    }

    /// Starts a process over sockets that the sandbox holds, and goes on to hold. An input is told in its
    /// configuration, beside `config`, where it listens.
    pub fn start_held(&mut self, process: &str, config: &str) -> Process {
        if !self.held.contains_key(process) && !["host", "xmpp"].contains(&process) {
            self.hold(process);
        }
        let listen = self.listen.get(process).map(|listen| {
            let listen: Vec<String> = listen.iter().map(|address| format!("\"{address}\"")).collect();
            format!("listen = [{}]\n", listen.join(", "))
        });
        self.start(process, &(listen.unwrap_or_default() + config))
    }

    /// Starts a process with a configuration and the sockets that are held for it; returns when it is ready.
    ///
    /// # Panics
    /// With its log when it ends first.
    pub fn start(&self, process: &str, config: &str) -> Process {
        let log = self.new_log(process);
        let file = File::create(&log).expect("the log's directory is ours");
        let mut command = self.command(process, config, &[]);
        command.stdout(file.try_clone().expect("a file can be cloned")).stderr(file);
        Process::spawn(process, command, log, self.home.clone())
    }

    /// Runs a process to its end, which it has to reach by itself, and gives its output.
    pub fn run_to_end(&self, process: &str, config: &str, arguments: &[&str]) -> Output {
        Sandbox::to_end(process, self.command(process, config, arguments))
    }

    /// As [`Sandbox::run_to_end`], with this on its standard input.
    pub fn run_fed(&self, process: &str, config: &str, arguments: &[&str], input: &str) -> Output {
        let file = self.path().join(format!("{process}.input"));
        fs::write(&file, input).expect("the directory is ours");
        let mut command = self.command(process, config, arguments);
        command.stdin(File::open(&file).expect("it was written"));
        Sandbox::to_end(process, command)
    }

    /// Runs a process to its end with these arguments alone, in the directory of the sandbox.
    pub fn run_plainly(&self, process: &str, arguments: &[&str]) -> Output {
        let mut command = self.program(&format!("leela-{process}"));
        command.args(arguments);
        Sandbox::to_end(process, command)
    }

    /// Runs the operator's command on this instance.
    pub fn leela(&self, arguments: &[&str]) -> Output {
        let mut command = self.program("leela");
        command.arg("--runtime-dir").arg(self.run().path()).args(arguments);
        Sandbox::to_end("leela", command)
    }

    /// A client of dmproc with this proc; the reason, when it is refused.
    pub fn proc(&self, text: &str) -> Result<Proc, String> {
        Proc::open(&self.run().dmproc_proc(), text)
    }

    fn to_end(process: &str, mut command: Command) -> Output {
        let child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let mut child = Reaped(Some(child));
        wait_for(&format!("{process} ends by itself"), || child.ended());
        child.output()
    }

    /// The command line of a process: its program, its configuration file, and the sockets held for it.
    fn command(&self, process: &str, config: &str, arguments: &[&str]) -> Command {
        let root = self.home.root.path();
        let file = root.join("etc").join(format!("{process}.toml"));
        fs::write(&file, config).expect("the directory is ours");
        let mut command = self.program(&format!("leela-{process}"));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.arg("--config").arg(&file);
        command.arg("--runtime-dir").arg(self.run().path());
        command.arg("--state-dir").arg(root.join("state").join(process));
        command.args(arguments);
        if let Some(held) = self.held.get(process) {
            let handed = held.iter().zip(3..).map(|(socket, child_fd)| FdMapping {
                parent_fd: socket.try_clone().expect("descriptors are left"),
                child_fd,
            });
            command.fd_mappings(handed.collect()).expect("each has a number of its own");
            command.env("LISTEN_FDS", held.len().to_string());
        }
        command
    }

    /// A program of Leela's, without what the environment of the test could tell it.
    fn program(&self, process: &str) -> Command {
        self.alone(&binary(process))
    }

    /// A program in the directory of the sandbox, without what the environment of the test could tell it.
    pub(crate) fn alone(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.path()).stdin(Stdio::null());
        for (variable, _) in std::env::vars_os() {
            let name = variable.to_string_lossy();
            let ours =
                ["LEELA_", "LISTEN_", "NOTIFY_", "WATCHDOG_"].iter().any(|prefix| name.starts_with(prefix));
            if ours || ["JOURNAL_STREAM", "STATE_DIRECTORY", "XDG_RUNTIME_DIR"].contains(&&*name) {
                command.env_remove(&variable);
            }
        }
        command
    }

    /// One reading of a process's books.
    pub fn books(&self, process: &str) -> Snapshot {
        // They are renamed into place, so there is no moment without them once they are there.
        Snapshot::read(&self.run().books(process)).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The peers of a process's ring with what waits for each, by its books.
    pub fn peers(&self, process: &str) -> Vec<(Peer, u64)> {
        peers(self.run().path(), process)
    }

    /// The peer of the timeline whose socket in `peers/` has this name, with what waits for it.
    pub fn peer(&self, name: &str) -> Option<(Peer, u64)> {
        let path = self.run().peers().join(name);
        self.peers("timeline").into_iter().find(|(peer, _)| peer.path == path)
    }

    /// Waits until the timeline sends its events to this socket.
    #[track_caller]
    pub fn wait_peer(&self, socket: &Path) {
        wait_until(&format!("{} is a peer", socket.display()), || {
            let peers = self.peers("timeline");
            peers.iter().any(|(peer, _)| peer.path == socket && peer.standing == Standing::Active)
        });
    }

    /// A consumer of the timeline's events; returns when the timeline has taken it.
    pub fn recorder(&self, name: &str) -> Recorder {
        self.recorder_that(name, "")
    }

    /// A consumer that registers with `words`; returns when the timeline has taken it.
    pub fn recorder_that(&self, name: &str, words: &str) -> Recorder {
        let recorder = Recorder::start(self.home.clone(), name, words);
        wait_for("the recorder is a peer", || {
            self.peer(name).filter(|(peer, _)| peer.standing == Standing::Active)
        });
        recorder
    }

    /// The test in the place of the process that reads at `socket` (`timeline.databus`).
    pub fn reader(&self, socket: &str) -> Reader {
        Reader::bind(&self.run().path().join(socket))
    }

    /// A UDP socket of a client that talks to `address`.
    pub fn client(&self, address: SocketAddr) -> UdpSocket {
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::LOCALHOST, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::LOCALHOST, 0).into(),
        };
        let socket = UdpSocket::bind(any).expect("a port is free");
        socket.connect(address).expect("loopback");
        socket.set_read_timeout(Some(crate::DEADLINE)).expect("it is not zero");
        socket
    }

    pub(crate) fn home(&self) -> Arc<Home> {
        self.home.clone()
    }

    pub(crate) fn new_log(&self, process: &str) -> PathBuf {
        let number = self.home.logs.fetch_add(1, Relaxed);
        self.home.root.path().join("log").join(format!("{number}-{process}.log"))
    }
}

/// The peers of a process's ring with what waits for each, by its books.
pub(crate) fn peers(run: &Path, process: &str) -> Vec<(Peer, u64)> {
    let Ok(Some(ring)) = RingFile::read(&run.join("rings").join(process)) else { return Vec::new() };
    // They are renamed into place, so there is no moment without them once they are there.
    let books = Snapshot::read(&run.join("books").join(process)).unwrap_or_else(|error| panic!("{error}"));
    let numbers = RingFile::numbers(&books.carried);
    ring.peers.into_iter().map(|peer| (peer.waiting(&numbers), peer)).map(|(n, peer)| (peer, n)).collect()
}

fn bind_datagram(path: &Path) -> UnixDatagram {
    UnixDatagram::bind(path).unwrap_or_else(|error| panic!("binding {}: {error}", path.display()))
}

/// A child that is killed when the test fails first.
struct Reaped(Option<std::process::Child>);

impl Reaped {
    fn ended(&mut self) -> Option<()> {
        let child = self.0.as_mut()?;
        child.try_wait().expect("the child is ours").map(|_| ())
    }

    fn output(mut self) -> Output {
        let child = self.0.take().expect("taken once");
        child.wait_with_output().expect("its pipes are ours")
    }
}

impl Drop for Reaped {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
