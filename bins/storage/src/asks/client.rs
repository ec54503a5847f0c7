//! One client: its asks, one after the other.

use std::io::{self, ErrorKind, Read};
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use common::ask::{Ask, Status};
use sockets::frame::Frames;

use super::outlet::Outlet;
use super::{Desk, answers, import};
use crate::counters::AskRefusal;

/// Frames as they come from a client.
#[derive(Debug)]
pub(super) struct Inlet<'a> {
    stream: &'a UnixStream,
    frames: Frames,
    buffer: Box<[u8]>,
}

impl<'a> Inlet<'a> {
    fn new(stream: &'a UnixStream) -> Inlet<'a> {
        Inlet { stream, frames: Frames::default(), buffer: vec![0; 64 * 1024].into_boxed_slice() }
    }

    /// The next frame. `idle` is how long it may take until it begins, `timeout` until it ends then. `None` when the
    /// client has gone, or nothing more is asked.
    pub(super) fn next(&mut self, idle: Duration, timeout: Duration) -> Result<Option<Vec<u8>>, AskRefusal> {
        let mut deadline: Option<Instant> = None;
        loop {
            if let Some(frame) = self.frames.next_frame() {
                return Ok(Some(frame.to_vec()));
            }
            if self.frames.is_partial() {
                deadline.get_or_insert_with(|| Instant::now() + timeout);
            }
            let left = deadline.map_or(idle, |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Err(AskRefusal::Timeout);
            }
            match self.read(left) {
                Ok(0) if self.frames.is_partial() => return Err(AskRefusal::HungUp),
                Ok(0) => return Ok(None),
                Ok(length) => self.frames.push(&self.buffer[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if deadline.is_none() {
                        return Ok(None);
                    }
                }
                Err(_) => return Err(AskRefusal::HungUp),
            }
        }
    }

    fn read(&mut self, timeout: Duration) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(timeout))?;
        self.stream.read(&mut self.buffer)
    }
}

/// Answers until the client goes, or is let go.
pub(super) fn serve(desk: &Desk, stream: &UnixStream) {
    let timeout = desk.client_timeout;
    if let Err(error) = stream.set_write_timeout(Some(timeout)) {
        tracing::error!(%error, "a client cannot be served");
        return;
    }
    let mut inlet = Inlet::new(stream);
    loop {
        let payload = match inlet.next(desk.idle_timeout, timeout) {
            Ok(Some(payload)) => payload,
            Ok(None) => return,
            Err(refusal) => return desk.refused(refusal),
        };
        let mut outlet = Outlet::new(stream, &desk.permits, timeout);
        let flow = match Ask::parse(&payload) {
            Ok(Ask::Import) => import::serve(desk, &mut inlet, &mut outlet),
            Ok(ask) => answers::serve(desk, &ask, &mut outlet),
            Err(error) => {
                desk.refused(AskRefusal::Wrong);
                refuse(&mut outlet, Status::Refused(&error.to_string()))
            }
        };
        if let Some(lost) = outlet.lost() {
            desk.refused(if desk.is_closing() { AskRefusal::Stopped } else { lost });
        }
        if flow.is_break() || desk.is_closing() {
            return;
        }
    }
}

/// Ends an ask that gets nothing.
pub(super) fn refuse(outlet: &mut Outlet<'_>, status: Status<'_>) -> ControlFlow<()> {
    outlet.status(status)?;
    outlet.end()
}
