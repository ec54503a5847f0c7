//! The way of a body's points into the ring: from the threads that read bodies to the one that owns ring and books.
//!
//! The channel is short, and who finds it full waits; an answer comes only when the points are in the ring and in the
//! books. A ring that is half full takes nothing more: the client is told to come again.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use common::wire::Batch;
use mio::Waker;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::config::Config;
use crate::points::Intake;

/// Bodies that are read and handed on at the same time; one more waits.
const INTAKES_MAX: usize = 8;
/// Batches that are kept to be used again.
const SPARE_MAX: usize = 64;

/// What becomes of a body's points.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Written {
    /// They are in the ring, and in the books.
    Done,
    /// The ring is half full: nothing was taken.
    Full,
    /// They take more than half of the ring, or more than may be read of a body: nothing was taken.
    TooLarge,
}

/// A body's points, on their way.
#[derive(Debug)]
pub struct Submission {
    /// The points.
    pub intake: Intake,
    /// Who sent them.
    pub peer: String,
    answer: oneshot::Sender<(Written, Intake)>,
}

impl Submission {
    /// Tells what became of it. Who asked may have gone; the points are in the ring all the same.
    pub fn answer(self, written: Written) {
        let _ = self.answer.send((written, self.intake));
    }
}

/// Where bodies are handed in. Clones hand in to the same thread.
#[derive(Clone, Debug)]
pub struct Writer {
    to: mpsc::Sender<Submission>,
    waker: Arc<Waker>,
    turns: Arc<Semaphore>,
    spare: Arc<Mutex<Vec<Batch>>>,
    room: usize,
    filling: Filling,
}

/// How full the ring is, as the thread that owns it has seen it last.
#[derive(Clone, Debug, Default)]
pub struct Filling(Arc<AtomicU32>);

impl Filling {
    /// From 0 to 1.
    pub fn get(&self) -> f64 {
        f64::from(f32::from_bits(self.0.load(Relaxed)))
    }

    /// Tells the others.
    pub fn set(&self, filling: f64) {
        self.0.store((filling as f32).to_bits(), Relaxed);
    }
}

impl Writer {
    /// A writer and its other end.
    pub fn new(waker: Arc<Waker>, config: &Config) -> (Writer, mpsc::Receiver<Submission>) {
        let (to, from) = mpsc::channel(INTAKES_MAX);
        let turns = Arc::new(Semaphore::new(INTAKES_MAX));
        // What is appended when the ring is nearly half full still fits.
        let room = (config.ring.len() / 4).min(config.inflated_max.len());
        let writer = Writer { to, waker, turns, spare: Arc::default(), room, filling: Filling::default() };
        (writer, from)
    }

    /// How full the ring is.
    pub fn filling(&self) -> f64 {
        self.filling.get()
    }

    /// Where the thread that owns the ring tells how full it is.
    pub fn level(&self) -> Filling {
        self.filling.clone()
    }

    /// Reads points with `fill` and hands them on. `heavy`: it takes long, and gets a thread of its own.
    ///
    /// # Errors
    /// When the process ends.
    pub async fn write(
        &self,
        now: common::time::Time,
        peer: String,
        heavy: bool,
        fill: impl FnOnce(&mut Intake) + Send + 'static,
    ) -> io::Result<(Written, Intake)> {
        let gone = || io::Error::other("the process ends");
        let _turn = self.turns.acquire().await.map_err(|_| gone())?;
        let mut intake = Intake::new(now, self.room, std::mem::take(&mut self.spares()));
        let intake = if heavy {
            tokio::task::spawn_blocking(move || {
                fill(&mut intake);
                intake
            })
            .await
            .map_err(io::Error::other)?
        } else {
            fill(&mut intake);
            intake
        };
        if intake.is_too_large {
            return Ok((Written::TooLarge, intake));
        }
        let (answer, told) = oneshot::channel();
        self.to.send(Submission { intake, peer, answer }).await.map_err(|_| gone())?;
        self.waker.wake()?;
        told.await.map_err(|_| gone())
    }

    /// Takes back the batches of an intake.
    pub fn give_back(&self, intake: Intake) {
        let mut spares = self.spares();
        for batch in intake.into_spare() {
            if spares.len() < SPARE_MAX {
                spares.push(batch);
            }
        }
    }

    fn spares(&self) -> std::sync::MutexGuard<'_, Vec<Batch>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
