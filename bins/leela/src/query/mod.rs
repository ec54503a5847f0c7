//! `leela query`: a proc in leela-dmproc, and what it answers.

mod asked;
mod session;

use std::time::{Duration, Instant};

use clap::Args;
use common::exit::Exit;

use crate::cli::Limits;
use crate::instance::Instance;
use crate::output::{self, Output};
use crate::points::Points;
use crate::wait::{Wait, Woke};
use asked::Asked;
use session::{Heard, Session};

/// Run a query and print what it answers, as it happens.
#[derive(Args, Debug)]
#[command(
    after_help = EXAMPLES,
    override_usage = "leela query [OPTIONS] STATEMENT\n       leela query [OPTIONS] PIPELINE REGEX"
)]
pub struct Query {
    /// `SELECT <pipeline> FROM <regex>`, or the pipeline and the regex as two arguments
    #[arg(value_names = ["STATEMENT | PIPELINE", "REGEX"], num_args = 1.., required = true)]
    words: Vec<String>,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    output: Output,
}

const EXAMPLES: &str = "\
Examples:
  leela query 'SELECT window 5 (mean) FROM ^room'
  leela query 'mean | (* 100) | [> 50]' '^cpu\\.'
  leela query --count 1 --timeout 30s '[> 0.9]' '^disk\\.' && echo 'a disk is nearly full'
  leela query -o csv 'SELECT id FROM ^web;' > web.csv

Exit status: 0, 1 not in time, 65 the query is wrong, 69 leela-dmproc is not running";

const LOSSES_EVERY: Duration = Duration::from_secs(1);
const BACKOFF_FIRST: Duration = Duration::from_millis(20);
const BACKOFF_LAST: Duration = Duration::from_secs(1);

/// Prints what the query answers until it has enough.
pub fn run(query: &Query, instance: &Instance) -> anyhow::Result<()> {
    if query.words.len() > 2 {
        // Most likely the shell took the statement apart.
        return Err(Exit::Usage.error(format_args!(
            "query takes one statement, or a pipeline and a regex; put it in quotes: leela query '{}'",
            query.words.join(" ")
        )));
    }
    let asked = Asked::parse(&query.words)?;
    let path = instance.runtime_dir.dmproc_proc();
    let mut wait = Wait::new(query.limits.timeout)?;
    let session = Session::open(&path, &asked, &wait);
    let mut session = Some(session.map_err(|error| instance.unreached(&path, "dmproc", &error))?);
    let mut points = Points::new(query.output.form(), output::out())?;
    let (mut backoff, mut next, mut printed) = (BACKOFF_FIRST, None, 0);
    let mut losses = Losses::default();
    // It went away, and what has come since is at most a connection: the socket outlives it.
    let mut away = false;
    let ended = loop {
        let heard = match &mut session {
            Some(session) => session.read(|event| {
                // What is beyond the count is read and not printed.
                if !query.limits.reached(points.printed) {
                    points.event(event)?;
                }
                Ok(())
            })?,
            None => Heard::Nothing,
        };
        losses.lost += session.as_mut().map_or(0, Session::take_lost);
        if away && session.as_ref().is_some_and(Session::runs) {
            away = false;
            output::say("leela-dmproc is back; windows begin anew");
        }
        crate::flush(points.out())?;
        if query.limits.reached(points.printed) {
            break Ok(());
        }
        let mut more = false;
        match heard {
            Heard::Nothing => {}
            Heard::Some => more = true,
            Heard::Refused(reason) => return Err(asked.refused(reason)),
            Heard::End => {
                session = None;
                if !away {
                    output::say("leela-dmproc went away; waiting for it");
                }
                (away, next) = (true, Some(Instant::now() + backoff));
            }
        }
        if points.printed > printed {
            printed = points.printed;
            wait.over();
            // A dmproc that answers stays.
            backoff = BACKOFF_FIRST;
        }
        let now = Instant::now();
        losses.tell(now);
        if next.is_some_and(|next| next <= now) {
            match Session::open(&path, &asked, &wait) {
                Ok(opened) => (session, next) = (Some(opened), None),
                Err(_) => next = Some(now + backoff),
            }
            // It may go away again at once, so that only events say that all is well.
            backoff = (backoff * 2).min(BACKOFF_LAST);
            continue;
        }
        let what = match &session {
            Some(session) if session.runs() => "events",
            _ => "leela-dmproc",
        };
        let until = [next, losses.due(), more.then_some(now)].into_iter().flatten().min();
        match wait.wait(until, what)? {
            Woke::Due => {}
            woke => break query.limits.end(woke, points.printed),
        }
    };
    losses.say();
    if let Some(session) = session {
        session.close();
    }
    ended
}

/// What was lost for this reader, told once a second at most.
#[derive(Debug, Default)]
struct Losses {
    lost: u64,
    not_before: Option<Instant>,
}

impl Losses {
    /// When they are to be told; none when there are none.
    fn due(&self) -> Option<Instant> {
        self.not_before.filter(|_| self.lost > 0)
    }

    fn tell(&mut self, now: Instant) {
        if self.lost > 0 && self.not_before.is_none_or(|not_before| not_before <= now) {
            self.say();
            self.not_before = Some(now + LOSSES_EVERY);
        }
    }

    fn say(&mut self) {
        if self.lost > 0 {
            output::say(format_args!(
                "{} events were lost: this reader is slower than the query; select fewer series, or let a `window` \
                 thin them out",
                self.lost
            ));
            self.lost = 0;
        }
    }
}
