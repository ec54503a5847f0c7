//! A peer's process, and the queue of its socket.

use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::child::read_proc;
use crate::clock::cpu_of;

/// It listens, or has read what was sent, within so long.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// A peer at work; killed when it is dropped.
pub(super) struct Server {
    child: Child,
    address: SocketAddr,
}

/// What the kernel says of a socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queue {
    /// Bytes that wait.
    waiting: u64,
    /// Datagrams that found no room.
    pub(super) dropped: u64,
}

impl Server {
    /// Starts it on a free port, and waits until it listens there.
    pub(super) fn start(command: impl Fn(u16) -> anyhow::Result<Command>) -> anyhow::Result<Server> {
        let address = UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = command(address.port())?;
        // Its collector of garbage would else take every idle core.
        command.env("GOMAXPROCS", "1").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        let mut server = Server { child, address };
        let end = Instant::now() + WAIT_MAX;
        while server.queue().is_err() {
            if let Some(status) = server.child.try_wait()? {
                anyhow::bail!("it ended with {status}: {command:?}");
            }
            ensure!(Instant::now() < end, "it does not listen within {WAIT_MAX:?}: {command:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its processor time so far.
    pub(super) fn cpu(&self) -> anyhow::Result<Duration> {
        cpu_of(self.child.id())
    }

    /// Waits until nothing waits for it.
    pub(super) fn wait_read(&self) -> anyhow::Result<()> {
        let end = Instant::now() + WAIT_MAX;
        while self.queue()?.waiting > 0 {
            ensure!(Instant::now() < end, "it does not read");
            std::thread::sleep(Duration::from_micros(100));
        }
        Ok(())
    }

    /// The line of its socket, by its port: the bytes that wait are the second of two numbers, what was dropped is the
    /// last one.
    pub(super) fn queue(&self) -> anyhow::Result<Queue> {
        let text = read_proc("/proc/net/udp")?;
        let port = format!(":{:04X}", self.address.port());
        let line =
            text.lines().find(|line| line.split_whitespace().nth(1).is_some_and(|at| at.ends_with(&port)));
        let mut words = line.context("nobody listens")?.split_whitespace();
        let waiting = words.nth(4).and_then(|word| word.split_once(':')).context("two lengths")?.1;
        let dropped = words.next_back().context("drops")?;
        Ok(Queue { waiting: u64::from_str_radix(waiting, 16)?, dropped: dropped.parse()? })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
