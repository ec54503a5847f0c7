//! The load generator for UDP: many datagrams a system call (UDP_SEGMENT), so that it can outrun any receiver.

use std::io::IoSlice;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use common::books::Snapshot;
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, sendmsg};
use tests::DEADLINE;

/// Bytes and datagrams that the kernel takes in one call.
const CALL_BYTES_MAX: usize = 65_000;
const CALL_DATAGRAMS_MAX: usize = 64;

/// A socket connected to the input.
#[derive(Debug)]
pub(crate) struct Load {
    socket: UdpSocket,
}

impl Load {
    pub(crate) fn to(address: SocketAddr) -> anyhow::Result<Load> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(address)?;
        Ok(Load { socket })
    }

    /// Sends `bytes` as datagrams of `datagram_bytes` each; the last may be shorter.
    pub(crate) fn send(&self, bytes: &[u8], datagram_bytes: usize) -> anyhow::Result<()> {
        let datagrams = (CALL_BYTES_MAX / datagram_bytes).clamp(1, CALL_DATAGRAMS_MAX);
        let size = u16::try_from(datagram_bytes).context("a datagram is under 64 KiB")?;
        for call in bytes.chunks(datagrams * datagram_bytes) {
            let (iov, segment) = ([IoSlice::new(call)], [ControlMessage::UdpGsoSegments(&size)]);
            let control = if call.len() > datagram_bytes { &segment[..] } else { &[] };
            sendmsg::<SockaddrIn>(self.socket.as_raw_fd(), &iov, control, MsgFlags::empty(), None)
                .context("sending over UDP")?;
        }
        Ok(())
    }
}

/// What the books of a process say, while it works.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    books: PathBuf,
}

impl Progress {
    /// Reads the books at `path`.
    pub(crate) fn of(books: PathBuf) -> Progress {
        Progress { books }
    }

    /// A counter as it was last committed.
    pub(crate) fn counter(&self, name: &str) -> anyhow::Result<u64> {
        let snapshot = Snapshot::read(&self.books)?;
        let found = snapshot.counters.into_iter().find(|(have, _)| have == name);
        found.map(|(_, value)| value).with_context(|| format!("{}: no {name}", self.books.display()))
    }

    /// Every counter that is not 0.
    fn shown(&self) -> anyhow::Result<String> {
        let counters = Snapshot::read(&self.books)?.counters;
        let shown =
            counters.iter().filter(|(_, value)| *value > 0).map(|(name, value)| format!("{name} {value}"));
        Ok(shown.collect::<Vec<_>>().join(", "))
    }

    /// The id of the process.
    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        Ok(u32::try_from(Snapshot::read(&self.books)?.pid)?)
    }

    /// Waits until the counter, which is a level, is at most `value`.
    pub(crate) fn wait_at_most(&self, name: &str, value: u64) -> anyhow::Result<()> {
        self.wait_until(name, "fall to", value, |have| have <= value)
    }

    /// Waits until the counter is at least `value`.
    pub(crate) fn wait(&self, name: &str, value: u64) -> anyhow::Result<()> {
        self.wait_until(name, "reach", value, |have| have >= value)
    }

    fn wait_until(
        &self,
        name: &str,
        verb: &str,
        value: u64,
        is_there: impl Fn(u64) -> bool,
    ) -> anyhow::Result<()> {
        let end = Instant::now() + DEADLINE;
        while !is_there(self.counter(name)?) {
            let books = self.books.display();
            ensure!(Instant::now() < end, "{books}: {name} does not {verb} {value}: {}", self.shown()?);
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(())
    }
}
