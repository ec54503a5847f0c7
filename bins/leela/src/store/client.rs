//! The query socket of leela-storage, as a command uses it: one ask after the other.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use common::ask::{Answer, Ask, Status};
use common::exit::{Exit, OrExit as _};
use mio::Interest;
use mio::net::UnixStream;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::de::DeserializeOwned;
use sockets::frame::{self, Frames};

use crate::instance::Instance;
use crate::wait::{SOURCE, Wait, Woke};

const READ_BYTES: usize = 256 * 1024;

/// How long the command waits.
#[derive(Debug)]
enum Patience {
    /// Until the answer is there, or it is told to stop.
    Wait(Box<Wait>),
    /// Not past this moment.
    Until(Instant),
}

/// The wait ended before the answer was there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Interrupted {
    /// SIGINT or SIGTERM.
    #[error("stopped")]
    Stopped,
    /// The moment has come.
    #[error("there was no answer in time")]
    Late,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: UnixStream,
    frames: Frames,
    buffer: Box<[u8]>,
    payload: Vec<u8>,
    patience: Patience,
}

/// What a complete answer ended with.
#[must_use = "what was passed over has to be told"]
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Done {
    /// What was passed over because it is damaged.
    pub(crate) warning: Option<String>,
}

impl Done {
    /// Tells the warning, if there is one.
    pub(crate) fn tell(self) {
        if let Some(warning) = self.warning {
            crate::output::say(warning);
        }
    }
}

impl Client {
    /// Connects to the storage of an instance.
    pub(crate) fn connect(instance: &Instance) -> anyhow::Result<Client> {
        let path = instance.runtime_dir.storage_query();
        let wait = Wait::new(None)?;
        let mut stream =
            UnixStream::connect(&path).map_err(|error| instance.unreached(&path, "storage", &error))?;
        wait.registry().register(&mut stream, SOURCE, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Client::of(stream, Patience::Wait(Box::new(wait))))
    }

    /// Connects and does not wait past `until` for anything.
    pub(crate) fn hurried(path: &Path, until: Instant) -> io::Result<Client> {
        Ok(Client::of(UnixStream::connect(path)?, Patience::Until(until)))
    }

    fn of(stream: UnixStream, patience: Patience) -> Client {
        let buffer = vec![0; READ_BYTES].into_boxed_slice();
        Client { stream, frames: Frames::default(), buffer, payload: Vec::new(), patience }
    }

    /// Asks, and gives each part of the answer to `each`.
    pub(crate) fn ask(
        &mut self,
        ask: &Ask,
        mut each: impl FnMut(Answer<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<Done> {
        let mut payload = Vec::new();
        ask.write(&mut payload);
        self.send(&payload)?;
        let mut done = Done::default();
        loop {
            match self.next()? {
                Answer::End => return Ok(done),
                Answer::Status(Status::Done { warning }) => done.warning = warning.map(str::to_owned),
                Answer::Status(status) => failed(&status)?,
                part => each(part)?,
            }
        }
    }

    /// Asks for an object.
    pub(crate) fn object<T: DeserializeOwned>(&mut self, ask: &Ask) -> anyhow::Result<T> {
        let mut object = None;
        self.ask(ask, |answer| {
            if let Answer::Object(json) = answer {
                object = Some(serde_json::from_str(json).context("reading storage.query").exit(Exit::IoErr)?);
            }
            Ok(())
        })?
        .tell();
        object.ok_or_else(|| Exit::IoErr.error("leela-storage answered without an object"))
    }

    /// Sends a frame; waits while the socket takes nothing.
    pub(crate) fn send(&mut self, payload: &[u8]) -> anyhow::Result<()> {
        let mut bytes = Vec::with_capacity(payload.len() + 2);
        frame::write(&mut bytes, payload);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait(PollFlags::POLLOUT)?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // What it said before it went is the better reason.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                Err(error) => return Err(went_away(&error)),
            }
        }
        Ok(())
    }

    /// The next part of an answer.
    pub(crate) fn next(&mut self) -> anyhow::Result<Answer<'_>> {
        loop {
            if let Some(frame) = self.frames.next_frame() {
                self.payload.clear();
                self.payload.extend_from_slice(frame);
                break;
            }
            match self.stream.read(&mut self.buffer) {
                Ok(0) => return Err(went_away(&ErrorKind::UnexpectedEof.into())),
                Ok(length) => self.frames.push(&self.buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait(PollFlags::POLLIN)?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(went_away(&error)),
            }
        }
        if let Patience::Wait(wait) = &mut self.patience {
            wait.over();
        }
        Answer::parse(&self.payload).context("reading storage.query").exit(Exit::IoErr)
    }

    fn wait(&mut self, flags: PollFlags) -> anyhow::Result<()> {
        match &mut self.patience {
            Patience::Wait(wait) => match wait.wait(None, "leela-storage")? {
                Woke::Due => Ok(()),
                Woke::Timeout | Woke::Stop => Err(Interrupted::Stopped.into()),
            },
            Patience::Until(until) => {
                let left = until.saturating_duration_since(Instant::now());
                let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
                let mut polled = [PollFd::new(self.stream.as_fd(), flags)];
                match poll(&mut polled, left) {
                    Ok(0) => Err(Interrupted::Late.into()),
                    _ => Ok(()),
                }
            }
        }
    }
}

/// The error of an ask that got no answer, or not all of it.
pub(crate) fn failed(status: &Status<'_>) -> anyhow::Result<()> {
    match status {
        Status::Done { .. } | Status::Accepted { .. } => Ok(()),
        Status::Refused(reason) => Err(Exit::Data.error(reason)),
        Status::Failed(reason) => Err(Exit::TempFail.error(reason)),
    }
}

fn went_away(error: &io::Error) -> anyhow::Error {
    let why = match error.kind() {
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => String::new(),
        _ => format!(" ({error})"),
    };
    Exit::TempFail.error(format_args!(
        "leela-storage went away in the middle of its answer{why}, or cut it off because it was not read in time; it is \
         incomplete"
    ))
}
