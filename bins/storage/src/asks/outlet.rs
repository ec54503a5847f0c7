//! What goes to one client: frames, written in pieces, and given up when it does not read.

use std::io::{ErrorKind, Write};
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use common::ask::Status;
use common::wire::Batch;
use sockets::frame;

use super::permits::{Permit, Permits};
use crate::counters::AskRefusal;

/// So much is written at once.
const PIECE_BYTES: usize = 128 * 1024;

/// The frames of an answer, on their way.
#[derive(Debug)]
pub(super) struct Outlet<'a> {
    stream: &'a UnixStream,
    out: Vec<u8>,
    timeout: Duration,
    permits: &'a Permits,
    permit: Option<Permit<'a>>,
    /// Why the client gets nothing more.
    lost: Option<AskRefusal>,
}

impl<'a> Outlet<'a> {
    /// To this client; each piece has to be taken within `timeout`. The stream's calls block no longer than that.
    pub(super) fn new(stream: &'a UnixStream, permits: &'a Permits, timeout: Duration) -> Outlet<'a> {
        Outlet { stream, out: Vec::new(), timeout, permits, permit: None, lost: None }
    }

    /// Waits for its turn to work.
    pub(super) fn begin(&mut self) {
        self.permit = Some(self.permits.take());
    }

    /// Adds a frame.
    pub(super) fn payload(&mut self, payload: &[u8]) -> ControlFlow<()> {
        frame::write(&mut self.out, payload);
        if self.out.len() < PIECE_BYTES {
            return ControlFlow::Continue(());
        }
        let flow = self.flush();
        if flow.is_continue() {
            self.begin();
        }
        flow
    }

    /// Adds the records of a batch, which is empty then.
    pub(super) fn records(&mut self, batch: &mut Batch) -> ControlFlow<()> {
        if batch.is_empty() {
            return ControlFlow::Continue(());
        }
        let flow = self.payload(batch.seal(0, 0));
        batch.clear();
        flow
    }

    /// Adds the status.
    pub(super) fn status(&mut self, status: Status<'_>) -> ControlFlow<()> {
        let mut payload = Vec::new();
        status.write(&mut payload);
        self.payload(&payload)
    }

    /// Ends the answer.
    pub(super) fn end(&mut self) -> ControlFlow<()> {
        self.payload(b"")?;
        self.flush()
    }

    /// Writes what there is; the client is not at work meanwhile.
    pub(super) fn flush(&mut self) -> ControlFlow<()> {
        self.permit = None;
        if self.lost.is_some() {
            return ControlFlow::Break(());
        }
        let deadline = Instant::now() + self.timeout;
        let mut rest = self.out.as_slice();
        while !rest.is_empty() {
            let stuck = Instant::now() >= deadline;
            match self.stream.write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.lost = Some(AskRefusal::SlowClient);
                    return ControlFlow::Break(());
                }
                Err(_) => {
                    self.lost = Some(AskRefusal::HungUp);
                    return ControlFlow::Break(());
                }
            }
            if stuck && !rest.is_empty() {
                self.lost = Some(AskRefusal::SlowClient);
                return ControlFlow::Break(());
            }
        }
        self.out.clear();
        ControlFlow::Continue(())
    }

    /// Why the client gets nothing more.
    pub(super) fn lost(&self) -> Option<AskRefusal> {
        self.lost
    }

    /// The client itself.
    pub(super) fn stream(&self) -> &'a UnixStream {
        self.stream
    }
}
