//! What a body holds: metrics and notes, read where they lie and put into batches as they go out.
//!
//! Three forms: JSON and lines of JSON (`json.rs`), and Leela's text (`text.rs`). Each point stands by itself: what is
//! wrong with one is said, with its place, and costs its neighbours nothing.

mod cursor;
mod json;
mod reason;
#[cfg(test)]
mod tests;
mod text;

use std::borrow::Cow;

use common::key;
use common::metric::{Kind, Metric, Note};
use common::time::Time;
use common::value::Value;
use common::wire::{Batch, Content, Full};

pub use cursor::{Cursor, Fault};
pub use reason::Reason;

/// Faults of a body that are told; the others are counted.
pub const FAULTS_TOLD: usize = 100;
/// Bytes of a refused point that are kept.
const TEXT_KEPT: usize = 392;

/// The form of a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// One point, or an array of points.
    Json,
    /// A point a line.
    Lines,
    /// Leela's text.
    Text,
}

impl Form {
    /// The form that a `Content-Type` names, else what the body looks like; `None` when it is none of them.
    pub fn of(content_type: Option<&str>, body: &[u8]) -> Option<Form> {
        let media = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        match media.to_ascii_lowercase().as_str() {
            "application/json" => Some(Form::Json),
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonlines" => Some(Form::Lines),
            // What curl and others say where nobody told them; browsers, too.
            "" | "application/x-www-form-urlencoded" | "application/octet-stream" | "text/plain" => {
                match body.trim_ascii_start().first() {
                    Some(b'[') => Some(Form::Json),
                    Some(b'{') => Some(Form::Lines),
                    _ => Some(Form::Text),
                }
            }
            _ => None,
        }
    }
}

/// A point that was refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Which one it is in the body, counted from 0.
    pub index: u64,
    /// Its line, counted from 1.
    pub line: u64,
    /// Where in the body the fault is, in bytes.
    pub offset: usize,
    /// Why.
    pub reason: Reason,
    /// What is wrong, in words.
    pub detail: Cow<'static, str>,
    /// The point itself, as far as it is kept.
    pub text: Vec<u8>,
    /// Where in [`Refused::text`] the fault is, in bytes.
    pub text_offset: usize,
}

/// What was read of a body.
#[derive(Debug)]
pub struct Intake {
    /// The receiver's clock, for points without a time.
    now: Time,
    /// Bytes that its records may take.
    room: usize,
    batches: [Vec<Batch>; 2],
    spare: Vec<Batch>,
    /// Metrics and notes that were understood.
    pub accepted: u64,
    counts: [u64; Reason::ALL.len()],
    /// The first [`FAULTS_TOLD`] faults.
    pub faults: Vec<Refused>,
    /// The records did not fit: nothing of the body is to be taken.
    pub is_too_large: bool,
    /// Where lines were counted up to, and how many there were.
    line: (usize, u64),
}

impl Intake {
    /// Nothing yet. `spare` are batches to be used again; the records may take `room` bytes.
    pub fn new(now: Time, room: usize, spare: Vec<Batch>) -> Intake {
        Intake {
            now,
            room,
            batches: [Vec::new(), Vec::new()],
            spare,
            accepted: 0,
            counts: [0; Reason::ALL.len()],
            faults: Vec::new(),
            is_too_large: false,
            line: (0, 1),
        }
    }

    /// Reads a body.
    pub fn read(&mut self, form: Form, body: &[u8]) {
        match form {
            Form::Json => json::read(body, false, self),
            Form::Lines => json::read(body, true, self),
            Form::Text => text::read(body, self),
        }
    }

    /// Metrics and notes that were found.
    pub fn received(&self) -> u64 {
        self.accepted + self.refused()
    }

