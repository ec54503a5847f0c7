//! A client of storage's query socket: connections that are used again, answers that are read piece by piece.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use common::ask::{Answer, AnswerError, Ask, Status};
use common::wire::Header;
use sockets::frame::{self, Frames};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::refusal::Refusal;

const READ_BYTES: usize = 64 * 1024;

/// Why there is no answer, or only part of one.
#[derive(Debug, Error)]
pub(crate) enum AskError {
    /// Nobody listens, or went away.
    #[error("leela-storage is not reached: {0}")]
    Away(#[source] io::Error),
    /// It said nothing in time.
    #[error("leela-storage did not answer in time")]
    Late,
    /// The ask is wrong.
    #[error("{0}")]
    Refused(String),
    /// It could not be done now, or not to its end.
    #[error("leela-storage failed: {0}")]
    Failed(String),
    /// The answer ended before its end.
    #[error("the answer of leela-storage is incomplete")]
    Incomplete,
    /// Not what a store of ours says.
    #[error("leela-storage is of another version: {0}")]
    Form(#[from] AnswerError),
}

/// Where to ask.
#[derive(Debug)]
pub(crate) struct Storage {
    path: PathBuf,
    timeout: Duration,
    idle: Mutex<Vec<Link>>,
    turns: Arc<Semaphore>,
}

/// A connection, between two asks or in one.
#[derive(Debug)]
struct Link {
    stream: UnixStream,
    frames: Frames,
    buffer: Box<[u8]>,
}

impl Link {
    /// Reads until a frame is whole.
    async fn fill(&mut self) -> Result<(), AskError> {
        while !self.frames.has_frame() {
            match self.stream.read(&mut self.buffer).await.map_err(AskError::Away)? {
                0 => return Err(AskError::Incomplete),
                length => self.frames.push(&self.buffer[..length]),
            }
        }
        Ok(())
    }
}

/// An answer under way. Dropped before its end, its connection is closed: storage stops.
#[derive(Debug)]
pub(crate) struct Asking {
    link: Option<Link>,
    /// The piece that was read last.
    piece: Vec<u8>,
    warning: Option<String>,
    /// What `status` said, when it was no success.
    failure: Option<AskError>,
    has_status: bool,
    storage: Arc<Storage>,
    _turn: OwnedSemaphorePermit,
}

/// One piece of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Piece<'a> {
    /// Records, for [`common::wire::Runs::new`] and its like.
    Records(Header, &'a [u8]),
    /// Something that nobody here asks for.
    Other,
}

impl Storage {
    /// Connects nowhere yet.
    pub(crate) fn new(path: PathBuf, connections: usize, timeout: Duration) -> Arc<Storage> {
        let turns = Arc::new(Semaphore::new(connections));
        Arc::new(Storage { path, timeout, idle: Mutex::default(), turns })
    }

    /// Asks. The answer's first piece has come when this returns.
    pub(crate) async fn ask(self: &Arc<Storage>, ask: &Ask) -> Result<Asking, AskError> {
        let turn = tokio::time::timeout(self.timeout, self.turns.clone().acquire_owned());
        let turn = turn.await.map_err(|_| AskError::Late)?.map_err(|_| AskError::Late)?;
        let mut payload = Vec::new();
        ask.write(&mut payload);
        let mut question = Vec::with_capacity(payload.len() + 2);
        if !frame::write_with(&mut question, |out| out.extend_from_slice(&payload)) {
            return Err(AskError::Refused("the question is longer than a frame".to_owned()));
        }
        let begun = tokio::time::timeout(self.timeout, self.begin(&question));
        let link = begun.await.map_err(|_| AskError::Late)??;
        Ok(Asking {
            link: Some(link),
            piece: Vec::new(),
            warning: None,
            failure: None,
            has_status: false,
            storage: self.clone(),
            _turn: turn,
        })
    }

    /// Sends the question, and waits for the first frame. One that was idle may have been closed meanwhile: then the
    /// question goes once more, by a new one.
    async fn begin(&self, question: &[u8]) -> Result<Link, AskError> {
        if let Some(mut link) = self.take_idle()
            && link.stream.write_all(question).await.is_ok()
            && link.fill().await.is_ok()
        {
            return Ok(link);
        }
        let stream = UnixStream::connect(&self.path).await.map_err(AskError::Away)?;
        let buffer = vec![0; READ_BYTES].into_boxed_slice();
        let mut link = Link { stream, frames: Frames::default(), buffer };
        link.stream.write_all(question).await.map_err(AskError::Away)?;
        link.fill().await?;
        Ok(link)
    }

    fn take_idle(&self) -> Option<Link> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

impl Asking {
    /// The next piece; none at the end of a complete answer.
    pub(crate) async fn next(&mut self) -> Result<Option<Piece<'_>>, AskError> {
        loop {
            let Some(link) = &mut self.link else { return Ok(None) };
            if !link.frames.has_frame() {
                let filled = tokio::time::timeout(self.storage.timeout, link.fill());
                filled.await.map_err(|_| AskError::Late)??;
            }
            self.piece.clear();
            self.piece.extend_from_slice(link.frames.next_frame().unwrap_or_default());
            match Answer::parse(&self.piece)? {
                Answer::Records(..) | Answer::Object(_) => break,
                Answer::Status(status) => {
                    self.has_status = true;
                    match status {
                        Status::Done { warning } => self.warning = warning.map(str::to_owned),
                        Status::Accepted { .. } => {}
                        Status::Refused(why) => self.failure = Some(AskError::Refused(why.to_owned())),
                        Status::Failed(why) => self.failure = Some(AskError::Failed(why.to_owned())),
                    }
                }
                Answer::End => {
                    let link = self.link.take().filter(|link| !link.frames.is_partial());
                    if !self.has_status {
                        return Err(AskError::Incomplete);
                    }
                    self.storage.idle.lock().unwrap_or_else(PoisonError::into_inner).extend(link);
                    return self.failure.take().map_or(Ok(None), Err);
                }
            }
        }
        match Answer::parse(&self.piece)? {
            Answer::Records(header, records) => Ok(Some(Piece::Records(header, records))),
            Answer::Object(_) => Ok(Some(Piece::Other)),
            Answer::Status(_) | Answer::End => Err(AskError::Incomplete),
        }
    }

    /// What was passed over because it is damaged; known at the end.
    pub(crate) fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }
}

/// What a client is told that gets no answer, or none yet.
impl From<AskError> for Refusal {
    fn from(error: AskError) -> Refusal {
        match error {
            AskError::Refused(why) => Refusal::wrong("ask", why),
            error => Refusal::busy("storage", error.to_string()),
        }
    }
}
