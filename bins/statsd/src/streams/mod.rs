//! Streams: TCP, TLS and unix streams. A stream is read no faster than the ring takes it: over half a ring none is read,
//! and its client waits. Everything a client can hold has a limit.

mod connection;
pub mod cutter;
pub mod tls;

use std::collections::VecDeque;
use std::io;
use std::net;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::books::Books;
use common::time::Time;
use hop::{OWN_TOKENS, Output, Progress, Turn};
use mio::{Interest, Registry, Token};
use rustls::ServerConfig;

use crate::Lines;
use crate::config::Config;
use crate::counters::{Closed, Counters, TurnedAway};
use crate::dialect::Reason;
use connection::{Connection, Stream, Taken};
use cutter::{Cutter, FrameTooLong, Piece};

/// From here on a ring takes no more of what can wait.
const FILLING_MAX: f64 = 0.5;
/// What is read at a time.
const READ_BYTES: usize = 64 * 1024;
/// What is read of all streams in one turn: datagrams and the sender wait for its end.
const BYTES_A_TURN: usize = 512 * 1024;
/// Connections that are taken in one turn.
const ACCEPTS_A_TURN: usize = 64;

/// A listening socket.
#[derive(Debug)]
pub enum Door {
    /// Of the network; by TLS where that is told.
    Tcp(net::TcpListener, Option<Arc<ServerConfig>>),
    /// Of this host, and how people know it.
    Unix(UnixListener, String),
}

/// What clients of streams can hold at most.
#[derive(Clone, Copy, Debug)]
struct Limits {
    connections: usize,
    line: usize,
    frame: usize,
    idle: Duration,
    handshake: Duration,
}

#[derive(Debug)]
enum Listener {
    Tcp(mio::net::TcpListener, Option<Arc<ServerConfig>>),
    Unix(mio::net::UnixListener, String),
}

/// All listeners and connections.
#[derive(Debug)]
pub struct Streams {
    listeners: Vec<Listener>,
    /// Where somebody may wait to be taken.
    knocked: Vec<bool>,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// Connections that may have something to be read, in turn.
    queue: VecDeque<usize>,
    registry: Registry,
    limits: Limits,
    buffer: Box<[u8]>,
    is_held_back: bool,
    /// The system had no descriptor for a connection; said once.
    is_short: bool,
}

impl Streams {
    /// Listens at `doors`. `connections` is how many clients fit.
    pub fn open(
        doors: Vec<Door>,
        config: &Config,
        connections: u32,
        registry: &Registry,
    ) -> io::Result<Streams> {
        let mut listeners = Vec::new();
        for (door, number) in doors.into_iter().zip(OWN_TOKENS..) {
            let token = Token(number);
            listeners.push(match door {
                Door::Tcp(listener, tls) => {
                    listener.set_nonblocking(true)?;
                    let mut listener = mio::net::TcpListener::from_std(listener);
                    registry.register(&mut listener, token, Interest::READABLE)?;
                    Listener::Tcp(listener, tls)
                }
                Door::Unix(listener, name) => {
                    listener.set_nonblocking(true)?;
                    let mut listener = mio::net::UnixListener::from_std(listener);
                    registry.register(&mut listener, token, Interest::READABLE)?;
                    Listener::Unix(listener, name)
                }
            });
        }
        let limits = Limits {
            connections: connections as usize,
            line: config.line_max.len(),
            frame: config.frame_max.len(),
            idle: config.idle_timeout.duration(),
            handshake: config.handshake_timeout.duration(),
        };
        // Without a listener nothing is ever read.
        let buffer = if listeners.is_empty() { 0 } else { READ_BYTES };
        Ok(Streams {
            knocked: vec![true; listeners.len()],
            listeners,
            connections: Vec::new(),
            free: Vec::new(),
            queue: VecDeque::new(),
            registry: registry.try_clone()?,
            limits,
            buffer: vec![0; buffer].into_boxed_slice(),
            is_held_back: false,
            is_short: false,
        })
    }

    /// Where it listens, as people know it.
    pub fn listens(&self) -> Vec<String> {
        let name = |listener: &Listener| match listener {
            Listener::Tcp(listener, tls) => {
                let scheme = if tls.is_some() { "tls" } else { "tcp" };
                listener.local_addr().map_or_else(|_| scheme.to_owned(), |at| format!("{scheme}://{at}"))
            }
            Listener::Unix(_, name) => name.clone(),
        };
        self.listeners.iter().map(name).collect()
    }

