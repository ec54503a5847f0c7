//! The thread that owns ring and books: it takes what the others read, commits it, sends it, and only then says so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::books::{Books, Refusal};
use common::process;
use common::time::Time;
use hop::{Output, Turns};
use mio::Token;
use tokio::sync::mpsc;

use crate::counters::Counters;
use crate::server::Server;
use crate::tally::Tally;
use crate::writer::{Filling, Submission, Written};

/// Woken by the threads that read bodies.
pub const WAKE: Token = Token(0);
/// The first token of the output.
pub const OUTPUT: usize = 1 << 16;

/// From here on a ring takes no more of what can be sent again. A body has at most a quarter of a ring's bytes: so
/// nothing of it falls off.
const FILLING_MAX: f64 = 0.5;
/// Submissions that are committed together at most: who waits for the first waits for all.
const SUBMISSIONS_A_COMMIT: usize = 64;
/// Refused inputs of one body that `leela refused` is to show: no client shall fill all of its room.
const REFUSALS_A_BODY: usize = 16;

/// Ring, books, and where points come from.
#[derive(Debug)]
pub struct Service {
    books: Books<Counters>,
    output: Output,
    inbox: mpsc::Receiver<Submission>,
    tally: Arc<Tally>,
    filling: Filling,
    drain_timeout: Duration,
    taken: Vec<(Submission, Written)>,
    /// Whether the ring takes points; said when it changes.
    takes: bool,
}

impl Service {
    /// Goes on where the books stand.
    pub fn new(
        books: Books<Counters>,
        output: Output,
        inbox: mpsc::Receiver<Submission>,
        tally: Arc<Tally>,
        filling: Filling,
        drain_timeout: Duration,
    ) -> Service {
        Service { books, output, inbox, tally, filling, drain_timeout, taken: Vec::new(), takes: true }
    }

    /// Takes points until it is told to stop; then until the requests that are there are answered.
    pub fn serve(mut self, turns: &mut Turns, server: Server) -> anyhow::Result<()> {
        tracing::info!(listen = ?server.addresses(), "ready");
        self.commit(Instant::now());
        loop {
            let turn = turns.next_turn(self.output.next_try())?;
            if let Some(signal) = turn.stop {
                tracing::info!(signal, "stopping");
                break;
            }
            self.turn(turns, turn.now, turn.tick);
        }
        process::stopping();
        let deadline = Instant::now() + self.drain_timeout;
        server.stop();
        while !server.is_over() && Instant::now() < deadline {
            let turn =
                turns.next_turn(Some(self.output.next_try().map_or(deadline, |at| at.min(deadline))))?;
            self.turn(turns, turn.now, turn.tick);
        }
        server.end();
        // What was handed in and not answered is not taken: its client is not told that it was.
        self.tally.flush(&mut self.books.counters);
        self.output.close(self.books, turns.poll(), deadline, |_| {})?;
        Ok(())
    }

    fn turn(&mut self, turns: &Turns, now: Instant, tick: bool) {
        for token in turns.tokens() {
            self.output.resume(token, now);
        }
        self.output.send(now);
        while self.take() {
            self.commit(now);
            for (submission, written) in self.taken.drain(..) {
                submission.answer(written);
            }
        }
        if tick {
            self.commit(now);
            self.say_whether_full();
        }
    }

    /// Puts what was handed in into the ring; true when there was something.
    fn take(&mut self) -> bool {
        while self.taken.len() < SUBMISSIONS_A_COMMIT
            && let Ok(submission) = self.inbox.try_recv()
        {
            let written = self.put(&submission);
            self.taken.push((submission, written));
        }
        !self.taken.is_empty()
    }

    fn put(&mut self, submission: &Submission) -> Written {
        let Submission { intake, peer, .. } = submission;
        if self.output.sender().filling() >= FILLING_MAX && !intake.is_empty() {
            return Written::Full;
        }
        let Counters { received, accepted, passed, refused, .. } = &mut self.books.counters;
        *received += intake.received();
        *accepted += intake.accepted;
        *passed += intake.accepted;
        for (reason, count) in intake.counts() {
            refused.add_many(reason, count);
        }
        let time = Time::now();
        for fault in intake.faults.iter().take(REFUSALS_A_BODY) {
            let reason = common::books::Label::name(fault.reason);
            let (text, offset) = (&fault.text[..], fault.text_offset);
            self.books.refuse(&Refusal { time, peer, reason, text, offset });
        }
        intake.batches().for_each(|batch| self.output.batch(batch));
        Written::Done
    }

    fn commit(&mut self, now: Instant) {
        self.tally.flush(&mut self.books.counters);
        self.output.commit(&mut self.books, now, |_| {});
        self.filling.set(self.output.sender().filling());
    }

    fn say_whether_full(&mut self) {
        let takes = self.output.sender().filling() < FILLING_MAX;
        if std::mem::replace(&mut self.takes, takes) != takes {
            match takes {
                true => tracing::info!("the ring has room again, writes are taken"),
                false => tracing::warn!(
                    "the ring is half full, writes are answered 503: is leela-timeline running?"
                ),
            }
        }
    }
}
