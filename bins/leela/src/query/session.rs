//! A connection to `dmproc.proc`: one query for as long as it lasts.

use std::io::{self, Read as _, Write as _};
use std::path::Path;

use anyhow::Context as _;
use common::exit::{Exit, OrExit as _};
use common::metric::Event;
use common::query::answer::{Answer, Answers};
use common::query::proc::CLOSE;
use mio::Interest;
use mio::net::UnixStream;
use sockets::frame::{self, Frames};

use super::asked::{Asked, Reason};
use crate::instance::is_absent;
use crate::wait::{SOURCE, Wait};

const READ_BYTES: usize = 64 * 1024;

/// What was heard since the last time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Heard {
    /// Nothing.
    Nothing,
    /// Something; there may be more.
    Some,
    /// The query is refused, with the reason if there is one.
    Refused(Option<Reason>),
    /// leela-dmproc went away.
    End,
}

/// A query under way.
#[derive(Debug)]
pub(super) struct Session {
    stream: UnixStream,
    frames: Frames,
    buffer: Box<[u8]>,
    /// What `status` said.
    runs: Option<bool>,
    lost: u64,
}

impl Session {
    /// Connects and asks.
    pub(super) fn open(path: &Path, asked: &Asked, wait: &Wait) -> io::Result<Session> {
        let mut stream = UnixStream::connect(path)?;
        wait.registry().register(&mut stream, SOURCE, Interest::READABLE)?;
        // One frame always fits the send buffer of a new connection.
        stream.write_all(asked.frame())?;
        let buffer = vec![0; READ_BYTES].into_boxed_slice();
        Ok(Session { stream, frames: Frames::default(), buffer, runs: None, lost: 0 })
    }

    /// True once the query was accepted.
    pub(super) fn runs(&self) -> bool {
        self.runs == Some(true)
    }

    /// Events that were lost since the last call.
    pub(super) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    /// Reads a piece of what there is; each event goes to `event`. After [`Heard::Nothing`] there is no more for
    /// now, after all else there may be.
    pub(super) fn read(
        &mut self,
        mut event: impl FnMut(&Event<'_>) -> io::Result<()>,
    ) -> anyhow::Result<Heard> {
        match self.stream.read(&mut self.buffer) {
            Ok(0) => return Ok(self.end()),
            Ok(length) => self.frames.push(&self.buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Heard::Nothing),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Heard::Some),
            Err(error) if is_absent(&error) => return Ok(self.end()),
            Err(error) => return Err(anyhow::Error::new(error).context("reading dmproc.proc")),
        }
        while let Some(payload) = self.frames.next_frame() {
            for answer in Answers::of(payload) {
                match answer.context("reading dmproc.proc").exit(Exit::IoErr)? {
                    Answer::Status(runs) => self.runs = Some(runs),
                    Answer::Event(value) => event(&value).context("printing")?,
                    Answer::Reason { at, text } => {
                        return Ok(Heard::Refused(Some(Reason { at, text: text.to_owned() })));
                    }
                    Answer::Lost(events) => self.lost += events,
                    // Not asked for.
                    Answer::Rate { .. } => {}
                }
            }
        }
        Ok(Heard::Some)
    }

    /// Says that no more is wanted.
    pub(super) fn close(mut self) {
        let mut frame = Vec::new();
        frame::write(&mut frame, CLOSE);
        // Hanging up says the same.
        let _ = self.stream.write_all(&frame);
    }

    /// What it means that the stream ended.
    fn end(&self) -> Heard {
        if self.runs == Some(false) { Heard::Refused(None) } else { Heard::End }
    }
}