    /// One of its descriptors became ready.
    pub fn ready(&mut self, token: Token) {
        let Some(number) = token.0.checked_sub(OWN_TOKENS) else { return };
        match number.checked_sub(self.listeners.len()) {
            None => self.knocked[number] = true,
            Some(slot) => self.enqueue(slot),
        }
    }

    fn enqueue(&mut self, slot: usize) {
        if let Some(Some(connection)) = self.connections.get_mut(slot)
            && !std::mem::replace(&mut connection.is_queued, true)
        {
            self.queue.push_back(slot);
        }
    }

    /// Takes connections and what they have, for one turn.
    pub fn turn(
        &mut self,
        turn: &Turn,
        lines: &mut Lines,
        books: &mut Books<Counters>,
        output: &mut Output,
    ) -> Progress {
        if self.listeners.is_empty() {
            return Progress::Idle;
        }
        let is_busy = self.knocked.contains(&true) || !self.queue.is_empty();
        self.accept(turn.now, books);
        if turn.tick {
            self.expire(turn.now, lines, books);
            // Where there was no descriptor there may be one now.
            if std::mem::take(&mut self.is_short) {
                self.knocked.fill(true);
            }
        }
        if !is_busy {
            return Progress::Idle;
        }
        let mut bytes_left = BYTES_A_TURN;
        while bytes_left > 0 && self.may_read(books, output) {
            let Some(slot) = self.queue.pop_front() else { break };
            bytes_left = bytes_left.saturating_sub(self.read(slot, turn.now, lines, books, output));
        }
        match self.is_held_back {
            false if !self.queue.is_empty() || self.knocked.contains(&true) => Progress::More,
            _ => Progress::Drained,
        }
    }

    /// The end: takes what clients have sent already, up to `deadline`, and closes.
    pub fn finish(
        &mut self,
        deadline: Instant,
        lines: &mut Lines,
        books: &mut Books<Counters>,
        output: &mut Output,
    ) {
        (0..self.connections.len()).for_each(|slot| self.enqueue(slot));
        while Instant::now() < deadline && self.may_read(books, output) {
            let Some(slot) = self.queue.pop_front() else { break };
            self.read(slot, Instant::now(), lines, books, output);
        }
        for slot in 0..self.connections.len() {
            self.close(slot, None, lines, books);
        }
    }

    /// False over half a ring.
    fn may_read(&mut self, books: &mut Books<Counters>, output: &mut Output) -> bool {
        let is_full = output.sender().filling() >= FILLING_MAX && !self.queue.is_empty();
        if std::mem::replace(&mut self.is_held_back, is_full) != is_full {
            if is_full {
                books.counters.held_back += 1;
                tracing::warn!("the ring is half full, streams are not read: is leela-timeline running?");
            } else {
                tracing::info!("the ring has room again, streams are read");
            }
        }
        !is_full
    }

    fn accept(&mut self, now: Instant, books: &mut Books<Counters>) {
        for place in 0..self.listeners.len() {
            for _ in 0..ACCEPTS_A_TURN {
                if !self.knocked[place] {
                    break;
                }
                match self.listeners[place].accept(&self.limits, now) {
                    Ok(Some(connection)) => self.add(connection, books),
                    Ok(None) => self.knocked[place] = false,
                    Err(error) => {
                        books.counters.turned_away.add(TurnedAway::Accept);
                        self.knocked[place] = false;
                        if !std::mem::replace(&mut self.is_short, true) {
                            tracing::warn!(%error, "a connection cannot be taken: raise LimitNOFILE= of the unit");
                        }
                    }
                }
            }
        }
    }

    fn add(&mut self, mut connection: Connection, books: &mut Books<Counters>) {
        if self.connections.len() - self.free.len() >= self.limits.connections {
            return books.counters.turned_away.add(TurnedAway::Connections);
        }
        let slot = self.free.pop().unwrap_or(self.connections.len());
        let token = Token(OWN_TOKENS + self.listeners.len() + slot);
        if let Err(error) = connection.register(&self.registry, token) {
            tracing::debug!(%error, "a connection cannot be waited for");
            books.counters.turned_away.add(TurnedAway::Accept);
            if slot < self.connections.len() {
                self.free.push(slot);
            }
            return;
        }
        match self.connections.get_mut(slot) {
            Some(place) => *place = Some(connection),
            None => self.connections.push(Some(connection)),
        }
        books.counters.connected += 1;
        books.counters.connections += 1;
        self.enqueue(slot);
    }

