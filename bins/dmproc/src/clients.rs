//! The clients of the proc socket: what each has said, and what waits for it.

use std::io::{self, ErrorKind, Read};
use std::time::{Duration, Instant};

use common::metric::Event;
use common::query::answer::Answer;
use common::query::proc::CLOSE;
use common::time::Time;
use mio::net::UnixStream;
use mio::{Interest, Registry, Token};
use nix::sys::socket::{getsockopt, sockopt};
use sockets::frame::{self, Frames};

use crate::outbox::Outbox;

/// The first token of a client; that of place n is n more.
pub(crate) const FIRST_TOKEN: usize = 2;

/// Above so many bytes that wait a client is written to before the others are.
const HEAVY_BYTES: usize = 16 * 1024;

/// Read at a time.
const READ_BYTES: usize = 16 * 1024;

/// Read and thrown away, at most, of a client that goes: with unread bytes in its socket it would be told of a
/// reset connection instead of its end.
const FAREWELL_BYTES_MAX: usize = 64 * 1024;

/// A client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: UnixStream,
    frames: Frames,
    pub(crate) stage: Stage,
    /// When it has to have ended the frame it has begun, or is yet to begin.
    pub(crate) due: Option<Instant>,
    pub(crate) out: Outbox,
    /// It asked for reasons.
    pub(crate) tells_reason: bool,
    /// Its socket is watched for room as well.
    pub(crate) is_blocked: bool,
}

/// How far a client has come.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Its first frame is not there yet.
    Silent,
    /// Its first frame is there: the payload, to be looked at.
    Asking(Box<[u8]>),
    /// Its proc runs.
    Running(Asked),
}

/// A proc that runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Asked {
    /// The place of its query.
    pub(crate) query: u32,
    /// When it was asked.
    pub(crate) time: Time,
    /// Who asked, and its text, as they are told.
    pub(crate) peer: Box<str>,
    pub(crate) text: Box<str>,
}

/// What came of reading from a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Heard {
    /// No whole frame.
    Nothing,
    /// Its first frame.
    Proc,
    /// It hung up, or sent a second frame: its proc ends.
    End,
}

impl Client {
    /// Reads what is there, up to the end of the first frame.
    pub(crate) fn hear(&mut self, buffer: &mut [u8], now: Instant, timeout: Duration) -> Heard {
        loop {
            if let Stage::Asking(_) = self.stage {
                return Heard::Nothing;
            }
            if let Some(payload) = self.frames.next_frame() {
                if let Stage::Running(_) = self.stage {
                    if payload != CLOSE {
                        tracing::debug!(
                            bytes = payload.len(),
                            "a second frame ends a proc, as `close;` does"
                        );
                    }
                    return Heard::End;
                }
                self.stage = Stage::Asking(payload.into());
                self.due = None;
                return Heard::Proc;
            }
            if self.due.is_none() && self.frames.is_partial() {
                self.due = Some(now + timeout);
            }
            match self.stream.read(buffer) {
                Ok(0) => return Heard::End,
                Ok(bytes) => self.frames.push(&buffer[..bytes]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Heard::Nothing,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Heard::End,
            }
        }
    }

    /// Who it is, as far as the kernel says.
    pub(crate) fn peer(&self) -> String {
        match getsockopt(&self.stream, sockopt::PeerCredentials) {
            Ok(peer) => format!("uid {} pid {}", peer.uid(), peer.pid()),
            Err(_) => "dmproc.proc".to_owned(),
        }
    }
}

/// Tells a client that no proc of it runs, and why if it wants to know.
pub(crate) fn farewell(stream: &mut UnixStream, out: &mut Outbox, buffer: &mut [u8]) {
    // What a new socket does not take at once nobody reads.
    let _ = out.write(stream);
    let mut left = FAREWELL_BYTES_MAX;
    while let Ok(bytes @ 1..) = stream.read(buffer)
        && left > 0
    {
        left = left.saturating_sub(bytes);
    }
}

/// All clients, under places that are used again.
#[derive(Debug)]
pub(crate) struct Clients {
    all: Vec<Option<Client>>,
    free: Vec<u32>,
    count: u32,
    registry: Registry,
    /// Clients that something waits for.
    touched: Vec<u32>,
    /// Of these, some with more than [`HEAVY_BYTES`].
    heavy: Vec<u32>,
    /// The frame of the value that came last, and what it was made of.
    frame: Vec<u8>,
    framed: Option<(usize, Time, u64)>,
}

impl Clients {
    pub(crate) fn new(registry: &Registry) -> io::Result<Clients> {
        Ok(Clients {
            all: Vec::new(),
            free: Vec::new(),
            count: 0,
            registry: registry.try_clone()?,
            touched: Vec::new(),
            heavy: Vec::new(),
            frame: Vec::new(),
            framed: None,
        })
    }

