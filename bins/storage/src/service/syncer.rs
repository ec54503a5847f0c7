//! The thread that waits for the disk, and who waits for it to have waited.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use mio::Waker;

use crate::counters::Counters;
use crate::log::{LogError, Position, Syncing};

/// Makes the log durable beside the loop; one sync at a time.
#[derive(Debug)]
pub(super) struct Syncer {
    begun: Option<Sender<Syncing>>,
    done: Receiver<Result<Position, LogError>>,
    thread: Option<JoinHandle<()>>,
    /// One is under way.
    is_busy: bool,
    /// All before it is durable.
    synced: Position,
    /// All before it will be, when the one under way ends well.
    begun_end: Position,
    /// When the last one began.
    last: Instant,
    can_sync: bool,
    waiting: Vec<(Position, SyncSender<Result<(), String>>)>,
}

impl Syncer {
    /// Begins; all before `synced` is known to be durable.
    pub(super) fn start(waker: Arc<Waker>, synced: Position) -> io::Result<Syncer> {
        let (begun, work) = channel::<Syncing>();
        let (say, done) = channel();
        let thread = Builder::new().name("syncer".to_owned()).spawn(move || {
            for syncing in work {
                if say.send(syncing.finish()).is_err() || waker.wake().is_err() {
                    return;
                }
            }
        })?;
        Ok(Syncer {
            begun: Some(begun),
            done,
            thread: Some(thread),
            is_busy: false,
            synced,
            begun_end: synced,
            last: Instant::now(),
            can_sync: true,
            waiting: Vec::new(),
        })
    }

    /// When the next one is due; `None` when there is nothing to do, or one is under way.
    pub(super) fn due(&self, end: Position, every: Duration) -> Option<Instant> {
        if self.is_busy || end <= self.synced {
            return None;
        }
        Some(if self.waiting.is_empty() || !self.can_sync { self.last + every } else { Instant::now() })
    }

    pub(super) fn is_due(&self, end: Position, now: Instant, every: Duration) -> bool {
        self.due(end, every).is_some_and(|due| due <= now.max(Instant::now()))
    }

    /// Hands over one that was begun.
    pub(super) fn begin(&mut self, syncing: Syncing, now: Instant) {
        self.last = now;
        self.begun_end = syncing.end();
        self.is_busy = self.begun.as_ref().is_some_and(|begun| begun.send(syncing).is_ok());
    }

    /// One could not be begun.
    pub(super) fn put_off(&mut self, now: Instant) {
        self.last = now;
        self.fail("the log cannot be written");
    }

    /// Answers when all before `end` is durable.
    pub(super) fn wait(&mut self, end: Position, reply: SyncSender<Result<(), String>>) {
        self.waiting.push((end, reply));
        self.answer();
    }

    /// Notes what came of the one under way.
    pub(super) fn reap(&mut self, counters: &mut Counters, now: Instant) {
        while let Ok(done) = self.done.try_recv() {
            self.is_busy = false;
            match done {
                Ok(end) => {
                    counters.syncs += 1;
                    self.synced = self.synced.max(end);
                    // After a failure what was in doubt has to be sealed first.
                    let is_whole = self.synced >= self.begun_end;
                    if is_whole && !std::mem::replace(&mut self.can_sync, true) {
                        tracing::info!("the log is durable again");
                    }
                    self.answer();
                }
                Err(error) => {
                    counters.sync_failed += 1;
                    self.last = now;
                    let error = anyhow::Error::new(error);
                    if std::mem::take(&mut self.can_sync) {
                        tracing::error!(error = %format!("{error:#}"), "the log cannot be made durable");
                    }
                    self.fail(&format!("{error:#}"));
                }
            }
        }
    }

    /// Ends the thread, and makes the last one durable here.
    pub(super) fn finish(&mut self, syncing: Syncing) -> Result<Position, LogError> {
        drop(self.begun.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has said so already.
            let _ = thread.join();
        }
        let finished = syncing.finish();
        if let Ok(end) = finished {
            self.synced = end;
            self.answer();
        }
        self.fail("leela-storage is stopping");
        finished
    }

    fn answer(&mut self) {
        let synced = self.synced;
        for (_, reply) in self.waiting.extract_if(.., |(end, _)| *end <= synced) {
            // Who waited may have gone.
            let _ = reply.send(Ok(()));
        }
    }

    fn fail(&mut self, why: &str) {
        for (_, reply) in self.waiting.drain(..) {
            let _ = reply.send(Err(why.to_owned()));
        }
    }
}