    /// Reads a connection once; gives how many bytes came.
    fn read(
        &mut self,
        slot: usize,
        now: Instant,
        lines: &mut Lines,
        books: &mut Books<Counters>,
        output: &mut Output,
    ) -> usize {
        let Some(Some(connection)) = self.connections.get_mut(slot) else { return 0 };
        connection.is_queued = false;
        match connection.read(&mut self.buffer, now) {
            Taken::Nothing => 0,
            Taken::More => {
                self.enqueue(slot);
                0
            }
            Taken::Bytes(count) => {
                let Connection { cutter, peer, .. } = connection;
                books.counters.bytes += count as u64;
                let time = Time::now();
                let pushed = cutter.push(&self.buffer[..count], &mut |piece| {
                    take(piece, peer, time, lines, books, output);
                });
                match pushed {
                    Ok(()) => self.enqueue(slot),
                    Err(FrameTooLong(header)) => {
                        lines.refuse(&header, Reason::Frame, 0, time, peer, books);
                        self.close(slot, Some(Closed::Frame), lines, books);
                    }
                }
                count
            }
            Taken::End => {
                let Connection { cutter, peer, .. } = connection;
                let time = Time::now();
                let rest = cutter.end(&mut |piece| take(piece, peer, time, lines, books, output));
                if let Some(rest) = rest {
                    lines.refuse(rest, Reason::Unfinished, rest.len(), time, peer, books);
                }
                self.remove(slot, books);
                0
            }
            Taken::Failed(why) => {
                self.close(slot, Some(why), lines, books);
                0
            }
        }
    }

    /// Closes what has been silent for too long.
    fn expire(&mut self, now: Instant, lines: &mut Lines, books: &mut Books<Counters>) {
        let Limits { idle, handshake, .. } = self.limits;
        for slot in 0..self.connections.len() {
            let Some(Some(connection)) = self.connections.get(slot) else { continue };
            // Who waits to be read is not silent.
            if connection.is_queued {
                continue;
            }
            if let Some(why) = connection.is_over(now, idle, handshake) {
                tracing::debug!(peer = connection.peer, ?why, "closed");
                self.close(slot, Some(why), lines, books);
            }
        }
    }

    /// Ends a connection; a line that it had begun is refused.
    fn close(&mut self, slot: usize, why: Option<Closed>, lines: &mut Lines, books: &mut Books<Counters>) {
        let Some(Some(connection)) = self.connections.get(slot) else { return };
        if let Some(rest) = connection.cutter.unfinished().filter(|_| why != Some(Closed::Frame)) {
            lines.refuse(rest, Reason::Unfinished, rest.len(), Time::now(), &connection.peer, books);
        }
        if let Some(why) = why {
            books.counters.closed.add(why);
        }
        self.remove(slot, books);
    }

    fn remove(&mut self, slot: usize, books: &mut Books<Counters>) {
        // Closed, it leaves the poll by itself.
        if self.connections[slot].take().is_some() {
            self.free.push(slot);
            books.counters.connections -= 1;
        }
    }
}

impl Listener {
    /// The next client; none when no more waits.
    fn accept(&self, limits: &Limits, now: Instant) -> io::Result<Option<Connection>> {
        loop {
            let accepted = match self {
                Listener::Tcp(listener, tls) => listener.accept().map(|(stream, address)| {
                    let cutter = Cutter::of_lines(limits.line);
                    (Stream::Tcp(stream), tls.as_ref(), cutter, address.to_string())
                }),
                Listener::Unix(listener, name) => listener.accept().map(|(stream, _)| {
                    let cutter = Cutter::of_frames(limits.line, limits.frame);
                    (Stream::Unix(stream), None, cutter, name.clone())
                }),
            };
            match accepted {
                Ok((stream, tls, cutter, peer)) => {
                    let connection = Connection::new(stream, tls, cutter, peer, now);
                    return connection.map(Some).map_err(io::Error::other);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(None),
                    // It went away while it waited.
                    io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
    }
}

/// Takes a piece of a stream.
fn take(
    piece: Piece<'_>,
    peer: &str,
    time: Time,
    lines: &mut Lines,
    books: &mut Books<Counters>,
    output: &mut Output,
) {
    match piece {
        Piece::Lines(bytes) => lines.take(bytes, time, || peer.to_owned(), books, output),
        Piece::TooLong(line) => {
            lines.refuse(line, Reason::TooLong, lines.line_max(), time, peer, books);
        }
    }
}