    /// Metrics and notes that were not understood.
    pub fn refused(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Refusals, by reason.
    pub fn counts(&self) -> impl Iterator<Item = (Reason, u64)> {
        Reason::ALL.iter().copied().zip(self.counts).filter(|(_, count)| *count > 0)
    }

    /// What was understood, to be sent.
    pub fn batches(&self) -> impl Iterator<Item = &Batch> {
        self.batches.iter().flatten()
    }

    /// Bytes of all records.
    pub fn len(&self) -> usize {
        self.batches().map(Batch::len).sum()
    }

    /// True where nothing was understood.
    pub fn is_empty(&self) -> bool {
        self.accepted == 0
    }

    /// What was understood, taken out.
    pub fn into_sent(self) -> impl Iterator<Item = Batch> {
        self.batches.into_iter().flatten()
    }

    /// The batches alone, to be used again.
    pub fn into_spare(self) -> Vec<Batch> {
        // Notes are rare: their batches are not kept.
        let [mut metrics, _] = self.batches;
        metrics.extend(self.spare);
        metrics.iter_mut().for_each(Batch::clear);
        metrics
    }

    /// Takes a metric whose key is as it was sent.
    #[inline]
    pub fn metric(&mut self, key: &[u8], time: Time, kind: Kind, value: Value) -> Result<(), Reason> {
        if !value.is_finite() {
            return Err(Reason::NotFinite);
        }
        let key = key::parse(key).map_err(|_| Reason::BadKey)?;
        let metric = Metric::new(key.as_bytes(), time, kind, value);
        self.put(Content::Metrics, |batch| batch.metric(&metric));
        Ok(())
    }

    /// Takes a note whose key is as it was sent. The JSON is one.
    pub fn note(&mut self, key: &[u8], time: Time, json: &[u8]) -> Result<(), Reason> {
        if json.len() > Note::JSON_BYTES_MAX {
            return Err(Reason::Json);
        }
        let key = key::parse(key).map_err(|_| Reason::BadKey)?;
        let note = Note { key: key.as_bytes(), time, json };
        self.put(Content::Notes, |batch| batch.note(&note));
        Ok(())
    }

    #[inline]
    fn put(&mut self, content: Content, record: impl Fn(&mut Batch) -> Result<(), Full>) {
        let place = usize::from(content == Content::Notes);
        self.accepted += 1;
        if let Some(batch) = self.batches[place].last_mut()
            && record(batch) == Ok(())
        {
            return;
        }
        self.put_into_next(content, place, &record);
    }

    #[cold]
    fn put_into_next(
        &mut self,
        content: Content,
        place: usize,
        record: &dyn Fn(&mut Batch) -> Result<(), Full>,
    ) {
        if self.len() > self.room {
            // No more memory is taken for what is thrown away anyhow.
            self.is_too_large = true;
            return;
        }
        let spare = if content == Content::Metrics { self.spare.pop() } else { None };
        let mut batch = spare.unwrap_or_else(|| Batch::new(content));
        record(&mut batch)
            .unwrap_or_else(|Full| debug_assert!(false, "any one record fits into an empty datagram"));
        self.batches[place].push(batch);
    }

    /// Books a point that is not taken. `span` is where it stands in the body, `offset` where the fault is.
    #[cold]
    fn refuse(
        &mut self,
        body: &[u8],
        span: std::ops::Range<usize>,
        offset: usize,
        reason: Reason,
        detail: impl Into<Cow<'static, str>>,
    ) {
        let index = self.received();
        self.counts[reason as usize] += 1;
        if self.faults.len() == FAULTS_TOLD {
            return;
        }
        let (from, lines) = self.line;
        let upto = offset.clamp(from, body.len());
        let line = lines + body[from..upto].iter().filter(|byte| **byte == b'\n').count() as u64;
        self.line = (upto, line);
        // What is kept begins at the point, or a little before its fault where that is far behind.
        let start = span.start.max(offset.saturating_sub(TEXT_KEPT / 2));
        let end = span.end.clamp(start, start + TEXT_KEPT);
        let text = body[start..end].to_vec();
        let (detail, text_offset) = (detail.into(), offset.saturating_sub(start));
        self.faults.push(Refused { index, line, offset, reason, detail, text, text_offset });
    }
}
