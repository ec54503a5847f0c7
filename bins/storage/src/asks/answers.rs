//! Each ask and its answer.

use std::ops::ControlFlow;

use common::ask::report::Deleted;
use common::ask::{Ask, Selection, Status, Which as Asked};
use common::query::selector::Selector;
use common::time::Time;
use common::wire::{Batch, Content, Extent, Full, Word};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use super::outlet::Outlet;
use super::{Desk, Request, client, report, snapshot};
use crate::counters::AskRefusal;
use crate::store::{Damage, Ended, Found, Kind, Range, StoreError, Which};

/// Damages that a warning names.
const DAMAGES_TOLD: usize = 3;

/// Answers.
pub(super) fn serve(desk: &Desk, ask: &Ask, outlet: &mut Outlet<'_>) -> ControlFlow<()> {
    outlet.begin();
    let answered = match ask {
        Ask::Range(range) => self::range(desk, range, outlet),
        Ask::Series(selection, limit) => series(desk, selection, *limit, outlet),
        Ask::Names(selection, limit) => names(desk, selection, *limit, outlet),
        Ask::Tags(tag) => tags(desk, tag.as_deref(), outlet),
        Ask::Stats => {
            let stats = report::stats(desk.store.stats(Time::now()), desk);
            object(outlet, &stats)
        }
        Ask::Delete { selection, is_dry } => delete(desk, selection, *is_dry, outlet),
        Ask::Verify => verify(desk, outlet),
        Ask::Snapshot(directory) => match snapshot::take(desk, directory) {
            Ok(taken) => object(outlet, &taken),
            Err(why) => Err(why),
        },
        // It has frames of its own.
        Ask::Import => Ok(Ended::default()),
    };
    if outlet.lost().is_some() {
        return ControlFlow::Break(());
    }
    match answered {
        Ok(ended) => {
            desk.answered(ended.records);
            let warning = warning(&ended.damage);
            outlet.status(Status::Done { warning: warning.as_deref() })?;
            outlet.end()
        }
        Err(why) => {
            desk.refused(if desk.is_closing() { AskRefusal::Stopped } else { AskRefusal::Failed });
            tracing::warn!(ask = ask.word(), error = why, "an ask could not be answered");
            client::refuse(outlet, Status::Failed(&why))
        }
    }
}

type Answered = Result<Ended, String>;

fn told(error: StoreError) -> String {
    format!("{:#}", anyhow::Error::new(error))
}

fn which(selection: &Selection) -> Which<'_> {
    match &selection.which {
        Asked::Key(key) => Which::Key(key.as_bytes()),
        Asked::Match(selector) => Which::Match(selector, &selection.tests),
    }
}

/// A selection with tests of one key is the key, if they hold.
fn is_excluded(selection: &Selection) -> bool {
    matches!(&selection.which, Asked::Key(key) if !selection.tests.iter().all(|test| test.holds(key.as_bytes())))
}

fn range(desk: &Desk, asked: &common::ask::Range, outlet: &mut Outlet<'_>) -> Answered {
    if is_excluded(&asked.selection) {
        return Ok(Ended::default());
    }
    let (kind, content) = match asked.content {
        Content::States => (Kind::States, Content::States),
        Content::Notes => (Kind::Notes, Content::Notes),
        _ => (Kind::Events, Content::Runs),
    };
    let range =
        Range { which: which(&asked.selection), kind, from: asked.from, to: asked.to, limit: asked.limit };
    let mut batch = Batch::new(content);
    let ended = desk.store.range(&range, Time::now(), &mut |found| match found {
        Found::Points { key, times_ms, values } => points(outlet, &mut batch, key, times_ms, values),
        Found::Note(note) => push(outlet, &mut batch, |batch| batch.note(&note)),
        Found::State(state) => push(outlet, &mut batch, |batch| batch.state(&state)),
    });
    finish(ended, outlet, &mut batch)
}

fn points(
    outlet: &mut Outlet<'_>,
    batch: &mut Batch,
    key: &[u8],
    times_ms: &[i64],
    values: &[f64],
) -> ControlFlow<()> {
    let mut rest =
        times_ms.iter().map(|ms| Time::from_ns(ms.saturating_mul(1_000_000))).zip(values.iter().copied());
    while rest.len() > 0 {
        match batch.run(key, rest.clone()) {
            0 => outlet.records(batch)?,
            taken => {
                rest.nth(taken - 1);
            }
        }
    }
    ControlFlow::Continue(())
}

