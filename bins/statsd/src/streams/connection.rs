//! A connection: a stream of the network or of this host, perhaps by TLS, that is only read from.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use rustls::{ServerConfig, ServerConnection};

use super::cutter::Cutter;
use crate::counters::Closed;

/// Reads of the network before others have their turn, where TLS gives nothing for them.
const READS_MAX: usize = 16;

/// What it is made of.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(buffer),
            Stream::Unix(stream) => stream.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What one reading gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Taken {
    /// So many bytes.
    Bytes(usize),
    /// Nothing for now, until it is ready again.
    Nothing,
    /// Nothing yet; there is more to be read.
    More,
    /// The client has sent all it had.
    End,
    /// It cannot be read any more.
    Failed(Closed),
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    tls: Option<Box<ServerConnection>>,
    pub(super) cutter: Cutter,
    pub(super) peer: String,
    /// It is in the queue of those that may have something.
    pub(super) is_queued: bool,
    begun: Instant,
    heard: Instant,
}

impl Connection {
    pub(super) fn new(
        stream: Stream,
        tls: Option<&Arc<ServerConfig>>,
        cutter: Cutter,
        peer: String,
        now: Instant,
    ) -> Result<Connection, rustls::Error> {
        let tls = tls.map(|config| ServerConnection::new(config.clone()).map(Box::new)).transpose()?;
        Ok(Connection { stream, tls, cutter, peer, is_queued: false, begun: now, heard: now })
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let interest = match self.tls {
            Some(_) => Interest::READABLE | Interest::WRITABLE,
            None => Interest::READABLE,
        };
        match &mut self.stream {
            Stream::Tcp(stream) => registry.register(stream, token, interest),
            Stream::Unix(stream) => registry.register(stream, token, interest),
        }
    }

    /// Reads once, without waiting.
    pub(super) fn read(&mut self, buffer: &mut [u8], now: Instant) -> Taken {
        let taken = match &mut self.tls {
            None => plain(self.stream.read(buffer)),
            Some(tls) => secured(tls, &mut self.stream, buffer),
        };
        if let Taken::Bytes(_) = taken {
            self.heard = now;
        }
        taken
    }

    /// Why it is to be closed, when it has been silent or without a handshake for too long.
    pub(super) fn is_over(&self, now: Instant, idle: Duration, handshake: Duration) -> Option<Closed> {
        match &self.tls {
            Some(tls) if tls.is_handshaking() => (now - self.begun > handshake).then_some(Closed::Handshake),
            _ => (now - self.heard > idle).then_some(Closed::Idle),
        }
    }
}

fn plain(read: io::Result<usize>) -> Taken {
    match read {
        Ok(0) => Taken::End,
        Ok(count) => Taken::Bytes(count),
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock => Taken::Nothing,
            io::ErrorKind::Interrupted => Taken::More,
            _ => Taken::Failed(Closed::Broken),
        },
    }
}

fn secured(tls: &mut ServerConnection, stream: &mut Stream, buffer: &mut [u8]) -> Taken {
    for _ in 0..READS_MAX {
        match tls.reader().read(buffer) {
            Ok(0) => return Taken::End,
            Ok(count) => return Taken::Bytes(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // It went without saying so.
            Err(_) => return Taken::Failed(Closed::Broken),
        }
        write(tls, stream);
        match tls.read_tls(stream) {
            Ok(0) if tls.is_handshaking() => return Taken::Failed(Closed::Tls),
            Ok(_) => {}
            Err(error) => match plain(Err(error)) {
                Taken::Failed(_) if tls.is_handshaking() => return Taken::Failed(Closed::Tls),
                taken => return taken,
            },
        }
        if let Err(error) = tls.process_new_packets() {
            tracing::debug!(%error, "no TLS");
            // The alert says why; who does not read it does not learn it.
            write(tls, stream);
            return Taken::Failed(Closed::Tls);
        }
        write(tls, stream);
    }
    Taken::More
}

/// Sends what TLS has to say, as far as there is room.
fn write(tls: &mut ServerConnection, stream: &mut Stream) {
    while tls.wants_write() && matches!(tls.write_tls(stream), Ok(1..)) {}
}
