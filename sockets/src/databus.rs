//! The databus: the datagram socket from which a process reads what the others send it.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net;

use mio::event::Source;
use mio::{Interest, Registry, Token};

use crate::net::Bound;

/// The receive buffer: larger than any datagram of Leela, so that a larger one is seen as such.
pub const BUFFER_BYTES: usize = 64 * 1024;

/// A bound datagram socket, read without blocking.
#[derive(Debug)]
pub struct Databus<S = net::UnixDatagram> {
    socket: S,
    buffer: Box<[u8]>,
}

impl Databus {
    /// Reads from a bound socket.
    pub fn new(socket: net::UnixDatagram) -> io::Result<Databus> {
        socket.set_nonblocking(true)?;
        Ok(Databus::over(socket))
    }
}

impl<S: Bound> Databus<S> {
    /// Reads from any socket that never blocks.
    pub fn over(socket: S) -> Databus<S> {
        Databus { socket, buffer: vec![0; BUFFER_BYTES].into_boxed_slice() }
    }

    /// The next datagram; `None` when the queue is empty.
    pub fn receive(&mut self) -> io::Result<Option<&[u8]>> {
        loop {
            match self.socket.receive(&mut self.buffer) {
                Ok(length) => return Ok(Some(&self.buffer[..length])),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The socket itself, to register from.
    pub fn socket(&self) -> &S {
        &self.socket
    }
}

impl AsRawFd for Databus {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl Source for Databus {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        mio::unix::SourceFd(&self.as_raw_fd()).register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        mio::unix::SourceFd(&self.as_raw_fd()).reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        mio::unix::SourceFd(&self.as_raw_fd()).deregister(registry)
    }
}
