//! A connection that is watched: a client may be slow only for so long, in what it sends and in what it takes.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// What a connection is about.
#[derive(Clone, Debug, Default)]
pub struct Phase(Arc<AtomicU8>);

const IDLE: u8 = 0;
const HEAD: u8 = 1;
const REQUEST: u8 = 2;

impl Phase {
    /// Between requests.
    pub fn idle(&self) {
        self.0.store(IDLE, Relaxed);
    }

    /// A request has come, and is not answered.
    pub fn request(&self) {
        self.0.store(REQUEST, Relaxed);
    }

    /// True when a request line or headers are half there.
    pub fn is_head(&self) -> bool {
        self.0.load(Relaxed) == HEAD
    }
}

/// The connection.
#[derive(Debug)]
pub struct Guarded<S> {
    stream: S,
    phase: Phase,
    header_timeout: Duration,
    answer_timeout: Duration,
    /// Until when the head has to be there.
    head: Option<Pin<Box<Sleep>>>,
    /// Until when the client has to take something.
    answer: Option<Pin<Box<Sleep>>>,
}

impl<S> Guarded<S> {
    /// Watches a connection.
    pub fn new(stream: S, phase: Phase, header_timeout: Duration, answer_timeout: Duration) -> Guarded<S> {
        Guarded { stream, phase, header_timeout, answer_timeout, head: None, answer: None }
    }

    /// The connection itself.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        if read.is_ready() {
            if buffer.filled().len() > before && this.phase.0.load(Relaxed) == IDLE {
                this.phase.0.store(HEAD, Relaxed);
            }
            return read;
        }
        if !this.phase.is_head() {
            this.head = None;
            return Poll::Pending;
        }
        let head =
            this.head.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + this.header_timeout)));
        ready!(head.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S> Guarded<S> {
    /// Passes on what writing gave; one that waits has its time.
    fn taken<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.answer = None;
            return written;
        }
        let timeout = self.answer_timeout;
        let answer = self.answer.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + timeout)));
        ready!(answer.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.taken(context, written)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(context);
        this.taken(context, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.stream).poll_shutdown(context);
        this.taken(context, shut)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, pieces);
        this.taken(context, written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn paused() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
    }

    #[test]
    fn half_a_head_and_an_answer_that_is_not_taken_have_their_time() {
        paused().block_on(async {
            let (mut client, stream) = tokio::io::duplex(16);
            let phase = Phase::default();
            let timeout = Duration::from_secs(10);
            let mut guarded = Guarded::new(stream, phase.clone(), timeout, timeout);
            client.write_all(b"GET /").await.unwrap();
            let mut buffer = [0; 16];
            assert_eq!(guarded.read(&mut buffer).await.unwrap(), 5);
            assert!(phase.is_head());
            let begun = Instant::now();
            let error = guarded.read(&mut buffer).await.unwrap_err();
            assert_eq!((error.kind(), begun.elapsed() >= timeout), (io::ErrorKind::TimedOut, true));
            let error = guarded.write_all(&[0; 100]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        });
    }

    #[test]
    fn who_has_nothing_to_say_waits_as_long_as_he_may() {
        paused().block_on(async {
            let (mut client, stream) = tokio::io::duplex(16);
            let mut guarded =
                Guarded::new(stream, Phase::default(), Duration::from_secs(1), Duration::from_secs(1));
            let later = tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(3600)).await;
                client.write_all(b"x").await.unwrap();
            });
            assert_eq!(guarded.read(&mut [0; 16]).await.unwrap(), 1);
            later.await.unwrap();
        });
    }
}
