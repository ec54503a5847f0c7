//! A subscription that this bridge serves: its proc at leela-dmproc, and what waits to be told.

use std::path::Path;
use std::time::{Duration, Instant};

use common::query::error::{QueryError, Spot};
use common::query::proc::{Ask, Places, With};
use common::query::statement;
use sockets::frame;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::answer::Rate;
use crate::digest::Digest;
use crate::directory::Entry;
use crate::proc::{self, Away, Point, Told};

/// How long a user waits at most to hear how much a new subscription gives: leela-dmproc says it within a second.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// Values that wait at most for the answer to the statement that asked for them.
const HELD_MAX: usize = 256;

/// A subscription that is served.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) entry: Entry,
    task: Option<AbortHandle>,
    /// Where the parts of the statement stand in what is asked.
    places: Option<(Places, usize, usize)>,
    /// Why it does not run.
    pub(crate) failed: Option<String>,
    /// It has run.
    pub(crate) has_run: bool,
    /// Its values always come as digests: there are too many.
    pub(crate) is_digest: bool,
    pub(crate) digest: Option<Digest>,
    pub(crate) opening: Option<Opening>,
}

/// A subscription whose user has no answer yet.
#[derive(Debug)]
pub(crate) struct Opening {
    /// When the answer is due at the latest.
    pub(crate) due: Instant,
    /// It stands in the directory.
    pub(crate) is_kept: bool,
    pub(crate) rate: Option<Rate>,
    /// Why leela-dmproc does not run it now.
    pub(crate) away: Option<Away>,
    /// Values that came before the answer.
    pub(crate) held: Vec<Point>,
}

impl Opening {
    pub(crate) fn new(now: Instant) -> Opening {
        Opening { due: now + PATIENCE, is_kept: false, rate: None, away: None, held: Vec::new() }
    }

    /// Whether the answer can be given.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.is_kept && (self.rate.is_some() || self.away.is_some() || now >= self.due)
    }

    /// Holds a value; false when there are too many.
    pub(crate) fn hold(&mut self, point: &Point) -> bool {
        let fits = self.held.len() < HELD_MAX;
        if fits {
            self.held.push(point.clone());
        }
        fits
    }
}

/// A proc that can be asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    frame: Vec<u8>,
    places: (Places, usize, usize),
}

impl Asked {
    /// Checks the statement of an entry; `only` is what its user may see.
    ///
    /// # Errors
    /// With the spot, in bytes of the statement.
    pub(crate) fn of(entry: &Entry, only: Option<&str>) -> Result<Asked, QueryError> {
        let text = entry.select.statement();
        let split = statement::split(&text)?;
        split.check()?;
        let with = With { reason: true, lost: true, rate: true };
        let (regex, pipeline) = (split.regex, split.pipeline);
        let ask = Ask { with, only, regex: regex.text, pipeline: pipeline.text };
        let (mut payload, mut frame) = (Vec::new(), Vec::new());
        let places = ask.write(&mut payload);
        if !frame::write_with(&mut frame, |out| out.extend_from_slice(&payload)) {
            return Err(QueryError {
                at: Spot::new(0, text.len()),
                what: "the query is over 65,535 bytes".to_owned(),
                way_out: "write a shorter one".to_owned(),
            });
        }
        Ok(Asked { frame, places: (places, regex.offset, pipeline.offset) })
    }
}

impl Subscription {
    /// Begins to serve an entry. One that cannot run does not.
    pub(crate) fn begin(
        entry: Entry,
        asked: Result<Asked, QueryError>,
        id: u64,
        path: &Path,
        told: &mpsc::Sender<(u64, Told)>,
    ) -> Subscription {
        let (mut task, mut places, mut failed) = (None, None, None);
        match asked {
            Ok(asked) => {
                let (path, told) = (path.to_owned(), told.clone());
                places = Some(asked.places);
                let follow = async move { proc::follow(&path, &asked.frame, id, told).await };
                task = Some(tokio::spawn(follow).abort_handle());
            }
            Err(error) => failed = Some(error.to_string()),
        }
        Subscription {
            entry,
            task,
            places,
            failed,
            has_run: false,
            is_digest: false,
            digest: None,
            opening: None,
        }
    }

    /// What leela-dmproc refuses, as an error in the statement.
    pub(crate) fn error(&self, at: Spot, text: &str) -> QueryError {
        let statement = self.entry.select.statement();
        let spot = self
            .places
            .as_ref()
            .and_then(|(places, regex, pipeline)| places.in_text(at, *regex, *pipeline))
            .unwrap_or(Spot::new(0, statement.len()));
        let (what, way_out) = text.split_once("; ").unwrap_or((text, "see leela-dmproc(8)"));
        QueryError { at: spot, what: what.to_owned(), way_out: way_out.to_owned() }
    }

    /// Values that wait to be told.
    pub(crate) fn waiting(&self) -> u64 {
        let held = self.opening.as_ref().map_or(0, |opening| opening.held.len() as u64);
        held + self.digest.as_ref().map_or(0, |digest| digest.values)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // Its connection closes, and the proc ends with it.
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::Select;

    fn entry(proc: &str, regex: &str) -> Entry {
        let select = Select { proc: proc.to_owned(), regex: regex.to_owned() };
        Entry { sender: "a@b".to_owned(), select }
    }

    #[test]
    fn a_proc_is_asked_for_with_all_that_is_to_be_told() {
        for (entry, only, want) in [
            (entry("id", "^a$"), None, "with reason,lost,rate;proc match 3|^a$ id;"),
            (entry("mean | abs", "\"a b\""), None, "with reason,lost,rate;proc match 3|a b mean | abs;"),
            (entry("id", "."), Some("^web"), "with reason,lost,rate,only 4|^web;proc match 1|. id;"),
        ] {
            let asked = Asked::of(&entry, only).unwrap();
            assert_eq!(String::from_utf8_lossy(&asked.frame[2..]), want);
        }
        for (entry, offset, words) in [
            (entry("meen", "^a$"), 7, "did you mean `mean`?"),
            (entry("id", "a("), 16, "unclosed group"),
            (entry("id", &"a".repeat(5000)), 15, "at most 4,096 bytes"),
        ] {
            let error = Asked::of(&entry, None).unwrap_err();
            assert_eq!(error.at.offset, offset, "{error}");
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn an_answer_waits_for_directory_and_rate() {
        let now = Instant::now();
        let mut opening = Opening::new(now);
        assert!(!opening.is_over(now + PATIENCE), "it is not kept");
        opening.is_kept = true;
        assert!(!opening.is_over(now) && opening.is_over(now + PATIENCE));
        opening.rate = Some(Rate { at_least: false, series: 1, per_minute: 1 });
        assert!(opening.is_over(now));
    }
}