/// Puts a record into the batch, and the batch onto its way where it is full.
fn push(
    outlet: &mut Outlet<'_>,
    batch: &mut Batch,
    record: impl Fn(&mut Batch) -> Result<(), Full>,
) -> ControlFlow<()> {
    if record(batch) == Err(Full) {
        outlet.records(batch)?;
        record(batch)
            .unwrap_or_else(|Full| debug_assert!(false, "any one record fits into an empty datagram"));
    }
    ControlFlow::Continue(())
}

fn finish(ended: Result<Ended, StoreError>, outlet: &mut Outlet<'_>, batch: &mut Batch) -> Answered {
    let ended = ended.map_err(told)?;
    // Where the client is lost, that is seen.
    let _ = outlet.records(batch);
    Ok(ended)
}

fn series(desk: &Desk, selection: &Selection, limit: Option<u64>, outlet: &mut Outlet<'_>) -> Answered {
    if is_excluded(selection) {
        return Ok(Ended::default());
    }
    let mut batch = Batch::new(Content::Series);
    let ended = desk.store.series(which(selection), limit, Time::now(), &mut |found| {
        let extent = Extent { key: found.key, first: found.first, last: found.last, points: found.points };
        push(outlet, &mut batch, |batch| batch.extent(&extent))
    });
    finish(ended, outlet, &mut batch)
}

fn names(desk: &Desk, selection: &Selection, limit: Option<u64>, outlet: &mut Outlet<'_>) -> Answered {
    if is_excluded(selection) {
        return Ok(Ended::default());
    }
    let mut batch = Batch::new(Content::Words);
    let ended = desk.store.names(which(selection), limit, &mut |key| {
        push(outlet, &mut batch, |batch| batch.word(&Word { series: 1, word: key }))
    });
    finish(ended, outlet, &mut batch)
}

fn tags(desk: &Desk, tag: Option<&str>, outlet: &mut Outlet<'_>) -> Answered {
    let words = desk.store.tags(tag.map(str::as_bytes)).map_err(told)?;
    let mut batch = Batch::new(Content::Words);
    for word in &words {
        let word = Word { series: word.series, word: &word.word };
        if push(outlet, &mut batch, |batch| batch.word(&word)).is_break() {
            break;
        }
    }
    finish(Ok(Ended { records: words.len() as u64, ..Ended::default() }), outlet, &mut batch)
}

fn delete(desk: &Desk, selection: &Selection, is_dry: bool, outlet: &mut Outlet<'_>) -> Answered {
    let mut deleted = Deleted { is_dry, ..Deleted::default() };
    if !is_excluded(selection) {
        if !is_dry {
            let synced = desk.request(|reply| Request::Sync { reply });
            synced.ok_or_else(|| "leela-storage is stopping".to_owned())??;
        }
        let done = desk.store.delete(which(selection), is_dry, Time::now()).map_err(told)?;
        (deleted.series, deleted.points) = (done.series, done.points);
        if !is_dry {
            let pattern = match &selection.which {
                Asked::Key(key) => key.clone(),
                Asked::Match(selector) => Selector::to_string(selector),
            };
            tracing::info!(pattern, series = deleted.series, points = deleted.points, "deleted");
        }
    }
    object(outlet, &deleted)
}

fn verify(desk: &Desk, outlet: &mut Outlet<'_>) -> Answered {
    let stream = outlet.stream();
    let verified = desk.store.verify(&mut || !desk.is_closing() && !is_gone(stream)).map_err(told)?;
    object(outlet, &report::verified(verified))
}

/// Whether nobody is there any more to hear the answer.
fn is_gone(stream: &UnixStream) -> bool {
    let mut asked = [PollFd::new(stream.as_fd(), PollFlags::empty())];
    let hung = PollFlags::POLLHUP | PollFlags::POLLERR;
    matches!(poll(&mut asked, PollTimeout::ZERO), Ok(1..))
        && asked[0].revents().is_some_and(|revents| revents.intersects(hung))
}

fn object(outlet: &mut Outlet<'_>, object: &impl Serialize) -> Answered {
    let json = serde_json::to_vec(object).map_err(|error| error.to_string())?;
    // Where the client is lost, that is seen.
    let _ = outlet.payload(&json);
    Ok(Ended::default())
}

/// What is said of damage that was passed over.
fn warning(damage: &[Damage]) -> Option<String> {
    if damage.is_empty() {
        return None;
    }
    let told: Vec<String> = damage.iter().take(DAMAGES_TOLD).map(Damage::to_string).collect();
    let more = damage.len().saturating_sub(DAMAGES_TOLD);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    let text = format!("damaged, and passed over: {}{more}", told.join("; "));
    Some(text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect())
}