    /// A buffer to read into.
    pub(crate) fn read_buffer() -> Box<[u8]> {
        vec![0; READ_BYTES].into_boxed_slice()
    }

    /// Clients that are there.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Places of clients are below this.
    pub(crate) fn end(&self) -> u32 {
        self.all.len() as u32
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, place: u32) -> Option<&mut Client> {
        self.all.get_mut(place as usize)?.as_mut()
    }

    /// Takes a client in.
    pub(crate) fn insert(&mut self, mut stream: UnixStream, due: Instant, buffer: usize) -> io::Result<u32> {
        let place = self.free.last().copied().unwrap_or(self.all.len() as u32);
        self.registry.register(&mut stream, token(place), Interest::READABLE)?;
        let client = Client {
            stream,
            frames: Frames::default(),
            stage: Stage::Silent,
            due: Some(due),
            out: Outbox::new(buffer),
            tells_reason: false,
            is_blocked: false,
        };
        match self.free.pop() {
            Some(place) => self.all[place as usize] = Some(client),
            None => self.all.push(Some(client)),
        }
        self.count += 1;
        Ok(place)
    }

    /// Takes a client out.
    pub(crate) fn remove(&mut self, place: u32) -> Option<Client> {
        let mut client = self.all.get_mut(place as usize)?.take()?;
        self.free.push(place);
        self.count -= 1;
        // Closing would do it as well, unless a child held the descriptor.
        let _ = self.registry.deregister(&mut client.stream);
        Some(client)
    }

    /// Watches a client's socket for room, or no more: watched always, it would wake the process each time that a
    /// client reads.
    pub(crate) fn watch_room(&mut self, place: u32, is_blocked: bool) -> io::Result<()> {
        let Some(client) = self.all.get_mut(place as usize).and_then(Option::as_mut) else { return Ok(()) };
        if client.is_blocked == is_blocked {
            return Ok(());
        }
        client.is_blocked = is_blocked;
        let interest = if is_blocked { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        self.registry.reregister(&mut client.stream, token(place), interest)
    }

    /// Takes a value for a client; false when it is lost.
    #[inline]
    #[must_use = "a lost value has to be counted"]
    pub(crate) fn value(&mut self, place: u32, event: &Event<'_>) -> bool {
        // One event has one place in its datagram, so most procs of one series share the frame.
        let made_of = (event.key.as_ptr() as usize, event.time, event.value.to_bits());
        if self.framed != Some(made_of) {
            self.frame.clear();
            frame::write_with(&mut self.frame, |out| Answer::Event(*event).write(out));
            self.framed = Some(made_of);
        }
        let Some(client) = self.all[place as usize].as_mut() else { return false };
        let before = client.out.len();
        let is_taken = client.out.event(&self.frame);
        if !client.out.is_touched {
            client.out.is_touched = true;
            self.touched.push(place);
        }
        if before <= HEAVY_BYTES && client.out.len() > HEAVY_BYTES && !client.is_blocked {
            self.heavy.push(place);
        }
        is_taken
    }

    /// To be called when the buffer that keys were borrowed from is filled anew.
    pub(crate) fn forget_frame(&mut self) {
        self.framed = None;
    }

    /// Clients that something waits for.
    pub(crate) fn touched(&self) -> usize {
        self.touched.len()
    }

    /// The clients to write to now; to be given back to [`Clients::recycle`].
    pub(crate) fn take_touched(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.touched)
    }

    /// The memory of a list that is done with.
    pub(crate) fn recycle(&mut self, mut touched: Vec<u32>) {
        touched.clear();
        if self.touched.is_empty() {
            self.touched = touched;
        }
    }

    /// A client for which much waits.
    pub(crate) fn take_heavy(&mut self) -> Option<u32> {
        self.heavy.pop()
    }

    /// True when much waits for some client.
    pub(crate) fn has_heavy(&self) -> bool {
        !self.heavy.is_empty()
    }
}

fn token(place: u32) -> Token {
    Token(FIRST_TOKEN + place as usize)
}
