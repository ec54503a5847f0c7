//! leela-host(8): the host's own numbers and the books of the other processes, as metrics. It listens nowhere.

mod config;
mod counters;
mod machine;
mod processes;
mod round;
mod rounds;
mod skip;

use std::path::Path;
use std::time::Instant;

use common::books::{Books, CARRIED_WORDS};
use common::metric::Metric;
use common::process;
use common::runtime_dir::RuntimeDir;
use common::time::Time;
use hop::{Output, Turns};

use machine::Machine;
use round::{Faults, Round};
use rounds::Rounds;

pub use config::Config;
pub use counters::{Area, Counters, Reason};

/// The first token of the output.
pub const OUTPUT: usize = 0;

/// The word of the books that holds the time of the last round, in ns since 1970; 0 before the first.
const ROUND_WORD: usize = CARRIED_WORDS - 1;

/// leela-host, opened.
#[derive(Debug)]
pub struct Host {
    runtime_dir: RuntimeDir,
    machine: Machine,
    rounds: Rounds,
    faults: Faults,
    books: Books<Counters>,
    output: Output,
    config: Config,
}

impl Host {
    /// Goes on with the rounds where a predecessor's books stand.
    pub fn open(config: &Config, run: &RuntimeDir, books: Books<Counters>, output: Output) -> Host {
        let last = Some(books.carried()[ROUND_WORD] as i64).filter(|ns| *ns != 0).map(Time::from_ns);
        Host {
            runtime_dir: run.clone(),
            machine: Machine::new(Path::new("/proc"), Path::new("/sys"), config),
            rounds: Rounds::new(config.interval, last),
            faults: Faults::default(),
            books,
            output,
            config: config.clone(),
        }
    }

    /// Makes its rounds until it is told to stop.
    pub fn serve(mut self, turns: &mut Turns) -> anyhow::Result<()> {
        tracing::info!(interval = %self.config.interval, "ready");
        let mut now = Instant::now();
        loop {
            let time = Time::now();
            if let Some(missed) = self.rounds.begin(time) {
                self.books.counters.missed += missed;
                self.round(time, now);
            }
            let due = now + self.rounds.wait(time);
            let turn = turns.next_turn(Some(self.output.next_try().map_or(due, |next| next.min(due))))?;
            now = turn.now;
            if let Some(signal) = turn.stop {
                tracing::info!(signal, "stopping");
                break;
            }
            for token in turns.tokens() {
                self.output.resume(token, now);
            }
            self.output.send(now);
        }
        process::stopping();
        let deadline = Instant::now() + self.config.drain_timeout.duration();
        let rounds = self.rounds;
        self.output.close(self.books, turns.poll(), deadline, |carried| seal(&rounds, carried))?;
        Ok(())
    }

    /// Reads everything once, under one time, and hands it on.
    fn round(&mut self, time: Time, now: Instant) {
        let Host { runtime_dir, machine, rounds, faults, books, output, .. } = self;
        books.counters.rounds += 1;
        let mut take = |metric: &Metric<'_>| output.metric(metric);
        let mut round = Round::new(time, books, faults, &mut take);
        machine.read(&mut round);
        processes::read(runtime_dir, &mut round);
        round.end();
        output.commit(books, now, |carried| seal(rounds, carried));
    }
}

fn seal(rounds: &Rounds, carried: &mut [u64; CARRIED_WORDS]) {
    carried[ROUND_WORD] = rounds.last().map_or(0, |time| time.ns() as u64);
}
