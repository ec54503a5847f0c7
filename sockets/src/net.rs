//! The few calls by which datagrams leave and reach a process. Everything that goes to peers goes through [`Net`],
//! and what comes through [`Bound`], so that a test can put a network of its own there and let any call fail.

use std::fmt::Debug;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net;
use std::path::{Path, PathBuf};

use mio::net::UnixDatagram;
use mio::{Interest, Registry, Token};
use socket2::SockRef;

/// Room for a whole queue of full datagrams, where the system allows it; the default holds five.
const SEND_BUFFER_BYTES: usize = 1024 * 1024;

/// What a sender needs of the network. No call blocks.
pub trait Net: Debug {
    /// A socket that is connected to a peer.
    type Link: Debug;

    /// Connects a new socket to the one that is bound at `path`.
    fn connect(&self, path: &Path) -> io::Result<Self::Link>;

    /// Sends a datagram, whole or not at all.
    fn send(&self, link: &Self::Link, datagram: &[u8]) -> io::Result<()>;

    /// Lets `token` be told when the socket becomes writable; false where that cannot be.
    fn watch(&self, link: &mut Self::Link, token: Token) -> bool;

    /// Ends [`Net::watch`].
    fn unwatch(&self, link: &mut Self::Link);

    /// Tells the file that `path` leads to from all others; 0 when there is none.
    fn file(&self, path: &Path) -> u64;
}

/// A bound datagram socket, as its reader has it. No call blocks.
pub trait Bound: Debug {
    /// Receives a datagram; an error of kind `WouldBlock` when there is none.
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Receives one, and says at which path its sender is bound.
    fn receive_from(&self, buffer: &mut [u8]) -> io::Result<(usize, Option<PathBuf>)>;
}

/// The kernel's unix sockets.
#[derive(Debug)]
pub struct Kernel {
    registry: Registry,
}

impl Kernel {
    /// Writable sockets are told to `registry`.
    pub fn new(registry: &Registry) -> io::Result<Kernel> {
        Ok(Kernel { registry: registry.try_clone()? })
    }
}

impl Net for Kernel {
    type Link = UnixDatagram;

    fn connect(&self, path: &Path) -> io::Result<UnixDatagram> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        // A smaller buffer only means that fewer datagrams are under way.
        let _ = SockRef::from(&socket).set_send_buffer_size(SEND_BUFFER_BYTES);
        Ok(socket)
    }

    #[inline]
    fn send(&self, link: &UnixDatagram, datagram: &[u8]) -> io::Result<()> {
        link.send(datagram).map(|_| ())
    }

    fn watch(&self, link: &mut UnixDatagram, token: Token) -> bool {
        self.registry.register(link, token, Interest::WRITABLE).is_ok()
    }

    fn unwatch(&self, link: &mut UnixDatagram) {
        // It can fail only where the socket is not in the poll, which is what is wanted.
        let _ = self.registry.deregister(link);
    }

    fn file(&self, path: &Path) -> u64 {
        fs::metadata(path).map_or(0, |file| file.ino())
    }
}

impl Bound for net::UnixDatagram {
    #[inline]
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.recv(buffer)
    }

    fn receive_from(&self, buffer: &mut [u8]) -> io::Result<(usize, Option<PathBuf>)> {
        let (length, from) = self.recv_from(buffer)?;
        Ok((length, from.as_pathname().map(Path::to_owned)))
    }
}
