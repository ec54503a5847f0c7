//! Answers that are made of storage's, piece by piece: small ones whole, others streamed as they come. One that breaks
//! in the middle is cut, so that the client sees it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use common::wire::{Header, RecordError};
use http_body::Frame;
use tokio::sync::mpsc;

use crate::storage::{AskError, Asking, Piece};
use crate::tally::Tally;

/// An answer up to here is sent whole, with its length.
const WHOLE_BYTES_MAX: usize = 256 * 1024;
/// A piece of a longer one.
const PIECE_BYTES: usize = 64 * 1024;
/// Pieces that wait for a client.
const PIECES_WAITING: usize = 2;

/// Makes an answer of records.
pub(crate) trait Render: Send + 'static {
    /// Renders records; gives how many points or notes they were.
    fn records(&mut self, header: &Header, records: &[u8], out: &mut Vec<u8>) -> Result<u64, RecordError>;
    /// Renders the end. `warning`: what was passed over because it is damaged.
    fn end(&mut self, warning: Option<&str>, out: &mut Vec<u8>);
}

/// An answer that begins.
#[derive(Debug)]
pub(crate) enum Rendered {
    /// All of it, and how many points or notes it is of.
    Whole(Vec<u8>, u64),
    /// Its pieces.
    Streamed(Body),
}

impl Rendered {
    /// As a body.
    pub(crate) fn into_body(self) -> Body {
        match self {
            Rendered::Whole(bytes, _) => Body::from(bytes),
            Rendered::Streamed(body) => body,
        }
    }
}

/// Renders what storage answers. An error before the first piece was sent is the caller's to tell.
pub(crate) async fn render(
    mut asking: Asking,
    mut render: impl Render,
    mut out: Vec<u8>,
    tally: Arc<Tally>,
) -> Result<Rendered, AskError> {
    let mut points = 0;
    while out.len() <= WHOLE_BYTES_MAX {
        match step(&mut asking, &mut render, &mut out).await? {
            Some(more) => points += more,
            None => {
                Tally::add(&tally.points_read, points);
                return Ok(Rendered::Whole(out, points));
            }
        }
    }
    let (to, from) = mpsc::channel(PIECES_WAITING);
    tokio::spawn(async move {
        let cut = loop {
            if out.len() >= PIECE_BYTES {
                let piece = std::mem::replace(&mut out, Vec::with_capacity(PIECE_BYTES + 4096));
                if to.send(Ok(Bytes::from(piece))).await.is_err() {
                    break None;
                }
            }
            match step(&mut asking, &mut render, &mut out).await {
                Ok(Some(more)) => points += more,
                Ok(None) => {
                    // Who went away does not need the end.
                    let _ = to.send(Ok(Bytes::from(out))).await;
                    break None;
                }
                Err(error) => break Some(error),
            }
        };
        Tally::add(&tally.points_read, points);
        if let Some(error) = cut {
            tracing::warn!(%error, "an answer was cut in the middle");
            let _ = to.send(Err(io::Error::other(error))).await;
        }
    });
    Ok(Rendered::Streamed(Body::new(Pieces(from))))
}

async fn step(
    asking: &mut Asking,
    render: &mut impl Render,
    out: &mut Vec<u8>,
) -> Result<Option<u64>, AskError> {
    match asking.next().await? {
        Some(Piece::Records(header, records)) => {
            render.records(&header, records, out).map(Some).map_err(|_| AskError::Incomplete)
        }
        Some(Piece::Other) => Ok(Some(0)),
        None => {
            render.end(asking.warning(), out);
            Ok(None)
        }
    }
}

/// Pieces that a task makes, as a body.
#[derive(Debug)]
pub(crate) struct Pieces(pub(crate) mpsc::Receiver<io::Result<Bytes>>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}
