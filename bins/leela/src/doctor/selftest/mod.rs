//! `leela doctor --self-test`: a metric through every input that runs, seen live and in the store. Its series stay
//! there, under one name; nothing is removed.

mod seen;
mod show;
mod way;

use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, Instant};

use common::books::State;
use common::exit::Exit;
use common::span::Span;
use hop::account::Reading;

use super::member::{self, Member};
use crate::instance::Instance;
use crate::output::Form;
use crate::status::unread;
use seen::{Live, Stored};
use way::Way;

/// What the names of all series of self-tests begin with.
pub(super) const PREFIX: &str = "leela.selftest.";
/// How long a metric may take.
pub(super) const TIMEOUT: Span = Span::from_secs(5);
/// How long one look at the live values waits, and how often the store is asked.
const LOOK: Duration = Duration::from_millis(10);

/// What became of one input's metric.
#[derive(Debug)]
pub(super) struct Trial {
    way: Way,
    value: f64,
    sent_at: Option<Instant>,
    live: Option<Duration>,
    stored: Option<Duration>,
    /// Why it did not arrive, with the way out.
    problem: Option<String>,
}

/// Sends and waits, prints what it saw, and ends with 1 when something did not arrive.
pub(super) fn run(
    config_dir: Option<&std::path::Path>,
    timeout: Span,
    instance: &Instance,
    form: Form,
) -> anyhow::Result<()> {
    let reading = Reading::of_books(&instance.runtime_dir).map_err(|error| unread(error, instance))?;
    let runs = |process: &str| {
        reading.books.iter().any(|books| books.process == process && books.state == State::Running)
    };
    if !runs("timeline") {
        return Err(instance.absent("leela-timeline does not run: no input reaches anything"));
    }
    let members = member::all(&reading, config_dir);
    let name = format!("{PREFIX}{:016x}", std::hash::RandomState::new().build_hasher().finish());
    let until =
        Instant::now().checked_add(timeout.duration()).unwrap_or_else(|| Instant::now() + TIMEOUT.duration());
    // Whoever reads live has to be there before anything is sent.
    let mut live = if runs("dmproc") { Some(Live::open(instance, &name, until)?) } else { None };
    let mut stored = runs("storage").then(|| Stored::of(instance, &name, until));
    let mut trials = send(&members, instance, &name, until);
    while Instant::now() < until && trials.iter().any(|trial| trial.waits(live.is_some(), stored.is_some())) {
        match &mut live {
            Some(live) => {
                live.read(LOOK, |key, value| note(&mut trials, key, value, |trial| &mut trial.live))?;
            }
            None => std::thread::sleep(LOOK),
        }
        if let Some(stored) = &mut stored {
            stored.read(|key, value| note(&mut trials, key, value, |trial| &mut trial.stored))?;
        }
    }
    for trial in &mut trials {
        trial.judge(live.is_some(), stored.is_some(), timeout);
    }
    let missing = [("dmproc", live.is_none()), ("storage", stored.is_none())];
    let missing: Vec<&str> = missing.into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect();
    show::print(&trials, &name, &missing, form)?;
    match trials.iter().filter(|trial| trial.problem.is_some()).count() {
        0 if trials.is_empty() => Err(Exit::No.error("no input runs")),
        0 => Ok(()),
        1 => Err(Exit::No.error("one input did not get its metric through")),
        failed => Err(Exit::No.error(format_args!("{failed} inputs did not get their metrics through"))),
    }
}

fn send(members: &[Member], instance: &Instance, name: &str, until: Instant) -> Vec<Trial> {
    let ways = way::all(members);
    let trials = ways.into_iter().zip(1..).map(|(way, number)| {
        let value = f64::from(number);
        let problem = way.send(instance, name, value, until).err().map(|error| format!("{error:#}"));
        let sent_at = problem.is_none().then(Instant::now);
        Trial { way, value, sent_at, live: None, stored: None, problem }
    });
    trials.collect()
}

/// Notes that a value was seen, once.
fn note(trials: &mut [Trial], key: &[u8], value: f64, place: impl Fn(&mut Trial) -> &mut Option<Duration>) {
    for trial in trials {
        let is_its = key.ends_with(trial.way.ending().as_bytes()) && value == trial.value;
        if let (true, Some(sent_at)) = (is_its, trial.sent_at) {
            place(trial).get_or_insert(sent_at.elapsed());
        }
    }
}

impl Trial {
    fn waits(&self, is_live: bool, is_stored: bool) -> bool {
        self.problem.is_none() && ((is_live && self.live.is_none()) || (is_stored && self.stored.is_none()))
    }

    fn judge(&mut self, is_live: bool, is_stored: bool, timeout: Span) {
        if self.problem.is_some() {
            return;
        }
        let missing = match (is_live && self.live.is_none(), is_stored && self.stored.is_none()) {
            (false, false) => return,
            (true, true) => "neither live nor in the store",
            (true, false) => "not live, though in the store: leela-dmproc is behind or cut off",
            (false, true) => "not in the store, though live: leela-storage is behind, full or cut off",
        };
        self.problem = Some(format!(
            "{missing} within {timeout}; `leela status` and `leela refused --process {}` say where it went",
            self.way.process()
        ));
    }
}
